"""What a path is found to be, and what is said of the paths that are nothing we know."""

import gzip
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr

from em_assets.errors import (
    FormatError,
    SourceMissingError,
    SourceUnreachableError,
    UnknownFormatError,
    UsageError,
)
from em_assets.formats import FORMATS, detect, open_files, open_path, read_tags
from em_assets.formats.trees import open_tree
from em_assets.formats.web_files import http_url

Serve = Callable[[Path], str]


def zip_bytes(folder: Path) -> bytes:
    with zipfile.ZipFile(folder / "made.zip", "w") as archive:
        archive.writestr("a.txt", "a")
    return (folder / "made.zip").read_bytes()


@pytest.fixture
def slices(tmp_path: Path) -> Path:
    folder = tmp_path / "slices"
    folder.mkdir()
    for z in range(12):
        tifffile.imwrite(folder / f"slice_{z}.tif", np.full((4, 5), z, "uint8"))
    return folder


def test_every_format_is_named_as_its_line_in_the_table() -> None:
    assert {name: module.NAME for name, module in FORMATS.items()} == {name: name for name in FORMATS}


def test_marked_folders_are_told_by_their_markers(tmp_path: Path, serve: Serve) -> None:
    zarr.create_array(tmp_path / "v2", data=np.ones((2, 3, 4)), zarr_format=2)
    zarr.create_array(tmp_path / "v3", data=np.ones((2, 3, 4)), zarr_format=3)
    (tmp_path / "ng").mkdir()
    (tmp_path / "ng" / "info").write_text("{}")
    (tmp_path / "n5").mkdir()
    (tmp_path / "n5" / "attributes.json").write_text("{}")
    url = serve(tmp_path)
    expected = {"v2": "ome_zarr", "v3": "ome_zarr", "ng": "precomputed", "n5": "n5"}
    assert {name: detect(tmp_path / name).NAME for name in expected} == expected
    assert {name: detect(f"{url}/{name}/").NAME for name in expected} == expected


def test_a_folder_of_slices_is_one_volume_in_natural_order(slices: Path) -> None:
    (slices / "readme.xml").write_text("<?xml version='1.0'?><a/>")
    (volume,) = open_path(slices)
    assert volume.shape_zyx == (12, 4, 5)
    assert volume.read((0, 0, 0), (12, 1, 1)).ravel().tolist() == list(range(12))


def test_a_folder_of_two_formats_asks_for_a_choice(slices: Path) -> None:
    header = bytearray(1024)
    header[0:16] = np.array([4, 4, 1, 0], "<i4").tobytes()
    header[208:216] = b"MAP \x44\x44\x00\x00"
    (slices / "other.mrc").write_bytes(bytes(header) + bytes(16))
    with pytest.raises(FormatError, match="choose with `include`"):
        open_path(slices)
    assert open_path(slices, format="tiff")[0].shape_zyx == (12, 4, 5)


def test_files_are_opened_in_natural_order_whatever_order_they_come_in(slices: Path) -> None:
    (volume,) = open_files([slices / "slice_10.tif", slices / "slice_2.tif"])
    assert volume.read((0, 0, 0), (2, 1, 1)).ravel().tolist() == [2, 10]


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"", "zero bytes"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
        (b"\n<!DOCTYPE html><html><body>404</body></html>", "web page"),
        (gzip.compress(b"nothing known"), "gzip"),
        (b"TS_run1_4\n", "text that start"),
        (bytes(range(256)), "bytes that start"),
        (b"\x89HDF\r\n", "HDF5 without its whole signature"),
    ],
    ids=["empty", "git-lfs", "html", "gzip", "text", "bytes", "hdf5"],
)
def test_unknown_files_are_named_for_what_they_are(tmp_path: Path, content: bytes, found: str, serve: Serve) -> None:
    (tmp_path / "volume.tif").write_bytes(content)
    for place in (tmp_path / "volume.tif", f"{serve(tmp_path)}/volume.tif"):
        with pytest.raises(UnknownFormatError, match=found):
            detect(place)


def test_a_zip_is_to_be_unpacked(tmp_path: Path) -> None:
    (tmp_path / "volume.dat").write_bytes(zip_bytes(tmp_path))
    with pytest.raises(UnknownFormatError, match="zip archive: unpack it"):
        open_path(tmp_path / "volume.dat")


def test_placeholders_of_real_trees_are_refused_by_name(shared: Path) -> None:
    frames = shared / "data/cryoet/10001_input/VPP/frames"
    with pytest.raises(UnknownFormatError, match="zero bytes"):
        detect(frames / "TS_run1_1.tiff")
    with pytest.raises(UnknownFormatError, match="git-LFS pointer"):
        detect(shared / "data/negative/s_1_t_1_c_1_z_1.tiff")


def test_nothing_at_a_local_path_is_the_callers_mistake(tmp_path: Path) -> None:
    for ask in (detect, open_path, read_tags):
        with pytest.raises(UsageError, match="found nothing"):
            ask(tmp_path / "absent")


def test_nothing_at_a_url_is_the_sources_fault(tmp_path: Path, serve: Serve) -> None:
    url = serve(tmp_path)
    with pytest.raises(SourceMissingError, match="404 or 403"):
        detect(f"{url}/absent")
    with pytest.raises(SourceMissingError, match="404 or 403"):
        detect(f"{url}/private/volume.tif")


def test_a_server_that_is_not_there_may_come_back() -> None:
    with pytest.raises(SourceUnreachableError, match="no answer"):
        detect("http://127.0.0.1:9/volume")


def test_an_unknown_format_name_lists_the_known_ones(slices: Path) -> None:
    with pytest.raises(UsageError, match="dm, tiff, mrc, ome_zarr, precomputed, n5, hdf5"):
        open_path(slices, format="jpeg2000")


def test_a_folder_of_volumes_lists_them_and_an_empty_folder_says_so(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UnknownFormatError, match="found no files"):
        open_path(tmp_path / "empty")
    zarr.create_array(tmp_path / "a.zarr", data=np.ones((2, 3, 4)))
    with pytest.raises(UnknownFormatError, match=r"name one of a\.zarr"):
        open_path(tmp_path)
    with pytest.raises(UnknownFormatError, match="name the folder"):
        open_path(tmp_path / "a.zarr" / "zarr.json")


def test_public_buckets_are_read_over_plain_http() -> None:
    assert http_url("gs://bucket/a/b/") == "https://storage.googleapis.com/bucket/a/b"
    assert http_url("s3://bucket/a/b.zarr/") == "https://bucket.s3.amazonaws.com/a/b.zarr"
    assert http_url("s3://dotted.bucket/a") == "https://s3.amazonaws.com/dotted.bucket/a"
    with pytest.raises(UsageError, match="ftp"):
        http_url("ftp://host/a")


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "a/../../b", "a\\b", "."])
def test_names_from_metadata_never_leave_the_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(FormatError, match="inside the folder"):
        open_tree(str(tmp_path)).read(name)


def test_metadata_that_was_stored_compressed_is_read(tmp_path: Path) -> None:
    """cloud-volume uploads `info` with `Content-Encoding: gzip`, which S3 hands out as it is."""
    (tmp_path / "info").write_bytes(gzip.compress(json.dumps({"a": 1}).encode()))
    assert open_tree(str(tmp_path)).read_json("info") == {"a": 1}


def test_json_nested_without_end_is_refused(tmp_path: Path) -> None:
    (tmp_path / "info").write_text("[" * 5000 + "]" * 5000)
    with pytest.raises(FormatError, match="JSON"):
        open_tree(str(tmp_path)).read_json("info")
