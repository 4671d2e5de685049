"""The JSON documents count datasets, name files, and say what was found in sentences."""

import json
from dataclasses import replace
from typing import Any

import pytest

from em_assets.catalog.consolidate import DatasetPart, consolidate
from em_assets.catalog.isotropy import anisotropy, is_isotropic
from em_assets.catalog.report import as_json, consolidated_metadata, consolidated_report


@pytest.fixture
def report(zebrafish: DatasetPart, cell: DatasetPart) -> dict[str, Any]:
    return consolidated_report(consolidate({"zebrafish": zebrafish, "cell": cell}))


def test_the_slices_of_one_dataset_are_one_dataset(zebrafish: DatasetPart, cell: DatasetPart) -> None:
    """Another tool counted files: a category of sixteen slices was "in multiple datasets"."""
    document = consolidated_metadata(consolidate({"zebrafish": zebrafish, "cell": cell}))
    assert document["categories_in_multiple_datasets"] == []
    of_zebrafish = document["categories_unique_to_single_datasets"]["zebrafish"]
    assert (of_zebrafish["count"], of_zebrafish["examples"]) == (2, ["ImageList", "Session Info"])
    assert of_zebrafish["categories"][0]["present_in_files"] == ["zebrafish/slice_0000.dm3", "zebrafish/slice_0001.dm3"]


def test_a_category_of_two_datasets_names_both_and_their_files(zebrafish: DatasetPart) -> None:
    tags_alone = replace(zebrafish, record=None)
    document = consolidated_metadata(consolidate({"a": tags_alone, "b": tags_alone}))
    shared = document["categories_in_multiple_datasets"][0]
    assert (shared["category_name"], shared["n_datasets"]) == ("ImageList", 2)
    assert shared["present_in_datasets"] == ["a", "b"]
    assert len(shared["present_in_files"]) == 4
    assert document["summary"] == {
        "datasets_processed": 2,
        "files_processed": 4,
        "total_categories_found": 2,
        "categories_in_multiple_datasets": 2,
        "categories_unique_to_single_datasets": 0,
    }


def test_the_well_known_keys_are_there(shared: Any, zebrafish: DatasetPart, cell: DatasetPart) -> None:
    known = json.loads((shared / "golden/docs/consolidated_metadata.json").read_text())
    ours = consolidated_metadata(consolidate({"zebrafish": zebrafish, "a": replace(zebrafish, record=None)}))
    assert known.keys() == ours.keys()
    assert known["summary"].keys() <= ours["summary"].keys()
    theirs, mine = known["categories_in_multiple_datasets"][0], ours["categories_in_multiple_datasets"][0]
    assert theirs.keys() <= mine.keys()


def test_isotropic_datasets_are_told_from_the_others(report: dict[str, Any]) -> None:
    analysis = report["resolution_analysis"]
    assert analysis["isotropic_datasets"] == ["cell"]
    assert analysis["anisotropic_datasets"] == ["zebrafish"]
    (volume,) = [row for row in analysis["volumes"] if row["dataset"] == "zebrafish"]
    assert volume["is_isotropic"] is False
    assert volume["anisotropy"] == pytest.approx(6.2514, abs=1e-4)


def test_datasets_are_grouped_and_the_unknown_are_a_group(report: dict[str, Any]) -> None:
    assert report["technique_groups"]["FIB-SEM"] == {"count": 1, "datasets": ["cell"]}
    assert report["organism_groups"] == {
        "Danio rerio": {"count": 1, "datasets": ["zebrafish"]},
        "unknown": {"count": 1, "datasets": ["cell"]},
    }
    assert report["licence_groups"]["unknown"]["count"] >= 1
    assert any(finding.startswith("Licences: ") for finding in report["summary"]["key_findings"])


def test_fields_count_who_knows_them(report: dict[str, Any]) -> None:
    of_z = {"n_known": 1, "n_unknown": 0, "n_disputed": 0, "n_conflicts": 1}
    assert report["fields"]["voxel_size_z_nm"] == of_z
    assert report["fields"]["licence"]["n_unknown"] == 1


def test_the_findings_are_sentences(report: dict[str, Any]) -> None:
    findings = report["summary"]["key_findings"]
    assert findings[0].startswith("The origin is sample")
    assert "1 of 2 datasets is isotropic (cell)." in findings
    assert "The most anisotropic volume is zebrafish / em: 50 × 7.998 × 7.998 nm (z × y × x), 6.25 to 1." in findings
    assert "1 conflict between sources, 0 of them unsettled." in findings


def test_the_table_has_a_row_a_volume(report: dict[str, Any]) -> None:
    assert [(row["dataset"], row["volume"]) for row in report["table"]] == [
        ("cell", "xy"),
        ("cell", "xz"),
        ("zebrafish", "em"),
    ]
    assert report["table"][0]["shape_zyx"] == [184, 775, 1121]


def test_the_same_catalog_gives_the_same_text(zebrafish: DatasetPart, cell: DatasetPart) -> None:
    one = consolidate({"zebrafish": zebrafish, "cell": cell})
    other = consolidate({"cell": cell, "zebrafish": zebrafish})
    assert as_json(consolidated_report(one)) == as_json(consolidated_report(other))
    assert as_json(consolidated_metadata(one)) == as_json(consolidated_metadata(other))


def test_an_empty_catalog_has_a_report() -> None:
    assert consolidated_report(consolidate({}))["summary"]["key_findings"] == ["There is no dataset yet."]
    assert consolidated_metadata(consolidate({}))["summary"]["total_categories_found"] == 0


@pytest.mark.parametrize(
    ("voxel_size_zyx_nm", "ratio", "is_cube"),
    [
        ((8.0, 8.0, 8.0), 1.0, True),
        ((8.0, 7.998, 7.998), 8 / 7.998, True),
        ((2.96, 4.0, 4.0), 4 / 2.96, False),
        ((None, 4.0, 4.0), None, None),
        ((None, None, None), None, None),
    ],
    ids=str,
)
def test_a_voxel_is_a_cube_within_its_calibration(
    voxel_size_zyx_nm: tuple[float | None, ...], ratio: float | None, is_cube: bool | None
) -> None:
    assert anisotropy(voxel_size_zyx_nm) == ratio
    assert is_isotropic(voxel_size_zyx_nm) is is_cube
