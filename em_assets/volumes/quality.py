"""Whether voxels can be data at all: pure judgements on statistics, on the block index, and on a few blocks.

What is judged here was published once: 8 GB of zeros, boxes that are mostly padding, slices that come twice, stacks
clipped while they were made brighter. `em_assets.inspecting` asks these questions of committed volumes.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from em_assets.model import ZYX, Content
from em_assets.volumes.statistics import Statistics

if TYPE_CHECKING:
    import pyarrow as pa

LEAST_PICTURE = 0.5
"""A volume with less than this share of voxels that show something is near-blank."""

LEAST_LABELLED = 1e-4
"""Labels are mostly background, so only a share below this is remarkable."""

FEWEST_GREY_LEVELS = 4

MOST_CLIPPED = 0.01
"""Share of voxels at one end of the scale; ImageJ's contrast button clips 0.35 % by default."""

CLIPPED_OVER_NEXT = 3
"""A clipped end holds this many times the voxels of the level beside it; an end that fades out does not."""

PADDING_RUN = 8
"""So many zeros side by side are padding around the picture, and no clipped noise in it."""


def is_all_zero(statistics: Statistics) -> bool:
    """Whether every voxel is zero: what a missing chunk, an empty crop and a failed download all look like."""
    return statistics.n_voxels > 0 and statistics.n_zero == statistics.n_voxels


def is_constant(statistics: Statistics) -> bool:
    """Whether all voxels have one value, or none of them is a finite number."""
    return statistics.min == statistics.max


@dataclass(frozen=True)
class Blocks:
    """A volume's block index as columns: each chunk's place in the grid of chunks, and its statistics, NaN for null."""

    index_zyx: NDArray[np.int64]
    n_voxels: NDArray[np.int64]
    min: NDArray[np.float64]
    max: NDArray[np.float64]
    std: NDArray[np.float64]
    zero_fraction: NDArray[np.float64]

    @staticmethod
    def of(table: "pa.Table") -> "Blocks":
        """From the table that the writer left."""

        def column(name: str) -> NDArray[Any]:
            return np.asarray(table[name].to_numpy())

        index = np.stack([column(axis).astype(np.int64) for axis in "zyx"], axis=1)
        floats = (column(name).astype(np.float64) for name in ("min", "max", "std", "zero_fraction"))
        return Blocks(index, column("n_voxels").astype(np.int64), *floats)

    @property
    def has_picture(self) -> NDArray[np.bool_]:
        """Which chunks hold more than one value."""
        return np.asarray(self.max > self.min)

    def picture_fraction(self) -> float:
        """Share of the voxels that show something: neither zero, nor in a chunk of one value."""
        return picture_fraction(self.n_voxels, self.n_voxels * self.zero_fraction, self.min, self.max)

    def textured(self, count: int, seed: int) -> list[ZYX]:
        """Indices of at most `count` chunks with a picture, drawn by a seed among the larger half of them."""
        candidates = np.flatnonzero(self.has_picture)
        if candidates.size:
            candidates = candidates[self.n_voxels[candidates] >= np.median(self.n_voxels[candidates])]
        drawn = np.random.default_rng(seed).permutation(candidates)[:count]
        return [_zyx(self.index_zyx[at]) for at in sorted(drawn)]

    def busiest_columns(self, count: int) -> list[tuple[int, int]]:
        """The y, x indices of the columns of chunks, from the first slice to the last, that show most."""
        shape = self.index_zyx[:, 1:].max(axis=0) + 1
        column = np.ravel_multi_index((self.index_zyx[:, 1], self.index_zyx[:, 2]), tuple(shape))
        spread = np.bincount(column, weights=np.nan_to_num(self.std) * self.n_voxels)
        best = np.argsort(-spread, kind="stable")[:count]
        return sorted((int(at // shape[1]), int(at % shape[1])) for at in best if spread[at] > 0)


def picture_fraction(n_voxels: NDArray[Any], n_zero: NDArray[Any], low: NDArray[Any], high: NDArray[Any]) -> float:
    """Share of the voxels that show something, from the voxels, zeros and extremes of each chunk."""
    shown = (n_voxels - n_zero) * (high > low)
    return float(shown.sum() / max(int(n_voxels.sum()), 1))


def why_near_blank(shown: float, statistics: Statistics, dtype: np.dtype[Any], content: Content) -> str | None:
    """What there is too little of, in words; None for a volume that shows enough, and for one that is all blank.

    `shown` is the share of its voxels that show something.
    """
    if is_constant(statistics):
        return None
    if content == "labels":
        labelled = 1 - statistics.zero_fraction
        return f"only {labelled:.2g} of the voxels carry a label" if labelled < LEAST_LABELLED else None
    low, high = statistics.min, statistics.max
    if dtype.kind in "iu" and low is not None and high is not None and high - low < FEWEST_GREY_LEVELS - 1:
        return f"all voxels lie between {low} and {high}: {int(high - low) + 1} grey levels"
    if shown < LEAST_PICTURE:
        return f"{shown:.1%} of the voxels show something; the others are zero, or in chunks of one value"
    return None


def why_blank(statistics: Statistics) -> str | None:
    """In words, what a volume without a picture holds instead; None for any other."""
    if is_all_zero(statistics):
        return f"all {statistics.n_voxels} voxels are zero"
    return f"every voxel is {statistics.min}" if is_constant(statistics) else None


def clipped_fraction(blocks: Sequence[NDArray[Any]], end: float, *, is_top: bool) -> float:
    """Share of the voxels that pile up at one end of a volume's scale; 0 where that end fades out.

    Zeros that lie side by side are padding and not counted, wherever the scale ends at zero.
    """
    values = np.concatenate([_without_padding(block) if end == 0 else block.reshape(-1) for block in blocks])
    if values.dtype.kind == "f":
        values = values[np.isfinite(values)]
    inside = values[values != end]
    if values.size == 0 or inside.size == 0:
        return 0.0
    beside = inside.max() if is_top else inside.min()
    n_end, n_beside = values.size - inside.size, int(np.count_nonzero(inside == beside))
    return n_end / values.size if n_end > CLIPPED_OVER_NEXT * n_beside else 0.0


def repeated_slices(marks: Sequence[Sequence[bytes | None]]) -> list[tuple[int, int]]:
    """Slices whose every mark an earlier slice has too, each with that slice; slices without any mark are left out.

    `marks` has, for each slice, the digest of each place that was looked at; None where that place shows nothing.
    """
    first: dict[tuple[bytes | None, ...], int] = {}
    found = []
    for number, of_slice in enumerate(marks):
        key = tuple(of_slice)
        if any(key) and first.setdefault(key, number) != number:
            found.append((number, first[key]))
    return found


def is_piecewise_constant(blocks: Sequence[NDArray[Any]]) -> bool:
    """Whether nearly every voxel equals its neighbour, as labels do and no detector's grey values."""
    steps = [np.diff(block, axis=2) for block in blocks if block.shape[2] > 1]
    n_steps = sum(step.size for step in steps)
    n_equal = n_steps - sum(int(np.count_nonzero(step)) for step in steps)
    return n_steps > 0 and n_equal / n_steps > 0.9


def _without_padding(block: NDArray[Any]) -> NDArray[Any]:
    whole = block.shape[2] - block.shape[2] % PADDING_RUN
    runs = block[:, :, :whole].reshape(-1, PADDING_RUN)
    kept = runs[runs.any(axis=1)].reshape(-1)
    return np.concatenate([kept, block[:, :, whole:].reshape(-1)]) if math.prod(block.shape) else kept


def _zyx(values: NDArray[np.int64]) -> ZYX:
    z, y, x = (int(value) for value in values)
    return (z, y, x)
