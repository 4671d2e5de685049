"""A source volume becomes a multiscale OME-Zarr group in one pass: read once, every level made while it is in memory.

A tile of a level is put together from the tiles of the level before::

    s2   ┌───────┐      asks for its (up to) eight tiles of s1, one after the other; each is halved into
         │ 1   2 │      its corner here, then written, then forgotten
         │ 3   4 │
    s1   └───────┘  each asks for its tiles of s0, which are read from the source, counted in the statistics

so one tile of each level is held at a time, no level is read back, and every shard is written once, whole, by one
writer. The root's metadata comes last: a group that has it has all its chunks.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from math import prod
from os import cpu_count
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from em_assets.errors import FormatError, StoreError, UnsupportedDataError
from em_assets.formats.volume import SourceVolume
from em_assets.model import ZYX, Content, FloatZYX, Frozen, PartialFloatZYX
from em_assets.settings import OMEZarrVersion
from em_assets.volumes import ngff
from em_assets.volumes.downsample import Halve, halve_into, halving
from em_assets.volumes.levels import (
    Grid,
    Level,
    checked_voxel_size,
    finer_tiles,
    plan_grid,
    plan_levels,
    plan_tile,
    tile_box,
    tiles_of,
)
from em_assets.volumes.statistics import Moments, Statistics, merged, moments

WRITER_FORMAT = 1
"""Rises when the same input would give other bytes; part of every generation's name."""

MEMORY_BUDGET_BYTES = 1 << 30
"""For the tiles that are held. tensorstore holds up to one more tile while it encodes."""

Progress = Callable[[int, int], None]
"""Told the voxels done and the voxels of the whole volume."""


class WrittenLevel(Frozen):
    """One level as it was written."""

    path: str
    shape_zyx: ZYX
    factor_zyx: ZYX


class WrittenVolume(Frozen):
    """What was written, and what its voxels amount to.

    `shard_shape` is None in 0.4, which has no shards. `offset_zyx_nm` counts voxels on an axis of unknown voxel size.
    """

    ome_zarr: OMEZarrVersion
    name: str
    dtype: str
    shape_zyx: ZYX
    voxel_size_zyx_nm: PartialFloatZYX
    offset_zyx_nm: FloatZYX
    content: Content
    levels: tuple[WrittenLevel, ...]
    chunk_shape: ZYX
    shard_shape: ZYX | None
    compressor: str
    statistics: Statistics

    @property
    def n_levels(self) -> int:
        """How many levels there are, the finest included."""
        return len(self.levels)


def write_pyramid(
    volume: SourceVolume,
    dest: Path,
    *,
    ome_zarr: OMEZarrVersion,
    content: Content,
    voxel_size_zyx_nm: PartialFloatZYX,
    name: str,
    attributes: Mapping[str, Any],
    progress: Progress | None = None,
    memory_budget_bytes: int = MEMORY_BUDGET_BYTES,
) -> WrittenVolume:
    """Write the finest level of `volume`, and all coarser ones made from it, as a group at `dest`.

    `dest` must be a staging folder: a writer that dies leaves it half full, without root metadata. `attributes` go
    under `em_assets` in the group. The tiles it holds keep to the budget whatever the volume's shape (a shard of each
    level is the least); the bytes written do not depend on it.

    Raises
    ------
    UsageError
        A voxel size that is zero, negative or not finite.
    FormatError
        The source ends early or gives other voxels than it declared.
    UnsupportedDataError
        The type of the voxels is none that OME-Zarr keeps.
    StoreError
        The folder cannot be written.
    """
    levels = plan_levels(volume.shape_zyx, checked_voxel_size(voxel_size_zyx_nm))
    grid = plan_grid(volume.shape_zyx)
    dtype = _kept_dtype(volume)
    offset = _offset_zyx_nm(volume, voxel_size_zyx_nm)
    with _writing(dest):
        arrays = _create_arrays(dest, ome_zarr, levels, dtype, grid)
    tile = plan_tile(levels, grid, dtype.itemsize, memory_budget_bytes)
    with ThreadPoolExecutor(cpu_count() or 1) as executor:
        statistics = _Cascade(volume, dest, halving(content), levels, tile, arrays, executor, progress).run()
    documents = ngff.root_documents(
        ome_zarr=ome_zarr,
        name=name,
        levels=levels,
        voxel_size_zyx_nm=voxel_size_zyx_nm,
        offset_zyx_nm=offset,
        content=content,
        dtype=dtype,
        attributes=attributes,
    )
    with _writing(dest):
        for file, document in documents.items():
            text = json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False)
            (dest / file).write_text(text + "\n", encoding="utf-8")
    return WrittenVolume(
        ome_zarr=ome_zarr,
        name=name,
        dtype=dtype.name,
        shape_zyx=volume.shape_zyx,
        voxel_size_zyx_nm=voxel_size_zyx_nm,
        offset_zyx_nm=offset,
        content=content,
        levels=tuple(
            WrittenLevel(path=level.path, shape_zyx=level.shape_zyx, factor_zyx=level.factor_zyx) for level in levels
        ),
        chunk_shape=grid.chunk_shape,
        shard_shape=grid.shard_shape if ome_zarr == "0.5" else None,
        compressor=ngff.COMPRESSOR,
        statistics=statistics,
    )


@dataclass
class _Cascade:
    """One pass over a volume: what is read, halved and written, and the statistics so far."""

    volume: SourceVolume
    dest: Path
    halve: Halve
    levels: tuple[Level, ...]
    tile: ZYX
    arrays: list[Any]
    executor: Executor
    progress: Progress | None
    seen: list[Moments] = field(default_factory=list)
    n_done: int = 0

    def run(self) -> Statistics:
        """Make the coarsest level's tiles, and with them everything below."""
        coarsest = len(self.levels) - 1
        for index in tiles_of(self.levels[-1], self.tile):
            self._make(coarsest, index, then=_nothing)
        return merged(self.seen).statistics()

    def _make(self, level: int, index: ZYX, then: Callable[[NDArray[Any]], None]) -> None:
        """Make one tile and write it; `then` uses it while tensorstore's threads encode."""
        start, shape = tile_box(self.levels[level], self.tile, index)
        block = self._read(start, shape) if level == 0 else self._halve(level, index, start, shape)
        box = tuple(slice(first, first + extent) for first, extent in zip(start, shape, strict=True))
        with _writing(self.dest):
            # The block is not touched again before the write is done, so tensorstore need not copy it first.
            pending = self.arrays[level][box].write(block, can_reference_source_data_indefinitely=True)
        try:
            then(block)
        finally:
            with _writing(self.dest):
                pending.result()

    def _halve(self, level: int, index: ZYX, start: ZYX, shape: ZYX) -> NDArray[Any]:
        here, finer = self.levels[level], self.levels[level - 1]
        block = np.empty(shape, self.volume.dtype)
        for child in finer_tiles(here, finer, self.tile, index):
            child_start, child_shape = tile_box(finer, self.tile, child)
            corner = tuple(
                slice(first // step - origin, -(-(first + extent) // step) - origin)
                for first, extent, step, origin in zip(child_start, child_shape, here.step_zyx, start, strict=True)
            )
            then = partial(
                halve_into,
                block[corner],
                step_zyx=here.step_zyx,
                halve=self.halve,
                executor=self.executor,
            )
            self._make(level - 1, child, then)
        return block

    def _read(self, start: ZYX, shape: ZYX) -> NDArray[Any]:
        block = np.ascontiguousarray(self.volume.read(start, shape))
        if block.shape != shape or block.dtype != self.volume.dtype:
            raise FormatError(
                f"{self.volume.name}: {self.volume.dtype} voxels of shape {shape} expected from {start} (z, y, x), "
                f"found {block.dtype} of shape {block.shape}: the source is not what its header says"
            )
        self.seen.append(moments(block, self.executor))
        self.n_done += block.size
        if self.progress:
            self.progress(self.n_done, prod(self.volume.shape_zyx))
        return block


def _nothing(_: NDArray[Any]) -> None:
    """The coarsest level is needed by no other."""


def _create_arrays(
    dest: Path, ome_zarr: OMEZarrVersion, levels: tuple[Level, ...], dtype: np.dtype[Any], grid: Grid
) -> list[Any]:
    import tensorstore as ts

    dest.mkdir(parents=True, exist_ok=True)
    # One fsync of the whole tree before it gets its name costs less than one for each file; nothing is read back.
    context = ts.Context({"cache_pool": {"total_bytes_limit": 0}, "file_io_sync": False})
    return [
        ts.open(
            {
                "driver": ngff.DRIVER[ome_zarr],
                "kvstore": {"driver": "file", "path": f"{dest.absolute() / level.path}/"},
                "metadata": ngff.array_metadata(ome_zarr, level.shape_zyx, dtype, grid),
                # A chunk of zeros is data too: an absent chunk must mean that something is missing.
                "store_data_equal_to_fill_value": True,
            },
            create=True,
            context=context,
        ).result()
        for level in levels
    ]


def _kept_dtype(volume: SourceVolume) -> np.dtype[Any]:
    if volume.dtype.kind in "iu" or volume.dtype.name in ("float16", "float32", "float64"):
        return volume.dtype
    raise UnsupportedDataError(
        f"{volume.name}: voxels are {volume.dtype}; whole numbers or float16, float32, float64 expected"
    )


def _offset_zyx_nm(volume: SourceVolume, voxel_size_zyx_nm: PartialFloatZYX) -> FloatZYX:
    """The source's offset in the voxels that are written: a crop at voxel 100 stays there under another voxel size."""
    offsets = volume.levels[0].offset_zyx_nm
    sizes = zip(offsets, volume.voxel_size_zyx_nm, voxel_size_zyx_nm, strict=True)
    z, y, x = (_rescaled(offset, old, new) for offset, old, new in sizes)
    return (z, y, x)


def _rescaled(offset: float, old: float | None, new: float | None) -> float:
    if old is None or old == new:
        return offset
    return offset / old * (1.0 if new is None else new)  # an axis without a unit counts voxels


@contextmanager
def _writing(dest: Path) -> Iterator[None]:
    """Name the folder in what goes wrong while writing: tensorstore raises ValueError for a full disk too."""
    try:
        yield
    except (OSError, ValueError) as error:
        raise StoreError(f"{dest}: cannot write the volume: {error}") from error
