"""Blocks for torch: a map-style dataset, a stream without workers, and loaders that no start method breaks.

::

    sources = [Source(open_volume("epfl_hippocampus")), Source(open_volume("jrc_mus_nacc_2"), weight=2.0)]
    blocks = BlockDataset(sources, (32, 64, 64), n=1000, seed=1, voxel_size_zyx_nm=(8, 8, 8))
    loader = make_loader(blocks, batch_size=8, num_workers=2)
    for epoch in range(10):
        blocks.set_epoch(epoch)
        for batch in loader:
            batch["raw"]                                     # float32 (8, 32, 64, 64), normalised

The `index`th item of an epoch follows from (seed, epoch, index) alone: workers, start methods and restarts change
nothing. `BlockStream` yields the same items in batches, decoded into buffers that are used again: many reads in flight
in one process are faster than worker processes, which each start an interpreter and send their blocks through a pipe.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import islice, zip_longest
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from em_assets.blocks.flight import MAX_IN_FLIGHT, in_a_thread
from em_assets.blocks.plan import Draw, Plan, Source, make_plan, normalise
from em_assets.blocks.volume import VolumeDataset
from em_assets.errors import UsageError
from em_assets.formats.volume import Finish

try:
    import torch
    from torch.utils.data import DataLoader, Dataset, IterableDataset, get_worker_info
except ModuleNotFoundError as error:
    raise ModuleNotFoundError("em_assets.blocks.torch needs torch: pip install 'em-assets[torch]'") from error

__all__ = ["BlockDataset", "BlockStream", "Item", "Source", "make_loader"]

Item = dict[str, Any]
"""One block, or a batch of them.

`raw` (float32 normalised, or the volume's own type), `labels` (int64) where the sources have some, and where they come
from: `dataset`, `volume`, `generation` ("" where there is none), `start_zyx` (int64), `voxel_size_zyx_nm` (float64, NaN
where nobody says it: a tensor holds no None).
"""

NAMES = ("dataset", "volume", "generation")

Transform = Callable[[Item], Item]


class _Blocks:
    """What both kinds have: a plan, and where in which epoch they are."""

    def __init__(self, plan: Plan, transform: Transform | None) -> None:
        self.plan = plan
        self._transform = transform
        # Shared, so that workers that live on see it: the epoch, and the first item of what is left of it.
        self._at = torch.zeros(2, dtype=torch.int64).share_memory_()

    def set_epoch(self, epoch: int, first: int = 0) -> None:
        """Go to an epoch or, to resume, to its item `first`. Not while a loader is in the middle of one.

        Raises
        ------
        UsageError
            One of them is below 0, or the epoch has not that many items.
        """
        if epoch < 0 or not 0 <= first <= self.plan.n:
            raise UsageError(f"epoch {epoch}, first {first}: from 0, and at most {self.plan.n} items, expected")
        self._at[0], self._at[1] = epoch, first

    @property
    def _place(self) -> tuple[int, int]:
        epoch, first = self._at.tolist()
        return epoch, first

    def _done(self, item: Item) -> Item:
        return self._transform(item) if self._transform else item


class BlockDataset(_Blocks, Dataset[Item]):  # type: ignore[misc, unused-ignore]  # torch is in no default environment
    """`n` blocks an epoch, by index: any `DataLoader` takes it, `make_loader` makes one that fits.

    Parameters
    ----------
    sources
        Volumes, or `Source`s with labels, weights and samplers.
    block_zyx
        Shape of a block, z, y, x.
    n
        Blocks an epoch; by default as many as the sampler of the only source has.
    voxel_size_zyx_nm
        Read every volume in this voxel size; without one, each in its own.
    is_normalised
        Less the mean, over the standard deviation, of the whole volume as its catalog's statistics say.
    transform
        Applied to each item: augmentation, say.

    Raises
    ------
    UsageError, OutOfBoundsError, EvidenceError
        As `make_plan`.
    """

    def __init__(
        self,
        sources: Sequence[Source | VolumeDataset],
        block_zyx: Sequence[int],
        n: int | None = None,
        seed: int = 0,
        *,
        voxel_size_zyx_nm: Sequence[float] | None = None,
        is_normalised: bool = True,
        transform: Transform | None = None,
    ) -> None:
        plan = make_plan(sources, block_zyx, n, seed, voxel_size_zyx_nm=voxel_size_zyx_nm, is_normalised=is_normalised)
        super().__init__(plan, transform)

    def __len__(self) -> int:
        """Items that are left of the epoch."""
        return self.plan.n - self._place[1]

    def __getitem__(self, index: int) -> Item:
        """One item, as a loader collates it."""
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[Item]:
        """Several items, with all their reads in flight: what a loader asks for when it wants a batch."""
        epoch, first = self._place
        for index in indices:
            if not 0 <= index < self.plan.n - first:
                raise IndexError(f"no item {index}; {self.plan.n - first} are left of the epoch")
        draws = [self.plan.draw(epoch, first + index) for index in indices]
        blocks = [np.empty(draw.shape_zyx, self.plan.origins[draw.source].dtype) for draw in draws]
        reads = _Reads(self.plan, draws, blocks)
        reads.finish()
        return [self._item(*each) for each in zip_longest(draws, blocks, reads.labels)]

    def _item(self, draw: Draw, block: NDArray[Any], labels: NDArray[Any] | None) -> Item:
        origin = self.plan.origins[draw.source]
        raw = block
        if self.plan.is_normalised:
            raw = np.empty(block.shape, np.float32)
            normalise(block, origin, raw)
        item: Item = {
            "raw": torch.from_numpy(raw),
            **{key: getattr(origin, key) for key in NAMES},
            "start_zyx": torch.tensor(draw.start_zyx),
            "voxel_size_zyx_nm": torch.tensor(origin.voxel_size_zyx_nm, dtype=torch.float64),
        }
        if labels is not None:
            item["labels"] = torch.from_numpy(labels.astype(np.int64))
        return self._done(item)


class BlockStream(_Blocks, IterableDataset[Item]):  # type: ignore[misc, unused-ignore]
    """The items of a `BlockDataset` in whole batches, read ahead into buffers that are used again.

    Give it to `make_loader`, or loop over it. A batch's `raw` is a view of such a buffer, and good until the next one
    is asked for: clone what is kept. What is left of an epoch after its last whole batch is left out.

    Parameters
    ----------
    in_flight
        Blocks that are read at the same time, at least; each has room in a buffer. Blocks that are read together share
        the chunks that they have in common, so fewer cost speed, and not only waiting.

    Raises
    ------
    UsageError, OutOfBoundsError, EvidenceError
        As `make_plan`; and where volumes of different types are not normalised, since a batch has one.
    """

    def __init__(
        self,
        sources: Sequence[Source | VolumeDataset],
        block_zyx: Sequence[int],
        n: int | None = None,
        seed: int = 0,
        *,
        batch_size: int = 8,
        in_flight: int = MAX_IN_FLIGHT,
        voxel_size_zyx_nm: Sequence[float] | None = None,
        is_normalised: bool = True,
        transform: Transform | None = None,
    ) -> None:
        if batch_size < 1 or in_flight < 1:
            raise UsageError(f"batch_size={batch_size}, in_flight={in_flight}: 1 or more expected")
        plan = make_plan(sources, block_zyx, n, seed, voxel_size_zyx_nm=voxel_size_zyx_nm, is_normalised=is_normalised)
        types = {origin.dtype for origin in plan.origins}
        if len(types) > 1 and not is_normalised:
            raise UsageError(f"voxels of one type, or is_normalised=True, expected, found {sorted(map(str, types))}")
        super().__init__(plan, transform)
        self.batch_size = batch_size
        self._n_ahead = -(-in_flight // batch_size) + 1  # one is waited for
        # Of earlier batches and epochs: memory that was used before costs nothing.
        self._buffers: list[_Buffer] = []
        self._floats: list[NDArray[np.float32]] = []

    def __getstate__(self) -> dict[str, Any]:
        """Without buffers: whoever gets a copy makes his own."""
        return self.__dict__ | {"_buffers": [], "_floats": []}

    def __len__(self) -> int:
        """Whole batches that are left of the epoch."""
        return (self.plan.n - self._place[1]) // self.batch_size

    def __iter__(self) -> Iterator[Item]:
        """Batch after batch; of several workers each takes its turn."""
        worker = get_worker_info()
        epoch, first = self._place
        numbers = range(worker.id if worker else 0, len(self), worker.num_workers if worker else 1)
        begun = (self._buffer().begin(epoch, first + number * self.batch_size) for number in numbers)
        flying = deque(islice(begun, self._n_ahead))
        lent: deque[tuple[_Buffer, NDArray[np.float32] | None]] = deque()
        try:
            while flying:
                floats = self._float() if self.plan.is_normalised else None
                batch = flying[0].finish(floats)
                lent.append((flying.popleft(), floats))
                flying.extend(islice(begun, 1))
                if worker:  # it is sent by another thread, later
                    batch["raw"] = batch["raw"].clone()
                yield self._done(batch)
                if len(lent) > 1:  # one more than is promised: some trainers ask for a batch before they need it
                    self._take_back(*lent.popleft())
        finally:
            for buffer in flying:
                buffer.land()
                self._take_back(buffer, None)
            for each in lent:
                self._take_back(*each)

    def _buffer(self) -> "_Buffer":
        return self._buffers.pop() if self._buffers else _Buffer(self.plan, self.batch_size)

    def _float(self) -> NDArray[np.float32]:
        return self._floats.pop() if self._floats else np.empty((self.batch_size, *self.plan.block_zyx), np.float32)

    def _take_back(self, buffer: "_Buffer", floats: NDArray[np.float32] | None) -> None:
        self._buffers.append(buffer)
        if floats is not None:
            self._floats.append(floats)


class _Buffer:
    """Room for a batch, and the reads that fill it."""

    def __init__(self, plan: Plan, batch_size: int) -> None:
        self._plan = plan
        types = {origin.dtype for origin in plan.origins}
        size = max(dtype.itemsize for dtype in types) * prod(plan.block_zyx)
        self._rows = np.empty((batch_size, size), np.uint8)
        self._draws: list[Draw] = []
        self._blocks: list[NDArray[Any]] = []
        self._reads: _Reads | None = None

    def begin(self, epoch: int, first: int) -> "_Buffer":
        """Begin to read the batch that starts with that item."""
        self._draws = [self._plan.draw(epoch, first + i) for i in range(len(self._rows))]
        self._blocks = [self._block(row, draw) for row, draw in zip(self._rows, self._draws, strict=True)]
        self._reads = _Reads(self._plan, self._draws, self._blocks)
        return self

    def land(self) -> None:
        """Wait for reads that nobody wants any more."""
        if self._reads is not None:
            self._reads.land()

    def finish(self, floats: NDArray[np.float32] | None) -> Item:
        """The batch, as soon as it is there; normalised into `floats` where these are given."""
        assert self._reads is not None
        self._reads.finish()
        origins = [self._plan.origins[draw.source] for draw in self._draws]
        if floats is None:
            raw: NDArray[Any] = self._rows.view(origins[0].dtype).reshape(-1, *self._plan.block_zyx)
        else:
            raw = floats
            for block, origin, out in zip(self._blocks, origins, floats, strict=True):
                normalise(block, origin, out)
        batch: Item = {"raw": torch.from_numpy(raw)}
        batch |= {key: [getattr(origin, key) for origin in origins] for key in NAMES}
        batch["start_zyx"] = torch.tensor([draw.start_zyx for draw in self._draws])
        sizes = [origin.voxel_size_zyx_nm for origin in origins]
        batch["voxel_size_zyx_nm"] = torch.tensor(sizes, dtype=torch.float64)
        if self._reads.labels:
            batch["labels"] = torch.from_numpy(np.stack(self._reads.labels, dtype=np.int64, casting="unsafe"))
        return batch

    def _block(self, row: NDArray[np.uint8], draw: Draw) -> NDArray[Any]:
        dtype = self._plan.origins[draw.source].dtype
        return row[: prod(draw.shape_zyx) * dtype.itemsize].view(dtype).reshape(draw.shape_zyx)


class _Reads:
    """Reads of blocks, and of the labels in the same places, that are under way.

    Attributes
    ----------
    labels
        One array a block, full when the reads are finished; none at all where the sources have none.
    """

    def __init__(self, plan: Plan, draws: Sequence[Draw], blocks: Sequence[NDArray[Any]]) -> None:
        self.labels: list[NDArray[Any]] = []
        self._flying: deque[Finish] = deque()
        try:
            for draw, block in zip(draws, blocks, strict=True):
                source = plan.sources[draw.source]
                self._flying.append(_begin(plan, source.volume, draw, block))
                if source.labels is not None:
                    self.labels.append(np.empty(draw.shape_zyx, source.labels.dtype))
                    self._flying.append(_begin(plan, source.labels, draw, self.labels[-1]))
        except BaseException:
            self.land()
            raise

    def finish(self) -> None:
        """Wait for all; nothing is written any more when this returns, or raises what went wrong."""
        try:
            while self._flying:
                self._flying.popleft()()
        except BaseException:
            self.land()
            raise

    def land(self) -> None:
        """Wait for all, whatever becomes of them."""
        while self._flying:
            with suppress(Exception):
                self._flying.popleft()()


def make_loader(
    blocks: BlockDataset | BlockStream,
    batch_size: int = 8,
    num_workers: int = 0,
    *,
    multiprocessing_context: str = "forkserver",
    **options: Any,
) -> DataLoader[Item]:
    """A plain `torch.utils.data.DataLoader` in the order of the indices, which is random already.

    Workers are started by `forkserver`: under `fork`, the default of Linux before Python 3.14, tensorstore would abort
    them once their parent has read a block. Where a loader forks all the same, its workers read through a process of
    their own. `options` are the loader's own; a `BlockStream` has its own `batch_size`.

    Raises
    ------
    UsageError
        `shuffle`, which would make the order depend on the loader's generator.
    """
    if options.get("shuffle"):
        raise UsageError("shuffle: the items are drawn at random already; another seed gives another order")
    started: dict[str, Any] = {}
    if num_workers:
        started = {"multiprocessing_context": multiprocessing_context, "persistent_workers": True}
    size = None if isinstance(blocks, BlockStream) else batch_size
    return DataLoader(blocks, batch_size=size, num_workers=num_workers, **{**started, **options})


def _begin(plan: Plan, volume: VolumeDataset, draw: Draw, out: NDArray[Any]) -> Finish:
    if plan.voxel_size_zyx_nm is None:
        return volume.begin_many([(draw.start_zyx, draw.shape_zyx)], out[np.newaxis])
    return in_a_thread(_resampled, volume, draw, plan.voxel_size_zyx_nm, out)


def _resampled(volume: VolumeDataset, draw: Draw, size: Sequence[float], out: NDArray[Any]) -> None:
    volume.read(draw.start_zyx, draw.shape_zyx, voxel_size_zyx_nm=size, out=out)
