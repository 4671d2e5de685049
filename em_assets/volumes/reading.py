"""A committed volume for reading: what its ledger names is there, or the read is an error; a loss is never zeros."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from itertools import product
from typing import Any

from numpy.typing import NDArray

from em_assets.errors import FormatError, StoreError
from em_assets.formats import ome_zarr
from em_assets.formats.bucket_trees import tree_of
from em_assets.formats.tensorstores import BoxReader
from em_assets.formats.trees import Tree, parse_json
from em_assets.formats.volume import Finish, SourceVolume
from em_assets.formats.zarr_arrays import array_info, open_array
from em_assets.model import ZYX
from em_assets.volumes import ngff
from em_assets.volumes.folders import size_of
from em_assets.volumes.ledger import Ledger, size_problem
from em_assets.volumes.pyramid import WrittenLevel
from em_assets.volumes.store import CommittedVolume

MAX_KEYS_KNOWN = 1 << 20
"""Files that were looked at once and are not looked at again: about 200 bytes each."""


def open_committed(committed: CommittedVolume) -> SourceVolume:
    """The committed volume under its own name; its ledger is read with the first box.

    Before a file is read for the first time it must be there with the size that the ledger says, and a chunk that a
    file lacks is an error too. Bytes that changed in place are found by `validation`.

    Raises
    ------
    FormatError
        The group's metadata cannot be read.
    """
    tree = tree_of(committed.path)
    (opened,) = ome_zarr.open_in(tree, str(committed.path), is_fill_allowed=False)
    check = _checking(committed)
    readers = [
        _LevelReader(
            committed,
            written,
            check,
            BoxReader(tree.locate(written.path), partial(_open_level, tree, committed, written, check)),
        )
        for written in committed.commit.levels
    ]
    levels = tuple(
        replace(level, read_box=reader.read_box, begin_into=reader.begin_into)
        for level, reader in zip(opened.levels, readers, strict=True)
    )
    return replace(opened, name=committed.folder.name, levels=levels)


def _checking(committed: CommittedVolume) -> Callable[[str], None]:
    """Refuses a key of the ledger that is absent or of another size, and one that is not in it."""

    @lru_cache(maxsize=1)
    def ledger() -> Ledger:
        return committed.ledger()

    def size(key: str) -> int | None:
        return size_of(committed.path / key)

    @lru_cache(maxsize=MAX_KEYS_KNOWN)
    def check(key: str) -> None:
        expected = ledger().size_of(key)
        if expected is None:
            problem: str | None = f"{committed.path / key}: not in the ledger"
        else:
            problem = size_problem(committed.path, key, expected, size)
        if problem:
            raise StoreError(f"{problem}; materialize the dataset again (`em-assets fetch`)")

    return check


@dataclass(frozen=True, eq=False)
class _LevelReader:
    """Boxes of one level, read once every object that they touch is known to be there."""

    committed: CommittedVolume
    level: WrittenLevel
    check: Callable[[str], None]
    boxes: BoxReader

    def read_box(self, start_zyx: ZYX, shape_zyx: ZYX) -> NDArray[Any]:
        """A box as a fresh array."""
        self._touch(start_zyx, shape_zyx)
        with _losses():
            return self.boxes.read_box(start_zyx, shape_zyx)

    def begin_into(self, start_zyx: ZYX, out: NDArray[Any]) -> Finish:
        """A box into memory that is there, without waiting."""
        z, y, x = out.shape
        self._touch(start_zyx, (z, y, x))
        finish = self.boxes.begin_into(start_zyx, out)

        def done() -> None:
            with _losses():
                finish()

        return done

    def _touch(self, start_zyx: ZYX, shape_zyx: ZYX) -> None:
        commit = self.committed.commit
        edges = commit.shard_shape or commit.chunk_shape
        prefix = f"{self.level.path}/c/" if commit.ome_zarr == "0.5" else f"{self.level.path}/"
        boxes = zip(start_zyx, shape_zyx, edges, strict=True)
        for index in product(*(range(start // edge, -(-(start + n) // edge)) for start, n, edge in boxes)):
            self.check(prefix + "/".join(map(str, index)))


@contextmanager
def _losses() -> Iterator[None]:
    """Say what to do about a chunk that is gone or broken."""
    try:
        yield
    except FormatError as error:
        raise StoreError(f"{error}; `em-assets validate` says what changed") from error


def _open_level(tree: Tree, committed: CommittedVolume, level: WrittenLevel, check: Callable[[str], None]) -> Any:
    name = f"{level.path}/{ngff.ARRAY_FILE[committed.commit.ome_zarr]}"
    check(name)
    info = array_info(tree.locate(name), parse_json(tree.locate(name), tree.read(name) or b""))
    return open_array(tree, level.path, info, is_fill_allowed=False)
