"""How far a command is: shown on stderr where that is a terminal, and nowhere else."""

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

EM_ASSETS = Path(sys.executable).parent / "em-assets"

WORKING = {
    "validate": (["validate"], "looking for volumes"),
    "add": (["add", "stack.tif", "--name", "other"], "looking at stack.tif"),
    "ingest": (["ingest", "stack.tif", "out.zarr"], "100% of"),
}


@pytest.fixture
def folder(tmp_path: Path, small_tiff: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "datasets").mkdir()
    (tmp_path / "stack.tif").write_bytes(small_tiff.read_bytes())
    (tmp_path / "datasets" / "mine.toml").write_text(f'title = "Mine"\n[source]\nurl = "{tmp_path}/stack.tif"\n')
    monkeypatch.setenv("EM_ASSETS_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("EM_ASSETS_DATASETS", str(tmp_path / "datasets"))
    monkeypatch.delenv("EM_ASSETS_ORIGIN", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def on_a_terminal(arguments: list[str]) -> tuple[bytes, bytes]:
    """What a command writes to stdout, and what to a stderr that is a terminal."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [EM_ASSETS, *arguments], stdout=subprocess.PIPE, stderr=theirs, env=os.environ | {"TERM": "xterm"}
    ) as running:
        os.close(theirs)
        shown = bytearray()
        try:
            while block := os.read(ours, 4096):
                shown += block
        except OSError:  # how Linux says that nobody has the other end any more
            pass
        assert running.stdout is not None
        printed = running.stdout.read()
        assert running.wait(timeout=60) == 0, shown.decode()
    os.close(ours)
    return printed, bytes(shown)


@pytest.mark.parametrize(("arguments", "words"), WORKING.values(), ids=WORKING)
def test_a_terminal_shows_what_is_being_done(folder: Path, arguments: list[str], words: str) -> None:
    printed, shown = on_a_terminal(arguments)
    assert words.encode() in shown
    assert b"\x1b" not in printed


@pytest.mark.parametrize("arguments", [["validate"], ["ingest", "stack.tif", "out.zarr"]], ids=["validate", "ingest"])
def test_a_pipe_shows_none_of_it(folder: Path, arguments: list[str]) -> None:
    done = subprocess.run([EM_ASSETS, *arguments], capture_output=True, text=True, timeout=60, check=True)
    assert "\x1b" not in done.stdout + done.stderr
    assert "%" not in done.stderr
    assert "looking" not in done.stderr
