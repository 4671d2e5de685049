"""`dagster asset materialize`, as CI calls it, and `em-assets fetch`, as `make demo` does."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from running_dagster import Home

from em_assets.datasets import demo_names

MATERIALIZE = ("dagster", "asset", "materialize", "-m", "em_assets.definitions", "--select", "*", "--partition")


def test_one_partition_of_everything_exits_0(home: Home) -> None:
    done = home.run(*MATERIALIZE, "epfl_hippocampus")
    assert done.returncode == 0, done.stderr[-3000:]
    assert (home.store / "catalog/METADATA_SUMMARY.md").exists()


def test_an_unknown_partition_exits_1_and_makes_nothing(home: Home) -> None:
    done = home.run(*MATERIALIZE, "no_such_dataset")
    assert done.returncode == 1
    assert not (home.store / "raw" / "no_such_dataset").exists()


def test_the_module_may_be_named_in_the_environment_instead(home: Home) -> None:
    """Dagster asks for `-m` here, whatever pyproject.toml says; the variable makes the short command work."""
    command = [argument for argument in MATERIALIZE if argument not in ("-m", "em_assets.definitions")]
    done = home.run("env", "DAGSTER_MODULE_NAME=em_assets.definitions", *command, "epfl_hippocampus")
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.fixture(scope="module")
def demo(home: Home) -> subprocess.CompletedProcess[str]:
    """What `make demo` prints."""
    return home.run("em-assets", "fetch", *demo_names())


# dataset, volumes, and words of each volume's row, as the README's first table shows them
ROWS = {
    "empiar_11759": (1, ["SBF-SEM", "16 × ", "50 × 7.998 × 7.998 nm", "uint8"]),
    "epfl_hippocampus": (1, ["FIB-SEM", "5 × 5 × 5 nm", "uint8"]),
    "hemibrain_ng": (1, ["FIB-SEM", "8 × 8 × 8 nm", "uint8"]),
    "jrc_mus_nacc_2": (1, ["FIB-SEM", "2.96 × 4 × 4 nm", "int16"]),
    "u2os_chromatin": (2, ["FIB-SEM", "20 × 20 × 20 nm", "uint8"]),
    "cryoet_10001": (2, ["cryo-ET", "1.348 × 1.348 × 1.348 nm"]),
    "visor_bb001": (4, ["light-sheet", "uint16"]),
}


@pytest.mark.parametrize("dataset", demo_names())
def test_the_demo_prints_what_each_dataset_is(demo: subprocess.CompletedProcess[str], dataset: str) -> None:
    assert demo.returncode == 0, demo.stderr[-3000:]
    n_volumes, words = ROWS[dataset]
    rows = [line for line in demo.stdout.split("Catalog\n")[1].splitlines() if line.startswith(f"{dataset} ")]
    assert len(rows) == n_volumes
    assert [word for row in rows for word in words if word not in row] == []


def test_the_demo_ends_with_a_page_of_all_volumes(demo: subprocess.CompletedProcess[str], home: Home) -> None:
    page = home.store / "catalog/index.html"
    assert f"page: {page}" in demo.stderr
    assert page.read_text().count("data:image/png;base64,") == sum(n for n, _ in ROWS.values())


def test_a_second_demo_fetches_nothing_and_says_so(home: Home, demo: subprocess.CompletedProcess[str]) -> None:
    again = home.run("em-assets", "fetch", *demo_names())
    assert again.returncode == 0
    assert "Nothing fetched" in again.stdout
    assert "written\n" not in again.stderr.replace("already written", "")


def test_the_store_of_the_demo_refuses_another_origin(home: Home, demo: subprocess.CompletedProcess[str]) -> None:
    done = subprocess.run(
        ["em-assets", "fetch", "epfl_hippocampus"],
        env=home.environment | {"EM_ASSETS_ORIGIN": "public"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "'sample'" in done.stderr
    assert "'public'" in done.stderr
    assert "EM_ASSETS_STORE" in done.stderr


def test_every_written_volume_is_valid_in_both_versions(
    home: Home, demo: subprocess.CompletedProcess[str], shared: Path
) -> None:
    older = home.run(
        "env",
        f"EM_ASSETS_STORE={home.folder}/store04",
        "EM_ASSETS_OME_ZARR=0.4",
        "em-assets",
        "fetch",
        *ROWS,
        "em_labels_sample",
    )
    assert older.returncode == 0, older.stderr[-3000:]
    groups = sorted(home.folder.glob("store*/volumes/*/*/latest"))
    assert len(groups) == 2 * sum(n for n, _ in ROWS.values()) + 2
    found = {str(group): _findings(shared, group) for group in groups}
    assert {group: said for group, said in found.items() if said} == {}


def test_questions_to_the_catalog_are_answered(home: Home, demo: subprocess.CompletedProcess[str]) -> None:
    sql = "SELECT DISTINCT dataset FROM volumes WHERE voxel_size_z_nm <> voxel_size_x_nm ORDER BY dataset"
    asked = home.run("em-assets", "query", sql, "--json")
    assert json.loads(asked.stdout) == [{"dataset": name} for name in ("empiar_11759", "jrc_mus_nacc_2", "visor_bb001")]
    view = home.run("em-assets", "query", "SELECT DISTINCT dataset FROM anisotropic_volumes", "--json")
    assert sorted(view.stdout) == sorted(asked.stdout)


def test_every_tag_whose_path_contains_thickness_is_found(home: Home, demo: subprocess.CompletedProcess[str]) -> None:
    sql = "SELECT DISTINCT path, value FROM tags WHERE path ILIKE '%thickness%' ORDER BY path"
    asked = json.loads(home.run("em-assets", "query", sql, "--json").stdout)
    found = {(row["path"].rpartition("ImageTags.")[2], row["value"]) for row in asked}
    assert ("SBFSEM.Record.Slice thickness", "50.0") in found
    assert ("SBFSEM.Approach.Slice thickness", "200.0") in found


def test_the_catalog_is_written_as_json_too(home: Home, demo: subprocess.CompletedProcess[str]) -> None:
    folder = home.store / "catalog"
    categories = json.loads((folder / "consolidated_metadata.json").read_text())
    report = json.loads((folder / "metadata_consolidated_report.json").read_text())
    assert categories["summary"]["datasets_processed"] == len(ROWS)
    assert report["resolution_analysis"]["anisotropic_datasets"] == ["empiar_11759", "jrc_mus_nacc_2", "visor_bb001"]
    assert report["technique_groups"]["FIB-SEM"]["count"] == 4
    assert report["organism_groups"]["Mus musculus"]["count"] >= 2


def _findings(shared: Path, group: Path) -> str:
    validator = shared / "tools/validators/validate_ngff.py"
    done = subprocess.run(
        [sys.executable, validator, str(group)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
    )
    return "" if done.returncode == 0 else done.stdout + done.stderr
