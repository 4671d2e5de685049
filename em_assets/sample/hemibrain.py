"""hemibrain_ng: the EM as a sharded jpeg volume in neuroglancer's precomputed format (axes x, y, z)."""

from pathlib import Path
from typing import Any

import numpy as np

from em_assets.sample.sizes import HEMIBRAIN_BLANK_MARGIN_X, HEMIBRAIN_N_SCALES, HEMIBRAIN_SHAPE_ZYX
from em_assets.sample.texture import halved, texture

FOLDER = "storage.googleapis.com/neuroglancer-janelia-flyem-hemibrain/emdata/clahe_yz/jpeg"

_VOXEL_NM = 8.0
_SHARDING = {
    "@type": "neuroglancer_uint64_sharded_v1",
    "preshift_bits": 9,
    "hash": "identity",
    "minishard_bits": 6,
    "shard_bits": 15,
    "minishard_index_encoding": "gzip",
    "data_encoding": "raw",
}


def write_hemibrain(http_root: Path, seed: int) -> None:
    """`info` and the shards of every scale."""
    import tensorstore as ts

    folder = http_root / FOLDER
    folder.mkdir(parents=True)
    voxels = texture(HEMIBRAIN_SHAPE_ZYX, seed)
    voxels[:, :, :HEMIBRAIN_BLANK_MARGIN_X] = 0
    for scale in range(HEMIBRAIN_N_SCALES):
        xyz = np.ascontiguousarray(voxels.transpose(2, 1, 0))
        store = ts.open(_spec(folder, scale, xyz.shape), create=True, open=True).result()
        store[..., 0].write(xyz).result()
        voxels = halved(voxels)


def _spec(folder: Path, scale: int, shape_xyz: tuple[int, ...]) -> dict[str, Any]:
    voxel_nm = _VOXEL_NM * 2**scale
    return {
        "driver": "neuroglancer_precomputed",
        "kvstore": {"driver": "file", "path": f"{folder}/"},
        "multiscale_metadata": {"type": "image", "data_type": "uint8", "num_channels": 1},
        "scale_metadata": {
            "key": "x".join(3 * [str(voxel_nm)]),
            "size": list(shape_xyz),
            "resolution": 3 * [voxel_nm],
            "voxel_offset": [0, 0, 0],
            "chunk_size": [64, 64, 64],
            "encoding": "jpeg",
            "jpeg_quality": 90,
            "sharding": _SHARDING,
        },
    }
