"""A file is whole at its final name, or it is not there."""

import hashlib
from pathlib import Path

import pytest
from scripted_server import Script

from em_assets.errors import (
    IncompleteError,
    PlanTooLargeError,
    SourceError,
    SourceMissingError,
    SourceUnreachableError,
    StoreError,
)
from em_assets.model import RemoteFile, Source
from em_assets.sources import acquire
from em_assets.sources.origins import PUBLIC_ORIGIN
from em_assets.sources.transfer import Demand, fetch_file
from em_assets.sources.wire import Patience

BODY = b"II*\0" + bytes(range(256)) * 8


def listed(url: str, size_bytes: int | None = len(BODY), validator: str | None = None) -> RemoteFile:
    return RemoteFile(path="a.tif", url=url, size_bytes=size_bytes, validator=validator)


def test_a_file_arrives_whole_with_its_digest_and_leaves_no_partial(
    script: Script, hurried: Patience, tmp_path: Path
) -> None:
    fetched = fetch_file(
        listed(script.says("/a.tif", BODY)), tmp_path / "new" / "a.tif", PUBLIC_ORIGIN, patience=hurried
    )
    assert (tmp_path / "new" / "a.tif").read_bytes() == BODY
    assert fetched == (hashlib.sha256(BODY).hexdigest(), len(BODY))
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.tif"]


def test_an_error_that_may_pass_is_asked_again(script: Script, hurried: Patience, tmp_path: Path) -> None:
    url = script.says("/a.tif", BODY, refusals=2)
    assert fetch_file(listed(url), tmp_path / "a.tif", PUBLIC_ORIGIN, patience=hurried).size_bytes == len(BODY)
    assert script.asked == ["GET /a.tif"] * 3 + ["HEAD /a.tif"]


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_what_will_not_pass_is_asked_once_and_named(
    script: Script, hurried: Patience, tmp_path: Path, status: int
) -> None:
    url = script.says("/a.tif", status=status)
    with pytest.raises(SourceMissingError, match=f"/a.tif: HTTP {status}"):
        fetch_file(listed(url), tmp_path / "a.tif", PUBLIC_ORIGIN, patience=hurried)
    assert len(script.asked) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("size_bytes", "body", "headers"),
    [
        pytest.param(len(BODY), BODY[:99], {"Content-Length": str(len(BODY))}, id="breaks-off"),
        pytest.param(len(BODY), BODY[:99], {}, id="shorter-than-listed"),
        pytest.param(len(BODY), BODY + b"x", {"Content-Length": ""}, id="longer-than-listed"),
        pytest.param(len(BODY), BODY[:99], {"Content-Length": ""}, id="breaks-off-undeclared"),
        pytest.param(None, BODY, {"Content-Length": ""}, id="nobody-says-the-size"),
        pytest.param(None, BODY, {"Content-Length": "9" * 5000}, id="a-length-of-5000-digits"),
    ],
)
def test_other_bytes_than_declared_are_never_at_the_final_name(
    script: Script, hurried: Patience, tmp_path: Path, size_bytes: int | None, body: bytes, headers: dict[str, str]
) -> None:
    """11 of 13 HTTP clients keep half a file in silence when the body is cut and no length was sent."""
    url = script.says("/a.tif", body, headers=headers)
    (tmp_path / "a.tif").write_bytes(b"old")
    with pytest.raises((IncompleteError, SourceUnreachableError), match=r"/a\.tif"):
        fetch_file(listed(url, size_bytes), tmp_path / "a.tif", PUBLIC_ORIGIN, patience=hurried)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"old"]


def test_a_file_that_changed_since_it_was_listed_is_refused(script: Script, hurried: Patience, tmp_path: Path) -> None:
    url = script.says("/a.tif", BODY, headers={"ETag": '"new"'})
    with pytest.raises(IncompleteError, match="changed in between"):
        fetch_file(listed(url, validator='etag:"old"'), tmp_path / "a.tif", PUBLIC_ORIGIN, patience=hurried)


def test_a_web_page_saved_as_data_goes_to_quarantine(script: Script, hurried: Patience, tmp_path: Path) -> None:
    page = b"\n<!DOCTYPE html><html>Please log in</html>"
    url = script.says("/a.tif", page)
    with pytest.raises(IncompleteError, match="a web page saved as data"):
        fetch_file(
            listed(url, len(page)), tmp_path / "a.tif", PUBLIC_ORIGIN, patience=hurried, quarantine=tmp_path / "bad"
        )
    assert not (tmp_path / "a.tif").exists()
    assert (tmp_path / "bad" / "a.tif").read_bytes() == page
    assert "a web page" in (tmp_path / "bad" / "a.tif.reason.txt").read_text()


NO_DATA = {
    "an error page": b'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>AccessDenied</Code></Error>',
    "a git-LFS pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 12345\n",
    "text": b"You are not allowed to read this file. Ask its owner for access.\n",
}


@pytest.mark.parametrize("kind", NO_DATA)
def test_words_under_the_name_of_an_image_go_to_quarantine_each_time(
    script: Script, hurried: Patience, tmp_path: Path, kind: str
) -> None:
    """Kept once, they would count as held, and nobody would ask for the image again."""
    url = script.says("/a.mrc", NO_DATA[kind])
    for _ in range(2):
        with pytest.raises(IncompleteError, match=f"{kind}.*saved as data.*kept at"):
            acquire([Source(url=url)], PUBLIC_ORIGIN, tmp_path / "raw" / "x", log=str, patience=hurried)
    assert (tmp_path / "quarantine" / "x" / "a.mrc").read_bytes() == NO_DATA[kind]


@pytest.mark.parametrize("name", ["a.xml", "a.txt", "README", "0.0.1"])
@pytest.mark.parametrize("kind", NO_DATA)
def test_words_under_a_name_that_may_hold_words_are_kept(
    script: Script, hurried: Patience, tmp_path: Path, kind: str, name: str
) -> None:
    """Whether they stand in the place of a chunk, a check tells, which knows what lies around them."""
    url = script.says(f"/{name}", NO_DATA[kind])
    assert acquire([Source(url=url)], PUBLIC_ORIGIN, tmp_path / "raw", log=str, patience=hurried).fetched == 1


def test_bytes_are_kept_as_stored_and_a_coding_nobody_asked_for_is_refused(
    script: Script, hurried: Patience, tmp_path: Path
) -> None:
    url = script.says("/a.tif", BODY, headers={"Content-Encoding": "gzip"})
    with pytest.raises(SourceError, match="plain bytes asked for, gzip sent"):
        fetch_file(listed(url), tmp_path / "a.tif", PUBLIC_ORIGIN, patience=hurried)


def test_a_file_of_undeclared_size_stops_at_max_bytes(script: Script, hurried: Patience, tmp_path: Path) -> None:
    chunked = b"800\r\n" + b"a" * 2048 + b"\r\n0\r\n\r\n"
    headers = {"Content-Length": "", "Transfer-Encoding": "chunked"}
    url = script.says("/a.tif", chunked, headers=headers)
    with pytest.raises(PlanTooLargeError, match="max_bytes = 1,000"):
        fetch_file(listed(url, None), tmp_path / "a.tif", PUBLIC_ORIGIN, patience=hurried, demand=Demand(1000))


def test_a_server_that_is_not_there_is_unreachable(hurried: Patience, tmp_path: Path) -> None:
    with pytest.raises(SourceUnreachableError, match=r"127\.0\.0\.1:9/a"):
        fetch_file(listed("http://127.0.0.1:9/a.tif"), tmp_path / "a.tif", PUBLIC_ORIGIN, patience=hurried)


def test_a_disk_that_cannot_be_written_is_the_stores_error(script: Script, hurried: Patience, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way of a folder")
    with pytest.raises(StoreError, match=f"bytes needed: {len(BODY):,}"):
        fetch_file(listed(script.says("/a.tif", BODY)), tmp_path / "file" / "a.tif", PUBLIC_ORIGIN, patience=hurried)


@pytest.mark.parametrize(
    "to", ["http://[bad/x", "http://127.0.0.1:99999/x", "http://127.0.0.1:x/", f"http://{'a' * 70}.org/x"]
)
def test_a_file_that_is_sent_on_to_no_address_is_an_error_in_words(
    script: Script, hurried: Patience, tmp_path: Path, to: str
) -> None:
    """It ended in a ValueError of Python's own."""
    url = script.says("/a.tif", status=302, headers={"Location": to})
    with pytest.raises(SourceError, match=r"/a\.tif: sent on to .*, which is no web address"):
        fetch_file(listed(url, 3), tmp_path / "a.tif", PUBLIC_ORIGIN, patience=hurried)


@pytest.mark.parametrize("to", ["/é b.tif", "/%C3%A9%20b.tif"])
def test_a_file_that_is_sent_on_to_a_name_in_plain_letters_arrives(
    script: Script, hurried: Patience, tmp_path: Path, to: str
) -> None:
    """Headers are read as Latin-1, and sent in UTF-8 by who does not escape them."""
    url = script.says("/a.tif", status=302, headers={"Location": to.encode().decode("latin-1")})
    script.says("/%C3%A9%20b.tif", b"abc")
    fetch_file(listed(url, 3), tmp_path / "a.tif", PUBLIC_ORIGIN, patience=hurried)
    assert (tmp_path / "a.tif").read_bytes() == b"abc"


@pytest.mark.parametrize("length", ["3, 3", "3,3"])
def test_a_length_that_is_said_twice_is_a_length(
    script: Script, hurried: Patience, tmp_path: Path, length: str
) -> None:
    """By RFC 9110, 8.6, as of a server behind another; its files were of unknown size."""
    url = script.says("/a.tif", b"abc", headers={"Content-Length": length})
    acquire([Source(url=url)], PUBLIC_ORIGIN, tmp_path / "raw", log=str, patience=hurried)
    assert (tmp_path / "raw" / "files" / "a.tif").read_bytes() == b"abc"


def test_the_reason_finds_room_beside_the_longest_name(script: Script, hurried: Patience, tmp_path: Path) -> None:
    """What was wrong with the file became a disk that cannot be written: its name with `.reason.txt` was too long."""
    name = f"{'n' * 251}.tif"
    remote = listed(script.says(f"/{name}", b"<html>no"), 8).model_copy(update={"path": name})
    with pytest.raises(IncompleteError, match="a web page saved as data"):
        fetch_file(remote, tmp_path / name, PUBLIC_ORIGIN, patience=hurried, quarantine=tmp_path / "quarantine")
    assert (tmp_path / "quarantine" / name).read_bytes() == b"<html>no"
    (reason,) = (tmp_path / "quarantine").glob("*.reason.txt")
    assert "a web page saved as data" in reason.read_text()


@pytest.mark.parametrize(
    ("status", "error"), [(202, SourceUnreachableError), (201, SourceError), (204, SourceError), (205, SourceError)]
)
def test_an_answer_that_is_good_and_no_file_is_not_taken_for_one(
    script: Script, hurried: Patience, tmp_path: Path, status: int, error: type[SourceError]
) -> None:
    """202 says that the file is being brought from a tape; what came with it was kept as the file."""
    url = script.says("/a.json", b'{"wait": 1}', status=status)
    remote = RemoteFile(path="a.json", url=url, size_bytes=None, validator=None)
    with pytest.raises(error, match=f"HTTP {status}"):
        fetch_file(remote, tmp_path / "a.json", PUBLIC_ORIGIN, patience=hurried)
    assert not list(tmp_path.glob("*"))
