"""What epochs of training are drawn from: volumes with weights, and which block of which one each item is.

A plan is a value, and each item of an epoch a function of it and (epoch, index): whoever asks, in whatever process and
order, gets the same block. Nothing here needs torch; `em_assets.blocks.torch` reads what is drawn here.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from math import nan
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from em_assets.blocks.regions import Region, positive
from em_assets.blocks.resampling import checked_voxel_size
from em_assets.blocks.sampling import Sampler, random
from em_assets.blocks.volume import VolumeDataset
from em_assets.errors import UsageError
from em_assets.model import ZYX, FloatZYX

EPOCHS_KEPT = 2
"""Epochs whose order of sources is kept: workers may still read the last one when the next has begun."""

PIECE = 1 << 16
"""Voxels that are normalised together, while they are in a processor's own cache."""


@dataclass(frozen=True)
class Source:
    """A volume to draw blocks from.

    Attributes
    ----------
    labels
        Of the same shape: the same box is read from both.
    weight
        How often blocks are drawn from it, against the other sources.
    sampler
        Where in it; by default anywhere. It counts voxels of the size that is asked for, where one is.
    within
        Regions to stay inside, without a sampler of one's own: `split.regions["train"]`.
    """

    volume: VolumeDataset
    labels: VolumeDataset | None = None
    weight: float = 1.0
    sampler: Sampler | None = None
    within: Sequence[Region] | None = None


class Draw(NamedTuple):
    """Which source and which box of it an item is."""

    source: int
    start_zyx: ZYX
    shape_zyx: ZYX


@dataclass(frozen=True)
class Plan:
    """What every epoch is drawn from.

    Attributes
    ----------
    n
        Items in an epoch.
    samplers
        One for each of the sources.
    """

    sources: tuple[Source, ...]
    block_zyx: ZYX
    n: int
    seed: int
    voxel_size_zyx_nm: FloatZYX | None
    samplers: tuple[Sampler, ...]
    is_normalised: bool

    def draw(self, epoch: int, index: int) -> Draw:
        """The `index`th item of an epoch.

        With one source its sampler is followed in its own order. With several, each item's source is drawn by weight,
        and takes the next block of that source's sampler; so a block that a sampler gives once comes once, until its
        blocks are used up and begin again.
        """
        source, place = 0, index
        if len(self.sources) > 1:
            chosen, places = _turns(tuple(each.weight for each in self.sources), self.n, self.seed, epoch)
            source, place = int(chosen[index]), int(places[index])
        sampler = self.samplers[source]
        start, shape = sampler.box(epoch, place % len(sampler))
        return Draw(source, start, shape)

    @cached_property
    def origins(self) -> tuple["Origin", ...]:
        """What is true of every block of each source."""
        return tuple(_origin(source.volume, self.voxel_size_zyx_nm) for source in self.sources)


def normalise(block: NDArray[Any], origin: "Origin", out: NDArray[np.float32]) -> None:
    """Fill `out` with the block less its volume's mean, over its standard deviation.

    By numpy and piece by piece: torch would start threads, against those that decode, and go over memory three times.
    """
    values, targets = block.reshape(-1), out.reshape(-1)
    scale, mean = np.float32(1 / origin.std), np.float32(origin.mean)
    for first in range(0, len(values), PIECE):
        piece = slice(first, first + PIECE)
        np.subtract(values[piece], mean, out=targets[piece], dtype=np.float32, casting="unsafe")
        targets[piece] *= scale


class Origin(NamedTuple):
    """Where blocks come from, as far as it is the same for all of a source.

    Attributes
    ----------
    generation
        "" where there is none, since a batch holds no None.
    voxel_size_zyx_nm
        Of the voxels that are read; NaN where nobody says it.
    mean, std
        Of the whole volume, as its catalog's statistics say; 0 and 1 where nobody counted.
    """

    dataset: str
    volume: str
    generation: str
    voxel_size_zyx_nm: FloatZYX
    dtype: np.dtype[Any]
    mean: float
    std: float


def _origin(volume: VolumeDataset, voxel_size_zyx_nm: FloatZYX | None) -> Origin:
    statistics = volume.statistics
    return Origin(
        dataset=volume.dataset or volume.url,
        volume=volume.name,
        generation=volume.generation or "",
        voxel_size_zyx_nm=voxel_size_zyx_nm or volume.voxel_size_zyx_nm or (nan, nan, nan),
        dtype=volume.dtype,
        mean=(statistics and statistics.mean) or 0.0,
        std=(statistics and statistics.std) or 1.0,
    )


def make_plan(
    sources: Iterable[Source | VolumeDataset],
    block_zyx: Sequence[int],
    n: int | None,
    seed: int,
    *,
    voxel_size_zyx_nm: Sequence[float] | None,
    is_normalised: bool,
) -> Plan:
    """The arguments, checked.

    Raises
    ------
    UsageError
        No source; a weight that is not above 0; labels of another shape than their volume, or of some sources only; a
        sampler of other blocks, or of fewer than `n`; statistics that nobody counted where blocks are to be
        normalised; no `n`, and no single sampler to take it from.
    OutOfBoundsError
        A block does not fit into a volume.
    EvidenceError
        A voxel size is asked for, and that of a volume is unknown or disputed.
    """
    known = tuple(each if isinstance(each, Source) else Source(each) for each in sources)
    block = positive(block_zyx, "block_zyx")
    size = None if voxel_size_zyx_nm is None else checked_voxel_size(voxel_size_zyx_nm)
    if not known:
        raise UsageError("sources: at least one volume to draw blocks from expected, found none")
    if len({source.labels is None for source in known}) > 1:
        raise UsageError("labels: of every source or of none expected, since a batch has them for all blocks or none")
    for source in known:
        _check(source, size, is_normalised=is_normalised)
    n = _checked_n(known, n)
    # Another seed for each, or volumes of one shape would be read at the same places.
    samplers = tuple(_sampler(source, block, n, seed + i, size) for i, source in enumerate(known))
    if len(known) == 1 and n > len(samplers[0]):
        raise UsageError(f"n={n}: the sampler has {len(samplers[0])} blocks an epoch, and none comes twice")
    return Plan(known, block, n, seed, size, samplers, is_normalised)


@lru_cache(maxsize=EPOCHS_KEPT)
def _turns(weights: tuple[float, ...], n: int, seed: int, epoch: int) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
    """The source of each item of an epoch, and how many of the items before it are of the same one."""
    shares = np.array(weights) / sum(weights)
    # The fourth number keeps these from being a sampler's own.
    chosen = np.random.default_rng((seed, epoch, 0, 1)).choice(len(weights), n, p=shares)
    places = np.empty(n, np.int64)
    for source in range(len(weights)):
        own = np.flatnonzero(chosen == source)
        places[own] = np.arange(len(own))
    return chosen, places


def _checked_n(sources: Sequence[Source], n: int | None) -> int:
    if n is None:
        if len(sources) > 1 or sources[0].sampler is None:
            raise UsageError(
                "n: blocks in an epoch expected, where there is no single sampler that has a number of them"
            )
        return len(sources[0].sampler)
    if isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 1:
        raise UsageError(f"n={n!r}: at least one block in an epoch expected")
    return int(n)


def _check(source: Source, size: FloatZYX | None, *, is_normalised: bool) -> None:
    volume, labels = source.volume, source.labels
    if not source.weight > 0 or not np.isfinite(source.weight):
        raise UsageError(f"{volume.url}: a weight above 0 expected, found {source.weight}")
    if is_normalised and (volume.statistics is None or volume.statistics.std is None):
        raise UsageError(
            f"{volume.url}: no statistics to normalise by: they come with a committed volume (fetch its dataset); "
            "is_normalised=False gives the values as they are"
        )
    if labels is not None:
        _check_labels(volume, labels, size)


def _check_labels(volume: VolumeDataset, labels: VolumeDataset, size: FloatZYX | None) -> None:
    shape, found = (each.shape if size is None else each.shape_at(size) for each in (volume, labels))
    if shape != found:
        raise UsageError(
            f"{labels.url}: labels of shape {shape} (z, y, x) expected, as {volume.url} has, found {found}"
        )
    if labels.dtype.kind not in "iub":
        raise UsageError(f"{labels.url}: labels are whole numbers, found {labels.dtype}")
    if size is not None and labels.content != "labels":
        raise UsageError(
            f"{labels.url}: in another voxel size labels are read by their nearest voxel, and nobody says that these "
            f"are labels (content is {labels.content}): em-assets ingest --content labels writes them as such"
        )


def _sampler(source: Source, block_zyx: ZYX, n: int, seed: int, size: FloatZYX | None) -> Sampler:
    if source.sampler is None:
        shape = source.volume.shape if size is None else source.volume.shape_at(size)
        return random(shape, block_zyx, n, seed, within=source.within)
    if source.within is not None:
        raise UsageError(f"{source.volume.url}: `within` belongs to the sampler where one is given")
    _, shape = source.sampler.box(0, 0)
    if shape != block_zyx:
        raise UsageError(f"{source.volume.url}: a sampler of blocks {block_zyx} (z, y, x) expected, found {shape}")
    return source.sampler
