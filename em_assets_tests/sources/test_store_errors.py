"""A disk that refuses the store's own records, in words; and what a torn journal still says."""

from collections.abc import Callable
from pathlib import Path

import pytest

from em_assets.errors import StoreError
from em_assets.model import RawFile
from em_assets.sources.manifest import (
    DROPPED,
    JOURNAL,
    LOCK,
    MANIFEST,
    OLD,
    Journal,
    drop_bytes,
    keep_old,
    write_lock,
    write_manifest,
)


def row(path: str) -> RawFile:
    return RawFile(path=path, url=f"https://a.org/{path}", size_bytes=1, sha256="0" * 64, validator=None, source=0)


ROWS = [row("a.tif")]
WRITES: dict[str, Callable[[Path], object]] = {
    f".{MANIFEST}.new": lambda raw: write_manifest(raw, ROWS, "f00d"),
    f".{LOCK}.new": lambda raw: write_lock(raw, ROWS, "f00d"),
    f"{OLD}/.{'0' * 64}.new": lambda raw: keep_old(raw / "a.tif", raw / OLD / ("0" * 64)),
    f".{DROPPED}.new": lambda raw: drop_bytes(raw, ROWS, "made of"),
    JOURNAL: lambda raw: Journal(raw).add(ROWS[:1]),
}


@pytest.mark.parametrize("in_the_way", WRITES)
def test_what_cannot_be_written_is_named_with_the_room_that_is_left(tmp_path: Path, in_the_way: str) -> None:
    (tmp_path / "a.tif").write_bytes(b"x")
    (tmp_path / in_the_way).mkdir(parents=True)
    with pytest.raises(StoreError, match=r"cannot be written.*bytes needed: .*bytes free: [\d,]+"):
        WRITES[in_the_way](tmp_path)


@pytest.mark.parametrize("torn", [b'{"path": "b.tif", "ur', b"\xff\xfe", b'{"path": "\xc3'])
def test_a_journal_goes_on_behind_a_torn_line(tmp_path: Path, torn: bytes) -> None:
    """A full disk cuts a line short, perhaps within a letter; the next file is not lost with it."""
    named = row("slice\u2028one.tif")  # a line's end to Python, not to JSON
    Journal(tmp_path).add([named])
    with (tmp_path / JOURNAL).open("ab") as journal:
        journal.write(torn)
    Journal(tmp_path).add([row("c.tif")])
    assert Journal(tmp_path).read() == [named, row("c.tif")]
