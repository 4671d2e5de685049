"""visor_bb001: a raw image of the VISoR image data schema 2024.11.0, one 5-D array (t, c, z, y, x) a level."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from em_assets.sample.sizes import VISOR_N_CHANNELS, VISOR_N_LEVELS, VISOR_N_STACKS, VISOR_SHAPE_ZYX
from em_assets.sample.texture import texture
from em_assets.sample.zarr_v2 import BLOSC_LZ4, clipped, pyramid, space_axes, write_array, write_group

NAME = "visor_raw_image"
GROUP = f"sample.em-assets.invalid/visor_bb001/{NAME}.zarr"

_CHANNELS = ("405nm_10X", "488nm_10X")
_VOXEL_UM = (3.5, 1.03, 1.03)


def write_visor(http_root: Path, seed: int) -> None:
    """The group, every stack and channel with a texture of its own."""
    group = http_root / GROUP
    write_group(group, _attributes())
    for number, level in enumerate(pyramid(_raw_image(seed), VISOR_N_LEVELS, (2, 3, 4))):
        chunks = [1, 1, *clipped(256, level.shape[2:])]
        write_array(group / str(number), level, chunks, BLOSC_LZ4)


def _raw_image(seed: int) -> NDArray[np.uint16]:
    image = np.empty((VISOR_N_STACKS, VISOR_N_CHANNELS, *VISOR_SHAPE_ZYX), np.uint16)
    for stack in range(VISOR_N_STACKS):
        for channel in range(VISOR_N_CHANNELS):
            grey = texture(VISOR_SHAPE_ZYX, seed + 10 * stack + channel)
            image[stack, channel] = 100 + 15 * (255 - grey.astype(np.uint16))  # bright on dark, as fluorescence is
    return image


def _attributes() -> dict[str, Any]:
    datasets: list[dict[str, Any]] = []
    for level in range(VISOR_N_LEVELS):
        scale = [1.0, 1.0, *(size * 2**level for size in _VOXEL_UM)]
        datasets.append({"path": str(level), "coordinateTransformations": [{"type": "scale", "scale": scale}]})
    width_um = VISOR_SHAPE_ZYX[2] * _VOXEL_UM[2]
    for stack in range(VISOR_N_STACKS):
        translation = [0.0, 0.0, 0.0, 0.0, round(stack * width_um, 3)]
        moved = [{"type": "translation", "translation": translation}]
        datasets.append({"path": f"0/slice_1_stack_{stack + 1}", "coordinateTransformations": moved})
    multiscale = {
        "version": "0.4",
        "name": NAME,
        "axes": [{"name": "t", "type": "visor"}, {"name": "c", "type": "channel"}, *space_axes("micrometer")],
        "datasets": datasets,
        "type": "coarsen",
        "metadata": {
            "description": "made-up image of the sample origin, halved by mean",
            "method": "em_assets.sample",
            "version": "1",
            "args": "[]",
            "kwargs": {},
        },
    }
    channels = [
        {"label": label, "color": "FFFFFF", "window": {"min": 0, "max": 65535, "start": 0, "end": 4096}}
        for label in _CHANNELS[:VISOR_N_CHANNELS]
    ]
    return {"multiscales": [multiscale], "omero": {"channels": channels}}
