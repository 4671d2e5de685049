"""A volume's blocks out of what a library sees in its files: of one file, or of one slice a file."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from em_assets.independent.library import Library, NotIndependentError
from em_assets.independent.voxels import Voxels
from em_assets.model import ZYX

Box = tuple[ZYX, ZYX]
"""Start and shape, z, y, x."""


class Asked(NamedTuple):
    """A volume; it is number `place` of the `n_alike` volumes of its files that look alike."""

    format: str
    files: tuple[str, ...]
    shape_zyx: ZYX
    dtype: np.dtype[Any]
    place: int
    n_alike: int
    name: str | None = None


def read(library: Library, asked: Asked, boxes: Sequence[Box]) -> list[NDArray[Any]]:
    """The boxes' voxels, each box as an array of its shape; what the library itself raises comes through.

    Raises
    ------
    NotIndependentError
        It sees other volumes in the files.
    """
    read_boxes = _read_slices if len(asked.files) > 1 else _read_file
    return read_boxes(library, asked, boxes)


def _read_file(library: Library, asked: Asked, boxes: Sequence[Box]) -> list[NDArray[Any]]:
    with library.open_voxels(asked.files[0]) as found:
        named = [one for one in found if one.name is not None and one.name == asked.name]
        if named:
            (voxels,) = _matching(library, named, asked.shape_zyx, asked.dtype, 1)
        else:
            voxels = _matching(library, found, asked.shape_zyx, asked.dtype, asked.n_alike)[asked.place]
        return [np.array(voxels.read(start, shape)) for start, shape in boxes]


def _read_slices(library: Library, asked: Asked, boxes: Sequence[Box]) -> list[NDArray[Any]]:
    """A volume of one slice a file: each file that is touched is opened once, for all boxes."""
    blocks = [np.empty(shape, asked.dtype) for _, shape in boxes]
    _, height, width = asked.shape_zyx
    for z in sorted({z for (start, _, _), (depth, _, _) in boxes for z in range(start, start + depth)}):
        with library.open_voxels(asked.files[z]) as found:
            (plane,) = _matching(library, found, (1, height, width), asked.dtype, 1)
            for block, (start, shape) in zip(blocks, boxes, strict=True):
                if start[0] <= z < start[0] + shape[0]:
                    block[z - start[0]] = plane.read((0, *start[1:]), (1, *shape[1:]))[0]
    return blocks


def _matching(
    library: Library, found: Sequence[Voxels], shape_zyx: ZYX, dtype: np.dtype[Any], count: int
) -> list[Voxels]:
    """What has the volume's shape and type; as many must, as our own reader found, or nobody knows which is which."""
    alike = [voxels for voxels in found if (voxels.shape_zyx, voxels.dtype) == (shape_zyx, dtype)]
    if len(alike) != count:
        seen = ", ".join(map(str, found[:4])) or "no volume"
        raise NotIndependentError(f"{library.name} sees {seen} where {count} × {shape_zyx} {dtype} were expected")
    return alike
