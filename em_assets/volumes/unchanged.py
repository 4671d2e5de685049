"""Whether the files of a source stayed what they were while they were read."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from em_assets.errors import FormatError, UsageError
from em_assets.formats.trees import is_url


class _Look(NamedTuple):
    """What a file's folder says of it."""

    size_bytes: int
    modified_ns: int
    inode: int


@contextmanager
def unchanged(files: Iterable[str]) -> Iterator[None]:
    """Refuse what was read here of files that somebody wrote to meanwhile: it may be half of each version.

    Size, time and place on the disk are compared, of files on this machine; of a folder these are its own. Where
    reading fails and a file has changed, that is the reason given.

    Raises
    ------
    FormatError
        Naming the first file that changed.
    """
    before = {file: look for file in files if not is_url(file) and (look := _look(file))}
    try:
        yield
    except (FormatError, UsageError) as error:
        _check(before, error)
        raise
    _check(before, None)


def _check(before: dict[str, _Look], reason: Exception | None) -> None:
    for file, first in before.items():
        last = _look(file)
        if last != first:
            raise FormatError(
                f"{file}: changed while it was read ({_said(first)} before, {_said(last)} after): wait until whoever "
                "writes it is done, and run this again"
            ) from reason


def _look(file: str) -> _Look | None:
    try:
        found = Path(file).stat()
    except OSError:
        return None
    return _Look(found.st_size, found.st_mtime_ns, found.st_ino)


def _said(look: _Look | None) -> str:
    return f"{look.size_bytes:,} bytes" if look else "not there"
