"""Many small objects, one after the other on each of a few connections, with as little ado as can be.

A file of this way is held in memory until it is proved, and then written at once. Whatever is not as it should be in
every respect is left to `transfer`, which knows what to make of it: an answer without a length, another size, a
connection that breaks off (what came of it is kept), a checksum that does not agree, a server that says "later". The
first file that makes anybody wait leaves all the others too: what waits for each of a thousand files waits for hours.
"""

import functools
import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from contextvars import copy_context
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from queue import SimpleQueue
from threading import Event, Lock
from typing import NamedTuple

from em_assets.errors import SourceError
from em_assets.model import RemoteFile
from em_assets.sources import unnamed
from em_assets.sources.answers import Answer, asking, resume_with, validators_of
from em_assets.sources.checksums import algorithm_of, declared, new_digest
from em_assets.sources.connection import MOST_WHOLE_BYTES, Connection
from em_assets.sources.hosts import Host
from em_assets.sources.http_heads import GarbledError, Head, UnusualError
from em_assets.sources.origins import Location, Origin
from em_assets.sources.partial import Partial, partial_path, unwritable
from em_assets.sources.protocols import ask_ranged
from em_assets.sources.sessions import check_status, connection_for
from em_assets.sources.transfer import Demand, Fetched, sums_of, why_no_data
from em_assets.sources.web import NO_HEAD
from em_assets.sources.wire import SHARE_OF_PATIENCE, Body, Patience, agree
from em_assets.volumes import direct
from em_assets.volumes.pages import HEAD_BYTES

AT_A_TIME = 32
"""Files on one connection before another process may have it."""

LONGEST_TURN_S = 2.0
"""After which no more files are asked for, however few there were."""

UNDER_WAY = 32
"""Files that are asked for at a time, over all connections: as many as an object store gets connections.

Where a server gets fewer of these, each has several questions on it, and nobody waits for the way there and back.
"""

MOST_IN_VAIN = 3
"""Connections in a row that end with questions on them; then each waits for the answer to the one before."""

TOLD_EVERY_S = 0.05
"""Between the files of one connection that came and the word that they have: each word wakes whoever listens."""

AT_FIRST = 4 * (os.cpu_count() or 1)
"""Connections to begin with: enough for a server that is near, where more of them only take turns at the processor."""

WORTH_ANOTHER = 0.5
"""The part of a file's time that must go by in waiting for its server before another connection is opened."""


class Wish(NamedTuple):
    """A small file to be fetched: where to, and what it must be."""

    remote: RemoteFile
    dest: Path
    demand: Demand
    waited_s: float = 0.0  # in vain, by those who left it to others


@dataclass
class Objects:
    """Fetches small files; those that it leaves are in `left`."""

    origin: Origin
    patience: Patience
    host: Host
    left: list[Wish] = field(default_factory=list)
    _is_looked_at_again: bool = True
    _ended: Event = field(default_factory=Event)
    _waited_s: float = 0.0  # in vain, since the last file that came
    _n_worth_another: int = 0  # files that came mostly of waiting
    _folders: set[str] = field(default_factory=set)  # that are there
    _most_ahead: int = 0  # files that are asked for on a connection before the one that is read
    _n_in_vain: int = 0  # connections that ended with questions on them since an answer to one came
    _is_unnamed: bool = True  # a file that is not at its final name yet, as far as the system has such files

    def __post_init__(self) -> None:
        waits = {name: SHARE_OF_PATIENCE * getattr(self.patience, name) for name in ("connect_s", "read_s", "stall_s")}
        self.patience = replace(self.patience, **waits)
        self._most_ahead = max(UNDER_WAY // self.host.limit, 1) - 1
        is_ended = self.host.is_ended
        self.host = replace(self.host, is_ended=lambda: self._ended.is_set() or is_ended())

    def fetch(self, wishes: Sequence[Wish]) -> Iterator[list[tuple[Wish, Fetched]]]:
        """Yield what is at its final name, some files at a time; folders are not synced yet.

        Raises
        ------
        StoreError
            The disk is full or cannot be written; what others were about to write has come before it is raised.
        """
        done: SimpleQueue[list[tuple[Wish, Fetched]] | BaseException | None] = SimpleQueue()
        lock = Lock()

        def work() -> None:
            next_wish = functools.partial(self._next, pending, lock)
            try:
                while (wish := next_wish()) is not None:
                    with self.host.line(), self._connection_to(wish) as connection:
                        self._turn(wish, connection, next_wish, done.put)
            except BaseException as error:  # noqa: BLE001 - raised again, by `fetch`
                done.put(error)
            done.put(None)

        pending, most = iter(wishes), max(min(self.host.limit, len(wishes)), 1)
        n_begun = n_ended = 0
        failed: BaseException | None = None
        with ThreadPoolExecutor(most) as pool:
            try:
                while n_ended < n_begun or not n_begun:
                    while n_begun < min(AT_FIRST + self._n_worth_another, most):
                        pool.submit(copy_context().run, work)
                        n_begun += 1
                    found = done.get()
                    if isinstance(found, BaseException):
                        failed = failed or found
                        self._ended.set()
                    elif found is None:
                        n_ended += 1
                    else:
                        yield found
            except BaseException:  # also of whoever is yielded to: nobody wants the others any more
                self._ended.set()
                raise
        if failed is not None:
            raise failed
        self.left += pending

    def _next(self, pending: Iterator[Wish], lock: Lock) -> Wish | None:
        with lock:
            return None if self.host.is_ended() else next(pending, None)

    @contextmanager
    def _connection_to(self, wish: Wish) -> Iterator[Connection | None]:
        """The connection for a thread's files, which are all of one server; None where there is none of this kind."""
        location = self._location(wish)
        with connection_for(location.url) if location else nullcontext() as connection:
            yield connection

    def _location(self, wish: Wish) -> Location | None:
        asked = ask_ranged(wish.remote.url, self.origin)
        return asked[0].web_location(asked[1]) if asked else None

    def _turn(
        self,
        wish: Wish,
        connection: Connection | None,
        next_wish: Callable[[], Wish | None],
        tell: Callable[[list[tuple[Wish, Fetched]]], None],
    ) -> None:
        """Fetch some files on one connection. Of those that have come is told now and then."""
        found: list[tuple[Wish, Fetched]] = []
        began_at = told_at = time.monotonic()
        others = islice(iter(next_wish, None), AT_A_TIME - 1)
        queue = deque([wish])
        try:
            while queue and not self.host.is_ended():
                if connection:
                    self._ask_ahead(queue, connection)
                wish = queue.popleft()
                fetched = self._one(wish, connection)
                if fetched is not None:
                    found.append((wish, fetched))
                now = time.monotonic()
                if found and now - told_at > TOLD_EVERY_S:
                    tell(found)
                    found, told_at = [], now
                if now - began_at < LONGEST_TURN_S:
                    queue += islice(others, max(self._most_ahead + 1 - len(queue), 0))
        finally:
            if found:
                tell(found)
            if connection and connection.n_ahead:  # nobody wants these answers any more
                connection.close()
            self.left += queue

    def _ask_ahead(self, queue: Sequence[Wish], connection: Connection) -> None:
        """Ask for files before the answers to others have been read, where a HEAD behind each tells where it ends."""
        if self._most_ahead and self._is_looked_at_again:
            for wish in islice(queue, connection.n_ahead, None):
                location = self._location(wish)
                if location is None or not connection.ask_ahead(location.url, asking(location.url, None)):
                    return

    def _one(self, wish: Wish, connection: Connection | None) -> Fetched | None:
        """The file at its final name; None where it is left to others."""
        began_at = time.monotonic()
        fetched = self._fetched(wish, connection) if connection else None
        if fetched is None:
            waited_s = time.monotonic() - max(began_at, connection.heard_at if connection else 0.0)
            self.left.append(wish._replace(waited_s=waited_s))
            self._waited_s += waited_s
            if self._waited_s >= min(self.patience.connect_s, self.patience.read_s, self.patience.stall_s):
                self._ended.set()
        else:
            self._waited_s = 0.0
        return fetched

    def _fetched(self, wish: Wish, connection: Connection) -> Fetched | None:
        location = self._location(wish)
        if location is None:
            return None
        try:
            return self._received(wish, location.url, connection)
        except (SourceError, UnusualError, OSError):
            connection.close()
            return None

    def _received(self, wish: Wish, url: str, connection: Connection) -> Fetched | None:
        patience = self.patience
        began_at = time.monotonic()
        head = self._head(url, connection)
        validators = validators_of(head)
        if not _is_as_listed(head, validators, wish.remote):
            connection.close()
            return None
        body = connection.whole(patience.stall_s, self.host.is_ended)
        if len(body) != wish.remote.size_bytes:
            _keep_beginning(wish, head, body)
            connection.close()
            return None
        came_at = time.monotonic()
        sums = sums_of(declared(head.headers, is_whole=True), wish.demand)
        validators_behind = self._looked_at_again(connection, url, is_needed=bool(validators and not sums))
        digests = {name: _digest(algorithm_of(name), body) for name in {"sha256", *sums}}
        is_proved = all(digests[name] == digits for name, digits in sums.items())
        is_unchanged = validators_behind is None or agree(validators[0], validators_behind)
        has_surplus = validators_behind is None and connection.has_surplus  # a second answer has come right behind it
        if not is_proved or not is_unchanged or has_surplus or _is_page(wish, body):
            connection.close()
            return None
        self._write(wish, connection.block, len(body))
        is_waited_for = came_at - began_at > WORTH_ANOTHER * (time.monotonic() - began_at)
        self._n_worth_another = max(self._n_worth_another + (1 if is_waited_for else -1), 0)
        return Fetched(digests["sha256"], len(body))

    def _head(self, url: str, connection: Connection) -> Head:
        """The head of the file's answer, which may have been asked for before."""
        if connection.n_ahead:
            head = None
            try:
                head = connection.answered(url, self.patience)
            finally:
                self._n_in_vain = 0 if head else self._n_in_vain + 1
                if self._n_in_vain > MOST_IN_VAIN:
                    self._most_ahead = 0
            if head:
                return head
        is_looked_at_again = self._is_looked_at_again
        return connection.ask("GET", url, asking(url, None), self.patience, is_looked_at_again=is_looked_at_again)

    def _looked_at_again(self, connection: Connection, url: str, *, is_needed: bool) -> tuple[str, ...] | None:
        """The validators behind the last byte; None where nobody needs them.

        From now on a HEAD goes out with each GET where this server's files need one, and it answered this one's.

        Raises
        ------
        SourceError, OSError
            More of the file in their place, or an answer that says that it is there no longer.
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
            if connection.has_surplus:  # a new question would forget it
                raise GarbledError(f"{url}: more bytes than declared")
            behind = connection.ask("HEAD", url, {}, self.patience)
        if behind.status_code not in NO_HEAD:
            check_status(behind, url)
        return validators_of(behind) if behind.ok else ()

    def _write(self, wish: Wish, block: memoryview, size_bytes: int) -> None:
        """All of it without a name, or beside the final one; synced, then there."""
        dest = str(wish.dest)
        folder = dest.rpartition(os.sep)[0]
        try:
            if folder not in self._folders:
                Path(folder).mkdir(parents=True, exist_ok=True)
                self._folders.add(folder)
            if not (self._is_unnamed and _written_unnamed(dest, folder, block, size_bytes)):
                self._is_unnamed = False
                _written_beside(dest, block, size_bytes)
        except OSError as error:
            raise unwritable(error, wish.dest, wish.remote.path, wish.remote.size_bytes) from error


def is_small(remote: RemoteFile) -> bool:
    """Whether a file is for this way."""
    return remote.size_bytes is not None and remote.size_bytes <= MOST_WHOLE_BYTES


def _digest(algorithm: str, body: memoryview) -> str:
    digest = new_digest(algorithm)
    digest.update(body)
    return digest.hexdigest()


def _is_as_listed(head: Head, validators: tuple[str, ...], remote: RemoteFile) -> bool:
    coding = head.headers.get("Content-Encoding") or "identity"
    is_size = head.headers.get("Content-Length") == str(remote.size_bytes)
    return head.status_code == 200 and coding == "identity" and is_size and agree(remote.validator, validators)


def _is_page(wish: Wish, body: memoryview) -> bool:
    return why_no_data(wish.remote.path.rpartition("/")[2], bytes(body[:HEAD_BYTES]), len(body)) is not None


def _written_unnamed(dest: str, folder: str, block: memoryview, size_bytes: int) -> bool:
    """Whether the file is at its final name; no, and nothing is left of it, where the system has no unnamed files."""
    descriptor = unnamed.written(folder, block, size_bytes)
    if descriptor is None:
        return False
    try:
        os.fsync(descriptor)
        return unnamed.named(descriptor, dest)
    except FileExistsError:  # of a run that was killed before it could say so
        beside = partial_path(Path(dest))
        beside.unlink(missing_ok=True)
        if not unnamed.named(descriptor, str(beside)):
            return False
        _renamed(beside, dest)
        return True
    finally:
        os.close(descriptor)


def _written_beside(dest: str, block: memoryview, size_bytes: int) -> None:
    beside = partial_path(Path(dest))
    try:
        descriptor = direct.write_new(str(beside), block, size_bytes)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError:
        beside.unlink(missing_ok=True)
        raise
    _renamed(beside, dest)


def _renamed(beside: Path, dest: str) -> None:
    try:
        beside.replace(dest)
    except OSError:  # a folder in its place
        beside.unlink(missing_ok=True)
        raise


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
