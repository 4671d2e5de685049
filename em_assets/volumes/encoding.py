"""Chunks of a block become a level's objects: compressed, digested and written while they are hot.

Level by level the voxels that lie in memory are cut into regions of one shard each::

    0.5   one file a region:   chunk chunk chunk … index crc32c     (zarr v3, `sharding_indexed`)
    0.4   one file a chunk                                          (zarr v2)

Every chunk inside the level is stored, zeros too: an absent one must mean that something is missing.
"""

import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from em_assets.model import ZYX
from em_assets.settings import OMEZarrVersion
from em_assets.volumes.codec import Codec
from em_assets.volumes.ledger import Entry
from em_assets.volumes.levels import Grid, Level
from em_assets.volumes.new_files import Piece
from em_assets.volumes.sinks import Growing, Sink, Stored

SeeChunks = Callable[[ZYX, NDArray[Any]], None]
"""Told the index of a chunk in its level, and the voxels of it and those that follow it along x, one after the other in
memory (n, z, y, x): nothing beyond the level's end."""

ROW_BYTES = 2 << 20
"""Of a row of chunks so much is gathered at once: a call for each chunk has threads wait for Python's lock."""

ABSENT = 2**64 - 1
"""Offset and size, in a shard's index, of a chunk that lies beyond the level's end."""


Encoded = Iterator[tuple[ZYX, Piece]]
"""Chunks by their index, compressed."""

StoredBytes = Mapping[ZYX, bytes]
"""Chunks, by their index, that are written as they are: they were seen when they were read."""


_memory = threading.local()


def ignore_chunks(_: ZYX, __: NDArray[Any]) -> None:
    """Coarser levels are not counted."""


@dataclass(frozen=True)
class LevelWriter:
    """Writes the objects of one level to `sink`; any number of threads may, each its own regions."""

    sink: Sink
    ome_zarr: OMEZarrVersion
    level: Level
    grid: Grid
    dtype: np.dtype[Any]
    codec: Codec
    begun: "dict[ZYX, _Shard]" = field(default_factory=dict)

    def regions(self, start_zyx: ZYX, shape_zyx: ZYX) -> Iterator[ZYX]:
        """Indices of the shards that a block is made of; it starts at the first voxel of one."""
        steps = zip(start_zyx, shape_zyx, self.grid.shard_shape, strict=True)
        z, y, x = (range(start // edge, -(-(start + extent) // edge)) for start, extent, edge in steps)
        return product(z, y, x)

    def write(self, block: NDArray[Any], start_zyx: ZYX, region: ZYX, see: SeeChunks, stored: StoredBytes) -> Stored:
        """Write what a block, which begins at voxel `start_zyx`, has of the region of this index.

        The block begins and ends at chunks along z, and holds the region along y and x. A region's blocks come in the
        order of z, the next after the one before has been written. The files that are whole now come back, or will be.
        """
        chunks = _Chunks(self, block, start_zyx, see, stored).encoded(*self._chunk_ranges(block, start_zyx, region))
        if self.ome_zarr == "0.4":
            return self.sink.put_all((f"{self.level.path}/{_key(chunk)}", encoded) for chunk, encoded in chunks)
        shard = self.begun.pop(region, None) or self._begin(region)
        self.begun[region] = shard
        shard.append(chunks)
        end = min((region[0] + 1) * self.grid.shard_shape[0], self.level.shape_zyx[0])
        if start_zyx[0] + block.shape[0] < end:
            return Stored([])
        del self.begun[region]
        return Stored([shard.finish()])

    def drop(self) -> None:
        """Let go of the shards that were begun and will not be finished."""
        while self.begun:
            self.begun.popitem()[1].growing.drop()

    def _begin(self, region: ZYX) -> "_Shard":
        counts = self._chunks_a_shard
        z, y, x = (r * n for r, n in zip(region, counts, strict=True))
        growing = self.sink.begin(f"{self.level.path}/c/{_key(region)}")
        return _Shard(growing, (z, y, x), np.full((*counts, 2), ABSENT, "<u8"))

    def _chunk_ranges(self, block: NDArray[Any], start_zyx: ZYX, region: ZYX) -> list[range]:
        """Indices of a region's chunks that lie in a block, along each axis; a chunk beyond the level is none."""
        sizes = zip(region, self._chunks_a_shard, start_zyx, block.shape, self.grid.chunk_shape, strict=True)
        return [
            range(max(r * n, start // edge), min((r + 1) * n, -(-(start + extent) // edge)))
            for r, n, start, extent, edge in sizes
        ]

    @property
    def _chunks_a_shard(self) -> ZYX:
        z, y, x = (s // c for s, c in zip(self.grid.shard_shape, self.grid.chunk_shape, strict=True))
        return (z, y, x)


@dataclass
class _Shard:
    """A shard that is being written: its file, its first chunk's index, and where each chunk lies in it."""

    growing: Growing
    first_zyx: ZYX
    index: NDArray[np.uint64]
    size_bytes: int = 0

    def append(self, chunks: Encoded) -> None:
        self.growing.append(self._placed(chunks))

    def finish(self) -> Entry:
        try:
            self.growing.append([_with_checksum(self.index.tobytes())])
            return self.growing.finish()
        finally:
            self.growing.drop()

    def _placed(self, chunks: Encoded) -> Iterator[Piece]:
        for chunk, encoded in chunks:
            z, y, x = (i - first for i, first in zip(chunk, self.first_zyx, strict=True))
            self.index[z, y, x] = (self.size_bytes, len(encoded))
            self.size_bytes += len(encoded)
            yield encoded


class _Chunks:
    """Chunks of a block, gathered row by row and compressed one by one, in memory that is used again."""

    def __init__(
        self, writer: LevelWriter, block: NDArray[Any], start_zyx: ZYX, see: SeeChunks, stored: StoredBytes
    ) -> None:
        self._edge, self._extent = writer.grid.chunk_shape, writer.level.shape_zyx
        self._block, self._start, self._see, self._stored = block, start_zyx, see, stored
        self._row = _row(self._edge, writer.dtype.newbyteorder("<"))
        self._encode = writer.codec.encoder(self._row[0].nbytes, writer.dtype.itemsize)

    def encoded(self, z_range: range, y_range: range, x_range: range) -> Encoded:
        """All chunks of these indices, each with its bytes, which are valid until the next one is asked for."""
        for z, y in product(z_range, y_range):
            for run in self._runs(z, y, x_range):
                first = (z, y, run[0])
                if first in self._stored:
                    yield first, self._stored[first]
                    continue
                for x, voxels in zip(run, self._gathered(first, len(run)), strict=True):
                    yield (z, y, x), self._encode(voxels)

    def _runs(self, z: int, y: int, x_range: range) -> Iterator[list[int]]:
        """Whole chunks of a row that are gathered at once; by itself each that is stored, or ends beyond the level."""
        n_whole_z, n_whole_y, n_whole_x = (extent // n for extent, n in zip(self._extent, self._edge, strict=True))
        n_whole_x *= z < n_whole_z and y < n_whole_y
        run: list[int] = []
        for x in x_range:
            is_alone = x >= n_whole_x or (z, y, x) in self._stored
            if run and (is_alone or len(run) == len(self._row)):
                yield run
                run = []
            if is_alone:
                yield [x]
            else:
                run.append(x)
        if run:
            yield run

    def _gathered(self, first: ZYX, n_chunks: int) -> NDArray[Any]:
        """The voxels of chunks that follow each other; those of the last of a level filled up with zeros."""
        corner = [i * edge - start for i, edge, start in zip(first, self._edge, self._start, strict=True)]
        whole = (*self._edge[:2], self._edge[2] * n_chunks)
        ends = zip(whole, self._extent, self._start, corner, strict=True)
        inside = [min(n, extent - start - at) for n, extent, start, at in ends]
        voxels = self._block[tuple(slice(at, at + n) for at, n in zip(corner, inside, strict=True))]
        row = self._row[:n_chunks]
        if voxels.shape == whole:
            gather(row, voxels)
            self._see(first, row)
        else:
            row.fill(0)
            row[0][tuple(map(slice, inside))] = voxels
            self._see(first, np.ascontiguousarray(voxels)[None])
        return row


def gather(chunks: NDArray[Any], voxels: NDArray[Any]) -> None:
    """Copy the voxels (z, y, n x) of a row of chunks to where each is contiguous (n, z, y, x)."""
    if chunks.dtype == voxels.dtype and voxels.strides[2] == voxels.itemsize:
        line = np.dtype((np.void, chunks.shape[3] * chunks.itemsize))  # numpy copies items: so a line is made one
        np.copyto(chunks.view(line)[..., 0].transpose(1, 2, 0), voxels.view(line))
    else:
        n, z, y, x = chunks.shape
        np.copyto(chunks.transpose(1, 2, 0, 3), voxels.reshape(z, y, n, x))


def _row(edge: ZYX, dtype: np.dtype[Any]) -> NDArray[Any]:
    """A thread's memory for a row of chunks, or for one of large ones."""
    n_bytes = prod(edge) * dtype.itemsize
    n_chunks = max(1, ROW_BYTES // n_bytes)
    memory: NDArray[np.uint8] | None = getattr(_memory, "row", None)
    if memory is None or memory.nbytes < n_chunks * n_bytes:
        memory = _memory.row = np.empty(n_chunks * n_bytes, np.uint8)
    return memory[: n_chunks * n_bytes].view(dtype).reshape(n_chunks, *edge)


def _with_checksum(index: bytes) -> bytes:
    from google_crc32c import value

    return index + struct.pack("<I", value(index))


def _zyx(values: tuple[int, ...]) -> ZYX:
    z, y, x = values
    return (z, y, x)


def _key(index: ZYX) -> str:
    return "/".join(map(str, index))
