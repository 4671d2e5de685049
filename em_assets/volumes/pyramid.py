"""A source volume becomes a multiscale OME-Zarr group in one pass: read once, every level made while it is in memory.

A tile of a level is put together from the tiles of the level before::

    s2   ┌───────┐      asks for its (up to) eight tiles of s1, one after the other; each is halved into
         │ 1   2 │      its corner here, then written, then forgotten
         │ 3   4 │
    s1   └───────┘  each asks for its tiles of s0, which are read from the source, chunk by chunk counted

so of each level one tile is made while at most one more is being written, no level is read back, and every shard is
written once, whole, by one thread. The root's metadata comes last: a group that has it has all its chunks.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from math import prod
from os import cpu_count
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, SkipValidation

from em_assets.errors import FormatError, StoreError, UnsupportedDataError
from em_assets.formats.trees import is_url
from em_assets.formats.volume import SourceVolume
from em_assets.model import ZYX, Content, FloatZYX, Frozen, PartialFloatZYX
from em_assets.settings import OMEZarrVersion
from em_assets.volumes import ngff
from em_assets.volumes.block_index import BlockIndex
from em_assets.volumes.downsample import Halve, halve_into, halving
from em_assets.volumes.encoding import LevelWriter, SeeChunk, ignore_chunk
from em_assets.volumes.ledger import Entry, Ledger, file_entry
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
from em_assets.volumes.statistics import Statistics, moments

WRITER_FORMAT = 2
"""Rises when the same input would give other bytes; part of every generation's name."""

MEMORY_BUDGET_BYTES = 2 << 30
"""For the tiles that are held: of each level one that is made and one that is still being written."""

BAND_BYTES = 256 << 20
"""For the same where any rows can be read alone: 805 MB took 1.0 s instead of 1.3 to 2.2, the rest being memory that
the system had to find."""

Progress = Callable[[int, int], None]
"""Told the voxels done and the voxels of the whole volume."""


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
    tile_bytes = min(memory_budget_bytes // 2, BAND_BYTES) if _is_read_by_rows(volume) else memory_budget_bytes // 2
    tile = plan_tile(levels, grid, dtype.itemsize, tile_bytes)
    writers = [LevelWriter(dest, ome_zarr, level, grid, dtype) for level in levels]
    index = BlockIndex.empty(_chunk_counts(volume.shape_zyx, grid), dtype)
    with ThreadPoolExecutor(cpu_count() or 1) as executor:
        entries = _Cascade(volume, halving(content), levels, tile, writers, index, executor, progress).run()
    documents = {
        f"{level.path}/{ngff.ARRAY_FILE[ome_zarr]}": ngff.array_metadata(ome_zarr, level.shape_zyx, dtype, grid)
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
    with _writing(dest):
        entries += [_write_document(dest, file, document) for file, document in documents.items()]
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
        statistics=index.statistics(),
        ledger=Ledger.of(entries),
        block_index=index,
    )


@dataclass
class _Cascade:
    """One pass over a volume: what is read, halved and written, and the statistics so far."""

    volume: SourceVolume
    halve: Halve
    levels: tuple[Level, ...]
    tile: ZYX
    writers: list[LevelWriter]
    index: BlockIndex
    executor: Executor
    progress: Progress | None
    pending: dict[int, list[Future[list[Entry]]]] = field(default_factory=dict)
    entries: list[Entry] = field(default_factory=list)
    n_done: int = 0

    def run(self) -> list[Entry]:
        """Make the coarsest level's tiles, and with them everything below; the files that were written."""
        coarsest = len(self.levels) - 1
        for index in tiles_of(self.levels[-1], self.tile):
            self._make(coarsest, index, then=_nothing)
        for level in range(len(self.levels)):
            self._finish(level)
        return self.entries

    def _make(self, level: int, index: ZYX, then: Callable[[NDArray[Any]], None]) -> None:
        """Make one tile; `then` uses it before it is written, so that the next one is made meanwhile."""
        start, shape = tile_box(self.levels[level], self.tile, index)
        block = self._read(start, shape) if level == 0 else self._halve(level, index, start, shape)
        then(block)
        self._finish(level)
        writer, see = self.writers[level], self._count if level == 0 else ignore_chunk
        self.pending[level] = [
            self.executor.submit(_written, writer, block, start, region, see) for region in writer.regions(start, shape)
        ]

    def _finish(self, level: int) -> None:
        """Wait for the level's tile before: no more than one is being written while another is made."""
        for region in self.pending.pop(level, ()):
            self.entries += region.result()

    def _count(self, chunk: ZYX, voxels: NDArray[Any]) -> None:
        self.index.put(chunk, moments(voxels))

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
        self.n_done += block.size
        if self.progress:
            self.progress(self.n_done, prod(self.volume.shape_zyx))
        return block


def _nothing(_: NDArray[Any]) -> None:
    """The coarsest level is needed by no other."""


def _written(writer: LevelWriter, block: NDArray[Any], start: ZYX, region: ZYX, see: SeeChunk) -> list[Entry]:
    with _writing(writer.group):
        return writer.write(block, start, region, see)


def _write_document(dest: Path, name: str, document: Mapping[str, Any]) -> Entry:
    path = dest / name
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")
    return file_entry(dest, name)


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


@contextmanager
def _writing(dest: Path) -> Iterator[None]:
    """Name the folder in what goes wrong while writing."""
    try:
        yield
    except OSError as error:
        raise StoreError(f"{dest}: cannot write the volume: {error}") from error
