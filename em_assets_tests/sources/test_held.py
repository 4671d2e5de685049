"""A file that is no longer what was fetched is found, whatever happened to it."""

import hashlib
import re
from pathlib import Path

import pytest

from em_assets.model import RawFile
from em_assets.sources.held import damaged_files

CONTENT = bytes(range(256)) * 400
ROW = RawFile(
    path="a/b.tif",
    url="https://a.org/b.tif",
    size_bytes=len(CONTENT),
    sha256=hashlib.sha256(CONTENT).hexdigest(),
    validator=None,
    source=0,
)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (CONTENT[:-1], "102400 bytes expected, found 102399"),
        (CONTENT[:5] + b"\0" + CONTENT[6:], "sha256 .* expected, found"),
        (None, "cannot be read"),
    ],
    ids=["cut", "flipped", "gone"],
)
def test_damage_is_told_in_words(tmp_path: Path, content: bytes | None, words: str) -> None:
    path = tmp_path / ROW.path
    path.parent.mkdir()
    path.write_bytes(CONTENT)
    assert damaged_files(tmp_path, [ROW]) == []
    path.unlink() if content is None else path.write_bytes(content)
    (problem,) = damaged_files(tmp_path, [ROW])
    assert str(path) in problem
    assert re.search(words, problem)
