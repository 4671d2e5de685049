"""Files that came by disk, Globus or Aspera are taken in once they are proved to be what the source lists."""

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from scripted_server import Script

from em_assets.errors import IncompleteError, UsageError
from em_assets.model import RawFile, Source
from em_assets.sources import Acquired, acquire, read_manifest
from em_assets.sources.manifest import write_lock
from em_assets.sources.origins import Origin
from em_assets.sources.partial import lent_path
from em_assets.sources.wire import Patience

SIZE = 300_000
HTTP, FTP = "https://a.org/data/", "ftp://a.org/data/"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """What the source serves: three files of 300 kB."""
    folder = tmp_path / "archive" / "http" / "a.org" / "data"
    folder.mkdir(parents=True)
    for number in range(3):
        (folder / f"slice_{number}.tif").write_bytes(b"II*\0" + os.urandom(SIZE - 4))
        os.utime(folder / f"slice_{number}.tif", (1_700_000_000, 1_700_000_000))
    return folder


@pytest.fixture
def came(data: Path, tmp_path: Path) -> Path:
    """The same files, as a disk brought them: other times, another folder."""
    folder = tmp_path / "from_disk"
    folder.mkdir()
    for file in data.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    return folder


@pytest.fixture
def raw_dir(tmp_path: Path) -> Path:
    return tmp_path / "store" / "raw" / "mine"


class Fetching:
    """`acquire` with a folder to adopt from, and its log."""

    def __init__(self, raw_dir: Path, origin: Origin, patience: Patience) -> None:
        self.raw_dir, self.origin, self.patience = raw_dir, origin, patience
        self.said: list[str] = []

    def __call__(self, adopt_from: Path | None = None, url: str = HTTP, *, locked: bool = False) -> Acquired:
        return acquire(
            [Source(url=url)],
            self.origin,
            self.raw_dir,
            log=self.said.append,
            patience=self.patience,
            adopt_from=adopt_from,
            locked=locked,
        )


@pytest.fixture
def fetch(raw_dir: Path, archive: Origin, hurried: Patience) -> Fetching:
    return Fetching(raw_dir, archive, hurried)


def test_what_came_by_disk_is_taken_in_and_only_the_rest_is_fetched(came: Path, raw_dir: Path, fetch: Fetching) -> None:
    (came / "slice_2.tif").unlink()
    got = fetch(came)
    assert (got.adopted, got.fetched, got.fetched_bytes) == (2, 1, SIZE)
    assert "2 files adopted" in fetch.said[0]
    assert "2 by the source's checksum" in fetch.said[0]
    held = raw_dir / "files" / "slice_0.tif"
    assert held.read_bytes() == (came / "slice_0.tif").read_bytes()
    assert (fetch().kept, fetch().fetched) == (3, 0)


def test_without_any_checksum_a_small_file_is_proved_by_every_byte(came: Path, fetch: Fetching) -> None:
    assert fetch(came, FTP).adopted == 3
    assert "3 by every byte" in fetch.said[0]


def test_a_checksum_beside_the_files_proves_them(came: Path, fetch: Fetching) -> None:
    lines = [f"{hashlib.md5(file.read_bytes()).hexdigest()}  {file.name}\n" for file in sorted(came.glob("*.tif"))]
    (came / "md5sums.txt").write_text("".join(lines))
    assert fetch(came, FTP).adopted == 3
    assert "3 by every byte, and a checksum beside them" in fetch.said[0]


def _shorter(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1])


def _zeros_at_its_end(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:100_000] + bytes(SIZE - 100_000))


def _another_beginning(file: Path) -> None:
    file.write_bytes(b"MM\0*" + file.read_bytes()[4:])


def _one_bit(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[SIZE // 2] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize(
    ("url", "damage", "named"),
    [
        pytest.param(FTP, _shorter, r"300,000 bytes listed, 299,999 there", id="size"),
        pytest.param(FTP, _zeros_at_its_end, r"other bytes from byte 100,0\d\d on", id="room-never-filled"),
        pytest.param(FTP, _another_beginning, r"other bytes from byte 0 on", id="beginning"),
        pytest.param(HTTP, _one_bit, r"etag_md5 [0-9a-f]{32} declared", id="one-bit"),
    ],
)
def test_what_is_not_the_sources_is_refused_by_name(
    came: Path, raw_dir: Path, fetch: Fetching, url: str, damage: Callable[[Path], None], named: str
) -> None:
    damage(came / "slice_1.tif")
    with pytest.raises(IncompleteError, match=rf"slice_1\.tif: {named}"):
        fetch(came, url)
    assert not (raw_dir / "files" / "slice_1.tif").exists()
    assert read_manifest(raw_dir) is None
    (came / "slice_1.tif").unlink()
    assert fetch(came, url).fetched == 1


def test_a_colleagues_raw_folder_is_adopted_by_its_own_lock(
    came: Path, raw_dir: Path, tmp_path: Path, fetch: Fetching
) -> None:
    fetch(url=FTP)
    handed_on = tmp_path / "handed_on"
    shutil.copytree(raw_dir, handed_on)
    shutil.rmtree(raw_dir)
    assert fetch(handed_on, FTP).adopted == 3
    assert "3 by a lock file" in fetch.said[-2]


def test_a_lock_that_is_to_be_followed_goes_before_all(
    came: Path, raw_dir: Path, tmp_path: Path, fetch: Fetching
) -> None:
    fetch(url=FTP)
    lock = (raw_dir / "lock.toml").read_text()
    shutil.rmtree(raw_dir)
    raw_dir.mkdir()
    (raw_dir / "lock.toml").write_text(lock)
    _one_bit(came / "slice_1.tif")
    with pytest.raises(IncompleteError, match=r"slice_1\.tif: sha256 [0-9a-f]{64} declared"):
        fetch(came, FTP, locked=True)


def test_with_a_lock_that_is_to_be_followed_nobody_is_asked(came: Path, raw_dir: Path, hurried: Patience) -> None:
    """No server is there at all; what is missing in the folder then has nowhere to come from."""
    rows = [
        RawFile(path=file.name, url=f"{HTTP}{file.name}", size_bytes=SIZE, sha256=digest, validator=None, source=0)
        for file in sorted(came.iterdir())
        for digest in [hashlib.sha256(file.read_bytes()).hexdigest()]
    ]
    raw_dir.mkdir(parents=True)
    write_lock(raw_dir, rows, "f")

    def asked(protocol: str) -> str:
        raise AssertionError(f"asked over {protocol}")

    fetch = Fetching(raw_dir, Origin("mirror", endpoints=asked), hurried)
    got = fetch(came, locked=True)
    assert (got.adopted, got.files) == (3, tuple(rows))
    assert fetch(locked=True).kept == 3


def test_what_a_killed_adoption_left_is_never_written_through(came: Path, raw_dir: Path, fetch: Fetching) -> None:
    """A second name of somebody's file under which the next download wrote would empty the file itself."""
    before = {file.name: file.read_bytes() for file in came.iterdir()}
    files = raw_dir / "files"
    files.mkdir(parents=True)
    leftovers = [lent_path(files / "slice_0.tif"), lent_path(files / "slice_1.tif")]
    leftovers[0].hardlink_to(came / "slice_0.tif")
    leftovers[1].symlink_to(came / "slice_1.tif")
    assert fetch(url=FTP).fetched == 3
    assert {file.name: file.read_bytes() for file in came.iterdir()} == before
    assert [path for path in leftovers if path.is_symlink() or path.exists()] == []


def test_a_web_page_is_never_adopted(came: Path, data: Path, fetch: Fetching) -> None:
    page = b"<!DOCTYPE html>".ljust(SIZE)
    (came / "slice_0.tif").write_bytes(page)
    with pytest.raises(IncompleteError, match=r"slice_0\.tif: a web page saved as data"):
        fetch(came)


def test_a_folder_that_is_none_is_named(tmp_path: Path, data: Path, fetch: Fetching) -> None:
    with pytest.raises(UsageError, match="no_such: a folder of files to adopt expected"):
        fetch(tmp_path / "no_such")


LARGE = 2_500_000


@pytest.fixture
def large(data: Path, came: Path) -> Path:
    """A file that is too large to be compared throughout, at the source and as it came."""
    content = b"II*\0" + os.urandom(LARGE - 4)
    for folder in (data, came):
        (folder / "large.tif").write_bytes(content)
    return came / "large.tif"


def test_a_large_file_is_proved_by_pieces_of_it(large: Path, came: Path, fetch: Fetching) -> None:
    assert fetch(came, FTP).adopted == 4
    assert "1 by pieces and all that could be unfilled" in fetch.said[0]


@pytest.mark.parametrize("unfilled", [b"\0", b"\xff"], ids=["zeros", "ones"])
def test_a_part_in_the_middle_that_was_never_filled_is_found(
    large: Path, came: Path, fetch: Fetching, unfilled: bytes
) -> None:
    """Globus and Aspera write many parts at once: a broken-off transfer leaves holes anywhere, and both ends right."""
    content = large.read_bytes()
    large.write_bytes(content[:500_000] + unfilled * 20_000 + content[520_000:])
    with pytest.raises(IncompleteError, match=r"large\.tif: other bytes from byte 50\d,\d\d\d on"):
        fetch(came, FTP)


def test_what_a_source_without_ranges_cannot_prove_is_fetched(
    script: Script, tmp_path: Path, raw_dir: Path, hurried: Patience
) -> None:
    """100 kB of the file and zeros behind: size and beginning are the source's, and it sends no other part of it."""
    content = b"II*\0" + os.urandom(LARGE - 4)
    url = script.says("/large.tif", content)
    (tmp_path / "large.tif").write_bytes(content[:100_000] + bytes(LARGE - 100_000))
    said: list[str] = []
    got = acquire([Source(url=url)], Origin("public"), raw_dir, log=said.append, patience=hurried, adopt_from=tmp_path)
    assert (got.adopted, got.fetched) == (0, 1)
    assert "1 files are fetched: nothing proves" in said[0]
    assert (raw_dir / "files" / "large.tif").read_bytes() == content


def _changed_at_the_source(file: Path) -> None:
    """A new version of the same size, a day later."""
    _one_bit(file)
    os.utime(file, (1_700_086_400, 1_700_086_400))


@pytest.mark.parametrize(("url", "named"), [(HTTP, "etag_md5"), (FTP, "other bytes from byte 150,000 on")])
def test_a_checksum_beside_an_old_version_proves_nothing_of_the_new_one(
    came: Path, data: Path, fetch: Fetching, url: str, named: str
) -> None:
    old = came / "slice_1.tif"
    (came / "slice_1.tif.md5").write_text(hashlib.md5(old.read_bytes()).hexdigest())
    _changed_at_the_source(data / "slice_1.tif")
    with pytest.raises(IncompleteError, match=rf"slice_1\.tif: {named}"):
        fetch(came, url)


def test_a_lock_that_was_handed_on_holds_for_its_own_version_only(
    data: Path, raw_dir: Path, tmp_path: Path, fetch: Fetching
) -> None:
    """Old bytes stood in the manifest under the new version's validator, and were never fetched again."""
    fetch(url=FTP)
    shutil.move(raw_dir, tmp_path / "handed_on")
    _changed_at_the_source(data / "slice_1.tif")
    with pytest.raises(IncompleteError, match=r"1 files are not .*slice_1\.tif: other bytes from byte 150,000 on"):
        fetch(tmp_path / "handed_on", FTP)


def test_the_version_that_an_adopted_one_replaces_is_kept(
    came: Path, data: Path, raw_dir: Path, fetch: Fetching
) -> None:
    fetch()
    old = (raw_dir / "files" / "slice_1.tif").read_bytes()
    _changed_at_the_source(data / "slice_1.tif")
    shutil.copy(data / "slice_1.tif", came)
    assert fetch(came).adopted == 1
    assert [path.read_bytes() for path in (raw_dir / "old").iterdir() if path.suffix != ".toml"] == [old]


def test_who_writes_to_the_folder_later_changes_nothing_in_the_store(
    came: Path, raw_dir: Path, fetch: Fetching
) -> None:
    fetch(came)
    before = (raw_dir / "files" / "slice_1.tif").read_bytes()
    with (came / "slice_1.tif").open("r+b") as file:
        file.write(b"overwritten")
    assert (raw_dir / "files" / "slice_1.tif").read_bytes() == before
