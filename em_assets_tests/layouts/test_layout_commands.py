"""`em-assets export` and `em-assets import` from a terminal, and the asset `export` from Dagster."""

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from em_assets import datasets
from em_assets.cli import main
from em_assets.datasets import read_toml
from em_assets.settings import Settings


@pytest.fixture
def run(held_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Arguments of `em-assets` → what it answers, over the store that holds the sample."""
    monkeypatch.setenv("EM_ASSETS_STORE", str(held_settings.store))
    monkeypatch.setenv("EM_ASSETS_ORIGIN", "sample")
    return lambda *arguments: CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_an_export_says_where_it_is_and_the_second_that_nothing_changed(
    run: Callable[..., Result], tmp_path: Path
) -> None:
    first = run("export", "visor_bb001", "--layout", "visor", "--to", tmp_path, "--json")
    assert first.exit_code == 0, first.output
    (row,) = json.loads(first.stdout)
    assert (row["entries"], row["is_new"], row["refused"]) == (["visor_bb001"], True, [])
    second = run("export", "visor_bb001", "--layout", "visor", "--to", tmp_path)
    assert second.exit_code == 0
    assert [word for word in (f"{tmp_path}/visor_bb001", "visor", "no") if word not in second.stdout] == []


def test_a_dataset_that_is_refused_whole_is_exit_code_1_and_the_reason(
    run: Callable[..., Result], tmp_path: Path
) -> None:
    done = run("export", "epfl_hippocampus", "--layout", "visor", "--to", tmp_path)
    assert done.exit_code == 1
    assert "refused: epfl_hippocampus/em: no VISoR item" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("visor_bb001", "--layout", "viso"), "visor, visor-2025"),
        (("no_such", "--layout", "visor"), "no dataset 'no_such'"),
        (("hemibrain_ng", "--layout", "visor"), "hemibrain_ng is not fetched yet: em-assets fetch hemibrain_ng"),
        (("visor_bb001", "--layout", "visor", "--require-licence"), "a licence is required"),
    ],
)
def test_what_cannot_be_exported_is_exit_code_2_in_one_line(
    arguments: tuple[str, ...], said: str, run: Callable[..., Result], tmp_path: Path
) -> None:
    done = run("export", *arguments, "--to", tmp_path)
    assert done.exit_code == 2
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("place", ["a_file", "a_file/below"])
def test_a_place_where_no_folder_can_be_is_named_in_one_line(
    run: Callable[..., Result], tmp_path: Path, place: str
) -> None:
    (tmp_path / "a_file").write_text("mine")
    done = run("export", "visor_bb001", "--layout", "visor", "--to", tmp_path / place)
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1)
    assert f"{place}: cannot be written" in done.stderr
    assert (tmp_path / "a_file").read_text() == "mine"


def test_an_exported_sample_is_imported_as_a_dataset_file(run: Callable[..., Result], tmp_path: Path) -> None:
    run("export", "visor_bb001", "--layout", "visor-2025", "--to", tmp_path)
    tree = tmp_path / "visor_bb001.vsr"
    done = run("import", tree, "--layout", "visor-2025", "--name", "back", "--to", tmp_path / "mine")
    assert done.exit_code == 0, done.stderr
    assert read_toml(tmp_path / "mine" / "back.toml").sources[0].url.startswith(str(tree))
    again = run("import", tree, "--layout", "visor-2025", "--name", "back", "--to", tmp_path / "mine")
    assert again.exit_code == 2
    assert "exists already" in again.stderr


@pytest.fixture
def materialize(held_settings: Settings) -> Callable[..., Any]:
    """Dataset and run config of the asset `export` → what it was materialized with; nothing where it was not."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # previews of Dagster's, as in `definitions`
        import dagster as dg

        from em_assets.defs.assets import export
        from em_assets.defs.platform import Platform

    platform = Platform(held_settings, datasets.load(held_settings))

    def run(dataset: str, **config: object) -> Any:
        done = dg.materialize(
            [export],
            resources={"platform": platform},
            partition_key=dataset,
            run_config={"ops": {"export": {"config": config}}},
        )
        return [event.materialization.metadata for event in done.get_asset_materialization_events()]

    return run


def test_the_asset_writes_what_it_is_asked_for_and_lists_it(materialize: Callable[..., Any], tmp_path: Path) -> None:
    (said,) = materialize("visor_bb001", layout="visor", to=str(tmp_path))
    assert said["files"].value == 14
    assert (tmp_path / "visor_bb001" / "visor_raw_image.zarr" / ".zattrs").is_file()


def test_the_asset_lists_what_is_refused(materialize: Callable[..., Any], tmp_path: Path) -> None:
    (said,) = materialize("epfl_hippocampus", layout="visor", to=str(tmp_path))
    assert "epfl_hippocampus/em: no VISoR item" in said["refused"].value
    assert said["files"].value == 0


def test_the_asset_writes_nothing_unasked(materialize: Callable[..., Any]) -> None:
    assert materialize("visor_bb001") == []
