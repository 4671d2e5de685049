"""What must hold of a dataset, as plain functions: each returns what it found wrong, in words; nothing for nothing."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from em_assets.building import held_files, raw_volumes
from em_assets.catalog import tables
from em_assets.catalog.schemas import CLAIMS, RECORD
from em_assets.datasets import Dataset
from em_assets.datasets.opening import RawVolume
from em_assets.evidence import Implausible, findings, implausible, incompleteness
from em_assets.evidence.completeness import missing_chunks
from em_assets.formats.volume import SourceVolume
from em_assets.independent import LIBRARIES, NotIndependentError, read_blocks
from em_assets.model import ZYX
from em_assets.settings import SAMPLE, Settings
from em_assets.sources.manifest import FILES
from em_assets.volumes.quality import is_all_zero, is_constant
from em_assets.volumes.store import CommittedVolume, committed_volumes

BLOCK_SIDE = 32
BLOCKS_A_VOLUME = 4

REFETCH = "fetch the dataset again: em-assets fetch"


class Comparison(NamedTuple):
    """Blocks that differ from their source, and for each volume who read the source."""

    unequal: list[str]
    read_by: list[str]


def incomplete_files(dataset: Dataset, settings: Settings) -> list[str]:
    """Files of the manifest that are not on the disk with their size."""
    return [
        problem
        for file in held_files(dataset, settings)
        if (problem := _file_problem(dataset, settings, file.path, file.size_bytes))
    ]


def unreadable_volumes(dataset: Dataset, settings: Settings) -> list[str]:
    """Committed volumes that zarr-python does not open with the levels, shapes and type that were committed."""
    return [problem for volume in _committed(dataset, settings).values() for problem in _level_problems(volume)]


def unequal_blocks(dataset: Dataset, settings: Settings, seed: int = 0) -> Comparison:
    """Seeded blocks of every volume, as an independent library reads the source and zarr-python what was committed.

    Where no such library takes the source, our own reader is all there is to compare with: `read_by` says so, and why.
    """
    committed = _committed(dataset, settings)
    raws = raw_volumes(dataset, settings)
    siblings = [raw.source for raw in raws]
    unequal, read_by = [], []
    for raw in raws:
        boxes = list(seeded_boxes(raw.source.shape_zyx, seed))
        blocks, reader = _source_blocks(raw.source, siblings, boxes)
        read_by.append(f"{raw.name}: {reader}")
        written = _array(committed[raw.name], 0)
        for (start, shape), block in zip(boxes, blocks, strict=True):
            box = tuple(slice(a, a + n) for a, n in zip(start, shape, strict=True))
            if not np.array_equal(block, np.asarray(written[box]), equal_nan=block.dtype.kind == "f"):
                unequal.append(
                    f"{raw.name}: the block at {start} of shape {shape} (z, y, x) is not the source's ({reader})"
                )
    return Comparison(unequal, read_by)


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


def incomplete_holding(dataset: Dataset, settings: Settings) -> list[str]:
    """What the archive declares and is not held: files, bytes, folders, and chunks by arithmetic."""
    table = tables.read_table(settings.metadata_dir(dataset.name) / "claims.parquet", CLAIMS)
    files = [file for file in held_files(dataset, settings) if dataset.sources[file.source].archive is None]
    is_cutout = any(source.kind == "cutout" for source in dataset.sources)
    found = (
        [] if is_cutout else incompleteness(tables.claims_of_table(table), files, is_sample=settings.origin == SAMPLE)
    )
    return found + [problem for raw in raw_volumes(dataset, settings) for problem in _missing_chunks(raw)]


def blank_volumes(dataset: Dataset, settings: Settings) -> list[str]:
    """Committed volumes without a picture in them: all zero, or one value throughout."""
    problems = []
    for name, volume in _committed(dataset, settings).items():
        statistics = volume.commit.statistics
        if is_all_zero(statistics):
            problems.append(f"{name}: all {statistics.n_voxels} voxels are zero; is the crop, or the source, empty?")
        elif is_constant(statistics):
            problems.append(f"{name}: every voxel is {statistics.min}; is the crop, or the source, empty?")
    return problems


def seeded_boxes(shape_zyx: ZYX, seed: int, count: int = BLOCKS_A_VOLUME) -> Iterator[tuple[ZYX, ZYX]]:
    """Boxes inside a volume, the same for the same seed: its last corner, then places drawn at random."""
    extent = [min(BLOCK_SIDE, size) for size in shape_zyx]
    room = [size - length for size, length in zip(shape_zyx, extent, strict=True)]
    yield _zyx(room), _zyx(extent)
    generator = np.random.default_rng(seed)
    for _ in range(count - 1):
        yield _zyx([int(generator.integers(0, most + 1)) for most in room]), _zyx(extent)


def _missing_chunks(raw: RawVolume) -> list[str]:
    """Levels of a zarr group on disk with fewer chunk files than shape over chunks gives; other formats say nothing."""
    root = Path(raw.source.files[0]) if len(raw.source.files) == 1 else None
    if root is None or not root.is_dir():
        return []
    levels, held = {}, {}
    for document in sorted(root.rglob(".zarray")):
        described = json.loads(document.read_text(encoding="utf-8"))
        name = f"{raw.name} {document.parent.relative_to(root)}"
        levels[name] = (described["shape"], described["chunks"])
        held[name] = sum(1 for path in document.parent.rglob("*") if path.is_file() and path.name[0] != ".")
    return missing_chunks(levels, held)


def _file_problem(dataset: Dataset, settings: Settings, path: str, size_bytes: int) -> str | None:
    held = settings.raw_dir(dataset.name) / FILES / path
    if not held.is_file():
        return f"{path}: in the manifest and not on the disk; {REFETCH} {dataset.name}"
    if held.stat().st_size != size_bytes:
        return f"{path}: {size_bytes} bytes expected, found {held.stat().st_size}; {REFETCH} {dataset.name}"
    return None


def _committed(dataset: Dataset, settings: Settings) -> dict[str, CommittedVolume]:
    return committed_volumes(settings.volumes_dir(dataset.name))


def _source_blocks(
    volume: SourceVolume, siblings: Sequence[SourceVolume], boxes: Sequence[tuple[ZYX, ZYX]]
) -> tuple[list[NDArray[Any]], str]:
    """The blocks, and in words who read them."""
    try:
        return read_blocks(volume, siblings, boxes), f"read by {LIBRARIES[volume.format].name}"
    except NotIndependentError as reason:
        return [volume.read(start, shape) for start, shape in boxes], f"read by our own reader alone: {reason}"


def _level_problems(volume: CommittedVolume) -> Iterator[str]:
    for number, level in enumerate(volume.commit.levels):
        array = _array(volume, number)
        if tuple(array.shape) != level.shape_zyx or str(array.dtype) != volume.commit.dtype:
            yield (
                f"{volume.path}/{level.path}: {level.shape_zyx} {volume.commit.dtype} committed, "
                f"found {array.shape} {array.dtype}"
            )


def _array(volume: CommittedVolume, level: int) -> Any:
    import zarr

    return zarr.open_array(volume.path / volume.commit.levels[level].path, mode="r")


def _zyx(values: Sequence[int]) -> ZYX:
    z, y, x = values
    return (z, y, x)
