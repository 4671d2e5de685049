"""What the voxels of a volume amount to, gathered piece by piece while they pass."""

from collections.abc import Iterable
from concurrent.futures import Executor
from math import sqrt
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from em_assets.model import Frozen

PIECE_VOXELS = 1 << 20
"""Squares of 2^20 16-bit numbers sum up below 2^53, so float64 holds them exactly whatever the order of adding."""


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
    """Statistics of a part, in a form that can be merged: `m2` is the sum of squared distances from the mean."""

    n_voxels: int = 0
    n_finite: int = 0
    n_zero: int = 0
    min: int | float | None = None
    max: int | float | None = None
    mean: float = 0.0
    m2: float = 0.0

    def statistics(self) -> Statistics:
        """The same as finished statistics."""
        mean = self.mean if self.n_finite else None
        std = sqrt(self.m2 / self.n_finite) if self.n_finite else None
        return Statistics(
            n_voxels=self.n_voxels,
            n_finite=self.n_finite,
            n_zero=self.n_zero,
            min=self.min,
            max=self.max,
            mean=mean,
            std=std,
        )


def moments(block: NDArray[Any], executor: Executor) -> Moments:
    """Moments of a block, its pieces shared among the executor's threads and merged in order."""
    flat = block.reshape(-1)
    pieces = (flat[start : start + PIECE_VOXELS] for start in range(0, flat.size, PIECE_VOXELS))
    return merged(executor.map(_piece_moments, pieces))


def merged(parts: Iterable[Moments]) -> Moments:
    """Moments of all parts together (Chan, Golub and LeVeque's update: no large sums are subtracted)."""
    total = Moments()
    for part in parts:
        total = _merge(total, part)
    return total


def _merge(one: Moments, other: Moments) -> Moments:
    n = one.n_finite + other.n_finite
    distance = other.mean - one.mean
    weight = other.n_finite / n if n else 0.0
    lows = [value for value in (one.min, other.min) if value is not None]
    highs = [value for value in (one.max, other.max) if value is not None]
    return Moments(
        n_voxels=one.n_voxels + other.n_voxels,
        n_finite=n,
        n_zero=one.n_zero + other.n_zero,
        min=min(lows, default=None),
        max=max(highs, default=None),
        mean=one.mean + distance * weight,
        m2=one.m2 + other.m2 + distance * distance * one.n_finite * weight,
    )


def _piece_moments(piece: NDArray[Any]) -> Moments:
    n_voxels = piece.size
    n_zero = n_voxels - int(np.count_nonzero(piece))
    finite = piece[np.isfinite(piece)] if piece.dtype.kind == "f" else piece
    if finite.size == 0:
        return Moments(n_voxels=n_voxels, n_zero=n_zero)
    mean, m2 = _mean_and_m2(finite)
    low, high = finite.min().item(), finite.max().item()
    return Moments(n_voxels, finite.size, n_zero, low, high, mean, m2)


def _mean_and_m2(values: NDArray[Any]) -> tuple[float, float]:
    wide = values.astype(np.float64)
    if values.dtype.kind in "iu" and values.dtype.itemsize <= 2:
        total, squares = int(wide.sum()), int(wide @ wide)  # exact, see PIECE_VOXELS
        return total / values.size, (squares * values.size - total * total) / values.size
    with np.errstate(over="ignore", invalid="ignore"):
        mean = float(wide.mean())
        wide -= mean
        return mean, float(np.square(wide, out=wide).sum())
