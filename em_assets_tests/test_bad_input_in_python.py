"""What `open_volume`, `read`, `read_tags` and `ingest` raise on account of input is always an `EMAssetsError`."""

import os
import random
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bad_sources import VOXELS, damaged_copy, read_whole, write_files

from em_assets import open_volume, settings
from em_assets.errors import EMAssetsError, OutOfBoundsError, StoreError, UnknownFormatError, UsageError
from em_assets.formats import detect, read_tags
from em_assets.volumes.ingest import ingest


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bad_files")
    write_files(folder)
    return folder


def test_a_path_with_dots_in_it_is_a_good_path(files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tensorstore refuses `..`, and so did everything that is read or written through it."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    written = ingest(os.path.relpath(files / "good_precomputed"), Path("../out.zarr")).path
    assert np.array_equal(read_whole(open_volume("../out.zarr")), VOXELS)
    assert written == tmp_path / "out.zarr"
    assert settings.load({"EM_ASSETS_STORE": "../store"}).store == tmp_path / "store"


ARGUMENTS = {
    "floats": ((0.0, 0, 0), (1, 1, 1)),
    "floats of numpy": (np.zeros(3), np.ones(3)),
    "negative": ((-1, 0, 0), (1, 1, 1)),
    "nothing": ((0, 0, 0), (0, 1, 1)),
    "too far": ((0, 0, 0), (7, 40, 50)),
    "far too far": ((2**70, 0, 0), (1, 1, 1)),
    "too few": ((0, 0), (1, 1)),
    "too many": ((0, 0, 0, 0), (1, 1, 1, 1)),
    "a table": (np.zeros((3, 3), int), (1, 1, 1)),
    "one number": (0, 1),
    "text": ("000", "111"),
    "None": ((None, None, None), None),
    "a slice": (slice(0, 1), (1, 1, 1)),
    "not a number": ((float("nan"), 0, 0), (1, 1, 1)),
}


@pytest.mark.parametrize("name", ["good.tif", "good.zarr", "good_precomputed"])
@pytest.mark.parametrize(("start", "shape"), ARGUMENTS.values(), ids=ARGUMENTS)
def test_a_box_that_is_none_is_out_of_bounds(files: Path, name: str, start: Any, shape: Any) -> None:
    volume = open_volume(files / name)
    for read in (volume.read, volume.source.read):
        with pytest.raises(OutOfBoundsError):
            read(start, shape)


def test_whole_numbers_of_numpy_are_whole_numbers(files: Path) -> None:
    """Small types must not overflow on the way to a place in the file."""
    volume = open_volume(files / "good.tif")
    start, shape = np.array([5, 39, 1], np.uint8), np.array([1, 1, 40], np.int16)
    assert np.array_equal(volume.source.read(start, shape), VOXELS[5:, 39:, 1:41])


@pytest.mark.parametrize("level", [-1, 1, "0", 0.0, None])
def test_a_level_that_is_none_is_out_of_bounds(files: Path, level: Any) -> None:
    with pytest.raises(OutOfBoundsError, match="no level"):
        open_volume(files / "good.zarr", level=level)


@pytest.mark.parametrize(
    "ref", ["", "no_such", "/no/such", "a" * 5000, "a\0b", "://", "ftp://a/b", "http://[", None, 5]
)
def test_a_reference_to_nothing_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ref: Any) -> None:
    monkeypatch.chdir(tmp_path)
    for ask in (open_volume, read_tags):
        with pytest.raises(EMAssetsError):
            ask(ref)


@pytest.mark.parametrize("dest", ["good.tif/x", "a" * 300])
def test_a_place_that_the_disk_refuses_is_named(files: Path, dest: str) -> None:
    with pytest.raises(StoreError, match="cannot be written"):
        ingest(files / "good.tif", files / dest)


def test_what_nobody_may_read_is_named(files: Path, tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("the system lets its administrator read everything")
    (tmp_path / "locked").mkdir(mode=0)
    for path in (tmp_path / "locked", tmp_path / "locked" / "a.tif"):
        with pytest.raises(UsageError, match="cannot be read: Permission denied"):
            open_volume(path)


def test_a_slice_that_is_none_is_no_hole(files: Path) -> None:
    """A pointer among the slices was left out like a text file: five slices looked like the whole volume of six."""
    with pytest.raises(UnknownFormatError, match=r"slice_3\.tif: .*git-LFS pointer"):
        open_volume(files / "hole")


REAL = (
    *("dm3/test-1.dm3", "dm3/test-23.dm3", "dm3/test_stackbuilder_imagestack.dm3", "dm4/test-10.dm4"),
    *("tiff/seq-1c-8b-tiled-lzw-20f3db0c.tiff", "tiff/_blobs_3d_fiji_skeleton.tif", "tiff/olympus_SIS.tif"),
    *("tiff/multifile/multifile-Z1.ome.tiff", "tiff/predictor-3-gray-f32.tif", "tiff/BigTIFF.tif"),
    *("mrc/input_mrc.mrc", "mrc/EMD-3197.map", "mrc/emd_3197.map.gz", "mrc/Custom_movie.mrc"),
    *("zarr/simple_0.4", "zarr/v3_3d_sharded", "derived/fib25_v05.ome.zarr", "visor/VISOR001.vsr/visor_raw_images"),
    *("derived/precomputed_jpeg", "derived/precomputed_seg_cseg_sharded", "derived/precomputed_cv_offset"),
)
MUTATIONS = 12


USES: dict[str, Callable[[Path], object]] = {
    "read": lambda path: read_whole(open_volume(path)),
    "tags": lambda path: list(read_tags(path)),
    "witnesses": lambda path: list(detect(path).witnesses(list(read_tags(path)))),
}


@pytest.mark.parametrize("name", REAL)
def test_a_damaged_real_file_raises_nothing_but_our_errors(shared: Path, tmp_path: Path, name: str) -> None:
    """Some damage reads fine, since no format guards every byte; none of it may look like a bug of ours."""
    for seed in range(MUTATIONS):
        damaged = damaged_copy(shared / "data" / name, tmp_path / str(seed), random.Random(f"{name} {seed}"))
        for use in USES.values():
            with suppress(EMAssetsError):
                use(damaged)
