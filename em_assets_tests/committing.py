"""Arrays as committed volumes, with statistics and a block index, without a dataset around them."""

from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from em_assets.blocks import VolumeDataset, open_volume
from em_assets.formats.volume import SourceLevel, SourceVolume
from em_assets.model import Content, FloatZYX
from em_assets.volumes.pyramid import write_pyramid
from em_assets.volumes.store import commit_volume

GENERATION = "0123456789abcdef"


def committed(
    folder: Path,
    voxels: NDArray[Any],
    *,
    voxel_size_zyx_nm: FloatZYX | tuple[None, None, None] = (8.0, 8.0, 8.0),
    content: Content = "em",
) -> VolumeDataset:
    """`voxels` as the volume in `folder`, opened."""

    def read(start: Any, shape: Any) -> NDArray[Any]:
        return voxels[tuple(slice(a, a + n) for a, n in zip(start, shape, strict=True))]

    level = SourceLevel(voxels.shape, voxel_size_zyx_nm, read)
    source = SourceVolume(folder.name, "tiff", voxels.dtype, (level,), ())
    commit_volume(
        folder,
        GENERATION,
        lambda dest: write_pyramid(
            source,
            dest,
            ome_zarr="0.5",
            content=content,
            voxel_size_zyx_nm=voxel_size_zyx_nm,
            name=folder.name,
            attributes={},
        ),
    )
    return open_volume(folder)
