"""OME-Zarr metadata of a volume: documents made from values, nothing read or written.

0.5 is zarr v3 with everything under `attributes.ome`; 0.4 is zarr v2 with the same at the root of `.zattrs`. Beside it
stands `em_assets`, which says where the voxels come from, so that nobody takes made-up pixels for a brain.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from em_assets.model import ZYX, Content, FloatZYX, PartialFloatZYX
from em_assets.settings import OMEZarrVersion
from em_assets.volumes.codec import Codec
from em_assets.volumes.levels import Grid, Level

AXES = ("z", "y", "x")
ATTRIBUTE = "em_assets"
ROOT_FILES: Mapping[OMEZarrVersion, tuple[str, ...]] = {"0.5": ("zarr.json",), "0.4": (".zgroup", ".zattrs")}
ARRAY_FILE: Mapping[OMEZarrVersion, str] = {"0.5": "zarr.json", "0.4": ".zarray"}
DRIVER: Mapping[OMEZarrVersion, str] = {"0.5": "zarr3", "0.4": "zarr"}
"""The name of each version's zarr format in tensorstore."""

_DOWNSAMPLING = {
    "mean": "mean of 2 voxels along each halved axis; whole numbers: halves rounded up",
    "majority": "most frequent value of 2 voxels along each halved axis; of equally frequent ones the smallest",
}


def root_documents(
    *,
    ome_zarr: OMEZarrVersion,
    name: str,
    levels: Sequence[Level],
    voxel_size_zyx_nm: PartialFloatZYX,
    offset_zyx_nm: FloatZYX,
    content: Content,
    dtype: np.dtype[Any],
    attributes: Mapping[str, Any],
) -> dict[str, dict[str, Any]]:
    """File name → JSON document of a multiscale group's root."""
    multiscale = multiscales(name, levels, voxel_size_zyx_nm, offset_zyx_nm, content)
    ours = {**attributes, "content": content, "voxel_size_zyx_nm": list(voxel_size_zyx_nm)}
    # The specification's labels are whole numbers; a mask kept as float is an image to its readers.
    is_label_image = content == "labels" and dtype.kind in "iu"
    if ome_zarr == "0.5":
        ome: dict[str, Any] = {"version": "0.5", "multiscales": [multiscale]}
        if is_label_image:
            ome["image-label"] = {}
        return {"zarr.json": {"zarr_format": 3, "node_type": "group", "attributes": {"ome": ome, ATTRIBUTE: ours}}}
    image: dict[str, Any] = {"multiscales": [{"version": "0.4", **multiscale}]}
    if is_label_image:
        image["image-label"] = {"version": "0.4"}
    return {".zgroup": {"zarr_format": 2}, ".zattrs": {**image, ATTRIBUTE: ours}}


def multiscales(
    name: str,
    levels: Sequence[Level],
    voxel_size_zyx_nm: PartialFloatZYX,
    offset_zyx_nm: FloatZYX,
    content: Content,
) -> dict[str, Any]:
    """The one entry of `multiscales`: axes z, y, x in nanometres, one dataset a level.

    An axis whose voxel size is unknown has no unit, and scale 1 a voxel of the finest level.
    """
    method = "majority" if content == "labels" else "mean"
    return {
        "name": name,
        "axes": [_axis(axis, size) for axis, size in zip(AXES, voxel_size_zyx_nm, strict=True)],
        "datasets": [_dataset(level, voxel_size_zyx_nm, offset_zyx_nm) for level in levels],
        "type": method,
        "metadata": {"description": _DOWNSAMPLING[method], "method": "em_assets.volumes.downsample"},
    }


def array_metadata(
    ome_zarr: OMEZarrVersion, shape_zyx: ZYX, dtype: np.dtype[Any], grid: Grid, codec: Codec
) -> dict[str, Any]:
    """The metadata document of one level's array."""
    if ome_zarr == "0.4":
        return {
            "zarr_format": 2,
            "shape": list(shape_zyx),
            "chunks": list(grid.chunk_shape),
            "dtype": dtype.newbyteorder("<").str,
            "compressor": dict(codec.zarr_v2(dtype)),
            "fill_value": 0,
            "filters": None,
            "order": "C",
            "dimension_separator": "/",
        }
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": list(shape_zyx),
        "data_type": dtype.name,
        "fill_value": 0,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(grid.shard_shape)}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "codecs": [_sharding(grid, dict(codec.zarr_v3(dtype)))],
        "dimension_names": list(AXES),
        "attributes": {},
    }


def _axis(name: str, voxel_size_nm: float | None) -> dict[str, str]:
    unit = {} if voxel_size_nm is None else {"unit": "nanometer"}
    return {"name": name, "type": "space", **unit}


def _dataset(level: Level, voxel_size_zyx_nm: PartialFloatZYX, offset_zyx_nm: FloatZYX) -> dict[str, Any]:
    voxel = [1.0 if size is None else float(size) for size in voxel_size_zyx_nm]
    scale = [size * factor for size, factor in zip(voxel, level.factor_zyx, strict=True)]
    # A voxel of f finer ones lies between the first and the last of them: (f - 1) / 2 of them along.
    steps = zip(offset_zyx_nm, level.factor_zyx, voxel, strict=True)
    translation = [offset + (factor - 1) / 2 * size for offset, factor, size in steps]
    transformations = [{"type": "scale", "scale": scale}, {"type": "translation", "translation": translation}]
    return {"path": level.path, "coordinateTransformations": transformations}


def _sharding(grid: Grid, compressor: dict[str, Any]) -> dict[str, Any]:
    little_endian = {"name": "bytes", "configuration": {"endian": "little"}}
    return {
        "name": "sharding_indexed",
        "configuration": {
            "chunk_shape": list(grid.chunk_shape),
            "codecs": [little_endian, compressor],
            "index_codecs": [little_endian, {"name": "crc32c"}],
            "index_location": "end",
        },
    }
