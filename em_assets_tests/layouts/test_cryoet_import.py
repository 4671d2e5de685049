"""Trees of the cryoET portal become datasets: every file is read or named, and a contradiction writes nothing."""

import json
import shutil
import tomllib
from collections.abc import Callable
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
import pytest
from holding import hold
from numpy.typing import NDArray

from em_assets import layouts, open_volume, sample
from em_assets.errors import FormatError, SourceMissingError
from em_assets.formats import read_tags
from em_assets.layouts.cryoet_import import describe
from em_assets.layouts.interface import Imported
from em_assets.settings import Settings

Tree = Callable[[], Path]
IN_RUN = "Tomograms/VoxelSpacing10.000"


def unaccounted(tree: Path, described: Imported) -> set[str]:
    """Files that no source includes and no finding names."""
    files = {path.relative_to(tree).as_posix() for path in tree.rglob("*") if path.is_file()}
    globs = [glob for source in tomllib.loads(described.toml)["source"] for glob in source["include"]]
    named = [finding.partition(": ")[0] for finding in described.findings]
    read = {file for file in files if any(fnmatchcase(file, glob.replace("**", "*")) for glob in globs)}
    return {file for file in files - read if not any(file == name or file.startswith(f"{name}/") for name in named)}


@pytest.mark.parametrize("name", ["30001", "10001_input"])
def test_every_file_of_the_real_trees_is_read_or_named(shared: Path, name: str) -> None:
    tree = shared / "data" / "cryoet" / name
    described = layouts.describe_tree(str(tree), "cryoet", "real")
    assert unaccounted(tree, described) == set()
    included = [glob for source in tomllib.loads(described.toml)["source"] for glob in source["include"]]
    for glob in included:
        assert next(iter(read_tags(str(tree / glob.removesuffix("/**")))), None) is not None


def test_the_real_tree_becomes_a_dataset_with_its_tags_and_claims(shared: Path, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    tree = shared / "data" / "cryoet" / "30001"
    (tmp_path / "real.toml").write_text(layouts.describe_tree(str(tree), "cryoet", "real").toml)
    settings = Settings(store=tmp_path / "store", datasets=tmp_path)
    hold("real", settings)
    for volume in ("RUN1", "RUN1_foo", "RUN2", "RUN1_tiltseries", "RUN3_tiltseries"):
        assert open_volume("real", volume=volume, settings=settings)[...].shape == (4, 4, 4)
    folder = settings.metadata_dir("real")
    tags = {row["path"]: row["value"] for row in pq.read_table(folder / "original_tags.parquet").to_pylist()}
    assert tags["per_section_parameter.0.astigmatic_angle"] == "37.98"
    assert tags["frames.1.accumulated_dose"] == "1.92"
    claims = {(row["field"], row["value"]) for row in pq.read_table(folder / "claims.parquet").to_pylist()}
    assert {("instrument", '"TFS Krios"'), ("accelerating_voltage_kv", "300.0")} <= claims


def test_a_tree_without_volumes_is_held_with_its_tags_and_refused_by_the_export(shared: Path, tmp_path: Path) -> None:
    tree = shared / "data" / "cryoet" / "10001_input"
    (tmp_path / "parts.toml").write_text(layouts.describe_tree(str(tree), "cryoet", "parts").toml)
    settings = Settings(store=tmp_path / "store", datasets=tmp_path)
    hold("parts", settings)
    (said,) = layouts.export(["parts"], settings, "cryoet", tmp_path / "out")
    assert said.refused == ("parts: no volume, so no tomogram",)


def test_the_sample_tree_is_imported_from_its_bucket(held_settings: Settings) -> None:
    with sample.serving(held_settings) as origin:
        described = describe("s3://cryoet-data-portal-public/10001", "portal", origin)
    sources = tomllib.loads(described.toml)["source"]
    assert [source.get("volume") for source in sources] == ["TS_0001", "TS_0001_cytoplasm", None, None]
    assert tomllib.loads(described.toml)["links"] == ["https://cryoetdataportal.czscience.com/datasets/10001"]
    assert "TS_0001: absent sections: tiltseries" in described.findings
    assert any("TS_0001_0001_0.0.tif" in finding for finding in described.findings)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A tree in the portal's second naming: one run, a tomogram as a map, a mask, points."""
    root = tmp_path / "20000"
    write(root / "dataset_metadata.json", {"dataset_title": "made up", "dataset_identifier": 20000})
    write(root / "R1/run_metadata.json", {"run_name": "R1"})
    folder = root / "R1/Reconstructions/VoxelSpacing10.000"
    voxels = np.arange(4 * 5 * 6, dtype=np.float32).reshape(4, 5, 6)
    write_map(folder / "Tomograms/100/R1.mrc", voxels)
    write(folder / "Tomograms/100/tomogram_metadata.json", {"voxel_spacing": 10.0, "run_name": "R1"})
    write_map(folder / "Annotations/7/actin-1.0_segmentationmask.mrc", (voxels > 50).astype(np.int8))
    write(folder / "Annotations/7/actin-1.0.json", annotation("actin"))
    point = {"type": "point", "location": {"x": 5, "y": 4, "z": 3}}
    (folder / "Annotations/8").mkdir()
    (folder / "Annotations/8/ribosome-1.0_point.ndjson").write_text(json.dumps(point) + "\n")
    write(folder / "Annotations/8/ribosome-1.0.json", annotation("ribosome"))
    frames = root / "R1/Frames"
    write_map(frames / "a.mrc", voxels)
    (frames / "a.eer").write_bytes(b"")
    (frames / "a.mdoc").write_text("PixelSpacing = 3.37\nVoltage = 300\n\n[ZValue = 0]\nTiltAngle = -3\n")
    series = root / "R1/TiltSeries"
    series.mkdir()
    (series / "R1.xf").write_text("1 0 0 1 2.5 -3.5\n")
    return root


def write(path: Path, document: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))


def write_map(path: Path, voxels: NDArray[Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with mrcfile.new(path, voxels) as map_:
        map_.voxel_size = 10.0


def annotation(name: str, version: object = 1.0) -> dict[str, object]:
    return {"annotation_object": {"name": name, "id": "GO:0005884"}, "version": version}


def test_the_second_naming_is_read_and_what_is_absent_is_said(tree: Path, tmp_path: Path) -> None:
    described = layouts.describe_tree(str(tree), "cryoet", "second")
    assert unaccounted(tree, described) == set()
    assert described.findings == ("R1/Frames/a.eer: empty: a placeholder, or cut short",)
    (tmp_path / "second.toml").write_text(described.toml)
    settings = Settings(store=tmp_path / "store", datasets=tmp_path)
    hold("second", settings)
    mask = open_volume("second", volume="R1_actin", settings=settings)
    assert (mask.content, mask.voxel_size_zyx_nm, int(mask[...].sum())) == ("labels", (1.0, 1.0, 1.0), 69)


def _slash(run: Path) -> None:
    write(run / "run_metadata.json", {"run_name": "a/b"})


def _two_objects(run: Path) -> None:
    write(run / "Reconstructions/VoxelSpacing10.000/Annotations/7/myosin-1.0.json", annotation("myosin"))


def _version(run: Path) -> None:
    write(run / "Reconstructions/VoxelSpacing10.000/Annotations/7/actin-1.0.json", annotation("actin", "v2"))


def _mask(run: Path) -> None:
    path = run / "Reconstructions/VoxelSpacing10.000/Annotations/7/actin-1.0_segmentationmask.mrc"
    path.unlink()
    write_map(path, np.zeros((4, 5, 7), np.int8))


def _points(run: Path) -> None:
    path = run / "Reconstructions/VoxelSpacing10.000/Annotations/8/ribosome-1.0_point.ndjson"
    path.write_text('{"type": "point", "location": {"x": 5, "y": 4, "z": 40}}\n')


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (_slash, "run_name 'a/b': a name without slashes"),
        (_two_objects, "two objects with one name"),
        (_version, "version 'v2': a number expected"),
        (_mask, r"a mask of shape \(4, 5, 7\)"),
        (_points, "lies outside its tomogram"),
    ],
    ids=["slash", "two objects", "version", "mask", "points"],
)
def test_a_tree_that_contradicts_itself_is_refused(tree: Path, spoil: Callable[[Path], None], words: str) -> None:
    spoil(tree / "R1")
    with pytest.raises(FormatError, match=words):
        layouts.describe_tree(str(tree), "cryoet", "spoilt")


@pytest.mark.parametrize("document", ["[]", "7", "{", '{"frames": 5}', '{"annotation_object": []}', ""])
@pytest.mark.parametrize("name", ["dataset_metadata.json", "Frames/frames_metadata.json", "Annotations/x-1.json"])
def test_a_document_of_another_form_stops_nothing(tree: Path, name: str, document: str) -> None:
    path = tree / name if name.startswith("dataset") else tree / "R1/Reconstructions/VoxelSpacing10.000" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(document)
    assert unaccounted(tree, layouts.describe_tree(str(tree), "cryoet", "odd")) == set()


def test_an_empty_folder_and_a_tree_of_nothing_are_errors(tmp_path: Path) -> None:
    with pytest.raises(SourceMissingError, match=r"no file|found none"):
        layouts.describe_tree(str(tmp_path), "cryoet", "nothing")
    (tmp_path / "a.bin").write_bytes(b"")
    with pytest.raises(FormatError, match="no file that can be read"):
        layouts.describe_tree(str(tmp_path), "cryoet", "nothing")


def test_a_group_that_lost_its_metadata_is_named(tree: Path) -> None:
    broken = tree / "R1/Reconstructions/VoxelSpacing10.000/Tomograms/100/R1.zarr"
    (broken / "0").mkdir(parents=True)
    (broken / "0/0.0.0").write_bytes(b"voxels")
    described = layouts.describe_tree(str(tree), "cryoet", "broken")
    assert any(
        finding.startswith("R1/Reconstructions/VoxelSpacing10.000/Tomograms/100/R1.zarr: ")
        for finding in described.findings
    )
    assert unaccounted(tree, described) == set()
    shutil.rmtree(broken)
