"""A volume in another voxel size: the nearest finer level, interpolated; labels take the nearest voxel.

Boxes count voxels of the size that is asked for, from the volume's corner (the outer corner of its first voxel)::

    asked for       │─────0─────│─────1─────│          a sample lies in the middle of a voxel
    finer level     │──0──│──1──│──2──│──3──│
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import floor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from em_assets.errors import UsageError
from em_assets.model import ZYX, FloatZYX

TOLERANCE = 1e-6
"""Of a voxel: what the last digit of a voxel size in a header amounts to."""


@dataclass(frozen=True)
class Resampled:
    """A level seen in another voxel size.

    Attributes
    ----------
    shape_zyx
        Whole voxels of the asked size that the level holds.
    step_zyx
        The asked size in voxels of the level.
    first_zyx
        Where, in voxels of the level, the volume's corner lies.
    """

    level_shape_zyx: ZYX
    shape_zyx: ZYX
    step_zyx: FloatZYX
    first_zyx: FloatZYX
    is_nearest: bool

    @property
    def is_identity(self) -> bool:
        """Whether the level has this voxel size already."""
        is_same = all(abs(step - 1) < TOLERANCE for step in self.step_zyx)
        return is_same and all(abs(first) < TOLERANCE for first in self.first_zyx)

    def read(self, start_zyx: ZYX, out: NDArray[Any], read_level: Callable[[ZYX, ZYX], NDArray[Any]]) -> None:
        """Fill `out` with the box, inside `shape_zyx`, that starts there; `read_level` reads boxes of the level."""
        samples = [
            np.clip((start + np.arange(n) + 0.5) * step + first - 0.5, 0, size - 1)
            for start, n, step, first, size in zip(
                start_zyx, out.shape, self.step_zyx, self.first_zyx, self.level_shape_zyx, strict=True
            )
        ]
        low = [floor(float(sample[0]) + TOLERANCE) for sample in samples]
        high = [
            min(floor(float(sample[-1])) + 1, size - 1)
            for sample, size in zip(samples, self.level_shape_zyx, strict=True)
        ]
        block = read_level(_zyx(low), _zyx([b - a + 1 for a, b in zip(low, high, strict=True)]))
        relative = [sample - first for sample, first in zip(samples, low, strict=True)]
        out[...] = _nearest(block, relative) if self.is_nearest else _linear(block, relative)


def checked_voxel_size(voxel_size_zyx_nm: Sequence[float]) -> FloatZYX:
    """Three positive lengths in nanometres.

    Raises
    ------
    UsageError
        They are anything else.
    """
    try:
        z, y, x = (float(value) for value in voxel_size_zyx_nm)
    except (TypeError, ValueError) as error:
        raise UsageError(f"voxel_size_zyx_nm={voxel_size_zyx_nm!r}: three lengths z, y, x in nm expected") from error
    if not all(np.isfinite(value) and value > 0 for value in (z, y, x)):
        raise UsageError(f"voxel_size_zyx_nm={voxel_size_zyx_nm!r}: three lengths above 0 expected")
    return (z, y, x)


def finer_level(sizes_zyx_nm: Sequence[FloatZYX | None], wanted_zyx_nm: FloatZYX) -> int:
    """The coarsest level that is no coarser than wanted along any axis; the finest where all are."""
    fine_enough = [
        index
        for index, size in enumerate(sizes_zyx_nm)
        if size and all(own <= want * (1 + TOLERANCE) for own, want in zip(size, wanted_zyx_nm, strict=True))
    ]
    return fine_enough[-1] if fine_enough else 0


def resampled(
    shape_zyx: ZYX,
    voxel_size_zyx_nm: FloatZYX,
    wanted_zyx_nm: FloatZYX,
    *,
    first_zyx: FloatZYX = (0.0, 0.0, 0.0),
    is_nearest: bool,
) -> Resampled:
    """How a level of this shape and voxel size looks in the voxel size that is wanted."""
    step = [want / own for want, own in zip(wanted_zyx_nm, voxel_size_zyx_nm, strict=True)]
    extents = [max(floor(n / s + TOLERANCE), 1) for n, s in zip(shape_zyx, step, strict=True)]
    return Resampled(shape_zyx, _zyx(extents), (step[0], step[1], step[2]), first_zyx, is_nearest)


def _nearest(block: NDArray[Any], samples: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """The voxel that a sample lies in; the lower one where it lies on a face, so that it is always the same."""
    index = [np.ceil(sample - 0.5 - TOLERANCE).astype(np.intp) for sample in samples]
    return block[np.ix_(*(np.clip(i, 0, n - 1) for i, n in zip(index, block.shape, strict=True)))]


def _linear(block: NDArray[Any], samples: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Interpolated along one axis after the other; whole numbers are rounded, halves up."""
    # Every whole number of 16 bits, and more, is exact in float32.
    work = np.float32 if block.dtype.itemsize <= 2 or block.dtype == np.float32 else np.float64
    values: NDArray[Any] = block.astype(work)
    for axis, sample in enumerate(samples):
        low = np.minimum(np.floor(sample + TOLERANCE).astype(np.intp), block.shape[axis] - 1)
        high = np.minimum(low + 1, block.shape[axis] - 1)
        weight = np.clip(sample - low, 0, 1).astype(work).reshape([-1 if i == axis else 1 for i in range(3)])
        lower = np.take(values, low, axis)
        values = lower + (np.take(values, high, axis) - lower) * weight
    if block.dtype.kind == "f":
        return values.astype(block.dtype)
    rounded: NDArray[Any] = np.floor(values + 0.5)
    return rounded.astype(block.dtype)


def _zyx(values: Sequence[int]) -> ZYX:
    z, y, x = values
    return (z, y, x)
