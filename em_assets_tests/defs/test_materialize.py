"""`dagster asset materialize`, as CI calls it, and `em-assets fetch`, as `make demo` does."""

import contextlib
import io
import json
import re
import runpy
import subprocess
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from running_dagster import Home
from sharing import Demo, copied

from em_assets.cli import main
from em_assets.datasets import demo_names

MATERIALIZE = ("dagster", "asset", "materialize", "-m", "em_assets.definitions", "--select", "*", "--partition")
NO_HOME = ("env", "-u", "DAGSTER_HOME")
"""Runs that are forgotten take two thirds of the time: for what the store says, and not the instance's history."""


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
    command = ("dagster", "asset", "materialize", "--select", "raw_files", "--partition", "epfl_hippocampus")
    done = home.run("env", "DAGSTER_MODULE_NAME=em_assets.definitions", *command)
    assert done.returncode == 0, done.stderr[-3000:]
    assert home.run(*command).returncode != 0


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
def test_the_demo_prints_what_each_dataset_is(demo: Demo, dataset: str) -> None:
    n_volumes, words = ROWS[dataset]
    rows = [line for line in demo.stdout.split("Catalog\n")[1].splitlines() if line.startswith(f"{dataset} ")]
    assert len(rows) == n_volumes
    assert [word for row in rows for word in words if word not in row] == []


def test_the_demo_ends_with_a_page_of_all_volumes(demo: Demo) -> None:
    page = demo.store / "catalog/index.html"
    assert f"page: {page}" in demo.stderr
    assert page.read_text().count("data:image/png;base64,") == sum(n for n, _ in ROWS.values())


def test_a_second_demo_fetches_nothing_and_says_so(demo: Demo, tmp_path: Path) -> None:
    """Slices over FTP, a box that was cut out, a tomogram in a bucket; of all the others the next test says so too."""
    copied(demo.store, Home(tmp_path).store)
    again = Home(tmp_path).run(*NO_HOME, "em-assets", "fetch", "empiar_11759", "hemibrain_ng", "cryoet_10001")
    assert again.returncode == 0
    assert "Nothing fetched" in again.stdout
    assert "written\n" not in again.stderr.replace("already written", "")


def test_the_store_of_the_demo_refuses_another_origin(demo: Demo) -> None:
    done = subprocess.run(
        ["em-assets", "fetch", "epfl_hippocampus"],
        env=Home(demo.folder).environment | {"EM_ASSETS_ORIGIN": "public"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "'sample'" in done.stderr
    assert "'public'" in done.stderr
    assert "EM_ASSETS_STORE" in done.stderr


def test_every_written_volume_is_valid_in_both_versions(demo: Demo, shared: Path, tmp_path: Path) -> None:
    older = Home(tmp_path)
    copied(demo.store, older.store)
    done = older.run(*NO_HOME, "EM_ASSETS_OME_ZARR=0.4", "em-assets", "fetch", *ROWS, "em_labels_sample")
    assert done.returncode == 0, done.stderr[-3000:]
    assert len(re.findall("raw_files: 0 files fetched", done.stderr)) == len(ROWS)
    groups = [group for store in (demo.store, older.store) for group in sorted(store.glob("volumes/*/*/latest"))]
    assert len(groups) == 2 * sum(n for n, _ in ROWS.values()) + 2
    versions = [(group / "zarr.json").exists() for group in groups]
    assert versions.count(True) == sum(n for n, _ in ROWS.values())  # 0.5, and the others 0.4
    found = {str(group): said for group in groups if (said := _findings(shared, group))}
    assert found == {}


def asked(demo: Demo, sql: str) -> list[dict[str, Any]]:
    """Rows that the demo's catalog gives for a question."""
    done = CliRunner().invoke(main, ["query", sql, "--json"], env={"EM_ASSETS_STORE": str(demo.store)})
    assert done.exit_code == 0, done.output
    rows: list[dict[str, Any]] = json.loads(done.stdout)
    return rows


def test_questions_to_the_catalog_are_answered(demo: Demo) -> None:
    sql = "SELECT DISTINCT dataset FROM volumes WHERE voxel_size_z_nm <> voxel_size_x_nm ORDER BY dataset"
    found = asked(demo, sql)
    assert found == [{"dataset": name} for name in ("empiar_11759", "jrc_mus_nacc_2", "visor_bb001")]
    assert asked(demo, "SELECT DISTINCT dataset FROM anisotropic_volumes ORDER BY dataset") == found


def test_every_tag_whose_path_contains_thickness_is_found(demo: Demo) -> None:
    sql = "SELECT DISTINCT path, value FROM tags WHERE path ILIKE '%thickness%' ORDER BY path"
    found = {(row["path"].rpartition("ImageTags.")[2], row["value"]) for row in asked(demo, sql)}
    assert ("SBFSEM.Record.Slice thickness", "50.0") in found
    assert ("SBFSEM.Approach.Slice thickness", "200.0") in found


def test_the_catalog_is_written_as_json_too(demo: Demo) -> None:
    folder = demo.store / "catalog"
    categories = json.loads((folder / "consolidated_metadata.json").read_text())
    report = json.loads((folder / "metadata_consolidated_report.json").read_text())
    assert categories["summary"]["datasets_processed"] == len(ROWS)
    assert report["resolution_analysis"]["anisotropic_datasets"] == ["empiar_11759", "jrc_mus_nacc_2", "visor_bb001"]
    assert report["technique_groups"]["FIB-SEM"]["count"] == 4
    assert report["organism_groups"]["Mus musculus"]["count"] >= 2


def _findings(shared: Path, group: Path) -> str:
    """What the validator prints of a group that it finds something wrong with, else nothing."""
    validate = runpy.run_path(str(shared / "tools/validators/validate_ngff.py"))["main"]
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        return printed.getvalue() if validate([str(group)]) else ""
