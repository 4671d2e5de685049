"""Where a box is cut out of a remote volume: given, or drawn by a seed and moved until it is not blank.

Coarse levels are looked at first: a blank one there costs a few kilobytes instead of the box. Once many draws were
blank, the coarsest level tells where there is anything at all, and the rest are drawn there. Half of a public volume is
margin, and a label volume may be empty in nine places of ten.

A coarse level is a hint and no more: where a chunk of it is absent it says nothing, and the next finer one is asked.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from em_assets.errors import FormatError, OutOfBoundsError, SourceError
from em_assets.formats.volume import SourceLevel, SourceVolume
from em_assets.model import ZYX, Source
from em_assets.settings import SAMPLE
from em_assets.sources.origins import Origin

MOST_DRAWS = 20
"""Starts drawn anywhere on the chunk grid, before the coarsest level is asked where there is anything."""

MOST_AIMED = 20
LEAST_COARSE_VOXELS = 4
"""Along each axis: a box that is smaller in a coarse level is not judged by it."""

MOST_COARSE_BYTES = 64 << 20
N_SAMPLED = 100
"""Boxes whose blankness in the coarse level gives the share of blank ones."""


@dataclass(frozen=True)
class Boxes:
    """The boxes of one shape in a volume that may be cut out of it."""

    source: Source
    volume: SourceVolume
    shape_zyx: ZYX
    blank: list[ZYX] = field(default_factory=list)
    """Starts that were passed over, in their order: recorded with the crop."""

    _whole: dict[int, NDArray[Any] | None] = field(default_factory=dict, repr=False, compare=False)

    def starts(self) -> Iterator[ZYX]:
        """The start, if it is given; else as many as are worth reading, none of them blank in a coarse level.

        Who finds the box of a start to be blank adds it to `blank` and takes the next.

        Raises
        ------
        OutOfBoundsError
            The box is not inside the volume.
        """
        self._check_inside(self.source.start_zyx or (0, 0, 0))
        if self.source.start_zyx:
            yield self.source.start_zyx
            return
        for start in self._candidates():
            if start in self.blank:
                continue
            if self.looks_blank(start):
                self.blank.append(start)
            else:
                yield start

    def share_blank(self) -> float | None:
        """Share of the grid's boxes that a coarse level shows to be blank, of a sample; None where none shows any."""
        if not self._coarse:
            return None
        random = np.random.default_rng(self.source.seed)
        drawn = [self._drawn(random) for _ in range(N_SAMPLED)]
        return sum(self.looks_blank(start) for start in drawn) / len(drawn)

    def looks_blank(self, start: ZYX) -> bool:
        """Whether a coarse level shows that the box is blank; False as well where none shows it."""
        return self.is_blank_in_coarse(start) is True

    def is_blank_in_coarse(self, start: ZYX) -> bool | None:
        """Whether the same box of the coarsest level that still shows something of it is constant; None without one."""
        for index in self._coarse:
            level = self.volume.levels[index]
            z, y, x = (int(begin / by) for begin, by in zip(start, self._ratio(level), strict=True))
            begin, extent = (z, y, x), self._shape_in(level)
            if any(at + n > size for at, n, size in zip(begin, extent, level.shape_zyx, strict=True)):
                return None
            whole = self._whole_level(index)
            if whole is not None:
                box: NDArray[Any] | None = whole[tuple(slice(at, at + n) for at, n in zip(begin, extent, strict=True))]
            else:
                box = _read_if_there(level, begin, extent)
            if box is not None:
                return bool(box.min() == box.max())
        return None

    def _candidates(self) -> Iterator[ZYX]:
        random = np.random.default_rng(self.source.seed)
        for _ in range(MOST_DRAWS):
            yield self._drawn(random)
        yield from self._aimed(random)

    def _drawn(self, random: np.random.Generator) -> ZYX:
        z, y, x = (int(n) * step for n, step in zip(random.integers(0, self._n_starts), self._step, strict=True))
        return (z, y, x)

    def _aimed(self, random: np.random.Generator) -> Iterator[ZYX]:
        """Starts on the grid whose boxes hold a voxel of the coarsest level that is not like most of its others."""
        found = self._coarsest_whole()
        if found is None:
            return
        level, voxels = found
        values, counts = np.unique(voxels, return_counts=True)
        places = np.flatnonzero(voxels.ravel() != values[counts.argmax()])
        for place in random.choice(places, min(MOST_AIMED, places.size), replace=False):
            at = np.unravel_index(place, level.shape_zyx)
            middle = [(float(n) + 0.5) * by for n, by in zip(at, self._ratio(level), strict=True)]
            z, y, x = (
                min(max(int((centre - extent / 2) / step), 0), n - 1) * step
                for centre, extent, step, n in zip(middle, self.shape_zyx, self._step, self._n_starts, strict=True)
            )
            yield (z, y, x)

    @property
    def _step(self) -> ZYX:
        return self.volume.levels[0].chunk_shape_zyx or (1, 1, 1)

    @property
    def _n_starts(self) -> list[int]:
        sizes = zip(self.volume.shape_zyx, self.shape_zyx, self._step, strict=True)
        return [(size - extent) // step + 1 for size, extent, step in sizes]

    @cached_property
    def _coarse(self) -> list[int]:
        """The levels in which the box has a few voxels along each axis, the coarsest first."""
        levels = list(enumerate(self.volume.levels))[1:]
        return [index for index, level in reversed(levels) if min(self._shape_in(level)) >= LEAST_COARSE_VOXELS]

    def _coarsest_whole(self) -> tuple[SourceLevel, NDArray[Any]] | None:
        """The coarsest level of which nothing is absent, with its voxels; None where there is none that is small."""
        for index in reversed(range(1, len(self.volume.levels))):
            voxels = self._whole_level(index)
            if voxels is not None:
                return self.volume.levels[index], voxels
        return None

    def _whole_level(self, index: int) -> NDArray[Any] | None:
        """A whole coarse level: one answer instead of one for each box; None where it is large, or not all there."""
        level = self.volume.levels[index]
        if math.prod(level.shape_zyx) * self.volume.dtype.itemsize > MOST_COARSE_BYTES:
            return None
        if index not in self._whole:
            self._whole[index] = _read_if_there(level, (0, 0, 0), level.shape_zyx)
        return self._whole[index]

    def _shape_in(self, level: SourceLevel) -> ZYX:
        z, y, x = (int(extent / by) for extent, by in zip(self.shape_zyx, self._ratio(level), strict=True))
        return (z, y, x)

    def _ratio(self, level: SourceLevel) -> list[float]:
        return [fine / coarse for fine, coarse in zip(self.volume.shape_zyx, level.shape_zyx, strict=True)]

    def _check_inside(self, start: ZYX) -> None:
        ends = [begin + extent for begin, extent in zip(start, self.shape_zyx, strict=True)]
        if min(start) >= 0 and all(end <= size for end, size in zip(ends, self.volume.shape_zyx, strict=True)):
            return
        raise OutOfBoundsError(
            f"{self.source.url}: the box {start} to {tuple(ends)} (z, y, x) is not inside the volume (0, 0, 0) to "
            f"{self.volume.shape_zyx}; mend `start_zyx` or `shape_zyx`"
        )


def cutout_shape(source: Source, origin: Origin) -> ZYX:
    """Shape of the box: the sample's volumes are small, so they may have a smaller one."""
    if origin.name == SAMPLE and source.sample_shape_zyx:
        return source.sample_shape_zyx
    if source.shape_zyx is None:
        raise SourceError(f"{source.url}: a cutout without shape_zyx")
    return source.shape_zyx


def says_absent(error: FormatError) -> bool:
    """Whether a read failed because a chunk is not there."""
    return "NOT_FOUND" in str(error) or "missing" in str(error)


def _read_if_there(level: SourceLevel, start: ZYX, shape: ZYX) -> NDArray[Any] | None:
    """A box of a level; None where a chunk of it is not there."""
    try:
        return level.read_box(start, shape)
    except FormatError as error:
        if not says_absent(error):
            raise
        return None
