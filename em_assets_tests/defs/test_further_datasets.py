"""The datasets beside the demo's: each is listed, and made of its look-alike over the real protocols."""

import json
import subprocess

import pytest
from click.testing import CliRunner
from running_dagster import Home

from em_assets.cli import main
from em_assets.datasets import builtin_names, demo_names

# dataset, volumes, and words of each volume's row
ROWS = {
    "cremi_a": (3, ["ssTEM", "24 × 120 × 128", "40 × 4 × 4 nm"]),
    "epfl_mitochondria": (4, ["FIB-SEM", "32 × 96 × 128", "5 × 5 × 5 nm", "uint8"]),
    "fafb_v14": (1, ["unknown", "em", "40 × 16 × 16 nm", "uint8"]),
    "h01": (1, ["unknown", "em", "33 × 4 × 4 nm", "uint8"]),
    "jrc_hela_2": (1, ["FIB-SEM", "em", "5.24 × 4 × 4 nm", "uint16"]),
    "jrc_mus_liver": (1, ["FIB-SEM", "em", "8 × 8 × 8 nm", "uint8"]),
    "manc": (1, ["unknown", "em", "8 × 8 × 8 nm", "uint8"]),
    "minnie65": (1, ["unknown", "em", "40 × 8 × 8 nm", "uint8"]),
    "platynereis_sbem": (1, ["SBF-SEM", "em", "unknown", "uint8"]),
    "zebrafinch_j0126": (1, ["unknown", "em", "20 × 10 × 10 nm", "uint8"]),
}


@pytest.fixture(scope="module")
def fetched(home: Home) -> subprocess.CompletedProcess[str]:
    """What fetching all of them prints; of the runs nothing is asked later, so they are forgotten."""
    return home.run("env", "-u", "DAGSTER_HOME", "em-assets", "fetch", *ROWS)


def told(home: Home, *arguments: str) -> list[dict[str, object]]:
    """What a command prints of the store as JSON."""
    named = {"EM_ASSETS_STORE": str(home.store), "EM_ASSETS_ORIGIN": "sample"}
    done = CliRunner().invoke(main, [*arguments, "--json"], env=named)
    assert done.exit_code == 0, done.output
    answer: list[dict[str, object]] = json.loads(done.stdout)
    return answer


def asked(home: Home, sql: str) -> list[dict[str, object]]:
    return told(home, "query", sql)


def test_these_are_all_beside_the_demos() -> None:
    assert set(ROWS) == set(builtin_names()) - set(demo_names())


@pytest.mark.parametrize("dataset", ROWS)
def test_each_is_made_of_its_look_alike(fetched: subprocess.CompletedProcess[str], dataset: str) -> None:
    assert fetched.returncode == 0, fetched.stderr[-3000:] + fetched.stdout[-3000:]
    n_volumes, words = ROWS[dataset]
    rows = [line for line in fetched.stdout.split("Catalog\n")[1].splitlines() if line.startswith(f"{dataset} ")]
    assert len(rows) == n_volumes
    assert [word for row in rows for word in words if word not in row] == []


def test_nobody_contradicts_anybody_and_nothing_unconfirmed_is_known(
    home: Home, fetched: subprocess.CompletedProcess[str]
) -> None:
    assert asked(home, "SELECT dataset, field, value, other_value FROM conflicts") == []
    unknown = asked(home, "SELECT DISTINCT dataset, field FROM unknown_fields WHERE field IN ('technique', 'licence')")
    of = {field: {row["dataset"] for row in unknown if row["field"] == field} for field in ("technique", "licence")}
    assert of["technique"] == {"fafb_v14", "h01", "manc", "minnie65", "zebrafinch_j0126"}
    assert of["licence"] == set(ROWS)


def test_who_says_the_voxel_size_is_the_file_or_else_the_publisher_and_never_other_peoples_code(
    home: Home, fetched: subprocess.CompletedProcess[str]
) -> None:
    sql = "SELECT dataset, kind, said_by, locator FROM fields WHERE field = 'voxel_size_z_nm' ORDER BY ALL"
    said = {row["dataset"]: row for row in asked(home, sql)}
    assert {name for name, row in said.items() if row["kind"] == "publisher"} == {"epfl_mitochondria"}
    assert set(ROWS) - {name for name, row in said.items() if row["kind"]} == {"platynereis_sbem"}
    sql = "SELECT DISTINCT dataset FROM claims WHERE said_by LIKE '%second-hand%' OR said_by LIKE '%public code%'"
    assert {row["dataset"] for row in asked(home, sql)} & set(ROWS) == set()
    assert (said["cremi_a"]["said_by"], said["cremi_a"]["locator"]) == (
        "sample_A_20160501.hdf",
        "volumes/raw resolution",
    )


def test_labels_name_what_they_label(home: Home, fetched: subprocess.CompletedProcess[str]) -> None:
    sql = "SELECT dataset, volume, labels_of FROM volumes WHERE labels_of IS NOT NULL ORDER BY ALL"
    assert [tuple(row.values()) for row in asked(home, sql)] == [
        ("cremi_a", "clefts", "raw"),
        ("cremi_a", "neuron_ids", "raw"),
        ("epfl_mitochondria", "testing_groundtruth", "testing"),
        ("epfl_mitochondria", "training_groundtruth", "training"),
    ]


def test_fafb_is_cut_from_its_third_resolution_and_the_placeholders_say_nothing_of_it(
    home: Home, fetched: subprocess.CompletedProcess[str]
) -> None:
    crop = json.loads((home.store / "raw/fafb_v14/files/crop.zarr/zarr.json").read_text())["attributes"]
    cut = crop["em_assets_cutout"]
    assert (cut["level"], cut["scale_key"], cut["source_n_levels"]) == (2, "16_16_40", 5)
    sql = "SELECT value FROM claims WHERE dataset = 'fafb_v14' AND field = 'voxel_size_x_nm' AND kind = 'file'"
    assert [float(str(row["value"])) for row in asked(home, sql)] == [16.0]


def test_all_of_them_are_listed(home: Home, fetched: subprocess.CompletedProcess[str]) -> None:
    listed = told(home, "list")
    assert set(ROWS) < {row["dataset"] if "dataset" in row else row["name"] for row in listed}
