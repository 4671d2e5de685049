"""Volumes to train on: two of EM with labels, of different shapes, types and voxel sizes."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from committing import committed
from numpy.typing import NDArray

from em_assets.blocks import VolumeDataset

collect_ignore_glob = [] if find_spec("torch") else ["test_*.py"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this folder needs torch."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.torch)


@pytest.fixture(scope="session")
def fine_voxels() -> NDArray[Any]:
    return np.random.default_rng(5).integers(60, 200, (70, 130, 90), dtype=np.uint8)


@pytest.fixture(scope="session")
def fine_ids(fine_voxels: NDArray[Any]) -> NDArray[Any]:
    return np.where(fine_voxels > 130, fine_voxels, 0).astype(np.uint32)


@pytest.fixture(scope="session")
def fine(tmp_path_factory: pytest.TempPathFactory, fine_voxels: NDArray[Any]) -> VolumeDataset:
    return committed(tmp_path_factory.mktemp("fine") / "em", fine_voxels, voxel_size_zyx_nm=(8, 4, 4))


@pytest.fixture(scope="session")
def fine_labels(tmp_path_factory: pytest.TempPathFactory, fine_ids: NDArray[Any]) -> VolumeDataset:
    folder = tmp_path_factory.mktemp("fine_labels") / "labels"
    return committed(folder, fine_ids, voxel_size_zyx_nm=(8, 4, 4), content="labels")


@pytest.fixture(scope="session")
def coarse(tmp_path_factory: pytest.TempPathFactory) -> VolumeDataset:
    voxels = np.random.default_rng(6).integers(-900, 900, (64, 66, 68), dtype=np.int16)
    return committed(tmp_path_factory.mktemp("coarse") / "em", voxels, voxel_size_zyx_nm=(8, 8, 8))
