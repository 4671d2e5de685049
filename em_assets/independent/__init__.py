"""Blocks of a source as other people's libraries read it, to hold against what our own readers made of it.

::

    <format>       how a library opens one file or folder of it: a list of everything there that could be a volume
    cloud_volume   what two of them share
    voxels         an array as a library sees it, turned to z, y, x
    library        what a library is, and what is said where none reads a volume
    reading        which of a library's arrays is the volume, and its blocks

Nothing of `formats` is used here but the description of a volume: what is independent is which bytes are voxels, in
which order, and which item of a file they belong to. Volumes of one file that look alike are paired by their order.
"""

from collections.abc import Sequence
from math import prod
from typing import Any
from warnings import catch_warnings, simplefilter

import numpy as np
from numpy.typing import NDArray

from em_assets.errors import FormatError
from em_assets.formats.limited import Limits, call_limited
from em_assets.formats.volume import SourceVolume
from em_assets.independent import cloud_volume, dm, hdf5, mrc, n5, ome_zarr, precomputed, tiff
from em_assets.independent.library import REFUSALS, Library, NotIndependentError
from em_assets.independent.reading import Asked, Box, read
from em_assets.independent.voxels import three

__all__ = ["LIBRARIES", "NotIndependentError", "read_blocks"]

LIBRARIES: dict[str, Library] = {
    "dm": Library("ncempy", dm.open_voxels),
    "tiff": Library("tifffile", tiff.open_voxels),
    "mrc": Library("mrcfile", mrc.open_voxels),
    "ome_zarr": Library("zarr-python", ome_zarr.open_voxels),
    "precomputed": Library("cloud-volume", precomputed.open_voxels, cloud_volume.own_errors),
    "n5": Library("cloud-volume", n5.open_voxels, cloud_volume.own_errors),
    "hdf5": Library("pyfive", hdf5.open_voxels, lambda: (AssertionError,)),
}
"""By the names of the modules in `formats`."""

LIMITS = Limits(memory_bytes=2**31, cpu_s=60, wall_s=120)
"""Of the blocks of one volume: ncempy takes half a minute for a file of 720 kB that was made for it."""


def read_blocks(volume: SourceVolume, siblings: Sequence[SourceVolume], boxes: Sequence[Box]) -> list[NDArray[Any]]:
    """The boxes' voxels; of several files only those that a box touches are opened, one after the other.

    Parameters
    ----------
    siblings
        The volumes that were opened together with this one, itself among them, in their order.

    Raises
    ------
    NotIndependentError
        The library is not installed, refuses the file, or sees other volumes in it.
    """
    library = LIBRARIES.get(volume.format)
    if library is None:
        raise NotIndependentError(f"no library but our own reads {volume.format}")
    alike = [other for other in siblings if _identity(other) == _identity(volume)]
    place = next((index for index, other in enumerate(alike) if other is volume), 0)
    told = (volume.format, volume.files, volume.shape_zyx, volume.dtype.str, place, len(alike), volume.name)
    try:
        flat = call_limited(volume.files[0], f"{__name__}:blocks_in_a_row", volume.files[0], told, boxes, limits=LIMITS)
    except FormatError as error:
        raise NotIndependentError(f"{library.name} fails: {error}") from error
    ends = np.cumsum([prod(shape) for _, shape in boxes])
    return [part.reshape(shape) for part, (_, shape) in zip(np.split(flat, ends[:-1]), boxes, strict=True)]


def blocks_in_a_row(where: str, told: Sequence[Any], boxes: Sequence[Box]) -> NDArray[Any]:
    """The boxes' voxels one behind the other; to be called in a limited child, for these libraries trust files.

    Raises
    ------
    NotIndependentError
        As `read_blocks`.
    """
    asked = Asked(told[0], tuple(told[1]), three(told[2]), np.dtype(told[3]), *told[4:])
    library = LIBRARIES[asked.format]
    corners = [(three(start), three(shape)) for start, shape in boxes]
    try:
        with catch_warnings():  # other people's opinions of a file are no news here
            simplefilter("ignore")
            return np.concatenate([block.reshape(-1) for block in read(library, asked, corners)])
    except ImportError as error:
        missing = f"{error.name} is not installed" if error.name else f"{library.name} lacks something: {error}"
        raise NotIndependentError(missing) from error
    except REFUSALS + library.own_errors() as error:
        raise NotIndependentError(f"{library.name} refuses it ({type(error).__name__}: {error!s:.200})") from error


def _identity(volume: SourceVolume) -> tuple[object, ...]:
    return (volume.format, volume.files, volume.shape_zyx, volume.dtype)
