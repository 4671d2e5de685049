"""A large file comes in several ranges at once, exactly; what a server cannot do is done one answer after the other."""

import hashlib
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from faulty_web import Exchange, FaultyWeb, etag, faulty_web

from em_assets.errors import IncompleteError, SourceError, SourceUnreachableError
from em_assets.model import RemoteFile
from em_assets.sources import ranges
from em_assets.sources.origins import PUBLIC_ORIGIN
from em_assets.sources.transfer import Fetched, fetch_file
from em_assets.sources.wire import Patience

LARGE = b"II*\0" + b"".join(hashlib.sha256(number.to_bytes(4, "big")).digest() for number in range(100_000))
OTHER = LARGE[::-1]
HASTY = Patience(tries=4, first_pause_s=0.005, longest_pause_s=0.02, connect_s=10, read_s=10, stall_s=10, no_news_s=30)
Serve = Callable[[Exchange, bytes], None]


def ranged(x: Exchange, content: bytes, most: int | None = None, tag: str | None = None) -> None:
    """Answer by Range, with its end, and If-Range."""
    found = re.fullmatch(r"bytes=(\d+)-(\d*)", x.headers.get("range", ""))
    tag = tag or etag(content)
    if not found or x.headers.get("if-range", tag) != tag:
        x.head(200, Content_Length=len(content), ETag=tag)
        return x.body(content[:most])
    start, end = int(found[1]), int(found[2]) + 1 if found[2] else len(content)
    x.head(206, Content_Length=end - start, ETag=tag, Content_Range=f"bytes {start}-{end - 1}/{len(content)}")
    return x.body(content[start:end][:most])


@pytest.fixture(autouse=True)
def _smaller(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of 3 MB is large here, and has thirteen units."""
    monkeypatch.setattr(ranges, "RANGED_FROM_BYTES", 1 << 20)
    monkeypatch.setattr(ranges, "LEAST_UNIT_BYTES", 1 << 18)


@pytest.fixture
def serve() -> Iterator[Callable[[Callable[[Exchange], None]], FaultyWeb]]:
    from contextlib import ExitStack

    with ExitStack() as stack:
        yield lambda answer: stack.enter_context(faulty_web({"d": lambda x, _: bool(answer(x))}))


def fetch(web: FaultyWeb, dest: Path, patience: Patience = HASTY) -> Fetched:
    remote = RemoteFile(path="big.bin", url=f"{web.url}/d/big.bin", size_bytes=len(LARGE), validator=None)
    return fetch_file(remote, dest / "big.bin", PUBLIC_ORIGIN, patience=patience)


def test_all_of_it_arrives_by_ranges_with_its_digest(serve: Callable[..., FaultyWeb], tmp_path: Path) -> None:
    web = serve(lambda x: ranged(x, LARGE))
    fetched = fetch(web, tmp_path)
    assert (tmp_path / "big.bin").read_bytes() == LARGE
    assert fetched == (hashlib.sha256(LARGE).hexdigest(), len(LARGE))
    assert all("range" in headers and headers["if-range"] == etag(LARGE) for headers in web.gets("d"))
    assert len(web.gets("d")) >= 12
    assert [path.name for path in tmp_path.iterdir()] == ["big.bin"]


def test_several_are_in_flight_at_once(serve: Callable[..., FaultyWeb], tmp_path: Path) -> None:
    """Each of the first four answers waits until four have been asked for."""
    together = threading.Barrier(4)

    def answer(x: Exchange) -> None:
        if x.method == "GET" and x.number < 4:
            together.wait(60)
        ranged(x, LARGE)

    fetch(serve(answer), tmp_path, replace(HASTY, read_s=70, no_news_s=140))
    assert (tmp_path / "big.bin").read_bytes() == LARGE


def test_on_a_flaky_server_a_tenth_at_most_is_fetched_twice(serve: Callable[..., FaultyWeb], tmp_path: Path) -> None:
    web = serve(lambda x: ranged(x, LARGE, most=60_000))
    fetch(web, tmp_path)
    assert (tmp_path / "big.bin").read_bytes() == LARGE
    assert web.sent["/d/big.bin"] <= 1.1 * len(LARGE)


def test_a_later_run_goes_on_behind_what_is_whole(serve: Callable[..., FaultyWeb], tmp_path: Path) -> None:
    """The server says no more after nine answers; what came by then is noted up to the first gap."""
    is_dead = threading.Event()

    def answer(x: Exchange) -> None:
        if x.number > 8:
            is_dead.set()
        x.head(503, Content_Length=0) if is_dead.is_set() and not revived.is_set() else ranged(x, LARGE)

    revived = threading.Event()
    web = serve(answer)
    with pytest.raises(SourceUnreachableError, match="503"):
        fetch(web, tmp_path)
    assert not (tmp_path / "big.bin").exists()
    came = web.sent["/d/big.bin"]
    revived.set()
    fetch(web, tmp_path)
    assert (tmp_path / "big.bin").read_bytes() == LARGE
    assert came > 1 << 20
    assert web.sent["/d/big.bin"] - len(LARGE) < came


def whole_always(x: Exchange, _: list[int]) -> None:
    """No ranges at all."""
    x.plain(LARGE, ETag=etag(LARGE))


def no_head(x: Exchange, _: list[int]) -> None:
    """HEAD is forbidden."""
    x.head(403, Content_Length=0) if x.method == "HEAD" else ranged(x, LARGE)


def no_validator(x: Exchange, _: list[int]) -> None:
    """Nothing that a range could be held to."""
    x.plain(LARGE)


def another_part(x: Exchange, _: list[int]) -> None:
    """Parts that are not those asked for, and say so; without Range all is well."""
    if "range" not in x.headers:
        return x.plain(LARGE, ETag=etag(LARGE))
    x.head(206, Content_Length=9, ETag=etag(LARGE), Content_Range=f"bytes 0-8/{len(LARGE)}")
    return x.body(LARGE[:9])


@pytest.mark.parametrize("answer", [whole_always, no_head, no_validator, another_part])
def test_a_server_without_ranges_sends_it_whole(
    serve: Callable[..., FaultyWeb], tmp_path: Path, answer: Callable[[Exchange, list[int]], None]
) -> None:
    fetch(serve(lambda x: answer(x, [])), tmp_path)
    assert (tmp_path / "big.bin").read_bytes() == LARGE


@pytest.mark.parametrize("is_honest", [True, False], ids=["If-Range-heeded", "If-Range-ignored"])
def test_a_file_that_changes_between_ranges_is_never_mixed(
    serve: Callable[..., FaultyWeb], tmp_path: Path, is_honest: bool
) -> None:
    def answer(x: Exchange) -> None:
        content = OTHER if x.number > 4 else LARGE
        if not is_honest:
            x.headers.pop("if-range", None)
        ranged(x, content)

    try:
        fetch(serve(answer), tmp_path)
    except SourceError:
        assert not (tmp_path / "big.bin").exists()
    else:
        assert (tmp_path / "big.bin").read_bytes() in (LARGE, OTHER)


@pytest.mark.parametrize("size", [len(LARGE), len(LARGE) - 1, None], ids=["same size", "shorter", "size unsaid"])
def test_a_first_range_that_is_answered_by_another_version_whole_is_never_mixed(
    serve: Callable[..., FaultyWeb], tmp_path: Path, size: int | None
) -> None:
    """One of two machines behind an address has other bytes, and knows no ranges."""

    def answer(x: Exchange) -> None:
        if not x.headers.get("range", "").startswith("bytes=0-"):
            return ranged(x, LARGE)
        sized = {} if size is None else {"Content_Length": size}
        x.head(200, ETag=etag(OTHER if size == len(LARGE) else LARGE), **sized)
        return x.body(OTHER[:size])

    fetch(serve(answer), tmp_path)
    assert (tmp_path / "big.bin").read_bytes() == LARGE


def test_a_wrong_bit_in_one_range_is_found_by_the_checksum(serve: Callable[..., FaultyWeb], tmp_path: Path) -> None:
    md5 = f'"{hashlib.md5(LARGE).hexdigest()}"'
    damaged = bytearray(LARGE)
    damaged[1_500_000] ^= 1
    with pytest.raises(IncompleteError, match="etag_md5"):
        fetch(serve(lambda x: ranged(x, bytes(damaged), tag=md5)), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_silence_in_all_ranges_ends_in_time(serve: Callable[..., FaultyWeb], tmp_path: Path) -> None:
    ending, outlasted = threading.Event(), []

    def answer(x: Exchange) -> None:
        ranged(x, LARGE, most=1000 if x.number < 4 else 0)
        if x.method == "GET" and not ending.wait(60):
            outlasted.append(x.number)

    with pytest.raises(SourceUnreachableError, match=r"big\.bin"):
        fetch(serve(answer), tmp_path, replace(HASTY, read_s=0.2, stall_s=0.2, no_news_s=0.6))
    assert outlasted == []
    ending.set()


@pytest.mark.parametrize("where", ["Content_Length", "Content_Range"])
def test_a_number_of_bytes_of_5000_digits_is_an_error_of_the_server(
    serve: Callable[..., FaultyWeb], tmp_path: Path, where: str
) -> None:
    """Python refuses to read such a number, with an error that says nothing of the file."""
    digits = "9" * 5000

    def answer(x: Exchange) -> None:
        end = len(LARGE)
        said = {"Content_Length": end, "ETag": etag(LARGE), "Content_Range": f"bytes 0-{end - 1}/{end}"}
        x.head(206, **{**said, where: digits if where == "Content_Length" else f"bytes 0-{digits}/{digits}"})
        x.body(LARGE)

    with pytest.raises((IncompleteError, SourceUnreachableError), match=r"big\.bin"):
        fetch(serve(answer), tmp_path)
    assert not (tmp_path / "big.bin").exists()
