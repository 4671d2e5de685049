"""Only what is missing or changed is fetched; what is held is never lost to a listing."""

from pathlib import Path

import pytest

from em_assets.errors import PlanTooLargeError, SourceMissingError, StoreError
from em_assets.model import Source
from em_assets.sources import Acquired, acquire, read_manifest
from em_assets.sources.manifest import Journal
from em_assets.sources.origins import Origin
from em_assets.sources.wire import Patience

URL = "https://a.org/data/"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Sixteen small files on a web and FTP host."""
    root = tmp_path / "archive" / "http" / "a.org" / "data"
    root.mkdir(parents=True)
    for number in range(16):
        (root / f"slice_{number:02}.tif").write_bytes(b"II*\0" + bytes([number]) * 50)
    return root


class Fetching:
    """`acquire` into one raw folder, with its log."""

    def __init__(self, raw_dir: Path, origin: Origin, patience: Patience) -> None:
        self.raw_dir, self.origin, self.patience = raw_dir, origin, patience
        self.said: list[str] = []

    def __call__(self, *sources: Source, accept_gone: bool = False) -> Acquired:
        return acquire(
            sources or [Source(url=URL)],
            self.origin,
            self.raw_dir,
            log=self.said.append,
            patience=self.patience,
            accept_gone=accept_gone,
        )


@pytest.fixture
def fetching(tmp_path: Path, archive: Origin, hurried: Patience) -> Fetching:
    return Fetching(tmp_path / "store" / "raw" / "mine", archive, hurried)


def test_a_second_time_nothing_is_fetched_and_the_manifest_stays(data: Path, fetching: Fetching) -> None:
    first = fetching()
    manifest = (fetching.raw_dir / "manifest.parquet").read_bytes()
    second = fetching()
    assert (first.fetched, first.kept, first.fetched_bytes) == (16, 0, 16 * 54)
    assert (second.fetched, second.kept, second.fetched_bytes) == (0, 16, 0)
    assert second.files == first.files == read_manifest(fetching.raw_dir)
    assert (fetching.raw_dir / "manifest.parquet").read_bytes() == manifest
    assert fetching.said[-1] == "0 files fetched, 16 kept"


def test_one_changed_file_of_sixteen_is_the_one_fetched(data: Path, fetching: Fetching) -> None:
    before = fetching()
    (data / "slice_07.tif").write_bytes(b"II*\0" + b"x" * 50)
    after = fetching()
    assert (after.fetched, after.kept, after.fetched_bytes) == (1, 15, 54)
    assert after.fingerprint != before.fingerprint
    assert (fetching.raw_dir / "files" / "slice_07.tif").read_bytes().endswith(b"xxx")


@pytest.mark.parametrize("damage", ["removed", "cut short"])
def test_a_file_that_is_not_whole_on_the_disk_is_fetched_again(data: Path, fetching: Fetching, damage: str) -> None:
    fetching()
    held = fetching.raw_dir / "files" / "slice_03.tif"
    if damage == "removed":
        held.unlink()
    else:
        held.write_bytes(b"II")
    assert fetching().fetched == 1
    assert held.stat().st_size == 54


def test_a_listing_that_shrinks_is_an_error_and_deletes_nothing(data: Path, fetching: Fetching) -> None:
    fetching()
    (data / "slice_15.tif").unlink()
    with pytest.raises(SourceMissingError, match=r"slice_15\.tif.*em-assets fetch .* --accept-gone"):
        fetching()
    assert (fetching.raw_dir / "files" / "slice_15.tif").exists()
    assert len(read_manifest(fetching.raw_dir) or ()) == 16


def test_a_plan_above_max_bytes_is_refused_with_the_figure_before_anything_is_fetched(
    data: Path, fetching: Fetching
) -> None:
    with pytest.raises(PlanTooLargeError, match=r"864 bytes.*max_bytes = 100"):
        fetching(Source(url=URL, max_bytes=100))
    assert read_manifest(fetching.raw_dir) is None
    assert not (fetching.raw_dir / "files").exists()


def test_a_run_that_broke_off_leaves_no_manifest_and_the_next_one_goes_on(data: Path, fetching: Fetching) -> None:
    page = data / "slice_15.tif"
    whole = page.read_bytes()
    page.write_bytes(b"<html>maintenance</html>")
    with pytest.raises(Exception, match="a web page saved as data"):
        fetching()
    assert read_manifest(fetching.raw_dir) is None
    assert (fetching.raw_dir.parents[1] / "quarantine" / "mine" / "slice_15.tif").exists()
    page.write_bytes(whole)
    resumed = fetching()
    assert (resumed.kept, resumed.fetched) == (15, 1)
    assert not Journal(fetching.raw_dir).read()


def test_what_a_killed_run_left_is_swept(data: Path, fetching: Fetching) -> None:
    fetching()
    leftover = fetching.raw_dir / "files" / ".0123456789abcdef.partial"
    leftover.write_bytes(b"half")
    fetching()
    assert not leftover.exists()


def test_the_bytes_are_the_same_over_ftp_and_from_a_folder(data: Path, fetching: Fetching) -> None:
    web = fetching()
    fetching.raw_dir = fetching.raw_dir.with_name("by_ftp")
    ftp = fetching(Source(url="ftp://a.org/data/"))
    fetching.raw_dir = fetching.raw_dir.with_name("by_disk")
    disk = fetching(Source(url=str(data)))
    digests = {row.path: row.sha256 for row in web.files}
    assert digests == {row.path: row.sha256 for row in ftp.files} == {row.path: row.sha256 for row in disk.files}


def test_objects_of_a_bucket_are_fetched(tmp_path: Path, fetching: Fetching) -> None:
    group = tmp_path / "archive" / "s3" / "bucket" / "x.zarr"
    for name in (".zgroup", "s0/.zarray", "s0/0/0/0"):
        (group / name).parent.mkdir(parents=True, exist_ok=True)
        (group / name).write_bytes(name.encode())
    got = fetching(Source(url="s3://bucket/x.zarr/"))
    assert [row.path for row in got.files] == [".zgroup", "s0/.zarray", "s0/0/0/0"]
    assert (fetching.raw_dir / "files" / "s0" / "0" / "0" / "0").read_bytes() == b"s0/0/0/0"
    assert fetching(Source(url="s3://bucket/x.zarr/")).fetched == 0


def test_a_manifest_that_cannot_be_read_is_the_stores_error(data: Path, fetching: Fetching) -> None:
    fetching()
    (fetching.raw_dir / "manifest.parquet").write_bytes(b"PAR1 torn")
    with pytest.raises(StoreError, match=r"manifest\.parquet"):
        fetching()


def test_a_listing_that_shrank_for_good_is_accepted_when_asked_and_its_bytes_are_kept(
    data: Path, fetching: Fetching
) -> None:
    fetching()
    gone = (data / "slice_15.tif").read_bytes()
    (data / "slice_15.tif").unlink()
    got = fetching(accept_gone=True)
    assert (got.kept, got.fetched, len(read_manifest(fetching.raw_dir) or ())) == (15, 0, 15)
    assert not (fetching.raw_dir / "files" / "slice_15.tif").exists()
    assert gone in [path.read_bytes() for path in (fetching.raw_dir / "old").iterdir()]
    assert "1 files are listed no longer and let go" in fetching.said[-2]
    assert fetching().kept == 15


def test_what_the_toml_no_longer_asks_for_is_let_go_unasked(data: Path, fetching: Fetching) -> None:
    """Narrowing `include` was refused as an incomplete listing; all that helped was to remove everything."""
    fetching()
    assert fetching(Source(url=URL, exclude=("slice_1*.tif",))).kept == 10
    assert len(list((fetching.raw_dir / "files").iterdir())) == 10
    (data / "slice_00.tif").unlink()
    said = r"1 of 10 files that are held are no longer listed: slice_00\.tif.*, which keeps their bytes in .*/old$"
    with pytest.raises(SourceMissingError, match=said):
        fetching(Source(url=URL, exclude=("slice_1*.tif",)))


def test_sources_that_change_places_lose_nothing(data: Path, fetching: Fetching) -> None:
    one, other = Source(url=URL, volume="a", include=("slice_0*",)), Source(url=URL, volume="b", include=("slice_1*",))
    fetching(one, other)
    assert (fetching(other, one).kept, len(list((fetching.raw_dir / "files").rglob("*.tif")))) == (16, 16)
