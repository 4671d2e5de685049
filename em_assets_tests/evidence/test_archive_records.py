"""The real archive records: their claims, and where they disagree with the files."""

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from em_assets.datasets import Dataset
from em_assets.datasets.opening import RawVolume
from em_assets.evidence import claims_of, findings, resolve
from em_assets.formats import FORMATS
from em_assets.formats.volume import UNKNOWN_VOXEL_SIZE, SourceLevel, SourceVolume
from em_assets.model import ZYX, Conflict, Source, Statement, Witness
from em_assets.sources.archives import ARCHIVES, ArchiveWitness

RECORDS = [
    ("empiar", "empiar/EMPIAR-11759.json", 15),
    ("idr", "idr/idr0086-study.txt", 5),
    ("idr", "idr/idr0086-experimentD-annotation.csv", 10),
    ("openorganelle", "openorganelle/jrc_hela-2.metadata.json", 5),
    ("openorganelle", "openorganelle/jrc_mus-liver.metadata.json", 5),
    ("openorganelle", "openorganelle/jrc_hela-2.manifest.json", 5),
    ("openorganelle", "openorganelle/jrc_mus-liver.manifest.json", 5),
]


def a_volume(name: str, files: Iterable[str], shape_zyx: ZYX) -> RawVolume:
    level = SourceLevel(shape_zyx, UNKNOWN_VOXEL_SIZE, read_box=lambda _, shape: np.ones(shape, np.uint8))
    return RawVolume(
        name, "em", None, SourceVolume(name, "dm", np.dtype("uint8"), (level,), tuple(files)), None, None, 1
    )


def a_dataset() -> Dataset:
    return Dataset(name="stack", title="A stack", sources=(Source(url="https://example.org/data/"),))


@pytest.mark.parametrize(("archive", "path", "at_least"), RECORDS, ids=[path for _, path, _ in RECORDS])
def test_every_record_yields_claims_of_its_archive(archive: str, path: str, at_least: int, shared: Path) -> None:
    said = list(ARCHIVES[archive].witnesses(path, (shared / "data/archives" / path).read_bytes()))
    claims = claims_of(a_dataset(), [], [], "public", archive_witnesses=[(path, said)])
    of_archive = [claim for claim in claims if claim.kind == "archive"]
    assert len(of_archive) >= at_least
    assert {claim.said_by for claim in of_archive} == {path}


@pytest.fixture
def slices(shared: Path) -> list[tuple[str, list[Witness]]]:
    paths = sorted((shared / "data/mirror_s005/empiar").rglob("*.dm3"))
    return [(path.name, list(FORMATS["dm"].witnesses(list(FORMATS["dm"].read_tags(str(path)))))) for path in paths]


@pytest.fixture
def conflicts(shared: Path, slices: list[tuple[str, list[Witness]]]) -> list[Conflict]:
    """What the archive says of the sixteen slices against what these say, at their real size."""
    path = shared / "data/archives/empiar/EMPIAR-11759.json"
    said = list(ARCHIVES["empiar"].witnesses(path.name, path.read_bytes()))
    volume = a_volume("em", [name for name, _ in slices], (16, 5500, 5496))
    claims = claims_of(a_dataset(), slices, [volume], "public", archive_witnesses=[("api", said)])
    assert {finding.claim.field for finding in findings(claims)} == {"voxel_size_y_nm", "voxel_size_x_nm"}
    return resolve(a_dataset(), [volume], claims, "public")[1]


def test_each_conflict_of_the_archive_with_the_files_is_found_with_its_cause(conflicts: list[Conflict]) -> None:
    found = {(one.field, json.dumps(one.other_value)): str(one.cause) for one in conflicts}
    assert found["shape_zyx", "[16, 5632, 5628]"].startswith("another image size")
    assert found["voxel_size_x_nm", "80.0"] == found["voxel_size_y_nm", "80.0"] == "ångström read as nanometre"
    assert found["instrument", '"FEI Magellan400"'].startswith("two names")
    assert found["working_distance_mm", "5591.26"] == "micrometre read as millimetre"
    assert {field for field, _ in found} == {
        "shape_zyx", "voxel_size_x_nm", "voxel_size_y_nm", "instrument", "working_distance_mm",
    }  # fmt: skip


def test_a_conflict_carries_both_kinds_the_factor_and_the_verdict(conflicts: list[Conflict]) -> None:
    (pixel,) = [one for one in conflicts if one.field == "voxel_size_x_nm"]
    assert (pixel.kind, pixel.other_kind, pixel.unit, pixel.is_settled) == ("file", "archive", "nm", True)
    assert pixel.factor == pytest.approx(10, rel=1e-3)
    assert "no unit" in pixel.rule


def test_an_archives_number_without_a_unit_decides_nothing(shared: Path) -> None:
    path = shared / "data/archives/empiar/EMPIAR-11759.json"
    said = [one for one in ARCHIVES["empiar"].witnesses(path.name, path.read_bytes()) if "pixel" in one.locator]
    volume = a_volume("em", ["a.dm3"], (16, 5500, 5496))
    claims = claims_of(a_dataset(), [], [volume], "public", archive_witnesses=[("api", said)])
    (record,), _ = resolve(a_dataset(), [volume], claims, "public")
    assert record.voxel_size_zyx_nm == (None, None, None)


def test_a_statement_that_repeats_a_record_is_no_second_witness() -> None:
    """`em-assets add` writes what a record says into the dataset's file, and the record is read as well."""
    page = "https://archive.example.org/entry/1"
    repeated = [Statement(field="technique", value=word, at=f"{page} (/technique)") for word in ("TEM", "SEM")]
    dataset = a_dataset().model_copy(update={"says": tuple(repeated)})
    said = [ArchiveWitness(None, "technique", "TEM", None, "/technique", "TEM")]
    claims = claims_of(dataset, [], [], "public", archive_witnesses=[(page, said)])
    assert [(claim.kind, claim.value) for claim in claims if claim.field == "technique"] == [
        ("archive", "TEM"),
        ("publisher", "SEM"),  # what the page said when the file was written, and says no more
    ]
