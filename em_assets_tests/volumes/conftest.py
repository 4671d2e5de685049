"""What the tests of the volumes share: a source made of an array, and an independent reference pyramid."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dask_processes import Cluster, running
from numpy.typing import NDArray

from em_assets.formats.volume import UNKNOWN_VOXEL_SIZE, SourceLevel, SourceVolume


def source_of(
    voxels: NDArray[Any], voxel_size_zyx_nm: Any = UNKNOWN_VOXEL_SIZE, offset_zyx_nm: Any = (0.0, 0.0, 0.0)
) -> SourceVolume:
    def read_box(start: Any, shape: Any) -> NDArray[Any]:
        return voxels[tuple(slice(s, s + n) for s, n in zip(start, shape, strict=True))].copy()

    level = SourceLevel(voxels.shape, voxel_size_zyx_nm, read_box, offset_zyx_nm)
    return SourceVolume("array", "numpy", voxels.dtype, (level,), ("array.npy",))


@pytest.fixture
def make_source() -> Callable[..., SourceVolume]:
    """Array, voxel size, offset → a source that reads from it."""
    return source_of


@pytest.fixture
def findings(shared: Path) -> Callable[[Path], str]:
    """What the validator finds wrong with a group, strictly; empty where nothing."""
    validator = shared / "tools" / "validators" / "validate_ngff.py"

    def validate(group: Path) -> str:
        command = [sys.executable, str(validator), str(group), "--read", "--strict-schema"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return "" if done.returncode == 0 else done.stdout + done.stderr

    return validate


@pytest.fixture
def voxels_of() -> Callable[[Path], NDArray[Any]]:
    """Path of a level's array → its voxels, as tensorstore reads them."""

    def read(array: Path) -> NDArray[Any]:
        import tensorstore

        driver = "zarr3" if (array / "zarr.json").exists() else "zarr"
        spec = {"driver": driver, "kvstore": {"driver": "file", "path": f"{array}/"}}
        return np.asarray(tensorstore.open(spec).result().read().result())

    return read


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A Dask scheduler and two workers."""
    with running(tmp_path_factory.mktemp("dask"), 2) as started:
        yield started
