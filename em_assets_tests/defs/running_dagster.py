"""A real Dagster: webserver, daemon and code server, on a home and a store of their own."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
READY_S = 120


@dataclass(frozen=True)
class Home:
    """A fresh Dagster home and store on the sample origin, and the environment that names them."""

    folder: Path

    @property
    def store(self) -> Path:
        return self.folder / "store"

    @property
    def environment(self) -> dict[str, str]:
        named = {"DAGSTER_HOME": str(self.folder), "EM_ASSETS_STORE": str(self.store), "EM_ASSETS_ORIGIN": "sample"}
        kept = {key: value for key, value in os.environ.items() if not key.startswith("EM_ASSETS_")}
        return kept | named | {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}

    def run(self, *command: str, timeout_s: float = 280) -> subprocess.CompletedProcess[str]:
        """Run a command of the environment from the repository, as a user would."""
        return subprocess.run(
            command,
            cwd=REPOSITORY,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )


@dataclass(frozen=True)
class Dagster:
    """A running Dagster."""

    url: str
    home: Home

    def ask(self, query: str) -> Any:
        """The answer to a GraphQL query."""
        request = urllib.request.Request(
            f"{self.url}/graphql",
            data=json.dumps({"query": query}).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)["data"]

    def runs(self, job: str = "build_dataset") -> list[tuple[str, str]]:
        """Partition and status of the job's runs, the oldest first."""
        found = self.ask("{runsOrError {... on Runs {results {jobName status tags {key value}}}}}")
        runs = [run for run in found["runsOrError"]["results"] if run["jobName"] == job]
        return [(_partition(run), run["status"]) for run in reversed(runs)]

    def ticks(self, sensor: str) -> int:
        """How many times a sensor has been evaluated to the end."""
        found = self.ask(
            '{sensorOrError(sensorSelector: {repositoryName: "__repository__", '
            f'repositoryLocationName: "em_assets.definitions", sensorName: "{sensor}"}}) '
            "{... on Sensor {sensorState {ticks(limit: 100) {status}}}}}"
        )
        ticks = found["sensorOrError"]["sensorState"]["ticks"]
        return sum(tick["status"] in ("SUCCESS", "SKIPPED") for tick in ticks)


def _partition(run: dict[str, Any]) -> str:
    return next((tag["value"] for tag in run["tags"] if tag["key"] == "dagster/partition"), "")


def wait_until(is_so: Callable[[], bool], what: str, timeout_s: float = READY_S) -> None:
    """Ask again and again until it is so; fail by name when the time is over."""
    end = time.monotonic() + timeout_s
    while not is_so():
        assert time.monotonic() < end, f"not within {timeout_s} s: {what}"
        time.sleep(0.3)


@contextmanager
def dagster_dev(home: Home) -> Iterator[Dagster]:
    """What `make ui` starts, until its code location is loaded; ended with everything it started."""
    made = home.run(sys.executable, "-m", "em_assets.defs.home")
    assert made.returncode == 0, made.stderr
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with (home.folder / "dagster-dev.log").open("w") as log:
        process = subprocess.Popen(
            [BIN / "dagster", "dev", "-w", "workspace.yaml", "-h", "127.0.0.1", "-p", str(port)],
            cwd=REPOSITORY,
            env=home.environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        running = Dagster(f"http://127.0.0.1:{port}", home)
        try:
            wait_until(lambda: _is_loaded(running, process), "Dagster's code location is loaded")
            yield running
        finally:
            _end(process)


def _is_loaded(running: Dagster, process: subprocess.Popen[bytes]) -> bool:
    assert process.poll() is None, (running.home.folder / "dagster-dev.log").read_text()[-3000:]
    try:
        found = running.ask(
            "{workspaceOrError {... on Workspace {locationEntries {loadStatus locationOrLoadError {__typename}}}}}"
        )
    except OSError:
        return False
    entries = found["workspaceOrError"]["locationEntries"]
    failed = [entry for entry in entries if (entry["locationOrLoadError"] or {}).get("__typename") == "PythonError"]
    assert not failed, (running.home.folder / "dagster-dev.log").read_text()[-3000:]
    return bool(entries) and all(entry["loadStatus"] == "LOADED" for entry in entries)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Interrupt the parent, wait, then end what is left of its group: an interrupt to all leaves some half dead."""
    process.send_signal(signal.SIGINT)
    with suppress(subprocess.TimeoutExpired):
        process.wait(timeout=20)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(timeout=20)
