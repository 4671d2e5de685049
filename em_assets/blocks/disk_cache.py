"""Bytes by name on this disk, never more than so many, shared by all processes that read.

::

    <folder>/3f0c…/s0/12/3_4       a digest of what follows, then the bytes
    <folder>/size                  bytes that all of it takes; whoever adds to it holds its lock

Files appear whole, and one that is damaged is taken for absent: whatever is in here can be had again, so the folder may
be deleted at any time. What was not used for longest goes first when room is needed.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from em_assets.errors import StoreError
from em_assets.settings import BlockCache

SIZE = "size"
DISK_BLOCK_BYTES = 4096
"""A file takes a multiple of this."""

DIGEST_BYTES = 16
LARGEST_PART = 8
"""One file takes at most this part of all: a larger one would push out too much."""

KEPT_OF = (3, 4)
"""Share of the most that is left when room was made, so that it is not made for every file."""


class DiskCache(NamedTuple):
    """Files below a folder, `most_bytes` of them."""

    folder: Path
    most_bytes: int

    @staticmethod
    def opened(place: BlockCache) -> "DiskCache":
        """The cache in a folder, which is made.

        Raises
        ------
        StoreError
            It cannot be made.
        """
        try:
            place.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(
                f"{place.folder}: a folder for blocks expected (EM_ASSETS_CACHE): {error.strerror}"
            ) from error
        return DiskCache(*place)

    def has(self, name: str) -> bool:
        """Whether there is a file of that name now."""
        return (self.folder / name).is_file()

    def load(self, name: str) -> bytes | None:
        """The bytes that were kept under a name; None where there are none any more."""
        path = self.folder / name
        try:
            kept = path.read_bytes()
            os.utime(path)
        except OSError:  # gone meanwhile, or a disk that fails: it can be had again
            return None
        if _digest(kept[DIGEST_BYTES:]) == kept[:DIGEST_BYTES]:
            return kept[DIGEST_BYTES:]
        with suppress(OSError):
            path.unlink()
        return None

    def keep(self, name: str, data: bytes) -> None:
        """Keep bytes under a name; not where they are too many, or the disk refuses: reading goes on without."""
        size = _room(len(data) + DIGEST_BYTES)
        if size * LARGEST_PART > self.most_bytes:
            return
        path = self.folder / name
        with suppress(OSError), self._room_for(size):
            path.parent.mkdir(parents=True, exist_ok=True)
            new = path.with_name(f".{path.name}.new")
            try:
                new.write_bytes(_digest(data) + data)
                new.replace(path)
            except OSError:
                new.unlink(missing_ok=True)

    @contextmanager
    def _room_for(self, size: int) -> Iterator[None]:
        """Room for so many bytes, made of what was not used for longest; for one writer at a time."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / SIZE).open("a+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0)
            said = file.read()
            total = int(said) if said.isdigit() else self._swept(self.most_bytes - size)
            if total + size > self.most_bytes:
                total = self._swept(self.most_bytes * KEPT_OF[0] // KEPT_OF[1] - size)
            file.truncate(0)
            file.write(b"%d" % (total + size))
            file.flush()
            yield

    def _swept(self, most_bytes: int) -> int:
        """Bytes that all files take, after so many were removed that they take no more than `most_bytes`."""
        found = sorted(self._files())
        total = sum(size for _, size, _ in found)
        for _, size, path in found:
            if total <= most_bytes:
                break
            total -= size
            with suppress(OSError):  # removed by hand, or by whoever found it damaged
                path.unlink()
                path.parent.rmdir()  # which refuses, unless it was the last
        return total

    def _files(self) -> Iterator[tuple[int, int, Path]]:
        """When each was last used, bytes, path; what writers that died left behind too."""
        for root, _, names in os.walk(self.folder):
            for name in names:
                path = Path(root, name)
                with suppress(FileNotFoundError):
                    status = path.stat()
                    if path != self.folder / SIZE:
                        yield status.st_mtime_ns, _room(status.st_size), path


def _room(size: int) -> int:
    return -(-size // DISK_BLOCK_BYTES) * DISK_BLOCK_BYTES


def _digest(data: bytes) -> bytes:
    from blake3 import blake3

    return blake3(data).digest(DIGEST_BYTES)
