"""Completion in the shell: datasets, volumes, layouts; quickly, and never with a trace."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from em_assets import datasets
from em_assets.settings import load

EM_ASSETS = Path(sys.executable).parent / "em-assets"

HEAVY = ("numpy", "pydantic", "dagster", "duckdb", "pyarrow", "zarr", "tensorstore", "rich")


def completed(words: str, **variables: str) -> list[str]:
    """What is offered for the last of these words."""
    asked = {"_EM_ASSETS_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    done = subprocess.run(
        [EM_ASSETS], env=os.environ | asked | variables, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stderr == ""
    return [line.partition(",")[2] for line in done.stdout.splitlines()]


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store with one volume, and a folder with one dataset."""
    (tmp_path / "store/volumes/visor_bb001/slice_1/commits").mkdir(parents=True)
    (tmp_path / "mine.toml").write_text('title = "Mine"\n[source]\nurl = "/nowhere.tif"\n')
    monkeypatch.setenv("EM_ASSETS_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("EM_ASSETS_DATASETS", str(tmp_path))
    monkeypatch.delenv("EM_ASSETS_ORIGIN", raising=False)
    return tmp_path


@pytest.mark.parametrize("origin", ["public", "sample"])
def test_every_dataset_is_offered_and_no_other(store: Path, monkeypatch: pytest.MonkeyPatch, origin: str) -> None:
    monkeypatch.setenv("EM_ASSETS_ORIGIN", origin)
    assert completed("em-assets show ") == list(datasets.load(load()))


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("em-assets sho", ["show"]),
        ("em-assets fetch epfl_hi", ["epfl_hippocampus"]),
        ("em-assets fetch epfl_hippocampus min", ["mine"]),
        ("em-assets open visor_bb001 --volume ", ["slice_1"]),
        ("em-assets export --layout cro", ["croissant"]),
        ("em-assets validate --js", ["--json"]),
        ("em-assets completion f", ["fish"]),
    ],
)
def test_what_can_stand_there_is_offered(store: Path, words: str, offered: list[str]) -> None:
    assert [name for name in completed(words) if name != "minnie65"] == offered


def test_a_setting_that_is_wrong_says_nothing_while_somebody_types(store: Path) -> None:
    assert "epfl_hippocampus" in completed("em-assets show ", EM_ASSETS_MEMORY_GIB="lots")


def test_a_bucket_is_not_asked_while_somebody_types(store: Path) -> None:
    """Here nobody serves it: whoever asked would try again for minutes, and then offer no dataset of one's own."""
    with socket.socket() as asked:
        asked.bind(("127.0.0.1", 0))
        asked.listen()
        asked.settimeout(0)
        server = f"http://127.0.0.1:{asked.getsockname()[1]}"
        bucket = {"EM_ASSETS_STORE": "s3://bucket/store", "EM_ASSETS_CACHE": str(store), "AWS_ENDPOINT_URL": server}
        bucket |= {"AWS_ACCESS_KEY_ID": "a key", "AWS_SECRET_ACCESS_KEY": "a key"}
        assert completed("em-assets show min", **bucket)[0] == "mine"
        assert completed("em-assets open mine --volume ", **bucket) == [""]  # an empty line
        with pytest.raises(BlockingIOError):
            asked.accept()


def test_nothing_heavy_is_imported_for_it(store: Path) -> None:
    code = (
        "import sys\nfrom em_assets.cli.completing import dataset_names\n"
        "import em_assets.cli\nassert dataset_names(None, None, 'epfl')\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_names_the_variable_that_the_command_answers_to(shell: str) -> None:
    done = subprocess.run([EM_ASSETS, "completion", shell], capture_output=True, text=True, timeout=60, check=True)
    assert f"_EM_ASSETS_COMPLETE={shell}_complete" in done.stdout
