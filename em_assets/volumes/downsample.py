"""Halving a block of voxels: the mean for intensities, the majority for labels.

A window is 2 voxels along each halved axis. At an odd end it holds what is there: the last plane is taken twice, which
gives every voxel of the short window the same weight, so mean and majority are those of the voxels that exist.

- Whole numbers: the exact mean, halves rounded up (toward plus infinity): 0, 1 → 1; -1, 0 → 0. Nothing overflows,
  64-bit numbers included.
- Floating point: float16 is summed in float32, float32 in float64, and rounded once; float64 stays float64.
- Labels: the most frequent label; of equally frequent ones the smallest. Background (0) is a label like any other.
"""

from collections.abc import Callable
from concurrent.futures import Executor
from functools import partial, reduce
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from em_assets.model import ZYX, Content

Halve = Callable[[NDArray[Any], ZYX], NDArray[Any]]

PIECE_VOXELS = 1 << 20
"""Blocks are halved in pieces of about this many voxels: with half or twice as many 805 MB took a tenth longer."""


def halving(content: Content) -> Halve:
    """How voxels of this content are halved."""
    return halve_majority if content == "labels" else halve_mean


def halve_into(out: NDArray[Any], block: NDArray[Any], step_zyx: ZYX, halve: Halve, executor: Executor) -> None:
    """Fill `out` with `block` halved along the axes whose step is 2, in pieces shared among the executor's threads."""
    rows = max(1, PIECE_VOXELS // (block.shape[2] * step_zyx[0] * step_zyx[1]))
    pieces = [(z, y, min(y + rows, out.shape[1])) for z in range(out.shape[0]) for y in range(0, out.shape[1], rows)]
    list(executor.map(partial(_halve_piece, out, block, step_zyx, halve), pieces))


def halve_mean(block: NDArray[Any], step_zyx: ZYX) -> NDArray[Any]:
    """Mean of each window, in the block's own type."""
    if block.dtype.kind == "f":
        return _mean_of_floats(block, step_zyx)
    halvings = sum(step == 2 for step in step_zyx)
    if block.dtype.itemsize < 8:
        total = _window_sums(block, step_zyx, np.dtype(f"{block.dtype.kind}{2 * block.dtype.itemsize}"))
        total += total.dtype.type((1 << halvings) >> 1)
        total >>= total.dtype.type(halvings)
        return total.astype(block.dtype)
    return _mean_of_64_bits(block, step_zyx, halvings)


def halve_majority(block: NDArray[Any], step_zyx: ZYX) -> NDArray[Any]:
    """Most frequent value of each window; the smallest of those that are equally frequent."""
    corners = _corners(block, step_zyx)
    result: NDArray[Any] = reduce(np.minimum, corners)
    mixed = result != reduce(np.maximum, corners)
    if mixed.any():
        windows = np.stack([corner[mixed] for corner in corners])
        result[mixed] = _modes(np.sort(windows, axis=0))
    return result


def _halve_piece(
    out: NDArray[Any], block: NDArray[Any], step_zyx: ZYX, halve: Halve, piece: tuple[int, int, int]
) -> None:
    z, first, end = piece
    step_z, step_y, _ = step_zyx
    out[z : z + 1, first:end] = halve(block[step_z * z : step_z * (z + 1), step_y * first : step_y * end], step_zyx)


def _pairs(block: NDArray[Any], axis: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """The first and second members of each pair along an axis; at an odd end the last one is its own partner."""
    every_other = [slice(None)] * 3
    every_other[axis] = slice(0, None, 2)
    first = block[tuple(every_other)]
    every_other[axis] = slice(1, None, 2)
    second = block[tuple(every_other)]
    if first.shape[axis] != second.shape[axis]:
        every_other[axis] = slice(-1, None)
        second = np.concatenate([second, block[tuple(every_other)]], axis=axis)
    return first, second


def _window_sums(block: NDArray[Any], step_zyx: ZYX, dtype: np.dtype[Any]) -> NDArray[Any]:
    lanes = _pairs_as_one(block, dtype) if step_zyx[2] == 2 else None
    total, axes = (block, (0, 1, 2)) if lanes is None else (_sums_of_lanes(lanes), (0, 1))
    # Else z first: whole rows are added at the speed of memory; the strided sums along x then meet a quarter of them.
    for axis in axes:
        if step_zyx[axis] == 2:
            total = np.add(*_pairs(total, axis), dtype=dtype)
    return total.astype(dtype, copy=total is block)


def _pairs_as_one(block: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any] | None:
    """Each two neighbours along x as one whole number of twice their size; None where they are none in memory."""
    is_worth_it = block.itemsize <= 2 and dtype.kind in "iu" and dtype.itemsize == 2 * block.itemsize
    if not is_worth_it or not block.dtype.isnative or block.shape[2] % 2 or block.strides[2] != block.itemsize:
        return None
    lanes = block.view(dtype)
    return lanes if lanes.flags.aligned else None


def _sums_of_lanes(lanes: NDArray[Any]) -> NDArray[Any]:
    """Of each number the sum of its two halves, signed if it is: no stride and no cast, so all lanes at once."""
    bits = lanes.dtype.type(4 * lanes.itemsize)
    total: NDArray[Any] = np.left_shift(lanes, bits)
    total >>= bits
    total += np.right_shift(lanes, bits)
    return total


def _mean_of_floats(block: NDArray[Any], step_zyx: ZYX) -> NDArray[Any]:
    wide = np.dtype("f4") if block.dtype.itemsize == 2 else np.dtype("f8")
    halvings = sum(step == 2 for step in step_zyx)
    with np.errstate(all="ignore"):  # NaN and infinity are the source's own and go through as such
        if block.dtype.itemsize == 8:
            return _window_sums(block * 2.0**-halvings, step_zyx, wide)  # scaled first: the sum could overflow
        return (_window_sums(block, step_zyx, wide) * wide.type(2.0**-halvings)).astype(block.dtype)


def _mean_of_64_bits(block: NDArray[Any], step_zyx: ZYX, halvings: int) -> NDArray[Any]:
    # v = q * 2^k + r: the sum of 2^k quotients fits where the sum of the values would not, and
    # floor((sum v + half) / 2^k) = sum q + floor((sum r + half) / 2^k).
    shift = block.dtype.type(halvings)
    mask = block.dtype.type((1 << halvings) - 1)
    total = _window_sums(block >> shift, step_zyx, block.dtype)
    rest = _window_sums(block & mask, step_zyx, block.dtype)
    rest += block.dtype.type((1 << halvings) >> 1)
    rest >>= shift
    total += rest
    return total


def _corners(block: NDArray[Any], step_zyx: ZYX) -> list[NDArray[Any]]:
    """The windows' voxels: one array for each place in the window."""
    corners: list[NDArray[Any]] = [block]
    for axis in range(3):
        if step_zyx[axis] == 2:
            corners = [half for corner in corners for half in _pairs(corner, axis)]
    return corners


def _modes(ordered: NDArray[Any]) -> NDArray[Any]:
    """Value of the longest run along the first axis of sorted columns; the first of equally long runs."""
    best: NDArray[Any] = ordered[0].copy()
    best_run = np.ones(best.shape, np.int8)
    run = np.ones(best.shape, np.int8)
    for before, here in pairwise(ordered):
        run = np.where(here == before, run + np.int8(1), np.int8(1))
        longer = run > best_run
        best[longer] = here[longer]
        best_run[longer] = run[longer]
    return best
