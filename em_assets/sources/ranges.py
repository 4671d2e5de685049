"""One large file in several ranges at once, each byte written where it belongs.

::

    0          position                                            size
    |==========|=======|=======|···    |=======|···    |             |
      digested   whole   whole   coming  whole   coming  not asked yet

Each unit arrives in memory of its own, is written past the system's cache and then digested, in their order, while more
arrive; the note beside the partial counts nothing else. A range that breaks off goes on where it broke off; the ranges
stay close together, so that a kill loses no more than a tenth of the file, and the memory is that of `AHEAD` units.
"""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import replace
from threading import Condition
from typing import NamedTuple

from em_assets.errors import IncompleteError, SourceError
from em_assets.model import RemoteFile
from em_assets.sources.hosts import Host
from em_assets.sources.origins import Location, Origin
from em_assets.sources.partial import Partial
from em_assets.sources.protocols import Ranged, ask_ranged
from em_assets.sources.sessions import connections_kept
from em_assets.sources.wire import Body, NotResumedError, Patience, Resume, Watch, agree
from em_assets.volumes.direct import ALIGNED_BYTES, aligned

RANGED_FROM_BYTES = 32 << 20
MOST_AT_ONCE = 4
LEAST_UNIT_BYTES, MOST_UNIT_BYTES = 1 << 20, 8 << 20
UNITS = 100
"""Of this many units, `AHEAD` at most are asked for before the first of them is whole."""

AHEAD = 8


def receive_ranges(
    remote: RemoteFile,
    partial: Partial,
    origin: Origin,
    patience: Patience,
    algorithms: Mapping[str, str],
    watch: Watch,
    on_bytes: Callable[[int], None] | None,
    host: Host,
) -> Body | None:
    """All bytes of a large file into the partial; what the server declares of it.

    None where one answer after the other is the better way, or the only one: a small file, a host whose connections
    are all in use, a server that knows no ranges or names no validator to hold them to, a file that has changed
    meanwhile. What is there by then is kept.

    Raises
    ------
    SourceUnreachableError
        No news of any range for too long.
    """
    asked = ask_ranged(remote.url, origin)
    if asked is None or remote.size_bytes is None or remote.size_bytes - partial.position < RANGED_FROM_BYTES:
        return None
    with host.spare_lines(MOST_AT_ONCE - 1) as n_more:
        about = _about(remote, partial, *asked, patience.watched(watch)) if n_more else None
        if about is None or about.resume_with is None:
            return None
        partial.begin(replace(about, start=partial.position), algorithms)
        filling = _Filling(partial.position, remote.size_bytes)
        receiver = _Receiver(*asked, patience, about.resume_with, partial, watch, on_bytes, filling)
        try:
            _fill(receiver, partial, filling, 1 + n_more)
        except (
            IncompleteError,
            _NoRangeError,
        ):  # no range, or one of another version: the whole file is asked for, and judged
            return None
    return about


def _about(
    remote: RemoteFile, partial: Partial, speaker: Ranged, location: Location, patience: Patience
) -> Body | None:
    try:
        about = speaker.about(location, patience)
    except SourceError:  # a GET says it better, and some servers know no HEAD
        return None
    is_same = about.size_bytes == remote.size_bytes and agree(remote.validator, about.validators)
    is_resumed = partial.resume is None or partial.resume.validator == about.resume_with
    return about if is_same and is_resumed else None


class _Unit(NamedTuple):
    """A part of the file that is asked for at once, and memory for it."""

    start: int
    block: memoryview
    memory: memoryview

    @property
    def end(self) -> int:
        """The first byte behind it."""
        return self.start + len(self.block)


class _Filling:
    """Which units are taken, which are whole, and what went wrong."""

    def __init__(self, start: int, end: int) -> None:
        self.end = end
        self.error: BaseException | None = None
        unit_bytes = min(max((end - start) // UNITS, LEAST_UNIT_BYTES), MOST_UNIT_BYTES)
        self._unit_bytes = unit_bytes // ALIGNED_BYTES * ALIGNED_BYTES
        self._next = self._digested = self._received = start
        self._whole: dict[int, _Unit] = {}
        self._free: list[memoryview] = []
        self._changed = Condition()

    def take(self) -> _Unit | None:
        """The next unit, which begins where a block of a disk does; None where there is nothing left to do."""
        with self._changed:
            while self.error is None and self._next < self.end and self._next - self._digested >= self._ahead:
                self._changed.wait()
            if self.error is not None or self._next >= self.end:
                return None
            start, after = self._next, (self._next + self._unit_bytes) // ALIGNED_BYTES * ALIGNED_BYTES
            self._next = min(after, self.end)
            memory = self._free.pop() if self._free else aligned(self._unit_bytes)
            return _Unit(start, memory[: self._next - start], memory)

    def received(self, n_bytes: int, watch: Watch) -> None:
        """Count new bytes of any unit."""
        with self._changed:
            if self.error is not None:
                raise _EndedError
            self._received += n_bytes
            watch.news(self._received)

    def whole(self, unit: _Unit) -> None:
        """Note a unit that has arrived."""
        with self._changed:
            self._whole[unit.start] = unit
            self._changed.notify_all()

    def fail(self, error: BaseException) -> None:
        """Note what ends it; the first counts."""
        with self._changed:
            if self.error is None:
                self.error = error
            self._changed.notify_all()

    def wait(self, digested: int) -> _Unit:
        """The unit that begins here, once it is whole.

        Raises
        ------
        BaseException
            What a unit failed with.
        """
        with self._changed:
            while self.error is None and digested not in self._whole:
                self._changed.wait()
            if self.error is not None:
                raise self.error
            return self._whole.pop(digested)

    def digested(self, unit: _Unit) -> None:
        """Note that a unit is done with; its memory is for another."""
        with self._changed:
            self._digested = unit.end
            self._free.append(unit.memory)
            self._changed.notify_all()

    @property
    def _ahead(self) -> int:
        return AHEAD * self._unit_bytes


class _NoRangeError(SourceError):
    """The server sends something else than the range: nobody asks for that again."""


class _EndedError(SourceError):
    """Another unit has failed."""


class _Receiver:
    """Fetches one unit after the other."""

    def __init__(
        self,
        speaker: Ranged,
        location: Location,
        patience: Patience,
        validator: str,
        partial: Partial,
        watch: Watch,
        on_bytes: Callable[[int], None] | None,
        filling: _Filling,
    ) -> None:
        self._speaker, self._location, self._patience, self._validator = speaker, location, patience, validator
        self._partial, self._watch, self._on_bytes, self._filling = partial, watch, on_bytes, filling

    def work(self) -> None:
        """Fetch units until there are none left; an error ends all workers."""
        try:
            while (unit := self._filling.take()) is not None:
                self._receive(unit)
                self._partial.write_at(unit.start, unit.block)
                self._filling.whole(unit)
        except BaseException as error:  # noqa: BLE001 - raised again, where the file is put together
            self._filling.fail(error)

    def _receive(self, unit: _Unit) -> None:
        position = unit.start

        def receive() -> None:
            nonlocal position
            patience = self._patience.watched(self._watch)
            pace = Watch(self._patience, self._patience.no_news_s, position, self._location.url)
            with self._speaker.body(self._location, patience, Resume(position, self._validator, unit.end)) as body:
                if body.start != position:
                    raise NotResumedError(f"{self._location.url}: a range asked for, the whole file sent")
                # The first range may be answered by the whole file, which nobody has compared with the others.
                if body.size_bytes != self._filling.end or not agree(self._validator, body.validators):
                    raise NotResumedError(f"{self._location.url}: {self._validator} asked for, another version sent")
                for count in _pieces(body, unit.block[position - unit.start :], self._location.url):
                    position += count
                    pace.keep_up(position)
                    self._filling.received(count, self._watch)
                    if self._on_bytes:
                        self._on_bytes(count)

        def receive_range() -> None:
            try:
                receive()
            except NotResumedError as error:
                raise _NoRangeError(str(error)) from error

        while position < unit.end:  # a server may send less than was asked for
            self._patience(receive_range, self._watch)


def _pieces(body: Body, block: memoryview, url: str) -> Iterator[int]:
    """Sizes of what comes, piece after piece, into a block."""
    filled = 0
    if body.receive is not None:
        while filled < len(block) and (count := body.receive(block[filled:])):
            filled += count
            yield count
        return
    for chunk in body.chunks:
        if len(chunk) > len(block) - filled:
            raise NotResumedError(f"{url}: {len(block):,} bytes asked for, more sent")
        block[filled : filled + len(chunk)] = chunk
        filled += len(chunk)
        yield len(chunk)


def _fill(receiver: _Receiver, partial: Partial, filling: _Filling, n_at_once: int) -> None:
    """Digest what is whole, while more arrives."""
    with connections_kept(), ThreadPoolExecutor(n_at_once) as pool:
        try:
            for _ in range(n_at_once):
                pool.submit(copy_context().run, receiver.work)
            while partial.position < filling.end:
                unit = filling.wait(partial.position)
                partial.advance(unit.block)
                filling.digested(unit)
        except BaseException as error:
            filling.fail(error)
            raise
