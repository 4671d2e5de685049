"""Levels that a source announces and never filled: blank where another of its levels shows something.

Public precomputed volumes have them: the finest scales stand in `info`, and every chunk of them is blank.
"""

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from em_assets.formats.volume import SourceLevel, SourceVolume
from em_assets.model import ZYX

MOST_VOXELS = 1 << 24
"""A level of at most so many voxels is read whole, to find places that show something."""

SIDE = 16
FEWEST_VOXELS = 64
"""A place of fewer voxels is never blank: the coarsest levels have one or two."""

N_BOXES = 8

Box = tuple[ZYX, ZYX]
"""Start and shape, z, y, x."""


def blank_levels(volume: SourceVolume, seed: int = 0) -> list[int]:
    """Numbers of the levels of one value at every place where a coarse level shows something; most have none."""
    shown = [number for number, level in enumerate(volume.levels) if prod(level.shape_zyx) <= MOST_VOXELS]
    for number in reversed(shown):
        level = volume.levels[number]
        whole = level.read_box((0, 0, 0), level.shape_zyx)
        places = _places(whole, seed)
        if places:
            return [
                other
                for other, finer in enumerate(volume.levels)
                if other != number and all(_is_blank_at(finer, place, whole.shape) for place in places)
            ]
    return []


def _places(whole: NDArray[Any], seed: int) -> list[Box]:
    """Boxes of a coarse level that show something, drawn by a seed."""
    shape = [min(SIDE, size) for size in whole.shape]
    random, found = np.random.default_rng(seed), []
    for _ in range(4 * N_BOXES):
        start = [int(random.integers(0, size - side + 1)) for size, side in zip(whole.shape, shape, strict=True)]
        block = whole[tuple(slice(at, at + side) for at, side in zip(start, shape, strict=True))]
        if block.min() < block.max():
            found.append((_zyx(start), _zyx(shape)))
    return found[:N_BOXES]


def _is_blank_at(level: SourceLevel, place: Box, whole: Sequence[int]) -> bool:
    """Whether the middle of a place, given in voxels of a level of the shape `whole`, has one value in this level."""
    start, shape = place
    sides = list(zip(start, shape, whole, level.shape_zyx, strict=True))
    extent = [max(1, min(SIDE * 2, side * size // total, size)) for _, side, total, size in sides]
    middles = [(2 * at + side) * size // (2 * total) for at, side, total, size in sides]
    ends = zip(middles, extent, level.shape_zyx, strict=True)
    begin = [min(max(0, middle - length // 2), size - length) for middle, length, size in ends]
    if prod(extent) < FEWEST_VOXELS:
        return False
    block = level.read_box(_zyx(begin), _zyx(extent))
    return bool(block.min() == block.max())


def _zyx(values: Sequence[int]) -> ZYX:
    z, y, x = (int(value) for value in values)
    return (z, y, x)
