"""A writer that is killed at any point leaves a whole volume or none; the next run completes and clears up."""

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import commit_worker
import numpy as np
import pytest
from numpy.typing import NDArray

from em_assets.volumes.store import resolve
from em_assets.volumes.validation import validate_volume

OLD, NEW = "aaaa", "bbbb"
LARGE = (100, 600, 700)
Voxels = Callable[[Path], NDArray[Any]]

soak = [pytest.mark.soak, pytest.mark.timeout(3600)]


def worker(folder: Path, generation: str, *arguments: object) -> "subprocess.Popen[str]":
    command = [sys.executable, commit_worker.__file__, str(folder), generation, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def finished(folder: Path, generation: str, *arguments: object) -> str:
    """What the worker printed at its end."""
    said, _ = worker(folder, generation, *arguments).communicate()
    return said.splitlines()[-1]


def leftovers(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob(".staging-*"))


def assert_whole(folder: Path, shape: tuple[int, int, int], read: Voxels) -> str:
    """The generation that is served, every voxel and byte of which is right."""
    seen = resolve(folder)
    assert seen is not None
    assert np.array_equal(read(seen.path / "s0"), commit_worker.voxels_of(seen.commit.generation, shape))
    assert validate_volume(folder) == []
    return seen.commit.generation


@pytest.mark.parametrize(
    ("n_kills", "part", "ome_zarr", "shape"),
    [
        pytest.param(6, slice(None), "0.5", (20, 70, 70), id="some"),
        pytest.param(200, slice(0, None, 2), "0.4", (20, 400, 400), marks=soak, id="even"),
        pytest.param(200, slice(1, None, 2), "0.4", (20, 400, 400), marks=soak, id="odd"),
    ],
)
def test_a_writer_killed_at_anything_it_does_to_the_disk(
    tmp_path: Path, voxels_of: Voxels, n_kills: int, part: slice, ome_zarr: str, shape: tuple[int, int, int]
) -> None:
    """SIGKILL before points spread evenly over all that a commit does to the disk; an older commit is there."""
    how, reference = (ome_zarr, ",".join(map(str, shape))), tmp_path / "reference"
    finished(reference, OLD, 0, *how)
    n_events = min(_n_events(reference, tmp_path / f"counted_{number}", *how) for number in range(5))
    points = sorted({1 + i * (n_events - 1) // (n_kills - 1) for i in range(n_kills)})
    assert len(points) == n_kills
    for point in points[part]:
        folder = tmp_path / f"killed_{point}"
        shutil.copytree(reference, folder, symlinks=True)
        killed = worker(folder, NEW, point, *how)
        killed.communicate()
        assert killed.returncode == -signal.SIGKILL
        assert_whole(folder, shape, voxels_of)
        finished(folder, NEW, 0, *how)
        assert assert_whole(folder, shape, voxels_of) == str((folder / "latest").readlink()) == NEW, point
        assert leftovers(folder) == []
        shutil.rmtree(folder)


def _n_events(reference: Path, folder: Path, *how: str) -> int:
    """What a commit does to the disk; more where two threads happen to make one folder."""
    shutil.copytree(reference, folder, symlinks=True)
    return int(finished(folder, NEW, 0, *how).split()[1])


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("part", [range(0, 200, 2), range(1, 200, 2)], ids=["even", "odd"])
def test_a_writer_killed_at_any_time(tmp_path: Path, voxels_of: Voxels, part: range) -> None:
    """The same by the clock, at 200 moments spread over the time that a commit takes: in the midst of a file too."""
    how, folder = (0, "0.5", ",".join(map(str, LARGE))), tmp_path / "em"
    finished(folder, OLD, *how)
    lasts_s = _lasts_s(tmp_path / "timed", *how)
    n_killed, generations = 0, (NEW, OLD)
    for number, moment in enumerate(part):
        generation = generations[number % 2]
        killed = worker(folder, generation, *how)
        assert killed.stdout is not None
        killed.stdout.readline()
        time.sleep(lasts_s * moment / 200)
        killed.send_signal(signal.SIGKILL)
        killed.communicate()
        n_killed += killed.returncode == -signal.SIGKILL
        assert_whole(folder, LARGE, voxels_of)
        finished(folder, generation, *how)
        assert assert_whole(folder, LARGE, voxels_of) == generation
        assert leftovers(folder) == []
        shutil.rmtree(folder / generations[1 - number % 2])  # to be written anew by the next
        _forget(folder, generations[1 - number % 2])
    assert n_killed >= 75


def _lasts_s(folder: Path, *arguments: object) -> float:
    timed = worker(folder, NEW, *arguments)
    assert timed.stdout is not None
    timed.stdout.readline()
    began = time.monotonic()
    timed.communicate()
    return time.monotonic() - began


def _forget(folder: Path, generation: str) -> None:
    for path in (folder / "generations").glob(f"{generation}.*"):
        path.unlink()
