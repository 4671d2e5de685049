"""A folder of many files: their sizes are asked for in rows, and whatever a server makes of that, the list is right."""

import os
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from faulty_ftp import faulty_ftp
from faulty_web import Exchange, etag, faulty_web

from em_assets.errors import SourceMissingError, SourceUnreachableError
from em_assets.model import Source
from em_assets.sources import acquire, observe
from em_assets.sources.origins import PUBLIC_ORIGIN
from em_assets.sources.wire import Patience

CONTENTS = {f"slice_{number:03}.tif": bytes(10 + number) for number in range(100)}
INDEX = "".join(f'<a href="{name}">x</a>' for name in CONTENTS).encode()
HASTY = Patience(tries=2, first_pause_s=0.005, longest_pause_s=0.02, connect_s=1, read_s=0.6, stall_s=0.6, listing_s=1)
ASKED: Counter[int] = Counter()
"""HEADs by connection."""

Answer = Callable[[Exchange, bytes], bool | None]


def well(x: Exchange, content: bytes) -> bool:
    x.plain(content, ETag=etag(content))
    return True


def closes_now_and_then(x: Exchange, content: bytes) -> bool:
    """As Apache behind every hundredth answer, and says so."""
    is_last = ASKED[id(x.connection)] % 5 == 0
    x.plain(content, ETag=etag(content), **({"Connection": "close"} if is_last else {}))
    return not is_last


def closes_each_time(x: Exchange, content: bytes) -> bool:
    x.plain(content, ETag=etag(content))
    return False


def forgets_the_others(x: Exchange, content: bytes) -> bool:
    """Reads one question and drops what came with it; `requests`, which says `Connection`, sends no two at once."""
    if ASKED[id(x.connection)] == 1 or "connection" in x.headers:
        x.plain(content, ETag=etag(content))
    return True


def forgets_one(x: Exchange, content: bytes) -> bool:
    """Drops one question of many, so that whoever counts answers takes each for the file's before."""
    if ASKED[id(x.connection)] != 5 or "connection" in x.headers:
        x.plain(content, ETag=etag(content))
    return True


def busy_first(x: Exchange, content: bytes) -> bool:
    """Every fourth is told to come again, once."""
    if len(content) % 4 == 0 and not x.sent[x.path]:
        x.sent[x.path] = 1
        x.head(503, Content_Length=0)
        return True
    return well(x, content)


def leads_elsewhere(x: Exchange, content: bytes) -> bool:
    """Every file is in another folder."""
    if x.path.startswith("/d/there/"):
        return well(x, content)
    x.head(302, Content_Length=0, Location=x.path.replace("/d/", "/d/there/"))
    return True


def refuses_heads(x: Exchange, content: bytes) -> bool:
    if x.method == "HEAD":
        x.head(405, Content_Length=0)
        return True
    return well(x, content)


def listed(answer: Answer, patience: Patience = HASTY) -> tuple[dict[str, tuple[int | None, str | None]], Counter[str]]:
    """What is listed of the folder, and how often each method was asked for a file."""

    def serve(x: Exchange, _: threading.Event) -> bool | None:
        name = x.path.rpartition("/")[2]
        if not name:
            x.plain(INDEX)
            return True
        ASKED[id(x.connection)] += x.method == "HEAD"
        return answer(x, CONTENTS[name])

    ASKED.clear()
    with faulty_web({"d": serve}) as web:
        seen = observe([Source(url=f"{web.url}/d/")], PUBLIC_ORIGIN, patience=patience)
        asked = Counter(method for method, path, _ in web.asked if not path.endswith("/"))
    return {remote.path: (remote.size_bytes, remote.validator) for _, remote in seen.files}, asked


EXPECTED = {name: (len(content), f"etag:{etag(content)}") for name, content in CONTENTS.items()}


def test_each_is_asked_for_once_on_few_connections() -> None:
    found, asked = listed(well)
    assert found == EXPECTED
    assert asked == {"HEAD": 100}
    assert len(ASKED) <= 3


@pytest.mark.parametrize(
    "answer",
    [
        closes_now_and_then,
        closes_each_time,
        forgets_the_others,
        forgets_one,
        busy_first,
        leads_elsewhere,
        refuses_heads,
    ],
)
def test_whatever_a_server_makes_of_it_the_list_is_right(answer: Answer) -> None:
    found, asked = listed(answer)
    assert found == EXPECTED
    assert asked["HEAD"] < 600


def test_a_file_that_is_not_there_is_named() -> None:
    def gone(x: Exchange, content: bytes) -> bool:
        if len(content) == 50:
            x.head(404, Content_Length=0)
            return True
        return well(x, content)

    with pytest.raises(SourceMissingError, match=r"slice_040\.tif: HTTP 404"):
        listed(gone)


def test_a_server_that_falls_silent_makes_nobody_wait_for_each_row() -> None:
    began: list[float] = []

    def silent(x: Exchange, content: bytes) -> bool:
        began.append(0)
        threading.Event().wait(0.02)
        return False

    with pytest.raises(SourceUnreachableError, match="slice_"):
        listed(silent, replace(HASTY, tries=1))
    assert len(began) < 20


def test_many_files_over_ftp_need_few_sessions(tmp_path: Path) -> None:
    """One to list them, and two that fetch: this server takes no fourth."""
    (tmp_path / "served").mkdir()
    for name, content in CONTENTS.items():
        (tmp_path / "served" / name).write_bytes(b"II*\0" + content)
    with faulty_ftp(tmp_path / "served", "three_sessions") as url:
        got = acquire([Source(url=f"{url}/")], PUBLIC_ORIGIN, tmp_path / "raw", log=str, patience=HASTY)
    assert {row.path: row.size_bytes for row in got.files} == {name: len(x) + 4 for name, x in CONTENTS.items()}


@pytest.mark.parametrize("fault", ["none", "no_mlsd", "reads_one_line"])
def test_a_folder_over_ftp_is_listed_whatever_the_server_knows(tmp_path: Path, fault: str) -> None:
    """Without MLSD each file's size and time are asked for, in rows, of which some servers read a line."""
    for name, content in CONTENTS.items():
        (tmp_path / name).write_bytes(content)
        os.utime(tmp_path / name, (1705276800, 1705276800 + len(content)))
    (tmp_path / "further").mkdir()
    (tmp_path / "further/a b.tif").write_bytes(b"12345")
    os.utime(tmp_path / "further/a b.tif", (1705276800, 1705276800))
    with faulty_ftp(tmp_path, fault) as url:
        seen = observe([Source(url=f"{url}/")], PUBLIC_ORIGIN, patience=HASTY)
    found = {remote.path: (remote.size_bytes, remote.validator) for _, remote in seen.files}
    assert found.pop("further/a b.tif") == (5, "modified:2024-01-15T00:00:00Z")
    assert {path: size_bytes for path, (size_bytes, _) in found.items()} == {
        name: len(content) for name, content in CONTENTS.items()
    }
    assert len({validator for _, validator in found.values()}) == len(CONTENTS)
