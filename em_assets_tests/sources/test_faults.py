"""Every fault of a transport: exact bytes or a clear error, in time, and nothing at a final name after an error."""

import os
import random
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import faulty_ftp
import faulty_web
import pytest
from bad_sources import closed_port
from faulty_web import BY_NAME, OTHER, PAYLOAD, Exchange, FaultyWeb, etag

from em_assets.errors import EMAssetsError, SourceUnreachableError
from em_assets.model import Source
from em_assets.sources import Acquired, acquire
from em_assets.sources.origins import PUBLIC_ORIGIN
from em_assets.sources.wire import PATIENCE, Patience

HASTY = Patience(
    tries=4,
    first_pause_s=0.005,
    longest_pause_s=0.02,
    longest_retry_after_s=0.05,
    connect_s=1,
    read_s=0.3,
    stall_s=0.3,
    no_news_s=1,
    listing_s=1,
)
LONGEST_S = 30.0
"""Far more than any of these takes, far less than the servers are silent for."""


@pytest.fixture
def web() -> Iterator[FaultyWeb]:
    with faulty_web.faulty_web(BY_NAME) as running:
        yield running


def fetch(url: str, raw_dir: Path, patience: Patience = HASTY) -> Acquired:
    source = Source(url=url, max_bytes=1_000_000)
    return acquire([source], PUBLIC_ORIGIN, raw_dir, log=lambda line: None, patience=patience)


def finals(raw_dir: Path) -> list[bytes]:
    """What lies at final names."""
    return [path.read_bytes() for path in raw_dir.rglob("files/*") if not path.name.startswith(".")]


def check(url: str, raw_dir: Path, expected: type[EMAssetsError] | None, patience: Patience = HASTY) -> float:
    """Fetch it; seconds that it took."""
    began = time.monotonic()
    if expected is None:
        fetch(url, raw_dir, patience)
        assert finals(raw_dir) == [PAYLOAD]
        assert sorted(path.name for path in (raw_dir / "files").iterdir()) == ["data.tif"]
    else:
        with pytest.raises(expected, match=url.split("//")[1]):
            fetch(url, raw_dir, patience)
        assert finals(raw_dir) == []
    return time.monotonic() - began


@pytest.mark.parametrize("fault", BY_NAME)
def test_a_fault_of_a_web_server_passes_or_is_named(web: FaultyWeb, tmp_path: Path, fault: str) -> None:
    expected = faulty_web.FAULTS[BY_NAME[fault]]
    assert check(f"{web.url}/{fault}/data.tif", tmp_path / "store" / "raw" / "x", expected) < LONGEST_S


@pytest.mark.parametrize("fault", faulty_ftp.FAULTS)
def test_a_fault_of_an_ftp_server_passes_or_is_named(tmp_path: Path, fault: str) -> None:
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / "data.tif").write_bytes(PAYLOAD)
    with faulty_ftp.faulty_ftp(tmp_path / "served", fault) as url:
        took_s = check(f"{url}/data.tif", tmp_path / "store" / "raw" / "x", faulty_ftp.FAULTS[fault])
    assert took_s < LONGEST_S


@pytest.mark.parametrize("fault", ["flaky", "flaky_by_time", "range_short"])
def test_a_tenth_of_the_bytes_at_most_is_fetched_twice(web: FaultyWeb, tmp_path: Path, fault: str) -> None:
    fetch(f"{web.url}/{fault}/data.tif", tmp_path / "raw")
    assert len(web.gets(fault)) >= 5
    assert web.sent[f"/{fault}/data.tif"] <= 1.1 * len(PAYLOAD)


@pytest.mark.soak
@pytest.mark.parametrize("fault", ["silence", "trickle", "no_answer", "length_too_large", "always_busy"])
def test_with_the_patience_of_every_day_a_dead_server_ends_a_file_within_90_seconds(
    web: FaultyWeb, tmp_path: Path, fault: str
) -> None:
    expected = faulty_web.FAULTS[BY_NAME[fault]]
    assert check(f"{web.url}/{fault}/data.tif", tmp_path / "raw", expected, PATIENCE) < 90


def test_a_host_where_nobody_answers_is_told_in_the_systems_words(tmp_path: Path) -> None:
    """Those of requests and urllib3 say pools, retries and the address three times over."""
    with pytest.raises(
        SourceUnreachableError, match=r"no answer, a later try may succeed \([^()]*Connection refused\)$"
    ):
        fetch(f"{closed_port()}/data.tif", tmp_path / "raw", HASTY)


def test_an_address_that_swallows_everything_ends_in_time(tmp_path: Path) -> None:
    """It accepts no connection: the queue of its listener is full."""
    import socket

    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        port = listener.getsockname()[1]
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        hasty = replace(HASTY, connect_s=0.2)
        began = time.monotonic()
        with pytest.raises(SourceUnreachableError, match=str(port)):
            fetch(f"http://127.0.0.1:{port}/data.tif", tmp_path / "raw", hasty)
        assert time.monotonic() - began < LONGEST_S
        for filler in fillers:
            filler.close()


def changing(seed: int, changes: threading.Event) -> faulty_web.Fault:
    """A file that becomes another at a random byte of a random answer, with or without its ETag changing at once."""
    chance = random.Random(seed)
    turn_at = chance.randrange(len(PAYLOAD))
    is_written_in_place = chance.random() < 0.5
    cut = chance.choice([None, 20_000, 70_000])
    heeds_if_range = chance.random() < 0.8

    def answer(x: Exchange, _: threading.Event) -> None:
        content = OTHER if changes.is_set() else PAYLOAD
        start = x.start
        if start and heeds_if_range and x.headers.get("if-range") != etag(content):
            start = 0
        span = {"Content_Range": f"bytes {start}-{len(content) - 1}/{len(content)}"} if start else {}
        x.head(206 if start else 200, Content_Length=len(content) - start, ETag=etag(content), **span)
        end = min(start + cut, len(content)) if cut else len(content)
        if x.method == "GET" and start <= turn_at < end and not changes.is_set():
            changes.set()
            rest = OTHER if is_written_in_place else PAYLOAD
            x.body(content[start:turn_at])
            x.body(rest[turn_at:end])
        else:
            x.body(content[start:end])

    return answer


def never_mixed(seed: int, raw_dir: Path) -> None:
    with faulty_web.faulty_web({"changing": changing(seed, threading.Event())}) as web:
        for _ in range(3):  # the next run takes the new version
            try:
                fetch(f"{web.url}/changing/data.tif", raw_dir)
            except EMAssetsError:
                continue
            break
    assert [content in (PAYLOAD, OTHER) for content in finals(raw_dir)] == [True]


@pytest.mark.parametrize("seed", range(20))
def test_a_file_that_changes_meanwhile_is_never_mixed(tmp_path: Path, seed: int) -> None:
    never_mixed(seed, tmp_path / "raw")


@pytest.mark.soak
def test_200_downloads_of_a_file_that_changes_meanwhile_are_never_mixed(tmp_path: Path) -> None:
    for seed in range(100, 300):
        never_mixed(seed, tmp_path / str(seed) / "raw")


HOSTILE = sorted(
    {
        *(
            f"{up}{name}"
            for up in ("../", "../../", "a/../../", "./../", "/", "//", "")
            for name in ("x", "etc/passwd")
        ),
        *(f"{drive}{tail}" for drive in ("C:", "c:", "Z:") for tail in ("x", "/x", "\\x")),
        *(f"a{mark}b" for mark in ("\0", "\n", "\r", "\t", "\x1b", "\x7f", "\\", "\\..\\")),
        *(f"{name}{tail}" for name in ("con", "NUL", "aux", "PRN", "com1", "LPT9", "conin$") for tail in ("", ".tif")),
        *("..", ".", "...", " ", "x ", "x.", "..\\x", "..\\..\\x", "\\\\host\\share\\x", "~/x", "~root/x", "$HOME/x"),
        *(
            "%2e%2e/x",
            "%252e%252e/x",
            "..%2fx",
            "..%5cx",
            "%c0%ae%c0%ae/x",
            "\u2024\u2024/x",
            "\uff0e\uff0e/x",
            "x:s",
            "-rf",
        ),
        *("a" * 256, "a/" * 3000 + "x", "é" * 200, "x\u202egpj.exe", "\ud7ff", "..\u2215x", "`id`", "$(id)", "x;id"),
        *(f"{depth * '../'}tmp/x" for depth in range(3, 20)),
        *(".lock", "../manifest.parquet", "../lock.toml", "../journal.jsonl", ".0123456789abcdef.partial", "..;/x"),
        *(
            "file:///etc/passwd",
            "ftp://127.0.0.1:9/x",
            "javascript:x",
            "data:,x",
            "http:../x",
            "?x",
            "#x",
            "x?y",
            "x#y",
        ),
    }
)


def test_there_are_100_kinds_of_hostile_names() -> None:
    assert len(HOSTILE) >= 100


def test_no_hostile_name_is_written_outside(tmp_path: Path) -> None:
    """As it stands in a listing, and percent-encoded so that it gets through."""
    from urllib.parse import quote

    from scripted_server import Answer, scripted

    raw_dir = tmp_path / "store" / "raw" / "x"
    with scripted() as script:

        class Everything(dict[str, Answer]):
            """Whatever is asked for is there."""

            def get(self, path: str, default: object = None) -> Answer:  # type: ignore[override]
                return super().get(path, Answer(b"hostile"))

        for number, name in enumerate(HOSTILE):
            for said in (name.replace("&", "&amp;").replace('"', "&quot;"), quote(name, safe="")):
                script.answers["/d/"] = Answer(f'<a href="{said}">x</a>'.encode())
                _fetch_from(script, Everything, raw_dir / str(number))
    written = {path for path in tmp_path.rglob("*") if path.is_file() and path.read_bytes() == b"hostile"}
    assert all(path.is_relative_to(raw_dir) and "files" in path.parts for path in written)
    assert {path.name for path in tmp_path.iterdir()} == {"store"}
    assert not Path("x").exists()
    assert not Path(os.sep, "x").exists()


def _fetch_from(script: object, everything: type, raw_dir: Path) -> None:
    from contextlib import suppress

    with suppress(EMAssetsError):
        fetch(f"{script.url}/d/", raw_dir)  # type: ignore[attr-defined]
