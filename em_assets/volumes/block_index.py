"""Statistics of every chunk of a volume's finest level: one row a chunk, the same bytes for the same voxels."""

from dataclasses import dataclass
from math import isfinite, prod, sqrt
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from em_assets.model import ZYX
from em_assets.volumes.statistics import Moments, Statistics

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class BlockIndex:
    """Moments of each chunk, one array each, in the order of the chunks' z, y, x indices.

    Attributes
    ----------
    chunk_counts_zyx
        How many chunks the finest level has along each axis; 48 bytes are held for each.
    first_zyx
        Index of the first chunk, where these are a box of the level's chunks.
    """

    chunk_counts_zyx: ZYX
    n_voxels: NDArray[np.int64]
    n_finite: NDArray[np.int64]
    n_zero: NDArray[np.int64]
    min: NDArray[Any]
    max: NDArray[Any]
    mean: NDArray[np.float64]
    m2: NDArray[np.float64]
    first_zyx: ZYX = (0, 0, 0)

    @staticmethod
    def empty(chunk_counts_zyx: ZYX, dtype: np.dtype[Any], first_zyx: ZYX = (0, 0, 0)) -> "BlockIndex":
        """An index without voxels, to be filled chunk by chunk, by any thread in any order."""
        n = prod(chunk_counts_zyx)
        n_voxels, n_finite, n_zero = np.zeros((3, n), np.int64)
        low, high = np.zeros((2, n), dtype)
        mean, m2 = np.zeros((2, n))
        return BlockIndex(chunk_counts_zyx, n_voxels, n_finite, n_zero, low, high, mean, m2, first_zyx)

    def put(self, chunk_zyx: ZYX, found: Moments) -> None:
        """Take in one chunk, by its index in the grid of chunks."""
        index = tuple(chunk - first for chunk, first in zip(chunk_zyx, self.first_zyx, strict=True))
        at = np.ravel_multi_index(index, self.chunk_counts_zyx)
        for column, value in zip(self._columns, found, strict=True):
            column[at] = value

    def put_box(self, box: "BlockIndex") -> None:
        """Take in all chunks of a box."""
        corners = zip(box.first_zyx, self.first_zyx, box.chunk_counts_zyx, strict=True)
        at = tuple(slice(first - start, first - start + count) for first, start, count in corners)
        for column, values in zip(self._columns, box._columns, strict=True):
            column.reshape(self.chunk_counts_zyx)[at] = values.reshape(box.chunk_counts_zyx)

    def statistics(self) -> Statistics:
        """Statistics of all chunks together; the order in which they came makes no difference."""
        n_voxels, n_finite, n_zero = (int(column.sum()) for column in (self.n_voxels, self.n_finite, self.n_zero))
        if n_finite == 0:
            return Statistics(n_voxels=n_voxels, n_finite=0, n_zero=n_zero, min=None, max=None, mean=None, std=None)
        counted = self.n_finite > 0
        with np.errstate(over="ignore", invalid="ignore"):
            mean = float((self.mean * self.n_finite).sum()) / n_finite
            m2 = float((self.m2 + self.n_finite * (self.mean - mean) ** 2).sum())
        return Statistics(
            n_voxels=n_voxels,
            n_finite=n_finite,
            n_zero=n_zero,
            min=self.min[counted].min().item(),
            max=self.max[counted].max().item(),
            mean=mean if isfinite(mean) else None,
            std=sqrt(m2 / n_finite) if isfinite(m2) else None,
        )

    def table(self) -> "pa.Table":
        """One row a chunk: its z, y, x index, its voxels (fewer at an end), and their statistics.

        `min` to `std` are null where no voxel is finite, and rounded to float64 where they are 64-bit numbers.
        `zero_fraction` is the share that equals the fill value, which is 0 in every volume that is written.
        """
        import pyarrow as pa

        nothing = self.n_finite == 0
        std = np.sqrt(self.m2 / np.maximum(self.n_finite, 1))
        z, y, x = np.unravel_index(np.arange(self.n_voxels.size), self.chunk_counts_zyx)
        columns = {name: pa.array(index.astype(np.int32)) for name, index in zip("zyx", (z, y, x), strict=True)}
        columns["n_voxels"] = pa.array(self.n_voxels.astype(np.int32))
        for name, values in (("min", self.min), ("max", self.max), ("mean", self.mean), ("std", std)):
            columns[name] = pa.array(values.astype(np.float64), mask=nothing)
        columns["zero_fraction"] = pa.array(self.n_zero / np.maximum(self.n_voxels, 1))
        return pa.table(columns)

    @property
    def _columns(self) -> tuple[NDArray[Any], ...]:
        """In the order of the fields of `Moments`."""
        return (self.n_voxels, self.n_finite, self.n_zero, self.min, self.max, self.mean, self.m2)
