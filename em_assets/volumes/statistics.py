"""What voxels amount to: statistics of one block, exact where the voxels are small whole numbers."""

from math import prod, sqrt
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from em_assets.model import Frozen

_BYTE_ROW = 1 << 14
"""Squares of so many 8-bit numbers sum up below 2^31, whatever number a processor's instructions count them in."""

_BYTES = (np.float32, 256)
"""Squares of 256 8-bit numbers sum up below 2^24, so float32 holds them exactly whatever the order of adding."""

_ONES = np.ones((1, _BYTE_ROW), np.uint8)

_SHORTS = (np.float64, 4096)
"""2^20 squares of 16-bit numbers stay below 2^53."""


class Statistics(Frozen):
    """Statistics of a volume's finest level; `min` to `std` are None where no voxel is finite.

    `mean` and `std` are None as well where 64 bits do not hold them.
    `n_zero` counts voxels that are exactly zero, `n_finite` those that are neither NaN nor infinite: only these enter
    the others.
    """

    n_voxels: int
    n_finite: int
    n_zero: int
    min: int | float | None
    max: int | float | None
    mean: float | None
    std: float | None

    @property
    def zero_fraction(self) -> float:
        """Share of the voxels that are exactly zero."""
        return self.n_zero / self.n_voxels if self.n_voxels else 0.0


class Moments(NamedTuple):
    """Statistics of one block, in a form that can be merged: `m2` is the sum of squared distances from the mean.

    Without a finite voxel `min` to `m2` are zero and mean nothing.
    """

    n_voxels: int
    n_finite: int
    n_zero: int
    min: int | float = 0
    max: int | float = 0
    mean: float = 0.0
    m2: float = 0.0

    @property
    def std(self) -> float:
        """Standard deviation of the finite voxels."""
        return sqrt(self.m2 / self.n_finite) if self.n_finite else 0.0


def moments_of(blocks: NDArray[Any]) -> list[Moments]:
    """Moments of each of several blocks (n, z, y, x), contiguous, of at most 2^20 voxels."""
    size = prod(blocks.shape[1:])
    if blocks.dtype != np.uint8 or size % _BYTE_ROW:
        return [moments(block) for block in blocks]
    from simsimd import dot  # counts in whole numbers, where numpy makes floating-point ones of them first

    each, rows = blocks.reshape(len(blocks), size), blocks.reshape(-1, _BYTE_ROW)
    totals, squares = (np.asarray(dot(rows, other)).reshape(len(blocks), -1).sum(axis=1) for other in (_ONES, rows))
    found = zip(
        each, *(column.tolist() for column in (each.min(axis=1), each.max(axis=1), totals, squares)), strict=True
    )
    return [
        Moments(size, size, _n_zero(block, low, high), low, high, *_from_sums(size, int(total), int(square)))
        for block, low, high, total, square in found
    ]


def moments(block: NDArray[Any]) -> Moments:
    """Moments of a block of at most 2^20 voxels."""
    values = block.reshape(-1)
    finite = _finite(values) if values.dtype.kind == "f" else values
    if finite.size == 0:
        return Moments(values.size, 0, 0)
    low, high = finite.min().item(), finite.max().item()
    return Moments(values.size, finite.size, _n_zero(values, low, high), low, high, *_mean_and_m2(finite))


def _n_zero(values: NDArray[Any], low: float, high: float) -> int:
    return values.size - int(np.count_nonzero(values)) if low <= 0 <= high else 0


def _finite(values: NDArray[Any]) -> NDArray[Any]:
    is_finite = np.isfinite(values)
    return values if is_finite.all() else values[is_finite]


def _mean_and_m2(values: NDArray[Any]) -> tuple[float, float]:
    if values.dtype.kind in "iu" and values.dtype.itemsize <= 2:
        total, squares = _sums(values, *(_BYTES if values.dtype.itemsize == 1 else _SHORTS))
        return _from_sums(values.size, total, squares)
    wide = values.astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        mean = float(wide.mean())
        wide -= mean
        return mean, float(np.square(wide, out=wide).sum())


def _from_sums(size: int, total: int, squares: int) -> tuple[float, float]:
    """Mean and m2, rounded once each."""
    return total / size, (squares * size - total * total) / size


def _sums(values: NDArray[Any], wide: type[np.floating[Any]], row: int) -> tuple[int, int]:
    """Sum and sum of squares of whole numbers, exact: those of a row are below what `wide` counts to.

    Row by row also stays in this thread: one product of all would wake BLAS's own.
    """
    whole = values.size - values.size % row
    rows, rest = values[:whole].reshape(-1, row).astype(wide), values[whole:].astype(np.float64)
    total = np.vecdot(rows, np.ones(row, wide)).sum(dtype=np.float64)
    return int(total + rest.sum()), int(np.vecdot(rows, rows).sum(dtype=np.float64) + np.vecdot(rest, rest))
