"""Many small objects, one after the other on each of a few connections, with as little ado as can be.

A file of this way is held in memory until it is proved, and then written at once. Whatever is not as it should be in
every respect is left to `transfer`, which knows what to make of it: an answer without a length, another size, a
connection that breaks off (what came of it is kept), a checksum that does not agree, a server that says "later". The
first file that makes anybody wait leaves all the others too: what waits for each of a thousand files waits for hours.
"""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from queue import SimpleQueue
from threading import Event, Lock

from em_assets.errors import SourceError
from em_assets.model import RemoteFile
from em_assets.sources.answers import Answer, asking, resume_with, validators_of
from em_assets.sources.checksums import algorithm_of, declared, new_digest
from em_assets.sources.connection import Connection, Head, UnusualError
from em_assets.sources.hosts import Host
from em_assets.sources.origins import Location, Origin
from em_assets.sources.partial import Partial, partial_path, unwritable
from em_assets.sources.protocols import ask_ranged
from em_assets.sources.sessions import connection_for
from em_assets.sources.transfer import Demand, Fetched, sums_of, why_no_data
from em_assets.sources.wire import BLOCK_BYTES, Body, Patience, agree
from em_assets.volumes import direct
from em_assets.volumes.pages import HEAD_BYTES

SMALL_BYTES = BLOCK_BYTES - (1 << 17)
"""A body that fits into a connection's block, with its head and the next one's."""

AT_A_TIME = 32
"""Files on one connection before another process may have it."""

AT_FIRST = 4 * (os.cpu_count() or 1)
"""Connections to begin with: enough for a server that is near, where more of them only take turns at the processor."""

WORTH_ANOTHER = 0.5
"""The part of a file's time that must go by in waiting for its server before another connection is opened."""

SHARE_OF_PATIENCE = 0.5
"""Of each wait; what is left after it has all of them still to come, and both must end in time."""


@dataclass(frozen=True)
class Wish:
    """A small file to be fetched: where to, and what it must be."""

    remote: RemoteFile
    dest: Path
    demand: Demand
    waited_s: float = 0.0  # in vain, by those who left it to others


@dataclass
class Objects:
    """Fetches small files; those that it leaves are in `left`.

    Attributes
    ----------
    on_bytes
        Told of every file's bytes; an error of its own ends everything.
    """

    origin: Origin
    patience: Patience
    host: Host
    on_bytes: Callable[[int], None]
    left: list[Wish] = field(default_factory=list)
    _is_looked_at_again: bool = True
    _ended: Event = field(default_factory=Event)
    _waited_s: float = 0.0  # in vain, since the last file that came
    _n_worth_another: int = 0  # files that came mostly of waiting
    _folders: set[Path] = field(default_factory=set)  # that are there

    def __post_init__(self) -> None:
        waits = {name: SHARE_OF_PATIENCE * getattr(self.patience, name) for name in ("connect_s", "read_s", "stall_s")}
        self.patience = replace(self.patience, **waits)
        is_ended = self.host.is_ended
        self.host = replace(self.host, is_ended=lambda: self._ended.is_set() or is_ended())

    def fetch(self, wishes: Sequence[Wish]) -> Iterator[tuple[Wish, Fetched]]:
        """Yield what is at its final name; folders are not synced yet.

        Raises
        ------
        StoreError
            The disk is full or cannot be written.
        """
        done: SimpleQueue[tuple[Wish, Fetched] | BaseException | None] = SimpleQueue()
        lock = Lock()

        def work() -> None:
            try:
                wish = self._next(pending, lock)
                while wish is not None:
                    with self.host.line():
                        for _ in range(AT_A_TIME):
                            self._one(wish, done.put)
                            wish = self._next(pending, lock)
                            if wish is None:
                                break
            except BaseException as error:  # noqa: BLE001 - raised again, by `fetch`
                done.put(error)
            done.put(None)

        pending, most = iter(wishes), max(min(self.host.limit, len(wishes)), 1)
        n_begun = n_ended = 0
        with ThreadPoolExecutor(most) as pool:
            try:
                while n_ended < n_begun or not n_begun:
                    while n_begun < min(AT_FIRST + self._n_worth_another, most):
                        pool.submit(copy_context().run, work)
                        n_begun += 1
                    found = done.get()
                    if isinstance(found, BaseException):
                        raise found
                    if found is None:
                        n_ended += 1
                    else:
                        yield found
            except BaseException:  # also of whoever is yielded to: nobody wants the others any more
                self._ended.set()
                raise
        self.left += pending

    def _next(self, pending: Iterator[Wish], lock: Lock) -> Wish | None:
        with lock:
            return None if self.host.is_ended() else next(pending, None)

    def _one(self, wish: Wish, done: Callable[[tuple[Wish, Fetched]], None]) -> None:
        began_at = time.monotonic()
        fetched = self._fetched(wish)
        if fetched is None:
            waited_s = time.monotonic() - began_at
            self.left.append(replace(wish, waited_s=waited_s))
            self._waited_s += waited_s
            if self._waited_s >= min(self.patience.connect_s, self.patience.read_s, self.patience.stall_s):
                self._ended.set()
            return
        self._waited_s = 0.0
        self.on_bytes(fetched.size_bytes)
        done((wish, fetched))

    def _fetched(self, wish: Wish) -> Fetched | None:
        """The file at its final name; None where it is left to others."""
        asked = ask_ranged(wish.remote.url, self.origin)
        if asked is None:
            return None
        location = asked[0].web_location(asked[1])
        with connection_for(location.url) as connection:
            if connection is None:
                return None
            try:
                return self._received(wish, location, connection)
            except (SourceError, UnusualError, OSError):
                connection.close()
                return None

    def _received(self, wish: Wish, location: Location, connection: Connection) -> Fetched | None:
        url, patience = location.url, self.patience
        began_at = time.monotonic()
        head = connection.ask(
            "GET",
            url,
            asking(url, None),
            patience,
            is_looked_at_again=self._is_looked_at_again,
        )
        validators = validators_of(head)
        if not _is_as_listed(head, validators, wish.remote):
            connection.close()
            return None
        body = connection.whole(patience.stall_s)
        if len(body) != wish.remote.size_bytes:
            _keep_beginning(wish, head, body)
            connection.close()
            return None
        came_at = time.monotonic()
        sums = sums_of(declared(head.headers, is_whole=True), wish.demand)
        validators_behind = self._looked_at_again(connection, url, is_needed=bool(validators and not sums))
        digests = {name: new_digest(algorithm_of(name)) for name in {"sha256", *sums}}
        for digest in digests.values():
            digest.update(body)
        is_proved = all(digests[name].hexdigest() == digits for name, digits in sums.items())
        is_unchanged = validators_behind is None or agree(validators[0], validators_behind)
        has_surplus = validators_behind is None and connection.has_surplus  # a second answer has come right behind it
        if not is_proved or not is_unchanged or has_surplus or _is_page(wish, body):
            connection.close()
            return None
        self._write(wish, connection.block, len(body))
        is_waited_for = came_at - began_at > WORTH_ANOTHER * (time.monotonic() - began_at)
        self._n_worth_another = max(self._n_worth_another + (1 if is_waited_for else -1), 0)
        return Fetched(digests["sha256"].hexdigest(), len(body))

    def _looked_at_again(self, connection: Connection, url: str, *, is_needed: bool) -> tuple[str, ...] | None:
        """The validators behind the last byte; None where nobody needs them.

        From now on a HEAD goes out with each GET where this server's files need one, and it answered this one's.
        """
        try:
            behind = connection.head_behind(url, self.patience.read_s)
        except (SourceError, OSError):
            self._is_looked_at_again = False
            raise
        if not is_needed:
            self._is_looked_at_again = False
            return None
        if behind is None:
            behind = connection.ask("HEAD", url, {}, self.patience)
        return validators_of(behind) if behind.ok else ()

    def _write(self, wish: Wish, block: memoryview, size_bytes: int) -> None:
        """All of it beside the final name, synced, then there."""
        beside, folder = str(partial_path(wish.dest)), wish.dest.parent
        try:
            if folder not in self._folders:
                folder.mkdir(parents=True, exist_ok=True)
                self._folders.add(folder)
            descriptor = direct.write_new(beside, block, size_bytes)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            os.replace(beside, wish.dest)  # noqa: PTH105 - a thousand paths a second
        except OSError as error:
            Path(beside).unlink(missing_ok=True)
            raise unwritable(error, wish.dest, wish.remote.path, wish.remote.size_bytes) from error


def is_small(remote: RemoteFile) -> bool:
    """Whether a file is for this way."""
    return remote.size_bytes is not None and remote.size_bytes <= SMALL_BYTES


def _is_as_listed(head: Head, validators: tuple[str, ...], remote: RemoteFile) -> bool:
    coding = head.headers.get("Content-Encoding") or "identity"
    is_size = head.headers.get("Content-Length") == str(remote.size_bytes)
    return head.status_code == 200 and coding == "identity" and is_size and agree(remote.validator, validators)


def _is_page(wish: Wish, body: memoryview) -> bool:
    return why_no_data(PurePosixPath(wish.remote.path).name, bytes(body[:HEAD_BYTES]), len(body)) is not None


def _keep_beginning(wish: Wish, head: Answer, body: memoryview) -> None:
    """What came before it broke off, for whoever goes on with it."""
    came = Body(
        iter(()),
        wish.remote.size_bytes,
        resume_with=resume_with(head),
        checksums=declared(head.headers, is_whole=True),
    )
    partial = Partial(wish.remote, wish.dest)
    partial.begin(came, wish.demand.checksums)
    partial.write(body)
    partial.leave()
