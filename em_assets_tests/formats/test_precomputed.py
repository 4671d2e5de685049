"""Precomputed volumes: real trees against what independent readers agree on, small ones made here, and hostile ones."""

import gzip
import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorstore

from em_assets.errors import FormatError, SourceMissingError, UnsupportedDataError
from em_assets.formats import precomputed
from em_assets.formats.precomputed_info import Sharding
from em_assets.formats.precomputed_shards import morton_code, murmurhash3_low64, shard_name
from em_assets.formats.volume import SourceVolume

SHARED = Path(__file__).resolve().parents[3] / "shared"
EXPECTED = SHARED / "data" / "expected.json"
KNOWN = json.loads(EXPECTED.read_text()) if EXPECTED.exists() else {}
PRECOMPUTED_TREES = [name for name, facts in KNOWN.items() if facts["kind"] == "precomputed"]
Serve = Callable[[Path], str]


def crc32(voxels: np.ndarray) -> str:
    return f"{zlib.crc32(np.ascontiguousarray(voxels).tobytes()):08x}"


def read_all(volume: SourceVolume, level: int = 0) -> np.ndarray:
    return volume.read((0, 0, 0), volume.levels[level].shape_zyx, level)


def textured(*shape: int, dtype: str = "uint8") -> np.ndarray:
    return (np.random.default_rng(7).integers(1, 200, shape)).astype(dtype)


def info(**changes: Any) -> dict[str, Any]:
    """An `info` of one raw scale: zyx (12, 10, 14), chunks of 4 x 5 x 6, corner at x 100, y 20, z 3."""
    scale = {
        "key": "8_8_40",
        "size": [14, 10, 12],
        "voxel_offset": [100, 20, 3],
        "chunk_sizes": [[6, 5, 4]],
        "resolution": [8, 8, 40],
        "encoding": "raw",
    }
    top = {key: changes.pop(key) for key in ("data_type", "num_channels", "type", "@type", "graph") if key in changes}
    return {"data_type": "uint8", "num_channels": 1, "type": "image", **top, "scales": [{**scale, **changes}]}


def write(folder: Path, voxels: np.ndarray, document: dict[str, Any]) -> Path:
    folder.mkdir(parents=True)
    (folder / "info").write_text(json.dumps(document))
    spec = {
        "driver": "neuroglancer_precomputed",
        "kvstore": {"driver": "file", "path": f"{folder}/"},
        "store_data_equal_to_fill_value": True,
    }
    tensorstore.open(spec, write=True).result()[..., 0].write(voxels.T).result()
    return folder


@pytest.fixture
def voxels() -> np.ndarray:
    return textured(12, 10, 14)


@pytest.fixture
def tree(tmp_path: Path, voxels: np.ndarray) -> Path:
    return write(tmp_path / "image", voxels, info())


@pytest.mark.parametrize("name", PRECOMPUTED_TREES)
def test_real_trees_give_the_voxels_that_independent_readers_give(shared: Path, name: str) -> None:
    """Of one that tensorstore reads as zeros without a word, cloud-volume's voxels are the true ones."""
    (volume,) = precomputed.open_volumes([str(shared / "data" / name)])
    for level, fact in enumerate(KNOWN[name]["readers"]["cloud-volume"]):
        if "crc32" not in fact:
            with pytest.raises(FormatError, match="missing"):
                read_all(volume, level)
            continue
        assert list(volume.levels[level].shape_zyx) == fact["shape"]
        assert volume.dtype.name == fact["dtype"]
        if fact["encoding"] != "compresso":
            assert crc32(read_all(volume, level)) == fact["crc32"]


def test_x_y_z_of_the_file_becomes_z_y_x_from_the_volumes_own_corner(tree: Path, voxels: np.ndarray) -> None:
    (volume,) = precomputed.open_volumes([str(tree)])
    assert (volume.name, volume.shape_zyx, volume.dtype.name) == ("image", (12, 10, 14), "uint8")
    assert volume.voxel_size_zyx_nm == (40.0, 8.0, 8.0)
    assert volume.levels[0].offset_zyx_nm == (120.0, 160.0, 800.0)
    assert volume.levels[0].chunk_shape_zyx == (4, 5, 6)
    box = volume.read((1, 2, 3), (9, 4, 8))
    assert np.array_equal(box, voxels[1:10, 2:6, 3:11])
    assert box.flags.c_contiguous


@pytest.mark.parametrize("hash", ["identity", "murmurhash3_x86_128"])
def test_a_sharded_volume_reads_and_a_missing_shard_file_is_an_error(
    tmp_path: Path, voxels: np.ndarray, hash: str
) -> None:
    sharding = {
        "@type": "neuroglancer_uint64_sharded_v1",
        "hash": hash,
        "preshift_bits": 1,
        "minishard_bits": 1,
        "shard_bits": 2,
        "data_encoding": "gzip",
        "minishard_index_encoding": "gzip",
    }
    tree = write(tmp_path / "sharded", voxels, info(sharding=sharding))
    (volume,) = precomputed.open_volumes([str(tree)])
    assert np.array_equal(read_all(volume), voxels)
    assert volume.compressor == "gzip"
    next((tree / "8_8_40").iterdir()).unlink()
    (again,) = precomputed.open_volumes([str(tree)])
    with pytest.raises(FormatError, match=r"shard file [0-9a-f]\.shard is missing"):
        read_all(again)


def test_shard_arithmetic_equals_cloud_volumes() -> None:
    """Its own answers, written down: importing it for this takes a second."""
    assert morton_code((3, 1, 2), (5, 2, 7)) == 0b11011
    assert murmurhash3_low64(0) == 5148371408780832321
    assert murmurhash3_low64(123456789) == 1325596490455455783
    assert shard_name(Sharding(0, "identity", 1, 9, "raw"), 0b1_1010_0101_1) == "1a5.shard"


def test_labels_are_labels_and_keep_64_bits(tmp_path: Path) -> None:
    labels = textured(12, 10, 14, dtype="uint64") + 2**40
    document = info(
        data_type="uint64",
        type="segmentation",
        encoding="compressed_segmentation",
        compressed_segmentation_block_size=[8, 8, 8],
    )
    (volume,) = precomputed.open_volumes([str(write(tmp_path / "labels", labels, document))])
    assert (volume.content, volume.compressor) == ("labels", "compressed_segmentation")
    assert np.array_equal(read_all(volume), labels)


def test_chunk_files_that_cloud_volume_compressed_are_no_zeros(tree: Path, voxels: np.ndarray) -> None:
    """Such a folder is zeros to tensorstore, without a word."""
    for chunk in list((tree / "8_8_40").iterdir()):
        chunk.with_name(f"{chunk.name}.gz").write_bytes(gzip.compress(chunk.read_bytes()))
        chunk.unlink()
    (volume,) = precomputed.open_volumes([str(tree)])
    assert np.array_equal(volume.read((1, 2, 3), (9, 4, 8)), voxels[1:10, 2:6, 3:11])


def test_a_missing_chunk_is_an_error_only_where_it_is_touched(tree: Path, voxels: np.ndarray) -> None:
    (tree / "8_8_40" / "106-112_25-30_7-11").unlink()
    (volume,) = precomputed.open_volumes([str(tree)])
    assert np.array_equal(volume.read((0, 0, 0), (4, 10, 14)), voxels[:4])
    with pytest.raises(FormatError, match="106-112_25-30_7-11 is missing"):
        read_all(volume)


def test_over_http_the_same_voxels_and_tags_arrive(tree: Path, voxels: np.ndarray, serve: Serve) -> None:
    url = f"{serve(tree.parent)}/image"
    (volume,) = precomputed.open_volumes([url])
    assert np.array_equal(volume.read((1, 2, 3), (9, 4, 8)), voxels[1:10, 2:6, 3:11])
    assert list(precomputed.read_tags(url)) == list(precomputed.read_tags(str(tree)))


def test_over_http_a_missing_chunk_is_no_zeros(tree: Path, serve: Serve) -> None:
    (tree / "8_8_40" / "106-112_25-30_7-11").unlink()
    (volume,) = precomputed.open_volumes([f"{serve(tree.parent)}/image"])
    with pytest.raises(FormatError, match="106-112_25-30_7-11"):
        read_all(volume)


def test_over_http_no_info_and_a_forbidden_one_are_the_sources_fault(tree: Path, serve: Serve) -> None:
    url = serve(tree.parent)
    for path in ("nothing", "private/image"):
        with pytest.raises(SourceMissingError, match="info"):
            precomputed.open_volumes([f"{url}/{path}"])


def test_witnesses_name_value_unit_and_place(tree: Path) -> None:
    found = {w.field: w for w in precomputed.witnesses(list(precomputed.read_tags(str(tree))))}
    size = found["voxel_size_z_nm"]
    assert (size.value, size.unit, size.locator, size.raw) == (40.0, "nm", "info scales.0.resolution", "[8, 8, 40]")
    assert (found["shape_zyx"].value, found["source_chunks"].value) == ([12, 10, 14], [4, 5, 6])
    assert (found["dtype"].value, found["source_n_levels"].value) == ("uint8", 1)
    assert "content" not in found


HOSTILE: dict[str, tuple[dict[str, Any], str]] = {
    "two channels": (info(num_channels=2), "one channel"),
    "channel that is true": (info(num_channels=True), "one channel"),
    "no such type": (info(type="movie"), "type"),
    "no such data type": (info(data_type="complex64"), "data_type"),
    "data type in capitals": (info(data_type="UINT8"), "data_type uint8, .* expected, found 'UINT8'"),
    "data type that is a list": (info(data_type=["uint8"]), "data_type"),
    "zero block": (
        info(data_type="uint64", encoding="compressed_segmentation", compressed_segmentation_block_size=[0, 0, 0]),
        "block_size",
    ),
    "no block": (info(data_type="uint64", encoding="compressed_segmentation"), "block_size"),
    "unknown encoding": (info(encoding="fpzip"), "encoding"),
    "jpeg of labels": (info(data_type="uint64", encoding="jpeg"), "jpeg holds uint8"),
    "zero chunk": (info(chunk_sizes=[[0, 5, 4]]), "chunk_sizes"),
    "huge chunk": (info(chunk_sizes=[[2**20, 2**20, 2**20]]), "bytes a chunk"),
    "no chunk": (info(chunk_sizes=[]), "chunk_sizes"),
    "negative size": (info(size=[-1, 10, 12]), "size"),
    "huge size": (info(size=[2**61, 10, 12]), "size"),
    "half a voxel": (info(size=[1.5, 10, 12]), "size"),
    "zero resolution": (info(resolution=[0, 8, 40]), "resolution"),
    "escaping key": (info(key="../other"), "inside the folder"),
    "unknown sharding": (info(sharding={"@type": "x"}), "sharding"),
    "too many bits": (
        info(
            sharding={
                "@type": "neuroglancer_uint64_sharded_v1",
                "preshift_bits": 0,
                "minishard_bits": 60,
                "shard_bits": 9,
            }
        ),
        "minishard bits",
    ),
    "a mesh": ({"@type": "neuroglancer_legacy_mesh"}, "no voxels in it"),
    "a graph": (info(graph={}), "graphene"),
    "a list": ([], "JSON object"),
    "scales that are none": ({**info(), "scales": []}, "scales"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_an_info_that_cannot_be_is_refused_before_any_library_sees_it(tmp_path: Path, name: str) -> None:
    document, message = HOSTILE[name]
    (tmp_path / "info").write_text(json.dumps(document))
    with pytest.raises(FormatError, match=message):
        read_all(precomputed.open_volumes([str(tmp_path)])[0])


def test_colour_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "info").write_text(json.dumps(info(num_channels=3)))
    with pytest.raises(UnsupportedDataError, match="num_channels 3"):
        precomputed.open_volumes([str(tmp_path)])
