"""A person clicks Materialize; the daemon watches the sources. Real browser, webserver, daemon, servers and files."""

import hashlib
import subprocess
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from browsing import chromium
from running_dagster import BIN, REPOSITORY, Dagster, Home, dagster_dev, wait_until

from em_assets.sources import read_manifest

if TYPE_CHECKING:
    from playwright.sync_api import Page

RUN_S = 120

EPFL_FOLDER = "sample_sources/http/documents.epfl.ch/groups/c/cv/cvlab-unit/www/data"
EPFL = f"{EPFL_FOLDER}/ ElectronMicroscopy_Hippocampus/volumedata.tif"


@pytest.fixture(scope="module")
def dagster(home: Home) -> Iterator[Dagster]:
    """A running Dagster, and a dataset that was fetched while it started."""
    command, nowhere = [BIN / "em-assets", "fetch", "jrc_mus_nacc_2"], subprocess.DEVNULL
    with (
        subprocess.Popen(command, cwd=REPOSITORY, env=home.environment, stdout=nowhere, stderr=nowhere) as fetching,
        dagster_dev(home) as running,
    ):
        assert fetching.wait(timeout=RUN_S) == 0
        yield running


@pytest.fixture(scope="module")
def browser_page() -> "Iterator[Page]":
    """A page of a real Chromium."""
    with chromium("--disable-gpu") as browser:
        yield browser.new_page(viewport={"width": 1500, "height": 900})


@pytest.mark.browser
def test_a_click_on_materialize_builds_one_dataset(dagster: Dagster, browser_page: "Page") -> None:
    page = browser_page
    page.goto(f"{dagster.url}/locations/em_assets.definitions/jobs/build_dataset")
    page.get_by_text("Materialize all").click()
    page.get_by_text("Select a partition or create one").click()
    page.get_by_placeholder("Filter partitions").fill("epfl")
    page.get_by_text("epfl_hippocampus", exact=True).first.click(force=True)
    page.get_by_role("button", name="Launch 1 run").click()
    page.get_by_text("Launched run").wait_for(timeout=30_000)
    wait_until(lambda: dagster.runs()[-1:] == [("epfl_hippocampus", "SUCCESS")], "the clicked run succeeds", RUN_S)
    page.goto(f"{dagster.url}/runs")
    page.get_by_text("Success").first.wait_for(timeout=30_000)
    assert "epfl_hippocampus" in page.inner_text("body")
    assert (dagster.home.store / "volumes/epfl_hippocampus/em/latest/zarr.json").exists()


def test_what_a_command_fetched_stands_among_the_runs_of_its_job(dagster: Dagster) -> None:
    """Dagster looks there for runs of its code location, which a run in a process of one's own does not name itself."""
    job = '{pipelineName: "build_dataset", repositoryName: "__repository__", '
    job += 'repositoryLocationName: "em_assets.definitions"}'
    found = dagster.ask(f"{{pipelineOrError(params: {job}) {{... on Pipeline {{runs {{tags {{key value}}}}}}}}}}")
    partitions = [tag["value"] for run in found["pipelineOrError"]["runs"] for tag in run["tags"]]
    assert "jrc_mus_nacc_2" in partitions


def test_the_daemon_follows_a_change_and_its_reversal_and_nothing_else(dagster: Dagster) -> None:
    """Two datasets are held; one source changes, changes back, then rests."""
    if not read_manifest(dagster.home.store / "raw" / "epfl_hippocampus"):  # where nobody clicked
        _materialize(dagster.home, "epfl_hippocampus")
    before = dagster.runs()
    first = _held_sha256(dagster.home)
    served = dagster.home.store / EPFL
    original = served.read_bytes()

    served.write_bytes(_with_one_voxel_changed(original))
    changed = [*before, ("epfl_hippocampus", "SUCCESS")]
    wait_until(lambda: dagster.runs() == changed, "one run for the changed source", RUN_S)
    assert _held_sha256(dagster.home) == hashlib.sha256(served.read_bytes()).hexdigest() != first

    served.write_bytes(original)
    reverted = [*changed, ("epfl_hippocampus", "SUCCESS")]
    wait_until(lambda: dagster.runs() == reverted, "one run for the source changed back", RUN_S)
    assert _held_sha256(dagster.home) == first

    ticks = dagster.ticks("source_changes")
    wait_until(lambda: dagster.ticks("source_changes") >= ticks + 2, "two more looks at the sources", RUN_S)
    assert dagster.runs() == reverted
    wait_until(lambda: bool(dagster.runs("__ASSET_JOB")), "the catalog follows by itself", RUN_S)


def _materialize(home: Home, name: str) -> None:
    done = home.run("em-assets", "fetch", name)
    assert done.returncode == 0, done.stderr


def _held_sha256(home: Home) -> str:
    (file,) = read_manifest(home.store / "raw" / "epfl_hippocampus") or ()
    return file.sha256


def _with_one_voxel_changed(tiff: bytes) -> bytes:
    """Pixels of this stack begin at byte 8: another value there changes no structure."""
    return tiff[:8] + bytes([tiff[8] ^ 1]) + tiff[9:]
