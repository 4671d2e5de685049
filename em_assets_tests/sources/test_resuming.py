"""What has arrived is not asked for again, and never joined to bytes of another version."""

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from threading import Event

import faulty_web
import pytest
from faulty_web import HALF, OTHER, PAYLOAD, Exchange, FaultyWeb, etag

from em_assets.errors import SourceError, SourceMissingError, SourceUnreachableError, StoreError
from em_assets.model import RemoteFile, Source
from em_assets.sources import acquire
from em_assets.sources.origins import PUBLIC_ORIGIN
from em_assets.sources.transfer import Demand, fetch_file
from em_assets.sources.wire import PATIENCE, Patience, ToldToWaitError, Watch

ONCE = Patience(tries=1, first_pause_s=0.001, longest_pause_s=0.001, connect_s=1, read_s=1)
MARK = hashlib.sha256(b"a.tif").hexdigest()[:16]


class Served:
    """A file whose version and whose breaking off a test turns."""

    def __init__(self) -> None:
        self.content, self.most, self.has_head = PAYLOAD, HALF, True
        self.refused: int | None = None

    def __call__(self, x: Exchange, _: Event) -> None:
        if self.refused:
            return x.head(self.refused, Content_Length=0)
        if x.method == "HEAD" and not self.has_head:
            return x.head(503, Content_Length=0)
        return x.ranged(self.content, self.most)


@pytest.fixture
def served() -> Served:
    return Served()


@pytest.fixture
def web(served: Served) -> Iterator[FaultyWeb]:
    with faulty_web.faulty_web({"served": served}) as running:
        yield running


@pytest.fixture
def fetch(web: FaultyWeb, tmp_path: Path) -> Callable[[], bytes]:
    """Fetch once, without a second try; the bytes at the final name."""

    def fetch_once() -> bytes:
        remote = RemoteFile(path="a.tif", url=f"{web.url}/served/a.tif", size_bytes=len(PAYLOAD), validator=None)
        fetch_file(remote, tmp_path / "a.tif", PUBLIC_ORIGIN, patience=ONCE)
        return (tmp_path / "a.tif").read_bytes()

    return fetch_once


@pytest.fixture
def broken_off(served: Served, fetch: Callable[[], bytes], tmp_path: Path) -> Path:
    """A first run has left half of the file; the rest would be sent now. The note beside the partial."""
    with pytest.raises(SourceUnreachableError, match="broke off"):
        fetch()
    served.most = len(PAYLOAD)
    return tmp_path / f".{MARK}.note"


def test_a_later_run_goes_on_where_an_earlier_one_broke_off(
    broken_off: Path, fetch: Callable[[], bytes], web: FaultyWeb, tmp_path: Path
) -> None:
    assert fetch() == PAYLOAD
    assert web.gets("served")[-1]["range"] == f"bytes={HALF}-"
    assert web.gets("served")[-1]["if-range"] == etag(PAYLOAD)
    assert web.sent["/served/a.tif"] == len(PAYLOAD)
    assert [path.name for path in tmp_path.iterdir()] == ["a.tif"]


def test_another_version_is_fetched_whole(broken_off: Path, fetch: Callable[[], bytes], served: Served) -> None:
    served.content = OTHER
    assert fetch() == OTHER


@pytest.fixture
def whole(served: Served, web: FaultyWeb, fetch: Callable[[], bytes]) -> None:
    """A first run had every byte, and no answer to the question whether the file was still the same."""
    served.most, served.has_head = len(PAYLOAD), False
    with pytest.raises(SourceUnreachableError, match="HTTP 503"):
        fetch()
    assert web.sent["/served/a.tif"] == len(PAYLOAD)


def test_of_a_file_that_has_arrived_whole_one_byte_is_asked_for(
    whole: None, fetch: Callable[[], bytes], web: FaultyWeb
) -> None:
    assert fetch() == PAYLOAD
    assert web.sent["/served/a.tif"] == len(PAYLOAD) + 1


def test_a_file_that_has_arrived_whole_and_has_changed_since_is_fetched_anew(
    whole: None, served: Served, fetch: Callable[[], bytes]
) -> None:
    served.content, served.has_head = OTHER, True
    assert fetch() == OTHER


def test_a_server_without_heads_sends_each_byte_once(served: Served, web: FaultyWeb, tmp_path: Path) -> None:
    """Its HEAD says 503 for ever: the last byte, asked for again, tells as well that the file is still the same."""
    served.most, served.has_head = len(PAYLOAD), False
    remote = RemoteFile(path="a.tif", url=f"{web.url}/served/a.tif", size_bytes=len(PAYLOAD), validator=None)
    fetch_file(remote, tmp_path / "a.tif", PUBLIC_ORIGIN, patience=replace(ONCE, tries=2))
    assert web.sent["/served/a.tif"] == len(PAYLOAD) + 1


@pytest.mark.parametrize(
    "damage", ["a byte of the partial", "a shorter partial", "a torn note", "no note", "no partial"]
)
def test_what_was_touched_since_is_not_gone_on_with(
    broken_off: Path, fetch: Callable[[], bytes], web: FaultyWeb, damage: str
) -> None:
    partial = broken_off.with_suffix(".partial")
    content = partial.read_bytes()
    {
        "a byte of the partial": lambda: partial.write_bytes(b"x" + content[1:]),
        "a shorter partial": lambda: partial.write_bytes(content[:-1]),
        "a torn note": lambda: broken_off.write_text(broken_off.read_text()[:20]),
        "no note": broken_off.unlink,
        "no partial": partial.unlink,
    }[damage]()
    assert fetch() == PAYLOAD
    assert "range" not in web.gets("served")[-1]


def test_bytes_behind_the_noted_ones_are_not_trusted(
    broken_off: Path, fetch: Callable[[], bytes], web: FaultyWeb
) -> None:
    """A power cut can leave a length whose bytes never reached the disk."""
    with broken_off.with_suffix(".partial").open("ab") as partial:
        partial.write(bytes(100))
    assert json.loads(broken_off.read_text())["bytes"] == HALF
    assert fetch() == PAYLOAD
    assert web.gets("served")[-1]["range"] == f"bytes={HALF}-"


def test_a_run_that_failed_is_gone_on_with_by_the_next(web: FaultyWeb, served: Served, tmp_path: Path) -> None:
    def run() -> int:
        source = Source(url=f"{web.url}/served/a.tif")
        return acquire([source], PUBLIC_ORIGIN, tmp_path / "raw", log=str, patience=ONCE).fetched

    served.most = len(PAYLOAD) // 3  # asked twice: quickly, and then with care
    with pytest.raises(SourceUnreachableError):
        run()
    served.most = len(PAYLOAD)
    assert run() == 1
    assert web.sent["/served/a.tif"] == len(PAYLOAD)
    assert [path.name for path in (tmp_path / "raw" / "files").iterdir()] == ["a.tif"]


@pytest.mark.parametrize("refused", [503, 404], ids=["away", "gone-for-once"])
def test_a_server_that_is_away_for_a_run_takes_nothing_of_what_had_arrived(
    broken_off: Path, fetch: Callable[[], bytes], served: Served, web: FaultyWeb, refused: int
) -> None:
    """The run that got no byte removed those of the runs before it: of a terabyte, all."""
    served.refused, served.most = refused, None
    for _ in range(2):
        with pytest.raises(SourceError, match=f"HTTP {refused}"):
            fetch()
    served.refused = None
    assert fetch() == PAYLOAD
    assert web.sent["/served/a.tif"] == len(PAYLOAD)


def test_a_partial_that_nothing_can_go_on_with_is_removed(tmp_path: Path) -> None:
    with faulty_web.faulty_web({"chunked_cut": faulty_web.chunked_cut}) as web:
        remote = RemoteFile(path="a.tif", url=f"{web.url}/chunked_cut/a.tif", size_bytes=None, validator=None)
        with pytest.raises(SourceUnreachableError):
            fetch_file(remote, tmp_path / "a.tif", PUBLIC_ORIGIN, patience=ONCE, demand=Demand(10**9))
    assert list(tmp_path.iterdir()) == []


def test_new_bytes_reset_the_tries(web: FaultyWeb, served: Served, tmp_path: Path) -> None:
    served.most = 20_000
    remote = RemoteFile(path="a.tif", url=f"{web.url}/served/a.tif", size_bytes=len(PAYLOAD), validator=None)
    fetch_file(remote, tmp_path / "a.tif", PUBLIC_ORIGIN, patience=replace(ONCE, tries=2))
    assert len(web.gets("served")) == 13


def test_a_full_disk_ends_it_at_once_and_frees_the_room(web: FaultyWeb, served: Served, tmp_path: Path) -> None:
    import resource
    import signal

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    remote = RemoteFile(path="a.tif", url=f"{web.url}/served/a.tif", size_bytes=len(PAYLOAD), validator=None)
    (tmp_path / "a.tif").write_bytes(b"old")
    served.most = len(PAYLOAD)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
        with pytest.raises(StoreError, match=rf"{MARK}.*bytes needed: {len(PAYLOAD):,}, for a\.tif"):
            fetch_file(remote, tmp_path / "a.tif", PUBLIC_ORIGIN, patience=replace(ONCE, tries=5))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"old"]
    assert len(web.gets("served")) == 1


def test_the_first_file_that_fails_ends_the_others(tmp_path: Path) -> None:
    """Their bytes are kept for the next run; the error is the one of the file that failed."""

    def endless(x: Exchange, ending: Event) -> None:
        x.head(200, Content_Length=10**9, ETag='"1"')
        while x.method == "GET" and not ending.wait(0.001):
            x.body(bytes(10_000))

    def index(x: Exchange, _: Event) -> None:
        x.plain(b'<a href="/d/endless">a</a><a href="/d/gone">b</a>')

    def inside(x: Exchange, ending: Event) -> None:
        if x.path == "/d/":
            index(x, ending)
        elif x.path == "/d/endless" or x.method == "HEAD":
            endless(x, ending)
        else:
            x.head(404, Content_Length=0)

    with faulty_web.faulty_web({"d": inside}) as web, pytest.raises(SourceMissingError, match="/d/gone: HTTP 404"):
        acquire([Source(url=f"{web.url}/d/")], PUBLIC_ORIGIN, tmp_path / "raw", log=str, patience=ONCE)


def test_pauses_are_drawn_between_nothing_and_a_bound_that_doubles() -> None:
    pauses = [PATIENCE._pause_s(5, SourceUnreachableError("x")) for _ in range(200)]
    assert 0 <= min(pauses) < 2
    assert 6 < max(pauses) <= 8
    assert PATIENCE._pause_s(1, ToldToWaitError("x", 3600)) == PATIENCE.longest_retry_after_s


def test_a_listing_gives_up_when_its_time_is_over() -> None:
    patience = replace(ONCE, tries=1000, listing_s=0.05)

    def ask() -> None:
        raise SourceUnreachableError("no")

    with pytest.raises(SourceError, match="no"):
        patience(ask)


def test_only_bytes_beyond_the_furthest_point_are_news() -> None:
    watch = Watch(replace(PATIENCE, stall_s=100, least_bytes_per_s=1), limit_s=0, position=1000)
    watch.arrived(1500)
    assert watch.most_bytes == 1500
    watch.arrived(700)
    assert watch.most_bytes == 1500
