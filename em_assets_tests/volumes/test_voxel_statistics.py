"""Statistics of blocks and of the whole, against numpy's own on the whole array."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from em_assets.volumes.block_index import BlockIndex
from em_assets.volumes.quality import is_all_zero, is_constant
from em_assets.volumes.statistics import Statistics, moments


def index_of(*blocks: NDArray[Any]) -> BlockIndex:
    index = BlockIndex.empty((len(blocks), 1, 1), blocks[0].dtype)
    for z in reversed(range(len(blocks))):
        index.put((z, 0, 0), moments(blocks[z]))
    return index


def statistics(*blocks: NDArray[Any]) -> Statistics:
    return index_of(*blocks).statistics()


@pytest.mark.parametrize(
    "dtype", ["uint8", "int8", "uint16", "int16", "uint32", "int64", "float16", "float32", "float64"]
)
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


def test_a_spread_beyond_64_bits_is_unknown_and_no_obstacle() -> None:
    voxels = np.array([[[-1e300, 1e300, 1e300, 1e300]]])
    found = statistics(voxels)
    assert (found.min, found.max, found.mean, found.std) == (-1e300, 1e300, 5e299, None)
    largest = np.finfo(np.float64).max
    assert statistics(np.full((1, 1, 4), largest)).mean is None


def test_zeros_and_one_value_are_told_from_data() -> None:
    zeros, ones, data = np.zeros((2, 2, 2), np.uint8), np.ones((2, 2, 2), np.uint8), np.arange(8).reshape(2, 2, 2)
    assert [is_all_zero(statistics(block)) for block in (zeros, ones, data)] == [True, False, False]
    assert [is_constant(statistics(block)) for block in (zeros, ones, data)] == [True, True, False]
    assert is_constant(statistics(np.full((2, 2, 2), np.nan)))
    assert statistics(zeros).zero_fraction == 1.0


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16"])
@pytest.mark.parametrize("size", [1, 255, 257, 64**3])
def test_sums_of_small_whole_numbers_are_exact_at_their_limits(dtype: str, size: int) -> None:
    for value in (np.iinfo(dtype).min, np.iinfo(dtype).max):
        found = moments(np.full(size, value, dtype))
        assert (found.min, found.max, found.mean, found.m2) == (value, value, value, 0.0)


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16"])
@pytest.mark.parametrize("size", [255, 2**14 - 1, 2**14, 2**14 + 1, 5 * 2**14 + 77])
def test_sums_of_small_whole_numbers_are_those_of_pythons_own(dtype: str, size: int) -> None:
    info = np.iinfo(dtype)
    for start in (0, 1, 3):  # wherever in memory they begin
        values = np.random.default_rng(size).integers(info.min, info.max, size + 3, dtype=dtype, endpoint=True)[start:]
        total, squares = sum(values.tolist()), sum(value * value for value in values.tolist())
        found = moments(values)
        assert (found.mean, found.m2) == (total / values.size, (squares * values.size - total**2) / values.size)


def test_the_block_index_has_a_row_a_chunk_and_the_same_bytes_again() -> None:
    blocks = [np.full((2, 2, 2), np.nan, np.float32), np.array([[[0, 0, 2]]], np.float32)]
    table = index_of(*blocks).table()
    assert table.column_names == ["z", "y", "x", "n_voxels", "min", "max", "mean", "std", "zero_fraction"]
    assert table.to_pylist()[0] == {
        "z": 0, "y": 0, "x": 0, "n_voxels": 8, "min": None, "max": None, "mean": None, "std": None, "zero_fraction": 0.0
    }  # fmt: skip
    second = table.to_pylist()[1]
    assert (second["z"], second["n_voxels"], second["min"], second["max"]) == (1, 3, 0.0, 2.0)
    assert (second["mean"], second["std"], second["zero_fraction"]) == pytest.approx((2 / 3, np.std([0, 0, 2]), 2 / 3))
    assert index_of(*blocks).parquet().blake3 == index_of(*blocks).parquet().blake3


def test_64_bit_extremes_of_the_whole_are_exact() -> None:
    found = statistics(np.array([[[2**63 + 1, 2**64 - 1]]], np.uint64))
    assert (found.min, found.max) == (2**63 + 1, 2**64 - 1)
