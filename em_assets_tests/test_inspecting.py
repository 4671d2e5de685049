"""What committed volumes look like: findings that are a reason to look, in words."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from em_assets import inspecting
from em_assets.formats.volume import SourceLevel, SourceVolume
from em_assets.inspecting import Seen
from em_assets.model import Content, VolumeRecord
from em_assets.sample.labels import cells, membranes_and_cytoplasm
from em_assets.sample.texture import texture
from em_assets.volumes.pyramid import write_pyramid
from em_assets.volumes.store import CommittedVolume, commit_volume

Commit = Callable[..., Seen]
SHAPE = (40, 70, 80)


@pytest.fixture(scope="module")
def tissue() -> NDArray[Any]:
    """Cells with dark walls, 8 nm."""
    return membranes_and_cytoplasm(*cells(SHAPE, 12, seed=7), texture(SHAPE, 7))


@pytest.fixture
def commit(tmp_path: Path) -> Commit:
    """Name, voxels, content, claimed polarity → the volume as it is seen after it was committed."""

    def commit_voxels(
        name: str, voxels: NDArray[Any], content: Content = "em", polarity: str | None = None, size_nm: float = 8.0
    ) -> Seen:
        def read_box(start: Any, shape: Any) -> NDArray[Any]:
            return voxels[tuple(slice(s, s + n) for s, n in zip(start, shape, strict=True))].copy()

        size = (size_nm,) * 3
        source = SourceVolume(
            "array", "numpy", voxels.dtype, (SourceLevel(voxels.shape, size, read_box),), ("array.npy",)
        )
        committed = commit_volume(
            tmp_path / name,
            "aaaa",
            lambda dest: write_pyramid(
                source, dest, ome_zarr="0.5", content=content, voxel_size_zyx_nm=size, name=name, attributes={}
            ),
        )
        return Seen(name, committed, VolumeRecord(dataset="d", volume=name, origin="o", contrast_polarity=polarity))

    return commit_voxels


def test_good_tissue_is_found_good(commit: Commit, tissue: NDArray[Any]) -> None:
    volumes = [commit("em", tissue)]
    questions = (inspecting.near_blank, inspecting.saturated, inspecting.repeated, inspecting.mistaken_content)
    assert [question(volumes).found for question in (*questions, inspecting.polarity)] == [[]] * 5
    assert inspecting.alike(volumes, []).found == []
    assert inspecting.near_blank(volumes).good == "shown: em 100%"
    assert inspecting.polarity(volumes).good.startswith("em dark membranes (+0.")


def test_a_crop_at_the_edge_is_near_blank(commit: Commit, tissue: NDArray[Any]) -> None:
    padded = tissue.copy()
    padded[:, :, 20:] = 0
    (found,) = inspecting.near_blank([commit("em", padded)]).found
    assert found.startswith("em: 25.0% of the voxels show something")


def test_a_contrast_that_was_stretched_too_far_is_said(commit: Commit, tissue: NDArray[Any]) -> None:
    stretched = np.clip(tissue.astype(int) * 3 - 250, 0, 255).astype(np.uint8)
    (found,) = inspecting.saturated([commit("em", stretched)]).found
    assert "% of them are 0" in found
    assert "% of them are 255" in found


def test_slices_that_come_twice_are_named(commit: Commit, tissue: NDArray[Any]) -> None:
    twice = tissue.copy()
    twice[21], twice[39] = twice[20], twice[20]
    (found,) = inspecting.repeated([commit("em", twice)]).found
    assert found.startswith("em: 2 of 40 slices repeat an earlier one: 21 = 20, 39 = 20; ")


def test_a_part_that_comes_twice_is_no_slice(commit: Commit, tissue: NDArray[Any]) -> None:
    half = tissue.copy()
    half[21, :, :64] = half[20, :, :64]
    assert inspecting.repeated([commit("em", half)]).found == []


def test_labels_taken_for_em_and_em_taken_for_labels_are_said(commit: Commit, tissue: NDArray[Any]) -> None:
    labels, _ = cells(SHAPE, 12, seed=7)
    found = inspecting.mistaken_content([commit("em", labels), commit("seg", tissue, "labels")]).found
    assert [problem.split(",")[0] for problem in found] == ["em: said to be em", "seg: said to be labels"]
    assert inspecting.mistaken_content([commit("good", labels, "labels")]).found == []


@pytest.mark.parametrize(
    ("is_inverted", "claimed", "expected"),
    [
        (False, None, None),
        (False, "dark membranes", None),
        (False, "bright membranes", "em: bright membranes by its record, and its membranes look dark"),
        (True, None, "em: its membranes look bright"),
        (True, "bright membranes", None),
    ],
)
def test_inverted_contrast_is_said_unless_the_record_says_it(
    commit: Commit, tissue: NDArray[Any], is_inverted: bool, claimed: str | None, expected: str | None
) -> None:
    found = inspecting.polarity([commit("em", 255 - tissue if is_inverted else tissue, "em", claimed)]).found
    assert [problem[: len(expected or "")] for problem in found] == ([expected] if expected else [])


def test_coarse_voxels_tell_no_polarity(commit: Commit, tissue: NDArray[Any]) -> None:
    judged = inspecting.polarity([commit("em", 255 - tissue, size_nm=50.0)])
    assert judged == ([], "em not told (coarse, anisotropic or small)")


def test_a_reslice_beside_its_original_is_said(commit: Commit, tissue: NDArray[Any]) -> None:
    volumes = [commit("xy", tissue), commit("xz", np.ascontiguousarray(tissue.transpose(1, 0, 2)))]
    (found,) = inspecting.alike(volumes, []).found
    assert found.startswith("xz: its z, y, x are y, z, x of xy: ")


def test_a_copy_in_another_dataset_is_said_and_a_blank_one_is_not(commit: Commit, tissue: NDArray[Any]) -> None:
    other: CommittedVolume = commit("copy", tissue).committed
    (found,) = inspecting.alike([commit("em", tissue)], [("there/copy", other)]).found
    assert found.startswith("em: the same voxels as there/copy: ")
    blank = [commit(name, np.zeros(SHAPE, np.uint8)) for name in ("one", "two")]
    assert inspecting.alike(blank, []).found == []
