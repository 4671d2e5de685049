"""Boxes that reach outside: refused, filled with a value, or mirrored at the volume's faces.

::

    constant   0 0 0 │ a b c d … │ 0 0         reflect   d c b │ a b c d … │ …      (numpy's `reflect`: the face's
                                                                                      own voxel is not said twice)
"""

from collections.abc import Callable
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from em_assets.errors import OutOfBoundsError, UsageError
from em_assets.formats.volume import check_box
from em_assets.model import ZYX

Padding = Literal["error", "constant", "reflect"]

ReadInside = Callable[[ZYX, NDArray[Any]], None]
"""Fills an array with the box, inside the volume, that starts there."""


def read_padded(
    name: str,
    within_zyx: ZYX,
    start_zyx: ZYX,
    out: NDArray[Any],
    read_inside: ReadInside,
    *,
    padding: Padding,
    fill_value: float,
) -> None:
    """Fill `out` with the box that starts at `start_zyx`, of which some, or all, may lie outside `within_zyx`.

    Raises
    ------
    OutOfBoundsError
        It reaches outside and `padding` is `error`, or an axis is below 1.
    UsageError
        Another word than these, or a `fill_value` that the voxels' type does not hold.
    """
    if padding not in get_args(Padding):
        raise UsageError(f"padding={padding!r}: one of {', '.join(get_args(Padding))} expected")
    shape = _zyx(out.shape)
    if padding == "error" or _is_inside(start_zyx, shape, within_zyx):
        check_box(name, start_zyx, shape, within_zyx)
        read_inside(start_zyx, out)
    elif padding == "constant":
        _fill_constant(within_zyx, start_zyx, out, read_inside, fill_value)
    else:
        _fill_reflected(within_zyx, start_zyx, out, read_inside)


def _is_inside(start_zyx: ZYX, shape_zyx: ZYX, within_zyx: ZYX) -> bool:
    if min(shape_zyx) < 1:
        raise OutOfBoundsError(f"a box of at least one voxel along z, y, x expected, found the shape {shape_zyx}")
    axes = zip(start_zyx, shape_zyx, within_zyx, strict=True)
    return all(start >= 0 and start + n <= size for start, n, size in axes)


def _fill_constant(
    within_zyx: ZYX, start_zyx: ZYX, out: NDArray[Any], read_inside: ReadInside, fill_value: float
) -> None:
    try:
        value = np.asarray(fill_value).astype(out.dtype, casting="unsafe")
    except (TypeError, ValueError) as error:
        raise UsageError(f"fill_value={fill_value!r}: a number expected") from error
    if not np.array_equal(value, fill_value, equal_nan=True) and out.dtype.kind != "f":
        raise UsageError(f"fill_value={fill_value!r}: voxels of type {out.dtype} do not hold it")
    out[...] = value
    first = [max(start, 0) for start in start_zyx]
    last = [min(start + n, size) for start, n, size in zip(start_zyx, out.shape, within_zyx, strict=True)]
    if any(a >= b for a, b in zip(first, last, strict=True)):
        return
    inside = np.empty([b - a for a, b in zip(first, last, strict=True)], out.dtype)
    read_inside(_zyx(first), inside)
    out[tuple(slice(a - s, b - s) for a, b, s in zip(first, last, start_zyx, strict=True))] = inside


def _fill_reflected(within_zyx: ZYX, start_zyx: ZYX, out: NDArray[Any], read_inside: ReadInside) -> None:
    axes = zip(start_zyx, out.shape, within_zyx, strict=True)
    wanted = [_reflected(np.arange(start, start + n), size) for start, n, size in axes]
    first = _zyx([int(index.min()) for index in wanted])
    inside = np.empty([int(index.max()) - start + 1 for index, start in zip(wanted, first, strict=True)], out.dtype)
    read_inside(first, inside)
    out[...] = inside[np.ix_(*(index - start for index, start in zip(wanted, first, strict=True)))]


def _reflected(index: NDArray[Any], size: int) -> NDArray[Any]:
    """Where a mirror at both faces sends each index, however far outside it lies."""
    if size == 1:
        return np.zeros_like(index)
    period = 2 * (size - 1)
    folded = np.mod(index, period)
    mirrored: NDArray[Any] = np.minimum(folded, period - folded)
    return mirrored


def _zyx(values: Any) -> ZYX:
    z, y, x = (int(value) for value in values)
    return (z, y, x)
