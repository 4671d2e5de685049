"""A lock file gives the same bytes to somebody else, or says what differs; replaced versions stay until removed."""

import hashlib
import os
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from faulty_web import PAYLOAD, Exchange, faulty_web
from scripted_server import Script

from em_assets.errors import IncompleteError, SourceError, SourceMissingError, SourceUnreachableError, StoreError
from em_assets.model import RawFile, Source
from em_assets.sources import Acquired, acquire
from em_assets.sources.manifest import (
    Journal,
    drop_bytes,
    dropped_paths,
    read_dropped,
    read_lock,
    remove_old,
    write_lock,
)
from em_assets.sources.origins import Origin
from em_assets.sources.wire import Patience

Fetch = Callable[..., Acquired]
SOURCE = Source(url="https://a.org/data/")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    root = tmp_path / "archive" / "http" / "a.org" / "data"
    root.mkdir(parents=True)
    for name in ("a", "b"):
        (root / f"{name}.tif").write_bytes(b"II*\0" + name.encode() * 50)
    return root


@pytest.fixture
def fetch(archive: Origin, hurried: Patience) -> Fetch:
    def run(raw_dir: Path, *, locked: bool = False) -> Acquired:
        return acquire([SOURCE], archive, raw_dir, log=str, patience=hurried, locked=locked)

    return run


@pytest.fixture
def mine(data: Path, fetch: Fetch, tmp_path: Path) -> Path:
    fetch(tmp_path / "mine")
    return tmp_path / "mine"


@pytest.fixture
def theirs(mine: Path, tmp_path: Path) -> Path:
    """A colleague's raw folder, with nothing but my lock file in it."""
    folder = tmp_path / "theirs"
    folder.mkdir()
    shutil.copy(mine / "lock.toml", folder)
    return folder


def test_the_lock_names_every_file_with_its_digest(mine: Path, data: Path) -> None:
    rows = read_lock(mine)
    assert [(row.path, row.url, row.size_bytes) for row in rows] == [
        ("a.tif", "https://a.org/data/a.tif", 54),
        ("b.tif", "https://a.org/data/b.tif", 54),
    ]
    assert rows[0].sha256 == hashlib.sha256((data / "a.tif").read_bytes()).hexdigest()


def test_a_colleague_gets_the_same_bytes(mine: Path, theirs: Path, fetch: Fetch) -> None:
    lock = (theirs / "lock.toml").read_bytes()
    assert fetch(theirs, locked=True).fetched == 2
    assert fetch(theirs, locked=True).fetched == 0
    assert (theirs / "lock.toml").read_bytes() == lock
    assert (theirs / "files" / "a.tif").read_bytes() == (mine / "files" / "a.tif").read_bytes()


def _longer(data: Path) -> None:
    (data / "b.tif").write_bytes(b"II*\0longer" + bytes(100))


def _other(data: Path) -> None:
    (data / "b.tif").write_bytes(b"II*\0" + b"c" * 50)


def _more(data: Path) -> None:
    (data / "c.tif").write_bytes(b"II*\0")


def _fewer(data: Path) -> None:
    (data / "b.tif").unlink()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        pytest.param(_longer, r"differs from the lock: .*b\.tif: 54 bytes listed, 110 declared", id="another-size"),
        pytest.param(_other, r"differs from the lock: .*b\.tif: sha256 [0-9a-f]{64} declared", id="other-bytes"),
        pytest.param(_fewer, r"differs from the lock: .*b\.tif", id="one-less"),
    ],
)
def test_a_difference_is_named(
    theirs: Path, data: Path, fetch: Fetch, change: Callable[[Path], None], named: str
) -> None:
    change(data)
    with pytest.raises((IncompleteError, SourceMissingError), match=named):
        fetch(theirs, locked=True)
    assert not (theirs / "manifest.parquet").exists()
    assert not (theirs / "files" / "b.tif").exists()


def test_a_listing_that_is_gone_or_has_grown_hinders_nobody(theirs: Path, script: Script, hurried: Patience) -> None:
    """Archives close their indexes, and add files; those that the lock names are still at their addresses."""
    row = read_lock(theirs)[0]
    url = script.says("/data/a.tif", b"II*\0" + b"a" * 50).removesuffix("a.tif")
    write_lock(theirs, [row.model_copy(update={"url": f"{url}a.tif"})], "f")
    got = acquire([Source(url=url)], Origin("public"), theirs, log=str, patience=hurried, locked=True)
    assert (got.fetched, got.fingerprint) == (1, "f")
    assert (theirs / "files" / "a.tif").read_bytes() == b"II*\0" + b"a" * 50
    assert got.files == (row.model_copy(update={"url": f"{url}a.tif"}),)


def test_more_files_than_the_lock_names_are_not_fetched(theirs: Path, data: Path, fetch: Fetch) -> None:
    _more(data)
    assert fetch(theirs, locked=True).fetched == 2
    assert not (theirs / "files" / "c.tif").exists()
    assert fetch(theirs).fetched == 1


def test_what_is_held_and_not_in_the_lock_is_let_go_and_its_bytes_are_kept(
    mine: Path, data: Path, fetch: Fetch
) -> None:
    lock = (mine / "lock.toml").read_text()
    _more(data)
    assert fetch(mine).fetched == 1
    (mine / "lock.toml").write_text(lock)
    assert [row.path for row in fetch(mine, locked=True).files] == ["a.tif", "b.tif"]
    assert (mine / "old" / hashlib.sha256(b"II*\0").hexdigest()).read_bytes() == b"II*\0"


def test_the_same_bytes_under_another_time_are_the_lock_s(theirs: Path, data: Path, fetch: Fetch) -> None:
    """An archive that moved its files has other validators; the lock demands bytes."""
    for file in data.iterdir():
        os.utime(file, (1_700_000_000, 1_700_000_000))
    assert fetch(theirs, locked=True).fetched == 2
    assert fetch(theirs, locked=True).kept == 2


@pytest.mark.parametrize(
    ("change", "named"),
    [
        pytest.param({"url": "https://elsewhere.org/a.tif"}, r"a\.tif: .*elsewhere.* not where", id="another-server"),
        pytest.param({"url": "file:///etc/passwd"}, r"a\.tif: .*passwd.* not where", id="this-machine"),
        pytest.param({"url": "https://a.org/data/../../x"}, r"a\.tif: .* not where", id="above"),
        pytest.param({"path": "a.bin", "url": "https://a.org/data/a.bin"}, r"a\.bin: .*`include`", id="not-asked-for"),
        pytest.param({"path": "c_secret.tif", "url": "https://a.org/data/c_secret.tif"}, r"`exclude`", id="excluded"),
        pytest.param({"url": "https://a.org/data/"}, r"a\.tif: https://a\.org/data/ .* not where", id="the-index"),
        pytest.param({"path": "../a.tif"}, r"\.\./a\.tif", id="out-of-the-store"),
        pytest.param({"source": 7}, r"a\.tif: of a source that the dataset lacks", id="no-source"),
    ],
)
def test_a_lock_that_leads_elsewhere_is_refused(
    theirs: Path, archive: Origin, hurried: Patience, change: dict[str, Any], named: str
) -> None:
    rows = read_lock(theirs)
    write_lock(theirs, [rows[0].model_copy(update=change), *rows[1:]], "f")
    source = Source(url=SOURCE.url, include=("*.tif",), exclude=("*secret*",))
    with pytest.raises(SourceError, match=named):
        acquire([source], archive, theirs, log=str, patience=hurried, locked=True)
    assert not (theirs / "files").exists()


@pytest.mark.parametrize(("path", "name"), [("/one/a.tif", "a.tif"), ("/api/entry/EMPIAR-1/", "EMPIAR-1.json")])
def test_the_one_file_that_an_address_is_keeps_its_name_under_a_lock(
    theirs: Path, script: Script, hurried: Patience, path: str, name: str
) -> None:
    """An address was good for any path: the lock said what the file is called, and so what it is taken for."""
    source = Source(url=script.says(path, b"{}", headers={"Content-Type": "application/json"}))
    (row,) = acquire([source], Origin("public"), theirs, log=str, patience=hurried).files
    assert (row.path, row.url) == (name, source.url)
    (theirs / "manifest.parquet").unlink()
    assert acquire([source], Origin("public"), theirs, log=str, patience=hurried, locked=True).files == (row,)
    write_lock(theirs, [row.model_copy(update={"path": "b.tif"})], "f")
    with pytest.raises(IncompleteError, match=r"b\.tif: .* not where the source has it"):
        acquire([source], Origin("public"), theirs, log=str, patience=hurried, locked=True)


def test_bytes_that_are_held_and_differ_are_named(mine: Path, fetch: Fetch) -> None:
    digest = read_lock(mine)[0].sha256
    text = (mine / "lock.toml").read_text().replace(digest, "0" * 64)
    (mine / "lock.toml").write_text(text)
    with pytest.raises(IncompleteError, match=rf"a\.tif: sha256 0{{64}} declared, {digest} arrived"):
        fetch(mine, locked=True)
    assert hashlib.sha256((mine / "files" / "a.tif").read_bytes()).hexdigest() == digest


@pytest.mark.parametrize("killed", [False, True], ids=["in-the-manifest", "of-a-killed-run"])
def test_bytes_that_are_held_and_differ_are_fetched_as_locked(
    theirs: Path, script: Script, hurried: Patience, killed: bool
) -> None:
    """Without validators, as of a server that sends none or a locked run that was killed, any bytes were the lock's."""
    before, after = b"II*\0" + b"a" * 50, b"II*\0" + b"b" * 50
    source = Source(url=script.says("/a.tif", before))
    (row,) = acquire([source], Origin("public"), theirs, log=str, patience=hurried).files
    assert row.validator is None
    if killed:
        (theirs / "manifest.parquet").unlink()
        Journal(theirs).add([row])
    script.says("/a.tif", after)
    locked = row.model_copy(update={"sha256": hashlib.sha256(after).hexdigest()})
    write_lock(theirs, [locked], "f")
    got = acquire([source], Origin("public"), theirs, log=str, patience=hurried, locked=True)
    assert (got.fetched, got.files) == (1, (locked,))
    assert (theirs / "files" / "a.tif").read_bytes() == after
    assert (theirs / "old" / row.sha256).read_bytes() == before


@pytest.mark.parametrize("text", [None, "file = 7", "[[file]]\npath = 'x'", "\0"])
def test_a_lock_that_cannot_be_followed_is_named(tmp_path: Path, data: Path, fetch: Fetch, text: str | None) -> None:
    raw_dir = tmp_path / "theirs"
    raw_dir.mkdir()
    if text is not None:
        (raw_dir / "lock.toml").write_text(text)
    with pytest.raises(StoreError, match=r"lock\.toml: no lock file"):
        fetch(raw_dir, locked=True)


def test_any_name_survives_the_lock(tmp_path: Path) -> None:
    row = RawFile(path='a "b"\\c é 😀 \x7f', url="x'y", size_bytes=1, sha256="0" * 64, validator='etag:"\\"', source=0)
    write_lock(tmp_path, [row], "f")
    assert read_lock(tmp_path) == (row,)


def test_a_replaced_version_stays_until_it_is_removed(mine: Path, data: Path, fetch: Fetch) -> None:
    before = (mine / "files" / "b.tif").read_bytes()
    lock = (mine / "lock.toml").read_text()
    _other(data)
    assert fetch(mine).fetched == 1
    assert (mine / "old" / hashlib.sha256(before).hexdigest()).read_bytes() == before
    assert [path.read_text() for path in (mine / "old").glob("lock-*.toml")] == [lock]
    assert remove_old(mine) == len(before) + len(lock.encode())
    assert not (mine / "old").exists()
    assert fetch(mine).fetched == 0


def test_bytes_that_were_dropped_stay_so_where_a_locked_fetch_fails(mine: Path, data: Path, archive: Origin) -> None:
    """The mark went before anything was fetched: what a lock of gone bytes cost was a download of everything else."""
    patience = Patience(tries=1, connect_s=2, read_s=2)
    rows = read_lock(mine)
    write_lock(mine, [rows[0], rows[1].model_copy(update={"sha256": "0" * 64})], "another")
    drop_bytes(mine, rows, "made of")
    with pytest.raises(IncompleteError, match=r"b\.tif: sha256 0{64} declared"):
        acquire([SOURCE], archive, mine, log=str, patience=patience, locked=True, made_of="made of")
    got = acquire([SOURCE], archive, mine, log=str, patience=patience, made_of="made of")
    assert (got.fetched, got.kept, dropped_paths(mine)) == (0, 2, {"a.tif", "b.tif"})
    got = acquire([SOURCE], archive, mine, log=str, patience=patience, made_of="made of something else")
    assert (got.fetched + got.kept, read_dropped(mine)) == (2, None)


def test_what_a_failed_fetch_put_beside_dropped_bytes_is_put_right(mine: Path, data: Path, archive: Origin) -> None:
    """The next run must not take another version of a file that was kept, of the same size, for the manifest's."""
    rows, kept = read_lock(mine), mine / "files" / "b.tif"
    drop_bytes(mine, rows[:1], "made of")
    before = kept.read_bytes()
    kept.write_bytes(before[::-1])
    arrived = {"sha256": hashlib.sha256(before[::-1]).hexdigest(), "validator": None}
    Journal(mine).add([rows[1].model_copy(update=arrived)])
    acquire([SOURCE], archive, mine, log=str, made_of="made of")
    assert kept.read_bytes() == before


@pytest.mark.parametrize("status", [503, 404], ids=["unreachable", "gone"])
def test_what_its_address_no_longer_has_comes_from_another_of_the_source(
    theirs: Path, script: Script, hurried: Patience, status: int
) -> None:
    """The listing's way goes to the fallback; the lock's asked the one address that it names.

    The manifest names the lock's, where the source has it: with one lock everybody has one manifest. A line says who
    sent the bytes.
    """
    body = b"II*\0" + b"a" * 50
    script.says("/primary/a.tif", status=status)
    script.says("/fallback/a.tif", body)
    source = Source(url=f"{script.url}/primary/", fallback_urls=(f"{script.url}/fallback/",))
    row = read_lock(theirs)[0].model_copy(update={"url": f"{source.url}a.tif", "validator": None})
    write_lock(theirs, [row], "f")
    said: list[str] = []
    assert acquire([source], Origin("public"), theirs, log=said.append, patience=hurried, locked=True).files == (row,)
    assert (theirs / "files" / "a.tif").read_bytes() == body
    assert [line for line in said if "sent by" in line] == [
        f"a.tif: sent by {script.url}/fallback/a.tif, and proved, since {row.url} did not send it"
    ]


@pytest.mark.parametrize("sent", [0, 1000], ids=["refuses", "breaks-off-too"])
def test_what_an_address_sent_before_it_broke_off_is_not_lost_to_another_that_has_nothing(
    theirs: Path, hurried: Patience, sent: int
) -> None:
    """Both wrote to one partial: of gigabytes from the first, the second left its own few, or none."""
    broken = True

    def primary(x: Exchange, _: threading.Event) -> bool:
        if x.start and broken:
            x.head(503, Content_Length=0)
        else:
            x.ranged(PAYLOAD, len(PAYLOAD) - 5000 if broken else None)
        return not broken

    def fallback(x: Exchange, _: threading.Event) -> bool:
        x.ranged(PAYLOAD, sent) if sent and not x.start else x.head(503, Content_Length=0)
        return False

    with faulty_web({"p": primary, "f": fallback}) as web:
        source = Source(url=f"{web.url}/p/", fallback_urls=(f"{web.url}/f/",))
        digest = hashlib.sha256(PAYLOAD).hexdigest()
        change = {"url": f"{web.url}/p/a.tif", "size_bytes": len(PAYLOAD), "sha256": digest}
        write_lock(theirs, [read_lock(theirs)[0].model_copy(update=change)], "f")
        with pytest.raises(SourceUnreachableError):
            acquire([source], Origin("public"), theirs, log=str, patience=hurried, locked=True)
        broken = False
        acquire([source], Origin("public"), theirs, log=str, patience=hurried, locked=True)
        assert web.sent["/p/a.tif"] == len(PAYLOAD)
    assert (theirs / "files" / "a.tif").read_bytes() == PAYLOAD
    assert [path.name for path in (theirs / "files").iterdir()] == ["a.tif"]


def test_a_server_that_does_not_answer_is_waited_for_once_and_not_for_every_file(
    theirs: Path, script: Script, hurried: Patience
) -> None:
    """A minute for each of a thousand files, before its fallback is asked, is most of a day."""
    source = Source(url=f"{script.url}/primary/", fallback_urls=(f"{script.url.replace('127.0.0.1', 'localhost')}/b/",))
    for row in read_lock(theirs):
        script.says(f"/primary/{row.path}", status=503)
        script.says(f"/b/{row.path}", b"II*\0" + row.path[:1].encode() * 50)
    write_lock(theirs, [row.model_copy(update={"url": source.url + row.path}) for row in read_lock(theirs)], "f")
    one_by_one = replace(hurried, connections=1)
    assert acquire([source], Origin("public"), theirs, log=str, patience=one_by_one, locked=True).fetched == 2
    asked = [sum(line == f"GET /primary/{name}.tif" for line in script.asked) for name in ("a", "b")]
    assert min(asked) < hurried.tries <= max(asked)


def test_addresses_that_do_not_answer_end_together_in_the_time_of_one(
    theirs: Path, script: Script, hurried: Patience
) -> None:
    """And the last one has what an earlier one, which said at once that it has nothing, did not need."""
    rows, patience = read_lock(theirs), replace(hurried, no_news_s=3.0, tries=1000)
    name = rows[0].path
    for folder, status in (("primary", 503), ("second", 404), ("third", 503)):
        script.says(f"/{folder}/{name}", status=status)
    source = Source(url=f"{script.url}/primary/", fallback_urls=(f"{script.url}/second/", f"{script.url}/third/"))
    write_lock(theirs, [rows[0].model_copy(update={"url": source.url + name})], "f")
    began = time.monotonic()
    with pytest.raises(SourceUnreachableError, match="none of its addresses has it"):
        acquire([source], Origin("public"), theirs, log=str, patience=patience, locked=True)
    assert time.monotonic() - began < 1.5 * patience.no_news_s
    n_asked = {folder: script.asked.count(f"GET /{folder}/{name}") for folder in ("primary", "second", "third")}
    assert n_asked["second"] == 1
    assert n_asked["third"] > n_asked["primary"] > 1


def test_where_none_of_the_addresses_has_it_all_are_named(theirs: Path, script: Script, hurried: Patience) -> None:
    source = Source(url=f"{script.url}/primary/", fallback_urls=(f"{script.url}/fallback/",))
    write_lock(theirs, [read_lock(theirs)[0].model_copy(update={"url": f"{source.url}a.tif"})], "f")
    with pytest.raises(SourceMissingError, match=r"the lock: a\.tif: .*/primary/a.* 404.*/fallback/a.* 404"):
        acquire([source], Origin("public"), theirs, log=str, patience=hurried, locked=True)
