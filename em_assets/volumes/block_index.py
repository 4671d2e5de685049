"""Statistics of every chunk of a volume's finest level: one row a chunk, the same bytes for the same voxels."""

import mmap
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import isfinite, prod, sqrt
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from em_assets.model import ZYX
from em_assets.volumes.parquet import HELD_BYTES, ROW_GROUP_ROWS, ParquetBytes, scratch_errors
from em_assets.volumes.statistics import Moments, Statistics

if TYPE_CHECKING:
    import pyarrow as pa

PIECE_ROWS = 1 << 20
"""Chunks whose statistics are put together at once."""

PAGE_BYTES = 4096


@dataclass(frozen=True)
class BlockIndex:
    """Moments of each chunk, one array each, in the order of the chunks' z, y, x indices.

    Attributes
    ----------
    chunk_counts_zyx
        How many chunks the finest level has along each axis; 28 bytes are kept for each, and two voxels: of many on a
        disk, in a file without a name that is mapped.
    first_zyx
        Index of the first chunk, where these are a box of the level's chunks.
    """

    chunk_counts_zyx: ZYX
    n_voxels: NDArray[np.int32]
    n_finite: NDArray[np.int32]
    n_zero: NDArray[np.int32]
    min: NDArray[Any]
    max: NDArray[Any]
    mean: NDArray[np.float64]
    m2: NDArray[np.float64]
    first_zyx: ZYX = (0, 0, 0)

    @staticmethod
    def empty(chunk_counts_zyx: ZYX, dtype: np.dtype[Any], first_zyx: ZYX = (0, 0, 0)) -> "BlockIndex":
        """An index without voxels, to be filled chunk by chunk, by any thread in any order."""
        counts, floats = np.dtype(np.int32), np.dtype(np.float64)
        columns = _zeros(prod(chunk_counts_zyx), (counts, counts, counts, dtype, dtype, floats, floats))
        n_voxels, n_finite, n_zero, low, high, mean, m2 = columns
        return BlockIndex(chunk_counts_zyx, n_voxels, n_finite, n_zero, low, high, mean, m2, first_zyx)

    def put(self, chunk_zyx: ZYX, found: Moments) -> None:
        """Take in one chunk, by its index in the grid of chunks."""
        self.put_row(chunk_zyx, [found])

    def put_row(self, first_zyx: ZYX, found: Sequence[Moments]) -> None:
        """Take in chunks that follow each other along x, by the index of the first."""
        index = tuple(chunk - first for chunk, first in zip(first_zyx, self.first_zyx, strict=True))
        at = int(np.ravel_multi_index(index, self.chunk_counts_zyx))
        for column, values in zip(self._columns, zip(*found, strict=True), strict=True):
            column[at : at + len(found)] = values

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
        pieces = [slice(start, start + PIECE_ROWS) for start in range(0, self.n_finite.size, PIECE_ROWS)]
        with np.errstate(over="ignore", invalid="ignore"):
            mean = sum(float((self.mean[at] * self.n_finite[at]).sum()) for at in pieces) / n_finite
            m2 = sum(float((self.m2[at] + self.n_finite[at] * (self.mean[at] - mean) ** 2).sum()) for at in pieces)
        low, high = (
            [column[at][self.n_finite[at] > 0] for at in pieces if self.n_finite[at].any()]
            for column in (self.min, self.max)
        )
        return Statistics(
            n_voxels=n_voxels,
            n_finite=n_finite,
            n_zero=n_zero,
            min=min(values.min().item() for values in low),
            max=max(values.max().item() for values in high),
            mean=mean if isfinite(mean) else None,
            std=sqrt(m2 / n_finite) if isfinite(m2) else None,
        )

    def parquet(self) -> ParquetBytes:
        """The `table` as a Parquet file.

        Raises
        ------
        StoreError
            The folder for temporary files (`TMPDIR`) has no room.
        """
        return ParquetBytes.of(self._rows(slice(0, 0)).schema, self._tables())

    def table(self) -> "pa.Table":
        """One row a chunk: its z, y, x index, its voxels (fewer at an end), and their statistics.

        `min` to `std` are null where no voxel is finite, and rounded to float64 where they are 64-bit numbers.
        `zero_fraction` is the share that equals the fill value, which is 0 in every volume that is written.
        """
        import pyarrow as pa

        return pa.concat_tables(self._tables())

    def _tables(self) -> "Iterator[pa.Table]":
        """Its rows, a row group at a time."""
        starts = range(0, self.n_voxels.size, ROW_GROUP_ROWS)
        return (self._rows(slice(start, min(start + ROW_GROUP_ROWS, self.n_voxels.size))) for start in starts)

    def _rows(self, at: slice) -> "pa.Table":
        import pyarrow as pa

        n_voxels, n_finite, n_zero, low, high, mean, m2 = (column[at] for column in self._columns)
        std = np.sqrt(m2 / np.maximum(n_finite, 1))
        index = np.unravel_index(np.arange(at.start, at.stop), self.chunk_counts_zyx)
        columns = {name: pa.array(places.astype(np.int32)) for name, places in zip("zyx", index, strict=True)}
        columns["n_voxels"] = pa.array(n_voxels)
        for name, values in (("min", low), ("max", high), ("mean", mean), ("std", std)):
            columns[name] = pa.array(values.astype(np.float64), mask=n_finite == 0)
        columns["zero_fraction"] = pa.array(n_zero / np.maximum(n_voxels, 1))
        return pa.table(columns)

    @property
    def _columns(self) -> tuple[NDArray[Any], ...]:
        """In the order of the fields of `Moments`."""
        return (self.n_voxels, self.n_finite, self.n_zero, self.min, self.max, self.mean, self.m2)


def _zeros(n: int, dtypes: Sequence[np.dtype[Any]]) -> list[NDArray[Any]]:
    """Columns of zeros: in memory where they are small, or else in a file without a name."""
    steps = [-(-n * dtype.itemsize // PAGE_BYTES) * PAGE_BYTES for dtype in dtypes]
    if sum(steps) <= HELD_BYTES:
        return [np.zeros(n, dtype) for dtype in dtypes]
    with scratch_errors("the block index"), TemporaryFile() as file:
        os.posix_fallocate(file.fileno(), 0, sum(steps))  # a mapped page that finds no room ends the process
        memory = mmap.mmap(file.fileno(), sum(steps))
    starts = accumulate(steps, initial=0)
    return [np.frombuffer(memory, dtype, n, start) for dtype, start in zip(dtypes, starts, strict=False)]
