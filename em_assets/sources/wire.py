"""What every protocol speaks: a listing's entries, a file's body, and how long to wait for either."""

import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import TypeVar

from em_assets.errors import IncompleteError, SourceUnreachableError
from em_assets.settings import TransferLimits

T = TypeVar("T")

MODIFIED = "modified:"
ELSEWHERE = "mend `url`, or ask the archive where it is now"
LATER = "a later try may succeed"
BLOCK_BYTES = 1 << 20
LEAST_WAIT_S = 0.1
SHARE_OF_PATIENCE = 0.5
"""Of each wait, for a quick way: the careful one has all of them still to come, and both must end in time."""

PASSING = (SourceUnreachableError, IncompleteError)


class ToldToWaitError(SourceUnreachableError):
    """The server asks for a pause of so many seconds."""

    def __init__(self, message: str, after_s: float) -> None:
        super().__init__(message)
        self.after_s = after_s


class NotResumedError(IncompleteError):
    """A server did not go on where it was asked to: what has arrived so far is of no use."""


@dataclass(frozen=True)
class Entry:
    """One file of a listing.

    Attributes
    ----------
    path
        Below the listed folder, decoded; empty where the address is the file itself.
    size_bytes
        None where the source does not say.
    validators
        What tells a changed file from an unchanged one, the sharpest first: `etag:…`, `modified:…`, `mtime_ns:…`.
    """

    path: str
    size_bytes: int | None
    validators: tuple[str, ...] = ()


@dataclass(frozen=True)
class Resume:
    """Where a body is to go on: at byte `start`, provided that the file is still the one of `validator`.

    It goes on to the file's end, or up to byte `end`, which is not part of it.
    """

    start: int
    validator: str
    end: int | None = None


@dataclass(frozen=True)
class Body:
    """A file that is being sent, or the rest of one.

    Attributes
    ----------
    chunks
        The bytes, each chunk good until the next is asked for; it raises `SourceUnreachableError` when they break off.
    size_bytes
        What the answer declares for the whole file; None where it does not.
    validators
        Of what is being sent, to compare with what was listed.
    ends_itself
        The protocol marks the end, so that an undeclared size is no danger.
    start
        Where the bytes begin in the file; 0 where the server starts anew.
    resume_with
        The validator that a later answer can be held to; None where the file must start anew.
    checksums
        Algorithm → hexadecimal digits of the whole file, as far as the server declares them.
    recheck
        Gives the validators as they are now: other ones after the last byte mean that two versions were sent as one.
    receive
        In place of `chunks`: puts what comes next into memory, and returns how much that is; 0 at the end.
    """

    chunks: Iterator[bytes] | Iterator[memoryview]
    size_bytes: int | None
    validators: tuple[str, ...] = ()
    ends_itself: bool = False
    start: int = 0
    resume_with: str | None = None
    checksums: Mapping[str, str] = field(default_factory=dict)
    recheck: Callable[[], tuple[str, ...]] | None = None
    receive: Callable[[memoryview], int] | None = None


@dataclass(frozen=True)
class Patience:
    """How long to wait for an archive, and how often to ask again after what may pass; seconds.

    Attributes
    ----------
    tries
        Failures in a row that are borne; new bytes of a file begin the count anew.
    first_pause_s, longest_pause_s
        Bounds of the pause before asking again: drawn between nothing and a bound that doubles (full jitter).
    longest_retry_after_s
        A server that asks for a longer pause gets this one.
    connect_s, read_s
        For a connection, and for the next bytes on it.
    least_bytes_per_s, stall_s
        Slower than this over so many seconds counts as a stall.
    no_news_s
        A file ends after so long without new bytes, all tries and pauses counted.
    listing_s
        The same for a question that is no file: a listing, a HEAD.
    connections
        Connections to one host at a time, over all processes that share a store; None for what suits its kind.
    left
        Seconds that are left for the file at the moment; None where nobody counts them.
    """

    tries: int = 5
    first_pause_s: float = 0.5
    longest_pause_s: float = 10.0
    longest_retry_after_s: float = 30.0
    connect_s: float = 10.0
    read_s: float = 20.0
    least_bytes_per_s: float = 1000.0
    stall_s: float = 20.0
    no_news_s: float = 60.0
    listing_s: float = 40.0
    connections: int | None = None
    left: Callable[[], float] | None = field(default=None, compare=False)

    @classmethod
    def within_limits(cls, limits: TransferLimits) -> "Patience":
        """The patience that a user's settings ask for."""
        return cls(**asdict(limits))

    def __call__(self, ask: Callable[[], T], watch: "Watch | None" = None) -> T:
        """Return what `ask` returns; ask again after an error that may pass, as long as the watch allows."""
        watch = watch or Watch(self, self.listing_s)
        failures = 0
        while True:
            had_bytes = watch.most_bytes
            try:
                return ask()
            except PASSING as error:
                failures = 1 if watch.most_bytes > had_bytes else failures + 1
                pause = self._pause_s(failures, error)
                if failures >= self.tries or pause >= watch.left_s:
                    raise
            time.sleep(pause)

    def watched(self, watch: "Watch") -> "Patience":
        """The same, where no single wait is longer than what the watch allows by then."""
        return replace(self, left=lambda: watch.left_s)

    def wait_s(self, most_s: float) -> float:
        """How long a wait may last that begins now."""
        return most_s if self.left is None else min(most_s, max(self.left(), LEAST_WAIT_S))

    def within(self, left_s: float) -> "Patience":
        """The same, in a hurry: no single wait is longer than what is left."""
        left_s = max(left_s, LEAST_WAIT_S)
        return replace(self, connect_s=min(self.connect_s, left_s), read_s=min(self.read_s, left_s))

    def _pause_s(self, failures: int, error: Exception) -> float:
        bound = min(self.longest_pause_s, self.first_pause_s * 2 ** min(failures - 1, 30))
        told = error.after_s if isinstance(error, ToldToWaitError) else 0.0
        return max(random.uniform(0, bound), min(told, self.longest_retry_after_s))


class Watch:
    """Ends what brings too little for too long; only bytes beyond the furthest point so far are news."""

    def __init__(
        self, patience: Patience, limit_s: float, position: int = 0, of: str = "", *, waited_s: float = 0.0
    ) -> None:
        self._of = of
        self.most_bytes = position
        self._patience = patience
        self._limit_s = limit_s
        self._answer_at = time.monotonic()
        self._news_at = self._answer_at - waited_s  # in vain, before anybody watched
        self._news_bytes = position
        self._answer_bytes = 0

    @property
    def left_s(self) -> float:
        """Seconds until it is over, unless news come."""
        return self._limit_s - (time.monotonic() - self._news_at)

    def begin(self, position: int) -> None:
        """An answer has begun: its rate counts from here."""
        self._answer_at, self._answer_bytes = time.monotonic(), position

    def arrived(self, position: int) -> None:
        """Bytes up to `position` are there.

        Raises
        ------
        SourceUnreachableError
            Slower than `least_bytes_per_s` over `stall_s`, or no news for too long.
        """
        self.news(position)
        self.keep_up(position)

    def news(self, position: int) -> None:
        """As `arrived`, of the file, whichever answer the bytes came by."""
        now = time.monotonic()
        self.most_bytes = max(self.most_bytes, position)
        least = self._patience.least_bytes_per_s
        if self.most_bytes - self._news_bytes >= least * self._limit_s:
            self._news_at, self._news_bytes = now, self.most_bytes
        elif now - self._news_at > self._limit_s:
            news = f"{self.most_bytes - self._news_bytes:,} new bytes in {self._limit_s:g} s"
            raise SourceUnreachableError(f"{self._of}: {news}; {LATER}")

    def keep_up(self, position: int) -> None:
        """As `arrived`, of one answer's rate."""
        now, least = time.monotonic(), self._patience.least_bytes_per_s
        if now - self._answer_at > self._patience.stall_s:
            if position - self._answer_bytes < least * self._patience.stall_s:
                slow = f"{position - self._answer_bytes:,} bytes in {now - self._answer_at:.0f} s"
                raise SourceUnreachableError(f"{self._of}: stalled, {slow}; {LATER}")
            self.begin(position)


PATIENCE = Patience()


@contextmanager
def in_time(seconds: float | None, end: Callable[[], object]) -> Iterator[None]:
    """Call `end`, which makes an end of what is waited for, when this takes longer; without a limit, never.

    Raises
    ------
    TimeoutError
        It was called, whatever came of it: what looks like an answer then may be half of one.
    """
    if seconds is None:
        yield
        return
    is_over = threading.Event()

    def stop() -> None:
        is_over.set()
        end()

    timer = threading.Timer(seconds, stop)
    timer.daemon = True
    timer.start()
    try:
        yield
    except Exception as error:  # whatever a client makes of a connection that is cut while it reads
        if is_over.is_set():
            raise TimeoutError(f"no end of the answer within {seconds:g} s") from error
        raise
    finally:
        timer.cancel()
    if is_over.is_set():
        raise TimeoutError(f"no end of the answer within {seconds:g} s")


def modified(when: datetime) -> str:
    """Return a time of modification as a validator: UTC, to the second, alike over HTTP and FTP."""
    return f"{MODIFIED}{when.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def agree(listed: str | None, sent: tuple[str, ...]) -> bool:
    """Whether what is sent is what was listed; True where they have no kind of validator in common."""
    if listed is None:
        return True
    kind = listed.split(":", 1)[0]
    return all(validator == listed for validator in sent if validator.split(":", 1)[0] == kind)
