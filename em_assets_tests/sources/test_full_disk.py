"""A disk that is full, at any point of a download, a volume, the catalog: the old version reads, the error says it all.

A small memory disk of its own, which only root may mount; elsewhere these are skipped.
"""

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from faulty_web import Exchange, faulty_web

from em_assets.errors import StoreError
from em_assets.model import RemoteFile, Source
from em_assets.sources import acquire, read_manifest
from em_assets.sources.origins import PUBLIC_ORIGIN
from em_assets.sources.partial import require_space
from em_assets.sources.transfer import fetch_file
from em_assets.sources.wire import Patience
from em_assets.volumes.direct import ALIGNED_BYTES, aligned, write_new
from em_assets.volumes.new_files import NewFile

DISK_BYTES = 4 << 20
HASTY = Patience(tries=2, first_pause_s=0.001, longest_pause_s=0.002)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("only root mounts a memory disk")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def leave_free(disk: Path, n_bytes: int) -> Path:
    """Fill the disk until so many bytes, in whole pages, are free."""
    filler = disk / "filler"
    filler.unlink(missing_ok=True)
    free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
    filler.write_bytes(bytes(max(free - n_bytes, 0)))
    return filler


def download_when_full(disk: Path, free: int) -> None:
    content = bytes(range(256)) * 4096  # 1 MiB, over one connection; its size is not listed, so nobody could know

    def answer(x: Exchange, _: object) -> bool:
        x.plain(content, ETag='"1"')
        return True

    old = disk / "a.bin"
    old.write_bytes(b"old")
    filler = leave_free(disk, free)
    with faulty_web({"d": answer}) as web:
        remote = RemoteFile(path="a.bin", url=f"{web.url}/d/a.bin", size_bytes=None, validator=None)
        with pytest.raises(StoreError, match=r"a\.bin|partial") as caught:
            fetch_file(remote, old, PUBLIC_ORIGIN, patience=HASTY)
        assert re.search(rf"bytes needed: {len(content):,}.*bytes free: [\d,]+", str(caught.value))
        assert {path.name: path.read_bytes() for path in disk.iterdir() if path != filler} == {"a.bin": b"old"}
        filler.unlink()
        fetch_file(remote, old, PUBLIC_ORIGIN, patience=HASTY)
    assert old.read_bytes() == content


def volume_when_full(disk: Path, free: int, seed: int) -> None:
    import tifffile

    from em_assets.blocks import open_volume
    from em_assets.volumes.ingest import ingest

    source = disk.parent / "stack.tif"
    voxels = np.random.default_rng(seed).integers(0, 256, (16, 256, 256), np.uint8)
    tifffile.imwrite(source, voxels)
    before = disk / "before.ome.zarr"
    if not before.exists():
        ingest(source, before, voxel_size_zyx_nm=(8, 8, 8), content="em")
    kept = np.asarray(open_volume(before)[0:16, 0:64, 0:64])
    filler = leave_free(disk, free)
    with pytest.raises(StoreError, match=r"after\.ome\.zarr"):
        ingest(source, disk / "after.ome.zarr", voxel_size_zyx_nm=(8, 8, 8), content="em")
    assert not (disk / "after.ome.zarr").exists()
    assert np.array_equal(np.asarray(open_volume(before)[0:16, 0:64, 0:64]), kept)
    filler.unlink()


def catalog_when_full(disk: Path, free: int) -> None:
    from em_assets.catalog.schemas import ORIGINAL_TAGS
    from em_assets.catalog.tables import read_table, write_table

    path = disk / "original_tags.parquet"
    columns = [(column.name, column.type) for column in ORIGINAL_TAGS.arrow]
    noise = np.random.default_rng(1)

    def table(n_rows: int) -> pa.Table:
        values = {name: [noise.bytes(100).hex()] * n_rows for name, kind in columns if pa.types.is_string(kind)}
        others = {name: pa.array([0] * n_rows).cast(kind) for name, kind in columns if name not in values}
        values = {name: [noise.bytes(100).hex() for _ in range(n_rows)] for name in values}
        return pa.table({name: values.get(name, others.get(name)) for name, _ in columns}, schema=ORIGINAL_TAGS.arrow)

    write_table(table(1), path, ORIGINAL_TAGS)
    filler = leave_free(disk, free)
    with pytest.raises(StoreError, match=r"original_tags\.parquet.*needed: [\d,]+.*free: [\d,]+"):
        write_table(table(4000), path, ORIGINAL_TAGS)
    assert read_table(path, ORIGINAL_TAGS).num_rows == 1
    assert {each.name for each in disk.iterdir()} == {filler.name, path.name}
    filler.unlink()


def noise(n_bytes: int) -> bytes:
    return np.random.default_rng(n_bytes).bytes(n_bytes)


def n_open_files() -> int:
    """Regular files that this process has open: sockets of other tests' threads come and go."""
    return sum(each.is_file() for each in Path("/proc/self/fd").iterdir())


def write(file: NewFile, pieces: list[bytes]) -> None:
    file.append(pieces)
    file.finish()


@pytest.mark.parametrize("free", [0, 1_000_000])
def test_what_writes_past_the_cache_says_that_the_disk_is_full(disk: Path, free: int) -> None:
    """Also after some blocks; what is in the file by then is right, or a hole, and no descriptor is left.

    Several threads write: where one finds no room, one of a later place may have found some.
    """
    content = noise(3 << 20)
    leave_free(disk, free)
    file = NewFile(disk / "grows")
    with pytest.raises(OSError, match="No space left"):
        write(file, [content[:1_500_000], content[1_500_000:]])
    file.close()
    written = (disk / "grows").read_bytes()
    for start in range(0, len(written), ALIGNED_BYTES):
        block = written[start : start + ALIGNED_BYTES]
        assert block in (content[start : start + len(block)], bytes(len(block)))
    assert (len(written) > 0) == (free > 0)
    (disk / "grows").unlink()
    memory, n_open = aligned(len(content)), n_open_files()
    memory[:] = content
    with pytest.raises(OSError, match="No space left"):
        write_new(str(disk / "at once"), memory, len(content))
    assert n_open_files() == n_open


@pytest.fixture
def crop_source(tmp_path: Path) -> Source:
    """A volume of 2 MiB that does not pack, of which all is asked for."""
    import zarr

    voxels = np.frombuffer(noise(128**3), np.uint8).reshape(128, 128, 128)
    array = zarr.create_array(tmp_path / "em.zarr", shape=voxels.shape, chunks=(64, 64, 64), dtype="uint8")
    array[:] = voxels
    return Source(kind="cutout", url=str(tmp_path / "em.zarr"), shape_zyx=(128, 128, 128), start_zyx=(0, 0, 0))


def test_a_box_that_has_no_room_is_refused_before_it_is_read(disk: Path, crop_source: Source) -> None:
    filler = leave_free(disk, 1 << 20)
    with pytest.raises(StoreError, match=r"bytes needed: 2,097,152, for .*em\.zarr; bytes free: [\d,]+"):
        acquire([crop_source], PUBLIC_ORIGIN, disk / "raw" / "x", log=str, patience=HASTY)
    filler.unlink()
    acquire([crop_source], PUBLIC_ORIGIN, disk / "raw" / "x", log=str, patience=HASTY)


def test_a_disk_that_fills_while_a_box_is_written_is_named_with_its_bytes(disk: Path, crop_source: Source) -> None:
    """Somebody else takes the room once the box has begun."""

    def log(line: str) -> None:
        if "box from" in line:
            leave_free(disk, 700_000)

    with pytest.raises(StoreError, match=r"crop\.zarr/s0: cannot be written .*needed: [\d,]+.*free: [\d,]+"):
        acquire([crop_source], PUBLIC_ORIGIN, disk / "raw" / "x", log=log, patience=HASTY)
    assert not list((disk / "raw").rglob("crop.zarr"))
    (disk / "filler").unlink()
    acquire([crop_source], PUBLIC_ORIGIN, disk / "raw" / "x", log=str, patience=HASTY)


@pytest.mark.parametrize("percent", [0, 40, 90])
def test_a_download_onto_a_full_disk_leaves_the_old_file(disk: Path, percent: int) -> None:
    download_when_full(disk, percent * (1 << 20) // 100)


@pytest.mark.soak
def test_a_download_onto_a_disk_full_at_50_points_leaves_the_old_file(disk: Path) -> None:
    for point in range(50):
        download_when_full(disk, point * (1 << 20) // 51)
        (disk / "a.bin").unlink()


@pytest.mark.soak
def test_a_volume_onto_a_disk_full_at_50_points_leaves_the_old_one(disk: Path) -> None:
    for point in range(50):
        volume_when_full(disk, point * 900_000 // 50, seed=1)


@pytest.mark.soak
def test_a_table_onto_a_disk_full_at_50_points_leaves_the_old_one(disk: Path) -> None:
    for point in range(50):
        catalog_when_full(disk, point * 20_000)


def test_a_table_onto_a_full_disk_leaves_the_old_one(disk: Path) -> None:
    catalog_when_full(disk, 300_000)


def test_a_volume_onto_a_full_disk_leaves_the_old_one(disk: Path) -> None:
    volume_when_full(disk, 300_000, seed=1)


def test_what_has_no_room_is_refused_before_anything_is_asked_for(disk: Path, tmp_path: Path) -> None:
    content = bytes(1 << 20)

    def answer(x: Exchange, _: object) -> bool:
        x.plain(content, ETag='"1"')
        return True

    leave_free(disk, 100_000)
    with faulty_web({"d": answer}) as web, pytest.raises(StoreError, match=r"needed: 1,048,576.*free: ") as caught:
        acquire([Source(url=f"{web.url}/d/a.bin")], PUBLIC_ORIGIN, disk / "raw" / "x", log=str, patience=HASTY)
    assert str(disk) in str(caught.value)
    assert web.gets("d") == []
    assert read_manifest(disk / "raw" / "x") is None


def test_more_than_any_disk_holds_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"bytes needed: 1,000,000,000,000,000,000, for x; bytes free: [\d,]+"):
        require_space(tmp_path / "not" / "there" / "yet", 10**18, "x")
