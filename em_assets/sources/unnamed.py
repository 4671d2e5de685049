"""Files that have no name until they are whole: a kill leaves nothing of them, and their folder is changed but once.

Linux has them on most local file systems (open(2), O_TMPFILE). NFS has none, nor have other systems.
"""

import os
from errno import EACCES, EINVAL, EISDIR, EMLINK, ENOENT, ENOSYS, EOPNOTSUPP, EPERM, EXDEV

from em_assets.volumes import direct

_FLAG = getattr(os, "O_TMPFILE", 0)
_NO_SUCH_FILE = (EISDIR, ENOSYS)
"""What is said where the flag is not known at all, beside the refusals of `direct`."""

_NO_SUCH_LINK = (ENOENT, EPERM, EACCES, EXDEV, EMLINK, EINVAL, ENOSYS, EOPNOTSUPP)
"""What is said where /proc is not there, a policy forbids links (AppArmor by EACCES), or the file system has none."""


def written(folder: str, block: memoryview, size_bytes: int) -> int | None:
    """A descriptor of a new file in a folder, with the first bytes of a block as `direct.write_new` wants it.

    None where the file system knows no such files. Nothing is synced yet.
    """
    if not _FLAG:
        return None
    try:
        return direct.write_new(folder, block, size_bytes, os.O_WRONLY | _FLAG)
    except OSError as error:
        if direct.is_refusal(error) or error.errno in _NO_SUCH_FILE:
            return None
        raise


def named(descriptor: int, path: str) -> bool:
    """Give such a file its name; False where the system cannot.

    Raises
    ------
    FileExistsError
        The name is in use.
    """
    try:
        # With a folder for relative paths, which this is none of, Python follows the link as the system must (3.11).
        os.link(f"/proc/self/fd/{descriptor}", path, src_dir_fd=descriptor, follow_symlinks=True)
    except OSError as error:
        if error.errno in _NO_SUCH_LINK:
            return False
        raise
    return True
