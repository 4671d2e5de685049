"""Which levels a volume has, and how they are cut into chunks, shards and tiles. Arithmetic only."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from math import inf, isfinite, prod, sqrt

from em_assets.errors import UsageError
from em_assets.model import ZYX, FloatZYX, PartialFloatZYX

CHUNK_VOXELS = 64
"""Edge of a chunk: what a training block reads, and what neuroglancer and napari show at once."""

SHARD_CHUNKS: ZYX = (2, 8, 8)
"""Chunks in a shard: 32 MiB of uint8, so a 10 TB volume is 300,000 objects and not 40 million."""

MAX_SHARD_BYTES = 64 << 20
"""Wider numbers get fewer chunks a shard: one shard of each level is the least that is held in memory."""

COARSEST_VOXELS = 64
"""Halving goes on until the longest axis is no longer than this: the coarsest level is one chunk."""

NEAR_ISOTROPIC = sqrt(2)
"""An axis this much coarser than the finest one still counts as equal to it; beyond it, it waits.

Doublings change a ratio by two, so with the square root of two every pyramid ends within this ratio.
"""


@dataclass(frozen=True)
class Level:
    """One level of a pyramid: `factor_zyx` against the finest level, `step_zyx` (1 or 2) against the one before."""

    path: str
    shape_zyx: ZYX
    factor_zyx: ZYX
    step_zyx: ZYX


@dataclass(frozen=True)
class Grid:
    """Chunks and shards of a volume, the same for all its levels; a shard is a whole number of chunks."""

    chunk_shape: ZYX
    shard_shape: ZYX


def checked_voxel_size(voxel_size_zyx_nm: PartialFloatZYX) -> PartialFloatZYX:
    """The same voxel size, if it can be one.

    Raises
    ------
    UsageError
        An axis is zero, negative or not finite: no level could be placed in space.
    """
    for axis, value in zip("zyx", voxel_size_zyx_nm, strict=True):
        if value is not None and not (isfinite(value) and value > 0):
            raise UsageError(
                f"voxel size {tuple(voxel_size_zyx_nm)} nm (z, y, x): {axis} must be above zero; None where unknown"
            )
    return voxel_size_zyx_nm


def plan_levels(shape_zyx: ZYX, voxel_size_zyx_nm: PartialFloatZYX) -> tuple[Level, ...]:
    """Levels s0, s1, …, finest first; each halves the axes that are due, rounding odd sizes up.

    An axis is due when it has more than one voxel and its voxel is at most √2 coarser than the finest such axis, so
    50 x 8 x 8 nm goes 50 x 16 x 16, 50 x 32 x 32, 50 x 64 x 64, 100 x 128 x 128. An axis of unknown voxel size is
    taken to be as fine as the finest known one.
    """
    levels = [Level("s0", shape_zyx, (1, 1, 1), (1, 1, 1))]
    voxel = _assumed(checked_voxel_size(voxel_size_zyx_nm))
    while max(levels[-1].shape_zyx) > COARSEST_VOXELS:
        step = _due(levels[-1].shape_zyx, _times(voxel, levels[-1].factor_zyx))
        shape = tuple(-(-extent // s) for extent, s in zip(levels[-1].shape_zyx, step, strict=True))
        factor = tuple(f * s for f, s in zip(levels[-1].factor_zyx, step, strict=True))
        levels.append(Level(f"s{len(levels)}", _zyx(shape), _zyx(factor), step))
    return tuple(levels)


def plan_grid(shape_zyx: ZYX, itemsize: int = 1) -> Grid:
    """Chunks of 64³ in shards of 2 x 8 x 8 chunks (of 32 bits 2 x 4 x 8), both clipped where the volume is smaller.

    A chunk is no longer than the volume: 64 deep chunks of a single plane would decode 64 times what is there.
    """
    chunk = _zyx(tuple(min(CHUNK_VOXELS, extent) for extent in shape_zyx))
    counts = (
        min(most, -(-extent // c)) for most, extent, c in zip(_shard_chunks(itemsize), shape_zyx, chunk, strict=True)
    )
    return Grid(chunk, _zyx(tuple(c * n for c, n in zip(chunk, counts, strict=True))))


def plan_tile(levels: tuple[Level, ...], grid: Grid, itemsize: int, budget_bytes: int) -> ZYX:
    """Shape of what is read, averaged and written at once: one shard deep, as much of the plane as memory allows.

    One tile of every level is held at a time. Whole planes are best, since many files decode page by page; then bands
    of rows; then bands cut in columns; never less than a shard, which has one writer.
    """
    unit = grid.shard_shape
    most_rows, most_columns = (-(-levels[0].shape_zyx[axis] // unit[axis]) for axis in (1, 2))
    candidates = [(rows, most_columns) for rows in _halvings(most_rows)]
    candidates += [(1, columns) for columns in _halvings(most_columns)]
    tiles = [(unit[0], unit[1] * rows, unit[2] * columns) for rows, columns in candidates]
    fitting = (tile for tile in tiles if _held_voxels(levels, tile) * itemsize <= budget_bytes)
    return next(fitting, tiles[-1])


def tile_counts(level: Level, tile: ZYX) -> ZYX:
    """How many tiles a level has along each axis."""
    return _zyx(tuple(-(-extent // t) for extent, t in zip(level.shape_zyx, tile, strict=True)))


def tiles_of(level: Level, tile: ZYX) -> Iterator[ZYX]:
    """Indices of all tiles of a level, in the order of their voxels."""
    return (_zyx(index) for index in product(*map(range, tile_counts(level, tile))))


def tile_box(level: Level, tile: ZYX, index: ZYX) -> tuple[ZYX, ZYX]:
    """Start and shape of one tile, clipped at the level's end."""
    start = _zyx(tuple(i * t for i, t in zip(index, tile, strict=True)))
    ends = zip(start, tile, level.shape_zyx, strict=True)
    return start, _zyx(tuple(min(t, extent - s) for s, t, extent in ends))


def part_depth(level: Level, grid: Grid, source_depth: int = 1) -> int:
    """Planes of a tile that are held at once: those of one chunk, where the rest of the tile can follow them.

    It can where each part has tiles of its own in the level before; and in the source, unless it unpacks chunks of
    `source_depth` planes, which would be unpacked again for each part.
    """
    chunk, shard = grid.chunk_shape[0], grid.shard_shape[0]
    is_source = level.factor_zyx == (1, 1, 1)
    return chunk if level.step_zyx[0] == 2 or (is_source and chunk % source_depth == 0) else shard


def parts_of(start_zyx: ZYX, shape_zyx: ZYX, depth: int) -> Iterator[tuple[ZYX, ZYX]]:
    """Start and shape of each part of a box that is cut along z."""
    end = start_zyx[0] + shape_zyx[0]
    for z in range(start_zyx[0], end, depth):
        yield (z, *start_zyx[1:]), (min(depth, end - z), *shape_zyx[1:])


def finer_tiles(level: Level, finer: Level, tile: ZYX, index: ZYX) -> Iterator[ZYX]:
    """Indices of the tiles of the level before that one tile is made of, in the order of their voxels."""
    counts = tile_counts(finer, tile)
    ranges = (
        range(i * step, min((i + 1) * step, count))
        for i, step, count in zip(index, level.step_zyx, counts, strict=True)
    )
    return (_zyx(found) for found in product(*ranges))


def finer_tiles_in(level: Level, finer: Level, tile: ZYX, index: ZYX, first: int, depth: int) -> Iterator[ZYX]:
    """The same for a part of the tile: those that begin in its planes."""
    for child in finer_tiles(level, finer, tile, index):
        if first <= child[0] * tile[0] // level.step_zyx[0] < first + depth:
            yield child


def _shard_chunks(itemsize: int) -> ZYX:
    z, y, x = SHARD_CHUNKS
    while z * y * x * CHUNK_VOXELS**3 * itemsize > MAX_SHARD_BYTES:
        y, x = (y // 2, x) if y == x else (y, x // 2)
    return (z, y, x)


def _assumed(voxel_size_zyx_nm: PartialFloatZYX) -> FloatZYX:
    finest = min((value for value in voxel_size_zyx_nm if value is not None), default=1.0)
    z, y, x = (finest if value is None else value for value in voxel_size_zyx_nm)
    return (z, y, x)


def _due(shape_zyx: ZYX, voxel_zyx_nm: FloatZYX) -> ZYX:
    finest = min((v for v, extent in zip(voxel_zyx_nm, shape_zyx, strict=True) if extent > 1), default=inf)
    limit = finest * NEAR_ISOTROPIC * (1 + 1e-9)
    return _zyx(tuple(2 if e > 1 and v <= limit else 1 for v, e in zip(voxel_zyx_nm, shape_zyx, strict=True)))


def _times(voxel_zyx_nm: FloatZYX, factor_zyx: ZYX) -> FloatZYX:
    z, y, x = (v * f for v, f in zip(voxel_zyx_nm, factor_zyx, strict=True))
    return (z, y, x)


def _held_voxels(levels: tuple[Level, ...], tile: ZYX) -> int:
    return sum(prod(tile_box(level, tile, (0, 0, 0))[1]) for level in levels)


def _halvings(count: int) -> list[int]:
    found = [count]
    while found[-1] > 1:
        found.append(-(-found[-1] // 2))
    return found


def _zyx(values: tuple[int, ...]) -> ZYX:
    z, y, x = values
    return (z, y, x)
