"""HDF5: CREMI's layout, attributes of every kind, and nothing that leaves the file, loops or breaks off."""

import gzip
import json
import os
from pathlib import Path

import h5py
import numpy as np
import pytest

from em_assets.errors import FormatError, UnknownFormatError, UnsupportedDataError, UsageError
from em_assets.formats import FORMATS, detect, open_path, read_tags
from em_assets.formats.hdf5 import MOST_ASKED_BYTES, _Reader, open_volumes
from em_assets_tests.formats.mutant_seeds import TEXTURED, WIDE, write_hdf5


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One file of each kind of storage."""
    folder = tmp_path_factory.mktemp("hdf5")
    write_hdf5(folder)
    return folder


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file with one volume, to be added to."""
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("raw", data=TEXTURED, chunks=(4, 16, 16), compression="gzip")
    return tmp_path / "a.h5"


@pytest.mark.parametrize("name", ["contiguous.h5", "gzip.h5", "lzf.h5", "latest.h5"])
def test_every_3d_dataset_is_a_volume_as_it_was_written(seeds: Path, name: str) -> None:
    found = {volume.name: volume for volume in open_path(seeds / name)}
    assert set(found) == {"volumes/raw", "volumes/labels/neuron_ids"}
    raw, labels = found["volumes/raw"], found["volumes/labels/neuron_ids"]
    assert (raw.format, raw.dtype, raw.shape_zyx, raw.content) == ("hdf5", np.uint16, (6, 40, 48), None)
    assert np.array_equal(raw.read((0, 0, 0), WIDE.shape), WIDE)
    assert np.array_equal(raw.read((1, 3, 5), (4, 30, 40)), WIDE[1:5, 3:33, 5:45])
    assert (labels.dtype, labels.content) == (np.uint64, "labels")
    into = np.empty((2, 3, 4), np.uint64)
    assert labels.levels[0].read_into is not None
    labels.levels[0].read_into((1, 2, 3), into)
    assert np.array_equal(into, TEXTURED[1:3, 2:5, 3:7])


def test_chunks_and_filters_are_told(seeds: Path) -> None:
    gzipped = open_path(seeds / "gzip.h5")[0]
    assert (gzipped.levels[0].chunk_shape_zyx, gzipped.compressor) == ((4, 16, 16), "shuffle, GZip(level=4)")
    plain = open_path(seeds / "contiguous.h5")[0]
    assert (plain.levels[0].chunk_shape_zyx, plain.compressor) == (None, None)


def test_cremis_resolution_is_nanometres_and_another_programs_without_a_unit_is_not(seeds: Path, path: Path) -> None:
    assert {volume.voxel_size_zyx_nm for volume in open_path(seeds / "gzip.h5")} == {(40.0, 4.0, 4.0)}
    with h5py.File(path, "a") as file:
        file["raw"].attrs["resolution"] = (40.0, 4.0, 4.0)
    assert open_path(path)[0].voxel_size_zyx_nm == (None, None, None)
    assert not [one for one in FORMATS["hdf5"].witnesses(list(read_tags(path))) if "voxel" in one.field]
    with h5py.File(path, "a") as file:
        file["raw"].attrs["units"] = ["nm", "nm", "nm"]
        file["raw"].attrs["offset"] = (-80.0, 4.0, 8.0)
    (volume,) = open_path(path)
    assert (volume.voxel_size_zyx_nm, volume.levels[0].offset_zyx_nm) == ((40.0, 4.0, 4.0), (-80.0, 4.0, 8.0))


def test_a_size_in_micrometres_that_says_so_by_its_name_is_read(path: Path) -> None:
    with h5py.File(path, "a") as file:
        file["raw"].attrs["element_size_um"] = (0.05, 0.008, 0.008)
    assert open_path(path)[0].voxel_size_zyx_nm == (50.0, 8.0, 8.0)


def test_of_several_volumes_only_what_they_share_is_witnessed(seeds: Path, path: Path) -> None:
    said = {one.field: one for one in FORMATS["hdf5"].witnesses(list(read_tags(seeds / "gzip.h5")))}
    assert {name: one.value for name, one in said.items()} == {
        "voxel_size_z_nm": 40.0,
        "voxel_size_y_nm": 4.0,
        "voxel_size_x_nm": 4.0,
    }
    assert said["voxel_size_z_nm"].locator.endswith(" resolution")
    only = {one.field: one.value for one in FORMATS["hdf5"].witnesses(list(read_tags(path)))}
    assert only == {
        "shape_zyx": [6, 40, 48],
        "dtype": "uint8",
        "source_chunks": [4, 16, 16],
        "source_compressor": "GZip(level=4)",
    }


def test_volumes_that_say_different_sizes_witness_none(seeds: Path, tmp_path: Path) -> None:
    (tmp_path / "two.h5").write_bytes((seeds / "gzip.h5").read_bytes())
    with h5py.File(tmp_path / "two.h5", "a") as file:
        file["volumes/labels/neuron_ids"].attrs["resolution"] = (40.0, 8.0, 8.0)
    assert list(FORMATS["hdf5"].witnesses(list(read_tags(tmp_path / "two.h5")))) == []
    assert [one.voxel_size_zyx_nm for one in open_path(tmp_path / "two.h5")] == [(40, 4, 4), (40, 8, 8)]


def test_attributes_of_every_kind_are_tags(path: Path) -> None:
    with h5py.File(path, "a") as file:
        file.attrs["file_format"] = "0.2"
        attributes = file["raw"].attrs
        attributes["words"] = ["a", "µm"]
        attributes["bytes"] = np.bytes_(b"fixed")
        attributes["numbers"] = np.arange(6, dtype="<u2").reshape(2, 3)
        attributes["compound"] = np.array([(1, 2.5)], dtype=[("n", "i4"), ("size", "f8")])
        attributes["empty"] = h5py.Empty("f4")
        attributes["reference"] = file["raw"].ref
        attributes["truth"] = True
        attributes["shape"] = "not the dataset's"
    tags = {(tag.container, tag.path): (tag.value, tag.type) for tag in read_tags(path)}
    assert tags[("/", "file_format")][0] == "0.2"
    assert tags[("raw", "words")] == (["a", "µm"], "hdf5:object[2]")
    assert tags[("raw", "bytes")] == ("fixed", "hdf5:|S5")
    assert tags[("raw", "numbers")] == ([[0, 1, 2], [3, 4, 5]], "hdf5:uint16[2, 3]")
    assert tags[("raw", "compound")][0] == [{"n": 1, "size": 2.5}]
    assert (tags[("raw", "empty")][0], tags[("raw", "reference")][0], tags[("raw", "truth")][0]) == (None, None, True)
    assert tags[("raw", "dataset.shape")] == ([6, 40, 48], "hdf5:layout")
    assert tags[("raw", "shape")][0] == "not the dataset's"


def test_an_attribute_is_never_taken_for_the_layout(path: Path) -> None:
    with h5py.File(path, "a") as file:
        file["raw"].attrs["dataset.shape"] = [1, 2, 3]
    (shape,) = (one.value for one in FORMATS["hdf5"].witnesses(list(read_tags(path))) if one.field == "shape_zyx")
    assert shape == [6, 40, 48]


def test_soft_links_and_rings_of_hard_links_give_no_volume_twice(path: Path) -> None:
    with h5py.File(path, "a") as file:
        file["again"] = h5py.SoftLink("/raw")
        file["nowhere"] = h5py.SoftLink("/nothing")
        file["ring"] = h5py.SoftLink("/ring")
        group = file.create_group("group")
        group["back"] = file["/"]
        group["same"] = file["raw"]
    assert [volume.name for volume in open_path(path)] == ["raw"]
    links = {tag.container: tag.value for tag in read_tags(path) if tag.path == "link"}
    assert links == {"again": "/raw", "nowhere": "/nothing", "ring": "/ring"}


def secret(path: Path) -> Path:
    """A file beside it that nobody named."""
    with h5py.File(path.with_name("secret.h5"), "w") as other:
        other.create_dataset("raw", data=TEXTURED)
    return path.with_name("secret.h5")


def with_an_external_link(path: Path) -> None:
    with h5py.File(path, "a") as file:
        file["away"] = h5py.ExternalLink(str(secret(path)), "/raw")


def with_a_virtual_dataset(path: Path) -> None:
    layout = h5py.VirtualLayout(TEXTURED.shape, "u1")
    layout[:] = h5py.VirtualSource(str(secret(path)), "raw", TEXTURED.shape)
    with h5py.File(path, "a") as file:
        file.create_virtual_dataset("away", layout)


def with_bytes_of_another_file(path: Path) -> None:
    (path.parent / "secret.raw").write_bytes(TEXTURED.tobytes())
    external = [(str(path.parent / "secret.raw"), 0, TEXTURED.nbytes)]
    with h5py.File(path, "a") as file:
        file.create_dataset("away", TEXTURED.shape, "u1", external=external)


@pytest.mark.parametrize(
    "leave", [with_an_external_link, with_a_virtual_dataset, with_bytes_of_another_file], ids=lambda one: one.__name__
)
def test_what_leaves_the_file_is_refused_and_told_as_a_tag(path: Path, leave: object) -> None:
    assert callable(leave)
    leave(path)
    with pytest.raises(UnsupportedDataError, match=r"away.*only what is in the file itself is read"):
        open_path(path)
    told = [tag for tag in read_tags(path) if tag.container == "away" and tag.path in ("link", "dataset.elsewhere")]
    assert len(told) == 1


def test_a_filter_that_a_plugin_would_read_is_refused_by_name(path: Path) -> None:
    """A file may ask for any code that lies in the plugins' folder; bitshuffle is one that people have there."""
    import hdf5plugin

    with h5py.File(path, "a") as file:
        file.create_dataset("packed", data=TEXTURED, chunks=(4, 16, 16), **hdf5plugin.Bitshuffle())
    packed = next(volume for volume in open_path(path) if volume.name == "packed")
    with pytest.raises(UnsupportedDataError, match=r"packed by .*32008.*not read"):
        packed.read((0, 0, 0), (1, 1, 1))


@pytest.mark.parametrize("share", [0.01, 0.3, 0.6, 0.999])
@pytest.mark.parametrize("name", ["contiguous.h5", "gzip.h5", "lzf.h5", "latest.h5"])
def test_a_file_that_is_cut_short_is_an_error(seeds: Path, tmp_path: Path, name: str, share: float) -> None:
    data = (seeds / name).read_bytes()
    (tmp_path / name).write_bytes(data[: int(len(data) * share)])
    with pytest.raises(FormatError, match=r"fetch it again"):
        open_path(tmp_path / name)


def test_a_broken_chunk_is_an_error(path: Path) -> None:
    with h5py.File(path) as file:
        chunk = file["raw"].id.get_chunk_info(0)
    data = bytearray(path.read_bytes())
    data[chunk.byte_offset + 100 : chunk.byte_offset + 200] = bytes(100)
    path.write_bytes(data)
    (volume,) = open_path(path)
    with pytest.raises(FormatError, match="cannot be read as HDF5"):
        volume.read((0, 0, 0), (6, 40, 48))


def test_axes_of_one_around_the_three_are_put_aside_and_tables_are_no_volumes(path: Path) -> None:
    with h5py.File(path, "a") as file:
        del file["raw"]
        file.create_dataset("one", data=TEXTURED[None, ..., None])
        file.create_dataset("table", data=np.zeros((10, 3)))
        file.create_dataset("words", data=np.array([[[b"a"]]]))
        file.create_dataset("two_channels", data=np.zeros((2, 3, 4, 5)))
    (volume,) = open_path(path)
    assert (volume.name, volume.shape_zyx) == ("one", (6, 40, 48))
    assert np.array_equal(volume.read((1, 2, 3), (2, 3, 4)), TEXTURED[1:3, 2:5, 3:7])


def test_big_endian_numbers_come_in_this_machines_order(path: Path) -> None:
    with h5py.File(path, "a") as file:
        del file["raw"]
        file.create_dataset("raw", data=WIDE.astype(">u2"))
    (volume,) = open_path(path)
    assert np.array_equal(volume.read((0, 0, 0), WIDE.shape), WIDE)


@pytest.mark.parametrize("most_bytes", [1, 5000, 40 * 48 * 3])
def test_a_box_is_asked_for_in_slabs_on_the_chunks_grid(
    seeds: Path, most_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("em_assets.formats.hdf5.MOST_ASKED_BYTES", most_bytes)
    for name in ("gzip.h5", "contiguous.h5"):
        (volume,) = (one for one in open_path(seeds / name) if one.name == "volumes/raw")
        assert np.array_equal(volume.read((1, 3, 5), (5, 30, 40)), WIDE[1:6, 3:33, 5:45])


def test_what_a_child_is_asked_for_at_once_is_bounded_however_large_a_slab_is(tmp_path: Path) -> None:
    """128³ of eight bytes: a slab of one chunk's depth has 4.3 GB, and a plane of it decodes as many."""
    reader = _Reader("a.h5", "raw", (128, 2048, 2048), (128, 128, 128), np.dtype("u8"), False)
    for shape in ((128, 2048, 2048), (1, 2048, 2048)):
        part = reader._part_zyx(shape)
        assert np.prod(part) * 8 <= MOST_ASKED_BYTES
        assert [edge % 128 for edge in part] == [0, 0, 0]
    with h5py.File(tmp_path / "a.h5", "w") as file:
        voxels = np.full((64, 512, 512), 5, "u8")
        file.create_dataset("raw", data=voxels, chunks=(64, 128, 128), compression="gzip", compression_opts=1)
    (volume,) = open_path(tmp_path / "a.h5")
    assert (volume.read((7, 3, 0), (2, 500, 512)) == 5).all()


def test_what_was_never_written_is_an_error_and_a_fill_value_only_where_it_is_asked_for(path: Path) -> None:
    with h5py.File(path, "a") as file:
        del file["raw"]
        file.create_dataset("some", (8, 32, 32), "u1", chunks=(4, 16, 16), fillvalue=9)[:4] = 1
        file.create_dataset("none", (8, 32, 32), "u1", fillvalue=9)
        file.create_dataset("all", data=np.ones((8, 32, 32), "u1"))
    strict = {volume.name: volume for volume in open_path(path)}
    with pytest.raises(FormatError, match=r"some: 8 chunks expected, 4 were ever written"):
        strict["some"].read((0, 0, 0), (8, 32, 32))
    with pytest.raises(FormatError, match=r"none: voxels expected, none was ever written"):
        strict["none"].read((0, 0, 0), (1, 1, 1))
    assert strict["all"].read((0, 0, 0), (8, 32, 32)).all()
    filled = {volume.name: volume for volume in open_volumes([str(path)], is_fill_allowed=True)}
    assert filled["some"].read((3, 0, 0), (2, 1, 1)).ravel().tolist() == [1, 9]
    assert filled["none"].read((0, 0, 0), (1, 1, 1)).item() == 9


def test_names_that_are_no_utf8_are_read_and_shown_escaped(path: Path) -> None:
    with h5py.File(path, "a") as file:
        group = file.create_group(b"gr\xf6sse")
        group.create_dataset(b"roh\xff", data=TEXTURED).attrs.create(b"l\xe4nge", 3)
        file[b"weich\xfc"] = h5py.SoftLink("/raw")
    found = {volume.name: volume for volume in open_path(path)}
    assert set(found) == {"raw", "gr\\xf6sse/roh\\xff"}
    assert np.array_equal(found["gr\\xf6sse/roh\\xff"].read((0, 0, 0), TEXTURED.shape), TEXTURED)
    tags = {(tag.container, tag.path): tag.value for tag in read_tags(path)}
    assert (tags[("gr\\xf6sse/roh\\xff", "l\\xe4nge")], tags[("weich\\xfc", "link")]) == (3, "/raw")


def test_a_failure_is_not_remembered(path: Path) -> None:
    """A disk that gave other bytes once, or a child that was ended from outside: the file is as good as before."""
    data, state = path.read_bytes(), path.stat()
    for content, is_sound in ((data[:8] + bytes(len(data) - 8), False), (data, True)):
        path.write_bytes(content)
        os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
        if is_sound:
            assert [volume.name for volume in open_path(path)] == ["raw"]
        else:
            with pytest.raises(FormatError, match="fetch it again"):
                open_path(path)


def test_a_file_without_volumes_lists_what_is_in_it(path: Path) -> None:
    with h5py.File(path, "a") as file:
        del file["raw"]
        file.create_dataset("table", data=np.zeros((10, 3)))
    with pytest.raises(FormatError, match=r"a 3-D dataset of numbers \(z, y, x\) expected, found table \[10, 3\]"):
        open_path(path)


def axistags(keys: str) -> str:
    return json.dumps({"axes": [{"key": key, "typeFlags": 2, "resolution": 0, "description": ""} for key in keys]})


@pytest.mark.parametrize(("keys", "is_volume"), [("zyx", True), ("ZYX", True), ("xyz", False), ("tyx", False)])
def test_a_dataset_that_names_its_axes_is_believed(path: Path, keys: str, is_volume: bool) -> None:
    """Ilastik writes `axistags`, others HDF5's own labels: x, y, z or times are no z, y, x by position."""
    with h5py.File(path, "a") as file:
        file["labelled"] = file["raw"][...]
        file["raw"].attrs["axistags"] = axistags(keys)
        for axis, key in enumerate(keys):
            file["labelled"].dims[axis].label = key
    if is_volume:
        assert [volume.name for volume in open_path(path)] == ["labelled", "raw"]
    else:
        with pytest.raises(FormatError, match=rf"labelled \[6, 40, 48\] \({', '.join(keys)}\), raw"):
            open_path(path)
        assert not FORMATS["hdf5"].witnesses(list(read_tags(path)))


def test_names_of_axes_that_are_none_are_passed_over(path: Path) -> None:
    for odd in ("", "zyx", '{"axes": 3}', axistags("zyxc"), 7):
        with h5py.File(path, "a") as file:
            file["raw"].attrs["axistags"] = odd
        assert len(open_path(path)) == 1


def test_an_imaris_file_is_refused_by_name(path: Path) -> None:
    """Its arrays are filled up to whole chunks, so their shape is not the image's."""
    with h5py.File(path, "a") as file:
        file.attrs["ImarisDataSet"] = np.array([b"I", b"m"])
    with pytest.raises(UnsupportedDataError, match="an Imaris file"):
        open_path(path)


def test_a_file_behind_matlabs_block_is_known(path: Path, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "b.mat", "w", userblock_size=512) as file:
        file.create_dataset("raw", data=TEXTURED)
    assert detect(tmp_path / "b.mat").NAME == "hdf5"
    assert open_path(tmp_path / "b.mat")[0].shape_zyx == (6, 40, 48)


def test_a_file_behind_a_url_is_to_be_fetched() -> None:
    with pytest.raises(UsageError, match="add it to a dataset"):
        FORMATS["hdf5"].open_volumes(["https://example.org/a.h5"])


def test_a_file_that_changed_is_looked_at_again(path: Path) -> None:
    assert [volume.name for volume in open_path(path)] == ["raw"]
    with h5py.File(path, "a") as file:
        file.create_dataset("second", data=WIDE)
    assert [volume.name for volume in open_path(path)] == ["raw", "second"]


def test_real_labels_of_another_program_are_read(shared: Path, tmp_path: Path) -> None:
    """FIB-25's proofread supervoxels, as FlyEM published them."""
    packed = shared / "data" / "em_fib25" / "groundtruth.h5.gz"
    if not packed.exists():
        pytest.skip("needs ../shared/data/em_fib25")
    (tmp_path / "groundtruth.h5").write_bytes(gzip.decompress(packed.read_bytes()))
    found = {volume.name: volume for volume in open_path(tmp_path / "groundtruth.h5")}
    with h5py.File(tmp_path / "groundtruth.h5") as file:
        expected = file["stack"][10:12, 30:40, 50:60]
        assert found["stack"].shape_zyx == file["stack"].shape
    assert np.array_equal(found["stack"].read((10, 30, 50), (2, 10, 10)), expected)


def test_text_with_the_name_of_an_hdf5_file_is_none(tmp_path: Path) -> None:
    (tmp_path / "a.h5").write_text("no data")
    with pytest.raises(UnknownFormatError, match="text that starts"):
        open_path(tmp_path / "a.h5")
