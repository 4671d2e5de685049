"""Listings and metadata end: a trickle in time, and what has no end by its size."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

import pytest
from faulty_web import Exchange, faulty_web

from em_assets.errors import SourceError, SourceUnreachableError
from em_assets.model import Source
from em_assets.sources import observe, web
from em_assets.sources.origins import PUBLIC_ORIGIN, Location
from em_assets.sources.wire import Patience

HASTY = Patience(tries=3, first_pause_s=0.005, longest_pause_s=0.02, connect_s=1, read_s=1, listing_s=0.3)
MOST_TRICKLED = 100
"""Bytes that come, one each hundredth of a second, before the server gives up."""


def trickle(x: Exchange, ending: threading.Event) -> None:
    """A byte now and then: no read times out."""
    x.head(200, Content_Length=10_000, Content_Type="text/html")
    with suppress(OSError):
        while x.sent[x.path] < MOST_TRICKLED and not ending.wait(0.01):
            x.body(b" ")


def endless(x: Exchange, ending: threading.Event) -> None:
    """Blanks without end."""
    x.head(200, Transfer_Encoding="chunked", Content_Type="text/html")
    while x.method == "GET" and not ending.is_set():
        x.body(b"100000\r\n" + b" " * (1 << 20) + b"\r\n")


SOURCES: dict[str, Callable[[str], Source]] = {
    "listing": lambda url: Source(url=f"{url}/d/"),
    "cut-out": lambda url: Source(kind="cutout", url=f"{url}/d", shape_zyx=(64, 64, 64)),
}


@pytest.mark.parametrize("kind", SOURCES)
def test_a_trickle_of_a_small_body_ends_in_time(kind: str) -> None:
    with faulty_web({"d": trickle}) as web, pytest.raises(SourceUnreachableError, match=r"/d/.*no end after"):
        observe([SOURCES[kind](web.url)], PUBLIC_ORIGIN, patience=HASTY)
    assert max(web.sent.values()) < MOST_TRICKLED


@pytest.mark.parametrize("kind", SOURCES)
def test_a_small_body_without_end_is_too_large(kind: str) -> None:
    patience = replace(HASTY, listing_s=20)
    with faulty_web({"d": endless}) as web, pytest.raises(SourceError, match=r"/d/.*more than [\d,]+ bytes sent"):
        observe([SOURCES[kind](web.url)], PUBLIC_ORIGIN, patience=patience)
    assert max(web.sent.values()) < 100 << 20


def slow_head(x: Exchange, ending: threading.Event) -> None:
    """The head itself comes byte by byte."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 4\r\nX-Filler: " + b"-" * 1000
    with suppress(OSError):
        for byte in head:
            x.connection.sendall(bytes([byte]))
            x.sent[x.path] += 1
            if ending.wait(0.01):
                return


@pytest.mark.parametrize("kind", SOURCES)
def test_a_trickle_of_a_head_ends_in_time(kind: str) -> None:
    """A head that is cut off must not pass for a whole one: its length would be another."""
    with faulty_web({"d": slow_head}) as server, pytest.raises(SourceUnreachableError, match=r"/d/"):
        observe([SOURCES[kind](server.url)], PUBLIC_ORIGIN, patience=HASTY)
    assert max(server.sent.values()) < 3 * MOST_TRICKLED


def half(x: Exchange, ending: threading.Event) -> None:
    """Half of it, then nothing."""
    x.head(200, Content_Length=2000)
    x.body(bytes(1000))
    ending.wait(120)


def test_what_came_before_a_silence_is_passed_on_at_once() -> None:
    """It is news, and its time counts from its arrival, not from the end of the silence."""
    with faulty_web({"d": half}) as server:
        began = time.monotonic()
        with web.body(Location(f"{server.url}/d/x"), Patience(read_s=100)) as body:
            assert len(next(iter(body.chunks))) == 1000
            took_s = time.monotonic() - began
    assert took_s < 60


@contextmanager
def slow_ftp(slow: str) -> Iterator[str]:
    """An FTP server that sends a byte each hundredth of a second: of its replies, or of a listing."""
    ending = threading.Event()
    control, data = (socket.create_server(("127.0.0.1", 0)) for _ in range(2))

    def trickled(connection: socket.socket) -> None:
        with suppress(OSError):
            for _ in range(10_000):
                connection.sendall(b"2")
                if ending.wait(0.01):
                    return

    def serve(connection: socket.socket) -> None:
        with connection, suppress(OSError), connection.makefile("rb") as commands:
            if slow == "replies":
                trickled(connection)
            connection.sendall(b"220 here\r\n")
            while line := commands.readline():
                if line.startswith((b"MLSD", b"LIST")):
                    connection.sendall(b"150 listing\r\n226 done\r\n")
                    with data.accept()[0] as listing:
                        trickled(listing)
                elif line.startswith(b"PASV"):
                    port = data.getsockname()[1]
                    connection.sendall(f"227 (127,0,0,1,{port // 256},{port % 256})\r\n".encode())
                else:
                    connection.sendall(b"230 well\r\n" if line.startswith(b"USER") else b"200 well\r\n")

    def accept() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(control.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield f"ftp://127.0.0.1:{control.getsockname()[1]}/d/"
    finally:
        ending.set()
        for listener in (control, data):
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()


@pytest.mark.parametrize("slow", ["replies", "listing"])
def test_a_trickle_over_ftp_ends_in_time(slow: str) -> None:
    """Also where "226" has come before the listing's bytes: a listing that is cut off must not pass for a whole one."""
    began = time.monotonic()
    with slow_ftp(slow) as url, pytest.raises(SourceUnreachableError, match=r"/d/.*no end of the answer within"):
        observe([Source(url=url)], PUBLIC_ORIGIN, patience=replace(HASTY, read_s=0.3))
    assert time.monotonic() - began < 60
