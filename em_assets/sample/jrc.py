"""jrc_mus_nacc_2: nine levels of OME-Zarr 0.4 in the bucket of OpenOrganelle."""

from pathlib import Path
from typing import Any

import numpy as np

from em_assets.sample.sizes import JRC_SHAPE_ZYX
from em_assets.sample.texture import texture
from em_assets.sample.zarr_v2 import ZSTD_1, pyramid, space_axes, write_array, write_group

GROUP = "janelia-cosem-datasets/jrc_mus-nacc-2/jrc_mus-nacc-2.zarr/recon-2/em/fibsem-int16"

# As the group's own `.zattrs` writes them: 2.96 and its doublings with the rounding of the program that made them.
_SCALE_Z_NM = (2.96, 5.92, 11.840000000000002, 23.68, 47.36, 94.72, 189.44, 378.8799999999999, 757.7599999999999)
_OFFSET_Z_NM = (0.0, 1.48, 4.4399999999999995, 10.36, 22.2, 45.88, 93.24, 187.96, 377.4)


def write_jrc(s3_root: Path, seed: int) -> None:
    """The group with `s0` to `s8`; each level's `.zattrs` is empty, as in the bucket."""
    group = s3_root / GROUP
    write_group(group, _attributes())
    voxels = (texture(JRC_SHAPE_ZYX, seed).astype(np.int16) - 128) * 200
    for number, level in enumerate(pyramid(voxels, len(_SCALE_Z_NM), (0, 1, 2))):
        write_array(group / f"s{number}", level, (64, 64, 64), ZSTD_1, attributes=True)


def _attributes() -> dict[str, Any]:
    datasets = []
    for number, (scale_z, offset_z) in enumerate(zip(_SCALE_Z_NM, _OFFSET_Z_NM, strict=True)):
        scale, offset = 4.0 * 2**number, 2.0 * (2**number - 1)
        transformations = [
            {"scale": [scale_z, scale, scale], "type": "scale"},
            {"translation": [offset_z, offset, offset], "type": "translation"},
        ]
        datasets.append({"coordinateTransformations": transformations, "path": f"s{number}"})
    multiscale = {
        "axes": space_axes("nanometer"),
        "coordinateTransformations": [{"scale": [1.0, 1.0, 1.0], "type": "scale"}],
        "datasets": datasets,
        "metadata": None,
        "name": "",
        "type": None,
        "version": "0.4",
    }
    return {"multiscales": [multiscale]}
