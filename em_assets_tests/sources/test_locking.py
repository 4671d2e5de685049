"""A lock file gives the same bytes to somebody else, or says what differs; replaced versions stay until removed."""

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from em_assets.errors import IncompleteError, StoreError
from em_assets.model import RawFile, Source
from em_assets.sources import Acquired, acquire
from em_assets.sources.manifest import read_lock, remove_old, write_lock
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
        pytest.param(_longer, r"b\.tif: 54 bytes in the lock, 110 there", id="another-size"),
        pytest.param(_other, r"b\.tif: sha256 [0-9a-f]{64} declared", id="other-bytes"),
        pytest.param(_more, r"c\.tif: there, not in the lock", id="one-more"),
        pytest.param(_fewer, r"b\.tif: in the lock, not there", id="one-less"),
    ],
)
def test_a_difference_is_named(
    theirs: Path, data: Path, fetch: Fetch, change: Callable[[Path], None], named: str
) -> None:
    change(data)
    with pytest.raises(IncompleteError, match=named):
        fetch(theirs, locked=True)
    assert not (theirs / "manifest.parquet").exists()
    assert not (theirs / "files" / "b.tif").exists()


def test_bytes_that_are_held_and_differ_are_named(mine: Path, fetch: Fetch) -> None:
    digest = read_lock(mine)[0].sha256
    text = (mine / "lock.toml").read_text().replace(digest, "0" * 64)
    (mine / "lock.toml").write_text(text)
    with pytest.raises(IncompleteError, match=rf"a\.tif: sha256 0{{64}} in the lock, {digest} there"):
        fetch(mine, locked=True)


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
