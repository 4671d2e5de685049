"""A whole dataset in a bucket: graph, sensor, commands and `open_volume`, with a working copy that gets lost."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pytest
from click.testing import CliRunner

from em_assets import datasets, open_volume
from em_assets.cli import main
from em_assets.definitions import build_defs
from em_assets.defs.automation import source_changes
from em_assets.defs.platform import Platform
from em_assets.defs.runs import RunOutcome, run_catalog, run_datasets
from em_assets.settings import Settings, load

# Dagster asks its own operations for a property that it deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:Property `OpDefinition.version`:DeprecationWarning")

NAME = "epfl_hippocampus"


@pytest.fixture
def settings(
    tmp_path: Path, s3_environment: dict[str, str], new_bucket: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> Settings:
    """A store in an empty bucket, named by the environment too."""
    variables = {
        "EM_ASSETS_STORE": f"{new_bucket()}/lab",
        "EM_ASSETS_CACHE": str(tmp_path / "cache"),
        "EM_ASSETS_ORIGIN": "sample",
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return load(s3_environment | variables)


def build(settings: Settings, instance: dg.DagsterInstance) -> RunOutcome:
    defs = build_defs(settings)
    (outcome,) = run_datasets([NAME], defs, instance, before=lambda _: None)
    assert run_catalog(defs, instance)
    assert not outcome.is_failed, outcome.error
    return outcome


def told(*command: str) -> list[dict[str, Any]]:
    """What a command prints as JSON."""
    done = CliRunner().invoke(main, [*command, "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    return found if isinstance(found, list) else [found]


def tables_in(folder: Path) -> dict[str, bytes]:
    found = {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*.parquet"))}
    return {name: data for name, data in found.items() if name.startswith(("catalog/", "metadata/"))}


def test_a_store_in_a_bucket_is_like_one_on_a_disk_and_outlives_its_working_copy(
    settings: Settings, tmp_path: Path, with_sources: Callable[[Path], Path]
) -> None:
    on_disk = Settings(store=with_sources(tmp_path / "disk"), origin="sample")
    with dg.DagsterInstance.ephemeral() as instance:
        assert build(settings, instance).fetched_files == build(on_disk, instance).fetched_files == 1
        assert tables_in(settings.store) == tables_in(on_disk.store) != {}

        shutil.rmtree(settings.store)
        assert [row["dataset"] for row in told("list") if row["is_fetched"]] == [NAME]
        (row,) = told("query", "SELECT url FROM volumes")
        (chunks,) = told("query", "SELECT count(*) AS n FROM block_index")
        assert settings.remote is not None
        assert (settings.remote / str(row["url"]) / "zarr.json").is_file()
        assert chunks["n"] == 4
        assert b"data:image/png" in (settings.remote / "catalog/index.html").read_bytes()
        (shown,) = told("show", NAME)
        assert [volume["url"] for volume in shown["volumes"]] == [row["url"]]
        assert told("validate", NAME) == told("conflicts", NAME) == told("gc") == []
        local = open_volume(NAME, settings=on_disk)
        opened = open_volume(NAME)
        assert opened.url == f"{settings.address}/{row['url']}"
        assert np.array_equal(opened[:, 3:, 5:], local[:, 3:, 5:])

        shutil.rmtree(settings.store)
        again = build(settings, instance)
        assert (again.fetched_files, again.kept_files) == (0, 1)
        assert tables_in(settings.store) == tables_in(on_disk.store)


def test_raw_files_alone_open_from_a_bucket_and_the_sensor_knows_them(settings: Settings) -> None:
    platform = Platform(settings, {NAME: datasets.get(NAME, settings)})
    with dg.DagsterInstance.ephemeral() as instance:
        made = dg.materialize(
            [build_defs(settings).get_assets_def("raw_files")],
            partition_key=NAME,
            resources={"platform": platform},
            instance=instance,
            raise_on_error=True,
        )
        assert made.success
        shutil.rmtree(settings.store)
        context = dg.build_sensor_context(instance=instance, resources={"platform": platform})
        assert source_changes(context).run_requests == []
    assert not list(settings.raw_dir(NAME).rglob("*.tif"))
    assert open_volume(NAME, settings=settings).shape == (53, 76, 104)
    assert list(settings.raw_dir(NAME).rglob("*.tif"))
