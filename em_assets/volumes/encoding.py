"""Chunks of a block become a level's objects: compressed, digested and written while they are hot.

Level by level the voxels that lie in memory are cut into regions of one shard each::

    0.5   one file a region:   chunk chunk chunk … index crc32c     (zarr v3, `sharding_indexed`)
    0.4   one file a chunk                                          (zarr v2)

Every chunk inside the level is stored, zeros too: an absent one must mean that something is missing.
"""

import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from em_assets.model import ZYX
from em_assets.settings import OMEZarrVersion
from em_assets.volumes.codec import Codec
from em_assets.volumes.ledger import Entry
from em_assets.volumes.levels import Grid, Level
from em_assets.volumes.new_files import Piece
from em_assets.volumes.sinks import Growing, Sink, put

SeeChunk = Callable[[ZYX, NDArray[Any]], None]
"""Told the index of a chunk in its level, and its voxels, contiguous: nothing beyond the level's end."""

ABSENT = 2**64 - 1
"""Offset and size, in a shard's index, of a chunk that lies beyond the level's end."""


StoredBytes = Mapping[ZYX, bytes]
"""Chunks, by their index, that are written as they are: they were seen when they were read."""


def ignore_chunk(_: ZYX, __: NDArray[Any]) -> None:
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

    def write(
        self, block: NDArray[Any], start_zyx: ZYX, region: ZYX, see: SeeChunk, stored: StoredBytes
    ) -> list[Entry]:
        """Write what a block, which begins at voxel `start_zyx`, has of the region of this index.

        The block begins and ends at chunks along z, and holds the region along y and x. A region's blocks come in the
        order of z, the next after the one before has been written. The files that are whole now come back.
        """
        chunks = _Chunks(self, block, start_zyx, see, stored)
        indices = [_zyx(index) for index in product(*self._chunk_ranges(block, start_zyx, region))]
        if self.ome_zarr == "0.4":
            path = self.level.path
            return [put(self.sink, f"{path}/{_key(chunk)}", [chunks.encoded(chunk)]) for chunk in indices]
        shard = self.begun.pop(region, None) or self._begin(region)
        self.begun[region] = shard
        shard.append(chunks, indices)
        end = min((region[0] + 1) * self.grid.shard_shape[0], self.level.shape_zyx[0])
        if start_zyx[0] + block.shape[0] < end:
            return []
        del self.begun[region]
        return [shard.finish()]

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

    def append(self, chunks: "_Chunks", indices: Iterable[ZYX]) -> None:
        self.growing.append(self._encoded(chunks, indices))

    def finish(self) -> Entry:
        try:
            self.growing.append([_with_checksum(self.index.tobytes())])
            return self.growing.finish()
        finally:
            self.growing.drop()

    def _encoded(self, chunks: "_Chunks", indices: Iterable[ZYX]) -> Iterator[Piece]:
        for chunk in indices:
            encoded = chunks.encoded(chunk)
            z, y, x = (i - first for i, first in zip(chunk, self.first_zyx, strict=True))
            self.index[z, y, x] = (self.size_bytes, len(encoded))
            self.size_bytes += len(encoded)
            yield encoded


class _Chunks:
    """Chunks of a block, gathered and compressed one by one in two buffers that are used again."""

    def __init__(
        self, writer: LevelWriter, block: NDArray[Any], start_zyx: ZYX, see: SeeChunk, stored: StoredBytes
    ) -> None:
        self._edge, self._extent = writer.grid.chunk_shape, writer.level.shape_zyx
        self._block, self._start, self._see, self._stored = block, start_zyx, see, stored
        self._gathered = np.empty(self._edge, writer.dtype.newbyteorder("<"))
        self._encode = writer.codec.encoder(self._gathered.nbytes, writer.dtype.itemsize)

    def encoded(self, chunk: ZYX) -> Piece:
        """The chunk of this index, compressed; valid until the next one is asked for."""
        if chunk in self._stored:
            return self._stored[chunk]
        first = [i * edge for i, edge in zip(chunk, self._edge, strict=True)]
        inside = [min(edge, extent - f) for edge, extent, f in zip(self._edge, self._extent, first, strict=True)]
        voxels = self._block[tuple(slice(f - s, f - s + n) for f, s, n in zip(first, self._start, inside, strict=True))]
        if voxels.shape == self._edge:
            np.copyto(self._gathered, voxels)
            self._see(chunk, self._gathered)
        else:
            self._gathered.fill(0)
            self._gathered[tuple(slice(n) for n in inside)] = voxels
            self._see(chunk, np.ascontiguousarray(voxels))
        return self._encode(self._gathered)


def _with_checksum(index: bytes) -> bytes:
    from google_crc32c import value

    return index + struct.pack("<I", value(index))


def _zyx(values: tuple[int, ...]) -> ZYX:
    z, y, x = values
    return (z, y, x)


def _key(index: ZYX) -> str:
    return "/".join(map(str, index))
