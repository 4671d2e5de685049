"""Bytes of a committed generation for a server: what its ledger names is there whole, or it is an error."""

from dataclasses import dataclass, field
from functools import cached_property

from em_assets.errors import StoreError
from em_assets.remote.path import RemotePath
from em_assets.volumes.folders import Folder, size_of
from em_assets.volumes.ledger import Ledger, size_problem
from em_assets.volumes.store import CommittedVolume


@dataclass(frozen=True)
class CommittedFiles:
    """The files of one generation, which never changes; only those that its ledger names exist."""

    committed: CommittedVolume
    _seen: set[str] = field(default_factory=set)
    """Objects of a bucket that were there once: asking is a round trip, and reading one that is gone fails anyway."""

    @cached_property
    def _ledger(self) -> Ledger:
        return self.committed.ledger()

    def size_bytes(self, key: str) -> int | None:
        """Size of a file; None where the ledger names none.

        Raises
        ------
        StoreError
            It is named and is not there, or has another size: a viewer must not take it for empty space.
        """
        expected = self._ledger.size_of(key)
        if expected is None or key in self._seen:
            return expected
        group = self.committed.path
        problem = size_problem(group, key, expected, lambda name: size_of(group / name))
        if problem:
            raise StoreError(f"{problem}; materialize the dataset again (`em-assets fetch`)")
        if isinstance(group, RemotePath):
            self._seen.add(key)
        return expected

    def read(self, key: str, start: int, n_bytes: int) -> bytes:
        """So many bytes of a file that `size_bytes` knows.

        Raises
        ------
        StoreError
            Fewer came.
        """
        path = self.committed.path / key
        try:
            data = _read(path, start, n_bytes)
        except OSError as error:
            raise StoreError(f"{path}: cannot be read: {error}") from error
        if len(data) != n_bytes:
            raise StoreError(f"{path}: {n_bytes} bytes from {start} on expected, found {len(data)}")
        return data


def _read(path: Folder, start: int, n_bytes: int) -> bytes:
    if isinstance(path, RemotePath):
        return path.read_range(start, n_bytes)
    with path.open("rb", buffering=0) as file:
        file.seek(start)
        return file.read(n_bytes)
