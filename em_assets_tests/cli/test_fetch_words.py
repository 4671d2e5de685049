"""What `em-assets fetch` prints for people, after real runs of a stack and of an address where nobody answers."""

import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

EM_ASSETS = Path(sys.executable).parent / "em-assets"


@pytest.fixture(scope="module")
def done(small_tiff: Path, tmp_path_factory: pytest.TempPathFactory) -> "subprocess.CompletedProcess[str]":
    """Both are fetched by one command, into a store of their own."""
    folder = tmp_path_factory.mktemp("fetched")
    shutil.copy(small_tiff, folder / "stack.tif")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (folder / "mine.toml").write_text('title = "Mine"\n[source]\nurl = "stack.tif"\n')
    (folder / "closed.toml").write_text(f'title = "Closed"\n[source]\nurl = "http://127.0.0.1:{port}/stack.tif"\n')
    own = {"EM_ASSETS_STORE": str(folder / "store"), "EM_ASSETS_DATASETS": str(folder), "EM_ASSETS_NO_NEWS_S": "1"}
    environment = {
        name: value for name, value in os.environ.items() if name not in ("EM_ASSETS_ORIGIN", "DAGSTER_HOME")
    }
    return subprocess.run(
        [EM_ASSETS, "fetch", "mine", "closed"],
        env=environment | own,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


def test_checks_that_warn_stand_above_those_that_passed(done: "subprocess.CompletedProcess[str]") -> None:
    """Of two dozen rows the few that say something were in the middle."""
    results = re.findall(r"^mine +(\w+) +(passed|warning|FAILED) ", done.stdout, re.MULTILINE)
    states = [state for _, state in results]
    assert states == sorted(states, key=lambda state: state == "passed")
    assert {"warning", "passed"} <= set(states)


def test_a_failure_is_said_without_the_name_of_a_class(done: "subprocess.CompletedProcess[str]") -> None:
    assert done.returncode == 1
    assert re.search(r"^FAILED closed: http://127\.0\.0\.1:\d+/stack\.tif: no answer", done.stdout, re.MULTILINE)
    assert re.search(r"^closed: FAILED: http://127\.0\.0\.1:\d+/stack\.tif: no answer", done.stderr, re.MULTILINE)
