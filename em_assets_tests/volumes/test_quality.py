"""Judgements on block indexes and blocks: what is blank, cut off, repeated, or no grey value at all."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from em_assets.model import Content
from em_assets.volumes.block_index import BlockIndex
from em_assets.volumes.quality import (
    Blocks,
    clipped_fraction,
    is_piecewise_constant,
    repeated_slices,
    why_near_blank,
)
from em_assets.volumes.statistics import Statistics, moments

NOISE = np.random.default_rng(1).integers(40, 200, (4, 64, 64), dtype=np.uint8)


def indexed(columns: list[list[NDArray[Any]]]) -> tuple[Blocks, Statistics]:
    """The blocks along y and x of one layer, as the writer would index them."""
    index = BlockIndex.empty((1, len(columns), len(columns[0])), columns[0][0].dtype)
    for y, row in enumerate(columns):
        for x, block in enumerate(row):
            index.put((0, y, x), moments(block))
    return Blocks.of(index.table()), index.statistics()


def reason(columns: list[list[NDArray[Any]]], content: Content = "em") -> str | None:
    blocks, statistics = indexed(columns)
    return why_near_blank(blocks.picture_fraction(), statistics, columns[0][0].dtype, content)


def test_a_volume_that_is_mostly_padding_is_near_blank() -> None:
    zeros, white = np.zeros_like(NOISE), np.full_like(NOISE, 255)
    assert reason([[NOISE, NOISE, zeros]]) is None
    said = "33.3% of the voxels show something; the others are zero, or in chunks of one value"
    assert reason([[NOISE, zeros, white]]) == said


def test_zeros_inside_of_chunks_count_as_blank() -> None:
    edge = NOISE.copy()
    edge[:, :40] = 0
    assert (
        reason([[edge, edge]]) == "37.5% of the voxels show something; the others are zero, or in chunks of one value"
    )


def test_hardly_any_grey_level_is_near_blank() -> None:
    assert reason([[NOISE % 3 + 100]]) == "all voxels lie between 100 and 102: 3 grey levels"
    assert reason([[NOISE % 4 + 100]]) is None


def test_labels_are_mostly_background_and_still_labels() -> None:
    sparse = np.zeros((4, 64, 64), np.uint16)
    sparse[0, :4, :4] = 3
    assert reason([[sparse]], "labels") is None
    sparse[0, :4, :4] = 0
    sparse[0, 0, 0] = 3
    assert reason([[sparse]], "labels") == "only 6.1e-05 of the voxels carry a label"


def test_what_is_all_blank_has_a_check_of_its_own() -> None:
    assert reason([[np.zeros_like(NOISE)]]) is None


@pytest.mark.parametrize("is_top", [False, True])
def test_a_stretched_contrast_piles_up_at_its_ends(is_top: bool) -> None:
    grey = np.random.default_rng(2).normal(128, 25, (16, 64, 64))
    stretched = np.clip(grey * 3 - 256, 0, 255).astype(np.uint8)
    end = 255 if is_top else 0
    assert clipped_fraction([stretched], end, is_top=is_top) > 0.03
    fading = np.clip(grey, 0, 255).astype(np.uint8)
    assert clipped_fraction([fading], float(fading.max() if is_top else fading.min()), is_top=is_top) == 0.0


def test_padding_is_not_cut_off() -> None:
    padded = NOISE.copy()
    padded[:, :, :32] = 0
    assert clipped_fraction([padded], 0, is_top=False) == 0.0


def test_few_levels_without_a_pile_are_not_cut_off() -> None:
    assert clipped_fraction([NOISE % 16], 15, is_top=True) == 0.0


def test_a_slice_repeats_another_where_all_that_is_seen_is_alike() -> None:
    marks = [(b"a", b"x"), (b"b", b"x"), (b"a", b"x"), (b"a", None), (None, None), (None, None), (b"b", b"x")]
    assert repeated_slices(marks) == [(2, 0), (6, 1)]


def test_labels_are_piecewise_constant_and_grey_values_are_not() -> None:
    labels = np.kron(np.arange(8, dtype=np.uint16).reshape(2, 2, 2), np.ones((16, 16, 16), np.uint16))
    assert is_piecewise_constant([labels])
    assert not is_piecewise_constant([NOISE])
    assert not is_piecewise_constant([NOISE[:, :, :1]])


def test_chunks_with_a_picture_are_drawn_by_the_seed() -> None:
    zeros = np.zeros_like(NOISE)
    blocks, _ = indexed([[NOISE, zeros, NOISE], [zeros, NOISE, NOISE]])
    assert set(blocks.textured(9, seed=0)) == {(0, 0, 0), (0, 0, 2), (0, 1, 1), (0, 1, 2)}
    assert blocks.textured(2, seed=5) == blocks.textured(2, seed=5)
    assert blocks.busiest_columns(2) == sorted(blocks.busiest_columns(2))
    assert (0, 1) not in blocks.busiest_columns(9)
