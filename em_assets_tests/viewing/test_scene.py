"""What is shown of a dataset: which layers, in what contrast, where one looks first, and what is refused."""

from collections.abc import Callable

import numpy as np
import pytest

from em_assets.errors import NotBuiltError, UsageError, VolumeChoiceError
from em_assets.settings import Settings
from em_assets.viewing.scene import Contrast, contrast_of, scene_of
from em_assets.viewing.state import state_of
from em_assets.volumes.statistics import Statistics
from em_assets.volumes.store import CommittedVolume

Commit = Callable[..., CommittedVolume]

GREY = np.random.default_rng(1).normal(120, 20, (10, 20, 40)).clip(1, 255).astype(np.uint8)
LABELS = np.ones(GREY.shape, np.uint16)


def statistics(voxels: np.ndarray) -> Statistics:
    """As a pass over the voxels counts them."""
    finite = voxels[np.isfinite(voxels)]
    low, high, mean, std = (float(each(finite)) for each in (np.min, np.max, np.mean, np.std))
    return Statistics(
        n_voxels=voxels.size,
        n_finite=finite.size,
        n_zero=int((voxels == 0).sum()),
        min=low,
        max=high,
        mean=mean,
        std=std,
    )


def test_contrast_is_around_the_mean_and_within_the_values_that_there_are() -> None:
    found = contrast_of(statistics(GREY))
    assert found is not None
    assert found.black == pytest.approx(120 - 50, abs=2)
    assert found.white == pytest.approx(120 + 50, abs=2)
    assert (found.least, found.largest) == (GREY.min(), GREY.max())


def test_empty_space_around_a_sample_does_not_wash_out_its_contrast() -> None:
    """A tilted block in a larger box is half zeros: taken into the mean they would make all tissue white."""
    padded = np.concatenate([GREY, np.zeros_like(GREY)])
    found, alone = contrast_of(statistics(padded)), contrast_of(statistics(GREY))
    assert found is not None
    assert alone is not None
    assert (found.black, found.white) == pytest.approx((alone.black, alone.white))


def test_a_volume_of_one_value_or_of_none_has_no_contrast_to_speak_of() -> None:
    one = Statistics(n_voxels=8, n_finite=8, n_zero=0, min=7, max=7, mean=7.0, std=0.0)
    none = Statistics(n_voxels=8, n_finite=0, n_zero=0, min=None, max=None, mean=None, std=None)
    assert contrast_of(one) == Contrast(7, 7, 7, 7)
    assert contrast_of(none) is None


def test_labels_lie_over_what_they_label_whichever_of_them_is_asked_for(commit: Commit, settings: Settings) -> None:
    commit("em", GREY)
    commit("cells", LABELS, labels_of="em")
    commit("nuclei", LABELS, labels_of="em")
    layers = {wanted: scene_of("tissue", wanted, settings).layers for wanted in (None, "em", "cells")}
    assert [(layer.name, layer.kind) for layer in layers[None]] == [
        ("em", "image"),
        ("cells", "segmentation"),
        ("nuclei", "segmentation"),
    ]
    assert [layer.name for layer in layers["em"]] == ["em", "cells", "nuclei"]
    assert [layer.name for layer in layers["cells"]] == ["em", "cells"]


def test_of_two_images_one_is_to_be_chosen(commit: Commit, settings: Settings) -> None:
    commit("xy", GREY)
    commit("xz", GREY)
    with pytest.raises(VolumeChoiceError, match=r"choose one with --volume: xy, xz"):
        scene_of("tissue", None, settings)
    with pytest.raises(VolumeChoiceError, match=r"no volume 'yz'; there are: xy, xz"):
        scene_of("tissue", "yz", settings)
    assert [layer.name for layer in scene_of("tissue", "xz", settings).layers] == ["xz"]


def test_what_is_not_fetched_says_how_it_is(settings: Settings) -> None:
    with pytest.raises(NotBuiltError, match="em-assets fetch tissue"):
        scene_of("tissue", None, settings)


@pytest.mark.parametrize(("dtype", "kind"), [("float64", "em"), ("int64", "labels")])
def test_voxels_that_neuroglancer_cannot_show_are_refused_with_the_way_that_can(
    commit: Commit, settings: Settings, dtype: str, kind: str
) -> None:
    commit("em", GREY.astype(dtype), content=kind)
    with pytest.raises(UsageError, match=rf"no voxels of {dtype}.*napari --plugin napari-ome-zarr"):
        scene_of("tissue", None, settings)


def test_one_looks_at_the_middle_of_the_whole_volume_in_nanometres(commit: Commit, settings: Settings) -> None:
    commit("em", GREY, voxel_size_zyx_nm=(50.0, 8.0, 8.0))
    scene = scene_of("tissue", None, settings)
    state = state_of(scene, {"em": "zarr3://http://x/"})
    assert state["dimensions"] == {
        "x": [pytest.approx(8e-9), "m"],
        "y": [pytest.approx(8e-9), "m"],
        "z": [pytest.approx(50e-9), "m"],
    }
    assert state["position"] == [19.5, 9.5, 4.5]
    assert scene.scale * 340 * 8 == pytest.approx(500)  # z is the longest: 10 slices of 50 nm
    assert scene.remarks == ()


def test_an_unknown_voxel_size_is_shown_in_voxels_and_said(commit: Commit, settings: Settings) -> None:
    commit("em", GREY, voxel_size_zyx_nm=(None, 8.0, 8.0))
    scene = scene_of("tissue", None, settings)
    state = state_of(scene, {"em": "zarr3://http://x/"})
    assert scene.unit == "voxels"
    (remark,) = scene.remarks
    assert remark.startswith("em: the voxel size is unknown along z: shown in voxels, which need not be cubes")
    assert "without a link to the archive's own copy" in remark
    assert state["dimensions"] == {axis: [1, ""] for axis in "xyz"}
    assert "nm" not in str(state)


def test_napari_gets_the_same_groups(commit: Commit, settings: Settings) -> None:
    em, cells = commit("em", GREY), commit("cells", LABELS, labels_of="em")
    command = scene_of("tissue", None, settings).napari_command
    assert command == f"napari --plugin napari-ome-zarr {em.path} {cells.path}"
