"""Blocks in nanometres: which level is read, where its voxels lie, and what is said where the size is unknown."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from em_assets.blocks import VolumeDataset, open_volume
from em_assets.errors import EvidenceError, OutOfBoundsError, UsageError
from em_assets.volumes.ingest import ingest

SHAPE_ZYX = (32, 130, 140)
RAMP_NM = np.add.outer(10.0 * np.arange(32), np.add.outer(10.0 * np.arange(130), 10.0 * np.arange(140)))


def written(folder: Path, voxels: Any, **options: Any) -> VolumeDataset:
    import tifffile

    tifffile.imwrite(folder / "ramp.tif", voxels, photometric="minisblack")
    ingest(str(folder / "ramp.tif"), folder / "ramp.zarr", **options)
    return open_volume(folder / "ramp.zarr")


@pytest.fixture
def ramp(tmp_path: Path) -> VolumeDataset:
    """Voxels of 10 nm whose value is the sum of their centre's coordinates in nm, from the first voxel's centre."""
    return written(tmp_path, RAMP_NM.astype(np.float32), voxel_size_zyx_nm=(10.0, 10.0, 10.0))


@pytest.mark.parametrize("size_nm", [10.0, 5.0, 7.0, 13.0, 20.0, 30.0, 40.0, 64.0])
def test_a_linear_ramp_stays_one_in_every_voxel_size(ramp: VolumeDataset, size_nm: float) -> None:
    """A sample at x nm has the value x, whichever level it was taken from: no level is shifted."""
    shape = tuple(int(n * 10 // size_nm) for n in SHAPE_ZYX)
    block = ramp.read((0, 0, 0), shape, voxel_size_zyx_nm=(size_nm,) * 3)
    centres = [(np.arange(n) + 0.5) * size_nm - 5.0 for n in shape]
    expected = np.add.outer(centres[0], np.add.outer(centres[1], centres[2]))
    inner = np.s_[4:-4, 4:-4, 4:-4] if size_nm < 10 else np.s_[1:-1, 1:-1, 1:-1]
    assert np.allclose(block[inner], expected[inner], atol=1e-2)


def test_a_level_that_has_the_voxel_size_is_read_as_it_is(ramp: VolumeDataset) -> None:
    coarse = ramp.at_level(1)
    assert coarse.voxel_size_zyx_nm == (20.0, 20.0, 20.0)
    assert np.array_equal(ramp.read((1, 2, 3), (4, 5, 6), voxel_size_zyx_nm=(20, 20, 20)), coarse[1:5, 2:7, 3:9])


def test_anisotropic_voxels_become_isotropic_ones(tmp_path: Path) -> None:
    depth = np.repeat(np.repeat((40.0 * np.arange(8))[:, None, None], 32, 1), 32, 2).astype(np.float32)
    em = written(tmp_path, depth, voxel_size_zyx_nm=(40.0, 10.0, 10.0))
    block = em.read((8, 0, 0), (8, 8, 8), voxel_size_zyx_nm=(10, 10, 10))
    assert np.allclose(block[:, 3, 3], (np.arange(8, 16) + 0.5) * 10 - 20)


def test_labels_are_never_mixed(tmp_path: Path) -> None:
    ids = np.random.default_rng(0).choice(np.array([0, 7, 5000], np.uint16), SHAPE_ZYX)
    labels = written(tmp_path, ids, voxel_size_zyx_nm=(10.0, 10.0, 10.0), content="labels")
    block = labels.read((0, 0, 0), (20, 40, 40), voxel_size_zyx_nm=(15, 15, 15))
    assert set(np.unique(block)) <= {0, 7, 5000}
    assert np.array_equal(
        labels.read((2, 0, 0), (4, 8, 8), voxel_size_zyx_nm=(5, 5, 5))[::2, ::2, ::2], ids[1:3, :4, :4]
    )


def test_whole_numbers_are_rounded_and_padded(tmp_path: Path) -> None:
    voxels = np.zeros(SHAPE_ZYX, np.uint8)
    voxels[:, :, 1::2] = 255
    em = written(tmp_path, voxels, voxel_size_zyx_nm=(10.0, 10.0, 10.0), content="em")
    block = em.read((-1, 0, 0), (3, 4, 4), voxel_size_zyx_nm=(20, 20, 20), padding="constant", fill_value=3)
    assert (block[0] == 3).all()
    assert (block[1:] == 128).all()


def test_outside_is_counted_in_the_asked_voxels(ramp: VolumeDataset) -> None:
    with pytest.raises(OutOfBoundsError, match=r"\(10, 43, 46\)"):
        ramp.read((0, 0, 0), (11, 4, 4), voxel_size_zyx_nm=(30, 30, 30))


@pytest.mark.parametrize("size", [(0, 1, 1), (1, 1), (1, -1, 1), (1, float("nan"), 1), "abc", 4])
def test_a_voxel_size_that_is_none_is_refused(ramp: VolumeDataset, size: Any) -> None:
    with pytest.raises(UsageError, match="voxel_size_zyx_nm"):
        ramp.read((0, 0, 0), (2, 2, 2), voxel_size_zyx_nm=size)


def test_nanometres_of_an_unknown_voxel_size_are_an_error_and_voxels_are_not(tmp_path: Path) -> None:
    import tifffile

    tifffile.imwrite(tmp_path / "plain.tif", np.zeros((4, 8, 8), np.uint8), photometric="minisblack")
    plain = open_volume(tmp_path / "plain.tif")
    with pytest.raises(EvidenceError, match=r"\(None, None, None\)"):
        plain.read((0, 0, 0), (2, 2, 2), voxel_size_zyx_nm=(8, 8, 8))
    assert plain.read((0, 0, 0), (2, 2, 2)).shape == (2, 2, 2)
