"""`em-assets init`: a folder that is ready to work in, and never anybody else's file."""

import os
import re
import subprocess
import tomllib
from importlib.resources import files
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from em_assets import datasets
from em_assets.cli import COMMANDS, main
from em_assets.datasets import read_toml
from em_assets.errors import UsageError
from em_assets.settings import Settings
from em_assets.starting import FILES, start_project

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return start_project(tmp_path / "my project").folder


@pytest.mark.parametrize("name", ["dagster.yaml", "workspace.yaml"])
def test_what_dagster_reads_is_what_this_repository_runs_with(name: str) -> None:
    packaged = files("em_assets").joinpath("project", name).read_text()
    assert yaml.safe_load(packaged) == yaml.safe_load((REPOSITORY / name).read_text())


def test_the_template_is_no_dataset_until_it_is_copied(project: Path) -> None:
    settings = Settings(store=project / "store", datasets=project / "datasets")
    assert set(datasets.load(settings)) == set(datasets.builtin_names())
    copied = (project / "datasets/my_stack.toml.example").rename(project / "datasets/my_stack.toml")
    assert read_toml(copied).sources[0].url == "https://example.org/stacks/"


def test_every_line_of_the_template_may_be_uncommented(project: Path) -> None:
    text = (project / "datasets/my_stack.toml.example").read_text()
    lines = [re.sub(r"^# (?=[a-z_]+ =|\[\[)", "", line) for line in text.splitlines()]
    assert len(tomllib.loads("\n".join(lines))["says"]) == 2
    (project / "datasets/mine.toml").write_text("\n".join(lines))
    assert read_toml(project / "datasets/mine.toml").sources[0].kind == "cutout"


def test_the_shell_reads_its_settings(project: Path) -> None:
    line = 'source .env; printf \'%s\\n\' "$DAGSTER_HOME" "$EM_ASSETS_STORE" "$EM_ASSETS_DATASETS"'
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("EM_ASSETS_", "DAGSTER"))}
    done = subprocess.run(
        ["bash", "-c", line], cwd=project, env=kept, capture_output=True, text=True, timeout=30, check=True
    )
    assert done.stdout.splitlines() == [str(project), f"{project}/store", f"{project}/datasets"]


def test_the_readme_names_commands_that_exist(project: Path) -> None:
    typed = set(re.findall(r"em-assets ([a-z]+)", (project / "README.md").read_text()))
    assert typed
    assert typed <= {str(command.name) for command in COMMANDS}


@pytest.mark.parametrize("name", FILES)
def test_nothing_that_is_there_is_touched(tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("mine\n")
    with pytest.raises(UsageError, match=rf"{re.escape(name)} exist already; nothing was written"):
        start_project(tmp_path)
    assert [path.read_text() for path in tmp_path.rglob("*") if path.is_file()] == ["mine\n"]


def test_a_folder_with_other_things_in_it_may_become_a_project(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine\n")
    assert CliRunner().invoke(main, ["init", str(tmp_path)]).exit_code == 0
    assert (tmp_path / "notes.txt").read_text() == "mine\n"


@pytest.mark.parametrize("name", ["it's mine", "two\nlines"])
def test_a_path_that_no_env_file_can_hold_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="a path without"):
        start_project(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder\n")
    with pytest.raises(UsageError, match="cannot be written"):
        start_project(tmp_path / "file" / "project")
