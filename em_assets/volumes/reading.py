"""A committed volume for reading: what its ledger names is there, or the read is an error; a loss is never zeros."""

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from itertools import product
from typing import Any

from em_assets.errors import FormatError, StoreError
from em_assets.formats import open_path
from em_assets.formats.trees import Tree, open_tree, parse_json
from em_assets.formats.volume import ReadBox, SourceVolume
from em_assets.formats.zarr_arrays import array_info, open_array, read_tensorstore
from em_assets.model import ZYX
from em_assets.volumes import ngff
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
    (opened,) = open_path(committed.path, format="ome_zarr")
    tree = open_tree(str(committed.path))
    check = _checking(committed)
    levels = tuple(
        replace(level, read_box=_reader(tree, committed, written, check))
        for level, written in zip(opened.levels, committed.commit.levels, strict=True)
    )
    return replace(opened, name=committed.folder.name, levels=levels)


def _checking(committed: CommittedVolume) -> Callable[[str], None]:
    """Refuses a key of the ledger that is absent or of another size, and one that is not in it."""

    @lru_cache(maxsize=1)
    def ledger() -> Ledger:
        return committed.ledger()

    @lru_cache(maxsize=MAX_KEYS_KNOWN)
    def check(key: str) -> None:
        entry = ledger().entries.get(key)
        problem = size_problem(committed.path, entry) if entry else f"{committed.path / key}: not in the ledger"
        if problem:
            raise StoreError(f"{problem}; materialize the dataset again (`em-assets fetch`)")

    return check


def _reader(tree: Tree, committed: CommittedVolume, level: WrittenLevel, check: Callable[[str], None]) -> ReadBox:
    commit, where = committed.commit, tree.locate(level.path)
    prefix = f"{level.path}/c/" if commit.ome_zarr == "0.5" else f"{level.path}/"
    object_shape = commit.shard_shape or commit.chunk_shape

    @lru_cache(maxsize=1)
    def array() -> Any:
        name = f"{level.path}/{ngff.ARRAY_FILE[commit.ome_zarr]}"
        check(name)
        info = array_info(tree.locate(name), parse_json(tree.locate(name), tree.read(name) or b""))
        return open_array(tree, level.path, info, is_fill_allowed=False)

    def read_box(start_zyx: ZYX, shape_zyx: ZYX) -> Any:
        boxes = zip(start_zyx, shape_zyx, object_shape, strict=True)
        for index in product(*(range(start // edge, -(-(start + n) // edge)) for start, n, edge in boxes)):
            check(prefix + "/".join(map(str, index)))
        box = tuple(slice(start, start + n) for start, n in zip(start_zyx, shape_zyx, strict=True))
        try:
            return read_tensorstore(where, array()[box])
        except FormatError as error:
            raise StoreError(f"{error}; `em-assets validate` says what changed") from error

    return read_box
