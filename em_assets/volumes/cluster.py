"""One volume on many machines: its tree of tiles is cut, and the workers of a Dask cluster write what is below the cut.

::

    s4          ┌───┐         here: made from what comes back, and written
    s3       ┌──┴┬──┴┐
    - - - - -│- -│- -│- - - - the cut
    s2     ┌─┴─┐ …   …        a task each: reads its part of the source, writes its shards of s0 to s2, and gives back
    s0    ▪▪▪▪▪▪▪             their ledger entries, its chunks' statistics, and its tile, halved

Tasks share nothing but the place that they write to, and a task that is done again, since its worker died, writes the
same bytes under the same keys. So the files, the ledger and the commit are those of one process. Workers open the
source by themselves: its files must have the same names on every machine.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from importlib.util import find_spec
from itertools import islice
from math import prod
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from em_assets.errors import EMAssetsError, FormatError, SettingsError, StoreError
from em_assets.formats.volume import SourceLevel, SourceVolume
from em_assets.model import ZYX
from em_assets.volumes.block_index import BlockIndex
from em_assets.volumes.cascade import Progress
from em_assets.volumes.cutting import cut, tasks_of
from em_assets.volumes.downsample import halve_into, halving
from em_assets.volumes.encoding import ignore_chunks
from em_assets.volumes.ledger import Entries, Entry
from em_assets.volumes.levels import Level, finer_tiles_in, tile_box
from em_assets.volumes.pyramid import WRITER_FORMAT, Plan, WriteLevels, count_chunks, write_tiles
from em_assets.volumes.sinks import Sink, shared_by_machines

if TYPE_CHECKING:
    from distributed import Client, Future

Reopen = Callable[[], SourceVolume]
"""Opens the source in another process; it is pickled, so a `partial` of a function that every machine has."""

LEAST_THREADS = 64
"""A volume is cut for so many even where fewer have joined yet: most come later."""

TASKS_AHEAD = 2
"""Tasks that are asked for, for each thread."""

ANSWER_SECONDS = 30
"""For the scheduler to answer."""

WORKER_SECONDS = 600
"""For the first worker to join, or one after all have left: a batch system may have a queue."""

LOOK_SECONDS = 60
"""A task that takes longer makes us look whether there are workers."""


def on_a_cluster(address: str, reopen: Reopen) -> WriteLevels:
    """Writes levels on the workers of the Dask scheduler at `address`, which open the source with `reopen`.

    What it gives raises `SettingsError` where no scheduler answers or no worker joins, `StoreError` where workers keep
    dying, and otherwise what the writing of one tile raises, with the worker's address.

    Raises
    ------
    SettingsError
        Dask is not installed here.
    """
    if find_spec("distributed") is None:
        raise SettingsError(f"EM_ASSETS_DASK={address}: needs Dask's `distributed`: pip install 'em-assets[dask]'")
    return partial(_write_levels, address, reopen)


class Part(NamedTuple):
    """What a task gives back: its files, the statistics of its chunks, and its tile as the level above sees it."""

    entries: list[Entry]
    chunks: BlockIndex
    halved: NDArray[Any] | None


@dataclass(frozen=True)
class _Work:
    """What all tasks of one volume have in common; `coarser` is the level above the cut, where there is one.

    `run` is another one whenever a volume is written: a newer version of the files has the same names.
    """

    reopen: bytes
    plan: Plan
    sink: Sink
    coarser: Level | None
    writer_format: int = WRITER_FORMAT
    run: str = field(default_factory=lambda: uuid4().hex)


def _write_levels(
    address: str,
    reopen: Reopen,
    volume: SourceVolume,
    plan: Plan,
    sink: Sink,
    index: BlockIndex,
    progress: Progress | None,
) -> Entries:
    from distributed.protocol.pickle import dumps

    with _client(address) as client, shared_by_machines(sink) as shared:
        threads = [*client.nthreads().values()]
        packed = volume.levels[0].chunk_shape_zyx if volume.compressor else None
        plan, level = cut(plan, max(sum(threads), LEAST_THREADS), max(threads), packed or (1, 1, 1))
        below, above = plan.levels[: level + 1], plan.levels[level + 1 :]
        work = _Work(dumps(reopen), replace(plan, levels=below), shared, above[0] if above else None)
        collected = _Collected(index, progress, prod(volume.shape_zyx))
        parts = collected.each(_results(client, address, work, tasks_of(plan, level)))
        if above:
            source = _read_from(parts, volume, plan, level)
            collected.entries += write_tiles(source, replace(plan, levels=above), shared, ignore_chunks)
        else:
            deque(parts, maxlen=0)
        return collected.entries


def _results(client: "Client", address: str, work: _Work, tiles: Iterator[ZYX]) -> Iterator[Part]:
    """What the tasks give back, in their order; only some are asked for ahead, so that results do not pile up."""
    from distributed.protocol.pickle import dumps

    pickled, asked = dumps(work), deque["Future[Part]"]()
    while True:
        # Workers come and go: a batch system starts them one after another.
        n_ahead = TASKS_AHEAD * max(1, sum(client.nthreads().values()))
        asked.extend(
            client.submit(_write_part, pickled, tile, pure=False)
            for tile in islice(tiles, max(0, n_ahead - len(asked)))
        )
        if not asked:
            return
        yield _outcome(client, address, asked.popleft())


def _outcome(client: "Client", address: str, future: "Future[Part]") -> Part:
    """What a task gives back; one that no worker is there for any more is not waited for without end."""
    while not future.done():
        try:
            future.result(timeout=LOOK_SECONDS)
        except TimeoutError:
            if not future.done():
                _wait_for_a_worker(client, address)
    return future.result()


class _Collected:
    """What came back so far."""

    def __init__(self, index: BlockIndex, progress: Progress | None, n_voxels: int) -> None:
        self.entries = Entries()
        self._index, self._progress = index, progress
        self._n_done, self._n_voxels = 0, n_voxels

    def each(self, parts: Iterable[Part]) -> Iterator[Part]:
        """The same parts, each taken in on its way."""
        for part in parts:
            self.entries += part.entries
            self._index.put_box(part.chunks)
            self._n_done += int(part.chunks.n_voxels.sum())
            if self._progress:
                self._progress(self._n_done, self._n_voxels)
            yield part


def _read_from(parts: Iterator[Part], volume: SourceVolume, plan: Plan, level: int) -> SourceVolume:
    """The level above the cut as a source: to be read tile by tile, in the order of the tasks."""
    here, finer = plan.levels[level + 1], plan.levels[level]

    def read_box(start: ZYX, shape: ZYX) -> NDArray[Any]:
        block = np.empty(shape, plan.dtype)
        tile = _zyx(first // edge for first, edge in zip(start, plan.tile, strict=True))
        children = finer_tiles_in(here, finer, plan.tile, tile, start[0], shape[0])
        for child, part in zip(children, parts, strict=False):
            assert part.halved is not None
            first = tile_box(finer, plan.tile, child)[0]
            at = [f // step - s for f, step, s in zip(first, here.step_zyx, start, strict=True)]
            block[tuple(slice(a, a + n) for a, n in zip(at, part.halved.shape, strict=True))] = part.halved
        return block

    return replace(volume, levels=(SourceLevel(here.shape_zyx, volume.voxel_size_zyx_nm, read_box),))


def _write_part(pickled: bytes, tile: ZYX) -> Part:
    """Write one tile of the level at the cut and all that is below it; runs in a worker."""
    from distributed import get_worker
    from distributed.protocol.pickle import loads

    work: _Work = loads(pickled)
    try:
        return _written(work, _reopened(work.reopen, work.run), tile)
    except EMAssetsError as error:
        raise type(error)(f"{error} (on the worker {get_worker().address})") from error


def _written(work: _Work, volume: SourceVolume, tile: ZYX) -> Part:
    plan = work.plan
    _check_alike(work, volume)
    index = _empty_index(plan, tile)
    halved: list[NDArray[Any]] = []

    def use(_: ZYX, block: NDArray[Any]) -> None:
        if work.coarser:
            halved.append(_halved(block, work.coarser.step_zyx, plan))

    entries = write_tiles(volume, plan, work.sink, partial(count_chunks, index), tiles=[tile], use=use, n_threads=1)
    return Part(list(entries), index, np.concatenate(halved) if halved else None)


@lru_cache(maxsize=1)
def _reopened(reopen: bytes, _: str) -> SourceVolume:
    """The source, opened once for all tasks of a run that a worker gets; several threads may read it."""
    from distributed.protocol.pickle import loads

    opened: SourceVolume = loads(reopen)()
    return opened


def _check_alike(work: _Work, volume: SourceVolume) -> None:
    if work.writer_format != WRITER_FORMAT:
        raise StoreError(
            f"writer format {work.writer_format} expected, found {WRITER_FORMAT}: install the same em-assets everywhere"
        )
    shape_zyx = work.plan.levels[0].shape_zyx
    if (volume.shape_zyx, volume.dtype) != (shape_zyx, work.plan.dtype):
        raise FormatError(
            f"{volume.name}: {work.plan.dtype} voxels of shape {shape_zyx} expected, found {volume.dtype} of shape "
            f"{volume.shape_zyx}: every machine needs the same files under the same names"
        )


def _empty_index(plan: Plan, tile: ZYX) -> BlockIndex:
    """An index of the chunks of the finest level that are below a tile of the coarsest one."""
    chunk, extent, factor = plan.grid.chunk_shape, plan.levels[0].shape_zyx, plan.levels[-1].factor_zyx
    steps = [t * f // c for t, f, c in zip(plan.tile, factor, chunk, strict=True)]
    first = _zyx(i * step for i, step in zip(tile, steps, strict=True))
    ends = zip(first, steps, extent, chunk, strict=True)
    return BlockIndex.empty(_zyx(min(step, -(-e // c) - f) for f, step, e, c in ends), plan.dtype, first)


def _halved(block: NDArray[Any], step_zyx: ZYX, plan: Plan) -> NDArray[Any]:
    out = np.empty([-(-n // step) for n, step in zip(block.shape, step_zyx, strict=True)], block.dtype)
    with ThreadPoolExecutor(1) as executor:
        halve_into(out, block, step_zyx, halving(plan.content), executor)
    return out


@contextmanager
def _client(address: str) -> Iterator["Client"]:
    """A client of a scheduler that has a worker; what goes wrong between them in words."""
    from distributed import CancelledError, Client, KilledWorker

    try:
        client = Client(address, timeout=ANSWER_SECONDS, set_as_default=False)
    except (OSError, ValueError) as error:
        raise SettingsError(f"EM_ASSETS_DASK={address}: a running Dask scheduler expected: {error}") from error
    with client:
        _wait_for_a_worker(client, address)
        try:
            yield client
        except KilledWorker as error:
            raise StoreError(
                f"{address}: one tile ended one worker after another, most likely for want of memory: give workers "
                "more of it, or fewer threads; nothing was committed"
            ) from error
        except CancelledError as error:
            raise StoreError(f"{address}: the scheduler went away; nothing was committed: run it again") from error
        except ModuleNotFoundError as error:
            raise StoreError(f"{address}: a worker lacks {error.name}: install em-assets there as here") from error


def _wait_for_a_worker(client: "Client", address: str) -> None:
    try:
        client.wait_for_workers(1, timeout=WORKER_SECONDS)
    except TimeoutError as error:
        raise SettingsError(
            f"EM_ASSETS_DASK={address}: no worker has joined in {WORKER_SECONDS} s: start some "
            f"(`dask worker {address}`), or unset EM_ASSETS_DASK to write in one process"
        ) from error


def _zyx(values: Iterable[int]) -> ZYX:
    z, y, x = values
    return (z, y, x)
