"""What one source of a dataset is to fetch, and what is held of it already."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

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
        Told of the files that are at their final names, one or some.
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
    keep: Callable[[Sequence[RawFile]], None]
    locked: Mapping[str, str] = field(default_factory=dict)

    def held_row(self, remote: RemoteFile) -> RawFile | None:
        """Row of a file that is held as it is listed now; None where it must be fetched, or only a link leads to it."""
        row = self.known_row(remote)
        return None if row is None or (self.files_dir / row.path).is_symlink() else row

    def known_row(self, remote: RemoteFile) -> RawFile | None:
        """Row of a file that is there as listed now, or of the SHA-256 that is demanded, be it held or referenced."""
        row = self.held.get(remote.path)
        if row is None or remote.size_bytes not in (None, row.size_bytes):
            return None
        demanded = self.locked.get(remote.path)
        is_same = row.validator == remote.validator if demanded is None else row.sha256 == demanded
        if not is_same or not is_whole(self.files_dir, row):
            return None
        return row.model_copy(update={"source": self.index, "url": remote.url})


def is_whole(files_dir: Path, row: RawFile) -> bool:
    """Whether a file of the manifest is on the disk with its size."""
    path = files_dir / row.path
    return path.is_file() and path.stat().st_size == row.size_bytes
