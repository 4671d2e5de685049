"""A volume as a file holds it: lazy levels, finest first, axes z, y, x, nanometres."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import prod
from operator import index
from typing import Any, SupportsIndex

import numpy as np
from numpy.typing import NDArray

from em_assets.errors import FormatError, OutOfBoundsError, UsageError
from em_assets.model import ZYX, Content, FloatZYX, PartialFloatZYX

ReadBox = Callable[[ZYX, ZYX], NDArray[Any]]
"""Reads the box (start_zyx, shape_zyx), which lies inside the level, as a fresh C-ordered array."""

ReadInto = Callable[[ZYX, NDArray[Any]], None]
"""Fills an array, C-ordered and in the volume's dtype, with the box that starts there and lies inside the level."""


@dataclass(frozen=True)
class StoredChunks:
    """The chunks of a level as they are stored, each a run of bytes of its own.

    Attributes
    ----------
    codec
        In the words of the settings, `zstd-1`.
    shape_zyx
        Of a chunk; one that reaches beyond the level's end is stored whole.
    fill_value
        Of the voxels of a chunk that is not there.
    read
        The bytes of a chunk by its index; None for one that is not there.
    locate
        Where it is, for messages.
    """

    codec: str
    shape_zyx: ZYX
    fill_value: int | float
    read: Callable[[ZYX], bytes | None]
    locate: Callable[[ZYX], str]


Finish = Callable[[], None]
"""Waits for a read that was begun, and raises what went wrong with it."""

BeginInto = Callable[[ZYX, NDArray[Any]], Finish]
"""Begins to fill an array, as `ReadInto` does, and returns before it is full."""

UNKNOWN_VOXEL_SIZE: PartialFloatZYX = (None, None, None)


@dataclass(frozen=True)
class SourceLevel:
    """One resolution of a volume.

    Attributes
    ----------
    shape_zyx
        Voxels.
    voxel_size_zyx_nm
        Nanometres; None on an axis of which the file does not say it.
    offset_zyx_nm
        Position of the first voxel's centre.
    chunk_shape_zyx
        What the file stores, compresses and reads at once; None where it has no such thing.
    read_box
        Reads a box inside the level, without checking it.
    read_into
        The same into memory that is there already, by any number of threads; None where a source cannot.
    stored
        Its chunks, where they can be had as they are; None where not.
    """

    shape_zyx: ZYX
    voxel_size_zyx_nm: PartialFloatZYX
    read_box: ReadBox
    offset_zyx_nm: FloatZYX = (0.0, 0.0, 0.0)
    chunk_shape_zyx: ZYX | None = None
    read_into: ReadInto | None = None
    begin_into: BeginInto | None = None
    stored: StoredChunks | None = None


@dataclass(frozen=True)
class SourceVolume:
    """A 3-D array with one voxel size; a 2-D image is (1, y, x). Opening it reads no pixels.

    Raises
    ------
    FormatError
        The levels are not in order.

    Attributes
    ----------
    name
        What the file or its name calls it.
    format
        Name of the format's module.
    dtype
        In native byte order; a real number type.
    levels
        Finest first; at least one.
    files
        The files that it comes from, as given to the format.
    compressor
        The source's compression in its own words; None for none.
    content
        Where the format itself says it (a segmentation, say); None otherwise.
    """

    name: str
    format: str
    dtype: np.dtype[Any]
    levels: tuple[SourceLevel, ...]
    files: tuple[str, ...]
    compressor: str | None = None
    content: Content | None = None

    def __post_init__(self) -> None:
        """Refuse levels that a file lists coarsest first: the first would be taken for all that there is."""
        shapes = [level.shape_zyx for level in self.levels]
        largest = max(shapes, key=prod)
        if prod(largest) > prod(shapes[0]):
            raise FormatError(
                f"{self.files[0]}: levels from the finest to the coarsest expected, found {largest} at place "
                f"{shapes.index(largest)} behind {shapes[0]} (z, y, x): put them in order in the metadata"
            )

    @property
    def shape_zyx(self) -> ZYX:
        """Shape of the finest level."""
        return self.levels[0].shape_zyx

    @property
    def voxel_size_zyx_nm(self) -> PartialFloatZYX:
        """Voxel size of the finest level; None on an axis of which the file does not say it."""
        return self.levels[0].voxel_size_zyx_nm

    def read(self, start_zyx: Sequence[int], shape_zyx: Sequence[int], level: int = 0) -> NDArray[Any]:
        """Voxels of a box as a C-ordered array of `shape_zyx`.

        Raises
        ------
        OutOfBoundsError
            The box reaches outside the level, an axis is below 1, or these are not three whole numbers each.
        UsageError
            The memory does not hold the box.
        FormatError
            The file breaks off or contradicts itself.
        """
        if not isinstance(level, SupportsIndex) or not 0 <= level < len(self.levels):
            raise OutOfBoundsError(f"{self.name}: no level {level!r}; there are {len(self.levels)}, counted from 0")
        start, shape = whole_numbers(start_zyx), whole_numbers(shape_zyx)
        check_box(self.name, start, shape, self.levels[level].shape_zyx)
        try:
            return self.levels[level].read_box(start, shape)
        except MemoryError as error:
            raise UsageError(f"{self.name}: a box of {shape} {self.dtype} does not fit in memory: read less") from error

    def named(self, name: str) -> "SourceVolume":
        """The same volume under another name."""
        return replace(self, name=name)


def check_box(name: str, start_zyx: ZYX, shape_zyx: ZYX, within_zyx: ZYX) -> None:
    """Refuse a box that has an axis below 1 or reaches outside.

    Raises
    ------
    OutOfBoundsError
        Naming the box and what it must lie in.
    """
    inside = all(
        extent >= 1 and start >= 0 and start + extent <= size
        for start, extent, size in zip(start_zyx, shape_zyx, within_zyx, strict=True)
    )
    if not inside:
        raise OutOfBoundsError(
            f"{name}: the box from {start_zyx} of shape {shape_zyx} (z, y, x) is not inside {within_zyx}"
        )


def whole_numbers(values: Sequence[int]) -> ZYX:
    """Three whole numbers of any kind as a triple of Python's own.

    Raises
    ------
    OutOfBoundsError
        They are anything else.
    """
    try:
        z, y, x = (index(value) for value in values)
    except (TypeError, ValueError) as error:
        raise OutOfBoundsError(f"three whole numbers (z, y, x) expected, found {values!r}") from error
    return (z, y, x)
