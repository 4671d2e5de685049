"""The same promises as on a disk, kept by a real S3 server: one commit, every byte proved, no loss read as zeros."""

import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from em_assets import open_volume
from em_assets.errors import NoScratchRoomError, StoreError
from em_assets.formats.volume import SourceVolume
from em_assets.remote.path import RemotePath, remote_path
from em_assets.volumes import parquet
from em_assets.volumes.folders import Folder
from em_assets.volumes.leftovers import _removed_unless_used, collect_generations
from em_assets.volumes.pyramid import WrittenVolume, write_pyramid
from em_assets.volumes.reading import open_committed
from em_assets.volumes.store import CommittedVolume, commit_volume, committed_volumes, resolve
from em_assets.volumes.validation import validate_volume, validate_volumes

VOXELS = np.random.default_rng(5).integers(1, 255, (70, 140, 300), dtype=np.uint8)
AT_ONCE = timedelta(0)

Write = Callable[[Folder], WrittenVolume]


@pytest.fixture
def bucket(s3_environment: dict[str, str], new_bucket: Callable[[], str]) -> RemotePath:
    """A dataset's folder of volumes, empty."""
    return remote_path(f"{new_bucket()}/volumes/zebrafish", s3_environment)


@pytest.fixture
def writing(make_source: Callable[..., SourceVolume]) -> Callable[..., Write]:
    """Version → what writes the volume in it."""

    def writing(ome_zarr: Any = "0.5", voxels: Any = VOXELS) -> Write:
        said: dict[str, Any] = {"content": "em", "voxel_size_zyx_nm": (8.0, 8.0, 8.0), "name": "em", "attributes": {}}
        return lambda dest: write_pyramid(make_source(voxels, (8.0, 8.0, 8.0)), dest, ome_zarr=ome_zarr, **said)

    return writing


def fails(_: Folder) -> Any:
    raise AssertionError("written again")


def chunks(volume: CommittedVolume) -> list[str]:
    return sorted(key for key, _, _ in volume.ledger() if key[-1].isdigit())


@pytest.mark.parametrize("ome_zarr", ["0.5", "0.4"])
def test_a_volume_in_a_bucket_has_the_ledger_of_one_on_a_disk_and_reads_the_same(
    bucket: RemotePath, tmp_path: Path, writing: Callable[..., Write], ome_zarr: str
) -> None:
    there = commit_volume(bucket / "em", "aaaa", writing(ome_zarr), inputs=("a",))
    here = commit_volume(tmp_path / "em", "aaaa", writing(ome_zarr), inputs=("a",))
    assert there.is_new
    assert there.commit == here.commit
    assert there.ledger() == here.ledger()
    (found,) = committed_volumes(bucket).values()
    opened, local = open_committed(found), open_committed(here)
    assert np.array_equal(opened.read((3, 60, 200), (67, 80, 100)), VOXELS[3:, 60:, 200:])
    assert [level.voxel_size_zyx_nm for level in opened.levels] == [level.voxel_size_zyx_nm for level in local.levels]
    assert np.array_equal(opened.read((0, 0, 0), (9, 18, 38), level=3), local.read((0, 0, 0), (9, 18, 38), level=3))
    assert validate_volumes(bucket) == {"em": []}


def test_an_address_in_the_bucket_of_the_store_means_its_server_and_keys(
    bucket: RemotePath, writing: Callable[..., Write], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = commit_volume(bucket / "em", "aaaa", writing())
    monkeypatch.setenv("EM_ASSETS_STORE", f"s3://{bucket.bucket}/elsewhere")
    for address in (made.folder, made.path):
        assert np.array_equal(open_volume(str(address)).read((3, 60, 200), (1, 80, 100)), VOXELS[3:4, 60:140, 200:])


def test_zarr_python_reads_it_with_the_same_keys(bucket: RemotePath, writing: Callable[..., Write]) -> None:
    import zarr

    made = commit_volume(bucket / "em", "aaaa", writing())
    array = zarr.open_array((made.path / "s0").zarr_store(), mode="r")
    assert np.array_equal(np.asarray(array[10:12]), VOXELS[10:12])


def test_the_same_call_finds_its_work_done_and_a_new_one_replaces_it(
    bucket: RemotePath, writing: Callable[..., Write]
) -> None:
    first = commit_volume(bucket / "em", "aaaa", writing())
    again = commit_volume(bucket / "em", "aaaa", fails)
    assert (first.is_new, again.is_new, again.commit.number) == (True, False, 1)
    commit_volume(bucket / "em", "bbbb", writing("0.4"))
    found = resolve(bucket / "em")
    assert found is not None
    assert (found.commit.generation, found.commit.number) == ("bbbb", 2)


def test_of_sixteen_writers_one_commits(bucket: RemotePath, writing: Callable[..., Write]) -> None:
    write = writing(voxels=VOXELS[:4, :70, :70])
    with ThreadPoolExecutor(16) as executor:
        made = list(executor.map(lambda _: commit_volume(bucket / "em", "aaaa", write), range(16)))
    assert [volume.is_new for volume in made].count(True) == 1
    assert {volume.commit.number for volume in made} == {1}
    assert validate_volume(bucket / "em") == []


def test_a_writer_that_breaks_off_leaves_the_last_commit_what_it_was(
    bucket: RemotePath, writing: Callable[..., Write]
) -> None:
    commit_volume(bucket / "em", "aaaa", writing())

    def breaks(dest: Folder) -> Any:
        writing()(dest)
        raise StoreError("no more")

    with pytest.raises(StoreError, match="no more"):
        commit_volume(bucket / "em", "bbbb", breaks)
    found = resolve(bucket / "em")
    assert found is not None
    assert found.commit.generation == "aaaa"


def test_whatever_happens_to_an_object_is_found(bucket: RemotePath, writing: Callable[..., Write]) -> None:
    made = commit_volume(bucket / "em", "aaaa", writing("0.4"))
    key, other = chunks(made)[0], chunks(made)[-1]
    group = bucket / "em" / "aaaa"
    whole = (group / key).read_bytes()
    changed = {
        "swapped": (group / other).read_bytes(),
        "truncated": whole[:-1],
        "empty": b"",
        "flipped": bytes([whole[0] ^ 1]) + whole[1:],
    }
    for data in changed.values():
        (group / key).put(data)
        (problem,) = validate_volume(bucket / "em")
        assert key in problem
    group.remove([key])
    (group / "s0/9/9/9").put(b"")
    lost, added = validate_volume(bucket / "em")
    assert (key in lost, "s0/9/9/9: not in the ledger" in added) == (True, True)


def test_a_lost_object_is_an_error_and_never_zeros_and_the_next_run_mends_it(
    bucket: RemotePath, writing: Callable[..., Write]
) -> None:
    made = commit_volume(bucket / "em", "aaaa", writing("0.4"))
    made_path = bucket / "em" / "aaaa"
    made_path.remove(["s0/1/1/1"])
    opened = open_committed(made)
    assert np.array_equal(opened.read((0, 0, 0), (64, 64, 64)), VOXELS[:64, :64, :64])
    with pytest.raises(StoreError, match="s0/1/1/1"):
        opened.read((64, 64, 64), (6, 64, 64))
    mended = commit_volume(bucket / "em", "aaaa", writing("0.4"))
    assert np.array_equal(open_committed(mended).read((64, 64, 64), (6, 64, 64)), VOXELS[64:70, 64:128, 64:128])


def test_a_generation_without_a_commit_is_collected_once_nobody_adds_to_it(
    bucket: RemotePath, writing: Callable[..., Write]
) -> None:
    commit_volume(bucket / "em", "aaaa", writing())
    before = set((bucket / "em").objects())
    written = writing()(bucket / "em" / "bbbb")
    assert collect_generations(bucket / "em", dry_run=False) == []
    expected = [(bucket / "em" / "bbbb", written.ledger.size_bytes)]
    assert collect_generations(bucket / "em", dry_run=True, untouched=AT_ONCE) == expected
    assert collect_generations(bucket / "em", dry_run=False, untouched=AT_ONCE) == expected
    assert collect_generations(bucket / "em", dry_run=False, untouched=AT_ONCE) == []
    assert set((bucket / "em").objects()) == before | {"generations/bbbb.json"}


def test_a_generation_that_is_written_anew_since_it_was_listed_is_left_to_its_writer(
    bucket: RemotePath, writing: Callable[..., Write]
) -> None:
    """Between a collector's listing and its removal: one has put an object anew, another has committed."""
    folder = bucket / "em"
    commit_volume(folder, "aaaa", writing())
    commit_volume(folder, "bbbb", writing("0.4"))
    listed = folder.objects()
    keys = [key for key in listed if "bbbb" in key and key != "generations/bbbb.json"]
    assert not _removed_unless_used(folder, "bbbb", keys, listed)
    assert set(folder.objects()) == set(listed)
    folder.remove(["commits/000002.json"])
    (folder / "bbbb/s0/0/0/0").put(b"anew")
    assert not _removed_unless_used(folder, "bbbb", keys, listed)
    assert set(folder.objects()) == {*listed} - {"commits/000002.json"}
    assert _removed_unless_used(folder, "bbbb", keys, folder.objects())
    assert [key for key in folder.objects() if "bbbb" in key] == ["generations/bbbb.json"]


@pytest.mark.parametrize("round_", range(4))
def test_a_leftover_that_is_committed_while_it_is_collected_ends_whole(
    bucket: RemotePath, writing: Callable[..., Write], round_: int
) -> None:
    """Its first writer died before the commit; the next finds it finished just when the collector finds it left."""
    folder = bucket / f"em_{round_}"
    commit_volume(folder, "aaaa", writing())
    folder.remove(["commits/000001.json"])
    with ThreadPoolExecutor(2) as both:
        collected = both.submit(collect_generations, folder, dry_run=False, untouched=AT_ONCE)
        committed = both.submit(commit_volume, folder, "aaaa", writing())
    assert committed.result().commit.generation == "aaaa"
    assert {path for path, _ in collected.result()} <= {folder / "aaaa"}
    assert validate_volume(folder) == []


def test_no_room_for_a_copy_of_a_large_ledger_is_no_damage(
    bucket: RemotePath, tmp_path: Path, writing: Callable[..., Write], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was taken for a ledger that cannot be read, and a healthy volume was written anew."""
    made = commit_volume(bucket / "em", "aaaa", writing())
    monkeypatch.setattr(parquet, "HELD_BYTES", 1000)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "full"))
    with pytest.raises(NoScratchRoomError, match=r"full: no room for aaaa\.ledger\.parquet .*TMPDIR"):
        commit_volume(made.folder, "aaaa", fails)
    (tmp_path / "full").mkdir()
    assert not commit_volume(made.folder, "aaaa", fails).is_new
    assert validate_volume(made.folder) == []
