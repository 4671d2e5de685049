"""A volume as the portal keeps it: OME-Zarr 0.4 with three levels in ångström, and the same voxels as MRC."""

import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from em_assets.blocks import VolumeDataset
from em_assets.blocks.resampling import checked_voxel_size
from em_assets.formats.volume import SourceLevel, SourceVolume
from em_assets.layouts.cryoet_mrc import mrc_dtype, write_mrc
from em_assets.model import ZYX, Content, FloatZYX
from em_assets.volumes.codec import codec_of
from em_assets.volumes.encoding import ignore_chunks
from em_assets.volumes.levels import Grid, Level, plan_tile
from em_assets.volumes.pyramid import Plan, write_tiles
from em_assets.volumes.room import check_room
from em_assets.volumes.sinks import FolderSink

CHUNK_VOXELS = 256
N_LEVELS = 3
TILE_BYTES = 256 << 20
CODEC = "blosc-zstd-1"
NM_PER_ANGSTROM = 0.1


@dataclass(frozen=True)
class Voxels:
    """What is written of a volume: as it is, or in cubes of another size."""

    volume: VolumeDataset
    voxel_nm: float
    is_resampled: bool

    @property
    def voxel_angstrom(self) -> float:
        """Edge of a voxel; the digits that the conversion made up are left out."""
        return float(f"{self.voxel_nm / NM_PER_ANGSTROM:.12g}")

    @property
    def cube_nm(self) -> FloatZYX:
        """The edge along z, y and x."""
        return checked_voxel_size(3 * (self.voxel_nm,))

    @property
    def shape_zyx(self) -> ZYX:
        """Voxels that are written."""
        return self.volume.shape_at(self.cube_nm) if self.is_resampled else self.volume.shape

    @property
    def content(self) -> Content:
        """What the voxels are."""
        return self.volume.content or "em"

    @property
    def mrc_dtype(self) -> np.dtype[Any]:
        """Type of the MRC's voxels; interpolation stays between the least and the greatest voxel."""
        return mrc_dtype(self.volume.dtype, self.volume.statistics)

    def read(self, start_zyx: ZYX, shape_zyx: ZYX) -> NDArray[Any]:
        """A box of what is written."""
        return self.volume.read(start_zyx, shape_zyx, voxel_size_zyx_nm=self.cube_nm if self.is_resampled else None)


def write_voxels(voxels: Voxels, zarr: Path, mrc: Path) -> list[ZYX]:
    """Write both; shapes of the Zarr's levels."""
    depth = (voxels.volume.chunk_shape or (1, 1, 1))[0]
    write_mrc(mrc, voxels.read, voxels.shape_zyx, voxels.mrc_dtype, voxels.voxel_angstrom, depth)
    return write_zarr(voxels, zarr)


def write_zarr(voxels: Voxels, folder: Path) -> list[ZYX]:
    """Write the OME-Zarr group; its metadata comes last."""
    levels, dtype = _levels(voxels.shape_zyx), voxels.volume.dtype
    chunk = _zyx([min(CHUNK_VOXELS, extent) for extent in voxels.shape_zyx])
    grid, codec = Grid(chunk, chunk), codec_of(CODEC)
    source = _source(voxels)
    check_room(folder.parent, source, levels, grid, codec)
    tile = plan_tile(levels, grid, dtype.itemsize, TILE_BYTES)
    plan = Plan("0.4", voxels.content, dtype, levels, grid, tile, TILE_BYTES, codec)
    write_tiles(source, plan, FolderSink(folder), ignore_chunks)
    for level in levels:
        _write_json(folder / level.path / ".zarray", _array(level, grid, dtype, codec.zarr_v2(dtype)))
    _write_json(folder / ".zgroup", {"zarr_format": 2})
    _write_json(folder / ".zattrs", _multiscales(voxels, levels, folder.name.removesuffix(".zarr")))
    return [level.shape_zyx for level in levels]


def _source(voxels: Voxels) -> SourceVolume:
    if not voxels.is_resampled and voxels.volume.level == 0:
        return voxels.volume.source
    level = SourceLevel(voxels.shape_zyx, voxels.cube_nm, partial(_read, voxels))
    return SourceVolume(voxels.volume.name, "resampled", voxels.volume.dtype, (level,), ())


def _read(voxels: Voxels, start_zyx: ZYX, shape_zyx: ZYX) -> NDArray[Any]:
    return voxels.read(start_zyx, shape_zyx)


def _levels(shape_zyx: ZYX) -> tuple[Level, ...]:
    """Three levels, each axis halved and rounded up; one voxel stays one."""
    levels = [Level("0", shape_zyx, (1, 1, 1), (1, 1, 1))]
    while len(levels) < N_LEVELS:
        before = levels[-1]
        step = _zyx([2 if extent > 1 else 1 for extent in before.shape_zyx])
        shape = _zyx([-(-extent // s) for extent, s in zip(before.shape_zyx, step, strict=True)])
        factor = _zyx([f * s for f, s in zip(before.factor_zyx, step, strict=True)])
        levels.append(Level(str(len(levels)), shape, factor, step))
    return tuple(levels)


def _multiscales(voxels: Voxels, levels: tuple[Level, ...], name: str) -> dict[str, Any]:
    datasets = [
        {
            "path": level.path,
            "coordinateTransformations": [
                {"type": "scale", "scale": [voxels.voxel_angstrom * 2**number for _ in "zyx"]}
            ],
        }
        for number, level in enumerate(levels)
    ]
    axes = [{"name": axis, "type": "space", "unit": "angstrom"} for axis in "zyx"]
    multiscale = {"version": "0.4", "name": name, "axes": axes, "datasets": datasets}
    if voxels.content == "labels":
        return {"multiscales": [multiscale], "image-label": {"version": "0.4"}}
    return {"multiscales": [multiscale]}


def _array(level: Level, grid: Grid, dtype: np.dtype[Any], compressor: Any) -> dict[str, Any]:
    return {
        "zarr_format": 2,
        "shape": list(level.shape_zyx),
        "chunks": list(grid.chunk_shape),
        "dtype": dtype.newbyteorder("<").str,
        "compressor": dict(compressor),
        "fill_value": 0,
        "filters": None,
        "order": "C",
        "dimension_separator": "/",
    }


def _write_json(path: Path, document: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def _zyx(values: list[int]) -> ZYX:
    z, y, x = values
    return (z, y, x)
