"""What a facility types: files that came by disk, a colleague's lock, what is left over."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from click.testing import CliRunner

from em_assets.cli import main
from em_assets.datasets import read_toml
from em_assets.settings import Settings
from em_assets.sources import acquire
from em_assets.sources.origins import Origin

TOML = 'title = "Mine"\n[source]\nurl = "https://a.org/data/"\ninclude = ["*.tif"]\n'


@pytest.fixture
def environment(tmp_path: Path, small_tiff: Path, monkeypatch: pytest.MonkeyPatch) -> Mapping[str, str]:
    """A store on a mirror's origin and a registered dataset of one file."""
    for folder in ("mirror/a.org/data", "datasets"):
        (tmp_path / folder).mkdir(parents=True)
    shutil.copy(small_tiff, tmp_path / "mirror/a.org/data/small.tif")
    (tmp_path / "datasets" / "mine.toml").write_text(TOML)
    named = {
        "EM_ASSETS_STORE": tmp_path / "store",
        "EM_ASSETS_ORIGIN": tmp_path / "mirror",
        "EM_ASSETS_DATASETS": tmp_path / "datasets",
    }
    for name, value in named.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    return dict(os.environ)


@pytest.fixture
def settings(tmp_path: Path, environment: Mapping[str, str]) -> Settings:
    return Settings(store=tmp_path / "store", origin=str(tmp_path / "mirror"), datasets=tmp_path / "datasets")


@pytest.fixture
def fetched(settings: Settings, tmp_path: Path) -> Path:
    """The raw folder of the dataset, fetched."""
    origin = Origin(settings.origin, tmp_path / "mirror")
    acquire(read_toml(tmp_path / "datasets/mine.toml").sources, origin, settings.raw_dir("mine"), log=str)
    return settings.raw_dir("mine")


def test_fetch_adopts_what_came_by_disk_under_a_colleagues_lock(
    environment: Mapping[str, str], fetched: Path, tmp_path: Path
) -> None:
    shutil.move(fetched, tmp_path / "colleague")
    fetched.mkdir(parents=True)
    shutil.copy(tmp_path / "colleague" / "lock.toml", fetched)
    came = tmp_path / "disk"
    shutil.copytree(tmp_path / "colleague" / "files", came)
    command = [Path(sys.executable).parent / "em-assets", "fetch", "mine", "--from", came, "--locked", "--json"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "1 files adopted" in done.stderr
    assert "1 by a lock file" in done.stderr
    run = json.loads(done.stdout)["runs"][0]
    assert (run["fetched_files"], run["fetched_bytes"], run["kept_files"]) == (0, 0, 0)
    checks = {check["check"]: check["result"] for check in run["checks"]}
    assert (checks["raw_files_complete"], checks["source_is_newest"]) == ("passed", "passed")


def test_fetch_says_what_became_of_the_files_and_no_more(
    environment: Mapping[str, str], fetched: Path, tmp_path: Path
) -> None:
    def last_words(*options: str) -> str:
        command = [Path(sys.executable).parent / "em-assets", "fetch", "mine", *options]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
        return next(line for line in done.stdout.splitlines() if line.startswith("Nothing fetched"))

    (tmp_path / "mirror/a.org/data/small.tif").unlink()
    held = last_words("--locked")
    assert held == "Nothing fetched: all 1 files were held already and are what the lock names."
    assert last_words() == "Nothing fetched: 1 of 1 datasets failed; 0 files were held already."


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["fetch", "mine", "mine", "--from", "."], "the files of one dataset expected"),
        (["fetch", "mine", "--from", "no_such"], "--from no_such: a folder expected"),
    ],
    ids=["two datasets", "no folder"],
)
def test_what_cannot_be_adopted_from_is_said_at_once(
    environment: Mapping[str, str], arguments: list[str], named: str
) -> None:
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 2
    assert named in done.stderr


def test_gc_shows_what_is_left_over_and_removes_it_only_when_asked(fetched: Path, settings: Settings) -> None:
    (fetched / "old").mkdir()
    (fetched / "old" / "f00d").write_bytes(bytes(100))
    quarantined = settings.store / "quarantine" / "mine" / "page.tif"
    quarantined.parent.mkdir(parents=True)
    quarantined.write_bytes(bytes(30))
    volume = settings.volumes_dir("mine") / "em"
    assert isinstance(volume, Path)
    for folder in ("commits", "5f0c5f0c5f0c5f0c"):
        (volume / folder).mkdir(parents=True)
    (volume / "5f0c5f0c5f0c5f0c" / "zarr.json").write_bytes(bytes(7))
    shown = CliRunner().invoke(main, ["gc", "--json"])
    found = [(row["what"], row["size_bytes"]) for row in json.loads(shown.stdout)]
    assert found == [("old version", 100), ("uncommitted", 7)]
    assert "2 leftovers, 107 bytes to remove" in shown.stderr
    assert (fetched / "old" / "f00d").exists()
    removed = CliRunner().invoke(main, ["gc", "mine", "--quarantine", "--remove"])
    assert "3 leftovers, 137 bytes removed" in removed.stderr
    assert not (fetched / "old").exists()
    assert not quarantined.exists()
    assert not (volume / "5f0c5f0c5f0c5f0c").exists()
    assert (fetched / "files" / "small.tif").exists()
    assert CliRunner().invoke(main, ["gc", "--quarantine", "--json"]).stdout == "[]\n"


def test_gc_leaves_a_dataset_alone_that_is_being_fetched(fetched: Path) -> None:
    from filelock import FileLock

    (fetched / "old").mkdir()
    with FileLock(fetched / ".lock"):
        done = CliRunner().invoke(main, ["gc", "--remove"])
    assert done.exit_code == 2
    assert "mine is being fetched" in done.stderr


@pytest.mark.parametrize("name", ["{elsewhere}", "..", ".hosts", "mien"], ids=["a path", "up", "locks", "a slip"])
def test_gc_refuses_a_name_that_is_no_datasets_before_it_is_part_of_a_path(
    fetched: Path, tmp_path: Path, name: str
) -> None:
    """`gc /data/run7 --remove` once removed `/data/run7/old`, and `gc ..` the quarantine of all datasets and more."""
    kept = tmp_path / "run7" / "old" / "precious.tif"
    for file in (kept, tmp_path / "store" / "raw" / ".hosts" / "old" / "a.lock", tmp_path / "store" / "old" / "b"):
        file.parent.mkdir(parents=True)
        file.write_bytes(bytes(5))
    before = sorted(tmp_path.rglob("*"))
    named = name.format(elsewhere=tmp_path / "run7")
    for how in ("--dry-run", "--remove"):
        done = CliRunner().invoke(main, ["gc", named, "--quarantine", how])
        assert done.exit_code == 2
        assert f"no dataset {named!r}, neither registered nor in the store, which holds: mine" in done.stderr
    assert CliRunner().invoke(main, ["gc", "--json"]).stdout == "[]\n"
    assert sorted(tmp_path.rglob("*")) == before
