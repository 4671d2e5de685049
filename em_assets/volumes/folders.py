"""Folders on a disk and in a bucket, asked the same questions: what is there, how large, which bytes."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from em_assets.remote.path import RemotePath
from em_assets.volumes.staging import create_only, replace_pieces

Folder = Path | RemotePath
"""A folder or file: on a disk, or the objects of a bucket."""

Sizes = Callable[[str], int | None]
"""Bytes of the file of this key; None where there is none."""

READ_BYTES = 4 << 20
"""Files are read in pieces of this size: no larger object is ever held."""


def sizes_in(folder: Folder) -> Sizes:
    """Sizes of many of the files below a folder: on a disk looked at one by one, in a bucket listed at once."""
    if isinstance(folder, RemotePath):
        return _listed(folder).get
    return lambda key: size_of(folder / key)


def size_of(file: Folder) -> int | None:
    """Bytes of a file; None where there is none.

    Raises
    ------
    OSError
        The disk refuses to say.
    """
    if isinstance(file, RemotePath):
        found = file.look()
        return found.size_bytes if found else None
    try:
        return file.stat().st_size
    except (FileNotFoundError, NotADirectoryError):
        return None


def pieces_of(file: Folder) -> Iterator[bytes]:
    """The bytes of a file, in small pieces.

    Raises
    ------
    OSError
        It is not there, or cannot be read.
    """
    if isinstance(file, RemotePath):
        yield from file.pieces()
        return
    with file.open("rb", buffering=0) as opened:
        while piece := opened.read(READ_BYTES):
            yield piece


def keys_in_order(folder: Folder, refused: Callable[[OSError], None] | None = None) -> Iterator[str]:
    """Every file below a folder, by its path from there, sorted; of a disk one folder's names are held at a time.

    Links to folders are none, and are not followed. A folder that cannot be listed is left out, and `refused` told of
    it.
    """
    if isinstance(folder, RemotePath):
        yield from sorted(_listed(folder))
    elif folder.is_dir():
        yield from _keys_in(folder, "", refused)


def folder_names(folder: Folder) -> list[str]:
    """Names of the folders in a folder, sorted; none where there is no such folder."""
    if isinstance(folder, RemotePath):
        return folder.folders()
    return sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []


def file_names(folder: Folder) -> list[str]:
    """Names of the files in a folder, sorted; none where there is no such folder."""
    if isinstance(folder, RemotePath):
        return sorted(key for key in folder.objects() if "/" not in key)
    return sorted(path.name for path in folder.iterdir() if path.is_file()) if folder.is_dir() else []


def put(file: Folder, pieces: Iterable[bytes]) -> None:
    """Make or replace a file in one step."""
    if isinstance(file, RemotePath):
        file.put_pieces(pieces)
    else:
        replace_pieces(file, pieces)


def create(file: Folder, data: bytes) -> bool:
    """Make a file that appears with all its bytes; False, and nothing changed, where there is one already."""
    return file.create(data) if isinstance(file, RemotePath) else create_only(file, data)


def _keys_in(folder: Path, prefix: str, refused: Callable[[OSError], None] | None) -> Iterator[str]:
    try:
        with os.scandir(folder) as found:
            entries = [entry for entry in found if not (entry.is_symlink() and entry.is_dir())]
    except OSError as error:
        if refused:
            refused(error)
        return
    # As the keys below it are sorted: `a.b` comes before `a/c`, and `a0` behind.
    names = sorted(f"{entry.name}/" if entry.is_dir(follow_symlinks=False) else entry.name for entry in entries)
    for name in names:
        if name.endswith("/"):
            yield from _keys_in(folder / name, prefix + name, refused)
        else:
            yield prefix + name


def _listed(folder: RemotePath) -> Mapping[str, int]:
    return {key: found.size_bytes for key, found in folder.objects().items()}
