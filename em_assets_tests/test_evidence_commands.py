"""`em-assets show`, `conflicts` and `audit`: every value with its witness, the unknown counted, exit codes as said."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from em_assets.catalog import schemas
from em_assets.catalog.fields import fields_table
from em_assets.catalog.tables import claims_table, conflicts_table, record_table, write_table
from em_assets.cli import main
from em_assets.evidence import Resolution
from em_assets.evidence.fields import FIELDS
from em_assets.model import Claim, Conflict, VolumeRecord
from em_assets.sources.manifest import write_manifest

DATASET = "epfl_hippocampus"
PAGE = "https://www.epfl.ch/labs/cvlab/data/data-em/"


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store that knows of one dataset: its technique, which somebody disputes, and nothing else."""
    claim = Claim(
        dataset=DATASET,
        volume=None,
        field="technique",
        value="FIB-SEM",
        kind="publisher",
        said_by=PAGE,
        locator="says.0",
        raw="FIB-SEM",
        origin="public",
    )
    conflict = Conflict(
        dataset=DATASET,
        volume=None,
        field="technique",
        value="FIB-SEM",
        said_by=PAGE,
        other_value="TEM",
        other_said_by="a list of datasets",
        is_settled=True,
        rule="publisher before recorded",
    )
    decided = Resolution(
        dataset=DATASET,
        volume="em",
        field="technique",
        value="FIB-SEM",
        claim=claim,
        rule="archive > publisher",
        n_agree=1,
        n_disagree=1,
        conflicts=(conflict,),
    )
    record = VolumeRecord(
        dataset=DATASET, volume="em", origin="public", technique="FIB-SEM", shape_zyx=(10, 20, 30), dtype="uint8"
    )
    store, folder = tmp_path / "store", tmp_path / "store" / "metadata" / DATASET
    (store / "raw" / DATASET).mkdir(parents=True)
    write_manifest(store / "raw" / DATASET, [], "f00d")
    write_table(record_table([record]), folder / "record.parquet", schemas.RECORD)
    write_table(claims_table([claim]), folder / "claims.parquet", schemas.CLAIMS)
    write_table(conflicts_table([conflict]), folder / "conflicts.parquet", schemas.CONFLICTS)
    write_table(fields_table(DATASET, ["em"], [decided]), folder / "fields.parquet", schemas.FIELDS)
    monkeypatch.setenv("EM_ASSETS_STORE", str(store))
    monkeypatch.delenv("EM_ASSETS_ORIGIN", raising=False)
    return store


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments, catch_exceptions=False)


def test_show_names_the_witness_of_each_value(store: Path) -> None:
    lines = run("show", DATASET).stdout.splitlines()
    (technique,) = [line for line in lines if line.startswith("technique ") and "archive > publisher" in line]
    assert technique.split()[:3] == ["technique", "FIB-SEM", PAGE]
    assert technique.split()[-2:] == ["1", "1"]


def test_show_lists_what_is_unknown_and_counts_it(store: Path) -> None:
    (unknown,) = [line for line in run("show", DATASET).stdout.splitlines() if " unknown: " in line]
    assert unknown.startswith(f"{len(FIELDS) - 1} unknown: ")
    assert "voxel_size_z_nm" in unknown


def test_show_ends_with_the_conflicts(store: Path) -> None:
    printed = run("show", DATASET).stdout
    assert "1 conflict\n" in printed
    assert "a list of datasets" in printed


def test_show_as_json_keeps_its_keys_and_adds_the_witnesses(store: Path) -> None:
    shown = json.loads(run("show", DATASET, "--json").stdout)
    (volume,) = shown["volumes"]
    assert shown["dataset"] == DATASET
    assert volume["shape_zyx"] == [10, 20, 30]
    assert volume.keys() >= {"volume", "voxel_size_zyx_nm", "dtype", "technique", "url"}
    (known,) = [row for row in volume["fields"] if not row["is_unknown"]]
    assert (known["field"], known["value"], known["said_by"], known["n_agree"]) == ("technique", "FIB-SEM", PAGE, 1)
    assert [row["other_value"] for row in shown["conflicts"]] == ["TEM"]


def test_a_dataset_that_is_not_fetched_says_so(store: Path) -> None:
    done = run("show", "empiar_11759")
    assert (done.exit_code, "not fetched yet" in done.stderr) == (0, True)


@pytest.mark.parametrize(("arguments", "code"), [([], 0), (["--strict"], 1)], ids=["lenient", "strict"])
@pytest.mark.parametrize("dataset", [[], [DATASET]], ids=["all", "one"])
def test_conflicts_exit_1_when_strict(store: Path, dataset: list[str], arguments: list[str], code: int) -> None:
    done = run("conflicts", *dataset, "--json", *arguments)
    (row,) = json.loads(done.stdout)
    assert (row["value"], row["other_value"], row["is_settled"]) == ("FIB-SEM", "TEM", True)
    assert done.exit_code == code


def test_conflicts_of_what_is_not_held_is_wrong_usage(store: Path) -> None:
    done = run("conflicts", "empiar_11759")
    assert done.exit_code == 2
    assert "em-assets fetch empiar_11759" in done.stderr


def test_conflicts_are_one_line_each(store: Path) -> None:
    lines = run("conflicts").stdout.splitlines()
    assert lines[0].split()[:5] == ["dataset", "volume", "field", "value", "said_by"]
    assert [line.split()[2] for line in lines[2:] if line] == ["technique"]


def audited(tmp_path: Path, claims: object, *arguments: str) -> Result:
    path = tmp_path / "claims.json"
    path.write_text(claims if isinstance(claims, str) else json.dumps(claims))
    return run("audit", str(path), *arguments)


def test_an_audit_answers_with_the_same_list_and_more(store: Path, tmp_path: Path) -> None:
    given = [
        {"dataset": DATASET, "field": "technique", "value": "TEM", "unit": None, "said_by": "S1", "row": 1},
        {"dataset": DATASET, "field": "technique", "value": "FIB-SEM", "unit": None, "said_by": "S0", "row": 2},
        {"dataset": DATASET, "field": "favourite_colour", "value": "red", "unit": None, "said_by": "S0", "row": 3},
    ]
    done = audited(tmp_path, given, "--json")
    judged: list[dict[str, Any]] = json.loads(done.stdout)
    assert done.exit_code == 0
    assert [{key: row[key] for key in given[0]} for row in judged] == given
    assert [row["verdict"] for row in judged] == ["fails", "holds", "unknown"]
    assert all(row.keys() >= {"true_value", "witness", "cause"} for row in judged)
    assert judged[0]["true_value"] == "FIB-SEM"


@pytest.mark.parametrize(("value", "code"), [("TEM", 1), ("FIB-SEM", 0)])
def test_a_strict_audit_exits_1_when_a_claim_fails(store: Path, tmp_path: Path, value: str, code: int) -> None:
    claim = {"dataset": DATASET, "field": "technique", "value": value, "unit": None, "said_by": "S1"}
    assert audited(tmp_path, [claim], "--strict").exit_code == code
    assert audited(tmp_path, [claim]).exit_code == 0


def test_an_audit_needs_no_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EM_ASSETS_STORE", str(tmp_path / "nothing"))
    monkeypatch.delenv("EM_ASSETS_ORIGIN", raising=False)
    done = audited(tmp_path, [{"dataset": DATASET, "field": "technique", "value": "TEM"}])
    assert "1 fails" in done.stdout
    assert not (tmp_path / "nothing").exists()


@pytest.mark.parametrize(
    ("claims", "words"),
    [
        ("technique: TEM", "not JSON"),
        ("", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ('[{"dataset": "a", "field": "b", "value": NaN}]', "NaN"),
        ('[{"dataset": "a", "field": "b", "value": 1e999}]', "1e999"),
        ({"dataset": "a", "field": "b", "value": 1}, "a list of claims expected, found an object"),
        (["TEM"], "claim 0: an object expected, found text"),
        ([{"dataset": "a", "field": "b", "value": 1}, {"dataset": "a", "value": 1}], "claim 1: no field"),
        ([{"dataset": "a", "field": 7, "value": 1}], "claim 0: field: text expected, found 7"),
        ([{"dataset": "a", "field": "b", "value": 1, "unit": 8}], "claim 0: unit: text expected, found 8"),
    ],
    ids=["text", "empty", "deep", "NaN", "infinite", "object", "list of text", "no field", "field", "unit"],
)
def test_a_bad_file_of_claims_is_wrong_usage_in_one_line(
    store: Path, tmp_path: Path, claims: object, words: str
) -> None:
    done = audited(tmp_path, claims)
    assert done.exit_code == 2
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_missing_file_of_claims_is_wrong_usage(store: Path, tmp_path: Path) -> None:
    done = run("audit", str(tmp_path / "none.json"))
    assert (done.exit_code, "cannot be read" in done.stderr) == (2, True)


def test_a_file_that_is_not_utf_8_is_wrong_usage(store: Path, tmp_path: Path) -> None:
    (tmp_path / "latin.json").write_bytes('[{"dataset": "é"}]'.encode("latin-1"))
    done = run("audit", str(tmp_path / "latin.json"))
    assert (done.exit_code, "not JSON" in done.stderr) == (2, True)
