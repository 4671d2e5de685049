"""Many small files come quickly and no less surely: whatever is odd about one is left to the careful way."""

import hashlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from faulty_web import Exchange, FaultyWeb, etag, faulty_web

from em_assets.errors import SourceError, SourceMissingError, SourceUnreachableError, StoreError
from em_assets.model import RawFile, RemoteFile, Source
from em_assets.sources import files, unnamed
from em_assets.sources.job import Job
from em_assets.sources.origins import PUBLIC_ORIGIN
from em_assets.sources.wire import Patience

CONTENTS = {f"{number:03}": hashlib.sha256(bytes([number])).digest() * (1 + 100 * number) for number in range(60)}
HASTY = Patience(tries=4, first_pause_s=0.005, longest_pause_s=0.02, connect_s=1, read_s=0.5, stall_s=0.5, no_news_s=1)
Answer = Callable[[Exchange, bytes], bool | None]


@pytest.fixture
def serve() -> Iterator[Callable[[Answer], FaultyWeb]]:
    with ExitStack() as stack:
        yield lambda answer: stack.enter_context(
            faulty_web({"d": lambda x, _: answer(x, CONTENTS[x.path.removeprefix("/d/")])})
        )


def well(x: Exchange, content: bytes) -> bool:
    """As a server should, on a connection that stays open."""
    x.ranged(content)
    return True


def job(web: FaultyWeb, raw_dir: Path, patience: Patience = HASTY) -> Job:
    remotes = tuple(
        RemoteFile(path=f"{name[0]}/{name}", url=f"{web.url}/d/{name}", size_bytes=len(content), validator=None)
        for name, content in CONTENTS.items()
    )
    return Job(
        source=Source(url=f"{web.url}/d/"),
        index=0,
        prefix="",
        remotes=remotes,
        held={},
        files_dir=raw_dir / "files",
        quarantine=raw_dir / "quarantine",
        origin=PUBLIC_ORIGIN,
        patience=patience,
        log=lambda line: None,
        keep=lambda rows: None,
    )


def all_right(rows: tuple[RawFile, ...], raw_dir: Path) -> bool:
    held = {path.name: path.read_bytes() for path in (raw_dir / "files").rglob("*") if path.is_file()}
    digests = {Path(row.path).name: row.sha256 for row in rows}
    return held == CONTENTS and digests == {name: hashlib.sha256(held[name]).hexdigest() for name in held}


def test_each_is_asked_for_once_and_looked_at_again_behind_its_last_byte(
    serve: Callable[[Answer], FaultyWeb], tmp_path: Path
) -> None:
    web = serve(well)
    assert all_right(files.fetch(job(web, tmp_path / "x")), tmp_path / "x")
    asked = [method for method, _, _ in web.asked]
    assert (asked.count("GET"), asked.count("HEAD")) == (60, 60)


@pytest.mark.parametrize("has_unnamed", [True, False], ids=["without a name", "beside it"])
def test_a_file_that_is_there_already_is_replaced(
    serve: Callable[[Answer], FaultyWeb], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_unnamed: bool
) -> None:
    """It came with a run that was killed before it could note it; what that run had begun is there too."""
    if not has_unnamed:
        monkeypatch.setattr(unnamed, "_FLAG", 0)
    folder = tmp_path / "x/files/0"
    folder.mkdir(parents=True)
    (folder / "007").write_bytes(b"of another version")
    assert all_right(files.fetch(job(serve(well), tmp_path / "x")), tmp_path / "x")


def test_few_connections_have_several_questions_on_them(tmp_path: Path) -> None:
    """Behind a connection's first file the server answers nothing before it has been asked for eight more."""
    with asked_by_the_handful(8) as (url, asked):
        web = FaultyWeb(url)
        assert all_right(files.fetch(job(web, tmp_path / "x", replace(HASTY, connections=1))), tmp_path / "x")
    assert sorted(asked) == sorted(f"/d/{name}" for name in CONTENTS)


@contextmanager
def asked_by_the_handful(n_at_once: int) -> Iterator[tuple[str, list[str]]]:
    """A server that once waits for so many GETs on a connection before it answers them; the paths of all."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            super().setup()
            self.waiting: list[tuple[str, str]] = []
            self.n_answered = 0

        def do_GET(self) -> None:
            asked.append(self.path)
            self.waiting.append(("GET", self.path))

        def do_HEAD(self) -> None:
            self.waiting.append(("HEAD", self.path))
            n_gets = sum(method == "GET" for method, _ in self.waiting)
            if self.n_answered == 1 and n_gets < n_at_once:
                return
            self.n_answered += n_gets
            for method, path in self.waiting:
                content = CONTENTS[path.removeprefix("/d/")]
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.send_header("ETag", etag(content))
                self.end_headers()
                self.wfile.write(content if method == "GET" else b"")
            self.waiting = []

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", asked
    finally:
        server.shutdown()
        server.server_close()


def test_where_the_server_says_checksums_nothing_is_looked_at_again(
    serve: Callable[[Answer], FaultyWeb], tmp_path: Path
) -> None:
    def answer(x: Exchange, content: bytes) -> bool:
        x.plain(content, ETag=f'"{hashlib.md5(content).hexdigest()}"')
        return True

    web = serve(answer)
    assert all_right(files.fetch(job(web, tmp_path / "x", replace(HASTY, connections=1))), tmp_path / "x")
    assert [method for method, _, _ in web.asked].count("HEAD") == 1  # with the first, when nobody knew


def closes_each_time(x: Exchange, content: bytes) -> bool:
    """Every answer is the last on its connection."""
    x.ranged(content)
    return False


def says_it_closes(x: Exchange, content: bytes) -> bool:
    """As above, and it says so."""
    x.ranged(content, Connection="close")
    return False


def no_head(x: Exchange, content: bytes) -> bool:
    """It knows no HEAD."""
    x.head(405, Content_Length=0) if x.method == "HEAD" else x.ranged(content)
    return True


def in_chunks(x: Exchange, content: bytes) -> bool:
    """No length, but an end of its own."""
    x.head(200, Transfer_Encoding="chunked", ETag=etag(content))
    x.body(b"%x\r\n" % len(content) + content + b"\r\n0\r\n\r\n")
    return True


def busy_first(x: Exchange, content: bytes) -> bool:
    """Each file is refused once."""
    x.head(503, Content_Length=0) if x.number == 0 and x.method == "GET" else x.ranged(content)
    return True


def breaks_off_once(x: Exchange, content: bytes) -> bool:
    """Each file breaks off once, half-way."""
    x.ranged(content, len(content) // 2 if x.number == 0 else None)
    return x.number > 0


def damaged_once(x: Exchange, content: bytes) -> bool:
    """A bit is wrong, once, under the MD5 of the right ones."""
    sent = content if x.number else content[:-1] + bytes([content[-1] ^ 1])
    x.plain(sent, ETag=f'"{hashlib.md5(content).hexdigest()}"')
    return True


def changes_once(x: Exchange, content: bytes) -> bool:
    """Another version is there by the time that its first bytes have been sent."""
    sent = content if x.number else content[::-1]
    x.plain(sent, ETag=etag(sent))
    return True


def closes_without_a_word(x: Exchange, content: bytes) -> bool:
    """Now and then, also where questions are still to be answered."""
    x.ranged(content)
    return len(content) % 700 != 0 or x.method == "GET"


ODD = [
    closes_each_time,
    says_it_closes,
    no_head,
    in_chunks,
    busy_first,
    breaks_off_once,
    damaged_once,
    changes_once,
    closes_without_a_word,
]


@pytest.mark.parametrize("answer", ODD)
def test_what_is_odd_ends_with_the_right_bytes(
    serve: Callable[[Answer], FaultyWeb], tmp_path: Path, answer: Answer
) -> None:
    assert all_right(files.fetch(job(serve(answer), tmp_path / "x")), tmp_path / "x")


def test_a_large_one_may_take_long_as_long_as_it_comes(tmp_path: Path) -> None:
    """Three blocks, each in half of the time that one may take; all together take longer."""
    content = hashlib.sha256(b"x").digest() * (3 << 15)

    def slowly(x: Exchange, ending: threading.Event) -> bool:
        x.head(200, Content_Length=len(content), ETag=etag(content))
        for at in range(0, len(content), 1 << 19):
            ending.wait(0.06)
            x.body(content[at : at + (1 << 19)])
        return True

    with faulty_web({"d": slowly}) as web:
        remote = RemoteFile(path="large", url=f"{web.url}/d/large", size_bytes=len(content), validator=None)
        (row,) = files.fetch(replace(job(web, tmp_path / "x"), remotes=(remote,)))
    assert row.sha256 == hashlib.sha256(content).hexdigest()
    assert [method for method, _, _ in web.asked] == ["GET", "HEAD"]


def test_bytes_that_came_before_it_broke_off_are_not_fetched_again(
    serve: Callable[[Answer], FaultyWeb], tmp_path: Path
) -> None:
    web = serve(breaks_off_once)
    files.fetch(job(web, tmp_path / "x"))
    assert sum(web.sent.values()) == sum(map(len, CONTENTS.values()))


def test_more_bytes_than_declared_are_not_taken_for_a_file(
    serve: Callable[[Answer], FaultyWeb], tmp_path: Path
) -> None:
    def answer(x: Exchange, content: bytes) -> bool:
        x.head(200, Content_Length=len(content), ETag=etag(content))
        x.body(content + b"more")
        return True

    with pytest.raises(SourceError, match="more bytes than declared"):
        files.fetch(job(serve(answer), tmp_path / "x"))


def more_and_closes(x: Exchange, content: bytes) -> bool:
    """Its length is too small, and the connection ends behind what is too much."""
    x.head(200, Content_Length=len(content), ETag=etag(content), Connection="close")
    x.body(content + b"more")
    return False


def more_as_of_old(x: Exchange, content: bytes) -> bool:
    """As above, by HTTP/1.0, which is what small servers speak."""
    head = f"HTTP/1.0 200 OK\r\nContent-Length: {len(content)}\r\nETag: {etag(content)}\r\n\r\n"
    x.connection.sendall(head.encode())
    x.body(content + b"more")
    return False


@pytest.mark.parametrize("answer", [more_and_closes, more_as_of_old])
def test_more_bytes_than_declared_are_seen_on_a_connection_that_ends(
    serve: Callable[[Answer], FaultyWeb], tmp_path: Path, answer: Answer
) -> None:
    """The HEAD behind the file opened another connection, and what the first still held was forgotten."""
    with pytest.raises(SourceError, match="more bytes than declared"):
        files.fetch(job(serve(answer), tmp_path / "x"))


def test_a_file_that_is_gone_behind_its_last_byte_is_not_taken(
    serve: Callable[[Answer], FaultyWeb], tmp_path: Path
) -> None:
    """Nobody could tell whether it was removed, or replaced, while it was sent; of a large one it was an error."""

    def answer(x: Exchange, content: bytes) -> bool:
        x.head(404, Content_Length=0) if x.method == "HEAD" else x.ranged(content)
        return True

    with pytest.raises(SourceMissingError, match="HTTP 404"):
        files.fetch(job(serve(answer), tmp_path / "x"))


@pytest.mark.parametrize("has_unnamed", [True, False], ids=["without a name", "beside it"])
def test_a_folder_in_the_place_of_a_file_leaves_nothing_beside_it(
    serve: Callable[[Answer], FaultyWeb], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_unnamed: bool
) -> None:
    if not has_unnamed:
        monkeypatch.setattr(unnamed, "_FLAG", 0)
    (tmp_path / "x/files/0/007/in").mkdir(parents=True)
    with pytest.raises(StoreError, match=r"cannot be written .* 0/007"):
        files.fetch(job(serve(well), tmp_path / "x"))
    assert not list((tmp_path / "x/files").rglob(".*"))


def test_files_that_are_there_are_noted_though_another_cannot_be_written(
    serve: Callable[[Answer], FaultyWeb], tmp_path: Path
) -> None:
    """What the other connections were at came a moment later, and the next run fetched it again."""

    def answer(x: Exchange, content: bytes) -> bool:
        threading.Event().wait(0 if x.path.endswith("000") else 0.05)
        return well(x, content)

    (tmp_path / "x/files/0/000/in").mkdir(parents=True)
    noted: list[str] = []
    with pytest.raises(StoreError, match=r"cannot be written .* 0/000"):
        files.fetch(
            replace(job(serve(answer), tmp_path / "x"), keep=lambda rows: noted.extend(row.path for row in rows))
        )
    there = {path.relative_to(tmp_path / "x/files").as_posix() for path in (tmp_path / "x/files").rglob("*")}
    assert {path for path in there if (tmp_path / "x/files" / path).is_file()} == set(noted)
    assert noted


def test_a_full_disk_ends_it_by_name(serve: Callable[[Answer], FaultyWeb], tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "files").write_text("in the way of a folder")
    with pytest.raises(StoreError, match=r"files.*bytes needed"):
        files.fetch(job(serve(well), tmp_path / "x"))


def test_an_error_in_one_ends_all_threads(serve: Callable[[Answer], FaultyWeb], tmp_path: Path) -> None:
    def answer(x: Exchange, content: bytes) -> bool:
        x.head(404, Content_Length=0) if x.path.endswith("007") else x.ranged(content)
        return True

    before = threading.active_count()
    with pytest.raises(SourceError, match="/d/007: HTTP 404"):
        files.fetch(job(serve(answer), tmp_path / "x"))
    assert sum(thread.name.startswith("ThreadPool") for thread in threading.enumerate()) <= before


def silent(x: Exchange, content: bytes) -> bool:
    """GET is never answered."""
    if x.method == "GET":
        x.connection.settimeout(20)
        x.connection.recv(1)
    return True


def resets_late(x: Exchange, content: bytes) -> bool:
    """No answer, after half a while, which is no time-out."""
    threading.Event().wait(0.1)
    return False


@pytest.mark.parametrize("answer", [silent, resets_late])
def test_a_dead_server_makes_nobody_wait_for_each_file(
    serve: Callable[[Answer], FaultyWeb], tmp_path: Path, answer: Answer
) -> None:
    """Of 60 files, four at a time, few are asked for at all."""
    patience = replace(HASTY, tries=1, read_s=0.4, stall_s=0.4, no_news_s=0.4)
    web = serve(answer)
    with pytest.raises(SourceUnreachableError, match="/d/"):
        files.fetch(job(web, tmp_path / "x", patience))
    assert len({path for _, path, _ in web.asked}) < 20


def test_a_dead_server_is_waited_for_once(serve: Callable[[Answer], FaultyWeb], tmp_path: Path) -> None:
    """The thread of the first file that failed began another one, and all of its patience anew."""
    patience = replace(HASTY, connections=2, connect_s=1, read_s=1, stall_s=1, no_news_s=2, longest_pause_s=0.1)
    began_at = time.monotonic()
    with pytest.raises(SourceUnreachableError, match="/d/"):
        files.fetch(job(serve(silent), tmp_path / "x", patience))
    assert time.monotonic() - began_at < 3.4


def test_files_behind_one_that_made_wait_are_fetched_all_the_same(
    serve: Callable[[Answer], FaultyWeb], tmp_path: Path
) -> None:
    def answer(x: Exchange, content: bytes) -> bool:
        if x.path.endswith("003") and x.number == 0 and x.method == "GET":
            return silent(x, content)
        return well(x, content)

    patience = replace(HASTY, connections=1, read_s=0.2)
    assert all_right(files.fetch(job(serve(answer), tmp_path / "x", patience)), tmp_path / "x")


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_an_error_of_whoever_keeps_the_files_ends_the_others(
    serve: Callable[[Answer], FaultyWeb], tmp_path: Path, error: type[BaseException]
) -> None:
    """Ctrl-C, or a journal on a full disk: what is still to come is nobody's any more."""

    def answer(x: Exchange, content: bytes) -> bool:
        threading.Event().wait(0.02)
        return well(x, content)

    def keep(rows: Sequence[RawFile]) -> None:
        raise error("stop")

    web = serve(answer)
    with pytest.raises(error, match="stop"):
        files.fetch(replace(job(web, tmp_path / "x", replace(HASTY, connections=2)), keep=keep))
    assert len({path for _, path, _ in web.asked}) < 10
