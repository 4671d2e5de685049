"""Exit codes: 0 done, 1 a run or blocking check failed, 2 usage or input, 3 unreachable, 130 Ctrl-C, 141 hung up."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from em_assets.cli import COMMANDS, main

EM_ASSETS = Path(sys.executable).parent / "em-assets"


@pytest.fixture
def folder(tmp_path: Path, small_tiff: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's folder: an empty store, one dataset of their own, a stack, an address where nobody answers."""
    (tmp_path / "datasets").mkdir()
    shutil.copy(small_tiff, tmp_path / "stack.tif")
    (tmp_path / "datasets" / "mine.toml").write_text(f'title = "Mine"\n[source]\nurl = "{tmp_path}/stack.tif"\n')
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    closed = f'title = "Closed"\n[source]\nurl = "http://127.0.0.1:{port}/stack.tif"\n'
    (tmp_path / "datasets" / "closed.toml").write_text(closed)
    (tmp_path / "closed_url").write_text(f"http://127.0.0.1:{port}/stack.tif")
    for name in ("EM_ASSETS_ORIGIN", "DAGSTER_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("EM_ASSETS_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("EM_ASSETS_DATASETS", str(tmp_path / "datasets"))
    monkeypatch.setenv("EM_ASSETS_NO_NEWS_S", "1")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(arguments: str, folder: Path) -> Result:
    """Run a command in the user's folder; CLOSED is where nobody answers."""
    closed = (folder / "closed_url").read_text()
    return CliRunner().invoke(main, arguments.replace("CLOSED", closed).split())


DONE = ("list", "show mine", "plan mine", "validate", "gc", "tags stack.tif", "ingest stack.tif out.zarr",
        "init project", "add stack.tif --name other", "completion bash")  # fmt: skip


@pytest.mark.parametrize("arguments", DONE)
def test_what_is_done_ends_with_0(folder: Path, arguments: str) -> None:
    assert run(arguments, folder).exit_code == 0


USAGE = {
    "init": "init .",
    "add": "add nothing_here.tif",
    "show": "show nobody",
    "plan": "plan nobody",
    "fetch": "fetch nobody",
    "validate": "validate nobody",
    "gc": "gc nobody",
    "catalog": "catalog --no-such-option",
    "list": "list --no-such-option",
    "open": "open nobody",
    "query": "query selec",
    "tags": "tags nothing_here.tif",
    "conflicts": "conflicts nobody",
    "audit": "audit nothing_here.json",
    "ingest": "ingest nothing_here.tif out.zarr",
    "export": "export mine --layout nobodys --to out",
    "import": "import . --layout nobodys --name x --to out",
    "doctor": "doctor --no-such-option",
    "completion": "completion csh",
}


def test_each_command_has_its_wrong_usage_here() -> None:
    assert set(USAGE) == {command.name for command in COMMANDS}


@pytest.mark.parametrize("arguments", USAGE.values(), ids=USAGE)
def test_wrong_usage_ends_with_2_and_words(folder: Path, arguments: str) -> None:
    (folder / "README.md").write_text("mine\n")
    done = run(arguments, folder)
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr
    assert "Traceback" not in done.stderr
    assert (folder / "README.md").read_text() == "mine\n"


OF_THE_STORE = ("list", "show mine", "plan mine", "validate", "gc", "catalog", "fetch mine", "query VALUES(1)")


@pytest.mark.parametrize("arguments", OF_THE_STORE)
def test_a_store_that_is_a_file_ends_every_command_with_2(
    folder: Path, arguments: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EM_ASSETS_STORE", str(folder / "stack.tif"))
    done = run(arguments, folder)
    assert (done.exit_code, done.stdout) == (2, "")
    assert "stack.tif: a folder expected" in done.stderr


UNREACHABLE = ("plan closed", "tags CLOSED", "ingest CLOSED out.zarr", "add CLOSED --name other")


@pytest.mark.parametrize("arguments", UNREACHABLE)
def test_a_source_that_does_not_answer_ends_with_3(folder: Path, arguments: str) -> None:
    done = run(arguments, folder)
    assert (done.exit_code, done.stdout, done.stderr.count("\n")) == (3, "", 1), done.stderr
    assert not list((folder / "datasets").glob("other*"))


def test_what_is_damaged_or_too_large_ends_with_1(folder: Path) -> None:
    (folder / "datasets" / "large.toml").write_text(
        f'title = "Large"\n[source]\nurl = "{folder}/stack.tif"\ncopy = true\nmax_bytes = 10\n'
    )
    assert run("plan large", folder).exit_code == 1
    (folder / "store" / "volumes" / "mine" / "em" / "commits").mkdir(parents=True)
    assert run("validate mine", folder).exit_code == 1


def test_a_claim_that_fails_ends_a_strict_audit_with_1(folder: Path) -> None:
    (folder / "claims.json").write_text('[{"dataset": "epfl_hippocampus", "field": "technique", "value": "TEM"}]')
    assert [run(f"audit claims.json{strict}", folder).exit_code for strict in ("", " --strict")] == [0, 1]


@pytest.fixture
def silent_server() -> Iterator[str]:
    """A server that takes connections and says nothing: whoever asks it is busy until it is told to stop."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}/stack.tif"


@pytest.mark.parametrize("command", ["tags URL", "fetch waits"])
def test_ctrl_c_ends_with_130_and_no_trace(folder: Path, silent_server: str, command: str) -> None:
    """`tags` waits inside a compiled library, which lets no signal through; `fetch` inside Dagster, which takes it.

    A terminal sends it to every process of the command, so to those that mirror what Dagster's steps print as well.
    """
    (folder / "datasets" / "waits.toml").write_text(f'title = "Waits"\n[source]\nurl = "{silent_server}"\n')
    port = int(silent_server.rsplit(":", 1)[1].partition("/")[0])
    arguments = command.replace("URL", silent_server).split()
    patient = os.environ | {"EM_ASSETS_NO_NEWS_S": "60", "DAGSTER_HOME": str(folder)}
    with subprocess.Popen(
        [EM_ASSETS, *arguments], env=patient, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as running:
        _wait_until_asked(port, running)
        os.killpg(running.pid, signal.SIGINT)
        _, said = running.communicate(timeout=60)
    assert (running.returncode, "Traceback" in said) == (130, False), said[-2000:]
    assert said.endswith("em-assets: interrupted\n")


def _wait_until_asked(port: int, running: "subprocess.Popen[str]") -> None:
    """Until a connection to the port is established: then the command is at work, and its imports are over."""
    established, wanted = "01", f":{port:04X}"
    until = time.monotonic() + 60
    while time.monotonic() < until and running.poll() is None:
        rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        if any(row[2].endswith(wanted) and row[3] == established for row in rows):
            return
        time.sleep(0.02)
    raise AssertionError(f"nobody asked the server; exit code {running.poll()}")


@pytest.mark.parametrize("output", ["", " --json"], ids=["table", "json"])
def test_a_reader_that_hangs_up_ends_it_without_a_trace(folder: Path, output: str) -> None:
    """`em-assets tags x | head -1`: the pipe is closed while there is more to say."""
    import numpy as np
    import tifffile

    tifffile.imwrite(folder / "many.tif", np.zeros((40, 8, 8), np.uint8), photometric="minisblack")
    line = f"{EM_ASSETS} tags many.tif{output} | head -1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr == ""
    assert done.stdout.splitlines()[-1] in ("0", "141")  # 0 where all of it went into the pipe before `head` left


def test_a_reader_that_never_was_there_is_hung_up_on_too(folder: Path) -> None:
    line = f"{EM_ASSETS} list --json | true; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=60, check=True)
    assert (done.stdout, done.stderr) == ("141\n", "")


def test_json_goes_to_stdout_and_words_to_stderr(folder: Path) -> None:
    done = run("gc --json", folder)
    assert json.loads(done.stdout) == []
    assert "0 leftovers" in done.stderr
