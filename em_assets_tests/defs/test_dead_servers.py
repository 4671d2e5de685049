"""`em-assets fetch` from a server that is dead, silent or nearly so: it ends by itself, in words, within its limit."""

import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Thread

import pytest
from running_dagster import BIN, Home

LIMIT_S = 120
Speak = Callable[[socket.socket, Event], None]


def refused(connection: socket.socket, ending: Event) -> None:
    """Never called: nobody listens."""


def silent(connection: socket.socket, ending: Event) -> None:
    """Takes the connection and says nothing."""
    ending.wait()


def stalled(connection: socket.socket, ending: Event) -> None:
    """Answers as a file of a megabyte should begin, and says no more."""
    connection.recv(4096)
    connection.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\nETag: "1"\r\n\r\nII*\0')
    ending.wait()


def dripping(connection: socket.socket, ending: Event) -> None:
    """The same, with ten bytes a second."""
    connection.recv(4096)
    connection.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\nETag: "1"\r\n\r\nII*\0')
    while not ending.wait(0.1):
        connection.sendall(b"\0")


@contextmanager
def server(speak: Speak) -> Iterator[str]:
    """The address of a server that speaks so to everybody, until the end."""
    ending = Event()
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)

    def serve(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            speak(connection, ending)

    def accept() -> None:
        with suppress(OSError):
            while True:
                Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    if speak is not refused:
        Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    port = listener.getsockname()[1]
    listener.close()
    if speak is refused:
        yield f"http://127.0.0.1:{port}"
    ending.set()


def fetch(home: Home, url: str) -> subprocess.CompletedProcess[str]:
    """Fetch a dataset of one file from there; longer than the limit is an error of its own."""
    datasets = home.folder / "datasets"
    datasets.mkdir(exist_ok=True)
    (datasets / "dead.toml").write_text(f'title = "dead"\n[source]\nurl = "{url}/stack.tif"\n')
    named = {
        "EM_ASSETS_ORIGIN": "public",
        "EM_ASSETS_DATASETS": str(datasets),
        "EM_ASSETS_STORE": str(home.folder / "public"),
    }
    return subprocess.run(
        [BIN / "em-assets", "fetch", "dead"],
        env=home.environment | named,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )


@pytest.mark.soak
@pytest.mark.timeout(LIMIT_S + 30)
@pytest.mark.parametrize("speak", [refused, silent, stalled, dripping], ids=lambda speak: speak.__name__)
def test_a_fetch_from_a_dead_server_ends_within_its_limit(home: Home, speak: Speak) -> None:
    with server(speak) as url:
        done = fetch(home, url)
    assert done.returncode == 1
    assert "FAILED dead" in done.stdout
    assert url in done.stdout
    assert not Path(home.folder / "public/raw/dead/files/stack.tif").exists()
