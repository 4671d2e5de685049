"""Where the objects of a group go: each is put whole, once, under its key, and its ledger entry comes back."""

import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol
from uuid import uuid4

from em_assets.remote.path import RemotePath
from em_assets.volumes.folders import Folder
from em_assets.volumes.ledger import Entry, digest_of
from em_assets.volumes.new_files import NewFile, NewFiles, Piece
from em_assets.volumes.staging import PREFIX, staging_folder, sync_file

Objects = Iterable[tuple[str, Piece]]
"""Keys, and the bytes of each, which are used before the next one is asked for."""


class Stored(NamedTuple):
    """Key, size and digest of objects: they are there when what is under way has ended well."""

    entries: list[Entry]
    under_way: Sequence[Future[None]] = ()


class Sink(Protocol):
    """A place for one group's objects. Any number of threads may put, each its own keys; it can be pickled."""

    def begin(self, key: str) -> "Growing":
        """A new object, which grows piece by piece and then is finished, or else dropped."""
        ...

    def put_all(self, objects: Objects) -> Stored:
        """Store new objects, or begin to."""
        ...


class Growing(Protocol):
    """An object that is being made, by one thread at a time."""

    def append(self, pieces: Iterable[Piece]) -> None:
        """Put pieces at its end. After an error it can only be dropped."""
        ...

    def finish(self) -> Entry:
        """Store what there is; its key, size and digest."""
        ...

    def drop(self) -> None:
        """Let go of what it holds; what is stored of it counts for nothing. Nothing happens where it was finished."""
        ...


def put(sink: Sink, key: str, pieces: Iterable[Piece]) -> Entry:
    """Store a new object made of these pieces; its key, size and digest."""
    growing = sink.begin(key)
    try:
        growing.append(pieces)
        return growing.finish()
    finally:
        growing.drop()


def sink_of(dest: Folder) -> Sink:
    """The sink that fills a folder."""
    return BucketSink(dest) if isinstance(dest, RemotePath) else FolderSink(dest)


@dataclass(frozen=True)
class FolderSink:
    """Objects are new files below a folder, written piece by piece, the digest with them."""

    folder: Path

    def __str__(self) -> str:
        return str(self.folder)

    def begin(self, key: str) -> "_GrowingFile":
        """A new file; one that is there already is an OSError."""
        return _GrowingFile(key, f"{self.folder}/{key}")

    def put_all(self, objects: Objects) -> Stored:
        """New files, written by other threads while the next ones are made."""
        root, entries = str(self.folder), []  # a Path for each would take as long as writing it
        with NewFiles() as files:
            for key, data in objects:
                entries.append(Entry(key, len(data), digest_of(data)))
                files.put(f"{root}/{key}", data)
        return Stored(entries, files.under_way)


class _GrowingFile:
    """A new file, digested as it grows."""

    def __init__(self, key: str, path: str | Path) -> None:
        from blake3 import blake3

        self._key, self._file, self._hasher = key, NewFile(path), blake3()

    def append(self, pieces: Iterable[Piece]) -> None:
        self._file.append(self._digested(pieces))

    def finish(self) -> Entry:
        self._file.finish()
        return Entry(self._key, self._file.size_bytes, self._hasher.hexdigest())

    def drop(self) -> None:
        self._file.close()

    def _digested(self, pieces: Iterable[Piece]) -> Iterator[Piece]:
        for piece in pieces:
            self._hasher.update(piece)
            yield piece


@dataclass(frozen=True)
class BucketSink:
    """Objects are put whole, so none is ever seen in part; one that is there already is replaced."""

    folder: RemotePath

    def __str__(self) -> str:
        return str(self.folder)

    def begin(self, key: str) -> "_GrowingObject":
        """A new object, held here until it is whole."""
        return _GrowingObject(key, self.folder / key)

    def put_all(self, objects: Objects) -> Stored:
        """One after the other."""
        return Stored([put(self, key, [data]) for key, data in objects])


class _GrowingObject:
    """The bytes of an object to be."""

    def __init__(self, key: str, place: RemotePath) -> None:
        self._key, self._place, self._held = key, place, bytearray()

    def append(self, pieces: Iterable[Piece]) -> None:
        for piece in pieces:
            self._held += piece

    def finish(self) -> Entry:
        whole = memoryview(self._held)
        self._place.put(whole)
        return Entry(self._key, len(whole), digest_of(whole))

    def drop(self) -> None:
        self._held = bytearray()


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

    def begin(self, key: str) -> "_SharedFile":
        """A file beside, which is forced to the disk, maybe another machine's, before it is given its name."""
        return _SharedFile(self, key)

    def put_all(self, objects: Objects) -> Stored:
        """One after the other: each is forced to the disk."""
        return Stored([put(self, key, [data]) for key, data in objects])

    def check_waited_for(self) -> None:
        """Raise an OSError where nobody waits for objects any more."""
        # Opened, not looked at: a network's file system may answer a look from what it remembers.
        os.close(os.open(self.parts, os.O_RDONLY))


class _SharedFile:
    """A file among the parts, named when it is whole."""

    def __init__(self, sink: SharedFolderSink, key: str) -> None:
        sink.check_waited_for()
        self._sink, self._key, self._part = sink, key, sink.parts / uuid4().hex
        self._file = _GrowingFile(key, self._part)

    def append(self, pieces: Iterable[Piece]) -> None:
        self._file.append(pieces)

    def finish(self) -> Entry:
        written = self._file.finish()
        sync_file(self._part)
        self._sink.check_waited_for()
        final = self._sink.folder / self._key
        final.parent.mkdir(parents=True, exist_ok=True)
        self._part.replace(final)
        return written

    def drop(self) -> None:
        self._file.drop()
        self._part.unlink(missing_ok=True)


@contextmanager
def shared_by_machines(sink: Sink) -> Iterator[Sink]:
    """The same place for writers in many processes, any of which may die or do the same as another."""
    if not isinstance(sink, FolderSink):
        yield sink  # an object store puts whole objects, and the last of equal ones stays
        return
    # Under the label of what is staged here itself, so that whoever sweeps that sweeps these too.
    label = f"{sink.folder.name.removeprefix(PREFIX)}-parts"
    with staging_folder(sink.folder.parent, label) as parts:
        yield SharedFolderSink(sink.folder, parts)
