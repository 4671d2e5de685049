"""Whether a disk has room for a volume, asked before anything is written."""

import shutil
from collections.abc import Iterator
from itertools import product
from math import prod
from pathlib import Path

import numpy as np

from em_assets.errors import StoreError
from em_assets.formats.volume import SourceVolume
from em_assets.model import ZYX
from em_assets.volumes.codec import Codec
from em_assets.volumes.folders import Folder
from em_assets.volumes.levels import Grid, Level

SAMPLES_AN_AXIS = 3
"""So 27 chunks say how well a volume packs, where the disk does not hold it unpacked."""

CHUNK_OVERHEAD_BYTES = 32
"""Of a chunk that does not pack: its entry in the shard's index, and the frame around it."""


def check_room(dest: Folder, volume: SourceVolume, levels: tuple[Level, ...], grid: Grid, codec: Codec) -> None:
    """Refuse to write a volume for which the disk has no room. A bucket is taken to have it.

    Where the disk would hold the levels uncompressed nothing more is asked; otherwise some chunks are read and
    compressed, and the rest is taken to be like these.

    Raises
    ------
    StoreError
        Naming the place, the bytes that are needed and those that are free.
    """
    if not isinstance(dest, Path):
        return
    free, most = _free_bytes(dest), _most_bytes(levels, grid, volume.dtype.itemsize)
    if most <= free:
        return
    share, n_chunks = _packed_share(volume, grid, codec)
    needed = int(most * share)
    if needed > free:
        raise StoreError(
            f"{dest}: no room for {volume.name}: about {needed:,} bytes needed (as {n_chunks} of its chunks pack), "
            f"{free:,} free: make room or name another place; nothing was written"
        )


def _free_bytes(dest: Path) -> int:
    return shutil.disk_usage(next(place for place in (dest, *dest.parents) if place.exists())).free


def _most_bytes(levels: tuple[Level, ...], grid: Grid, itemsize: int) -> int:
    """Bytes of all levels if nothing packs; a chunk at a level's end is stored whole, its rest zeros, which pack."""
    chunks = (_chunk_counts(level.shape_zyx, grid) for level in levels)
    voxels = sum(prod(level.shape_zyx) for level in levels)
    return voxels * itemsize + sum(map(prod, chunks)) * CHUNK_OVERHEAD_BYTES


def _packed_share(volume: SourceVolume, grid: Grid, codec: Codec) -> tuple[float, int]:
    """Bytes of some chunks compressed, as a share of their bytes; and how many chunks these are."""
    encode = codec.encoder(prod(grid.chunk_shape) * volume.dtype.itemsize, volume.dtype.itemsize)
    raw = packed = n_chunks = 0
    for start, shape in _samples(volume.shape_zyx, grid):
        voxels = np.ascontiguousarray(volume.read(start, shape))
        raw += voxels.nbytes
        packed += len(encode(voxels))
        n_chunks += 1
    return packed / raw, n_chunks


def _samples(shape_zyx: ZYX, grid: Grid) -> Iterator[tuple[ZYX, ZYX]]:
    """Boxes of chunks that are spread evenly over the volume."""
    counts = _chunk_counts(shape_zyx, grid)
    picked = (sorted({(2 * i + 1) * n // (2 * SAMPLES_AN_AXIS) for i in range(SAMPLES_AN_AXIS)}) for n in counts)
    for index in product(*picked):
        z, y, x = (i * edge for i, edge in zip(index, grid.chunk_shape, strict=True))
        boxes = zip((z, y, x), grid.chunk_shape, shape_zyx, strict=True)
        depth, height, width = (min(edge, extent - start) for start, edge, extent in boxes)
        yield (z, y, x), (depth, height, width)


def _chunk_counts(shape_zyx: ZYX, grid: Grid) -> ZYX:
    z, y, x = (-(-extent // edge) for extent, edge in zip(shape_zyx, grid.chunk_shape, strict=True))
    return (z, y, x)
