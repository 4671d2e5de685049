"""Which blocks to read: everywhere, at random, or where there is something to see.

A sampler is a value and not a process: `box(epoch, index)` is a function of its arguments and its seed, so the blocks
are the same whoever asks, in whatever order, with however many workers, and after a restart in the middle::

    index →      0    1    2    3  …  1024 …    every 1,024 blocks of an epoch have a generator of their own,
    epoch 0      ▣    ▣    ▣    ▣      ▣        default_rng((seed, epoch, index // 1024)), so none depends
    epoch 1      ▣    ▣    ▣    ▣      ▣        on what was drawn before
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import accumulate, product
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from em_assets.blocks.regions import Region, checked_regions, n_places, positive, that_hold
from em_assets.errors import OutOfBoundsError, UsageError
from em_assets.model import ZYX

if TYPE_CHECKING:
    from em_assets.blocks.volume import VolumeDataset

ORDERS_KEPT = 4
"""Orders of an epoch that are kept: an order costs its length, a box then costs nothing."""

DRAWN_AT_ONCE = 1024
"""A generator of its own for each block would cost as much as a tenth of reading a small one."""


class Sampler(Protocol):
    """So many blocks an epoch, each decided by (epoch, index) alone."""

    def __len__(self) -> int:
        """Blocks in an epoch."""

    def box(self, epoch: int, index: int) -> Region:
        """First voxel and shape of a block, z, y, x."""


@dataclass(frozen=True)
class Places:
    """Blocks at listed places, each once an epoch; shuffled where there is a seed."""

    starts_zyx: tuple[ZYX, ...]
    block_zyx: ZYX
    seed: int | None = None

    def __len__(self) -> int:
        """One block a place."""
        return len(self.starts_zyx)

    def box(self, epoch: int, index: int) -> Region:
        """The `index`th place of that epoch's order."""
        at = _checked(index, len(self))
        if self.seed is not None:
            at = int(_order(len(self), self.seed, epoch)[at])
        return self.starts_zyx[at], self.block_zyx


@dataclass(frozen=True)
class Random:
    """Blocks at random places of some regions, every place as likely as any other.

    Attributes
    ----------
    step_zyx
        Starts are multiples of it, counted from the volume's first voxel.
    """

    regions: tuple[Region, ...]
    block_zyx: ZYX
    n: int
    seed: int
    step_zyx: ZYX = (1, 1, 1)

    def __len__(self) -> int:
        """As many as were asked for."""
        return self.n

    def box(self, epoch: int, index: int) -> Region:
        """A place drawn for that epoch and index."""
        page, row = divmod(_checked(index, self.n), DRAWN_AT_ONCE)
        ends = self._ends
        drawn = int(_drawn(self.seed, epoch, page, ends[-1])[row])
        chosen = bisect_right(ends, drawn)
        along_z, along_y, along_x = self._ranges[chosen]
        rest, x = divmod(drawn - (ends[chosen - 1] if chosen else 0), len(along_x))
        z, y = divmod(rest, len(along_y))
        return (along_z[z], along_y[y], along_x[x]), self.block_zyx

    @cached_property
    def _ranges(self) -> list[list[range]]:
        return [_starts(region, self.block_zyx, self.step_zyx) for region in self.regions]

    @cached_property
    def _ends(self) -> list[int]:
        """Up to each region, places that there are in it and those before."""
        return list(accumulate(n_places(along) for along in self._ranges))


def grid(
    shape_zyx: Sequence[int],
    block_zyx: Sequence[int],
    overlap_zyx: Sequence[int] = (0, 0, 0),
    *,
    within: Sequence[tuple[Sequence[int], Sequence[int]]] | None = None,
    seed: int | None = None,
) -> Places:
    """Blocks that cover everything, each `overlap_zyx` into its neighbours; the last of an axis ends where it ends.

    In the order of z, y, x or, with a seed, shuffled anew each epoch.

    Raises
    ------
    OutOfBoundsError
        A block does not fit, or a region is outside.
    UsageError
        An overlap that is no smaller than the block.
    """
    block = positive(block_zyx, "block_zyx")
    overlap = tuple(int(n) for n in overlap_zyx)
    if len(overlap) != 3 or not all(0 <= n < edge for n, edge in zip(overlap, block, strict=True)):
        raise UsageError(f"overlap_zyx={overlap}: from 0 to less than the block {block} expected")
    steps = [edge - n for edge, n in zip(block, overlap, strict=True)]
    regions = checked_regions(shape_zyx, within)
    if that_hold(regions, block) != regions:
        raise OutOfBoundsError(f"a block of {block} (z, y, x) does not fit into every region: {regions}")
    starts = [place for region in regions for place in _covering(region, block, steps)]
    return Places(tuple(dict.fromkeys(starts)), block, None if seed is None else _checked_seed(seed))


def random(
    shape_zyx: Sequence[int],
    block_zyx: Sequence[int],
    n: int,
    seed: int,
    *,
    aligned_to: Sequence[int] | None = None,
    within: Sequence[tuple[Sequence[int], Sequence[int]]] | None = None,
) -> Random:
    """`n` blocks an epoch at random places, drawn with replacement.

    Aligned to the chunks that are stored (`aligned_to=volume.chunk_shape`) a block of 64³ touches one chunk instead of
    eight, and is read five to eight times as fast.

    Raises
    ------
    OutOfBoundsError
        A block fits nowhere, or at no aligned place.
    UsageError
        `n` is below 1.
    """
    block = positive(block_zyx, "block_zyx")
    step = (1, 1, 1) if aligned_to is None else positive(aligned_to, "aligned_to")
    if n < 1:
        raise UsageError(f"n={n}: at least one block an epoch expected")
    regions = that_hold(checked_regions(shape_zyx, within), block)
    usable = tuple(region for region in regions if n_places(_starts(region, block, step)))
    if not usable:
        raise OutOfBoundsError(f"a block of {block} (z, y, x) at multiples of {step} fits into no region: {regions}")
    return Random(usable, block, n, _checked_seed(seed), step)


def foreground(
    volume: "VolumeDataset",
    block_zyx: Sequence[int],
    seed: int,
    *,
    min_foreground: float = 0.0,
    min_std: float = 0.0,
    within: Sequence[tuple[Sequence[int], Sequence[int]]] | None = None,
) -> Places:
    """Blocks that hold something, as the volume's block index knows without reading: each once an epoch, shuffled.

    Places are whole multiples of the block. Where a block is no whole number of chunks, its share of a chunk counts as
    the chunk's average.

    Parameters
    ----------
    min_foreground
        Least fraction of voxels that are not 0; 0 asks for more than none.
    min_std
        Least standard deviation of the voxels' grey values, as the mean over the chunks.

    Raises
    ------
    UsageError
        No pass has counted the volume's chunks, it is not the finest level, or no block is left.
    StoreError
        The index is damaged.
    """
    block = positive(block_zyx, "block_zyx")
    if volume.level != 0:
        raise UsageError(f"{volume.url}: the block index is of the finest level, and this is level {volume.level}")
    regions = that_hold(checked_regions(volume.shape, within), block)
    full, texture = _block_statistics(volume, block)
    is_wanted = (full > 0) & (full >= min_foreground) & (texture >= min_std)
    starts = [
        start
        for region in regions
        for start in _product(*_starts(region, block, block))
        if is_wanted[tuple(first // edge for first, edge in zip(start, block, strict=True))]
    ]
    if not starts:
        raise UsageError(
            f"{volume.url}: no block of {block} (z, y, x) has a fraction of {min_foreground} above 0 and a standard "
            f"deviation of {min_std}; the most there is: {full.max(initial=0.0):.3g} and {texture.max(initial=0.0):.3g}"
        )
    return Places(tuple(starts), block, _checked_seed(seed))


def _block_statistics(volume: "VolumeDataset", block_zyx: ZYX) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Fraction of voxels above 0 and mean standard deviation of each whole block, by its index z, y, x."""
    table = volume.block_index()
    counts = [int(table.column(axis).to_numpy().max()) + 1 for axis in "zyx"]
    chunk = volume.chunk_shape or volume.shape
    shares = [
        _shares(block, size // block, edge, n)
        for size, edge, n, block in zip(volume.shape, chunk, counts, block_zyx, strict=True)
    ]
    columns = (1 - table.column("zero_fraction").to_numpy(), np.nan_to_num(table.column("std").to_numpy()))
    full, texture = (_spread(np.reshape(column, counts), shares) for column in columns)
    return full, texture


def _shares(block: int, n_blocks: int, chunk: int, n_chunks: int) -> NDArray[np.float64]:
    """Which part of each whole block, along one axis, lies in each chunk: rows that sum to 1."""
    firsts = np.arange(n_chunks) * chunk
    starts = np.arange(n_blocks)[:, None] * block
    overlap = np.minimum(firsts + chunk, starts + block) - np.maximum(firsts, starts)
    shares: NDArray[np.float64] = np.maximum(overlap, 0) / block
    return shares


def _spread(chunks: NDArray[np.float64], shares: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    along_z, along_y, along_x = shares
    spread: NDArray[np.float64] = np.einsum("zyx,az,by,cx->abc", chunks, along_z, along_y, along_x, optimize=True)
    return spread


def _covering(region: Region, block_zyx: ZYX, steps: Sequence[int]) -> list[ZYX]:
    axes = zip(*region, block_zyx, steps, strict=True)
    along = [[*range(first, first + n - edge, step), first + n - edge] for first, n, edge, step in axes]
    return _product(*along)


def _starts(region: Region, block_zyx: ZYX, step_zyx: ZYX) -> list[range]:
    """Along each axis the multiples of the step at which a block lies inside the region."""
    axes = zip(*region, block_zyx, step_zyx, strict=True)
    return [range(-(-first // step) * step, first + n - edge + 1, step) for first, n, edge, step in axes]


def _product(along_z: Iterable[int], along_y: Iterable[int], along_x: Iterable[int]) -> list[ZYX]:
    return list(product(along_z, along_y, along_x))


@lru_cache(maxsize=16 * ORDERS_KEPT)
def _drawn(seed: int, epoch: int, page: int, n_places: int) -> NDArray[np.int64]:
    return np.random.default_rng((seed, epoch, page)).integers(n_places, size=DRAWN_AT_ONCE)


@lru_cache(maxsize=ORDERS_KEPT)
def _order(n: int, seed: int, epoch: int) -> NDArray[np.int64]:
    return np.random.default_rng((seed, epoch)).permutation(n)


def _checked_seed(seed: int) -> int:
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise UsageError(f"seed={seed!r}: a whole number from 0 expected")
    return int(seed)


def _checked(index: int, n: int) -> int:
    if not 0 <= index < n:
        raise OutOfBoundsError(f"no block {index}; there are {n} an epoch, counted from 0")
    return index
