"""Every voxel of a dataset's volumes compared with its source, before the source's bytes are let go."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from filelock import FileLock

from em_assets.building import held_files, raw_volumes
from em_assets.checking import written_array
from em_assets.datasets import Dataset
from em_assets.formats.volume import SourceVolume
from em_assets.independent import NotIndependentError, read_blocks
from em_assets.model import ZYX
from em_assets.retention import is_dropped, made_of
from em_assets.settings import Settings
from em_assets.sources.manifest import FILES, drop_bytes
from em_assets.volumes.store import CommittedVolume, committed_volumes

BOX_BYTES = 128 << 20
"""Voxels that are compared at once; twice as many are held."""


class Retained(NamedTuple):
    """What became of a dataset's raw bytes: how many were dropped, or why they are kept."""

    dropped_bytes: int
    reasons: list[str]


def drop_raw(dataset: Dataset, settings: Settings) -> Retained:
    """Drop the raw bytes of a dataset whose TOML file says `keep_raw = false`, if every voxel is proved to be kept.

    The manifest, the lock file, the archives' records, all tags and tables stay; files referenced in place are nobody's
    to drop. What is proved is every voxel, by another library than the one that wrote the volume: where no other takes
    a file, its bytes are kept.
    """
    if dataset.keep_raw:
        return Retained(0, ["the dataset keeps them"])
    unproved = [] if is_dropped(dataset, settings) else unproved_volumes(dataset, settings)
    made = made_of(dataset, settings)
    if unproved or made is None:
        return Retained(0, unproved or ["not everything that is made of them is there"])
    raw_dir = settings.raw_dir(dataset.name)
    files = [file for file in held_files(dataset, settings) if dataset.sources[file.source].is_volume]
    files = [file for file in files if not (raw_dir / FILES / file.path).is_symlink()]
    if not files:
        return Retained(0, ["all of them lie elsewhere"])
    with FileLock(raw_dir / ".lock"):
        return Retained(drop_bytes(raw_dir, files, made), [])


def unproved_volumes(dataset: Dataset, settings: Settings) -> list[str]:
    """Volumes of which not every voxel was found to be the source's, each with the reason."""
    committed = committed_volumes(settings.volumes_dir(dataset.name))
    raws = raw_volumes(dataset, settings)
    siblings = [raw.source for raw in raws]
    reasons = ((raw.name, _difference(raw.source, siblings, committed.get(raw.name))) for raw in raws)
    return [f"{name}: {reason}" for name, reason in reasons if reason is not None]


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
