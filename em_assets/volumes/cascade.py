"""One pass over a volume: every tile of every level made while the one before lies in memory.

A tile of a level is put together from the tiles of the level before::

    s2   ┌───────┐      asks for its (up to) eight tiles of s1, one after the other; each is halved into
         │ 1   2 │      its corner here, then written, then forgotten
         │ 3   4 │
    s1   └───────┘  each asks for its tiles of s0, which are read from the source, chunk by chunk counted

so of each level one tile is made while at most one more is being written, no level is read back, and every shard is
written once, by one thread at a time. Where it can a tile is held in parts, one chunk deep, and its shards grow part by
part: half of the memory. That is used again: finding new memory for each tile costs the system as much as compressing
a third of it.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import prod
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from em_assets.errors import FormatError, StoreError
from em_assets.formats.volume import SourceVolume
from em_assets.model import ZYX
from em_assets.volumes.downsample import Halve, halve_into
from em_assets.volumes.encoding import LevelWriter, SeeChunks, StoredBytes, ignore_chunks
from em_assets.volumes.ledger import Entries
from em_assets.volumes.levels import Level, finer_tiles_in, parts_of, tile_box
from em_assets.volumes.sinks import Stored
from em_assets.volumes.verbatim import read_verbatim

Progress = Callable[[int, int], None]
"""Told the voxels done and the voxels of the whole volume."""

Then = Callable[[ZYX, NDArray[Any]], None]
"""Uses a part of a tile, told where it starts, before it is written; it must not keep it: its memory is used again."""

READ_VOXELS = 1 << 22
"""Of a tile about so many are read by a thread at once."""


class _Writing(NamedTuple):
    """A tile that is being written: its memory, and its regions' files to come."""

    memory: NDArray[Any] | None
    regions: list[Future[Stored]]


@dataclass
class Cascade:
    """One pass over a volume: what is read, halved and written."""

    volume: SourceVolume
    halve: Halve
    levels: tuple[Level, ...]
    tile: ZYX
    depths: Sequence[int]
    writers: list[LevelWriter]
    see: SeeChunks
    executor: Executor
    readers: Executor
    is_verbatim: bool
    progress: Progress | None
    pending: dict[int, _Writing] = field(default_factory=dict)
    spare: dict[int, list[NDArray[Any]]] = field(default_factory=dict)
    entries: Entries = field(default_factory=Entries)
    n_done: int = 0

    def finish(self) -> Entries:
        """Wait for all that is being written; the files that were."""
        for level in range(len(self.levels)):
            self._finish(level)
        return self.entries

    def drop(self) -> None:
        """After an error, and once the executor has ended: see that nothing is written any more."""
        regions = [region for writing in self.pending.values() for region in writing.regions]
        for region in regions:
            if not region.cancelled() and not region.exception():
                wait(region.result().under_way)
        for writer in self.writers:
            writer.drop()

    def make(self, level: int, index: ZYX, then: Then) -> None:
        """Make one tile, part by part; `then` uses each before it is written, so that the next is made meanwhile."""
        for start, shape in parts_of(*tile_box(self.levels[level], self.tile, index), self.depths[level]):
            self._make_part(level, index, start, shape, then)

    def _make_part(self, level: int, index: ZYX, start: ZYX, shape: ZYX, then: Then) -> None:
        memory: NDArray[Any] | None
        stored: StoredBytes = {}
        if level > 0:
            memory, block = self._memory(level, shape)
            self._halve(level, index, start, block)
        else:
            memory, block, stored = self._read(start, shape)
        then(start, block)
        self._finish(level)
        writer, see = self.writers[level], ignore_chunks if level else self.see
        regions = [
            self.executor.submit(_written, writer, block, start, region, see, stored)
            for region in writer.regions(start, shape)
        ]
        self.pending[level] = _Writing(memory, regions)

    def _finish(self, level: int) -> None:
        """Wait for the level's part before: no more than one is being written while another is made."""
        writing = self.pending.get(level)
        if writing is None:
            return
        for region in writing.regions:
            stored = region.result()
            with writing_to(self.writers[level].sink):
                for written in stored.under_way:
                    written.result()
            self.entries += stored.entries
        del self.pending[level]
        if writing.memory is not None:
            self.spare.setdefault(level, []).append(writing.memory)

    def _memory(self, level: int, shape: ZYX) -> tuple[NDArray[Any], NDArray[Any]]:
        """Memory for any part of a tile of a level, and a block of this shape in it."""
        spare = self.spare.get(level)
        if spare:
            memory = spare.pop()
        else:
            _, largest = next(parts_of(*tile_box(self.levels[level], self.tile, (0, 0, 0)), self.depths[level]))
            memory = np.empty(prod(largest), self.volume.dtype)
        return memory, memory[: prod(shape)].reshape(shape)

    def _halve(self, level: int, index: ZYX, start: ZYX, block: NDArray[Any]) -> None:
        here, finer = self.levels[level], self.levels[level - 1]

        def halve(first_zyx: ZYX, part: NDArray[Any]) -> None:
            corner = tuple(
                slice(first // step - origin, -(-(first + extent) // step) - origin)
                for first, extent, step, origin in zip(first_zyx, part.shape, here.step_zyx, start, strict=True)
            )
            halve_into(block[corner], part, here.step_zyx, self.halve, self.executor)

        for child in finer_tiles_in(here, finer, self.tile, index, start[0], block.shape[0]):
            self.make(level - 1, child, halve)

    def _read(self, start: ZYX, shape: ZYX) -> tuple[NDArray[Any] | None, NDArray[Any], StoredBytes]:
        """A tile of the source: its memory where that is ours, its voxels, and the chunks that stay as they are."""
        stored: StoredBytes = {}
        if self.is_verbatim:
            memory, block = self._memory(0, shape)
            stored = read_verbatim(self.volume, start, block, self.see, self.readers)
        elif self.volume.levels[0].read_into:
            memory, block = self._memory(0, shape)
            self._read_into(start, block)
        else:
            memory, block = None, self._checked(start, shape)
        self.n_done += block.size
        if self.progress:
            self.progress(self.n_done, prod(self.volume.shape_zyx))
        return memory, block, stored

    def _read_into(self, start: ZYX, block: NDArray[Any]) -> None:
        """Fill a block by several threads, a few planes or rows each: they wait for the disk, or decode."""
        read_into = self.volume.levels[0].read_into
        assert read_into is not None
        rows = max(1, READ_VOXELS // block.shape[2])
        planes = max(1, rows // block.shape[1])
        pieces = [(z, y) for z in range(0, block.shape[0], planes) for y in range(0, block.shape[1], rows)]

        def read(piece: tuple[int, int]) -> None:
            z, y = piece
            corner = (start[0] + z, start[1] + y, start[2])
            read_into(corner, block[z : z + planes, y : y + rows])

        list(self.readers.map(read, pieces))

    def _checked(self, start: ZYX, shape: ZYX) -> NDArray[Any]:
        block = np.ascontiguousarray(self.volume.read(start, shape))
        if block.shape != shape or block.dtype != self.volume.dtype:
            raise FormatError(
                f"{self.volume.name}: {self.volume.dtype} voxels of shape {shape} expected from {start} (z, y, x), "
                f"found {block.dtype} of shape {block.shape}: the source is not what its header says"
            )
        return block


def _written(
    writer: LevelWriter, block: NDArray[Any], start: ZYX, region: ZYX, see: SeeChunks, stored: StoredBytes
) -> Stored:
    with writing_to(writer.sink):
        return writer.write(block, start, region, see, stored)


@contextmanager
def writing_to(dest: object) -> Iterator[None]:
    """Name the place in what goes wrong while writing."""
    try:
        yield
    except OSError as error:
        raise StoreError(f"{dest}: cannot write the volume: {error}") from error
