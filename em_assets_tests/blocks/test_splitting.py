"""Parts of a volume that never touch."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from em_assets.blocks import Split, VolumeDataset, open_volume, sampling, spatial_split
from em_assets.errors import EvidenceError, UsageError


def distance_nm(a: Any, b: Any, size: Any) -> float:
    """Between the nearest faces of two boxes, along the axis on which they are farthest apart."""
    pairs = zip(a[0], a[1], b[0], b[1], size, strict=True)
    return max(max(sb - (sa + na), sa - (sb + nb)) * nm for sa, na, sb, nb, nm in pairs)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(gap=st.floats(0, 150), seed=st.integers(0, 1000), share=st.floats(0.2, 0.8))
def test_blocks_of_two_parts_are_never_closer_than_the_gap(
    zarr_volume: VolumeDataset, gap: float, seed: int, share: float
) -> None:
    split = spatial_split(zarr_volume, {"train": share, "validation": 1 - share}, gap, seed)
    drawn = {
        name: [sampling.random(zarr_volume.shape, (2, 3, 4), 20, seed, within=region).box(0, i) for i in range(20)]
        for name, region in split.regions.items()
    }
    nearest = min(distance_nm(a, b, (30.0, 4.0, 8.0)) for a in drawn["train"] for b in drawn["validation"])
    assert nearest >= gap


def test_a_split_is_the_same_again_and_from_its_file(zarr_volume: VolumeDataset, tmp_path: Path) -> None:
    parts = {"train": 0.6, "validation": 0.2, "test": 0.2}
    split = spatial_split(zarr_volume, parts, 16.0, 4)
    split.save(tmp_path / "splits" / "split.json")
    assert Split.load(tmp_path / "splits" / "split.json") == split == spatial_split(zarr_volume, parts, 16.0, 4)
    assert (split.axis, split.gap_voxels) == ("x", 2)
    orders = {tuple(spatial_split(zarr_volume, parts, 16.0, seed).regions) for seed in range(20)}
    assert len(orders) > 1
    voxels = sum(int(np.prod(shape)) for region in split.regions.values() for _, shape in region)
    assert voxels <= 7 * 48 * (83 - 2 * 2)


def test_a_split_of_another_volume_is_refused(zarr_volume: VolumeDataset, tmp_path: Path, small_tiff: Path) -> None:
    split = spatial_split(zarr_volume, {"train": 1.0}, 0, 0)
    split.check(zarr_volume)
    with pytest.raises(UsageError, match="shape, level and generation"):
        split.check(open_volume(small_tiff))
    (tmp_path / "none.json").write_text("[]")
    with pytest.raises(UsageError, match="a split that was saved"):
        Split.load(tmp_path / "none.json")


@pytest.mark.parametrize(
    ("fractions", "gap", "words"),
    [
        ({}, 0, "at least one name"),
        ({"a": 0.7, "b": 0.4}, 0, "together at most 1"),
        ({"a": 1.0, "b": 0.0}, 0, "each above 0"),
        ({"a": float("nan")}, 0, "each above 0"),
        ({"a": 0.5, "b": 0.5}, -1, "gap_nm=-1"),
        ({"a": 0.5, "b": 0.5}, 10_000, "the part '[ab]' is empty"),
        ({"a": 0.99, "b": 0.001}, 0, "the part 'b' is empty"),
    ],
)
def test_a_split_that_cannot_be_says_why(
    zarr_volume: VolumeDataset, fractions: dict[str, float], gap: float, words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        spatial_split(zarr_volume, fractions, gap, 0)


def test_a_gap_in_nm_needs_a_voxel_size(tmp_path: Path) -> None:
    import tifffile

    tifffile.imwrite(tmp_path / "plain.tif", np.zeros((4, 8, 8), np.uint8), photometric="minisblack")
    plain = open_volume(tmp_path / "plain.tif")
    with pytest.raises(EvidenceError, match="reading by voxels works"):
        spatial_split(plain, {"train": 0.5, "test": 0.5}, 10, 0)
    assert spatial_split(plain, {"train": 0.5, "test": 0.5}, 0, 0).voxel_size_zyx_nm is None
