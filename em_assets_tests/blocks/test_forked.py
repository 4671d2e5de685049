"""Reading in a process that was forked from one that had read already: tensorstore would abort it."""

import multiprocessing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from em_assets.blocks import VolumeDataset, open_volume
from em_assets.errors import OutOfBoundsError, UsageError


def read_in_the_child(volume: VolumeDataset, places: Any, answers: Any) -> None:
    try:
        answers.put([volume.read(*place) for place in places] + volume.read_many(places))
    except OutOfBoundsError as error:
        answers.put(error)


def in_a_fork(volume: VolumeDataset, places: Any) -> Any:
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    child = context.Process(target=read_in_the_child, args=(volume, places, answers))
    child.start()
    found = answers.get(timeout=60)
    child.join(60)
    assert child.exitcode == 0
    return found


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_reads_what_its_parent_reads(volume: VolumeDataset, voxels: NDArray[Any]) -> None:
    assert volume.read((0, 0, 0), (1, 1, 1)).shape == (1, 1, 1)
    places = [((1, 2, 3), (4, 5, 6)), ((0, 40, 80), (7, 8, 3))]
    expected = [voxels[tuple(slice(a, a + n) for a, n in zip(*place, strict=True))] for place in places]
    found = in_a_fork(volume, places)
    assert all(np.array_equal(a, b) for a, b in zip(found, expected + expected, strict=True))


def test_an_error_comes_back_as_itself(zarr_volume: VolumeDataset) -> None:
    zarr_volume.read((0, 0, 0), (1, 1, 1))
    assert isinstance(in_a_fork(zarr_volume, [((0, 0, 0), (99, 1, 1))]), OutOfBoundsError)


def convert_in_the_child(volume: VolumeDataset, answers: Any) -> None:
    try:
        answers.put(volume.source.read((0, 0, 0), (1, 1, 1)))
    except UsageError as error:
        answers.put(error)


def test_a_forked_child_that_reads_past_its_volume_gets_an_error_and_lives(written: dict[str, Path]) -> None:
    """Tensorstore would abort it without a word."""
    open_volume(written["ome_zarr_0.5"]).read((0, 0, 0), (1, 1, 1))
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    child = context.Process(target=opened_and_converted, args=(written["ome_zarr_0.4"], answers))
    child.start()
    found = answers.get(timeout=60)
    child.join(60)
    assert child.exitcode == 0
    assert "forkserver" in str(found)


def opened_and_converted(path: Path, answers: Any) -> None:
    convert_in_the_child(open_volume(path), answers)
