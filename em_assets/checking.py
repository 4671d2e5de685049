"""What must hold of a dataset, as plain functions: each returns what it found wrong, in words; nothing for nothing."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from em_assets.building import present_files, raw_volumes
from em_assets.catalog import tables
from em_assets.catalog.schemas import CLAIMS, RECORD
from em_assets.datasets import Dataset
from em_assets.evidence import Implausible, findings, implausible
from em_assets.formats.volume import SourceVolume
from em_assets.independent import LIBRARIES, NotIndependentError, read_blocks
from em_assets.keeping import bring_raw, raw_files_of
from em_assets.model import ZYX
from em_assets.remote.path import RemotePath
from em_assets.retention import is_dropped
from em_assets.settings import Settings
from em_assets.sources import held
from em_assets.sources.in_place import changed_files
from em_assets.sources.manifest import FILES
from em_assets.volumes.folders import size_of, sizes_in
from em_assets.volumes.store import CommittedVolume, committed_volumes

BLOCK_SIDE = 32
BLOCKS_A_VOLUME = 4

REFETCH = "fetch the dataset again: em-assets fetch"


class Comparison(NamedTuple):
    """Blocks that differ from their source, who read the source of each volume, and which nobody but we could read."""

    unequal: list[str]
    read_by: list[str]
    unproved: list[str]


def incomplete_files(dataset: Dataset, settings: Settings) -> list[str]:
    """Files of the manifest that are not on the disk with their size, or are referenced and no longer what was hashed.

    Bytes that were dropped after they were proved to be in the volumes are missing nowhere.
    """
    rows, files_dir = present_files(dataset, settings), settings.raw_dir(dataset.name) / FILES
    kept = sizes_in(raw_files_of(settings, dataset.name))

    def size(path: str) -> int | None:
        found = kept(path)
        return size_of(files_dir / path) if found is None else found  # a link stays on this machine

    return changed_files(files_dir, rows) + [
        problem for file in rows if (problem := _file_problem(dataset, file.path, file.size_bytes, size(file.path)))
    ]


def damaged_files(dataset: Dataset, settings: Settings) -> list[str]:
    """Files whose bytes are no longer those of the manifest; every byte that is there is read, at the disk's speed."""
    bring_raw(settings, dataset.name)
    return held.damaged_files(settings.raw_dir(dataset.name) / FILES, present_files(dataset, settings))


def unreadable_volumes(dataset: Dataset, settings: Settings) -> list[str]:
    """Committed volumes that zarr-python does not open with the levels, shapes and type that were committed."""
    return [problem for volume in _committed(dataset, settings).values() for problem in _level_problems(volume)]


def unequal_blocks(dataset: Dataset, settings: Settings, seed: int = 0) -> Comparison:
    """Seeded blocks of every volume, as an independent library reads the source and zarr-python what was committed.

    Where no such library takes the source, our own reader is all there is to compare with: that finds what the writer
    did wrong, and proves nothing of the reader, so `unproved` names the volume and says why.
    """
    if is_dropped(dataset, settings):
        return Comparison([], ["every voxel was proved equal before the raw bytes were dropped"], [])
    committed = _committed(dataset, settings)
    raws = raw_volumes(dataset, settings)
    siblings = [raw.source for raw in raws]
    unequal, read_by, unproved = [], [], []
    for raw in raws:
        boxes = list(seeded_boxes(raw.source.shape_zyx, seed))
        blocks, reader, is_independent = _source_blocks(raw.source, siblings, boxes)
        read_by.append(f"{raw.name}: {reader}")
        if not is_independent:
            unproved.append(f"{raw.name}: {reader}; compare a slice with another program before you rely on it")
        written = written_array(committed[raw.name], 0)
        for (start, shape), block in zip(boxes, blocks, strict=True):
            box = tuple(slice(a, a + n) for a, n in zip(start, shape, strict=True))
            if not np.array_equal(block, np.asarray(written[box]), equal_nan=block.dtype.kind == "f"):
                unequal.append(
                    f"{raw.name}: the block at {start} of shape {shape} (z, y, x) is not the source's ({reader})"
                )
    return Comparison(unequal, read_by, unproved)


def implausible_volumes(dataset: Dataset, settings: Settings) -> list[Implausible]:
    """Volumes whose record breaks a rule of physics or craft."""
    folder = settings.metadata_dir(dataset.name)
    records = tables.records_of_table(tables.read_table(folder / "record.parquet", RECORD))
    said = tables.claims_of_table(tables.read_table(folder / "claims.parquet", CLAIMS))
    return implausible(records, said)


def unreadable_claims(dataset: Dataset, settings: Settings) -> list[str]:
    """Claims that nobody can use: contradicting or foreign units, no date, no number."""
    table = tables.read_table(settings.metadata_dir(dataset.name) / "claims.parquet", CLAIMS)
    return list(dict.fromkeys(str(found) for found in findings(tables.claims_of_table(table))))


def seeded_boxes(shape_zyx: ZYX, seed: int, count: int = BLOCKS_A_VOLUME) -> Iterator[tuple[ZYX, ZYX]]:
    """Boxes inside a volume, the same for the same seed: its last corner, then places drawn at random."""
    extent = [min(BLOCK_SIDE, size) for size in shape_zyx]
    room = [size - length for size, length in zip(shape_zyx, extent, strict=True)]
    yield _zyx(room), _zyx(extent)
    generator = np.random.default_rng(seed)
    for _ in range(count - 1):
        yield _zyx([int(generator.integers(0, most + 1)) for most in room]), _zyx(extent)


def _file_problem(dataset: Dataset, path: str, size_bytes: int, found: int | None) -> str | None:
    if found is None:
        return f"{path}: in the manifest and not on the disk; {REFETCH} {dataset.name}"
    if found != size_bytes:
        return f"{path}: {size_bytes} bytes expected, found {found}; {REFETCH} {dataset.name}"
    return None


def _committed(dataset: Dataset, settings: Settings) -> dict[str, CommittedVolume]:
    return committed_volumes(settings.volumes_dir(dataset.name))


def _source_blocks(
    volume: SourceVolume, siblings: Sequence[SourceVolume], boxes: Sequence[tuple[ZYX, ZYX]]
) -> tuple[list[NDArray[Any]], str, bool]:
    """The blocks, in words who read them, and whether that was anybody but ourselves."""
    try:
        return read_blocks(volume, siblings, boxes), f"read by {LIBRARIES[volume.format].name}", True
    except NotIndependentError as reason:
        return [volume.read(start, shape) for start, shape in boxes], f"read by our own reader alone: {reason}", False


def _level_problems(volume: CommittedVolume) -> Iterator[str]:
    for number, level in enumerate(volume.commit.levels):
        array = written_array(volume, number)
        if tuple(array.shape) != level.shape_zyx or str(array.dtype) != volume.commit.dtype:
            yield (
                f"{volume.path}/{level.path}: {level.shape_zyx} {volume.commit.dtype} committed, "
                f"found {array.shape} {array.dtype}"
            )


def written_array(volume: CommittedVolume, level: int) -> Any:
    """One level of a committed volume as zarr-python reads it."""
    import zarr

    place = volume.path / volume.commit.levels[level].path
    return zarr.open_array(place.zarr_store() if isinstance(place, RemotePath) else place, mode="r")


def _zyx(values: Sequence[int]) -> ZYX:
    z, y, x = values
    return (z, y, x)
