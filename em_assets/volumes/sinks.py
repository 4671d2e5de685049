"""Where the objects of a group go: each is put whole, once, under its key, and its ledger entry comes back."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Protocol
from uuid import uuid4

from em_assets.remote.path import RemotePath
from em_assets.volumes.folders import Folder
from em_assets.volumes.ledger import Entry, digest_of
from em_assets.volumes.staging import staging_folder, sync_file

Piece = bytes | memoryview
"""Part of an object; used up before the next one is asked for, so that a buffer can be used again."""


class Sink(Protocol):
    """A place for one group's objects. Any number of threads may put, each its own keys; it can be pickled."""

    def put(self, key: str, pieces: Iterable[Piece]) -> Entry:
        """Store a new object made of these pieces; its key, size and digest."""
        ...


def sink_of(dest: Folder) -> Sink:
    """The sink that fills a folder."""
    return BucketSink(dest) if isinstance(dest, RemotePath) else FolderSink(dest)


@dataclass(frozen=True)
class FolderSink:
    """Objects are new files below a folder, written piece by piece, the digest with them."""

    folder: Path

    def __str__(self) -> str:
        return str(self.folder)

    def put(self, key: str, pieces: Iterable[Piece]) -> Entry:
        """Write a new file; one that is there already is an OSError."""
        from blake3 import blake3

        hasher, size_bytes = blake3(), 0
        with _created(self.folder / key) as file:
            for piece in pieces:
                hasher.update(piece)
                size_bytes += _write_all(file, piece)
        return Entry(key, size_bytes, hasher.hexdigest())


@dataclass(frozen=True)
class BucketSink:
    """Objects are put whole, so none is ever seen in part; one that is there already is replaced."""

    folder: RemotePath

    def __str__(self) -> str:
        return str(self.folder)

    def put(self, key: str, pieces: Iterable[Piece]) -> Entry:
        """Put an object; its pieces are held until it is whole."""
        whole = b"".join(bytes(piece) for piece in pieces)
        (self.folder / key).put(whole)
        return Entry(key, len(whole), digest_of(whole))


@dataclass(frozen=True)
class SharedFolderSink:
    """A folder that several machines fill: an object appears whole, and putting it again replaces it by the same.

    Objects are written in `parts`, which is there as long as somebody waits for them: who comes too late, since he was
    given up for dead, finds it gone and writes nothing.
    """

    folder: Path
    parts: Path

    def __str__(self) -> str:
        return str(self.folder)

    def put(self, key: str, pieces: Iterable[Piece]) -> Entry:
        """Write a file beside, force it to the disk, which may be another machine's, and give it its name."""
        part, final = self.parts / uuid4().hex, self.folder / key
        self._check_waited_for()
        written = FolderSink(self.parts).put(part.name, pieces)
        sync_file(part)
        self._check_waited_for()
        final.parent.mkdir(parents=True, exist_ok=True)
        part.replace(final)
        return written._replace(key=key)

    def _check_waited_for(self) -> None:
        # Opened, not looked at: a network's file system may answer a look from what it remembers.
        os.close(os.open(self.parts, os.O_RDONLY))


@contextmanager
def shared_by_machines(sink: Sink) -> Iterator[Sink]:
    """The same place for writers in many processes, any of which may die or do the same as another."""
    if not isinstance(sink, FolderSink):
        yield sink  # an object store puts whole objects, and the last of equal ones stays
        return
    with staging_folder(sink.folder.parent, f"{sink.folder.name}-parts") as parts:
        yield SharedFolderSink(sink.folder, parts)


def _write_all(file: FileIO, piece: Piece) -> int:
    rest = memoryview(piece)
    while rest:
        rest = rest[file.write(rest) :]
    return len(piece)


def _created(path: Path) -> FileIO:
    """A new file; its folder is made only where it is not there yet: of 0.4 one file in many needs it."""
    try:
        return path.open("xb", buffering=0)
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("xb", buffering=0)
