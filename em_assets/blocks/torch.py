"""Blocks for torch: a map-style dataset, a stream without workers, and loaders that no start method breaks.

::

    sources = [Source(open_volume("epfl_hippocampus")), Source(open_volume("jrc_hela_2"), weight=2.0)]
    blocks = BlockDataset(sources, (32, 64, 64), n=1000, seed=1, voxel_size_zyx_nm=(8, 8, 8))
    for epoch in range(10):
        blocks.set_epoch(epoch)
        for batch in make_loader(blocks, batch_size=8, num_workers=2):
            batch["raw"]                                     # float32 (8, 32, 64, 64), normalised

The `index`th item of an epoch follows from (seed, epoch, index) alone: workers, start methods and restarts change
nothing. `BlockStream` yields the same items in batches, decoded into buffers that are used again: many reads in flight
in one process are faster than worker processes, which each start an interpreter and send their blocks through a pipe.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset, IterableDataset, get_worker_info

from em_assets.blocks.regions import Region, positive
from em_assets.blocks.sampling import Sampler, random
from em_assets.blocks.volume import VolumeDataset
from em_assets.errors import UsageError
from em_assets.formats.volume import Finish
from em_assets.model import ZYX, FloatZYX

Item = dict[str, Any]
"""One block, or a batch of them.

`raw` (float32 normalised, or the volume's own type), `labels` (int64) where the source has some, and where they come
from: `dataset`, `volume`, `generation` ("" where there is none), `start_zyx` (int64), `voxel_size_zyx_nm` (float64, NaN
where nobody says it: a tensor holds no None).
"""

Transform = Callable[[Item], Item]


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
    """What every epoch is drawn from: a value, so that each worker draws the same.

    Raises
    ------
    UsageError
        No source, a weight that is not above 0, labels of another shape than their volume, a sampler of other blocks,
        or statistics that nobody counted where blocks are to be normalised.
    EvidenceError
        A voxel size is asked for, and that of a volume is unknown or disputed.
    """

    sources: tuple[Source, ...]
    block_zyx: ZYX
    n: int
    seed: int
    voxel_size_zyx_nm: FloatZYX | None
    samplers: tuple[Sampler, ...]
    is_normalised: bool

    def draw(self, epoch: int, index: int) -> Draw:
        """The `index`th item of an epoch."""
        weights = np.array([source.weight for source in self.sources])
        generator = np.random.default_rng((self.seed, epoch, index, 1))
        chosen = int(np.searchsorted(np.cumsum(weights) / weights.sum(), generator.random(), side="right"))
        sampler = self.samplers[chosen]
        # With one source its sampler is followed in its own order, so that none of its blocks comes twice.
        start, shape = sampler.box(epoch, index % len(sampler))
        return Draw(chosen, start, shape)

    def described(self, draw: Draw) -> Item:
        """Where an item comes from."""
        volume = self.sources[draw.source].volume
        size = self.voxel_size_zyx_nm or volume.voxel_size_zyx_nm or (float("nan"),) * 3
        return {
            "dataset": volume.dataset or volume.url,
            "volume": volume.name,
            "generation": volume.generation or "",
            "start_zyx": torch.tensor(draw.start_zyx),
            "voxel_size_zyx_nm": torch.tensor(size, dtype=torch.float64),
        }

    def normalised(self, draw: Draw, raw: torch.Tensor) -> torch.Tensor:
        """Grey values less their volume's mean, over its standard deviation; unchanged where that is not wanted."""
        statistics = self.sources[draw.source].volume.statistics
        if not self.is_normalised or statistics is None or statistics.mean is None or statistics.std is None:
            return raw
        return (raw.to(torch.float32) - statistics.mean) / (statistics.std or 1.0)


class BlockDataset(Dataset[Item]):  # type: ignore[misc, unused-ignore]  # torch is in no default environment
    """`n` blocks an epoch, by index: any `DataLoader` takes it, `make_loader` the one that fits.

    Parameters
    ----------
    sources
        Volumes, or `Source`s with labels, weights and samplers.
    block_zyx
        Shape of a block, z, y, x.
    voxel_size_zyx_nm
        Read every volume in this voxel size; without one, each in its own.
    is_normalised
        Less the mean, over the standard deviation, of the whole volume as its catalog's statistics say.
    transform
        Applied to each item: augmentation, say.

    Raises
    ------
    UsageError, EvidenceError
        As `Plan`.
    """

    def __init__(
        self,
        sources: Sequence[Source | VolumeDataset],
        block_zyx: Sequence[int],
        n: int,
        seed: int,
        *,
        voxel_size_zyx_nm: Sequence[float] | None = None,
        is_normalised: bool = True,
        transform: Transform | None = None,
    ) -> None:
        self.plan = plan(sources, block_zyx, n, seed, voxel_size_zyx_nm, is_normalised=is_normalised)
        self._transform = transform
        # Shared, so that workers that live on see it: the epoch, and the first item of what is left of it.
        self._at = torch.zeros(2, dtype=torch.int64).share_memory_()

    def set_epoch(self, epoch: int, first: int = 0) -> None:
        """Go to an epoch, or to the middle of one: the next items are those from `first` on."""
        self._at[0], self._at[1] = _checked_epoch(epoch, first, self.plan.n)

    def __len__(self) -> int:
        """Items that are left of the epoch."""
        return self.plan.n - int(self._at[1])

    def __getitem__(self, index: int) -> Item:
        """One item, as a loader collates it."""
        if not 0 <= index < len(self):
            raise IndexError(f"no item {index}; {len(self)} are left of the epoch")
        epoch, first = (int(value) for value in self._at)
        draw = self.plan.draw(epoch, first + index)
        source = self.plan.sources[draw.source]
        raw = torch.from_numpy(_read(source.volume, draw, self.plan.voxel_size_zyx_nm))
        item = {"raw": self.plan.normalised(draw, raw), **self.plan.described(draw)}
        if source.labels is not None:
            item["labels"] = _labels(_read(source.labels, draw, self.plan.voxel_size_zyx_nm))
        return self._transform(item) if self._transform else item


class BlockStream(IterableDataset[Item]):  # type: ignore[misc, unused-ignore]
    """The items of a `BlockDataset` in whole batches, read ahead into buffers that are used again.

    Give it to `make_loader`, or loop over it. A batch that is not normalised is a view of such a buffer, and good until
    the next one is asked for: clone what is kept. What is left of an epoch after its last whole batch is left out.

    Parameters
    ----------
    in_flight
        Blocks that are read at the same time, at least.
    """

    def __init__(
        self,
        sources: Sequence[Source | VolumeDataset],
        block_zyx: Sequence[int],
        n: int,
        seed: int,
        *,
        batch_size: int = 8,
        in_flight: int = 32,
        voxel_size_zyx_nm: Sequence[float] | None = None,
        is_normalised: bool = True,
        transform: Transform | None = None,
    ) -> None:
        super().__init__()
        if batch_size < 1 or in_flight < 1:
            raise UsageError(f"batch_size={batch_size}, in_flight={in_flight}: 1 or more expected")
        self.plan = plan(sources, block_zyx, n, seed, voxel_size_zyx_nm, is_normalised=is_normalised)
        self.batch_size = batch_size
        self._transform = transform
        self._ahead = -(-in_flight // batch_size)
        self._at = torch.zeros(2, dtype=torch.int64).share_memory_()
        types = {source.volume.dtype for source in self.plan.sources}
        if len(types) > 1:
            raise UsageError(f"one type of voxel in a stream expected, found {sorted(map(str, types))}")
        self._dtype = types.pop()

    def set_epoch(self, epoch: int, first: int = 0) -> None:
        """Go to an epoch, or to the middle of one."""
        self._at[0], self._at[1] = _checked_epoch(epoch, first, self.plan.n)

    def __len__(self) -> int:
        """Whole batches that are left of the epoch."""
        return (self.plan.n - int(self._at[1])) // self.batch_size

    def __iter__(self) -> Iterator[Item]:
        """Batch after batch; of several workers each takes its turn."""
        worker = get_worker_info()
        first, step = (worker.id, worker.num_workers) if worker else (0, 1)
        epoch, start = (int(value) for value in self._at)
        numbers = range(first, len(self), step)
        shape = (self.batch_size, *self.plan.block_zyx)
        ring = [_Batch(np.empty(shape, self._dtype)) for _ in range(self._ahead + 1)]
        with ThreadPoolExecutor(1) as executor:
            begun = (
                ring[turn % len(ring)].begin(self.plan, epoch, start + number * self.batch_size, executor)
                for turn, number in enumerate(numbers)
            )
            flying = deque(islice(begun, self._ahead))
            try:
                while flying:
                    batch = flying.popleft().finished(self.plan)
                    if worker:  # it is pickled by another thread, later
                        batch["raw"] = batch["raw"].clone()
                    flying.extend(islice(begun, 1))
                    yield self._transform(batch) if self._transform else batch
            finally:
                for left in flying:  # nobody may write to a buffer that is gone
                    left.wait()


class _Batch:
    """A buffer, and the reads that fill it."""

    def __init__(self, buffer: NDArray[Any]) -> None:
        self._buffer = buffer
        self._draws: list[Draw] = []
        self._finish: list[Finish] = []
        self._labels: list[NDArray[Any]] = []

    def begin(self, plan: "Plan", epoch: int, first: int, executor: ThreadPoolExecutor) -> "_Batch":
        self._draws = [plan.draw(epoch, first + i) for i in range(len(self._buffer))]
        labelled = [plan.sources[draw.source].labels for draw in self._draws]
        self._labels = [np.empty(draw.shape_zyx, x.dtype) for draw, x in zip(self._draws, labelled, strict=True) if x]
        self._finish = []
        targets = iter(self._labels)
        for draw, raw, labels in zip(self._draws, self._buffer, labelled, strict=True):
            self._finish.append(_begin(plan.sources[draw.source].volume, draw, raw, plan, executor))
            if labels is not None:
                self._finish.append(_begin(labels, draw, next(targets), plan, executor))
        return self

    def wait(self) -> None:
        """End every read, whatever became of it."""
        for finish in self._finish:
            try:
                finish()
            except Exception:  # noqa: BLE001, another error is on its way
                continue

    def finished(self, plan: "Plan") -> Item:
        for finish in self._finish:
            finish()
        raw = torch.from_numpy(self._buffer)
        if plan.is_normalised:
            raw = torch.stack([plan.normalised(draw, row) for draw, row in zip(self._draws, raw, strict=True)])
        described = [plan.described(draw) for draw in self._draws]
        batch: Item = {"raw": raw}
        for key, value in described[0].items():
            values = [item[key] for item in described]
            batch[key] = torch.stack(values) if isinstance(value, torch.Tensor) else values
        if self._labels:
            batch["labels"] = torch.stack([_labels(block) for block in self._labels])
        return batch


def make_loader(
    blocks: BlockDataset | BlockStream,
    batch_size: int = 8,
    num_workers: int = 0,
    *,
    multiprocessing_context: str = "forkserver",
    **options: Any,
) -> DataLoader[Item]:
    """A plain `torch.utils.data.DataLoader` in the order of the indices, which is random already.

    Workers are started by `forkserver`: under `fork`, the default of Linux, tensorstore would abort them once their
    parent has read a block. Where a loader forks all the same, its workers read through a process of their own.
    `options` are the loader's own.

    Raises
    ------
    UsageError
        `shuffle`, which would make the order depend on the loader's generator.
    """
    if options.get("shuffle"):
        raise UsageError("shuffle: the items are drawn at random already; another seed gives another order")
    started: Mapping[str, Any] = {}
    if num_workers:
        started = {"multiprocessing_context": multiprocessing_context, "persistent_workers": True, "prefetch_factor": 2}
    size = None if isinstance(blocks, BlockStream) else batch_size
    return DataLoader(blocks, batch_size=size, num_workers=num_workers, **{**started, **options})


def plan(
    sources: Sequence[Source | VolumeDataset],
    block_zyx: Sequence[int],
    n: int,
    seed: int,
    voxel_size_zyx_nm: Sequence[float] | None,
    *,
    is_normalised: bool,
) -> Plan:
    """The arguments, checked, as a `Plan`; see there for what is refused."""
    known = tuple(source if isinstance(source, Source) else Source(source) for source in sources)
    block = positive(block_zyx, "block_zyx")
    if not known or n < 1:
        raise UsageError(f"at least one source and n of 1 or more expected, found {len(known)} and {n}")
    size = None
    if voxel_size_zyx_nm is not None:
        z, y, x = (float(value) for value in voxel_size_zyx_nm)
        size = (z, y, x)
    for source in known:
        _check_source(source, size, is_normalised=is_normalised)
    samplers = tuple(_sampler(source, block, n, seed, size) for source in known)
    return Plan(known, block, n, seed, size, samplers, is_normalised)


def _check_source(source: Source, size: FloatZYX | None, *, is_normalised: bool) -> None:
    volume, labels = source.volume, source.labels
    if not source.weight > 0 or not np.isfinite(source.weight):
        raise UsageError(f"{volume.url}: a weight above 0 expected, found {source.weight}")
    if is_normalised and (volume.statistics is None or volume.statistics.std is None):
        raise UsageError(
            f"{volume.url}: no statistics to normalise by: they come with a committed volume (fetch its dataset); "
            "is_normalised=False gives the values as they are"
        )
    shapes = [each.shape if size is None else each.shape_at(size) for each in (volume, labels) if each]
    if len(set(shapes)) > 1:
        raise UsageError(
            f"{volume.url}: labels of the same shape expected, found {shapes[1]} for {shapes[0]} (z, y, x)"
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


def _read(volume: VolumeDataset, draw: Draw, size: FloatZYX | None) -> NDArray[Any]:
    return volume.read(draw.start_zyx, draw.shape_zyx, voxel_size_zyx_nm=size)


def _begin(volume: VolumeDataset, draw: Draw, out: NDArray[Any], plan: Plan, executor: ThreadPoolExecutor) -> Finish:
    if plan.voxel_size_zyx_nm is None:
        return volume.begin_many([(draw.start_zyx, draw.shape_zyx)], out[np.newaxis])
    reading = executor.submit(
        volume.read, draw.start_zyx, draw.shape_zyx, voxel_size_zyx_nm=plan.voxel_size_zyx_nm, out=out
    )

    def finish() -> None:
        reading.result()

    return finish


def _labels(block: NDArray[Any]) -> torch.Tensor:
    """Names of objects as torch indexes by: int64, of which the upper half of uint64 becomes negative."""
    return torch.from_numpy(block.astype(np.int64, copy=False))


def _checked_epoch(epoch: int, first: int, n: int) -> tuple[int, int]:
    if epoch < 0 or not 0 <= first <= n:
        raise UsageError(f"epoch {epoch}, first {first}: from 0, and at most the {n} items of an epoch, expected")
    return epoch, first
