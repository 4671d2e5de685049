"""VISoR in and out, both versions: by our reader, zarr-python, tensorstore and visor-py."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from shutil import copytree
from typing import Any

import numpy as np
import pytest
import zarr
from holding import hold

from em_assets import datasets, layouts, open_volume
from em_assets.errors import FormatError
from em_assets.layouts.held import held
from em_assets.layouts.visor_items import item_of
from em_assets.settings import Settings
from em_assets.volumes.store import committed_volumes

SAMPLE = "visor_bb001"


@pytest.fixture(scope="module")
def export(held_settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample in both versions."""
    folder = tmp_path_factory.mktemp("visor")
    for layout in ("visor", "visor-2025"):
        (done,) = layouts.export([SAMPLE], held_settings, layout, folder)
        assert done.refused == ()
    return folder


def attributes(group: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((group / ".zattrs").read_text())
    return found


@pytest.fixture
def brought_in(tmp_path: Path) -> Callable[..., Settings]:
    """A tree and its layout → settings of a store that holds it as the dataset `mine`."""

    def bring(tree: Path, layout: str) -> Settings:
        (tmp_path / "registry").mkdir()
        described = layouts.describe_tree(str(tree), layout, "mine")
        (tmp_path / "registry" / "mine.toml").write_text(described.toml)
        settings = Settings(store=tmp_path / "mine_store", datasets=tmp_path / "registry")
        hold("mine", settings)
        return settings

    return bring


@pytest.mark.parametrize("stack", [1, 2])
@pytest.mark.parametrize("channel", ["405nm_10X", "488nm_10X"])
def test_each_item_of_the_5d_array_is_the_volume_of_its_names(
    stack: int, channel: str, export: Path, held_settings: Settings
) -> None:
    group = export / SAMPLE / "visor_raw_image.zarr"
    multiscale = attributes(group)["multiscales"][0]
    t_names = [entry["path"].removeprefix("0/") for entry in multiscale["datasets"] if "/" in entry["path"]]
    c_names = [each["label"] for each in attributes(group)["omero"]["channels"]]
    t, c = t_names.index(f"slice_1_stack_{stack}"), c_names.index(channel)
    volume = open_volume(SAMPLE, volume=f"slice_1_stack_{stack}.{channel}", settings=held_settings)
    array = zarr.open_array(group / "0", mode="r")
    assert array.shape == (2, 2, *volume.shape)
    assert np.array_equal(np.asarray(array[t, c]), volume[...])


def test_scales_and_translations_are_micrometres(export: Path) -> None:
    (multiscale,) = attributes(export / SAMPLE / "visor_raw_image.zarr")["multiscales"]
    said = {entry["path"]: entry["coordinateTransformations"] for entry in multiscale["datasets"]}
    assert said["0"] == [{"type": "scale", "scale": [1.0, 1.0, 3.5, 1.03, 1.03]}]
    assert said["0/slice_1_stack_2"] == [{"type": "translation", "translation": [0.0, 0.0, 0.0, 0.0, 115.36]}]


def test_ordinary_readers_open_the_pixels_through_the_group_above(
    export: Path, validate: Callable[..., list[str]]
) -> None:
    """The schema's translation-only entries make them fail; the sample's own folder lists the levels alone."""
    from ome_zarr_models.v04 import Image

    found = [said.split("\t") for said in validate("ngff", str(export / SAMPLE))]
    assert [said for said in found if not said[2].startswith(str(export / SAMPLE / "visor_raw_image.zarr"))] == []
    group = zarr.open_group(export / SAMPLE, mode="r")
    assert [axis.name for axis in Image.from_zarr(group).attributes.multiscales[0].axes] == list("tczyx")
    (multiscale,) = group.attrs["multiscales"]
    levels = [group[entry["path"]] for entry in multiscale["datasets"]]
    assert [len(level.shape) for level in levels] == [5] * len(levels)


def test_visor_py_opens_the_newest_version_and_returns_the_same_voxels(export: Path, held_settings: Settings) -> None:
    script = """
import sys, numpy, visor
vsr = visor.VSR(sys.argv[1])
assert vsr.info()['animal_id'] == 'visor_bb001'
(described,) = vsr.images('raw')
image = visor.Image(sys.argv[1], 'raw', described['name'])
stack, channel = image.label_to_index('stack', 'stack_2'), image.label_to_index('channel', '488')
for level in described['resolutions']:
    numpy.asarray(image.load(level)[...])
numpy.save(sys.argv[2], numpy.asarray(image.load('0')[stack, channel]))
"""
    saved = export.parent / "by_visor_py.npy"
    command = [sys.executable, "-W", "ignore", "-c", script, str(export / f"{SAMPLE}.vsr"), str(saved)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    volume = open_volume(SAMPLE, volume="slice_1_stack_2.488nm_10X", settings=held_settings)
    assert np.array_equal(np.load(saved), volume[...])


@pytest.fixture
def real(shared: Path) -> Path:
    return shared / "data" / "visor" / "VISOR001.vsr"


def test_the_real_sample_comes_in_with_equal_voxels(real: Path, brought_in: Callable[..., Settings]) -> None:
    settings = brought_in(real, "visor-2025")
    names = committed_volumes(settings.volumes_dir("mine"))
    assert len(names) == 12
    for image, channels in {"slice_1_10x": ("488", "561"), "slice_1_10x_1": ("405", "640")}.items():
        voxels = np.asarray(zarr.open_array(real / f"visor_raw_images/{image}.zarr/0", mode="r")[...])
        for stack, (index, channel) in ((s, c) for s in (1, 2) for c in enumerate(channels)):
            volume = open_volume("mine", volume=f"{image}_stack_{stack}.{channel}", settings=settings)
            assert np.array_equal(volume[...], voxels[stack - 1, index])
            assert volume.voxel_size_zyx_nm == (3500.0, 1030.0, 1030.0)


def test_the_real_sample_goes_out_as_it_came(
    real: Path, brought_in: Callable[..., Settings], tmp_path: Path, validate: Callable[..., list[str]]
) -> None:
    settings = brought_in(real, "visor-2025")
    (done,) = layouts.export(["mine"], settings, "visor-2025", tmp_path / "out")
    made = tmp_path / "out" / "mine.vsr"
    assert (done.refused, done.notes) == ((), ())
    assert validate("visor", str(made)) == []
    for name in ("info.json", "visor_recon_transforms/xxx_20250525/slice_1_10x/raw_to_ortho/0/0/affine.tfm"):
        assert (made / name).read_bytes() == (real / name).read_bytes()
    for group in ("visor_raw_images/slice_1_10x", "visor_raw_images/slice_1_10x_1"):
        before, after = (json.loads((root / f"{group}.zarr/zarr.json").read_text()) for root in (real, made))
        assert after["attributes"]["visor"] == before["attributes"]["visor"]
    assert json.loads((made / "visor_raw_images/selected.json").read_text()) == json.loads(
        (real / "visor_raw_images/selected.json").read_text()
    )


def test_every_file_of_the_real_sample_is_read_or_named(real: Path, brought_in: Callable[..., Settings]) -> None:
    settings = brought_in(real, "visor-2025")
    findings = layouts.describe_tree(str(real), "visor-2025", "mine").findings
    tagged = held(datasets.get("mine", settings), settings).tagged_files
    beside = [p.relative_to(real).as_posix() for p in real.rglob("*") if p.is_file() and ".zarr/" not in str(p)]
    named = {said.partition(":")[0] for said in findings} | {file.partition("/")[2] for file in tagged}
    assert len(beside) == 5
    assert set(beside) <= named
    assert any("raw_to_brain" in said and "no such transform" in said for said in findings)


def edited(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    document = attributes(folder)
    change(document)
    (folder / ".zattrs").write_text(json.dumps(document))


def rename_an_item(document: dict[str, Any]) -> None:
    document["multiscales"][0]["datasets"][-1]["path"] = "0/slice_0_stack_two"


def drop_a_label(document: dict[str, Any]) -> None:
    document["omero"]["channels"].pop()


def rename_a_channel(document: dict[str, Any]) -> None:
    document["omero"]["channels"][0]["label"] = "blue"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (rename_an_item, "slice_0_stack_two"),
        (drop_a_label, "one name for each of 2 channels expected"),
        (rename_a_channel, "blue"),
    ],
)
def test_names_that_cannot_be_are_named_and_nothing_is_described(
    change: Callable[[dict[str, Any]], None], said: str, export: Path, tmp_path: Path
) -> None:
    tree = copytree(export / SAMPLE, tmp_path / "sample")
    edited(tree / "visor_raw_image.zarr", change)
    with pytest.raises(FormatError, match=said):
        layouts.describe_tree(str(tree), "visor", "mine")


def test_a_folder_without_images_is_no_sample(tmp_path: Path) -> None:
    (tmp_path / "readme.txt").write_text("nothing")
    with pytest.raises(FormatError, match=r"visor_raw_image\.zarr expected, found none in 1 files"):
        layouts.describe_tree(str(tmp_path), "visor", "mine")


@pytest.mark.parametrize("layout", ["visor", "visor-2025"])
def test_a_volume_that_is_no_item_is_refused_with_its_name(
    layout: str, held_settings: Settings, tmp_path: Path
) -> None:
    (done,) = layouts.export(["epfl_hippocampus"], held_settings, layout, tmp_path)
    assert done.entries == ()
    assert "epfl_hippocampus/em: no VISoR item" in done.refused[0]
    assert list(tmp_path.iterdir()) == []


def test_what_the_older_version_cannot_say_is_refused(
    real: Path, brought_in: Callable[..., Settings], tmp_path: Path, validate: Callable[..., list[str]]
) -> None:
    """Processed images have no place in 2024.11.0; two images of one slice are one grid of channels there."""
    settings = brought_in(real, "visor-2025")
    (done,) = layouts.export(["mine"], settings, "visor", tmp_path / "out")
    assert [said for said in done.refused if "has no compr images" not in said] == []
    assert validate("visor", str(tmp_path / "out" / "mine"), "--chunk", "4") == []
    labels = [each["label"] for each in attributes(tmp_path / "out/mine/visor_raw_image.zarr")["omero"]["channels"]]
    assert labels == ["405nm_10X", "488nm_10X", "561nm_10X", "640nm_10X"]


@pytest.mark.parametrize(
    ("name", "kind", "image", "stack", "wavelength"),
    [
        ("slice_12_stack_3.488nm_10X", "raw", "slice_12_10x", 3, "488"),
        ("XX_left_brain_20240101.405nm_4X", "recon", "XX_left_brain_20240101", None, "405"),
        ("slice_1_10x_1_stack_2.640", "raw", "slice_1_10x_1", 2, "640"),
        ("compr_xxx_slice_1_10x_20241201_stack_1.405", "compr", "xxx_slice_1_10x_20241201", 1, "405"),
        ("recon_xxx_brain_20241201_405", "recon", "xxx_brain_20241201", None, "405"),
    ],
)
def test_a_name_says_what_a_volume_is(name: str, kind: str, image: str, stack: int | None, wavelength: str) -> None:
    item = item_of(name)
    assert item is not None
    assert (item.kind, item.image, item.stack, item.wavelength) == (kind, image, stack, wavelength)


@pytest.mark.parametrize("name", ["em", "slice_0_stack_1.405nm_10X", "slice_1_stack_1.405", "slice_1_10x.405"])
def test_a_name_of_no_form_is_no_item(name: str) -> None:
    assert item_of(name) is None


def test_reconstructions_come_in_beside_the_raw_image_and_go_out_in_both_versions(
    export: Path, brought_in: Callable[..., Settings], tmp_path: Path, validate: Callable[..., list[str]]
) -> None:
    tree = tmp_path / "sample"
    copytree(export / SAMPLE / "visor_raw_image.zarr", tree / "visor_raw_image.zarr")
    copytree(tree / "visor_raw_image.zarr", tree / "visor_reconstructed_image.zarr")

    def reconstructed(document: dict[str, Any]) -> None:
        (multiscale,) = document["multiscales"]
        multiscale["name"] = "visor_reconstructed_image"
        for number in (1, 2):
            multiscale["datasets"][number - 3]["path"] = f"0/XX_brain_2024010{number}"

    edited(tree / "visor_reconstructed_image.zarr", reconstructed)
    settings = brought_in(tree, "visor")
    assert len(committed_volumes(settings.volumes_dir("mine"))) == 8
    for layout, entry in (("visor", "mine"), ("visor-2025", "mine.vsr")):
        (done,) = layouts.export(["mine"], settings, layout, tmp_path / "out")
        assert done.refused == ()
        assert validate("visor", str(tmp_path / "out" / entry)) == []
    multiscale = attributes(tmp_path / "out/mine/visor_reconstructed_image.zarr")["multiscales"][0]
    assert [entry["path"] for entry in multiscale["datasets"]][-2:] == ["0/XX_brain_20240101", "0/XX_brain_20240102"]
    voxels = zarr.open_array(tmp_path / "out/mine.vsr/visor_recon_images/XX_brain_20240102.zarr/0", mode="r")
    volume = open_volume("mine", volume="XX_brain_20240102.405nm_10X", settings=settings)
    assert np.array_equal(np.asarray(voxels[0, 0]), volume[...])


def test_one_stack_of_one_channel_keeps_its_names(
    real: Path, brought_in: Callable[..., Settings], tmp_path: Path
) -> None:
    tree, name = tmp_path / "one.vsr", "visor_raw_images/slice_1_10x.zarr"
    document = json.loads((real / name / "zarr.json").read_text())
    visor = document["attributes"]["visor"]
    document["attributes"]["visor"] = {key: entries[:1] for key, entries in visor.items()}
    (tree / name).mkdir(parents=True)
    (tree / name / "zarr.json").write_text(json.dumps(document))
    voxels = np.arange(1, 65, dtype=np.uint16).reshape(1, 1, 4, 4, 4)
    zarr.create_array(tree / name / "0", data=voxels, chunks=voxels.shape)
    settings = brought_in(tree, "visor-2025")
    assert list(committed_volumes(settings.volumes_dir("mine"))) == ["slice_1_10x_stack_1.488"]
    layouts.export(["mine"], settings, "visor-2025", tmp_path / "out")
    made = json.loads((tmp_path / "out/mine.vsr" / name / "zarr.json").read_text())
    assert made["attributes"]["visor"] == document["attributes"]["visor"]


def test_a_stack_without_one_of_the_channels_is_refused_and_nothing_is_written(
    real: Path, brought_in: Callable[..., Settings], tmp_path: Path
) -> None:
    tree = copytree(real, tmp_path / "holes.vsr")
    images = tree / "visor_raw_images"
    (images / "slice_1_10x_1.zarr").rename(images / "slice_2_10x.zarr")
    settings = brought_in(tree, "visor-2025")
    (done,) = layouts.export(["mine"], settings, "visor", tmp_path / "out")
    assert any("slice_1_stack_1, 405nm_10X" in said for said in done.refused)
    assert list((tmp_path / "out").iterdir()) == []


def test_an_image_of_no_known_name_is_named(real: Path, tmp_path: Path) -> None:
    tree = copytree(real, tmp_path / "wrong.vsr")
    (tree / "visor_raw_images/slice_1_10x.zarr").rename(tree / "visor_raw_images/slice_one.zarr")
    with pytest.raises(FormatError, match="slice_one"):
        layouts.describe_tree(str(tree), "visor-2025", "mine")


@pytest.mark.parametrize("layout", ["visor", "visor-2025"])
def test_8_bit_voxels_are_widened_and_others_are_refused(
    layout: str, real: Path, brought_in: Callable[..., Settings], tmp_path: Path
) -> None:
    tree = copytree(real, tmp_path / "types.vsr")
    for image, dtype in (("slice_1_10x", np.uint8), ("slice_1_10x_1", np.float32)):
        array = tree / f"visor_raw_images/{image}.zarr/0"
        voxels = np.asarray(zarr.open_array(array, mode="r")[...])
        zarr.create_array(array, data=voxels.astype(dtype), chunks=(1, 1, 4, 4, 4), overwrite=True)
    (done,) = layouts.export(["mine"], brought_in(tree, "visor-2025"), layout, tmp_path / "out")
    refused = [said for said in done.refused if "float32; VISoR holds uint16" in said]
    assert len(refused) == 4
    if layout == "visor-2025":  # an image each; the older version has one for all, and so nothing is left of it
        made = zarr.open_array(tmp_path / "out/mine.vsr/visor_raw_images/slice_1_10x.zarr/0", mode="r")
        assert made.dtype == np.uint16
        assert sum("uint8 is written as uint16" in said for said in done.notes) == 4
