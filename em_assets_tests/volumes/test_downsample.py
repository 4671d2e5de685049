"""Halving, against the plainest possible reference: every window by itself, in Python's whole numbers."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from itertools import product
from math import floor
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from em_assets.volumes.downsample import halve_into, halve_majority, halve_mean

INTEGERS = ["uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64"]
STEPS = [(2, 2, 2), (1, 2, 2), (2, 1, 1), (1, 1, 2)]


def windows(voxels: NDArray[Any], step: tuple[int, int, int]) -> dict[tuple[int, ...], list[Any]]:
    shape = [-(-n // s) for n, s in zip(voxels.shape, step, strict=True)]
    return {
        at: voxels[tuple(slice(i * s, i * s + s) for i, s in zip(at, step, strict=True))].ravel().tolist()
        for at in product(*map(range, shape))
    }


def reference(voxels: NDArray[Any], step: tuple[int, int, int], of_window: Any) -> NDArray[Any]:
    result = np.empty([-(-n // s) for n, s in zip(voxels.shape, step, strict=True)], voxels.dtype)
    for at, window in windows(voxels, step).items():
        result[at] = of_window(window)
    return result


def mean_half_up(window: list[int]) -> int:
    return floor(Fraction(sum(window), len(window)) + Fraction(1, 2))


def smallest_of_most_frequent(window: list[int]) -> int:
    return min(Counter(window).items(), key=lambda item: (-item[1], item[0]))[0]


def noise(dtype: str, shape: tuple[int, int, int] = (5, 7, 9)) -> NDArray[Any]:
    info = np.iinfo(dtype)
    voxels = np.random.default_rng(7).integers(info.min, info.max, shape, dtype=dtype, endpoint=True)
    voxels[:2, :2, :4] = info.max
    voxels[2:4, :2, :4] = info.min
    return voxels


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("dtype", INTEGERS)
def test_means_of_whole_numbers_are_exact_and_halves_go_up(dtype: str, step: tuple[int, int, int]) -> None:
    voxels = noise(dtype)
    assert np.array_equal(halve_mean(voxels, step), reference(voxels, step, mean_half_up))


def test_halves_of_negative_numbers_go_up_too() -> None:
    voxels = np.array([[[-1, 0, -3, -2, 0, 1]]], np.int16)
    assert halve_mean(voxels, (1, 1, 2)).ravel().tolist() == [0, -2, 1]


@pytest.mark.parametrize("step", STEPS)
def test_float32_means_are_rounded_once(step: tuple[int, int, int]) -> None:
    voxels = np.random.default_rng(3).normal(0, 1e6, (5, 7, 9)).astype(np.float32)
    expected = reference(voxels, step, lambda window: np.float32(float(sum(map(Fraction, window)) / len(window))))
    assert np.array_equal(halve_mean(voxels, step), expected)


def test_float64_does_not_overflow_and_keeps_nan_where_it_was() -> None:
    voxels = np.full((2, 2, 4), np.finfo(np.float64).max)
    voxels[0, 0, 3] = np.nan
    halved = halve_mean(voxels, (2, 2, 2)).ravel()
    assert halved[0] == np.finfo(np.float64).max
    assert np.isnan(halved[1])


def test_float16_stays_float16() -> None:
    halved = halve_mean(np.full((2, 2, 2), 60_000, np.float16), (2, 2, 2))
    assert (halved.dtype, halved.item()) == (np.float16, np.float16(60_000))


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("dtype", INTEGERS)
def test_labels_go_by_majority_and_ties_to_the_smallest(dtype: str, step: tuple[int, int, int]) -> None:
    voxels = np.random.default_rng(5).integers(0, 3, (9, 11, 13)).astype(dtype) * np.iinfo(dtype).max
    voxels += np.random.default_rng(6).integers(0, 2, voxels.shape).astype(dtype)
    assert np.array_equal(halve_majority(voxels, step), reference(voxels, step, smallest_of_most_frequent))


def test_background_counts_as_a_label() -> None:
    assert halve_majority(np.array([[[0, 7]]], np.uint64), (1, 1, 2)).item() == 0
    assert halve_majority(np.array([[[9, 7]]], np.uint64), (1, 1, 2)).item() == 7


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 1, 5), (5, 700, 1200)])
def test_pieces_in_threads_give_the_same_as_the_whole(shape: tuple[int, int, int]) -> None:
    voxels = np.random.default_rng(1).integers(0, 255, shape, dtype=np.uint8)
    out = np.empty([-(-n // 2) for n in shape], np.uint8)
    with ThreadPoolExecutor(2) as executor:
        halve_into(out, voxels, (2, 2, 2), halve_mean, executor)
    assert np.array_equal(out, halve_mean(voxels, (2, 2, 2)))
