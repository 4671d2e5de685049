"""Files on a disk: a path, `file://`, or a folder that mirrors an archive."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from em_assets.errors import SourceMissingError, SourceUnreachableError
from em_assets.sources.globs import Wanted
from em_assets.sources.origins import Location
from em_assets.sources.wire import BLOCK_BYTES, LATER, Body, Entry, Patience, Resume, modified


def entries(location: Location, wanted: Wanted, patience: Patience) -> list[Entry]:
    """List the wanted files below a folder, links followed, or the one file that the path is.

    Raises
    ------
    SourceMissingError
        No such file or folder, or not readable.
    """
    del patience  # a disk answers or it does not
    root = location.path
    with _named_errors(root):
        if not root.is_dir():
            return [_entry("", root)]
        return sorted(_walk(root, wanted), key=lambda entry: entry.path)


def names(location: Location, patience: Patience) -> list[str]:
    """Names directly in a folder, those of folders with a slash at the end; sorted.

    Raises
    ------
    SourceMissingError
        No such folder, or not readable.
    """
    del patience
    with _named_errors(location.path):
        return sorted(f"{entry.name}/" if entry.is_dir() else entry.name for entry in location.path.iterdir())


@contextmanager
def body(location: Location, patience: Patience, resume: Resume | None = None) -> Iterator[Body]:
    """Give the file's bytes, always from the first: reading them again costs little."""
    del patience, resume
    with _named_errors(location.path), location.path.open("rb") as file:
        status = os.fstat(file.fileno())
        yield Body(
            iter(lambda: file.read(BLOCK_BYTES), b""),
            status.st_size,
            validators(status),
            ends_itself=True,
            recheck=lambda: validators(os.fstat(file.fileno())),
        )


def _walk(root: Path, wanted: Wanted) -> Iterator[Entry]:
    seen: set[str] = set()
    for folder, subfolders, names in os.walk(root, followlinks=True, onerror=_raise):
        real = os.path.realpath(folder)
        if real in seen:  # a link that leads back up
            subfolders.clear()
            continue
        seen.add(real)
        here = Path(folder).relative_to(root).as_posix()
        prefix = "" if here == "." else f"{here}/"
        subfolders[:] = [name for name in subfolders if wanted.may_hold(prefix + name)]
        for name in names:
            if prefix + name in wanted:
                yield _entry(prefix + name, Path(folder) / name)


def _raise(error: OSError) -> None:
    raise error


def _entry(path: str, file: Path) -> Entry:
    status = file.stat()
    return Entry(path, status.st_size, validators(status))


def validators(status: os.stat_result) -> tuple[str, ...]:
    """Time of modification, to the nanosecond and to the second."""
    when = datetime.fromtimestamp(int(status.st_mtime), UTC)
    return (f"mtime_ns:{status.st_mtime_ns}", modified(when))


@contextmanager
def _named_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except (FileNotFoundError, NotADirectoryError, PermissionError) as error:
        raise SourceMissingError(f"{error.filename or path}: {error.strerror}; mend `url`") from error
    except OSError as error:
        raise SourceUnreachableError(f"{error.filename or path}: {error.strerror}; {LATER}") from error
