"""A source that is not what it says, or changes while it is read: words, no commit, and the volume that was stays."""

import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr

from em_assets.errors import EMAssetsError, StoreError
from em_assets.formats import open_path
from em_assets.formats.volume import SourceLevel, SourceVolume
from em_assets.volumes.codec import codec_of
from em_assets.volumes.levels import plan_grid, plan_levels
from em_assets.volumes.pyramid import write_pyramid
from em_assets.volumes.reading import open_committed
from em_assets.volumes.room import check_room
from em_assets.volumes.store import commit_volume, resolve
from em_assets.volumes.validation import validate_volume

OLD, NEW = "aaaa", "bbbb"
VOXELS = np.random.default_rng(9).integers(1, 255, (300, 20, 30), dtype=np.uint8)

Happen = Callable[[Path], None]


def tiff(path: Path, **how: Any) -> None:
    tifffile.imwrite(path, VOXELS, **({"photometric": "minisblack"} | how))


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size * 3 // 5)


def grow(path: Path) -> None:
    with path.open("ab") as file:
        file.write(bytes(100))


def rewrite(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9] + bytes(9))


def replace_by_a_copy(path: Path) -> None:
    """What `rsync` does: another file under the same name."""
    shutil.copyfile(path, path.with_suffix(".new"))
    path.with_suffix(".new").replace(path)


def pages(path: Path, *planes: np.ndarray[Any, Any], **how: Any) -> None:
    with tifffile.TiffWriter(path) as file:
        for plane in planes:
            file.write(plane, photometric="minisblack", contiguous=False, **how)


def mrc(path: Path, n_declared: int) -> None:
    header = np.zeros(256, "<i4")
    header[:4], header[7:10] = (30, 20, n_declared, 0), (30, 20, n_declared)
    header[16:19] = (1, 2, 3)
    header[52], header[53] = int.from_bytes(b"MAP ", "little"), 0x4444
    path.write_bytes(header.tobytes() + VOXELS.tobytes())


def ome_zarr(path: Path, scale: list[float] | None = None) -> None:
    steps = [{"type": "scale", "scale": scale or [8.0, 8.0, 8.0]}]
    axes = [{"name": axis, "type": "space", "unit": "nanometer"} for axis in "zyx"]
    image = {"axes": axes, "datasets": [{"path": "s0", "coordinateTransformations": steps}], "version": "0.4"}
    group = zarr.open_group(path, mode="w", zarr_format=2, attributes={"multiscales": [image]})
    group.create_array("s0", shape=VOXELS.shape, chunks=(100, 20, 30), dtype="u1", compressors=None)[:] = VOXELS


def a_chunk_too_long(path: Path) -> None:
    ome_zarr(path)
    grow(path / "s0" / "2.0.0")


def a_chunk_cut(path: Path) -> None:
    ome_zarr(path)
    cut(path / "s0" / "2.0.0")


@dataclass(frozen=True)
class Case:
    """How the source is made, what happens to it while it is read, and what the error says."""

    name: str
    make: Callable[[Path], None]
    said: str
    meanwhile: Happen | None = None


def packed(path: Path) -> None:
    tiff(path, compression="zlib")


def cut_tiff(path: Path) -> None:
    tiff(path)
    cut(path)


CASES: Mapping[str, Case] = {
    "ends early": Case("a.tif", cut_tiff, r"a\.tif: .*cut short.*fetch it again"),
    "cut while it is read": Case("a.tif", tiff, r"a\.tif: changed while it was read \(\d.* before.*: wait until", cut),
    "packed, cut while it is read": Case("a.tif", packed, r"a\.tif: changed while it was read", cut),
    "grows while it is read": Case("a.tif", tiff, r"a\.tif: changed while it was read", grow),
    "rewritten while it is read": Case("a.tif", tiff, r"a\.tif: changed while it was read", rewrite),
    "replaced while it is read": Case("a.tif", tiff, r"a\.tif: changed while it was read", replace_by_a_copy),
    "gone while it is read": Case("a.tif", tiff, r"a\.tif: changed while it was read .* not there after", Path.unlink),
    "a smaller page": Case(
        "a.tif", lambda path: pages(path, VOXELS[0], VOXELS[1][:9]), r"page 0 is \(20, 30\).*page 1 is \(9, 30\)"
    ),
    "a page of another type": Case(
        "a.tif",
        lambda path: pages(path, VOXELS[0], VOXELS[1].astype("u2"), compression="zlib"),
        r"page 0 is .* uint8, page 1 is .* uint16",
    ),
    "more sections than declared": Case(
        "a.mrc", lambda path: mrc(path, 200), r"a\.mrc: 200 sections declared by nz, found 300.*mend nz"
    ),
    "fewer sections than declared": Case("a.mrc", lambda path: mrc(path, 301), r"a\.mrc: .*301 sections.*cut short"),
    "a chunk of too many voxels": Case("a.zarr", a_chunk_too_long, r"a\.zarr/s0.*fetch it again"),
    "a chunk of too few voxels": Case("a.zarr", a_chunk_cut, r"a\.zarr/s0.*fetch it again"),
    "a scale of zero": Case(
        "a.zarr", lambda path: ome_zarr(path, [0.0, 8.0, 8.0]), r"a\.zarr.*scale: numbers above zero expected.*mend"
    ),
}


def commit(folder: Path, generation: str, open_source: Callable[[], SourceVolume], progress: Any = None) -> None:
    def write(dest: Any) -> Any:
        source = open_source()
        said = {"content": "em", "voxel_size_zyx_nm": source.voxel_size_zyx_nm, "name": "v", "attributes": {}}
        return write_pyramid(source, dest, ome_zarr="0.5", progress=progress, memory_budget_bytes=1, **said)

    commit_volume(folder, generation, write)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_source_that_fails_is_an_error_in_words_and_the_volume_that_was_is_still_served(
    tmp_path: Path, make_source: Callable[..., SourceVolume], case: Case
) -> None:
    folder, path = tmp_path / "em", tmp_path / case.name
    commit(folder, OLD, lambda: make_source(VOXELS))
    case.make(path)

    def progress(n_done: int, n_voxels: int) -> None:
        if case.meanwhile and path.exists() and n_done < n_voxels / 2:
            case.meanwhile(path)

    with pytest.raises(EMAssetsError, match=case.said):
        commit(folder, NEW, lambda: open_path(path)[0], progress)
    served = resolve(folder)
    assert served is not None
    assert (served.commit.generation, validate_volume(folder)) == (OLD, [])
    assert np.array_equal(open_committed(served).read((0, 0, 0), VOXELS.shape), VOXELS)
    assert sorted(path.name for path in folder.iterdir()) == ["aaaa", "commits", "generations", "latest"]


def virtual(voxels: Callable[[Any], Any], shape: tuple[int, int, int]) -> SourceVolume:
    """A volume that no disk holds; its boxes are made when they are asked for."""
    level = SourceLevel(shape, (8.0, 8.0, 8.0), lambda start, box: voxels(box))
    return SourceVolume("huge", "numpy", np.dtype("uint8"), (level,), ())


def noise(shape: Any) -> Any:
    return np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)


def test_a_volume_that_the_disk_cannot_hold_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    free = f"{shutil.disk_usage(tmp_path).free:,}"[:-12]
    petabyte = virtual(noise, (100_000, 100_000, 100_000))
    with pytest.raises(
        StoreError, match=rf"em/\.staging.*no room for huge: about 1,1\d\d,\d+.* needed.*, {free}.* free"
    ):
        commit(tmp_path / "em", NEW, lambda: petabyte)
    assert [path.name for path in (tmp_path / "em").rglob("*") if path.is_file()] == []


def test_room_is_judged_by_what_the_voxels_pack_to(tmp_path: Path) -> None:
    """4 TB of one label are written to any disk: zstd packs a chunk of it to twenty bytes."""
    shape = (16_000, 16_000, 16_000)
    levels, grid = plan_levels(shape, (8.0, 8.0, 8.0)), plan_grid(shape, 1)
    assert shutil.disk_usage(tmp_path).free < 4e12
    check_room(tmp_path / "v", virtual(lambda box: np.ones(box, np.uint8), shape), levels, grid, codec_of("zstd-1"))
    with pytest.raises(StoreError, match=r"no room for huge: about 4,\d+,\d+,\d+,\d+ bytes needed \(as 27 of"):
        check_room(tmp_path / "v", virtual(noise, shape), levels, grid, codec_of("zstd-1"))
