"""Levels that are announced and were never filled."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from em_assets.formats.volume import SourceVolume
from em_assets.sample.texture import halved, texture
from em_assets.volumes.placeholders import blank_levels

FINEST = texture((48, 64, 80), 3)
LEVELS = [FINEST, halved(FINEST), halved(halved(FINEST))]


def multiscale(make_source: Callable[..., SourceVolume], blank: list[int]) -> SourceVolume:
    sources = [make_source(np.zeros_like(v) if n in blank else v) for n, v in enumerate(LEVELS)]
    return replace(sources[0], levels=tuple(source.levels[0] for source in sources))


@pytest.mark.parametrize("blank", [[], [0], [0, 1], [1], [2], [1, 2]], ids=str)
def test_a_level_is_blank_where_another_shows_something(
    make_source: Callable[..., SourceVolume], blank: list[int]
) -> None:
    assert blank_levels(multiscale(make_source, blank)) == blank


def test_levels_of_a_voxel_or_two_are_no_placeholders(make_source: Callable[..., SourceVolume]) -> None:
    voxels = [FINEST]
    while max(voxels[-1].shape) > 1:
        voxels.append(halved(voxels[-1]))
    sources = [make_source(level) for level in voxels]
    assert blank_levels(replace(sources[0], levels=tuple(source.levels[0] for source in sources))) == []


def test_what_is_blank_throughout_and_what_has_one_level_have_no_placeholder(
    make_source: Callable[..., SourceVolume],
) -> None:
    assert blank_levels(multiscale(make_source, [0, 1, 2])) == []
    assert blank_levels(make_source(FINEST)) == []


def test_a_blank_margin_is_no_placeholder(make_source: Callable[..., SourceVolume]) -> None:
    voxels = FINEST.copy()
    voxels[:, :, 40:] = 0
    sources = [make_source(voxels), make_source(halved(voxels))]
    assert blank_levels(replace(sources[0], levels=tuple(source.levels[0] for source in sources))) == []
