"""What one source of a dataset is to fetch, and what is held of it already."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

from em_assets.model import RawFile, RemoteFile, Source
from em_assets.sources.origins import Origin
from em_assets.sources.wire import Patience

Log = Callable[[str], None]


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
    """Says how far a transfer is: a line for each tenth, so that a log of any size stays readable."""

    log: Log
    n_files: int
    total_bytes: int
    done_files: int = 0
    done_bytes: int = 0
    _tenths: int = 0
    _lock: Lock = field(default_factory=Lock)

    def add_bytes(self, count: int) -> None:
        """Count bytes that arrived."""
        with self._lock:
            self.done_bytes += count
            tenths = 10 * self.done_bytes // max(self.total_bytes, 1)
            if tenths <= self._tenths or tenths >= 10:
                return
            self._tenths = tenths
        self.log(f"{self.done_files} of {self.n_files} files, {megabytes(self.done_bytes)} of {self._total}")

    def add_file(self) -> None:
        """Count a file that is whole."""
        with self._lock:
            self.done_files += 1

    @property
    def _total(self) -> str:
        return megabytes(self.total_bytes)


def is_whole(files_dir: Path, row: RawFile) -> bool:
    """Whether a file of the manifest is on the disk with its size."""
    path = files_dir / row.path
    return path.is_file() and path.stat().st_size == row.size_bytes


def megabytes(size_bytes: int) -> str:
    """Bytes for a reader: `1.2 MB`."""
    return f"{size_bytes / 1e6:,.1f} MB"
