"""Folders and files that appear whole or not at all: written beside, forced to disk, renamed.

Whoever writes holds a lock on what it writes, and the system lets go of it when the process dies, however it dies. A
leftover is therefore a staging name that nobody locks; process numbers prove nothing, since they are used again and two
containers on one disk have the same ones.

A lock on a folder of a network's file system is seen by its own machine alone (Linux asks an NFS server about files
only). There a leftover must also have been left untouched for a day before anybody removes it.
"""

import fcntl
import os
import re
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

PREFIX = ".staging-"

NETWORK_FILE_SYSTEMS = ("nfs", "nfs4", "cifs", "smb3", "9p", "afs", "ceph", "lustre", "gpfs", "beegfs", "virtiofs")
"""As `/proc/mounts` calls them; whatever is in user space (`fuse.…`) counts as one too."""

UNTOUCHED_S = 24 * 3600.0
"""A staging folder on a network's file system in which nothing is newer has no writer any more."""


@contextmanager
def staging_folder(parent: Path, label: str) -> Iterator[Path]:
    """A new folder `.staging-<label>-<pid>` in `parent`, locked while in use and removed unless it was renamed away."""
    parent.mkdir(parents=True, exist_ok=True)
    path, descriptor = _new_folder(parent, f"{PREFIX}{label}-{os.getpid()}")
    try:
        yield path
    finally:
        if _is_still(path, descriptor):
            shutil.rmtree(path, ignore_errors=True)
        os.close(descriptor)


@contextmanager
def in_use(folder: Path) -> Iterator[None]:
    """Keep `left_alone` from saying that nobody is at work in a folder; any number of processes may at once."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def left_alone(folder: Path) -> Iterator[bool]:
    """Whether nobody is at work in a folder; while it is, others wait to begin."""
    descriptor, is_alone = os.open(folder, os.O_RDONLY), False
    try:
        with suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            is_alone = True
        yield is_alone
    finally:
        os.close(descriptor)


def publish(staging: Path, final: Path) -> bool:
    """Give a complete folder its final name; False where something has that name already.

    Its files are on the disk before it has the name, and the name is on the disk before this returns.
    """
    sync_tree(staging)
    try:
        # Linux would let a folder replace an empty one; whoever made that may be about to fill it.
        if os.path.lexists(final):
            return False
        staging.rename(final)
    except OSError:
        if not os.path.lexists(final):
            raise
        return False
    sync_folder(final.parent)
    return True


def sweep(parent: Path, label: str = "") -> int:
    """Remove what writers that are no more left behind in `parent`; how many leftovers there were.

    With a label only what was staged under it: a folder that is not ours may hold other people's files.
    """
    start = f"{PREFIX}{label}-" if label else PREFIX
    leftovers = sorted(path for path in parent.iterdir() if path.name.startswith(start) and path.is_dir())
    return sum(_removed(path) for path in leftovers)


def create_only(path: Path, data: bytes) -> bool:
    """Make a file that appears with all its bytes; False, and nothing changed, where one has that name already.

    A hard link is what a local disk offers for that: it never replaces, and exactly one of many wins.
    """
    with staging_folder(path.parent, path.name) as folder:
        written = folder / path.name
        _write_synced(written, [data])
        try:
            os.link(written, path)
        except FileExistsError:
            return False
    sync_folder(path.parent)
    return True


def replace_bytes(path: Path, data: bytes) -> None:
    """Make or replace a file in one step."""
    replace_pieces(path, [data])


def replace_pieces(path: Path, pieces: Iterable[bytes]) -> None:
    """The same with the bytes in pieces, which are not held."""
    with staging_folder(path.parent, path.name) as folder:
        written = folder / path.name
        _write_synced(written, pieces)
        written.replace(path)
    sync_folder(path.parent)


def replace_link(path: Path, target: str) -> None:
    """Make or replace a symbolic link in one step."""
    with staging_folder(path.parent, path.name) as folder:
        link = folder / path.name
        link.symlink_to(target)
        link.replace(path)


def sync_tree(folder: Path) -> None:
    """Force every file and folder below `folder`, and itself, to the disk."""
    for root, _, files in os.walk(folder):
        for name in files:
            sync_file(Path(root, name))
        sync_folder(Path(root))


def sync_file(path: Path) -> None:
    """Force a file's bytes to the disk."""
    _sync(path, os.O_RDONLY)


def sync_folder(folder: Path) -> None:
    """Force a folder's names to the disk."""
    _sync(folder, os.O_RDONLY | os.O_DIRECTORY)


def maybe_in_use_elsewhere(path: Path) -> bool:
    """Whether another machine may be writing here, which no lock would tell: see above."""
    mounts = Path("/proc/mounts").read_text(encoding="utf-8", errors="replace")
    return is_shared_by_a_network(path, mounts) and _newest_mtime(path) > time.time() - UNTOUCHED_S


def is_shared_by_a_network(path: Path, mounts: str) -> bool:
    """Whether a path lies on a network's file system, by the text of `/proc/mounts`."""
    place = path.resolve()
    lines = (line.split() for line in mounts.splitlines())
    holding = [(where, kind) for _, where, kind, *_ in lines if place.is_relative_to(_unescaped(where))]
    # Of mounts at one place the last one hides the others.
    _, kind = max(reversed(holding), key=lambda mount: len(mount[0]), default=("", ""))
    return kind.startswith("fuse.") or kind in NETWORK_FILE_SYSTEMS


def _unescaped(place: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), place)


def _newest_mtime(path: Path) -> float:
    """When something in a folder was changed last; the first that is young enough ends the search."""
    newest, enough = path.lstat().st_mtime, time.time() - UNTOUCHED_S
    for root, folders, files in os.walk(path):
        for name in (*folders, *files):
            if newest > enough:
                return newest
            with suppress(FileNotFoundError):
                newest = max(newest, Path(root, name).lstat().st_mtime)
    return newest


def _new_folder(parent: Path, name: str) -> tuple[Path, int]:
    for attempt in count():
        path = parent / (f"{name}-{attempt}" if attempt else name)
        try:
            path.mkdir()
        except FileExistsError:
            continue
        descriptor = _locked(path)
        if descriptor is not None:
            return path, descriptor
    raise AssertionError("counted to infinity")


def _locked(path: Path) -> int | None:
    """A descriptor that holds the lock on what has this name; None where another holds it, or took it away."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return None
    with suppress(BlockingIOError):
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if _is_still(path, descriptor):
            return descriptor
    os.close(descriptor)
    return None


def _is_still(path: Path, descriptor: int) -> bool:
    """Whether the name still means what the descriptor was opened on."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _removed(path: Path) -> bool:
    descriptor = _locked(path)
    if descriptor is None:
        return False
    try:
        if maybe_in_use_elsewhere(path):
            return False
        shutil.rmtree(path, ignore_errors=True)
    finally:
        os.close(descriptor)
    return True


def _write_synced(path: Path, pieces: Iterable[bytes]) -> None:
    with path.open("xb") as file:
        file.writelines(pieces)
        file.flush()
        os.fsync(file.fileno())


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
