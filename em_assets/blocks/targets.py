"""The arrays that voxels are read into: made here, or given and then checked."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from em_assets.errors import OutOfBoundsError, UsageError
from em_assets.model import ZYX


def target(where: str, shape_zyx: ZYX, dtype: np.dtype[Any], out: NDArray[Any] | None = None) -> NDArray[Any]:
    """`out`, if a box of this shape and type can be read into it; a new array where there is none.

    Raises
    ------
    OutOfBoundsError
        An axis is below 1.
    UsageError
        `out` has another shape or type, is not C-ordered or cannot be written; or memory does not hold the box.
    """
    if out is None:
        return _new(where, shape_zyx, dtype)
    fits = isinstance(out, np.ndarray) and (out.shape, out.dtype) == (shape_zyx, dtype)
    if not fits or not out.flags.c_contiguous or not out.flags.writeable:
        found = f"{out.dtype} {out.shape}" if isinstance(out, np.ndarray) else type(out).__name__
        raise UsageError(f"out: a writable C-ordered array {dtype} {shape_zyx} expected, found {found}")
    return out


def targets(where: str, shapes_zyx: Sequence[ZYX], dtype: np.dtype[Any], out: NDArray[Any]) -> list[NDArray[Any]]:
    """The rows of `out`, an array (boxes, z, y, x), one for each of the shapes.

    Raises
    ------
    UsageError
        It has not as many rows, or they do not fit.
    """
    if not isinstance(out, np.ndarray) or out.ndim != 4 or len(out) != len(shapes_zyx):
        found = out.shape if isinstance(out, np.ndarray) else type(out).__name__
        raise UsageError(f"out: an array of {len(shapes_zyx)} boxes (n, z, y, x) expected, found {found}")
    return [target(where, shape, dtype, row) for shape, row in zip(shapes_zyx, out, strict=True)]


def _new(where: str, shape_zyx: ZYX, dtype: np.dtype[Any]) -> NDArray[Any]:
    if min(shape_zyx) < 1:
        raise OutOfBoundsError(f"{where}: at least one voxel along z, y, x expected, found {shape_zyx}")
    try:
        return np.empty(shape_zyx, dtype)
    except (MemoryError, ValueError) as error:
        raise UsageError(f"{where}: a box of {shape_zyx} {dtype} does not fit in memory") from error
