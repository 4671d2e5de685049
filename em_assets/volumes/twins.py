"""Volumes that hold the same voxels, as they are, with their axes in another order, or turned round.

Stacks are published twice, resliced, or under the wrong name. Statistics that must be equal then tell nearly all pairs
apart without reading anything; blocks prove the rest.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import permutations, product
from math import isclose
from typing import NamedTuple

import numpy as np

from em_assets.formats.volume import SourceVolume
from em_assets.model import ZYX
from em_assets.volumes.statistics import Statistics

Box = tuple[ZYX, ZYX]
"""Start and shape, z, y, x."""


@dataclass(frozen=True)
class Orientation:
    """How one volume lies in another: the other's axis `i` is this one's axis `order[i]`, turned round where said."""

    order: ZYX
    is_turned: tuple[bool, bool, bool]

    def __str__(self) -> str:
        if self.order == (0, 1, 2) and not any(self.is_turned):
            return "the same voxels as"
        places = [self.order.index(axis) for axis in range(3)]  # of our axes, among the other's
        z, y, x = (("-" if self.is_turned[place] else "") + "zyx"[place] for place in places)
        return f"its z, y, x are {z}, {y}, {x} of"


class Fingerprint(NamedTuple):
    """What two volumes of the same voxels have in common, whatever the order of their axes."""

    sides: tuple[int, ...]
    dtype: str
    statistics: Statistics

    def may_equal(self, other: "Fingerprint") -> bool:
        """Whether nothing speaks against it; means and deviations were added up in another order."""
        one, two = self.statistics, other.statistics
        if one.mean is None or two.mean is None or one.std is None or two.std is None:
            return False
        return (
            (self.sides, self.dtype, one.n_zero, one.min, one.max)
            == (other.sides, other.dtype, two.n_zero, two.min, two.max)
            and isclose(one.mean, two.mean, rel_tol=1e-9, abs_tol=1e-9 * one.std)
            and isclose(one.std, two.std, rel_tol=1e-6)
        )


def fingerprint(shape_zyx: ZYX, dtype: str, statistics: Statistics) -> Fingerprint:
    """The fingerprint of a volume."""
    return Fingerprint(tuple(sorted(shape_zyx)), dtype, statistics)


def orientation(volume: SourceVolume, other: SourceVolume, boxes: Sequence[Box]) -> Orientation | None:
    """How the voxels of `volume` lie in `other`, as far as these boxes of `volume` tell; None where they do not."""
    blocks = [volume.read(*box) for box in boxes]
    for found in _orientations(volume.shape_zyx, other.shape_zyx):
        if all(
            _are_equal(_turned(block, found), other.read(*_box(box, volume.shape_zyx, found)))
            for box, block in zip(boxes, blocks, strict=True)
        ):
            return found
    return None


def _orientations(shape: ZYX, other: ZYX) -> Iterator[Orientation]:
    """The identity first; flips of an axis of one voxel are left out, since they do nothing."""
    for z, y, x in permutations(range(3)):
        if (shape[z], shape[y], shape[x]) == other:
            ways = [(False, True) if size > 1 else (False,) for size in other]
            for turned_z, turned_y, turned_x in product(*ways):
                yield Orientation((z, y, x), (turned_z, turned_y, turned_x))


def _are_equal(one: np.ndarray, other: np.ndarray) -> bool:
    return np.array_equal(one, other, equal_nan=one.dtype.kind == "f")


def _turned(block: np.ndarray, how: Orientation) -> np.ndarray:
    turned = tuple(axis for axis in range(3) if how.is_turned[axis])
    return np.flip(block.transpose(how.order), turned)


def _box(box: Box, shape: ZYX, how: Orientation) -> Box:
    """Where a box of one volume lies in the other."""
    start, extent = box
    z, y, x = (
        shape[axis] - start[axis] - extent[axis] if turned else start[axis]
        for axis, turned in zip(how.order, how.is_turned, strict=True)
    )
    d, h, w = (extent[axis] for axis in how.order)
    return (z, y, x), (d, h, w)
