"""What precomputed and N5 share: cloud-volume, its order of axes and its errors."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from em_assets.model import ZYX


def open_finest(address: str) -> Any:
    """The finest scale at an address as cloud-volume writes it, `precomputed://file:///…`; absent chunks are zeros."""
    import cloudvolume

    return cloudvolume.CloudVolume(address, mip=0, fill_missing=True, bounded=True, progress=False)


def read_box(cloud: Any, corner_xyz: Sequence[int], start_zyx: ZYX, shape_zyx: ZYX) -> NDArray[Any]:
    """A box of an opened volume, z, y, x; its start is counted from the volume's own corner."""
    starts = [first + start for first, start in zip(corner_xyz, start_zyx[::-1], strict=True)]
    box = tuple(slice(first, first + n) for first, n in zip(starts, shape_zyx[::-1], strict=True))
    return np.asarray(cloud[box])[..., 0].T


def own_errors() -> tuple[type[Exception], ...]:
    """Errors of its own, which derive from nothing but Exception."""
    from cloudvolume import exceptions

    declared = [value for value in vars(exceptions).values() if isinstance(value, type)]
    return tuple(error for error in declared if issubclass(error, Exception))
