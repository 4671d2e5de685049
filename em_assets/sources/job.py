"""What one source of a dataset is to fetch, and what is held of it already."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

from em_assets.model import RawFile, RemoteFile, Source
from em_assets.sources.origins import Origin
from em_assets.sources.wire import Patience

Log = Callable[[str], None]
SAID_EVERY_S = 30.0


@dataclass(frozen=True)
class Job:
    """One source of a dataset, to be fetched.

    Attributes
    ----------
    source, index, prefix
        The source, its number in the dataset, and the folder of its files below `files_dir` (with a slash, or empty).
    remotes
        What its listing holds now.
    held
        Path → what is on the disk, as far as manifest and journal know.
    files_dir, quarantine
        Where good files go, and where what turned out to be no data is kept.
    keep
        Told of every file that is at its final name.
    locked
        Path → SHA-256 that a lock file demands; empty where none is to be followed.
    """

    source: Source
    index: int
    prefix: str
    remotes: tuple[RemoteFile, ...]
    held: Mapping[str, RawFile]
    files_dir: Path
    quarantine: Path
    origin: Origin
    patience: Patience
    log: Log
    keep: Callable[[RawFile], None]
    locked: Mapping[str, str] = field(default_factory=dict)

    def held_row(self, remote: RemoteFile) -> RawFile | None:
        """Row of a file that is held as it is listed now; None where it must be fetched."""
        row = self.held.get(remote.path)
        if row is None or row.validator != remote.validator or remote.size_bytes not in (None, row.size_bytes):
            return None
        if not is_whole(self.files_dir, row):
            return None
        return row.model_copy(update={"source": self.index, "url": remote.url})


@dataclass
class Progress:
    """Says how far a transfer is: a line for each tenth and each half minute, so that a log stays readable."""

    log: Log
    n_files: int
    total_bytes: int
    done_files: int = 0
    done_bytes: int = 0
    _tenths: int = 0
    _began_at: float = field(default_factory=time.monotonic)
    _said_at: float = field(default_factory=time.monotonic)
    _lock: Lock = field(default_factory=Lock)

    def add_bytes(self, count: int) -> None:
        """Count bytes that arrived."""
        with self._lock:
            self.done_bytes += count
            tenths = 10 * self.done_bytes // max(self.total_bytes, 1)
            now = time.monotonic()
            if (tenths <= self._tenths or tenths >= 10) and now - self._said_at < SAID_EVERY_S:
                return
            self._tenths, self._said_at = tenths, now
            line = self._line(now - self._began_at)
        self.log(line)

    def add_file(self) -> None:
        """Count a file that is whole."""
        with self._lock:
            self.done_files += 1

    def _line(self, elapsed_s: float) -> str:
        line = f"{self.done_files} of {self.n_files} files, {megabytes(self.done_bytes)}"
        if self.total_bytes:
            line += f" of {megabytes(self.total_bytes)}"
        if elapsed_s < 1:
            return line
        rate = self.done_bytes / elapsed_s
        left_s = max(self.total_bytes - self.done_bytes, 0) / max(rate, 1)
        return f"{line}, {megabytes(int(rate))}/s" + (f", {_duration(left_s)} left" if left_s else "")


def is_whole(files_dir: Path, row: RawFile) -> bool:
    """Whether a file of the manifest is on the disk with its size."""
    path = files_dir / row.path
    return path.is_file() and path.stat().st_size == row.size_bytes


def megabytes(size_bytes: int) -> str:
    """Bytes for a reader: `1.2 MB`."""
    return f"{size_bytes / 1e6:,.1f} MB"


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s" if minutes else f"{seconds} s"
