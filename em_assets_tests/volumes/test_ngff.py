"""The metadata documents, value by value."""

from typing import Any

import numpy as np
import pytest

from em_assets.volumes.levels import plan_levels
from em_assets.volumes.ngff import root_documents


def documents(ome_zarr: str, **changed: Any) -> dict[str, dict[str, Any]]:
    said: dict[str, Any] = {
        "ome_zarr": ome_zarr,
        "name": "em",
        "levels": plan_levels((16, 300, 300), (50.0, 8.0, 8.0)),
        "voxel_size_zyx_nm": (50.0, 8.0, 8.0),
        "offset_zyx_nm": (0.0, 0.0, 0.0),
        "content": "em",
        "dtype": np.dtype("uint8"),
        "attributes": {"origin": "sample", "dataset": "mine"},
    }
    return root_documents(**(said | changed))


def transformations(multiscale: dict[str, Any]) -> list[tuple[list[float], list[float]]]:
    both = [dataset["coordinateTransformations"] for dataset in multiscale["datasets"]]
    return [(scale["scale"], translation["translation"]) for scale, translation in both]


def test_each_level_has_its_scale_and_lies_half_a_voxel_further() -> None:
    ome = documents("0.5")["zarr.json"]["attributes"]["ome"]
    assert transformations(ome["multiscales"][0]) == [
        ([50.0, 8.0, 8.0], [0.0, 0.0, 0.0]),
        ([50.0, 16.0, 16.0], [0.0, 4.0, 4.0]),
        ([50.0, 32.0, 32.0], [0.0, 12.0, 12.0]),
        ([50.0, 64.0, 64.0], [0.0, 28.0, 28.0]),
    ]


def test_a_crop_stays_where_it_was_cut() -> None:
    ome = documents("0.5", offset_zyx_nm=(100.0, 80.0, 8.0))["zarr.json"]["attributes"]["ome"]
    assert transformations(ome["multiscales"][0])[1][1] == [100.0, 84.0, 12.0]


def test_the_two_versions_say_the_same_in_their_own_places() -> None:
    new, old = documents("0.5")["zarr.json"], documents("0.4")
    assert (new["zarr_format"], old[".zgroup"]) == (3, {"zarr_format": 2})
    ours = new["attributes"]["ome"]["multiscales"][0]
    assert old[".zattrs"]["multiscales"] == [{"version": "0.4", **ours}]
    assert old[".zattrs"]["em_assets"] == new["attributes"]["em_assets"]


def test_an_unknown_axis_has_no_unit_and_scale_one() -> None:
    ome = documents("0.5", voxel_size_zyx_nm=(None, 8.0, 8.0))["zarr.json"]["attributes"]
    assert [axis.get("unit") for axis in ome["ome"]["multiscales"][0]["axes"]] == [None, "nanometer", "nanometer"]
    assert transformations(ome["ome"]["multiscales"][0])[0][0] == [1.0, 8.0, 8.0]
    assert ome["em_assets"]["voxel_size_zyx_nm"] == [None, 8.0, 8.0]


def test_the_origin_stands_in_the_group() -> None:
    assert documents("0.5")["zarr.json"]["attributes"]["em_assets"] == {
        "origin": "sample",
        "dataset": "mine",
        "content": "em",
        "voxel_size_zyx_nm": [50.0, 8.0, 8.0],
    }


@pytest.mark.parametrize(("dtype", "is_label_image"), [("uint64", True), ("float32", False)])
def test_only_labels_of_whole_numbers_are_label_images(dtype: str, is_label_image: bool) -> None:
    new = documents("0.5", content="labels", dtype=np.dtype(dtype))["zarr.json"]["attributes"]["ome"]
    old = documents("0.4", content="labels", dtype=np.dtype(dtype))[".zattrs"]
    assert ("image-label" in new, "image-label" in old) == (is_label_image, is_label_image)
    assert new["multiscales"][0]["type"] == "majority"
