"""A box of a remote volume: where it was cut is recorded, and it is neither blank nor outside."""

import hashlib
import json
import os
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from em_assets.errors import OutOfBoundsError, PlanTooLargeError, SourceMissingError, VolumeChoiceError
from em_assets.model import Source
from em_assets.sources import Acquired, acquire, observe
from em_assets.sources.hosts import Host
from em_assets.sources.origins import Origin
from em_assets.sources.progress import Progress, watched_by
from em_assets.sources.wire import Patience

URL = "gs://bucket/em"
SHAPE = (96, 128, 160)
BOX = (32, 40, 50)


@pytest.fixture
def voxels() -> NDArray[np.uint8]:
    """Textured, but blank in the lower half of x."""
    voxels = np.random.default_rng(3).integers(1, 255, SHAPE, dtype=np.uint8)
    voxels[:, :, :64] = 0
    return voxels


@pytest.fixture
def remote(tmp_path: Path, voxels: NDArray[np.uint8]) -> Path:
    """The volume as precomputed, two scales, below a bucket's HTTP form."""
    import tensorstore as ts

    folder = tmp_path / "archive" / "http" / "storage.googleapis.com" / "bucket" / "em"
    folder.mkdir(parents=True)
    for scale in (1, 2):
        xyz = np.ascontiguousarray(voxels[::scale, ::scale, ::scale].transpose(2, 1, 0))
        spec = {
            "driver": "neuroglancer_precomputed",
            "kvstore": {"driver": "file", "path": f"{folder}/"},
            "store_data_equal_to_fill_value": True,
            "multiscale_metadata": {"type": "image", "data_type": "uint8", "num_channels": 1},
            "scale_metadata": {
                "key": f"{8 * scale}nm",
                "size": list(xyz.shape),
                "resolution": [8 * scale] * 3,
                "chunk_size": [32, 32, 32],
                "encoding": "raw",
            },
        }
        ts.open(spec, create=True, open=True).result()[..., 0].write(xyz).result()
    return folder


@pytest.fixture
def cut(tmp_path: Path, archive: Origin, hurried: Patience, remote: Path):
    def cut(source: Source, raw: str = "raw") -> Acquired:
        return acquire([source], archive, tmp_path / raw, log=lambda line: None, patience=hurried)

    return cut


def crop(raw_dir: Path) -> tuple[NDArray[np.uint8], dict]:
    import zarr

    attributes = json.loads((raw_dir / "files" / "crop.zarr" / "zarr.json").read_text())["attributes"]
    return zarr.open_array(raw_dir / "files" / "crop.zarr" / "s0", mode="r")[:], attributes


def test_a_given_start_is_cut_and_recorded(tmp_path: Path, cut, voxels: NDArray[np.uint8], remote: Path) -> None:
    got = cut(Source(kind="cutout", url=URL, shape_zyx=BOX, start_zyx=(10, 20, 70)))
    pixels, attributes = crop(tmp_path / "raw")
    assert np.array_equal(pixels, voxels[10:42, 20:60, 70:120])
    recorded = attributes["em_assets_cutout"]
    assert recorded["start_zyx"] == [10, 20, 70]
    assert (recorded["url"], recorded["scale_key"], recorded["source_n_levels"]) == (URL, "8nm", 2)
    transformations = attributes["ome"]["multiscales"][0]["datasets"][0]["coordinateTransformations"]
    assert transformations[0]["scale"] == [8.0, 8.0, 8.0]
    assert transformations[1]["translation"] == [80.0, 160.0, 560.0]
    assert (tmp_path / "raw" / "files" / "source" / "info").read_bytes() == (remote / "info").read_bytes()
    assert {row.path for row in got.files} >= {"source/info", "crop.zarr/zarr.json", "crop.zarr/s0/zarr.json"}


@pytest.mark.parametrize("key", ["data/em", "a b+c/100%41/ü#1"], ids=["plain", "odd"])
def test_a_box_is_cut_from_a_bucket_whatever_its_key(tmp_path: Path, cut, remote: Path, voxels, key: str) -> None:
    """What must be escaped in a URL was not: `%41` was asked for as `A`, and nothing behind a `#`."""
    place = tmp_path / "archive" / "s3" / "bkt" / key
    place.parent.mkdir(parents=True)
    remote.rename(place)
    cut(Source(kind="cutout", url=f"s3://bkt/{key}", shape_zyx=BOX, start_zyx=(10, 20, 70)))
    pixels, _ = crop(tmp_path / "raw")
    assert np.array_equal(pixels, voxels[10:42, 20:60, 70:120])


def test_a_drawn_start_lies_on_the_chunk_grid_and_is_not_blank(tmp_path: Path, cut) -> None:
    for seed in range(4):
        cut(Source(kind="cutout", url=URL, shape_zyx=(32, 32, 32), seed=seed), raw=f"raw{seed}")
        pixels, attributes = crop(tmp_path / f"raw{seed}")
        start = attributes["em_assets_cutout"]["start_zyx"]
        assert [at % 32 for at in start] == [0, 0, 0]
        assert start[2] >= 64
        assert pixels.min() != pixels.max()


def test_the_same_seed_gives_the_same_bytes_and_a_second_time_nothing_is_read(cut) -> None:
    source = Source(kind="cutout", url=URL, shape_zyx=BOX, seed=5)
    one, other, again = cut(source, "one"), cut(source, "other"), cut(source, "one")
    assert one.files == other.files == again.files
    assert (again.fetched, again.kept) == (0, len(one.files))


def test_the_fingerprint_follows_the_box_and_the_remotes_metadata(
    archive: Origin, hurried: Patience, remote: Path
) -> None:
    source = Source(kind="cutout", url=URL, shape_zyx=BOX, seed=5)
    before = observe([source], archive, patience=hurried).fingerprint
    other_seed = observe([source.model_copy(update={"seed": 6})], archive, patience=hurried).fingerprint
    (remote / "info").write_bytes((remote / "info").read_bytes() + b"\n")
    assert len({before, other_seed, observe([source], archive, patience=hurried).fingerprint}) == 3


def test_another_box_takes_the_place_of_the_first(tmp_path: Path, cut, voxels: NDArray[np.uint8]) -> None:
    cut(Source(kind="cutout", url=URL, shape_zyx=BOX, start_zyx=(0, 0, 64)))
    got = cut(Source(kind="cutout", url=URL, shape_zyx=(8, 8, 8), start_zyx=(1, 2, 90)))
    assert np.array_equal(crop(tmp_path / "raw")[0], voxels[1:9, 2:10, 90:98])
    assert got.kept == 0


def test_what_a_new_box_replaces_is_kept_by_its_digest(tmp_path: Path, cut) -> None:
    first = cut(Source(kind="cutout", url=URL, shape_zyx=BOX, start_zyx=(0, 0, 64)))
    cut(Source(kind="cutout", url=URL, shape_zyx=(8, 8, 8), start_zyx=(1, 2, 90)))
    for row in first.files:
        kept = (tmp_path / "raw" / "old" / row.sha256).read_bytes()
        assert hashlib.sha256(kept).hexdigest() == row.sha256


def test_a_kill_between_the_renames_has_replaced_nothing(tmp_path: Path, cut, remote: Path) -> None:
    """The process is gone when the old box has left its name; the next run finds the remote unreachable as well."""
    source = Source(kind="cutout", url=URL, shape_zyx=BOX, start_zyx=(0, 0, 64))
    first, files = cut(source), tmp_path / "raw" / "files"
    staging = files / ".cutout-1"
    staging.mkdir()
    (files / "source").rename(staging / "replaced-source")
    (files / "source").mkdir()
    (files / "crop.zarr").rename(staging / "replaced-crop.zarr")
    (remote / "info").rename(remote / "elsewhere")
    with pytest.raises(SourceMissingError):
        cut(source)
    (remote / "elsewhere").rename(remote / "info")
    assert cut(source).kept == len(first.files)
    assert sorted(path.name for path in files.iterdir()) == ["crop.zarr", "source"]


def test_metadata_that_is_no_longer_there_is_taken_for_a_refusal_and_changes_nothing(
    tmp_path: Path, cut, zarr_remote: Path
) -> None:
    (zarr_remote / ".zattrs").write_text('{"lab": "A"}')
    source = Source(kind="cutout", url="https://a.org/em.zarr", shape_zyx=BOX, start_zyx=(0, 0, 70))
    source = source.model_copy(update={"absent_is_fill": True})
    first = cut(source)
    (zarr_remote / ".zattrs").rename(zarr_remote / "elsewhere")
    with pytest.raises(SourceMissingError, match=r"no longer listed: source/\.zattrs"):
        cut(source)
    (zarr_remote / "elsewhere").rename(zarr_remote / ".zattrs")
    assert cut(source).kept == len(first.files)


def test_the_sample_may_have_a_smaller_box(tmp_path: Path, cut) -> None:
    cut(Source(kind="cutout", url=URL, shape_zyx=(1000, 1000, 1000), sample_shape_zyx=(16, 16, 16), seed=1))
    assert crop(tmp_path / "raw")[0].shape == (16, 16, 16)


@pytest.mark.parametrize("start", [None, (90, 0, 0)])
def test_a_box_outside_the_volume_names_both(cut, start: tuple[int, int, int] | None) -> None:
    shape = (8, 8, 8) if start else (97, 8, 8)
    with pytest.raises(OutOfBoundsError, match=r"\(9[78], 8, 8\).*\(96, 128, 160\)"):
        cut(Source(kind="cutout", url=URL, shape_zyx=shape, start_zyx=start))


def test_a_volume_that_is_blank_everywhere_is_refused(cut, remote: Path, tmp_path: Path) -> None:
    for chunk in remote.glob("*nm/*"):
        chunk.write_bytes(bytes(chunk.stat().st_size))
    with pytest.raises(SourceMissingError, match="all blank"):
        cut(Source(kind="cutout", url=URL, shape_zyx=(32, 32, 32)))
    assert not list((tmp_path / "raw").rglob("crop.zarr"))


def test_a_box_above_max_bytes_is_refused_before_it_is_read(cut) -> None:
    with pytest.raises(PlanTooLargeError, match=r"64,000 bytes.*max_bytes = 1,000"):
        cut(Source(kind="cutout", url=URL, shape_zyx=BOX, max_bytes=1000))


def test_no_volume_at_the_address_is_missing(archive: Origin, hurried: Patience, remote: Path) -> None:
    with pytest.raises(SourceMissingError, match="gs://bucket/none"):
        observe([Source(kind="cutout", url="gs://bucket/none", shape_zyx=BOX)], archive, patience=hurried)


def test_a_box_is_moved_to_where_the_coarsest_level_shows_something(tmp_path: Path, cut, remote: Path) -> None:
    """All but one corner of the volume is empty; the crop records which boxes were blank."""
    import tensorstore as ts

    for scale in (1, 2):
        spec = {"driver": "neuroglancer_precomputed", "kvstore": f"file://{remote}/", "scale_index": scale - 1}
        voxels = np.zeros([160 // scale, 128 // scale, 96 // scale, 1], np.uint8)
        voxels[-16 // scale :, -16 // scale :, -16 // scale :] = 9
        context = ts.Context()
        array = ts.open({**spec, "store_data_equal_to_fill_value": True}, context=context).result()
        array.write(voxels).result()
    n_blank = []
    for seed in range(3):
        cut(Source(kind="cutout", url=URL, shape_zyx=(32, 32, 32), seed=seed), raw=f"raw{seed}")
        pixels, attributes = crop(tmp_path / f"raw{seed}")
        recorded = attributes["em_assets_cutout"]
        n_blank.append(len(recorded["blank_starts_zyx"]))
        assert recorded["start_zyx"] == [64, 96, 128]
        assert [64, 96, 128] not in recorded["blank_starts_zyx"]
        assert pixels.max() == 9
    assert max(n_blank) > 10  # every draw was blank: the coarsest level told where to look


def test_a_chunk_that_is_not_there_is_an_error_and_no_background(cut, remote: Path, tmp_path: Path) -> None:
    (remote / "8nm" / "64-96_0-32_0-32").unlink()
    with pytest.raises(SourceMissingError, match="a chunk of the box is not there"):
        cut(Source(kind="cutout", url=URL, shape_zyx=BOX, start_zyx=(0, 0, 64)))
    assert not list((tmp_path / "raw").rglob("crop.zarr"))


@pytest.fixture
def zarr_remote(tmp_path: Path, voxels: NDArray[np.uint8]) -> Path:
    """The volume as a bare zarr v2 array below a web host; blank chunks are not written, as zarr-python does."""
    import zarr

    folder = tmp_path / "archive" / "http" / "a.org" / "em.zarr"
    array = zarr.create_array(
        folder, shape=SHAPE, chunks=(32, 32, 32), dtype="uint8", zarr_format=2, config={"write_empty_chunks": False}
    )
    array[:] = voxels
    return folder


def test_an_absent_zarr_chunk_is_the_fill_value_only_where_the_dataset_says_so(
    tmp_path: Path, cut, zarr_remote: Path, voxels: NDArray[np.uint8]
) -> None:
    source = Source(kind="cutout", url="https://a.org/em.zarr", shape_zyx=BOX, start_zyx=(0, 0, 40))
    with pytest.raises(SourceMissingError, match=r"a chunk of the box is not there.*absent_is_fill = true"):
        cut(source)
    cut(source.model_copy(update={"absent_is_fill": True}))
    assert np.array_equal(crop(tmp_path / "raw")[0], voxels[0:32, 0:40, 40:90])


@pytest.fixture
def sharded_remote(tmp_path: Path, voxels: NDArray[np.uint8]) -> Path:
    """The volume as a bare sharded zarr v3 array; the index of a shard leaves out its blank chunks."""
    import zarr

    folder = tmp_path / "archive" / "http" / "a.org" / "sharded.zarr"
    zarr.create_array(
        folder,
        shape=SHAPE,
        chunks=(16, 16, 16),
        shards=(32, 32, 32),
        dtype="uint8",
        config={"write_empty_chunks": False},
    )[:] = np.where(np.arange(160) < 80, 0, voxels)
    return folder


def test_a_shards_index_declares_chunks_absent_and_a_lost_shard_is_an_error(
    tmp_path: Path, cut, sharded_remote: Path, voxels: NDArray[np.uint8]
) -> None:
    source = Source(kind="cutout", url="https://a.org/sharded.zarr", shape_zyx=BOX, start_zyx=(0, 0, 70))
    cut(source)
    pixels = crop(tmp_path / "raw")[0]
    assert np.array_equal(pixels[:, :, 10:], voxels[0:32, 0:40, 80:120])
    assert not pixels[:, :, :10].any()
    (sharded_remote / "c" / "0" / "1" / "3").unlink()
    with pytest.raises(SourceMissingError, match="the shard c/0/1/3 is not there"):
        cut(source, "again")


def test_a_box_takes_one_of_its_hosts_connections_and_shows_how_far_it_is(
    tmp_path: Path, archive: Origin, hurried: Patience, remote: Path
) -> None:
    at_work: list[int] = []
    said: list[str] = []

    class Watcher:
        def began(self, progress: Progress) -> None:
            pass

        def moved(self, progress: Progress) -> None:
            with Host("bucket", 32, tmp_path / ".hosts" / "bucket").spare_lines(32) as n_free:
                at_work.append(32 - n_free)
            said.append(f"{progress.done_files} of {progress.n_files}, {progress.done_bytes} of {progress.total_bytes}")

        ended = began

    source = Source(kind="cutout", url=URL, shape_zyx=(96, 40, 50), start_zyx=(0, 20, 70))
    with watched_by(Watcher()):
        acquire([source], archive, tmp_path / "raw", log=lambda line: None, patience=hurried)
    assert said == ["0 of 1, 128000 of 192000", "0 of 1, 192000 of 192000", "1 of 1, 192000 of 192000"]
    assert set(at_work) == {1}


def test_a_coarser_level_is_cut_where_it_is_asked_for(
    tmp_path: Path, cut, voxels: NDArray[np.uint8], archive: Origin, hurried: Patience
) -> None:
    """Some archives have placeholders in the place of their finest levels: start and shape count the level's voxels."""
    source = Source(kind="cutout", url=URL, shape_zyx=BOX, start_zyx=(4, 8, 30), level=1)
    cut(source)
    pixels, attributes = crop(tmp_path / "raw")
    assert np.array_equal(pixels, voxels[::2, ::2, ::2][4:36, 8:48, 30:80])
    recorded = attributes["em_assets_cutout"]
    assert (recorded["level"], recorded["scale_key"], recorded["source_n_levels"]) == (1, "16nm", 2)
    assert recorded["source_shape_zyx"] == [48, 64, 80]
    scale, translation = attributes["ome"]["multiscales"][0]["datasets"][0]["coordinateTransformations"]
    assert scale["scale"] == [16.0, 16.0, 16.0]
    assert translation["translation"] == [4.0 + 4 * 16, 4.0 + 8 * 16, 4.0 + 30 * 16]
    finest = source.model_copy(update={"level": 0})
    assert observe([finest], archive, patience=hurried) != observe([source], archive, patience=hurried)


def test_what_a_box_of_the_finest_level_is_called_does_not_depend_on_levels(cut, tmp_path: Path) -> None:
    """A box that was cut before there were levels to choose from is the same box."""
    cut(Source(kind="cutout", url=URL, shape_zyx=BOX, start_zyx=(10, 20, 70)))
    assert "level" not in crop(tmp_path / "raw")[1]["em_assets_cutout"]


def test_a_level_that_is_not_there_is_named(cut) -> None:
    with pytest.raises(VolumeChoiceError, match=r"level = 2, and there are 2 from 0 on"):
        cut(Source(kind="cutout", url=URL, shape_zyx=BOX, level=2))


@pytest.fixture
def n5(tmp_path: Path, voxels: NDArray[np.uint8]) -> Path:
    """The volume as an N5 group whose attributes name no level."""
    from em_assets.sample.n5 import write_array, write_attributes

    group = tmp_path / "archive" / "http" / "host" / "em.n5"
    write_attributes(group, {"multiScale": True})
    for level in range(2):
        write_array(group / f"s{level}", voxels[:: level + 1, :: level + 1, :: level + 1], (32, 32, 32), {})
    return group


def test_a_box_of_an_n5_group_is_cut_with_the_words_of_every_level(
    tmp_path: Path, cut, voxels: NDArray[np.uint8], n5: Path
) -> None:
    got = cut(Source(kind="cutout", url="https://host/em.n5/", shape_zyx=BOX, start_zyx=(10, 20, 70)))
    pixels, attributes = crop(tmp_path / "raw")
    assert np.array_equal(pixels, voxels[10:42, 20:60, 70:120])
    assert attributes["em_assets_cutout"]["scale_key"] == "s0"
    names = [row.path for row in got.files if row.path.startswith("source/")]
    assert names == ["source/attributes.json", "source/s0/attributes.json", "source/s1/attributes.json"]


def test_a_block_of_n5_that_is_not_there_is_an_error_unless_its_publisher_writes_no_empty_ones(
    tmp_path: Path, cut, n5: Path
) -> None:
    (n5 / "s0" / "2" / "0" / "0").unlink()
    source = Source(kind="cutout", url="https://host/em.n5/", shape_zyx=(32, 32, 64), start_zyx=(0, 0, 64))
    with pytest.raises(SourceMissingError, match=r"a chunk of the box is not there.*absent_is_fill = true"):
        cut(source)
    cut(source.model_copy(update={"absent_is_fill": True}), raw="other")
    pixels, _ = crop(tmp_path / "other")
    assert not pixels[:, :, :32].any()
    assert pixels[:, :, 32:].any()


def test_what_absent_chunks_are_taken_for_is_part_of_what_a_box_is(
    archive: Origin, hurried: Patience, zarr_remote: Path
) -> None:
    source = Source(kind="cutout", url="https://a.org/em.zarr", shape_zyx=BOX, start_zyx=(0, 0, 70))
    filled = source.model_copy(update={"absent_is_fill": True})
    one, other = (observe([each], archive, patience=hurried).fingerprint for each in (source, filled))
    assert one != other


DRAWN = (32, 32, 32)


def test_an_absent_block_of_a_coarse_level_refuses_no_drawn_box(tmp_path: Path, cut, n5: Path, remote: Path) -> None:
    """Coarse levels are hints: of these only one block is absent, far from most boxes, then all of them."""
    url = "https://host/em.n5"
    (n5 / "s1" / "0" / "0" / "0").unlink()
    (remote / "16nm" / "0-32_0-32_0-32").unlink()
    for seed in range(3):
        for number, address in enumerate((url, URL)):
            cut(Source(kind="cutout", url=address, shape_zyx=DRAWN, seed=seed), raw=f"raw{number}{seed}")
            pixels, _ = crop(tmp_path / f"raw{number}{seed}")
            assert pixels.min() != pixels.max()
    for chunk in [*remote.glob("16nm/*"), *(path for path in n5.glob("s1/*/*/*") if path.is_file())]:
        chunk.unlink()
    for number, address in enumerate((url, URL)):
        cut(Source(kind="cutout", url=address, shape_zyx=DRAWN, seed=1), raw=f"none{number}")
        assert np.array_equal(crop(tmp_path / f"none{number}")[0], crop(tmp_path / f"raw{number}1")[0])


def test_an_absent_block_of_the_drawn_box_is_still_an_error(cut, n5: Path) -> None:
    for block in [path for path in n5.glob("s0/*/*/*") if path.is_file()]:
        block.unlink()
    with pytest.raises(SourceMissingError, match=r"a chunk of the box is not there.*move the box"):
        cut(Source(kind="cutout", url="https://host/em.n5", shape_zyx=DRAWN, seed=1))


def test_every_folder_of_a_box_is_on_the_disk_before_it_has_its_name(
    tmp_path: Path, cut, remote: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real fsync, and which paths it was asked for: nobody can see from here what a power cut leaves."""
    files, synced, fsync = tmp_path / "raw" / "files", set(), os.fsync

    def noted(descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        if files in path.parents and path.relative_to(files).parts[0].startswith(".cutout-"):
            synced.add(Path(*path.relative_to(files).parts[1:]))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    cut(Source(kind="cutout", url=URL, shape_zyx=BOX, start_zyx=(10, 20, 70)))
    published = {path for name in ("source", "crop.zarr") for path in (files / name).rglob("*")}
    assert {path.relative_to(files) for path in published} | {Path("source"), Path("crop.zarr")} <= synced
