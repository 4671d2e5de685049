from pathlib import Path

import numpy as np
import pytest

from em_assets.formats.slices import natural_key, stack_or_separate
from em_assets.formats.volume import SourceLevel, SourceVolume
from em_assets.model import ZYX


def volume(file: str, depth: int = 1, z: float | None = 50.0) -> SourceVolume:
    def read(start: ZYX, shape: ZYX) -> np.ndarray:
        return np.full(shape, int("".join(c for c in Path(file).stem if c.isdigit()) or 0), np.uint8)

    level = SourceLevel((depth, 4, 5), (z, 8.0, 8.0), read)
    return SourceVolume(Path(file).stem, "dm", np.dtype(np.uint8), (level,), (file,))


@pytest.mark.parametrize(
    ("files", "name"),
    [
        (["/d/F57-8_test_slice_0000.dm3", "/d/F57-8_test_slice_0001.dm3"], "F57-8_test_slice"),
        (["/d/img-99.tif", "/d/img-100.tif"], "img"),
        (["/run7/1.tif", "/run7/2.tif"], "run7"),
        (["/d/a_z1.ome.tif", "/d/a_z2.ome.tif"], "a_z"),
    ],
)
def test_slices_are_named_for_what_their_names_share(files: list[str], name: str) -> None:
    (stack,) = stack_or_separate([volume(file) for file in files])
    assert stack.name == name
    assert stack.shape_zyx == (2, 4, 5)
    assert stack.files == tuple(files)


def test_slices_keep_the_order_that_was_given() -> None:
    (stack,) = stack_or_separate([volume(f"/d/s_{z}.tif") for z in (3, 1, 2)])
    assert stack.read((0, 1, 1), (3, 1, 1)).ravel().tolist() == [3, 1, 2]


def test_a_stack_has_the_voxel_size_that_all_slices_agree_on() -> None:
    (stack,) = stack_or_separate([volume("/d/s_1.tif", z=50.0), volume("/d/s_2.tif", z=None)])
    assert stack.voxel_size_zyx_nm == (None, 8.0, 8.0)


def test_grouping_twice_is_grouping_once() -> None:
    stacked = stack_or_separate([volume("/d/s_1.tif"), volume("/d/s_2.tif")])
    assert stack_or_separate(stacked) == stacked


def test_stacks_stay_apart_under_distinct_names() -> None:
    volumes = [volume("/a/v.tif", depth=3), volume("/b/v.tif", depth=3), volume("/b/w.tif", depth=3)]
    assert [each.name for each in stack_or_separate(volumes)] == ["a_v", "b_v", "w"]


def test_names_sort_as_people_count() -> None:
    names = ["s_10", "s_9", "s_1", "s_010b", "a"]
    assert sorted(names, key=natural_key) == ["a", "s_1", "s_9", "s_010b", "s_10"]
