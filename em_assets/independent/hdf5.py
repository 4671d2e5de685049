"""HDF5 by pyfive, which reads it without libhdf5."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from em_assets.independent.voxels import Voxels, slices, three
from em_assets.model import ZYX


@contextmanager
def open_voxels(path: str) -> Iterator[list[Voxels]]:
    """Datasets of three axes as pyfive finds them, each under its path."""
    import pyfive

    with pyfive.File(path) as file:
        yield list(_datasets(file, "", pyfive.Group))


def _datasets(group: Any, path: str, group_type: type) -> Iterator[Voxels]:
    for own in sorted(group):
        found, name = group.get(own), f"{path}/{own}".lstrip("/")
        if isinstance(found, group_type):
            yield from _datasets(found, name, group_type)
        elif found is not None and len(found.shape) == 3:
            dtype = np.dtype(found.dtype).newbyteorder("=")
            yield Voxels(three(found.shape), dtype, partial(_read_box, found), name)


def _read_box(dataset: Any, start_zyx: ZYX, shape_zyx: ZYX) -> NDArray[Any]:
    return np.asarray(dataset[slices(start_zyx, shape_zyx)])
