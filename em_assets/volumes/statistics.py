"""What voxels amount to: statistics of one block, exact where the voxels are small whole numbers."""

from math import sqrt
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from em_assets.model import Frozen

ROW_VOXELS = 256
"""Squares of 256 8-bit numbers sum up below 2^24, so float32 holds them exactly whatever the order of adding."""


class Statistics(Frozen):
    """Statistics of a volume's finest level; `min` to `std` are None where no voxel is finite.

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


def moments(block: NDArray[Any]) -> Moments:
    """Moments of a block of at most 2^20 voxels."""
    values = block.reshape(-1)
    finite = values[np.isfinite(values)] if values.dtype.kind == "f" else values
    if finite.size == 0:
        return Moments(values.size, 0, 0)
    low, high = finite.min().item(), finite.max().item()
    n_zero = values.size - int(np.count_nonzero(values)) if low <= 0 <= high else 0
    return Moments(values.size, finite.size, n_zero, low, high, *_mean_and_m2(finite))


def _mean_and_m2(values: NDArray[Any]) -> tuple[float, float]:
    if values.dtype.kind in "iu" and values.dtype.itemsize <= 2:
        total, squares = _sums_of_bytes(values) if values.dtype.itemsize == 1 else _sums(values)
        return total / values.size, (squares * values.size - total * total) / values.size
    wide = values.astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        mean = float(wide.mean())
        wide -= mean
        return mean, float(np.square(wide, out=wide).sum())


def _sums(values: NDArray[Any]) -> tuple[int, int]:
    """Sum and sum of squares of 16-bit numbers: 2^20 squares stay below 2^53, so float64 is exact."""
    wide = values.astype(np.float64)
    return int(wide.sum()), int(np.einsum("i,i->", wide, wide))


def _sums_of_bytes(values: NDArray[Any]) -> tuple[int, int]:
    """The same of 8-bit numbers in float32, row by row: half the memory, twice the numbers in a register."""
    whole = values.size - values.size % ROW_VOXELS
    rows = values[:whole].reshape(-1, ROW_VOXELS).astype(np.float32)
    total, squares = _sums(values[whole:])
    # `matmul` of a stack of rows stays in this thread; one product of a matrix would wake BLAS's own.
    return (
        total + int(np.matmul(rows[:, None], np.ones((ROW_VOXELS, 1), np.float32)).sum(dtype=np.float64)),
        squares + int(np.matmul(rows[:, None], rows[:, :, None]).sum(dtype=np.float64)),
    )
