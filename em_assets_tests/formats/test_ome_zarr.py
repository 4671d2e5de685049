"""OME-Zarr, bare zarr and VISoR: real trees against what independent readers agree on, and small ones made here."""

import json
import shutil
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import zarr

from em_assets.errors import FormatError, SourceMissingError, UnsupportedDataError
from em_assets.formats import ome_zarr
from em_assets.formats.volume import SourceVolume

SHARED = Path(__file__).resolve().parents[3] / "shared"
EXPECTED = SHARED / "data" / "expected.json"
KNOWN = json.loads(EXPECTED.read_text()) if EXPECTED.exists() else {}
ZARR_TREES = [name for name, facts in KNOWN.items() if facts["kind"] == "zarr" and facts["agreed"]]
Serve = Callable[[Path], str]


def crc32(voxels: np.ndarray) -> str:
    return f"{zlib.crc32(np.ascontiguousarray(voxels).tobytes()):08x}"


def read_all(volume: SourceVolume, level: int = 0) -> np.ndarray:
    return volume.read((0, 0, 0), volume.levels[level].shape_zyx, level)


def ramp(*shape: int, dtype: str = "uint16") -> np.ndarray:
    return np.arange(np.prod(shape), dtype=dtype).reshape(shape)


def axes(names: str, unit: str | None = "nanometer") -> list[dict[str, str]]:
    kinds = {"t": "time", "c": "channel"}
    return [
        {"name": n, "type": kinds.get(n, "space")} | ({"unit": unit} if unit and n not in kinds else {}) for n in names
    ]


def dataset(path: str, scale: list[float] | None = None, translation: list[float] | None = None) -> dict[str, Any]:
    steps: list[dict[str, Any]] = []
    steps += [{"type": "scale", "scale": scale}] if scale else []
    steps += [{"type": "translation", "translation": translation}] if translation else []
    return {"path": path, "coordinateTransformations": steps}


def write_image(
    folder: Path, levels: dict[str, np.ndarray], multiscale: dict[str, Any], zarr_format: int = 2, **attributes: Any
) -> Path:
    version = "0.4" if zarr_format == 2 else "0.5"
    content = {"multiscales": [{"version": version, **multiscale}], **attributes}
    root = zarr.create_group(folder, zarr_format=zarr_format)
    root.attrs.update(content if zarr_format == 2 else {"ome": {"version": version, **content}})
    for path, voxels in levels.items():
        root.create_array(path, data=voxels, chunks=tuple(min(n, 4) for n in voxels.shape))
    return folder


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return write_image(
        tmp_path / "cell.ome.zarr",
        {"s0": ramp(5, 6, 7), "s1": ramp(3, 3, 4)},
        {
            "axes": axes("zyx"),
            "datasets": [dataset("s0", [40, 8, 8]), dataset("s1", [80, 16, 16], [20, 4, 4])],
            "coordinateTransformations": [{"type": "scale", "scale": [1.0, 1.0, 1.0]}],
        },
    )


@pytest.mark.parametrize("name", ZARR_TREES)
def test_real_trees_give_the_voxels_that_independent_readers_agree_on(shared: Path, name: str) -> None:
    """The readers give the array as stored; here it is put together again from the volumes and turned back."""
    volumes = ome_zarr.open_volumes([str(shared / "data" / name)])
    agreed = KNOWN[name]["agreed"]
    paths = sorted(key.removesuffix("crc32").rstrip(":") for key in agreed if key.endswith("crc32"))
    for level, path in enumerate(paths):
        shape = agreed[f"{path}:shape" if path else "shape"]
        stored = np.stack([_turned_back(name, read_all(volume, level)) for volume in volumes]).reshape(shape)
        assert crc32(stored) == agreed[f"{path}:crc32" if path else "crc32"]


def _turned_back(name: str, voxels: np.ndarray) -> np.ndarray:
    stores_xyz = "cryoet" in name or "wk_simple" in name  # their axes are named x, y, z
    return voxels.transpose(2, 1, 0) if stores_xyz else voxels


def test_the_nacc_mirror_has_every_fact_of_the_golden_metadata(shared: Path) -> None:
    mirror = shared / "data" / "mirror_s005"
    facts = json.loads((mirror / "expected" / "jrc_mus_nacc_zarr_metadata.json").read_text())
    tree = mirror / "janelia-cosem-datasets" / "jrc_mus-nacc-2" / "jrc_mus-nacc-2.zarr" / "recon-2/em/fibsem-int16"
    tags = {(tag.container, tag.path): tag.value for tag in ome_zarr.read_tags(str(tree))}
    (volume,) = ome_zarr.open_volumes([str(tree)])

    assert volume.voxel_size_zyx_nm == (2.96, 4.0, 4.0)
    assert volume.levels[1].offset_zyx_nm == (1.48, 2.0, 2.0)
    assert len(volume.levels) == len(facts["children"]) == 9
    for level, (name, child) in zip(volume.levels, facts["children"].items(), strict=True):
        assert list(level.shape_zyx) == child["shape"] == tags[f"{name}/.zarray", "shape"]
        assert list(level.chunk_shape_zyx or ()) == child["chunks"] == tags[f"{name}/.zarray", "chunks"]
        assert (volume.dtype.name, volume.compressor) == (child["dtype"], child["compressor"])
        assert tags[f"{name}/.zarray", "order"] == child["order"]
        assert tags[f"{name}/.zarray", "fill_value"] == child["fill_value"]
    for index, dataset_facts in enumerate(facts["attrs"]["multiscales"][0]["datasets"]):
        at = f"multiscales.0.datasets.{index}.coordinateTransformations"
        for step, kind in enumerate(("scale", "translation")):
            assert tags[".zattrs", f"{at}.{step}.{kind}"] == dataset_facts["coordinateTransformations"][step][kind]


def test_a_visor_tree_gives_one_fluorescence_volume_for_each_stack_and_channel(shared: Path) -> None:
    tree = shared / "data/visor/VISOR001.vsr/visor_raw_images/slice_1_10x.zarr"
    volumes = ome_zarr.open_volumes([str(tree)])
    assert [v.name for v in volumes] == ["stack_1.488", "stack_1.561", "stack_2.488", "stack_2.561"]
    assert {v.content for v in volumes} == {"fluorescence"}
    assert volumes[0].voxel_size_zyx_nm == (3500.0, 1030.0, 1030.0)
    assert volumes[0].levels[0].chunk_shape_zyx == (2, 2, 2)


def test_visor_2024_names_items_after_its_entries_without_a_scale(tmp_path: Path) -> None:
    """2024.11.0 writes the stacks' positions as datasets of a translation alone, which are no levels."""
    voxels = ramp(2, 2, 3, 4, 5)
    entries = [dataset("0", [1, 1, 2, 0.5, 0.5]), dataset("0/slice_1_stack_1", None, [0, 0, 0, 0, 0])]
    entries += [dataset("0/slice_1_stack_2", None, [0, 0, 0, 10, 20])]
    tree = write_image(
        tmp_path / "visor_raw_image.zarr",
        {"0": voxels},
        {
            "axes": [{"name": "t", "type": "visor"}, {"name": "c", "type": "channel"}, *axes("zyx", "micrometer")],
            "datasets": entries,
            "type": "coarsen",
        },
        omero={"channels": [{"label": "405nm_10X"}, {"label": "488nm_10X"}]},
    )
    volumes = ome_zarr.open_volumes([str(tree)])
    assert volumes[0].name == "slice_1_stack_1.405nm_10X"
    assert volumes[3].name == "slice_1_stack_2.488nm_10X"
    assert volumes[3].levels[0].offset_zyx_nm == (0.0, 10_000.0, 20_000.0)
    assert volumes[3].voxel_size_zyx_nm == (2000.0, 500.0, 500.0)
    assert np.array_equal(read_all(volumes[2]), voxels[1, 0])


@pytest.mark.parametrize(
    ("names", "turn"), [("zyx", (0, 1, 2)), ("xyz", (2, 1, 0)), ("yxz", (2, 0, 1))], ids=["zyx", "xyz", "yxz"]
)
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_axes_are_turned_by_name_and_boxes_equal_numpy(
    tmp_path: Path, names: str, turn: tuple[int, int, int], zarr_format: int
) -> None:
    voxels = ramp(5, 6, 7)
    scale = {"z": 40.0, "y": 8.0, "x": 4.0}
    multiscale = {"axes": axes(names), "datasets": [dataset("s0", [scale[n] for n in names])]}
    (volume,) = ome_zarr.open_volumes([str(write_image(tmp_path / "a.zarr", {"s0": voxels}, multiscale, zarr_format))])
    expected = voxels.transpose(turn)
    assert volume.shape_zyx == expected.shape
    assert volume.voxel_size_zyx_nm == (40.0, 8.0, 4.0)
    box = volume.read((1, 2, 3), (2, 3, 2))
    assert np.array_equal(box, expected[1:3, 2:5, 3:5])
    assert box.flags.c_contiguous


def test_a_sharded_array_says_its_inner_chunk_and_reads_the_same(tmp_path: Path) -> None:
    voxels = ramp(8, 8, 8)
    array = zarr.create_array(
        tmp_path / "a.zarr", shape=(8, 8, 8), chunks=(2, 4, 4), shards=(4, 8, 8), dtype="uint16", zarr_format=3
    )
    array[:] = voxels
    (volume,) = ome_zarr.open_volumes([str(tmp_path / "a.zarr")])
    assert volume.levels[0].chunk_shape_zyx == (2, 4, 4)
    assert volume.compressor == "Zstd(level=0)"
    assert np.array_equal(volume.read((1, 0, 3), (6, 7, 2)), voxels[1:7, 0:7, 3:5])


def test_scale_and_translation_of_the_image_come_after_those_of_the_level(tmp_path: Path) -> None:
    multiscale = {
        "axes": axes("zyx", "micrometer"),
        "datasets": [dataset("s0", [2, 1, 1], [1, 0, 0])],
        "coordinateTransformations": [
            {"type": "scale", "scale": [2, 0.5, 0.5]},
            {"type": "translation", "translation": [10, 0, 0]},
        ],
    }
    (volume,) = ome_zarr.open_volumes([str(write_image(tmp_path / "a.zarr", {"s0": ramp(2, 3, 4)}, multiscale))])
    assert volume.voxel_size_zyx_nm == (4000.0, 500.0, 500.0)
    assert volume.levels[0].offset_zyx_nm == (12_000.0, 0.0, 0.0)


def test_steps_of_one_level_are_taken_one_after_the_other(tmp_path: Path) -> None:
    """The specification has one scale, then one translation; who writes more or otherwise means them in this order."""
    steps = [
        {"type": "translation", "translation": [1, 0, 0]},
        {"type": "scale", "scale": [2, 2, 2]},
        {"type": "translation", "translation": [5, 0, 0]},
        {"type": "scale", "scale": [15, 4, 4]},
    ]
    entry = {"path": "0", "coordinateTransformations": steps}
    tree = write_image(tmp_path / "a.zarr", {"0": ramp(2, 3, 4)}, {"axes": axes("zyx"), "datasets": [entry]})
    (volume,) = ome_zarr.open_volumes([str(tree)])
    assert volume.voxel_size_zyx_nm == (30.0, 8.0, 8.0)
    assert volume.levels[0].offset_zyx_nm == (105.0, 0.0, 0.0)
    z = next(w for w in ome_zarr.witnesses(ome_zarr.read_tags(str(tree))) if w.field == "voxel_size_z_nm")
    assert z.locator.count(".scale") == 2


def test_a_scale_without_a_unit_is_an_unknown_voxel_size(tmp_path: Path) -> None:
    multiscale = {"axes": axes("zyx", None), "datasets": [dataset("s0", [14.08, 14.08, 14.08])]}
    tree = write_image(tmp_path / "a.zarr", {"s0": ramp(2, 3, 4)}, multiscale)
    (volume,) = ome_zarr.open_volumes([str(tree)])
    assert volume.voxel_size_zyx_nm == (None, None, None)
    fields = [witness.field for witness in ome_zarr.witnesses(list(ome_zarr.read_tags(str(tree))))]
    assert "voxel_size_z_nm" not in fields


def test_time_and_channel_make_volumes_of_their_own(tmp_path: Path) -> None:
    voxels = ramp(2, 3, 2, 4, 4)
    multiscale = {"axes": axes("tczyx"), "datasets": [dataset("0", [1, 1, 5, 5, 5])]}
    tree = write_image(tmp_path / "a.zarr", {"0": voxels}, multiscale)
    volumes = ome_zarr.open_volumes([str(tree)])
    assert [v.name for v in volumes] == ["t0_c0", "t0_c1", "t0_c2", "t1_c0", "t1_c1", "t1_c2"]
    assert np.array_equal(read_all(volumes[4]), voxels[1, 1])


def test_witnesses_name_value_unit_and_place(image: Path) -> None:
    found = {w.field: w for w in ome_zarr.witnesses(list(ome_zarr.read_tags(str(image))))}
    size = found["voxel_size_z_nm"]
    assert (size.value, size.unit) == (40.0, "nanometer")
    assert size.locator == ".zattrs multiscales.0.datasets.0.coordinateTransformations.0.scale"
    assert (found["shape_zyx"].value, found["shape_zyx"].locator) == ([5, 6, 7], "s0/.zarray shape")
    assert (found["source_n_levels"].value, found["dtype"].value) == (2, "uint16")
    assert found["source_chunks"].value == [4, 4, 4]


def test_tags_keep_empty_values_and_their_types(tmp_path: Path) -> None:
    root = zarr.create_group(tmp_path / "g.zarr", zarr_format=2)
    root.attrs.update({"empty": {}, "none": None, "flag": True, "list": [1, 2], "mixed": [{"a": 0.5}, "b"]})
    tags = {t.path: (t.value, t.type) for t in ome_zarr.read_tags(str(tmp_path / "g.zarr")) if t.container == ".zattrs"}
    assert tags == {
        "empty": ({}, "json:object"),
        "none": (None, "json:null"),
        "flag": (True, "json:bool"),
        "list": ([1, 2], "json:array"),
        "mixed.0.a": (0.5, "json:number"),
        "mixed.1": ("b", "json:string"),
    }


def test_over_http_the_same_tags_and_voxels_arrive_without_a_listing(image: Path, serve: Serve) -> None:
    url = f"{serve(image.parent)}/{image.name}"
    assert list(ome_zarr.read_tags(url)) == list(ome_zarr.read_tags(str(image)))
    (volume,), (local,) = ome_zarr.open_volumes([url]), ome_zarr.open_volumes([str(image)])
    assert np.array_equal(volume.read((1, 1, 1), (3, 4, 5)), local.read((1, 1, 1), (3, 4, 5)))


def test_over_http_a_missing_level_is_the_sources_fault(image: Path, serve: Serve) -> None:
    shutil.rmtree(image / "s1")
    with pytest.raises(SourceMissingError, match=r"level 's1'"):
        ome_zarr.open_volumes([f"{serve(image.parent)}/{image.name}"])


@pytest.mark.parametrize(
    ("shape", "expected"),
    [((3, 4), (1, 3, 4)), ((3, 4, 5), (3, 4, 5)), ((3, 4, 5, 1), (3, 4, 5)), ((1, 1, 3, 4, 5), (3, 4, 5))],
    ids=str,
)
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_bare_arrays_are_z_y_x_by_position(
    tmp_path: Path, shape: tuple[int, ...], expected: tuple[int, int, int], zarr_format: int
) -> None:
    zarr.create_array(tmp_path / "raw.zarr", data=ramp(*shape), zarr_format=zarr_format)
    (volume,) = ome_zarr.open_volumes([str(tmp_path / "raw.zarr")])
    assert (volume.name, volume.shape_zyx) == ("raw", expected)
    assert np.array_equal(read_all(volume), ramp(*expected))
    assert volume.voxel_size_zyx_nm == (None, None, None)


def test_a_bare_array_with_channels_that_nobody_names_is_refused(tmp_path: Path) -> None:
    zarr.create_array(tmp_path / "raw.zarr", data=ramp(3, 4, 5, 6))
    with pytest.raises(UnsupportedDataError, match="axes that nobody names"):
        ome_zarr.open_volumes([str(tmp_path / "raw.zarr")])


def test_a_group_gives_its_nested_images_and_else_its_arrays_by_path(tmp_path: Path) -> None:
    zarr.create_group(tmp_path / "g.zarr", zarr_format=2)
    zarr.create_array(tmp_path / "g.zarr" / "raw", data=ramp(2, 3, 4), zarr_format=2)
    zarr.create_array(tmp_path / "g.zarr" / "mask", data=ramp(2, 3, 4), zarr_format=2)
    assert [v.name for v in ome_zarr.open_volumes([str(tmp_path / "g.zarr")])] == ["mask", "raw"]
    multiscale = {"axes": axes("zyx"), "datasets": [dataset("s0", [5, 5, 5])]}
    for name in ("0", "1"):
        write_image(tmp_path / "g.zarr" / name, {"s0": ramp(2, 3, 4)}, multiscale)
    assert [v.name for v in ome_zarr.open_volumes([str(tmp_path / "g.zarr")])] == ["0", "1"]


def test_a_label_image_says_so(tmp_path: Path) -> None:
    multiscale = {"axes": axes("zyx"), "datasets": [dataset("s0", [5, 5, 5])]}
    tree = write_image(tmp_path / "a.zarr", {"s0": ramp(2, 3, 4)}, multiscale, **{"image-label": {"version": "0.4"}})
    assert ome_zarr.open_volumes([str(tree)])[0].content == "labels"


def test_zarr_format_as_a_string_is_read(tmp_path: Path) -> None:
    """It occurs in the wild, and libraries refuse it."""
    zarr.create_array(tmp_path / "raw.zarr", data=ramp(2, 3, 4), zarr_format=2)
    document = json.loads((tmp_path / "raw.zarr/.zarray").read_text()) | {"zarr_format": "2"}
    (tmp_path / "raw.zarr/.zarray").write_text(json.dumps(document))
    assert np.array_equal(read_all(ome_zarr.open_volumes([str(tmp_path / "raw.zarr")])[0]), ramp(2, 3, 4))


def _edit(path: Path, change: Callable[[Any], Any]) -> None:
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


DAMAGE: dict[str, tuple[str, Callable[[Any], Any], type[FormatError], str]] = {
    "negative shape": ("s0/.zarray", lambda d: d.update(shape=[5, -6, 7]), FormatError, "shape"),
    "huge shape": ("s0/.zarray", lambda d: d.update(shape=[2**61, 6, 7]), FormatError, "shape"),
    "empty shape": ("s0/.zarray", lambda d: d.update(shape=[0, 6, 7]), FormatError, "empty"),
    "zero chunk": ("s0/.zarray", lambda d: d.update(chunks=[0, 4, 4]), FormatError, "chunks"),
    "huge chunk": ("s0/.zarray", lambda d: d.update(chunks=[2**20] * 3), FormatError, "bytes a chunk"),
    "bool": ("s0/.zarray", lambda d: d.update(dtype="|b1"), UnsupportedDataError, "b1"),
    "complex": ("s0/.zarray", lambda d: d.update(dtype="<c8"), UnsupportedDataError, "c8"),
    "structured": ("s0/.zarray", lambda d: d.update(dtype=[["r", "|u1"]]), UnsupportedDataError, "real number"),
    "no dtype": ("s0/.zarray", lambda d: d.update(dtype="nonsense"), FormatError, "dtype"),
    "filters": ("s0/.zarray", lambda d: d.update(filters=[{"id": "delta"}]), UnsupportedDataError, "filters"),
    "unknown codec": (
        "s0/.zarray",
        lambda d: d.update(compressor={"id": "lzma"}),
        UnsupportedDataError,
        "pack it anew.*lzma",
    ),
    "coarsest first": (
        ".zattrs",
        lambda d: d["multiscales"][0]["datasets"].reverse(),
        FormatError,
        "from the finest to the coarsest",
    ),
    "other dtype below": ("s1/.zarray", lambda d: d.update(dtype="<i2"), FormatError, "level s1"),
    "unknown version": (".zattrs", lambda d: d["multiscales"][0].update(version="0.6"), UnsupportedDataError, "0.6"),
    "no levels": (".zattrs", lambda d: d["multiscales"][0].update(datasets=[]), FormatError, "at least one level"),
    "two axes": (".zattrs", lambda d: d["multiscales"][0]["axes"].pop(), FormatError, "2 finite numbers"),
    "strange axes": (
        ".zattrs",
        lambda d: d["multiscales"][0]["axes"][0].update(name="x"),
        UnsupportedDataError,
        "axes",
    ),
    "escaping path": (
        ".zattrs",
        lambda d: d["multiscales"][0]["datasets"][0].update(path="../s0"),
        FormatError,
        "inside",
    ),
    "a plate": (".zattrs", lambda d: d.update(plate={}), UnsupportedDataError, "plate"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_metadata_that_cannot_be_is_refused_by_name(image: Path, damage: str) -> None:
    file, change, error, message = DAMAGE[damage]
    _edit(image / file, change)
    with pytest.raises(error, match=message):
        ome_zarr.open_volumes([str(image)])


def test_a_level_without_an_array_and_a_group_without_arrays_are_refused(image: Path, tmp_path: Path) -> None:
    shutil.rmtree(image / "s1")
    with pytest.raises(FormatError, match=r"level 's1' is listed"):
        ome_zarr.open_volumes([str(image)])
    zarr.create_group(tmp_path / "empty.zarr")
    with pytest.raises(FormatError, match="a zarr group that holds arrays expected"):
        ome_zarr.open_volumes([str(tmp_path / "empty.zarr")])


@pytest.mark.parametrize(("written", "said"), [("/", None), (".", "/")], ids=["nested", "flat"])
def test_chunks_that_are_named_otherwise_than_the_metadata_says_are_no_zeros(
    tmp_path: Path, written: Literal[".", "/"], said: str | None
) -> None:
    """Folders of zarr-python before 2.8 say nothing of their nesting: every chunk would be absent."""
    key = {"name": "v2", "separator": written}
    array = zarr.create_array(tmp_path / "a.zarr", data=ramp(3, 4, 5), zarr_format=2, chunk_key_encoding=key)
    assert array.shape == (3, 4, 5)

    def say(document: dict[str, Any]) -> None:
        document.pop("dimension_separator", None)
        document.update({} if said is None else {"dimension_separator": said})

    _edit(tmp_path / "a.zarr" / ".zarray", say)
    with pytest.raises(FormatError, match="mend dimension_separator"):
        ome_zarr.open_volumes([str(tmp_path / "a.zarr")])


def test_a_cut_chunk_is_an_error_naming_the_level(image: Path) -> None:
    chunk = next(path for path in sorted((image / "s0").rglob("*")) if path.is_file() and not path.name.startswith("."))
    chunk.write_bytes(chunk.read_bytes()[:10])
    (volume,) = ome_zarr.open_volumes([str(image)])
    with pytest.raises(FormatError, match="s0"):
        read_all(volume)


def test_metadata_that_is_a_web_page_says_so(image: Path) -> None:
    (image / ".zattrs").write_text("<!DOCTYPE html><html></html>")
    with pytest.raises(FormatError, match="web page"):
        list(ome_zarr.read_tags(str(image)))
