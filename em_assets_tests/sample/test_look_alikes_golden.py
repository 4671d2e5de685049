"""The look-alikes against the metadata of the real files, and against the validators of their layouts."""

import gzip
import importlib
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from em_assets.sample import cryoet, empiar, idr, jrc, stacks, visor

JRC = f"s3/{jrc.GROUP}"
TOMOGRAM = f"s3/{cryoet.BUCKET}/{cryoet.SPACING_PATH}/CanonicalTomogram/TS_0001.zarr"

SIZED = re.compile(r"\.(Offset|Size)$|^root\.ImageList\.1\.ImageData\.Dimensions\.")


SIZES_IN_THE_ARCHIVE = {0: 30_396_050, 12: 30_836_882}
FEWER_PIXELS = 5500 * 5496 - 275 * 274


@pytest.fixture
def dmtree(shared: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A parser of DM3 files that this project did not write."""
    monkeypatch.syspath_prepend(str(shared / "tools" / "mirror"))
    return importlib.import_module("dmtree")


def golden_tags(shared: Path, number: int) -> dict[str, str]:
    name = f"empiar_11759_metadata/F57-8_test1_3VBSED_slice_{number:04d}_dm3_metadata.json"
    tags: dict[str, str] = json.loads((shared / "golden" / name).read_text())["full_original_tags"]
    return tags


def slice_bytes(look_alikes: Path, number: int) -> bytes:
    return (look_alikes / "http" / empiar.DATA_FOLDER / empiar.SLICE_NAME.format(number)).read_bytes()


@pytest.mark.parametrize("number", range(16))
def test_a_slice_holds_every_tag_of_the_real_one(
    shared: Path, look_alikes: Path, dmtree: ModuleType, number: int
) -> None:
    """Sizes, offsets and the slice's own dimensions aside."""
    tree = dmtree.read(slice_bytes(look_alikes, number))["root"]
    ours = {path: str(dmtree.decode(node)) for path, node in dmtree.walk(tree) if node["kind"] == "data"}
    wanted = {path: value for path, value in golden_tags(shared, number).items() if not SIZED.search(path)}
    assert len(wanted) == 392
    assert {path: value for path, value in wanted.items() if not is_same(ours.get(path), value)} == {}


def is_same(ours: str | None, golden: str) -> bool:
    """Whether two texts are one value: the dump writes numbers as its reader's language did."""
    if ours is None or ours == golden:
        return ours == golden
    try:
        return float(ours) == float(golden)
    except ValueError:
        return False


@pytest.mark.parametrize("number", [0, 12])
def test_tags_lie_where_they_lie_in_the_real_file(
    shared: Path, look_alikes: Path, dmtree: ModuleType, number: int
) -> None:
    """The byte offsets that the dump recorded come out, so types and struct tags are those of the real files."""
    tags = golden_tags(shared, number)
    file = dmtree.read(slice_bytes(look_alikes, number))
    offsets = {path: node["offset"] for path, node in dmtree.walk(file["root"]) if node["kind"] == "data"}
    for path in ("root.DocumentObjectList.0.ImageDisplayInfo.CLUT", "root.ImageList.1.ImageData.Data"):
        assert offsets[path] == int(tags[f"{path}.Offset"])
    assert offsets["root.PageSetup.Win32"] == int(tags["root.PageSetup.Win32.Offset"]) - FEWER_PIXELS
    assert file["length"] == SIZES_IN_THE_ARCHIVE[number] - FEWER_PIXELS


def test_epfl_and_u2os_pages_carry_the_tags_of_the_real_ones(shared: Path, look_alikes: Path) -> None:
    import tifffile

    golden_folder = shared / "golden"
    pairs = [(golden_folder / "epfl_hippocampus_tif_metadata.json.gz", look_alikes / "http" / stacks.EPFL_FILE)]
    for cut in ("xy", "xz"):
        name = f"u2os_chromatin_metadata/Figure_S3B_FIB-SEM_U2OS_20x20x20nm_{cut}_tif_metadata.json.gz"
        pairs.append((golden_folder / name, look_alikes / "http" / stacks.U2OS_FOLDER / stacks.U2OS_NAME.format(cut)))
    sized = {"ImageWidth", "ImageLength", "RowsPerStrip", "StripOffsets", "StripByteCounts", "ImageDescription"}
    for golden_path, path in pairs:
        golden = json.loads(gzip.decompress(golden_path.read_bytes()))
        with tifffile.TiffFile(path) as tiff:
            assert golden["global_info"]["byteorder"] == tiff.byteorder
            tags = {tag.name: tag.value for tag in tiff.pages[0].aspage().tags}
        real = golden["pages"][0]["page_tiff_tags"]
        assert list(tags) == list(real)
        plain = {name: plainly(value) for name, value in tags.items() if name not in sized | {"PageNumber"}}
        assert plain == {name: real[name] for name in plain}


def plainly(value: Any) -> Any:
    if isinstance(value, tuple):
        return list(value)
    return value.value if hasattr(value, "value") else value


def test_jrc_says_of_itself_what_the_real_group_says(shared: Path, look_alikes: Path) -> None:
    golden = json.loads((shared / "golden/jrc_mus_nacc_zarr_metadata.json").read_text())
    assert json.loads((look_alikes / JRC / ".zattrs").read_text()) == golden["attrs"]
    for name, level in golden["children"].items():
        array = json.loads((look_alikes / JRC / name / ".zarray").read_text())
        assert array["dtype"] == "<i2"
        assert array["chunks"] == level["chunks"]
        assert array["compressor"] == {"id": "zstd", "level": 1}
        assert array["dimension_separator"] == "/"
        assert array["fill_value"] == level["fill_value"]
        assert json.loads((look_alikes / JRC / name / ".zattrs").read_text()) == level["attrs"]


def validate(shared: Path, validator: str, *arguments: object) -> None:
    command = [sys.executable, str(shared / "tools/validators" / validator), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


def test_jrc_and_the_tomogram_are_valid_ngff(shared: Path, look_alikes: Path) -> None:
    validate(shared, "validate_ngff.py", look_alikes / JRC)
    validate(shared, "validate_ngff.py", look_alikes / TOMOGRAM)


def test_the_visor_image_follows_its_schema(shared: Path, look_alikes: Path) -> None:
    validate(shared, "validate_visor.py", (look_alikes / "http" / visor.GROUP).parent, "--schema", "2024.11.0")


def test_the_cryoet_tree_follows_its_schema(shared: Path, look_alikes: Path, tmp_path: Path) -> None:
    tree = shutil.copytree(look_alikes / "s3/cryoet-data-portal-public/10001", tmp_path / "10001")
    validate(shared, "validate_cryoet.py", tree, "--naming", "portal", "--portal-extras")


def test_the_curators_files_have_the_keys_and_columns_of_the_real_ones(shared: Path, look_alikes: Path) -> None:
    real, ours = shared / "data/archives/idr", look_alikes / "http" / idr.REPOSITORY
    keys = [line.split("\t")[0] for line in (real / "idr0086-study.txt").read_text().splitlines()]
    lines = (ours / "idr0086-study.txt").read_text().splitlines()
    assert {line.split("\t")[0] for line in lines if line} <= {*keys, "# "}
    stem = "experimentD/idr0086-experimentD"
    columns = [
        (folder / name).read_text("utf-8-sig").splitlines()[0].split(",")
        for folder, name in ((real, "idr0086-experimentD-annotation.csv"), (ours, f"{stem}-annotation.csv"))
    ]
    assert set(columns[1]) <= set(columns[0])
    listed = (ours / f"{stem}-filePaths.tsv").read_bytes().splitlines()
    assert set(listed) <= set((real / "idr0086-experimentD-filePaths.tsv").read_bytes().splitlines())


def test_the_archives_record_has_the_keys_of_the_real_one(shared: Path, look_alikes: Path) -> None:
    real = json.loads((shared / "data/archives/empiar/EMPIAR-11759.json").read_text())["EMPIAR-11759"]
    ours = json.loads((look_alikes / "http" / empiar.RECORD_FOLDER / "index.json").read_text())["EMPIAR-11759"]
    assert set(ours) == set(real)
    assert set(ours["imagesets"][0]) == set(real["imagesets"][0])
    for key in ("entry_doi", "experiment_type", "title", "deposition_date", "release_date", "status"):
        assert ours[key] == real[key]
    assert ours["imagesets"][0]["pixel_width"] == real["imagesets"][0]["pixel_width"]
