"""What the README tells people to type works as it stands there."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from em_assets.datasets import builtin_names, read_toml

REPOSITORY = Path(__file__).resolve().parents[1]
README = (REPOSITORY / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory, small_tiff: Path) -> dict[str, str]:
    """A user's shell in a folder with a `stack.tif`, the virtual environment active."""
    folder = tmp_path_factory.mktemp("readme")
    shutil.copy(small_tiff, folder / "stack.tif")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("EM_ASSETS_", "DAGSTER"))}
    path = f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"
    return kept | {"PATH": path, "PWD": str(folder), "EM_ASSETS_ORIGIN": "sample"}


@pytest.mark.parametrize("target", ["demo", "test", "ui", "live", "schema"])
def test_the_make_targets_that_it_names_exist(target: str) -> None:
    subprocess.run(["make", "-n", target], cwd=REPOSITORY, check=True, capture_output=True, timeout=60)


def test_its_shell_blocks_run(environment: dict[str, str]) -> None:
    commands = [block for block in blocks("sh") if "make demo" not in block]
    assert len(commands) == 4
    done = subprocess.run(
        ["bash", "-e", "-c", "\n".join(commands)],
        cwd=environment["PWD"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert (Path(environment["PWD"]) / "stack.ome.zarr" / "zarr.json").exists()


def test_its_python_block_reads_what_was_fetched(environment: dict[str, str]) -> None:
    subprocess.run(
        ["em-assets", "fetch", "epfl_hippocampus"], cwd=environment["PWD"], env=environment, check=True, timeout=120
    )
    (code,) = blocks("python")
    checked = f"{code}\nassert block.shape == (16, 64, 64)\nassert volume.voxel_size_zyx_nm == (5, 5, 5)\n"
    subprocess.run([sys.executable, "-c", checked], cwd=environment["PWD"], env=environment, check=True, timeout=60)


def test_its_dataset_file_loads(tmp_path: Path) -> None:
    (toml,) = blocks("toml")
    (tmp_path / "mine.toml").write_text(toml)
    assert read_toml(tmp_path / "mine.toml").says[0].value == [50, 8, 8]


def test_it_says_of_every_dataset_when_it_was_last_confirmed_live() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \|.*\| ([^|]+) \|$", README, re.MULTILINE))
    registered = {name: read_toml(REPOSITORY / f"em_assets/datasets/{name}.toml") for name in builtin_names()}
    assert {name: rows[name] for name in registered} == {
        name: dataset.last_confirmed_live for name, dataset in registered.items()
    }
