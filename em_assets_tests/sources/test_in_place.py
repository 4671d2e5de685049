"""A facility's own files are hashed, watched and read where they lie: never copied unasked, never written."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from em_assets.errors import IncompleteError, PlanTooLargeError, SourceMissingError
from em_assets.model import DEFAULT_MAX_BYTES, RemoteFile, Source
from em_assets.sources import Acquired, acquire, observe, read_manifest
from em_assets.sources.in_place import changed_files, too_large
from em_assets.sources.manifest import remove_old
from em_assets.sources.origins import PUBLIC_ORIGIN

Fetch = Callable[..., Acquired]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "instrument" / "run_7"
    folder.mkdir(parents=True)
    for number in range(16):
        (folder / f"slice_{number:02}.tif").write_bytes(b"II*\0" + bytes([number]) * 500)
    return folder


@pytest.fixture
def raw_dir(tmp_path: Path) -> Path:
    return tmp_path / "store" / "raw" / "mine"


@pytest.fixture
def fetch(data: Path, raw_dir: Path) -> Fetch:
    def run(**keys: object) -> Acquired:
        return acquire([Source(url=f"{data}/", **keys)], PUBLIC_ORIGIN, raw_dir, log=str)

    return run


def own_bytes(folder: Path) -> int:
    """Bytes of a folder's files that are not links."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def stat_of_all(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    return {
        path.name: (path.stat().st_mtime_ns, path.stat().st_ino, path.read_bytes()) for path in sorted(folder.iterdir())
    }


def test_files_of_this_machine_are_hashed_and_not_copied(data: Path, raw_dir: Path, fetch: Fetch) -> None:
    before = stat_of_all(data)
    got = fetch()
    assert (got.fetched, got.fetched_bytes, got.referenced) == (0, 0, 16)
    assert own_bytes(raw_dir / "files") == 0
    link = raw_dir / "files" / "slice_03.tif"
    assert link.readlink() == data / "slice_03.tif"
    assert link.read_bytes() == (data / "slice_03.tif").read_bytes()
    assert stat_of_all(data) == before


def test_a_second_time_nothing_is_hashed_and_one_changed_file_is_hashed_again(data: Path, fetch: Fetch) -> None:
    first = fetch()
    assert fetch().kept == 16
    (data / "slice_05.tif").write_bytes(b"II*\0" + b"x" * 500)
    again = fetch()
    assert (again.referenced, again.kept) == (1, 15)
    changed = [new.path for old, new in zip(first.files, again.files, strict=True) if old.sha256 != new.sha256]
    assert changed == ["slice_05.tif"]


def test_a_lock_is_no_proof_of_a_file_that_was_written_since_it_was_hashed(data: Path, raw_dir: Path) -> None:
    """The row had the lock's SHA-256 and the file the lock's size: what was hashed then counted as what is there."""
    source = Source(url=f"{data}/")
    acquire([source], PUBLIC_ORIGIN, raw_dir, log=str)
    os.utime(data / "slice_04.tif", ns=(1, 1))
    got = acquire([source], PUBLIC_ORIGIN, raw_dir, log=str, locked=True)
    assert (got.referenced, changed_files(raw_dir / "files", got.files)) == (1, [])
    (data / "slice_05.tif").write_bytes(b"II*\0" + b"x" * 500)
    with pytest.raises(IncompleteError, match=r"slice_05\.tif: sha256 [0-9a-f]{64} declared"):
        acquire([source], PUBLIC_ORIGIN, raw_dir, log=str, locked=True)


def test_a_change_moves_the_fingerprint(data: Path, fetch: Fetch) -> None:
    source = Source(url=f"{data}/")
    before = observe([source], PUBLIC_ORIGIN).fingerprint
    assert fetch().fingerprint == before
    os.utime(data / "slice_00.tif", ns=(1, 1))
    assert observe([source], PUBLIC_ORIGIN).fingerprint != before


def test_copy_true_copies_and_without_it_the_copy_is_given_up(data: Path, raw_dir: Path, fetch: Fetch) -> None:
    fetch()
    assert fetch(copy=True).fetched == 16
    assert own_bytes(raw_dir / "files") == 16 * 504
    assert fetch(copy=True).fetched == 0
    assert fetch().referenced == 16
    assert own_bytes(raw_dir / "files") == 0


def test_max_bytes_counts_only_where_the_dataset_says_it(fetch: Fetch, data: Path) -> None:
    with pytest.raises(PlanTooLargeError, match="8,064 bytes, more than max_bytes = 10"):
        fetch(max_bytes=10)
    huge = RemoteFile(path="huge.tif", url=str(data), size_bytes=DEFAULT_MAX_BYTES + 1, validator=None)
    assert too_large(Source(url=f"{data}/"), [huge]) is None


def test_what_changed_since_it_was_hashed_is_named(data: Path, raw_dir: Path, fetch: Fetch) -> None:
    fetch()
    rows = read_manifest(raw_dir) or ()
    assert changed_files(raw_dir / "files", rows) == []
    with (data / "slice_01.tif").open("ab") as file:
        file.write(b"more")
    (data / "slice_02.tif").unlink()
    found = changed_files(raw_dir / "files", rows)
    assert [str(data / name) in problem for name, problem in zip(["slice_01.tif", "slice_02.tif"], found, strict=True)]
    assert "changed since it was hashed" in found[0]
    assert "cannot be read" in found[1]


def test_files_beside_which_a_checksum_lies_are_compared_with_it(data: Path, raw_dir: Path, fetch: Fetch) -> None:
    (data / "md5sums.txt").write_text(f"{'0' * 32}  slice_04.tif\n")
    with pytest.raises(IncompleteError, match=r"slice_04\.tif: md5 0{32} declared, [0-9a-f]{32} found"):
        fetch()
    assert read_manifest(raw_dir) is None
    assert not (raw_dir / "files" / "slice_04.tif").is_symlink()


def test_a_web_page_saved_as_data_is_refused(data: Path, fetch: Fetch) -> None:
    (data / "slice_06.tif").write_bytes(b"<!DOCTYPE html><html>Sign in</html>")
    with pytest.raises(IncompleteError, match=r"slice_06\.tif: a web page saved as data"):
        fetch()


def test_a_file_that_went_away_is_an_error_and_no_deletion(data: Path, raw_dir: Path, fetch: Fetch) -> None:
    """Where it was copied the bytes are kept; the same was promised of files that were never copied."""
    fetch()
    (data / "slice_15.tif").unlink()
    with pytest.raises(SourceMissingError, match=r"slice_15\.tif.*--accept-gone; the store has no copy of their bytes"):
        fetch()
    assert len(read_manifest(raw_dir) or ()) == 16


def test_old_versions_never_reach_into_the_facilitys_folder(data: Path, raw_dir: Path, fetch: Fetch) -> None:
    fetch()
    (data / "slice_05.tif").write_bytes(b"II*\0" + b"y" * 500)
    fetch()
    assert [path.name[:5] for path in (raw_dir / "old").iterdir()] == ["lock-"]
    remove_old(raw_dir)
    assert len(list(data.iterdir())) == 16
