"""A Dask cluster for tests: a scheduler and workers, each a process of its own, as on machines of their own."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Cluster:
    """A Dask scheduler and its workers, each a process of its own as on another machine."""

    address: str
    workers: "list[subprocess.Popen[bytes]]" = field(default_factory=list)

    def add_worker(self) -> None:
        self.workers.append(
            _dask("worker", self.address, "--no-nanny", "--nthreads", "1", "--no-dashboard", "--death-timeout", "20")
        )

    def n_alive(self) -> int:
        return sum(worker.poll() is None for worker in self.workers)

    def kill_worker(self, number: int) -> None:
        self.workers[number].kill()
        self.workers[number].wait()


@contextmanager
def running(folder: Path, n_workers: int) -> Iterator[Cluster]:
    """A cluster whose scheduler says in `folder` where it is; workers see this process's environment."""
    from distributed import Client

    file = folder / "scheduler.json"
    arguments = ("--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(file))
    scheduler = _dask("scheduler", *arguments)
    with Client(scheduler_file=str(file), set_as_default=False, timeout=60) as client:
        cluster = Cluster(client.scheduler.address)
    for _ in range(n_workers):
        cluster.add_worker()
    try:
        yield cluster
    finally:
        for process in (*cluster.workers, scheduler):
            process.terminate()
            process.wait()


def _dask(*arguments: str) -> "subprocess.Popen[bytes]":
    """A process of Dask's that can import what lies beside this file."""
    path = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    # A scheduler that fetches a result from a worker that was just killed knocks for so long; 30 s by default.
    environment = {**os.environ, "PYTHONPATH": path, "DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "2s"}
    return subprocess.Popen([sys.executable, "-m", "dask", *arguments], env=environment, stderr=subprocess.DEVNULL)
