"""Arrays as other people's libraries see them, turned to z, y, x: whatever has a shape, a type and slices."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from em_assets.formats.volume import ReadBox
from em_assets.model import ZYX


@dataclass(frozen=True)
class Voxels:
    """A 3-D array as a library sees it; `read` gives a box of it, and good only while its file is open.

    `name` is its place in a file that gives its arrays names; None where it gives none.
    """

    shape_zyx: ZYX
    dtype: np.dtype[Any]
    read: ReadBox
    name: str | None = None

    def __str__(self) -> str:
        return f"{self.shape_zyx} {self.dtype}"


def of_array(array: NDArray[Any]) -> Voxels:
    """An array of three axes that are z, y and x."""
    z, y, x = array.shape
    return Voxels((z, y, x), array.dtype.newbyteorder("="), lambda start, shape: array[slices(start, shape)])


def items(array: Any, axes: Sequence[str], counted: str | None = None) -> Iterator[Voxels]:
    """Each item of an array along its other axes, z, y and x told by name; none where y or x is missing.

    With `counted`, those must be the other axes' names, and items are counted along them in that order, wherever they
    lie; without, in the array's own.
    """
    names = [axis.lower() for axis in axes]
    spatial = [names.index(axis) for axis in "zyx" if axis in names]
    others = [axis for axis in range(len(names)) if axis not in spatial]
    if not {"y", "x"} <= set(names) or len(names) != array.ndim:
        return
    if counted is not None:
        if not {names[axis] for axis in others} <= set(counted):
            return
        others.sort(key=lambda axis: counted.index(names[axis]))
    shape = [array.shape[axis] for axis in spatial]
    for item in product(*(range(array.shape[axis]) for axis in others)):
        reader = _item_reader(array, spatial, dict(zip(others, item, strict=True)))
        yield Voxels(three(shape), np.dtype(array.dtype).newbyteorder("="), reader)


def slices(start_zyx: ZYX, shape_zyx: ZYX) -> tuple[slice, ...]:
    """A box as an index."""
    return tuple(slice(start, start + n) for start, n in zip(start_zyx, shape_zyx, strict=True))


def three(shape: Sequence[int]) -> ZYX:
    """The last three lengths, z, y, x; 1 for each that is not there."""
    z, y, x = (1, *shape)[-3:]
    return (z, y, x)


def _item_reader(array: Any, spatial: Sequence[int], item: dict[int, int]) -> ReadBox:
    def read(start_zyx: ZYX, shape_zyx: ZYX) -> NDArray[Any]:
        box = dict(zip(spatial, slices(start_zyx, shape_zyx)[-len(spatial) :], strict=True))
        found = np.asarray(array[tuple(box.get(axis, item.get(axis)) for axis in range(array.ndim))])
        return found.transpose([sorted(spatial).index(axis) for axis in spatial]).reshape(shape_zyx)

    return read
