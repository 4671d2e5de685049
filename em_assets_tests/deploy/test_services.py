"""The compose file's services without an engine: the very commands and health checks, against a real PostgreSQL."""

import json
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml
from postgres import DATABASE, Postgres
from running_dagster import REPOSITORY, Dagster, Home, wait_until
from test_deploy_files import DOCKER, dockerfile, ours

LAUNCH = """mutation {launchRun(executionParams: {
  selector: {
    repositoryName: "__repository__", repositoryLocationName: "em_assets.definitions", jobName: "build_dataset"
  },
  executionMetadata: {tags: [{key: "dagster/partition", value: "epfl_hippocampus"}]}
}) {__typename}}"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Stack:
    """The services as processes of this machine, on ports of their own."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._ports = {"4000": str(free_port()), "3000": str(free_port())}
        workspace = yaml.safe_load((DOCKER / "workspace.yaml").read_text())
        workspace["load_from"][0]["grpc_server"] |= {"host": "127.0.0.1", "port": int(self._ports["4000"])}
        (home.folder / "workspace.yaml").write_text(yaml.safe_dump(workspace))
        self.url = f"http://127.0.0.1:{self._ports['3000']}"

    def command(self, service: str) -> list[str]:
        """What a service runs, here."""
        return self._here(ours()[service].get("command") or json.loads(dockerfile("CMD")[-1]))

    def is_healthy(self, service: str) -> bool:
        """What its health check says."""
        own = ours()[service].get("healthcheck")
        (of_the_image,) = dockerfile("HEALTHCHECK")
        check = own["test"][1:] if own else json.loads(of_the_image[of_the_image.index("CMD") + 4 :])
        return self._run(self._here(check)).returncode == 0

    def prepare(self) -> None:
        """Let the service that makes the tables end."""
        done = self._run(self.command("instance"))
        assert done.returncode == 0, done.stderr[-3000:]

    @contextmanager
    def running(self, *services: str) -> Iterator[None]:
        """Have services run; each is ended as Docker ends it."""
        started = []
        for service in services:
            with (self._home.folder / f"{service}.log").open("w") as log:
                started.append(
                    subprocess.Popen(
                        self.command(service),
                        cwd=self._home.folder,
                        env=self._home.environment,
                        stdout=log,
                        stderr=subprocess.STDOUT,
                    )
                )
        try:
            yield
        finally:
            for process in reversed(started):
                process.send_signal(signal.SIGTERM)
            ends = [process.wait(timeout=30) for process in started]
            assert all(end in (0, -signal.SIGTERM, 128 + signal.SIGTERM) for end in ends), ends

    def _run(self, command: Sequence[str]) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            command,
            cwd=self._home.folder,
            env=self._home.environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def _here(self, command: Sequence[str]) -> list[str]:
        """The command with this machine's ports for the containers' own."""
        words = [self._ports.get(word, word).replace("0.0.0.0", "127.0.0.1") for word in command]
        return [word.replace(":3000/", f":{self._ports['3000']}/") for word in words]


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_the_services_start_run_a_dataset_and_survive_a_dump(
    new_home: Callable[[], Home], empty_postgres: Postgres, tmp_path: Path
) -> None:
    home = new_home()
    stack = Stack(home)
    stack.prepare()
    stack.prepare()  # as after every restart
    with stack.running("code"):
        wait_until(lambda: stack.is_healthy("code"), "the code location answers")
        with stack.running("webserver", "daemon"):
            dagster = Dagster(stack.url, home)
            wait_until(lambda: stack.is_healthy("webserver"), "the webserver answers")
            launched = dagster.ask(LAUNCH)
            assert launched["launchRun"]["__typename"] == "LaunchRunSuccess"
            ends = [("epfl_hippocampus", "SUCCESS")]
            wait_until(lambda: dagster.runs() == ends, "the run succeeds", 240)
            wait_until(lambda: stack.is_healthy("daemon"), "the daemon says that it lives")
    assert (home.store / "volumes/epfl_hippocampus/em/latest/zarr.json").exists()
    assert list((home.folder / "logs").rglob("*.err"))

    before = empty_postgres.ask("SELECT run_id, status FROM runs ORDER BY run_id")
    events = empty_postgres.ask("SELECT count(*) FROM event_logs")
    dump = tmp_path / "dagster.dump"
    empty_postgres.run("pg_dump", "-Fc", "-f", str(dump), DATABASE)
    empty_postgres.run("dropdb", "--force", DATABASE)
    empty_postgres.run("createdb", DATABASE)
    empty_postgres.run("pg_restore", "-d", DATABASE, "--clean", "--if-exists", str(dump))
    stack.prepare()
    assert empty_postgres.ask("SELECT run_id, status FROM runs ORDER BY run_id") == before
    assert empty_postgres.ask("SELECT count(*) FROM event_logs") == events


def test_the_repository_has_what_the_compose_file_builds_from() -> None:
    build = ours()["code"]["build"]
    assert (DOCKER / build["context"]).resolve() == REPOSITORY
    assert (REPOSITORY / build["dockerfile"]).is_file()
