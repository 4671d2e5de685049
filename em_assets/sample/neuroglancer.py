"""manc, h01, minnie65, fafb_v14 and zebrafinch_j0126: volumes in neuroglancer's precomputed format (axes x, y, z).

Addresses, voxel sizes, that h01 is sharded and its chunks jpeg, and that two of fafb_v14's resolutions are announced
and hold nothing, are as public code that reads them has it. Everything else of an `info` (encodings, chunk sizes,
further scales, keys) is the sample's own.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from em_assets.sample.sizes import CUTOUT_N_LEVELS, CUTOUT_SHAPE_ZYX
from em_assets.sample.texture import texture
from em_assets.sample.zarr_v2 import pyramid

_SHARDING = {
    "@type": "neuroglancer_uint64_sharded_v1",
    "preshift_bits": 3,
    "hash": "identity",
    "minishard_bits": 2,
    "shard_bits": 2,
    "minishard_index_encoding": "gzip",
    "data_encoding": "raw",
}


class _LookAlike(NamedTuple):
    """A volume at its address: nanometres of its finest voxel, and of how many finer scales the `info` only speaks."""

    folder: str
    voxel_xyz_nm: tuple[float, float, float]
    n_placeholders: int = 0
    is_sharded: bool = False

    @property
    def is_isotropic(self) -> bool:
        return len(set(self.voxel_xyz_nm)) == 1


_LOOK_ALIKES = (
    _LookAlike(
        "storage.googleapis.com/flyem-vnc-2-26-213dba213ef26e094c16c860ae7f4be0/v3_emdata_clahe_xy/jpeg",
        (8, 8, 8),
    ),
    _LookAlike("storage.googleapis.com/h01-release/data/20210601/4nm_raw", (4, 4, 33), is_sharded=True),
    _LookAlike("bossdb-open-data.s3.amazonaws.com/iarpa_microns/minnie/minnie65/em", (8, 8, 40)),
    _LookAlike(
        "storage.googleapis.com/microns-seunglab/drosophila_v0/alignment/image_rechunked", (4, 4, 40), n_placeholders=2
    ),
    _LookAlike("syconn.esc.mpcdf.mpg.de/j0126/volume/image", (10, 10, 20)),
)


def write_neuroglancer(http_root: Path, seed: int) -> None:
    """`info` and chunks of every scale, but for placeholders, of which the `info` alone."""
    for number, one in enumerate(_LOOK_ALIKES):
        voxels = texture(CUTOUT_SHAPE_ZYX, seed + number)
        axes = (0, 1, 2) if one.is_isotropic else (1, 2)
        _write_volume(http_root / one.folder, one, pyramid(voxels, CUTOUT_N_LEVELS, axes))


def _write_volume(folder: Path, one: _LookAlike, levels: Sequence[NDArray[np.uint8]]) -> None:
    import tensorstore as ts

    folder.mkdir(parents=True)
    for scale in range(one.n_placeholders + len(levels)):
        finer = one.n_placeholders - scale
        if finer > 0:
            z, y, x = levels[0].shape
            ts.open(_spec(folder, one, scale, (x << finer, y << finer, z)), create=True).result()
            continue
        xyz = np.ascontiguousarray(levels[-finer].T)
        ts.open(_spec(folder, one, scale, xyz.shape), create=True).result()[..., 0].write(xyz).result()


def _spec(folder: Path, one: _LookAlike, scale: int, shape_xyz: tuple[int, ...]) -> dict[str, Any]:
    factors = (2**scale, 2**scale, 2**scale if one.is_isotropic else 1)
    voxel_nm = [nm * factor for nm, factor in zip(one.voxel_xyz_nm, factors, strict=True)]
    metadata = {
        "key": "_".join(f"{nm:g}" for nm in voxel_nm),
        "size": list(shape_xyz),
        "resolution": voxel_nm,
        "voxel_offset": [0, 0, 0],
        "chunk_size": [64, 64, 64] if one.is_isotropic else [64, 64, 16],
        "encoding": "jpeg",
        "jpeg_quality": 90,
    }
    return {
        "driver": "neuroglancer_precomputed",
        "kvstore": {"driver": "file", "path": f"{folder}/"},
        "multiscale_metadata": {"type": "image", "data_type": "uint8", "num_channels": 1},
        "scale_metadata": metadata | ({"sharding": _SHARDING} if one.is_sharded else {}),
    }
