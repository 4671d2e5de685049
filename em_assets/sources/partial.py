"""A file that is still arriving: its bytes so far, and beside them a note of what they are part of.

::

    .<mark>.partial   the bytes
    .<mark>.note      JSON: url, size, validators and checksums of the file; how many bytes are safe, and their SHA-256

The note is written now and then, and when a transfer breaks off: what a later run takes over is what was on the disk
then, read again and compared, never merely a length that a power cut may have left.
"""

import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path
from typing import Any

from em_assets.errors import StoreError
from em_assets.model import RemoteFile
from em_assets.sources.checksums import Digest, algorithm_of, new_digest
from em_assets.sources.wire import BLOCK_BYTES, Body, Resume
from em_assets.volumes import direct

PARTIAL = re.compile(r"\.[0-9a-f]{16}\.(partial|note|note\.new|lent)")
"""Names of what is still arriving; none of a source's own names is taken for one by mistake."""

NOTED_EVERY_S = 2.0


class Partial:
    """The bytes of one remote file that have arrived so far.

    Attributes
    ----------
    position
        Number of bytes that are there.
    size_bytes, checksums
        Of the whole file, as far as an answer has declared them.
    """

    def __init__(self, remote: RemoteFile, dest: Path, *, of: str = "") -> None:
        self.path = partial_path(dest, of)
        self.position = 0
        self.size_bytes: int | None = None
        self.checksums: dict[str, str] = {}
        self._remote = remote
        self._note_path = self.path.with_suffix(".note")
        self._resume_with: str | None = None
        self._digests: dict[str, Digest] = {}
        self._file: FileIO | None = None
        self._direct: int | None = None
        self._noted_at = time.monotonic()
        with self.store_errors():
            dest.parent.mkdir(parents=True, exist_ok=True)
            self._take_over()

    @property
    def resume(self) -> Resume | None:
        """Where and how to go on; None where the file must start anew.

        Of a file that is whole its last byte is asked for again: no server sends what lies behind it, and the answer
        tells whether it is still that file.
        """
        if not self.position or not self._resume_with:
            return None
        return Resume(self.position - self.is_whole, self._resume_with)

    @property
    def is_whole(self) -> bool:
        """Whether as many bytes are there as an answer has declared."""
        return self.position == self.size_bytes

    def begin(self, body: Body, algorithms: Iterable[str]) -> None:
        """Take an answer: go on behind what is there, or start anew where the answer does."""
        with self.store_errors():
            if body.start != self.position or self._file is None:
                if body.start == 0:
                    self.restart()
                self._open()
            if body.start == 0:
                self.checksums = dict(body.checksums)
                self._resume_with = body.resume_with
                self.size_bytes = body.size_bytes
            self._follow({"sha256", *algorithms, *map(algorithm_of, self.checksums)})

    def write(self, chunk: bytes | memoryview) -> None:
        """Add bytes."""
        assert self._file is not None
        with self.store_errors():
            direct.write_all(self._file.fileno(), memoryview(chunk), self.position)
            self._take_in(chunk)

    def write_at(self, position: int, block: memoryview) -> None:
        """Put bytes where they belong, ahead of the others; they count once `advance` comes to them."""
        assert self._file is not None
        with self.store_errors():
            direct.write_at(self._file.fileno(), self._direct, block, position)

    def advance(self, block: memoryview) -> None:
        """Take in what `write_at` has put behind all that was taken in."""
        with self.store_errors():
            self._take_in(block)

    def digest(self, algorithm: str) -> str:
        """Hexadecimal digits over all bytes so far."""
        return self._digests[algorithm].hexdigest()

    def beginning(self, n_bytes: int) -> bytes:
        """The first bytes."""
        assert self._file is not None
        with self.store_errors():
            return os.pread(self._file.fileno(), min(n_bytes, self.position), 0)

    def restart(self) -> None:
        """Forget every byte."""
        self.position, self._digests = 0, {}
        self._resume_with, self.checksums, self.size_bytes = None, {}, None
        self._note_path.unlink(missing_ok=True)
        if self._file is not None:
            self._file.truncate(0)

    def note(self) -> None:
        """Make what is there safe to go on with, also after a power cut."""
        self._sync()
        note = {
            "url": self._remote.url,
            "listed_validator": self._remote.validator,
            "listed_size_bytes": self._remote.size_bytes,
            "size_bytes": self.size_bytes,
            "resume_with": self._resume_with,
            "checksums": self.checksums,
            "bytes": self.position,
            "sha256": self.digest("sha256"),
        }
        new = self._note_path.with_name(f"{self._note_path.name}.new")
        new.write_text(json.dumps(note))
        new.replace(self._note_path)
        self._noted_at = time.monotonic()

    def publish(self, dest: Path) -> None:
        """Give it its final name; what stood there is seen until then."""
        with self.store_errors():
            self._sync()
            self._close()
            self.path.replace(dest)
            sync_folder(dest.parent)
            self._note_path.unlink(missing_ok=True)

    def leave(self) -> None:
        """Keep what a later run can go on with; remove it otherwise."""
        if self.resume is not None and self._file is None:
            return  # an earlier run's, noted by that, and nobody has added to it
        try:
            if self.resume is not None:
                self.note()
                self._close()
                return
        except OSError:
            pass  # a disk that takes no note: there is nothing to go on with
        self.drop()

    def drop(self) -> None:
        """Remove every trace."""
        with suppress(OSError):
            self._close()
        forget(self.path)

    @contextmanager
    def store_errors(self) -> Iterator[None]:
        """Name the file and the bytes that it needs, where the disk fails."""
        try:
            yield
        except OSError as error:
            expected = self._remote.size_bytes if self._remote.size_bytes is not None else self.size_bytes
            raise unwritable(error, self.path, self._remote.path, expected) from error

    def _take_over(self) -> None:
        """Go on with what an earlier run left, if it is of the same remote file and was not touched since."""
        note = self._read_note()
        if note is None:
            return
        size_bytes, digest = int(note["bytes"]), new_digest("sha256")
        with self.path.open("r+b") as file:
            file.truncate(size_bytes)
            for block in iter(lambda: file.read(BLOCK_BYTES), b""):
                digest.update(block)
        if digest.hexdigest() != note["sha256"]:
            return
        self.position, self._digests = size_bytes, {"sha256": digest}
        self._resume_with, self.size_bytes = note["resume_with"], note["size_bytes"]
        self.checksums = note["checksums"]

    def _read_note(self) -> dict[str, Any] | None:
        try:
            note: dict[str, Any] = json.loads(self._note_path.read_text())
            known = (note["url"], note["listed_validator"], note["listed_size_bytes"])
            is_enough = self.path.stat().st_size >= int(note["bytes"])
            note["sha256"], note["resume_with"], note["size_bytes"], note["checksums"]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        wanted = (self._remote.url, self._remote.validator, self._remote.size_bytes)
        return note if is_enough and known == wanted else None

    def _open(self) -> None:
        self._close()
        self._file = self.path.open("r+b" if self.position else "w+b", buffering=0)
        if self.position:
            self._file.truncate(self.position)
        self._direct = direct.open_direct(self.path, os.O_WRONLY)

    def _close(self) -> None:
        descriptor, self._direct = self._direct, None
        direct.close(descriptor)
        if self._file is not None:
            file, self._file = self._file, None
            file.close()

    def _sync(self) -> None:
        if self._file is not None:
            os.fsync(self._file.fileno())

    def _take_in(self, chunk: bytes | memoryview) -> None:
        for digest in self._digests.values():
            digest.update(chunk)
        self.position += len(chunk)
        if self._resume_with and time.monotonic() - self._noted_at > NOTED_EVERY_S:
            self.note()

    def _follow(self, algorithms: set[str]) -> None:
        """Compute these digests; one that an answer asks for late reads again what is there."""
        missing = {name: new_digest(name) for name in sorted(algorithms - self._digests.keys())}
        if missing and self.position:
            with self.path.open("rb") as file:
                for block in iter(lambda: file.read(BLOCK_BYTES), b""):
                    for digest in missing.values():
                        digest.update(block)
        self._digests |= missing


def unwritable(error: Exception, path: Path, what: str, size_bytes: int | None) -> StoreError:
    """A disk that fails, in words: which file, how many bytes it needs, and how many are free.

    A library's own error (tensorstore's is a ValueError) is quoted.
    """
    needed = "unknown" if size_bytes is None else f"{size_bytes:,}"
    file, why = getattr(error, "filename", None) or path, getattr(error, "strerror", None) or error
    return StoreError(
        f"{file}: cannot be written ({why}); bytes needed: {needed}, for {what}; "
        f"bytes free: {free_bytes(path):,}; make room there and run again"
    )


@contextmanager
def writable(path: Path, what: str, size_bytes: int | None = None) -> Iterator[None]:
    """Name a file and what it is for, where the disk fails: `unwritable`."""
    try:
        yield
    except OSError as error:
        raise unwritable(error, path, what, size_bytes) from error


def free_bytes(path: Path) -> int:
    """Bytes that are free where a path is, or will be."""
    here = next(folder for folder in (path, *path.parents) if folder.is_dir())
    return shutil.disk_usage(here).free


def require_space(folder: Path, needed_bytes: int, what: str) -> None:
    """Refuse what a disk has no room for.

    Raises
    ------
    StoreError
        It names the folder, the bytes that are needed and those that are free.
    """
    free = free_bytes(folder)
    if needed_bytes > free:
        raise StoreError(
            f"{folder}: bytes needed: {needed_bytes:,}, for {what}; bytes free: {free:,}; "
            "make room there, or name another store, and run again"
        )


def partial_path(dest: Path, of: str = "") -> Path:
    """Where the bytes of `dest` lie until they are whole; a sweep knows what is left over by this name.

    `of` is the address that they come from, where that is not the listed one: what either sends is of no use to the
    other, and must not be lost to it.
    """
    name = f"{dest.name}\0{of}" if of else dest.name
    return dest.with_name(f".{hashlib.sha256(name.encode()).hexdigest()[:16]}.partial")


def forget(partial: Path) -> None:
    """Remove a partial and what is noted of it, where there is one."""
    note = partial.with_suffix(".note")
    for path in (partial, note, note.with_name(f"{note.name}.new")):
        with suppress(OSError):
            path.unlink(missing_ok=True)


def lent_path(dest: Path) -> Path:
    """A name for somebody else's file, linked to, on its way to `dest`: never one that is opened to be written."""
    return partial_path(dest).with_suffix(".lent")


def sync_folder(folder: Path) -> None:
    """Make a rename in a folder outlive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
