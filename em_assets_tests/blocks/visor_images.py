"""VISoR's 5-D images, as its two schemas have them: one volume a stack and channel, the wanted one behind others."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from em_assets.model import FloatZYX

CHUNKS = (1, 1, 4, 16, 32)


def write_2024(folder: Path, voxels: NDArray[Any], voxel_size_zyx_nm: FloatZYX) -> Path:
    """Schema 2024.11.0 (zarr v2; t, c, z, y, x): `voxels` are `slice_1_stack_2.488nm_10X`."""
    multiscale = {
        "axes": [{"name": "t", "type": "visor"}, {"name": "c", "type": "channel"}, *_spatial_axes()],
        "datasets": [
            {"path": "0", "coordinateTransformations": [_scale(voxel_size_zyx_nm)]},
            *(
                {"path": f"0/slice_1_stack_{stack}", "coordinateTransformations": [_translation(stack)]}
                for stack in (1, 2)
            ),
        ],
        "type": "coarsen",
    }
    channels = [{"label": "405nm_10X"}, {"label": "488nm_10X"}]
    attributes = {"multiscales": [{"version": "0.4", **multiscale}], "omero": {"channels": channels}}
    return _write(folder / "visor_raw_image.zarr", voxels, attributes, zarr_format=2)


def write_2025(folder: Path, voxels: NDArray[Any], voxel_size_zyx_nm: FloatZYX) -> Path:
    """Schema 2025.6.1 (zarr v3; vs, ch, z, y, x): `voxels` are `stack_2.561`."""
    multiscale = {
        "axes": [{"name": "vs", "type": "visor_stack"}, {"name": "ch", "type": "channel"}, *_spatial_axes()],
        "datasets": [{"path": "0", "coordinateTransformations": [_scale((1e3, 1e3, 1e3))]}],
        "coordinateTransformations": [_scale(voxel_size_zyx_nm)],
    }
    visor = {
        "visor_stacks": [{"index": index, "label": f"stack_{index + 1}"} for index in (0, 1)],
        "channels": [{"index": 1, "wavelength": "561"}, {"index": 0, "wavelength": "488"}],
    }
    attributes = {"ome": {"version": "0.5", "multiscales": [multiscale]}, "visor": visor}
    return _write(folder / "slice_1_10x.zarr", voxels, attributes, zarr_format=3)


def _write(folder: Path, voxels: NDArray[Any], attributes: dict[str, Any], zarr_format: Any) -> Path:
    import zarr

    items = np.stack([np.stack([voxels + 3, voxels + 2]), np.stack([voxels + 1, voxels])])
    root = zarr.create_group(folder, zarr_format=zarr_format, attributes=attributes)
    root.create_array("0", data=items, chunks=CHUNKS)
    return folder


def _spatial_axes() -> list[dict[str, str]]:
    return [{"name": name, "type": "space", "unit": "micrometer"} for name in "zyx"]


def _scale(voxel_size_zyx_nm: FloatZYX) -> dict[str, Any]:
    return {"type": "scale", "scale": [1, 1, *(nm / 1e3 for nm in voxel_size_zyx_nm)]}


def _translation(stack: int) -> dict[str, Any]:
    return {"type": "translation", "translation": [0, 0, 0, 0, 10 * (stack - 1)]}
