"""One file, folder or URL of any known format → a multiscale group, without Dagster, store or registry."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from math import isclose
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from em_assets.errors import StoreError, UsageError, shown_url
from em_assets.formats.slices import hole_in_numbering
from em_assets.formats.trees import is_url
from em_assets.formats.volume import SourceVolume
from em_assets.model import Content, FloatZYX, PartialFloatZYX
from em_assets.settings import CODEC, MEMORY_BUDGET_BYTES, OMEZarrVersion, absolute
from em_assets.volumes.cascade import Progress
from em_assets.volumes.choice import by_name, choose
from em_assets.volumes.pyramid import WriteLevels, WrittenVolume, in_this_process, write_pyramid
from em_assets.volumes.quality import picture_fraction, why_blank, why_near_blank
from em_assets.volumes.staging import publish, staging_folder, sweep

TOLERANCE = 1e-6
"""Voxel sizes closer than this, relatively, are the same number written twice."""


@dataclass(frozen=True)
class Ingested:
    """A finished group, what was written, and what its maker should know."""

    path: Path
    volume: str
    written: WrittenVolume
    warnings: tuple[str, ...]


def ingest(
    source: str | Path,
    dest: Path,
    *,
    ome_zarr: OMEZarrVersion = "0.5",
    voxel_size_zyx_nm: FloatZYX | None = None,
    content: Content | None = None,
    volume: str | None = None,
    progress: Progress | None = None,
    dask: str | None = None,
    codec: str = CODEC,
    memory_budget_bytes: int = MEMORY_BUDGET_BYTES,
) -> Ingested:
    """Write `source` as a multiscale OME-Zarr group at `dest`, which appears when it is whole.

    A voxel size that is given wins over the file's own; where the two differ the file's is kept in the group's
    `em_assets` attribute. An unknown voxel size is no obstacle: its axes have no unit, and a warning says so. With
    `dask`, the address of a scheduler, its workers write; they need `source` and `dest` under the same names.

    Raises
    ------
    UsageError
        `dest` exists, or the voxel size is none.
    VolumeChoiceError
        The source holds several volumes and none is chosen, or none has that name.
    FormatError, SourceError
        The source cannot be read.
    StoreError
        The disk does not take the group.
    """
    dest = absolute(dest)
    _refuse_existing(dest)
    chosen = _chosen(source, volume)
    size = voxel_size_zyx_nm or chosen.voxel_size_zyx_nm
    with _dest_errors(dest), _new_beside(dest) as staging:
        written = write_pyramid(
            chosen,
            staging,
            ome_zarr=ome_zarr,
            content=content or chosen.content or "em",
            voxel_size_zyx_nm=size,
            name=chosen.name,
            attributes=_attributes(chosen, size),
            progress=progress,
            where=_where(dask, source, volume),
            codec=codec,
            memory_budget_bytes=memory_budget_bytes,
        )
        if not publish(staging, dest):
            _refuse_existing(dest)
    said = (*_warnings(chosen, size, content), *_blankness(written))
    return Ingested(dest, chosen.name, written, said)


def _chosen(source: str | Path, volume: str | None) -> SourceVolume:
    from em_assets.formats import open_path

    return choose(by_name(open_path(source)), volume, str(source))


def _where(dask: str | None, source: str | Path, volume: str | None) -> WriteLevels:
    if dask is None:
        return in_this_process
    from em_assets.volumes.cluster import on_a_cluster

    place = source if is_url(str(source)) else absolute(Path(source))  # a worker has another working directory
    return on_a_cluster(dask, partial(_chosen, place, volume))


@contextmanager
def _new_beside(dest: Path) -> Iterator[Path]:
    dest.parent.mkdir(parents=True, exist_ok=True)
    sweep(dest.parent, dest.name)
    with staging_folder(dest.parent, dest.name) as staging:
        yield staging


@contextmanager
def _dest_errors(dest: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreError(f"{dest}: cannot be written ({error.strerror}); name another place") from error


def _attributes(source: SourceVolume, size: PartialFloatZYX) -> dict[str, Any]:
    files = sorted(PurePosixPath(shown_url(file).rstrip("/")).name for file in source.files)
    attributes = {"volume": source.name, "source_format": source.format, "source_files": files}
    if _contradicts(size, source.voxel_size_zyx_nm):
        return {**attributes, "source_voxel_size_zyx_nm": list(source.voxel_size_zyx_nm)}
    return attributes


def _warnings(source: SourceVolume, size: PartialFloatZYX, content: Content | None) -> Iterator[str]:
    unknown = [axis for axis, value in zip("zyx", size, strict=True) if value is None]
    if unknown:
        yield (
            f"{source.name}: the voxel size along {', '.join(unknown)} is unknown: the volume says so; "
            "give it with `--voxel-size-nm Z,Y,X` where you know it"
        )
    if _contradicts(size, source.voxel_size_zyx_nm):
        yield (
            f"{source.name}: written with the given voxel size {tuple(size)} nm (z, y, x); the file says "
            f"{tuple(source.voxel_size_zyx_nm)}, kept as `source_voxel_size_zyx_nm`"
        )
    hole = hole_in_numbering(source.files)
    if hole:
        yield f"{source.name}: {hole}"
    if content is None and source.content is None and source.dtype.kind in "iu":
        yield f"{source.name}: content not said: halved by mean as EM; `--content labels` for labels"


def _blankness(written: WrittenVolume) -> Iterator[str]:
    index, dtype = written.block_index, np.dtype(written.dtype)
    shown = picture_fraction(index.n_voxels, index.n_zero, index.min, index.max)
    said = why_blank(written.statistics) or why_near_blank(shown, written.statistics, dtype, written.content)
    if said:
        yield f"{said}: is this the box, or the file, that you meant?"


def _contradicts(size: PartialFloatZYX, other: PartialFloatZYX) -> bool:
    known = [(a, b) for a, b in zip(size, other, strict=True) if a is not None and b is not None]
    return any(not isclose(a, b, rel_tol=TOLERANCE) for a, b in known)


def _refuse_existing(dest: Path) -> None:
    if os.path.lexists(dest):
        raise UsageError(f"{dest}: exists already; name another place, or remove it first")
