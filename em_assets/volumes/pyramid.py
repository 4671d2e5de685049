"""A source volume becomes a multiscale OME-Zarr group in one pass: read once, every level made while it is in memory.

The root's metadata comes last: a group that has it has all its chunks.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from math import ceil
from os import cpu_count
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, SkipValidation

from em_assets.errors import UnsupportedDataError
from em_assets.formats.trees import is_url
from em_assets.formats.volume import SourceVolume
from em_assets.model import ZYX, Content, FloatZYX, Frozen, PartialFloatZYX
from em_assets.settings import CODEC, MEMORY_BUDGET_BYTES, OMEZarrVersion
from em_assets.volumes import ngff
from em_assets.volumes.block_index import BlockIndex
from em_assets.volumes.cascade import Cascade, Progress, writing_to
from em_assets.volumes.codec import DEFAULT_CODEC, Codec, codec_of
from em_assets.volumes.downsample import halving
from em_assets.volumes.encoding import LevelWriter, SeeChunks
from em_assets.volumes.folders import Folder
from em_assets.volumes.ledger import Entries, Ledger
from em_assets.volumes.levels import (
    Grid,
    Level,
    checked_voxel_size,
    part_depth,
    plan_grid,
    plan_levels,
    plan_tile,
    tiles_of,
)
from em_assets.volumes.new_files import spread_folders
from em_assets.volumes.room import check_room
from em_assets.volumes.sinks import FolderSink, Sink, put, sink_of
from em_assets.volumes.statistics import Statistics, moments_of
from em_assets.volumes.unchanged import unchanged
from em_assets.volumes.verbatim import is_kept_verbatim
from em_assets.volumes.writing_behind import let_go_of_spare

WRITER_FORMAT = 3
"""Rises when the same input would give other bytes; part of every generation's name."""

TILES_OF_BUDGET = 3 / 8
"""For the tiles that are made; as much again for those that are still being written. The rest is for the interpreter
and its libraries, for what a source decodes, and for chunks that are kept as they are stored.
"""

BAND_BYTES = 256 << 20
"""For the same where any rows can be read alone: with more 805 MB took 1.3 to 2.2 times as long, since the system had
to find it."""

WAITING_WRITERS_A_CORE = 1.5
"""Threads that compress where each waits for what it puts, or syncs; more gained nothing."""

UseTile = Callable[[ZYX, NDArray[Any]], None]
"""Told the index of a tile, and the voxels of its parts, one after the other along z; they are only to be read."""


@dataclass(frozen=True)
class Plan:
    """How the levels of a volume are cut and written: values only, so that another machine can be told.

    Attributes
    ----------
    levels
        Finest first; a part of a volume's levels is a plan too.
    tile
        Shape of what is made at once: of each level one tile, and one that is still being written.
    tile_bytes
        What the tiles of all levels may take together.
    codec
        Compresses the chunks.
    """

    ome_zarr: OMEZarrVersion
    content: Content
    dtype: np.dtype[Any]
    levels: tuple[Level, ...]
    grid: Grid
    tile: ZYX
    tile_bytes: int
    codec: Codec = DEFAULT_CODEC


WriteLevels = Callable[[SourceVolume, Plan, Sink, BlockIndex, Progress | None], Entries]
"""Writes all levels of a volume to a sink and fills its index; the files that were written."""


class WrittenLevel(Frozen):
    """One level as it was written."""

    path: str
    shape_zyx: ZYX
    factor_zyx: ZYX


class VolumeFacts(Frozen):
    """What was written, and what its voxels amount to, as a commit says it.

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


class WrittenVolume(VolumeFacts):
    """The same with what is kept beside it: the digest of every file, and the statistics of every chunk."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    ledger: SkipValidation[Ledger]
    block_index: SkipValidation[BlockIndex]


def in_this_process(
    volume: SourceVolume,
    plan: Plan,
    sink: Sink,
    index: BlockIndex,
    progress: Progress | None = None,
    *,
    n_threads: int | None = None,
) -> Entries:
    """Write all levels with as many threads as suit the machine (or are given); the files that were written."""
    return write_tiles(volume, plan, sink, partial(count_chunks, index), progress, n_threads=n_threads)


def write_tiles(
    volume: SourceVolume,
    plan: Plan,
    sink: Sink,
    see: SeeChunks,
    progress: Progress | None = None,
    *,
    tiles: Iterable[ZYX] | None = None,
    use: UseTile | None = None,
    n_threads: int | None = None,
) -> Entries:
    """Write tiles of the coarsest level (all, or those of these indices) and all that is below them.

    `volume` has the voxels of the plan's finest level, `see` is told each of its chunks. `use` is told the tiles of the
    coarsest level. The files that were written come back.
    """
    coarsest = len(plan.levels) - 1
    writers = [LevelWriter(sink, plan.ome_zarr, level, plan.grid, plan.dtype, plan.codec) for level in plan.levels]
    n_writers, n_readers = (n_threads, n_threads) if n_threads else (_n_writers(sink), cpu_count() or 1)
    # Readers of their own: a tile is read while the one before is written, and not behind it.
    with ThreadPoolExecutor(n_writers) as executor, ThreadPoolExecutor(n_readers) as readers:
        halve, is_verbatim = halving(plan.content), is_kept_verbatim(volume, plan.grid, plan.codec)
        depths = [part_depth(level, plan.grid, _unpacked_depth(volume)) for level in plan.levels]
        cascade = Cascade(
            volume, halve, plan.levels, plan.tile, depths, writers, see, executor, readers, is_verbatim, progress
        )
        try:
            for tile in tiles_of(plan.levels[-1], plan.tile) if tiles is None else tiles:
                cascade.make(coarsest, tile, then=partial(_used, use, tile) if use else _nothing)
            return cascade.finish()
        finally:
            executor.shutdown(cancel_futures=True)
            cascade.drop()
            let_go_of_spare()


def write_pyramid(
    volume: SourceVolume,
    dest: Folder,
    *,
    ome_zarr: OMEZarrVersion,
    content: Content,
    voxel_size_zyx_nm: PartialFloatZYX,
    name: str,
    attributes: Mapping[str, Any],
    progress: Progress | None = None,
    memory_budget_bytes: int = MEMORY_BUDGET_BYTES,
    codec: str = CODEC,
    where: WriteLevels = in_this_process,
) -> WrittenVolume:
    """Write the finest level of `volume`, and all coarser ones made from it, as a group at `dest`.

    Nobody may read `dest` yet: a writer that dies leaves it half full, without root metadata. `attributes` go
    under `em_assets` in the group. Private memory keeps to the budget whatever the volume's shape (two shards of each
    level are the least); the bytes written do not depend on it, nor on `where` the levels are written: here, or by
    `cluster.on_a_cluster`.

    Raises
    ------
    UsageError
        A voxel size that is zero, negative or not finite.
    FormatError
        The source ends early, gives other voxels than it declared, or is written to meanwhile.
    UnsupportedDataError
        The type of the voxels is none that OME-Zarr keeps.
    StoreError
        The folder cannot be written, or its disk has no room for the volume.
    """
    levels = plan_levels(volume.shape_zyx, checked_voxel_size(voxel_size_zyx_nm))
    dtype = _kept_dtype(volume)
    grid = plan_grid(volume.shape_zyx, dtype.itemsize)
    offset = _offset_zyx_nm(volume, voxel_size_zyx_nm)
    tile_bytes = int(memory_budget_bytes * TILES_OF_BUDGET)
    tile_bytes = min(tile_bytes, BAND_BYTES) if _is_read_by_rows(volume) else tile_bytes
    tile = plan_tile(levels, grid, dtype.itemsize, tile_bytes)
    plan = Plan(ome_zarr, content, dtype, levels, grid, tile, tile_bytes, codec_of(codec))
    sink = sink_of(dest)
    check_room(dest, volume, levels, grid, plan.codec)
    if ome_zarr == "0.4" and isinstance(dest, Path):
        with writing_to(dest):
            for level in levels:
                spread_folders(dest / level.path)
    index = BlockIndex.empty(_chunk_counts(volume.shape_zyx, grid), dtype)
    with unchanged(volume.files):
        entries = where(volume, plan, sink, index, progress)
    documents = {
        f"{level.path}/{ngff.ARRAY_FILE[ome_zarr]}": ngff.array_metadata(
            ome_zarr, level.shape_zyx, dtype, grid, plan.codec
        )
        for level in levels
    } | ngff.root_documents(
        ome_zarr=ome_zarr,
        name=name,
        levels=levels,
        voxel_size_zyx_nm=voxel_size_zyx_nm,
        offset_zyx_nm=offset,
        content=content,
        dtype=dtype,
        attributes=attributes,
    )
    with writing_to(sink):
        entries += [put(sink, file, [_document(document)]) for file, document in documents.items()]
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
        compressor=str(plan.codec),
        statistics=index.statistics(),
        ledger=Ledger.of(entries),
        block_index=index,
    )


def count_chunks(index: BlockIndex, first: ZYX, voxels: NDArray[Any]) -> None:
    """Put the statistics of chunks that follow each other along x into an index."""
    index.put_row(first, moments_of(voxels))


def _n_writers(sink: Sink) -> int:
    """One a core where others write; a bucket, and a disk that machines share, are waited for."""
    return ceil((1 if isinstance(sink, FolderSink) else WAITING_WRITERS_A_CORE) * (cpu_count() or 1))


def _nothing(_: ZYX, __: NDArray[Any]) -> None:
    """The coarsest level is needed by no other."""


def _used(use: UseTile, tile: ZYX, _: ZYX, block: NDArray[Any]) -> None:
    use(tile, block)


def _unpacked_depth(volume: SourceVolume) -> int:
    chunk = volume.levels[0].chunk_shape_zyx
    return chunk[0] if chunk else 1


def _document(document: Mapping[str, Any]) -> bytes:
    return (json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()


def _chunk_counts(shape_zyx: ZYX, grid: Grid) -> ZYX:
    z, y, x = (-(-extent // edge) for extent, edge in zip(shape_zyx, grid.chunk_shape, strict=True))
    return (z, y, x)


def _kept_dtype(volume: SourceVolume) -> np.dtype[Any]:
    if volume.dtype.kind in "iu" or volume.dtype.name in ("float16", "float32", "float64"):
        return volume.dtype
    raise UnsupportedDataError(
        f"{volume.name}: voxels are {volume.dtype}; whole numbers or float16, float32, float64 expected"
    )


def _is_read_by_rows(volume: SourceVolume) -> bool:
    """Whether a band of rows costs its share of the plane.

    What is compressed or tiled is often decoded as a whole page, and behind a URL a short read costs as a long one.
    """
    chunk = volume.levels[0].chunk_shape_zyx
    is_plain = volume.compressor is None and (chunk is None or chunk[2] >= volume.shape_zyx[2])
    return is_plain and not any(is_url(file) for file in volume.files)


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
