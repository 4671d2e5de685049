"""Every voxel of a dataset's volumes compared with its source, before the source's bytes are let go."""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
from filelock import FileLock

from em_assets.building import held_files, inputs_of, raw_volumes
from em_assets.checking import written_array
from em_assets.datasets import Dataset
from em_assets.formats.volume import SourceVolume
from em_assets.independent import NotIndependentError, read_blocks
from em_assets.judging import WORDS
from em_assets.model import ZYX, RawFile
from em_assets.retention import is_dropped, made_of
from em_assets.settings import Settings
from em_assets.sources.manifest import FILES, Journal, drop_bytes, dropped_paths, read_dropped
from em_assets.volumes.store import CommittedVolume, committed_volumes

BOX_BYTES = 128 << 20
"""Voxels that are compared at once; twice as many are held."""


TREE_SUFFIXES = ("", ".json", ".shard", ".gz")
"""Of chunks, shards and their metadata in a folder that is a volume; numbers are chunks as well."""


class Retained(NamedTuple):
    """What became of a dataset's raw bytes: how many were dropped, or why they are kept."""

    dropped_bytes: int
    reasons: list[str]


class Proof(NamedTuple):
    """What was proved: generations by volume, from which files; and what was not, each with the reason."""

    rows: tuple[RawFile, ...]
    generations: dict[str, str]
    places: frozenset[str]
    """Paths of the files, and of the folders, that are a volume."""

    unproved: list[str]


def drop_raw(dataset: Dataset, settings: Settings) -> Retained:
    """Drop the raw bytes of a dataset whose TOML file says `keep_raw = false`, if every voxel is proved to be kept.

    Dropped are the files that a proved volume was read from, and no others: notes and lists beside them stay, as do the
    manifest, the lock file, the archives' records, all tags and tables; files referenced in place are nobody's to drop.
    What is proved is every voxel, by another library than the one that wrote the volume: where no other takes a file,
    its bytes are kept.
    """
    if dataset.keep_raw:
        return Retained(0, ["the dataset keeps them"])
    raw_dir = settings.raw_dir(dataset.name)
    if is_dropped(dataset, settings):
        return Retained(_finish_drop(dataset, settings), [])
    proof = prove(dataset, settings)
    if proof.unproved:
        return Retained(0, proof.unproved)
    with FileLock(raw_dir / ".lock"):  # held to the end: nobody fetches another version in between
        made = made_of(dataset, settings)
        if made is None:
            return Retained(0, ["not everything that is made of them is there"])
        if not _holds(proof, dataset, settings):
            return Retained(0, ["files or volumes changed while they were compared; the next run compares them again"])
        files = [row for row in proof.rows if _is_in_a_volume(row, dataset, proof.places)]
        files = [row for row in files if not (raw_dir / FILES / row.path).is_symlink()]
        if not files:
            return Retained(0, ["all of them lie elsewhere, or are in no volume"])
        return Retained(drop_bytes(raw_dir, files, made), [])


def prove(dataset: Dataset, settings: Settings) -> Proof:
    """Compare every voxel of every volume with the source that the manifest names now."""
    rows = held_files(dataset, settings)
    committed = committed_volumes(settings.volumes_dir(dataset.name))
    raws = raw_volumes(dataset, settings)
    siblings = [raw.source for raw in raws]
    reasons = ((raw.name, _difference(raw.source, siblings, committed.get(raw.name))) for raw in raws)
    unproved = [f"{name}: {reason}" for name, reason in reasons if reason is not None]
    root = (settings.raw_dir(dataset.name) / FILES).absolute()
    places = frozenset(Path(file).absolute().relative_to(root).as_posix() for raw in raws for file in raw.source.files)
    generations = {raw.name: committed[raw.name].commit.generation for raw in raws if raw.name in committed}
    return Proof(rows, generations, places, unproved)


def _holds(proof: Proof, dataset: Dataset, settings: Settings) -> bool:
    """Whether files and volumes are still those of the proof, the volumes made from just these files."""
    committed = committed_volumes(settings.volumes_dir(dataset.name))
    commits = {name: committed[name].commit for name in proof.generations if name in committed}
    is_arriving = bool(Journal(settings.raw_dir(dataset.name)).read())  # of a fetch that broke off
    return (
        not is_arriving
        and held_files(dataset, settings) == proof.rows
        and {name: commit.generation for name, commit in commits.items()} == proof.generations
        and all(commit.inputs == inputs_of(proof.rows) for commit in commits.values())
    )


def _is_in_a_volume(row: RawFile, dataset: Dataset, places: frozenset[str]) -> bool:
    """Whether a file was read as a volume or lies in a folder that was; documents in such a folder are in none."""
    if not dataset.sources[row.source].is_volume:
        return False
    path = PurePosixPath(row.path)
    is_of_a_tree = path.suffix in TREE_SUFFIXES or path.suffix[1:].isdecimal()
    is_inside = any(parent.as_posix() in places for parent in path.parents)
    return row.path in places or (is_inside and is_of_a_tree and path.name.casefold() not in WORDS)


def _finish_drop(dataset: Dataset, settings: Settings) -> int:
    """Drop what a run left that was killed while it dropped; bytes that it took."""
    raw_dir = settings.raw_dir(dataset.name)
    with FileLock(raw_dir / ".lock"):
        made, paths = read_dropped(raw_dir), dropped_paths(raw_dir)
        left = [row for row in held_files(dataset, settings) if row.path in paths]
        return drop_bytes(raw_dir, left, made) if made is not None and is_dropped(dataset, settings) else 0


def _difference(source: SourceVolume, siblings: list[SourceVolume], written: CommittedVolume | None) -> str | None:
    if written is None:
        return "no committed volume"
    array = written_array(written, 0)
    for start, shape in _boxes(source):
        try:
            (block,) = read_blocks(source, siblings, [(start, shape)])
        except NotIndependentError as reason:
            return f"nobody but our own reader can say what the file holds: {reason}"
        kept = np.asarray(array[tuple(slice(at, at + n) for at, n in zip(start, shape, strict=True))])
        if not np.array_equal(block, kept, equal_nan=block.dtype.kind == "f"):
            return f"the box at {start} of shape {shape} (z, y, x) is not the source's"
    return None


def _boxes(source: SourceVolume) -> Iterator[tuple[ZYX, ZYX]]:
    """The whole volume in slabs; in bands of a plane where one plane is too much."""
    depth, height, width = source.shape_zyx
    row_bytes = width * source.dtype.itemsize
    rows = max(1, min(height, BOX_BYTES // row_bytes))
    planes = max(1, min(depth, BOX_BYTES // (row_bytes * height)))
    for z in range(0, depth, planes):
        for y in range(0, height, rows):
            yield (z, y, 0), (min(planes, depth - z), min(rows, height - y), width)
