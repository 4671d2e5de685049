"""N5: x first turned to z, y, x, every way in which scales are written, and blocks that are not what they say."""

import json
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorstore

from em_assets.errors import FormatError, SourceMissingError, UnsupportedDataError
from em_assets.formats import FORMATS, open_path, read_tags
from em_assets.formats.n5 import open_volumes
from em_assets_tests.formats.mutant_seeds import WIDE, packed_lz4, write_n5, write_n5_group

Serve = Callable[[Path], str]
NM = {"unit": "nm", "dimensions": [4.0, 4.0, 5.24]}
OPENORGANELLE = {
    "axes": ["z", "y", "x"],
    "units": ["nm"] * 3,
    "translate": [10.0, 20.0, 30.0],
    "scale": [5.24, -4.0, 4.0],
}


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Groups in every compression."""
    folder = tmp_path_factory.mktemp("n5")
    write_n5(folder)
    return folder


@pytest.fixture
def group(tmp_path: Path) -> Path:
    """A group of two levels, 6 × 40 × 48 uint16."""
    write_n5_group(tmp_path / "em", WIDE, {"type": "raw"})
    return tmp_path / "em"


def say(folder: Path, **attributes: Any) -> Path:
    """Write a group's attributes anew, or add to an array's."""
    path = folder / "attributes.json"
    kept = json.loads(path.read_text()) if path.exists() else {}
    known = {key: kept[key] for key in ("dimensions", "blockSize", "dataType", "compression") if key in kept}
    path.write_text(json.dumps(known | attributes))
    return folder


@pytest.mark.parametrize("name", ["raw", "gzip", "zlib", "bzip2", "xz", "blosc", "zstd", "lz4"])
def test_every_compression_gives_the_voxels_that_were_written(seeds: Path, name: str) -> None:
    (volume,) = open_path(seeds / name)
    assert (volume.name, volume.format, volume.shape_zyx, str(volume.dtype)) == (name, "n5", WIDE.shape, "uint16")
    assert np.array_equal(volume.read((0, 0, 0), WIDE.shape), WIDE)
    assert np.array_equal(volume.read((1, 3, 5), (4, 30, 40)), WIDE[1:5, 3:33, 5:45])
    assert np.array_equal(volume.read((0, 0, 0), (3, 20, 24), level=1), WIDE[::2, ::2, ::2])
    into = np.empty((4, 30, 40), np.uint16)
    volume.levels[0].begin_into((1, 3, 5), into)()
    assert np.array_equal(into, WIDE[1:5, 3:33, 5:45])


def test_tags_are_every_value_of_every_document(seeds: Path) -> None:
    tags = {(tag.container, tag.path): tag.value for tag in read_tags(seeds / "gzip")}
    assert tags[("s1/attributes.json", "dimensions")] == [24, 20, 3]
    assert tags[("attributes.json", "pixelResolution.unit")] == "nm"
    assert tags[("s0/attributes.json", "compression.level")] == 1


def test_witnesses_name_the_place_of_every_number(seeds: Path) -> None:
    said = {one.field: one for one in FORMATS["n5"].witnesses(list(read_tags(seeds / "gzip")))}
    assert [said[f"voxel_size_{axis}_nm"].value for axis in "zyx"] == [30.0, 8.0, 8.0]
    assert said["voxel_size_z_nm"].locator == "attributes.json pixelResolution.dimensions"
    assert (said["shape_zyx"].value, said["shape_zyx"].raw) == ([6, 40, 48], "[48, 40, 6]")
    assert (said["source_chunks"].value, said["source_n_levels"].value) == ([4, 16, 16], 2)
    assert said["source_compressor"].value == "GZip(level=1, useZlib=False)"


@pytest.mark.parametrize(
    ("own", "of_group", "expected"),
    [
        ({"transform": OPENORGANELLE}, {}, (5.24, 4.0, 4.0)),
        (
            {},
            {"multiscales": [{"datasets": [{"path": "s0", "transform": OPENORGANELLE}, {"path": "s1"}]}]},
            (5.24, 4.0, 4.0),
        ),
        ({}, {"scales": [[1, 1, 1], [2, 2, 2]], "pixelResolution": NM}, (5.24, 4.0, 4.0)),
        ({"pixelResolution": NM}, {}, (5.24, 4.0, 4.0)),
        ({}, {"resolution": [4, 4, 40], "units": ["nm", "nm", "nm"]}, (40.0, 4.0, 4.0)),
        ({}, {"resolution": [0.01, 0.01, 0.025], "multiScale": True}, (None, None, None)),
        ({}, {"pixelResolution": {"dimensions": [4, 4, 40]}}, (None, None, None)),
        ({"transform": {**OPENORGANELLE, "axes": ["z", "x", "y"]}}, {}, (None, None, None)),
    ],
    ids=["transform", "multiscales", "scales", "own pixelResolution", "neuroglancer", "bdv", "no unit", "odd order"],
)
def test_voxel_sizes_are_read_as_each_program_writes_them(
    group: Path, own: dict[str, Any], of_group: dict[str, Any], expected: tuple[float | None, ...]
) -> None:
    say(group / "s0", **own)
    say(group, **of_group)
    (volume,) = open_path(group)
    assert volume.voxel_size_zyx_nm == expected
    witnessed = {one.field for one in FORMATS["n5"].witnesses(list(read_tags(group)))}
    assert ("voxel_size_z_nm" in witnessed) == (expected[0] is not None)


def test_coarser_levels_have_their_own_size_and_lie_half_a_voxel_further_in(group: Path) -> None:
    (volume,) = open_path(group)
    assert volume.levels[1].voxel_size_zyx_nm == (60.0, 16.0, 16.0)
    assert volume.levels[1].offset_zyx_nm == (15.0, 4.0, 4.0)
    say(group / "s0", transform=OPENORGANELLE)
    assert open_path(group)[0].levels[0].offset_zyx_nm == (10.0, 20.0, 30.0)


def test_a_container_holds_a_volume_for_each_image_and_each_array_on_its_own(tmp_path: Path) -> None:
    root = tmp_path / "all.n5"
    write_n5_group(root / "em" / "fibsem", WIDE, {"type": "raw"})
    write_n5_group(root / "labels" / "cells", WIDE // 4096, {"type": "raw"})
    shutil.move(root / "em" / "fibsem" / "s1", root / "crop")
    say(root / "em" / "fibsem")
    (root / "attributes.json").write_text('{"n5": "2.0.0"}')
    found = {volume.name: volume for volume in open_path(root)}
    assert {name: (len(one.levels), one.content) for name, one in found.items()} == {
        "crop": (1, None),
        "em/fibsem": (1, None),
        "labels/cells": (2, "labels"),
    }
    assert [volume.name for volume in open_path(root / "em" / "fibsem")] == ["fibsem"]
    assert list(FORMATS["n5"].witnesses(list(read_tags(root)))) == []


def test_bigdataviewers_groups_are_found_from_the_root(tmp_path: Path) -> None:
    root = tmp_path / "raw.n5"
    write_n5_group(root / "setup0" / "timepoint0", WIDE, {"type": "raw"})
    say(root / "setup0" / "timepoint0", multiScale=True, resolution=[0.01, 0.01, 0.025])
    say(root / "setup0", downsamplingFactors=[[1, 1, 1], [2, 2, 2]])
    say(root, n5="2.0.0")
    (volume,) = open_path(root)
    assert [level.shape_zyx for level in volume.levels] == [(6, 40, 48), (3, 20, 24)]


def test_axes_are_told_by_their_names_and_items_are_volumes(tmp_path: Path) -> None:
    voxels = np.random.default_rng(0).integers(0, 9, (3, 6, 5, 4)).astype(np.uint8)  # c, x, y, z
    metadata = {"dimensions": list(voxels.shape), "blockSize": [1, 4, 4, 4], "dataType": "uint8"}
    metadata |= {"compression": {"type": "raw"}}
    spec = {"driver": "n5", "kvstore": f"file://{tmp_path}/c/", "metadata": metadata}
    tensorstore.open(spec, create=True).result()[...] = voxels
    with pytest.raises(UnsupportedDataError, match="axes that nobody names"):
        open_path(tmp_path / "c")
    say(tmp_path / "c", axes=["c", "x", "y", "z"])
    found = open_path(tmp_path / "c")
    assert [volume.name for volume in found] == ["c.c0", "c.c1", "c.c2"]
    assert np.array_equal(found[2].read((0, 0, 0), (4, 5, 6)), voxels[2].T)


def test_a_real_group_of_another_program_is_read_once_its_axes_are_named(shared: Path, tmp_path: Path) -> None:
    """Its one block is larger than the array: written whole, to be cut when it is read."""
    shutil.copytree(shared / "data/n5/wk_simple_n5/color/1", tmp_path / "color")
    with pytest.raises(UnsupportedDataError, match=r"found \(3, 24, 24, 24\) with axes that nobody names"):
        open_path(tmp_path / "color")
    for path in (tmp_path / "color", tmp_path / "color" / "attributes.json"):
        path.chmod(0o755)
    say(tmp_path / "color", axes=["c", "x", "y", "z"])
    found = open_path(tmp_path / "color")
    assert [(volume.shape_zyx, str(volume.dtype)) for volume in found] == [((24, 24, 24), "uint32")] * 3
    assert all(volume.read((0, 0, 0), (24, 24, 24)).any() for volume in found)


def test_the_same_behind_a_url(seeds: Path, serve: Serve) -> None:
    url = serve(seeds)
    (volume,) = open_path(f"{url}/zstd")
    assert np.array_equal(volume.read((1, 3, 5), (4, 30, 40)), WIDE[1:5, 3:33, 5:45])
    with pytest.raises(SourceMissingError, match="404 or 403"):
        open_path(f"{url}/nothing")


def test_levels_that_nobody_names_are_looked_for_behind_a_url(group: Path, serve: Serve) -> None:
    say(group, resolution=[1, 1, 1])
    (volume,) = open_path(serve(group))
    assert len(volume.levels) == 2


def test_an_absent_block_is_zero_by_the_format_and_an_error_where_it_must_be_there(group: Path) -> None:
    (group / "s0" / "1" / "0" / "0").unlink()
    (volume,) = open_path(group)
    assert not volume.read((0, 0, 16), (4, 16, 16)).any()
    (strict,) = open_volumes([str(group)], is_fill_allowed=False)
    with pytest.raises(FormatError, match=r"s0/1/0/0: a block expected, and it is missing"):
        strict.read((0, 0, 0), (6, 40, 48))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda data: data[:-1], "cannot be read"),
        (lambda data: data[:7], "cut short"),
        (lambda data: b"", "cut short"),
        (lambda data: struct.pack(">HH3I", 0, 3, 8, 16, 4) + data[16 : 16 + 1024], "16 voxels expected.*cut short"),
        (lambda data: struct.pack(">HH3I", 0, 3, 0, 0, 0), "cut short"),
        (lambda data: struct.pack(">HH3I", 0, 3, 32, 16, 4) + data[16:] * 2, "16 voxels expected"),
        (lambda data: struct.pack(">HH3I", 1, 3, 16, 16, 4) + data[16:], "mode 0"),
        (lambda data: struct.pack(">HH2I", 0, 2, 16, 16) + data[16:], "3 dimensions expected"),
        (lambda data: data + bytes(3 * 2**20), "at most .* bytes expected"),
    ],
    ids=["a byte", "its header", "all", "half a block", "no extent", "too large", "mode", "flat", "too long"],
)
def test_a_block_that_is_not_what_its_place_holds_is_an_error(
    group: Path, change: Callable[[bytes], bytes], reason: str
) -> None:
    """A block that says to be half of its place is no error to any library: the rest would be zeros."""
    block = group / "s0" / "0" / "0" / "0"
    block.write_bytes(change(block.read_bytes()))
    (volume,) = open_path(group)
    with pytest.raises(FormatError, match=rf"(?s)s0.*{reason}"):
        volume.read((0, 0, 0), (6, 40, 48))


@pytest.mark.parametrize("n_lost", [1, 21, 22, 300])
def test_an_lz4_block_that_breaks_off_is_an_error(seeds: Path, tmp_path: Path, n_lost: int) -> None:
    shutil.copytree(seeds / "lz4", tmp_path / "lz4")
    block = tmp_path / "lz4" / "s0" / "0" / "0" / "0"
    whole = block.read_bytes()
    end = len(packed_lz4(b""))  # an empty block ends it, which holds nothing
    block.write_bytes(whole[: len(whole) - end - n_lost])
    with pytest.raises(FormatError, match="LZ4"):
        open_path(tmp_path / "lz4")[0].read((0, 0, 0), (6, 40, 48))


def test_blocks_at_the_end_may_be_whole_or_clipped(group: Path) -> None:
    """Tensorstore writes them whole, the format's own library clips them."""
    block = group / "s0" / "0" / "2" / "1"
    mode, n, *extents = struct.unpack(">HH3I", block.read_bytes()[:16])
    assert (mode, n, extents) == (0, 3, [16, 16, 4])
    values = np.frombuffer(block.read_bytes()[16:], ">u2").reshape(4, 16, 16)[:2, :8]
    block.write_bytes(struct.pack(">HH3I", 0, 3, 16, 8, 2) + values.tobytes())
    assert np.array_equal(open_path(group)[0].read((0, 0, 0), WIDE.shape), WIDE)


@pytest.mark.parametrize(
    ("key", "value", "error", "reason"),
    [
        ("dimensions", [48, 40], FormatError, "blockSize: 2 whole numbers"),
        ("dimensions", [0, 40, 6], FormatError, "dimensions: a list of whole numbers from 1"),
        ("dimensions", [2**61, 40, 6], FormatError, "dimensions"),
        ("blockSize", [2**20, 2**20, 4], FormatError, "bytes a chunk"),
        ("dataType", "string", UnsupportedDataError, "dataType 'string'"),
        ("compression", {"type": "jpeg"}, UnsupportedDataError, "compression raw, gzip"),
        ("compression", {"type": ["gzip"]}, UnsupportedDataError, "compression raw, gzip"),
        ("transform", {**OPENORGANELLE, "scale": [0, 4, 4]}, FormatError, "other than zero"),
    ],
)
def test_attributes_that_are_none_are_refused_before_any_library_sees_them(
    group: Path, key: str, value: Any, error: type[Exception], reason: str
) -> None:
    kept = json.loads((group / "s0" / "attributes.json").read_text())
    (group / "s0" / "attributes.json").write_text(json.dumps(kept | {key: value}))
    with pytest.raises(error, match=reason):
        open_path(group)


def test_a_level_that_is_listed_and_not_there_is_named(group: Path) -> None:
    shutil.rmtree(group / "s1")
    with pytest.raises(FormatError, match="the level 's1' is listed, and no array is there"):
        open_path(group)


def test_levels_of_two_types_are_refused(group: Path) -> None:
    write_n5_group(group / "other", WIDE.astype(np.uint8), {"type": "raw"})
    shutil.rmtree(group / "s1")
    (group / "other" / "s1").rename(group / "s1")
    shutil.rmtree(group / "other")
    with pytest.raises(FormatError, match="uint16, as the first level has, expected, found 3 of uint8"):
        open_path(group)


def test_a_group_without_arrays_says_so(tmp_path: Path) -> None:
    say(tmp_path, n5="2.0.0")
    with pytest.raises(FormatError, match="holds arrays expected, found none"):
        open_path(tmp_path)


def test_the_first_versions_word_for_compression_is_read(group: Path) -> None:
    for level in ("s0", "s1"):
        path = group / level / "attributes.json"
        kept = json.loads(path.read_text())
        del kept["compression"]
        path.write_text(json.dumps(kept | {"compressionType": "raw"}))
    assert np.array_equal(open_path(group)[0].read((0, 0, 0), WIDE.shape), WIDE)


def test_an_array_on_its_own_that_was_reduced_says_no_voxel_size(group: Path) -> None:
    """Whether its resolution is its own or the finest one's nobody knows."""
    for factors, expected in (([1, 1, 1], (5.24, 4.0, 4.0)), ([8, 8, 8], (None, None, None))):
        say(group / "s1", pixelResolution=NM, downsamplingFactors=factors)
        assert open_path(group / "s1")[0].voxel_size_zyx_nm == expected


def single_voxels(path: Path, shape_zyx: tuple[int, int, int]) -> Path:
    """An array whose blocks hold a voxel each, and none of which is there."""
    path.mkdir()
    attributes = {"dimensions": shape_zyx[::-1], "blockSize": [1, 1, 1], "dataType": "uint8"}
    (path / "attributes.json").write_text(json.dumps(attributes | {"compression": {"type": "raw"}}))
    return path


def test_a_box_of_very_many_blocks_is_read_in_parts_and_one_of_too_many_refused(tmp_path: Path) -> None:
    path = single_voxels(tmp_path / "a", (2000, 2000, 2000))
    (path / "3" / "2").mkdir(parents=True)
    (path / "3" / "2" / "1").write_bytes(struct.pack(">HH3I", 0, 3, 1, 1, 1) + b"\x07")
    (volume,) = open_path(path)
    voxels = volume.read((0, 0, 0), (20, 21, 22))  # 9,240 blocks
    assert (voxels[1, 2, 3], voxels.sum()) == (7, 7)
    with pytest.raises(FormatError, match=r"at most 1048576 blocks in a box expected, found 8000000000 of blockSize"):
        volume.levels[0].begin_into((0, 0, 0), np.broadcast_to(np.uint8(0), (2000, 2000, 2000)))


@pytest.mark.parametrize("is_remote", [False, True])
def test_a_block_of_more_bytes_than_any_packer_makes_is_refused(group: Path, serve: Serve, is_remote: bool) -> None:
    with (group / "s0" / "0" / "0" / "0").open("r+b") as file:
        file.truncate(2**30)
    (volume,) = open_volumes([serve(group)] if is_remote else [str(group)])
    with pytest.raises(FormatError, match=r"s0/0/0/0: a block of at most \d+ bytes expected, found"):
        volume.read((0, 0, 0), (4, 16, 16))
    assert np.array_equal(volume.read((0, 16, 16), (4, 16, 16)), WIDE[:4, 16:32, 16:32])
