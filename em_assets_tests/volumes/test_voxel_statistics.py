"""Statistics that pass by, against numpy on the whole."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from em_assets.volumes.quality import is_all_zero, is_constant
from em_assets.volumes.statistics import Statistics, merged, moments


def statistics(*blocks: NDArray[Any]) -> Statistics:
    with ThreadPoolExecutor(2) as executor:
        return merged([moments(block, executor) for block in blocks]).statistics()


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint32", "int64", "float16", "float32", "float64"])
def test_statistics_of_blocks_are_those_of_the_whole(dtype: str) -> None:
    voxels = (np.random.default_rng(2).normal(60, 25, (9, 500, 400))).clip(0, 120).astype(dtype)
    found = statistics(voxels[:4], voxels[4:])
    assert (found.min, found.max, found.n_zero) == (voxels.min(), voxels.max(), (voxels == 0).sum())
    assert found.mean == pytest.approx(voxels.mean(dtype=float), rel=1e-12)
    assert found.std == pytest.approx(voxels.std(dtype=float), rel=1e-9)


def test_a_large_mean_does_not_swallow_the_spread() -> None:
    voxels = np.tile(np.array([1e9, 1e9 + 1], np.float64), 500).reshape(10, 10, 10)
    assert statistics(voxels).std == pytest.approx(0.5)


def test_what_is_not_finite_is_counted_and_left_out() -> None:
    voxels = np.array([[[np.nan, np.inf, 1.0, 3.0]]], np.float32)
    found = statistics(voxels)
    assert (found.n_voxels, found.n_finite, found.min, found.max, found.mean) == (4, 2, 1.0, 3.0, 2.0)


def test_zeros_and_one_value_are_told_from_data() -> None:
    zeros, ones, data = np.zeros((2, 2, 2), np.uint8), np.ones((2, 2, 2), np.uint8), np.arange(8).reshape(2, 2, 2)
    assert [is_all_zero(statistics(block)) for block in (zeros, ones, data)] == [True, False, False]
    assert [is_constant(statistics(block)) for block in (zeros, ones, data)] == [True, True, False]
    assert is_constant(statistics(np.full((2, 2, 2), np.nan)))
    assert statistics(zeros).zero_fraction == 1.0
