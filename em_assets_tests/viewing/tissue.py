"""Arrays as committed volumes of any kind, without a dataset around them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from em_assets.formats.volume import SourceLevel, SourceVolume
from em_assets.sample.texture import texture
from em_assets.volumes.folders import Folder
from em_assets.volumes.pyramid import write_pyramid
from em_assets.volumes.store import CommittedVolume, commit_volume

TISSUE = texture((15, 600, 560), seed=3)
"""More than one shard, of 512 x 512 voxels in y and x."""

_BOXES = np.indices(TISSUE.shape, np.uint16) // np.array([15, 200, 140], np.uint16)[:, None, None, None]

CELLS = (_BOXES.sum(0, np.uint64) + np.uint64(3)) % np.uint64(6)
"""A label for each diagonal of boxes; 0, the background, runs through the middle."""


def write_volume(
    folder: Folder,
    voxels: NDArray[Any],
    *,
    ome_zarr: Any = "0.5",
    voxel_size_zyx_nm: Any = (8.0, 8.0, 8.0),
    labels_of: str | None = None,
    content: Any = None,
    codec: str = "zstd-1",
    generation: str = "0123456789abcdef",
) -> CommittedVolume:
    def read(start: Any, shape: Any) -> NDArray[Any]:
        return voxels[tuple(slice(a, a + n) for a, n in zip(start, shape, strict=True))]

    source = SourceVolume(folder.name, "tiff", voxels.dtype, (SourceLevel(voxels.shape, voxel_size_zyx_nm, read),), ())
    said: dict[str, Any] = {
        "content": content or ("labels" if labels_of else "em"),
        "voxel_size_zyx_nm": voxel_size_zyx_nm,
        "name": folder.name,
        "attributes": {},
        "codec": codec,
    }
    return commit_volume(
        folder,
        generation,
        lambda dest: write_pyramid(source, dest, ome_zarr=ome_zarr, **said),
        labels_of=labels_of,
    )
