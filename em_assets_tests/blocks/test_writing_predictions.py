"""Predictions: seamless, whole or not there, and a volume like any other."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from em_assets.blocks import VolumeDataset, create_like, open_volume, sampling
from em_assets.errors import OutOfBoundsError, UsageError


def predict(volume: VolumeDataset, path: Path, values: NDArray[Any], **options: Any) -> VolumeDataset:
    overlap = options.pop("overlap_zyx", (2, 8, 8))
    blocks = sampling.grid(volume.shape, (4, 24, 24), overlap)
    with create_like(volume, path, values.dtype, overlap_zyx=overlap, **options) as prediction:
        for index in range(len(blocks)):
            start, shape = blocks.box(0, index)
            box = tuple(slice(a, a + n) for a, n in zip(start, shape, strict=True))
            prediction.write_block(start, values[(..., *box)])
    return open_volume(path) if "channels" not in options else volume


@pytest.fixture
def findings(shared: Path) -> Callable[[Path], str]:
    import subprocess
    import sys

    tool = shared / "tools" / "validators" / "validate_ngff.py"

    def validate(group: Path) -> str:
        done = subprocess.run([sys.executable, str(tool), str(group)], capture_output=True, text=True, check=False)
        return "" if done.returncode == 0 else done.stdout + done.stderr

    return validate


def test_overlapping_blocks_of_one_picture_leave_no_seam(zarr_volume: VolumeDataset, tmp_path: Path) -> None:
    smooth = np.random.default_rng(0).random(zarr_volume.shape, np.float32)
    written = predict(zarr_volume, tmp_path / "smooth.zarr", smooth)
    assert np.allclose(written[...], smooth, atol=1e-6)
    assert written.voxel_size_zyx_nm == zarr_volume.voxel_size_zyx_nm
    assert written.offset_zyx_nm == zarr_volume.offset_zyx_nm


def test_blocks_that_disagree_fade_into_each_other(zarr_volume: VolumeDataset, tmp_path: Path) -> None:
    with create_like(zarr_volume, tmp_path / "faded.zarr", overlap_zyx=(0, 0, 20)) as prediction:
        prediction.write_block((0, 0, 0), np.zeros((7, 48, 50), np.float32))
        prediction.write_block((0, 0, 30), np.ones((7, 48, 53), np.float32))
    row = open_volume(tmp_path / "faded.zarr")[3, 20]
    assert (row[:30] == 0).all()
    assert (row[50:] == 1).all()
    assert (np.diff(row[29:51]) > 0).all()


def test_labels_are_chosen_and_never_averaged(zarr_volume: VolumeDataset, tmp_path: Path) -> None:
    ids = np.random.default_rng(1).choice(np.array([3, 900, 2**40], np.uint64), zarr_volume.shape)
    written = predict(zarr_volume, tmp_path / "ids.zarr", ids, content="labels")
    assert np.array_equal(written[...], ids)
    assert set(np.unique(written.at_level(len(written.levels) - 1)[...])) <= {3, 900, 2**40}


def test_wide_numbers_keep_every_digit(zarr_volume: VolumeDataset, tmp_path: Path) -> None:
    wide = np.random.default_rng(3).integers(2**24, 2**31, zarr_volume.shape).astype(np.uint32)
    assert np.array_equal(predict(zarr_volume, tmp_path / "wide.zarr", wide)[...], wide)


def test_channels_are_images_of_one_group(
    zarr_volume: VolumeDataset, tmp_path: Path, findings: Callable[[Path], str]
) -> None:
    values = np.random.default_rng(2).integers(0, 255, (2, *zarr_volume.shape), dtype=np.uint8)
    predict(zarr_volume, tmp_path / "two.zarr", values, channels=("membrane", "vesicle"))
    for index, name in enumerate(("membrane", "vesicle")):
        assert np.array_equal(open_volume(tmp_path / "two.zarr", volume=name)[...], values[index])
        assert findings(tmp_path / "two.zarr" / name) == ""


def test_a_prediction_is_valid_ome_zarr(
    zarr_volume: VolumeDataset, tmp_path: Path, findings: Callable[[Path], str]
) -> None:
    predict(zarr_volume, tmp_path / "one.zarr", np.ones(zarr_volume.shape, np.float32))
    assert findings(tmp_path / "one.zarr") == ""


def test_voxels_that_no_block_covers_are_an_error_unless_a_value_is_named(
    zarr_volume: VolumeDataset, tmp_path: Path
) -> None:
    prediction = create_like(zarr_volume, tmp_path / "bare.zarr")
    prediction.write_block((0, 0, 0), np.ones((7, 48, 82), np.float32))
    with pytest.raises(UsageError, match=r"covers 336 of 27888 voxels, the first at \(0, 0, 82\)"):
        prediction.finish()
    assert list(tmp_path.iterdir()) == []
    with create_like(zarr_volume, tmp_path / "bare.zarr", fill_value=-1) as prediction:
        prediction.write_block((0, 0, 0), np.ones((7, 48, 82), np.float32))
    assert (open_volume(tmp_path / "bare.zarr")[..., 82] == -1).all()


def test_what_an_error_ends_is_not_there(zarr_volume: VolumeDataset, tmp_path: Path) -> None:
    def predict_and_fall_over() -> None:
        with create_like(zarr_volume, tmp_path / "gone.zarr") as prediction:
            prediction.write_block((0, 0, 0), np.ones((7, 48, 83), np.float32))
            raise RuntimeError("the network fell over")

    with pytest.raises(RuntimeError, match="the network"):
        predict_and_fall_over()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("block", "error", "words"),
    [
        (np.ones((8, 48, 83), np.float32), OutOfBoundsError, "not inside"),
        (np.ones((1, 7, 48, 83), np.float32), UsageError, r"\(z, y, x\) expected"),
        (np.full((1, 1, 1), np.nan), UsageError, "finite numbers"),
        (np.full((1, 1, 1), 256), UsageError, "uint8 holds 0 to 255, found 256"),
        (np.full((1, 1, 1), "a"), UsageError, "finite numbers"),
    ],
    ids=["too deep", "a channel too many", "nan", "too much", "text"],
)
def test_a_block_that_cannot_be_is_refused(
    zarr_volume: VolumeDataset, tmp_path: Path, block: NDArray[Any], error: type[Exception], words: str
) -> None:
    prediction = create_like(zarr_volume, tmp_path / "bad.zarr", np.uint8)
    with pytest.raises(error, match=words):
        prediction.write_block((0, 0, 0), block)
    prediction.discard()


@pytest.mark.parametrize(
    "options",
    [
        {"dtype": "complex64"},
        {"dtype": "x"},
        {"dtype": "f4", "content": "labels"},
        {"channels": ["a", "a"]},
        {"channels": ["../a"]},
    ],
    ids=str,
)
def test_a_prediction_that_cannot_be_is_refused(zarr_volume: VolumeDataset, tmp_path: Path, options: Any) -> None:
    with pytest.raises(UsageError):
        create_like(zarr_volume, tmp_path / "bad.zarr", **options)
    (tmp_path / "there").mkdir()
    with pytest.raises(UsageError, match="exists already"):
        create_like(zarr_volume, tmp_path / "there")
