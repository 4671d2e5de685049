"""Masks of datasets that came from elsewhere: with what their TOML says, or refused."""

from collections.abc import Callable
from pathlib import Path

import mrcfile
import numpy as np
import pytest
import tifffile
from holding import hold

from em_assets import layouts, open_volume
from em_assets.layouts.interface import Exported, Options
from em_assets.settings import Settings

TOML = """\
title = "made up"
citation = "A. Lucchi, Y. Li, CVPR 2013"

[[source]]
url = "em.tif"
volume = "em"
content = "em"

[[source]]
url = "labels.tif"
volume = "labels"
content = "labels"
labels_of = "em"

[[says]]
field = "sample_type"
value = "tissue"
at = "this test"

[[says]]
field = "voxel_size_zyx_nm"
value = {size}
at = "this test"
"""

SAID = {
    "annotation_object_id": "GO:0005739",
    "annotation_object_name": "mitochondrion",
    "annotation_method": "by hand",
    "annotation_method_type": "manual",
}


def says(field: str, value: str) -> str:
    return f'\n[[says]]\nfield = "{field}"\nvalue = "{value}"\nvolume = "labels"\nat = "this test"\n'


@pytest.fixture
def export(tmp_path: Path) -> Callable[..., tuple[Path, Exported, Settings]]:
    """Labels, what is said of them, voxel size → the export's place, what was said, and the settings."""

    def run(labels: int, said: dict[str, str], size: str = "[5, 5, 5]") -> tuple[Path, Exported, Settings]:
        voxels = np.random.default_rng(1).integers(0, 255, (8, 16, 20), dtype=np.uint8)
        tifffile.imwrite(tmp_path / "em.tif", voxels)
        tifffile.imwrite(tmp_path / "labels.tif", np.where(voxels > 99, labels, 0).astype(np.uint32))
        text = TOML.format(size=size) + "".join(says(*one) for one in said.items())
        (tmp_path / "masked.toml").write_text(text)
        settings = Settings(store=tmp_path / "store", datasets=tmp_path)
        hold("masked", settings)
        options = Options(resample_isotropic=size != "[5, 5, 5]")
        (done,) = layouts.export(["masked"], settings, "cryoet", tmp_path / "out", options)
        return tmp_path / "out" / done.entries[0], done, settings

    return run


def test_a_mask_that_is_described_goes_out(
    export: Callable[..., tuple[Path, Exported, Settings]], validate: Callable[..., list[str]]
) -> None:
    tree, said, settings = export(700, SAID)
    assert said.refused == ()
    assert validate("cryoet", str(tree)) == []
    (path,) = tree.rglob("101_mitochondrion_1.0_segmentationmask.mrc")
    with mrcfile.open(path, permissive=False) as map_:
        np.testing.assert_array_equal(map_.data, open_volume("masked", volume="labels", settings=settings)[...])
    assert open_volume(path.with_suffix(".zarr")).content == "labels"


def test_a_resampled_mask_takes_the_nearest_label(
    export: Callable[..., tuple[Path, Exported, Settings]], validate: Callable[..., list[str]]
) -> None:
    tree, said, _ = export(700, SAID, "[12.5, 5, 5]")
    assert said.refused == ()
    assert validate("cryoet", str(tree)) == []
    mask = open_volume(next(tree.rglob("*_segmentationmask.zarr")))
    assert (mask.shape, set(np.unique(mask[...]))) == ((20, 16, 20), {0, 700})


def test_what_nobody_says_of_a_mask_and_labels_that_no_map_keeps_are_refused(
    export: Callable[..., tuple[Path, Exported, Settings]], validate: Callable[..., list[str]]
) -> None:
    tree, said, _ = export(700, {})
    assert validate("cryoet", str(tree)) == []
    assert said.refused[0].startswith(
        "masked/labels: the schema demands what nobody says: annotation_object_id: [[says]]"
    )
    _, said, _ = export(70_000, SAID)
    assert said.refused == ("masked/labels: uint32 voxels from 0 to 70000: MRC keeps whole numbers of 16 bits at most",)
