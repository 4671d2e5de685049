"""What must hold of a dataset, as plain functions: each returns what it found wrong, in words; nothing for nothing."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from em_assets.building import held_files, raw_volumes
from em_assets.datasets import Dataset
from em_assets.model import ZYX
from em_assets.settings import Settings
from em_assets.sources.manifest import FILES
from em_assets.volumes.quality import is_all_zero, is_constant
from em_assets.volumes.store import CommittedVolume, committed_volumes

BLOCK_SIDE = 32
BLOCKS_A_VOLUME = 4

REFETCH = "fetch the dataset again: em-assets fetch"


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


def unequal_blocks(dataset: Dataset, settings: Settings, seed: int = 0) -> list[str]:
    """Seeded blocks whose voxels differ between the source and what zarr-python reads from the committed volume."""
    committed = _committed(dataset, settings)
    problems = []
    for raw in raw_volumes(dataset, settings):
        written = _array(committed[raw.name], 0)
        for start, shape in seeded_boxes(raw.source.shape_zyx, seed):
            box = tuple(slice(a, a + n) for a, n in zip(start, shape, strict=True))
            if not np.array_equal(
                raw.source.read(start, shape), np.asarray(written[box]), equal_nan=raw.source.dtype.kind == "f"
            ):
                problems.append(f"{raw.name}: the block at {start} of shape {shape} (z, y, x) is not the source's")
    return problems


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


def _file_problem(dataset: Dataset, settings: Settings, path: str, size_bytes: int) -> str | None:
    held = settings.raw_dir(dataset.name) / FILES / path
    if not held.is_file():
        return f"{path}: in the manifest and not on the disk; {REFETCH} {dataset.name}"
    if held.stat().st_size != size_bytes:
        return f"{path}: {size_bytes} bytes expected, found {held.stat().st_size}; {REFETCH} {dataset.name}"
    return None


def _committed(dataset: Dataset, settings: Settings) -> dict[str, CommittedVolume]:
    return committed_volumes(settings.volumes_dir(dataset.name))


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
