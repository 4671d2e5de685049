"""Precomputed volumes by cloud-volume."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np

from em_assets.independent import cloud_volume
from em_assets.independent.library import NotIndependentError
from em_assets.independent.voxels import Voxels


@contextmanager
def open_voxels(path: str) -> Iterator[list[Voxels]]:
    """cloud-volume, the finest scale; x, y, z and channel, counted from the volume's offset."""
    # In a sharded volume absent chunks are zeros; in any other our own reader has refused them long before.
    cloud = cloud_volume.open_finest(f"precomputed://file://{Path(path).absolute()}")
    if any(scale["encoding"] == "compresso" for scale in cloud.info["scales"]):
        raise NotIndependentError("only cloud-volume reads compresso, and our own reader uses it too")
    corner = [int(value) for value in cloud.voxel_offset]
    x, y, z = (int(size) for size in cloud.volume_size)
    yield [Voxels((z, y, x), np.dtype(cloud.dtype), partial(cloud_volume.read_box, cloud, corner))]
