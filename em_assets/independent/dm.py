"""DM3 and DM4 by ncempy."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from em_assets.independent.voxels import Voxels, of_array


@contextmanager
def open_voxels(path: str) -> Iterator[list[Voxels]]:
    """Images as ncempy lists them: the thumbnail first where there is more than one, and not counted then."""
    from ncempy.io import dm

    with dm.fileDM(path) as file:
        thumbnails = 1 if file.numObjects > 1 else 0
        images = range(thumbnails, len(file.dataShape))
        real = [image for image in images if file.dataShape[image] in (2, 3) and _is_real(file, image)]
        yield [_image(file, image, image - thumbnails) for image in real]


def _is_real(file: Any, image: int) -> bool:
    try:
        return np.dtype(file._DM2NPDataType(file.dataType[image])).kind in "iuf"
    except OSError:  # a type that ncempy does not know: masks, 64-bit numbers, packed complex, colour
        return False


def _image(file: Any, image: int, index: int) -> Voxels:
    shape = (int(file.zSize[image]), int(file.ySize[image]), int(file.xSize[image]))
    return of_array(file.getMemmap(index).reshape(shape))
