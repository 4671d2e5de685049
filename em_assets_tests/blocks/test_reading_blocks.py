"""Boxes out of every format: the same voxels, axes and padding as numpy would give."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from em_assets.blocks import VolumeDataset, open_volume
from em_assets.errors import OutOfBoundsError, UsageError
from em_assets.volumes.ingest import ingest

SHAPE_ZYX = (7, 48, 83)
quickly = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@st.composite
def boxes(draw: st.DrawFn) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """First voxel and shape of a box inside the volume, z, y, x."""
    starts = tuple(draw(st.integers(0, size - 1)) for size in SHAPE_ZYX)
    return starts, tuple(draw(st.integers(1, size - start)) for start, size in zip(starts, SHAPE_ZYX, strict=True))


def cut(voxels: NDArray[Any], start: tuple[int, ...], shape: tuple[int, ...]) -> NDArray[Any]:
    return voxels[tuple(slice(a, a + n) for a, n in zip(start, shape, strict=True))]


class TestAxes:
    @quickly
    @given(box=boxes())
    def test_a_block_is_asked_for_in_xyz_and_comes_in_zyx(
        self, volume: VolumeDataset, voxels: NDArray[Any], box: tuple[tuple[int, ...], tuple[int, ...]]
    ) -> None:
        start, shape = box
        block = volume.get_block(start[::-1], shape[::-1])
        assert np.array_equal(block, cut(voxels, start, shape))
        assert np.array_equal(block, volume.read(start, shape))

    def test_a_block_is_the_same_before_and_after_conversion(self, volume: VolumeDataset, tmp_path: Path) -> None:
        converted = tmp_path / "converted.zarr"
        source = volume.source.files[0] if len(volume.source.files) == 1 else str(Path(volume.source.files[0]).parent)
        ingest(source, converted, voxel_size_zyx_nm=(30.0, 4.0, 8.0), volume=volume.name)
        after = open_volume(converted)
        assert after.dtype == volume.dtype
        for start_xyz, size_xyz in [((0, 0, 0), (83, 48, 7)), ((70, 3, 2), (9, 31, 4)), ((5, 40, 6), (64, 8, 1))]:
            block = volume.get_block(start_xyz, size_xyz)
            assert block.shape == size_xyz[::-1]
            assert np.array_equal(block, after.get_block(start_xyz, size_xyz))

    def test_metadata_names_axes_and_units(self, zarr_volume: VolumeDataset) -> None:
        found = zarr_volume.get_metadata()
        assert found["shape_zyx"] == [7, 48, 83]
        assert found["voxel_size_zyx_nm"] == [30.0, 4.0, 8.0]
        assert (found["dtype"], found["axes"], found["n_levels"]) == ("uint8", ["z", "y", "x"], len(zarr_volume.levels))


class TestManyBoxes:
    def test_many_boxes_are_each_what_one_read_gives(self, volume: VolumeDataset, voxels: NDArray[Any]) -> None:
        places = [((z, y, 2 * y), (3, 5, 7)) for z in range(4) for y in range(0, 38, 5)]
        found = volume.read_many(places)
        assert isinstance(found, list)
        assert all(np.array_equal(block, cut(voxels, *place)) for block, place in zip(found, places, strict=True))

    def test_a_buffer_is_filled_and_filled_again(self, volume: VolumeDataset, voxels: NDArray[Any]) -> None:
        buffer = np.zeros((200, 2, 8, 8), volume.dtype)
        for first in (0, 3):
            places = [((first, y % 40, y % 75), (2, 8, 8)) for y in range(200)]
            assert volume.read_many(places, out=buffer) is buffer
            assert all(np.array_equal(row, cut(voxels, *place)) for row, place in zip(buffer, places, strict=True))

    def test_a_buffer_that_does_not_fit_is_refused(self, zarr_volume: VolumeDataset) -> None:
        place = ((0, 0, 0), (2, 8, 8))
        buffer = np.zeros((2, 2, 8, 8), np.uint8)
        for out in (buffer[:1], buffer.astype(np.int8), buffer[..., ::-1], [1]):
            with pytest.raises(UsageError, match="out: "):
                zarr_volume.read_many([place, place], out=out)

    def test_one_box_outside_is_said_before_anything_is_written(self, zarr_volume: VolumeDataset) -> None:
        buffer = np.zeros((2, 2, 8, 8), np.uint8)
        with pytest.raises(OutOfBoundsError, match=r"\(6, 0, 0\)"):
            zarr_volume.read_many([((0, 0, 0), (2, 8, 8)), ((6, 0, 0), (2, 8, 8))], out=buffer)
        assert not buffer.any()


class TestNumpyIndexing:
    @pytest.mark.parametrize(
        "key",
        [
            np.s_[3],
            np.s_[-1, 5],
            np.s_[2:5, ::7, 80:10:-3],
            np.s_[..., 4],
            np.s_[1, ..., -3:],
            np.s_[::-1],
            np.s_[5:2],
            np.s_[4, 4, 4],
            np.s_[...],
        ],
        ids=str,
    )
    def test_an_index_means_what_it_means_in_numpy(
        self, zarr_volume: VolumeDataset, voxels: NDArray[Any], key: Any
    ) -> None:
        found = zarr_volume[key]
        assert found.shape == voxels[key].shape
        assert np.array_equal(found, voxels[key])

    @pytest.mark.parametrize("key", [7, (0, 48), (0, 0, 0, 0), (..., ...), True], ids=str)
    def test_an_index_outside_is_an_index_error(self, zarr_volume: VolumeDataset, key: Any) -> None:
        with pytest.raises(IndexError):
            zarr_volume[key]

    @pytest.mark.parametrize("key", [[0, 1], None, "z", 1.0], ids=str)
    def test_another_index_says_what_to_use(self, zarr_volume: VolumeDataset, key: Any) -> None:
        with pytest.raises(UsageError, match="read_many"):
            zarr_volume[key]

    def test_numpy_and_loops_take_it_for_an_array(self, zarr_volume: VolumeDataset, voxels: NDArray[Any]) -> None:
        assert np.array_equal(np.asarray(zarr_volume), voxels)
        assert [plane.shape for plane in zarr_volume] == [(48, 83)] * 7

    def test_dask_reads_it_lazily(self, zarr_volume: VolumeDataset, voxels: NDArray[Any]) -> None:
        array = zarr_volume.to_dask()
        assert array.shape == (7, 48, 83)
        assert np.array_equal(array[2:5, 1:9].compute(scheduler="threads"), voxels[2:5, 1:9])


class TestPadding:
    @quickly
    @given(
        start=st.tuples(st.integers(-30, 30), st.integers(-120, 120), st.integers(-9, 90)),
        shape=st.tuples(st.integers(1, 20), st.integers(1, 60), st.integers(1, 9)),
    )
    def test_reflect_and_constant_are_numpys(
        self, zarr_volume: VolumeDataset, voxels: NDArray[Any], start: tuple[int, ...], shape: tuple[int, ...]
    ) -> None:
        margins = (50, 180, 99)
        around = [(margin, margin) for margin in margins]
        shifted = tuple(a + margin for a, margin in zip(start, margins, strict=True))
        reflected = np.pad(voxels, around, mode="reflect")
        assert np.array_equal(zarr_volume.read(start, shape, padding="reflect"), cut(reflected, shifted, shape))
        filled = np.pad(voxels, around, constant_values=9)
        found = zarr_volume.read(start, shape, padding="constant", fill_value=9)
        assert np.array_equal(found, cut(filled, shifted, shape))

    def test_what_cannot_be_is_said(self, zarr_volume: VolumeDataset) -> None:
        with pytest.raises(OutOfBoundsError):
            zarr_volume.read((-1, 0, 0), (2, 2, 2))
        with pytest.raises(UsageError, match="error, constant, reflect"):
            zarr_volume.read((0, 0, 0), (2, 2, 2), padding="wrap")  # type: ignore[arg-type]
        with pytest.raises(UsageError, match="do not hold it"):
            zarr_volume.read((-1, 0, 0), (2, 2, 2), padding="constant", fill_value=256)
        with pytest.raises(OutOfBoundsError):
            zarr_volume.read((0, 0, 0), (2, 0, 2), padding="reflect")


class TestElsewhere:
    def test_a_pickled_volume_is_opened_again_at_its_level(self, volume: VolumeDataset) -> None:
        at_last = volume.at_level(len(volume.levels) - 1)
        again = pickle.loads(pickle.dumps(at_last))
        assert (again.level, again.shape, again.name) == (at_last.level, at_last.shape, at_last.name)
        assert np.array_equal(again[...], at_last[...])

    @pytest.mark.parametrize("level", [-1, 99, 0.0, True, None], ids=str)
    def test_a_level_that_is_not_there_is_said(self, zarr_volume: VolumeDataset, level: Any) -> None:
        with pytest.raises(OutOfBoundsError, match="no level"):
            zarr_volume.at_level(level)
