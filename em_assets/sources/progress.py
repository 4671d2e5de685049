"""How far a transfer is: bytes, rate, time left. As lines of a log, or to whoever watches in this process.

A terminal watches with `watched_by` and draws; then the lines would only be in its way, and are left out. Dagster's
steps have nobody who watches, so their log has a line for each tenth and each half minute.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Lock
from typing import Protocol

SAID_EVERY_S = 30.0

_WATCHING: list["Watching"] = []


class Watching(Protocol):
    """Whoever is shown how far transfers are; called from many threads."""

    def began(self, progress: "Progress") -> None:
        """A transfer begins."""

    def moved(self, progress: "Progress") -> None:
        """Bytes or a file have arrived."""

    def ended(self, progress: "Progress") -> None:
        """It is over, well or not."""


@contextmanager
def watched_by(watching: Watching) -> Iterator[None]:
    """Show all transfers of this process to somebody."""
    _WATCHING.append(watching)
    try:
        yield
    finally:
        _WATCHING.remove(watching)


@dataclass
class Progress:
    """One transfer: how many files and bytes there are to fetch, and how many have arrived.

    `total_bytes` is 0 where the source does not say.
    """

    what: str
    log: Callable[[str], None]
    n_files: int
    total_bytes: int
    done_files: int = 0
    done_bytes: int = 0
    _tenths: int = 0
    _began_at: float = field(default_factory=time.monotonic)
    _said_at: float = field(default_factory=time.monotonic)
    _lock: Lock = field(default_factory=Lock)

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Show it for as long as it lasts."""
        watching = tuple(_WATCHING)
        for each in watching:
            each.began(self)
        try:
            yield
        finally:
            for each in watching:
                each.ended(self)

    def add_bytes(self, count: int) -> None:
        """Count bytes that arrived."""
        with self._lock:
            self.done_bytes += count
            line = None if _WATCHING else self._line_due(time.monotonic())
        for each in tuple(_WATCHING):
            each.moved(self)
        if line:
            self.log(line)

    def add_files(self, count: int) -> None:
        """Count files that are whole."""
        with self._lock:
            self.done_files += count
        for each in tuple(_WATCHING):
            each.moved(self)

    def _line_due(self, now: float) -> str | None:
        tenths = 10 * self.done_bytes // max(self.total_bytes, 1)
        if (tenths <= self._tenths or tenths >= 10) and now - self._said_at < SAID_EVERY_S:
            return None
        self._tenths, self._said_at = tenths, now
        return self._line(now - self._began_at)

    def _line(self, elapsed_s: float) -> str:
        line = f"{self.done_files} of {self.n_files} files, {megabytes(self.done_bytes)}"
        if self.total_bytes:
            line += f" of {megabytes(self.total_bytes)}"
        if elapsed_s < 1:
            return line
        rate = self.done_bytes / elapsed_s
        left_s = max(self.total_bytes - self.done_bytes, 0) / max(rate, 1)
        return f"{line}, {megabytes(int(rate))}/s" + (f", {_duration(left_s)} left" if left_s else "")


def megabytes(size_bytes: int) -> str:
    """Bytes for a reader: `1.2 MB`."""
    return f"{size_bytes / 1e6:,.1f} MB"


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s" if minutes else f"{seconds} s"
