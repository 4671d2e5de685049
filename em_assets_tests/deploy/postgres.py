"""A PostgreSQL of one's own: Debian's, with a cluster in a temporary folder, on a free port of loopback."""

import os
import pwd
import re
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

PASSWORD = "p@ss/w:rd %20"  # every character that an address could stumble over
DATABASE = "dagster"
USER = "dagster"


def programs() -> Path:
    """Folder of PostgreSQL's programs, of the newest version; without one the test skips, and fails in CI."""
    found = [path for path in Path("/usr/lib/postgresql").glob("*/bin") if (path / "initdb").exists()]
    if found:
        return max(found, key=lambda path: [int(number) for number in re.findall(r"\d+", str(path))])
    if on_path := shutil.which("initdb"):
        return Path(on_path).resolve().parent
    message = "no PostgreSQL on this machine: apt-get install postgresql"
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message)


@dataclass(frozen=True)
class Postgres:
    """A running server with an empty database that belongs to the user `dagster`."""

    folder: Path
    port: int
    bin: Path

    @property
    def environment(self) -> dict[str, str]:
        """What deploy/docker's dagster.yaml asks the environment for."""
        return {
            "DAGSTER_PG_HOST": "127.0.0.1",
            "DAGSTER_PG_PORT": str(self.port),
            "DAGSTER_PG_DB": DATABASE,
            "DAGSTER_PG_USER": USER,
            "DAGSTER_PG_PASSWORD": PASSWORD,
        }

    def run(self, program: str, *arguments: str, text: str | None = None) -> str:
        """What one of PostgreSQL's programs prints, as the database's owner."""
        done = subprocess.run(
            [self.bin / program, "-h", "127.0.0.1", "-p", str(self.port), "-U", USER, *arguments],
            env=os.environ | {"PGPASSWORD": PASSWORD},
            input=text,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def ask(self, query: str, database: str = DATABASE) -> list[tuple[str, ...]]:
        """The rows that a query gives."""
        lines = self.run("psql", "-d", database, "-AtXF", "\t", "-c", query).splitlines()
        return [tuple(line.split("\t")) for line in lines]

    @property
    def log(self) -> str:
        """What the server wrote."""
        return (self.folder / "log").read_text()


@contextmanager
def running_postgres() -> Iterator[Postgres]:
    """A server that is ended, and its folder removed, when one leaves.

    The server refuses to run as root: there it runs as the user `postgres`, whom Debian's package makes.
    """
    binaries = programs()
    # pytest's own temporary folders can be entered by their owner alone, and sockets have no long paths.
    folder = Path(tempfile.mkdtemp(prefix="em_assets_postgres_"))
    account = pwd.getpwnam("postgres") if os.geteuid() == 0 else None
    if account:
        os.chown(folder, account.pw_uid, account.pw_gid)
    server = Postgres(folder, _free_port(), binaries)
    try:
        _make(server, account)
        yield server
    finally:
        stop: list[str | Path] = [binaries / "pg_ctl", "-D", folder / "data", "-m", "immediate", "-w", "stop"]
        _as(account, stop, folder / "said")
        shutil.rmtree(folder)


def _make(server: Postgres, account: "pwd.struct_passwd | None") -> None:
    data, password, said = server.folder / "data", server.folder / "password", server.folder / "said"
    password.write_text(PASSWORD)
    password.chmod(0o644)
    options = f"-c listen_addresses=127.0.0.1 -c port={server.port} -c unix_socket_directories={server.folder}"
    commands: list[list[str | Path]] = [
        [server.bin / "initdb", "-D", data, "-U", USER, f"--pwfile={password}", "-A", "scram-sha-256", "--no-sync"],
        [server.bin / "pg_ctl", "-D", data, "-l", server.folder / "log", "-o", options, "-w", "start"],
    ]
    for command in commands:
        assert _as(account, command, said) == 0, said.read_text()
    server.run("createdb", DATABASE)


def _as(account: "pwd.struct_passwd | None", command: list[str | Path], said: Path) -> int:
    """Exit code of a command; a server that it starts keeps neither pipe nor terminal of ours open."""
    user = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []} if account else {}
    with said.open("ab") as output:
        return subprocess.run(
            command,
            cwd="/",
            env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            timeout=60,
            check=False,
            **user,  # type: ignore[call-overload]
        ).returncode


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
