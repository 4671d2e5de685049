import json
import struct
import time
import zlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from em_assets.errors import EMAssetsError, FormatError, UnsupportedDataError
from em_assets.formats import tiff

MIRROR = "data/mirror_s005"
U2OS = (
    f"{MIRROR}/idr/idr0086-miron-micrographs/20200610-ftp/experimentD/Miron_FIB-SEM/Miron_FIB-SEM_processed/"
    "Figure_S3B_FIB-SEM_U2OS_20x20x20nm_"
)
RNG = np.random.default_rng(5)


def noise(shape: tuple[int, ...], dtype: str = "uint8") -> np.ndarray:
    return RNG.integers(0, 120, shape).astype(dtype)


def written(path: Path, array: np.ndarray, **options: Any) -> str:
    tifffile.imwrite(path, array, photometric=options.pop("photometric", "minisblack"), **options)
    return str(path)


def by_place(path: Path | str) -> dict[tuple[str, str], Any]:
    return {(tag.container, tag.path): tag.value for tag in tiff.read_tags(str(path))}


def first_offset(path: Path | str) -> int:
    with tifffile.TiffFile(path) as file:
        return int(file.pages[0].dataoffsets[0])


def whole(path: str) -> np.ndarray:
    (volume,) = tiff.open_volumes([path])
    return volume.read((0, 0, 0), volume.shape_zyx)


def raw_tiff(entries: Mapping[int, tuple[int, int, int]], following: int = 0, order: str = "<") -> bytes:
    """A classic TIFF of one page: number → (type, count, value or offset)."""
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", 8)
    out = head + struct.pack(f"{order}H", len(entries))
    for number, (kind, count, value) in sorted(entries.items()):
        code = f"{order}HHIH2x" if kind == 3 and count == 1 else f"{order}HHII"
        out += struct.pack(code, number, kind, count, value)
    return out + struct.pack(f"{order}I", following)


def grey(
    width: int = 4, height: int = 4, at: int = 200, **more: tuple[int, int, int]
) -> dict[int, tuple[int, int, int]]:
    entries = {256: (3, 1, width), 257: (3, 1, height), 258: (3, 1, 8), 262: (3, 1, 1), 273: (4, 1, at)}
    return (
        entries
        | {278: (3, 1, height), 279: (4, 1, width * height)}
        | {int(key[1:]): value for key, value in more.items()}
    )


@pytest.mark.parametrize(
    ("expected", "file"),
    [
        ("epfl_hippocampus_tif_metadata.json", f"{MIRROR}/epfl/volumedata.tif"),
        ("u2os_chromatin_metadata/Figure_S3B_FIB-SEM_U2OS_20x20x20nm_xy_tif_metadata.json", f"{U2OS}xy.tif"),
        ("u2os_chromatin_metadata/Figure_S3B_FIB-SEM_U2OS_20x20x20nm_xz_tif_metadata.json", f"{U2OS}xz.tif"),
    ],
    ids=["epfl", "u2os xy", "u2os xz"],
)
def test_every_tag_of_the_golden_dump_is_found(shared: Path, expected: str, file: str) -> None:
    golden = json.loads((shared / MIRROR / "expected" / expected).read_text())
    found = by_place(shared / file)
    for page in golden["pages"]:
        tags = page["page_tiff_tags"]
        assert {name: found.get((f"page {page['page_index']}", name)) for name in tags} == tags


def test_imagej_writes_its_unit_as_an_escape_and_big_endian(shared: Path) -> None:
    r"""The unit is the seven characters `\u00B5m`; 50 pixels a unit are 20 nm."""
    xy, xz = tiff.open_volumes([str(shared / f"{U2OS}{name}.tif") for name in ("xy", "xz")])
    assert xy.voxel_size_zyx_nm == xz.voxel_size_zyx_nm == (20.0, 20.0, 20.0)
    assert (xy.shape_zyx, xz.shape_zyx) == ((9, 39, 56), (39, 9, 56))
    found = [(w.field, w.value, w.unit, w.raw) for w in tiff.witnesses(tiff.read_tags(str(shared / f"{U2OS}xy.tif")))]
    assert ("voxel_size_z_nm", 0.02, "\\u00B5m", "0.02") in found
    assert ("voxel_size_x_nm", 0.02, "\\u00B5m", "50000000/1000000") in found


def test_no_resolution_tag_is_no_voxel_size(shared: Path) -> None:
    """Readers say 1.0 per inch of this file: their default, nobody's measurement."""
    path = str(shared / MIRROR / "epfl/volumedata.tif")
    (volume,) = tiff.open_volumes([path])
    assert volume.voxel_size_zyx_nm == (None, None, None)
    assert volume.levels[0].chunk_shape_zyx == (1, 4, 102)
    assert np.array_equal(volume.read((3, 2, 5), (2, 70, 9)), tifffile.imread(path)[3:5, 2:72, 5:14])
    assert not [w for w in tiff.witnesses(tiff.read_tags(path)) if w.field.startswith("voxel")]


REAL = [
    "derived/fib25.ome.tif",
    "derived/fib25_big.tif",
    "derived/fib25_imagej.tif",
    "tiff/_blobs_3d_fiji_skeleton.tif",
    "tiff/multifile/multifile-Z1.ome.tiff",
    "tiff/predictor-3-gray-f32.tif",
    "tiff/seq-1c-8b-multipage-adeefdcc.tiff",
    "tiff/seq-1c-8b-tiled-lzw-20f3db0c.tiff",
    "tiff/test_loading_image_saved_with_DM_stack.tif",
    "tiff/test_loading_image_saved_with_imageJ.tif",
    "tiff/test_loading_image_saved_with_imageJ_no_scale.tif",
    "tiff/test_loading_image_saved_with_imageJ_stack.tif",
]


@pytest.mark.parametrize("name", REAL)
def test_a_real_file_gives_what_independent_readers_agree_on(shared: Path, name: str) -> None:
    agreed = json.loads((shared / "data/expected.json").read_text())[name]["agreed"]
    (volume,) = tiff.open_volumes([str(shared / "data" / name)])
    voxels = volume.read((0, 0, 0), volume.shape_zyx)
    assert list(volume.shape_zyx) == [1, *agreed["shape (squeezed)"]][-3:]
    assert str(volume.dtype) == agreed["dtype"]
    assert f"{zlib.crc32(voxels.tobytes()):08x}" == agreed["crc32"]


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("derived/fib25.ome.tif", (10.0, 10.0, 10.0)),
        ("derived/fib25_imagej.tif", (10.0, 10.0, 10.0)),
        ("derived/fib25_big.tif", (None, None, None)),
        ("tiff/test_loading_image_saved_with_imageJ_stack.tif", (2500.0, 168.67471098853332, 168.67471098853332)),
        ("tiff/test_loading_image_saved_with_imageJ_no_scale.tif", (None, None, None)),
        ("tiff/test_loading_image_saved_with_DM_stack.tif", (None, 1686.7400407791138, 168.67400705814362)),
        ("tiff/predictor-3-gray-f32.tif", (None, None, None)),
    ],
)
def test_the_voxel_size_is_what_the_file_says_and_no_default(
    shared: Path, name: str, size: tuple[float | None, ...]
) -> None:
    (volume,) = tiff.open_volumes([str(shared / "data" / name)])
    assert volume.voxel_size_zyx_nm == size


@pytest.mark.parametrize("name", ["multi-channel-z-series.ome.tif", "multi-channel.ome.tif"])
def test_each_channel_is_a_volume(shared: Path, name: str) -> None:
    agreed = json.loads((shared / "data/expected.json").read_text())[f"tiff/{name}"]["agreed"]
    volumes = tiff.open_volumes([str(shared / "data/tiff" / name)])
    voxels = np.stack([volume.read((0, 0, 0), volume.shape_zyx) for volume in volumes])
    stem = name.removesuffix(".ome.tif")
    assert [volume.name for volume in volumes] == [f"{stem}_c0", f"{stem}_c1", f"{stem}_c2"]
    assert f"{zlib.crc32(voxels.tobytes()):08x}" == agreed["crc32"]


def test_an_ome_tiff_opens_no_other_file_on_its_own_word(shared: Path) -> None:
    folder = shared / "data/tiff/multifile"
    (one,) = tiff.open_volumes([str(folder / "multifile-Z2.ome.tiff")])
    assert one.shape_zyx == (1, 24, 18)
    (all_five,) = tiff.open_volumes([str(folder / f"multifile-Z{z}.ome.tiff") for z in range(1, 6)])
    assert (all_five.name, all_five.shape_zyx) == ("multifile-Z", (5, 24, 18))


@pytest.mark.parametrize(
    ("name", "error", "reason"),
    [
        ("tiff/BigTIFF.tif", UnsupportedDataError, "RGB colour"),
        ("tiff/BigTIFFMotorola.tif", UnsupportedDataError, "RGB colour"),
        ("tiff/olympus_SIS.tif", UnsupportedDataError, "RGB colour"),
        ("tiff/multipage_out_of_order.tiff", UnsupportedDataError, "palette colour"),
        ("negative/multipage_multiple_frame_loop.tiff", FormatError, "loop back to page 0"),
        ("negative/s_1_t_1_c_1_z_1.tiff", FormatError, "git-LFS pointer"),
        ("cryoet/10001_input/VPP/frames/TS_run1_1.tiff", FormatError, "zero bytes"),
        ("cryoet/10001_input/VPP/frames/TS_run1_4.tiff", FormatError, "text"),
    ],
)
def test_what_is_no_volume_is_refused_by_name(shared: Path, name: str, error: type[Exception], reason: str) -> None:
    with pytest.raises(error, match=reason):
        tiff.open_volumes([str(shared / "data" / name)])


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("bigtiff", [False, True])
@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint32", "float16", "float32", "float64"])
def test_any_box_of_any_plain_layout(tmp_path: Path, byteorder: str, bigtiff: bool, dtype: str) -> None:
    array = noise((3, 23, 31), dtype)
    path = written(tmp_path / "a.tif", array, byteorder=byteorder, bigtiff=bigtiff, rowsperstrip=5, metadata=None)
    (volume,) = tiff.open_volumes([path])
    assert volume.dtype == np.dtype(dtype)
    assert np.array_equal(volume.read((1, 4, 30), (2, 12, 1)), array[1:3, 4:16, 30:31])
    assert np.array_equal(whole(path), array)


@pytest.mark.parametrize(
    "options",
    [
        {"compression": "zlib"},
        {"compression": "lzw", "predictor": True},
        {"compression": "zstd", "rowsperstrip": 7},
        {"tile": (16, 32)},
        {"tile": (16, 16), "compression": "packbits"},
    ],
    ids=["deflate", "lzw", "zstd strips", "tiles", "packbits tiles"],
)
def test_any_box_of_packed_or_tiled_pages(tmp_path: Path, options: dict[str, Any]) -> None:
    array = noise((3, 40, 50), "uint16")
    (volume,) = tiff.open_volumes([written(tmp_path / "a.tif", array, metadata=None, **options)])
    assert np.array_equal(volume.read((1, 4, 30), (2, 12, 11)), array[1:3, 4:16, 30:41])
    assert (volume.compressor is None) == ("compression" not in options)


def test_imagej_channels_and_times_are_volumes_of_their_own(tmp_path: Path) -> None:
    array = noise((2, 4, 3, 8, 9), "uint16")
    path = written(tmp_path / "h.tif", array, imagej=True, metadata={"axes": "TZCYX", "spacing": 3.0, "unit": "nm"})
    volumes = {volume.name: volume for volume in tiff.open_volumes([path])}
    assert sorted(volumes) == [f"h_c{c}_t{t}" for c in range(3) for t in range(2)]
    volume = volumes["h_c2_t1"]
    assert volume.voxel_size_zyx_nm == (3.0, 1.0, 1.0)
    assert np.array_equal(volume.read((0, 0, 0), (4, 8, 9)), array[1, :, 2])


@pytest.mark.parametrize("axes", ["TCZYX", "ZTCYX", "CTZYX"])
def test_ome_planes_are_found_in_any_order(tmp_path: Path, axes: str) -> None:
    shape = tuple({"T": 2, "C": 3, "Z": 4, "Y": 8, "X": 9}[axis] for axis in axes)
    array = noise(shape, "uint16")
    sizes = {
        "PhysicalSizeX": 4,
        "PhysicalSizeXUnit": "nm",
        "PhysicalSizeY": 0.004,
        "PhysicalSizeZ": 40,
        "PhysicalSizeZUnit": "\u00c5",
    }
    path = written(tmp_path / "h.ome.tif", array, ome=True, metadata={"axes": axes, **sizes})
    volumes = {volume.name: volume for volume in tiff.open_volumes([path])}
    expected = np.moveaxis(array, [axes.index("C"), axes.index("T"), axes.index("Z")], [0, 1, 2])
    assert len(volumes) == 6
    assert volumes["h_c2_t1"].voxel_size_zyx_nm == (4.0, 4.0, 4.0)
    assert np.array_equal(volumes["h_c2_t1"].read((0, 0, 0), (4, 8, 9)), expected[2, 1])


def ome_parts(folder: Path, array: np.ndarray, axis: str, names: list[str]) -> list[str]:
    """An OME-TIFF of a file a plane, each with the whole description, planes counted along one axis."""
    sizes = {f"Size{one}": 1 for one in "ZCT"} | {f"Size{axis}": len(names)}
    data = "".join(
        f'<TiffData IFD="0" First{axis}="{n}" PlaneCount="1"><UUID FileName="{name}">urn:{n}</UUID></TiffData>'
        for n, name in enumerate(names)
    )
    said = " ".join(f'{key}="{value}"' for key, value in sizes.items())
    pixels = f'<Pixels DimensionOrder="XYZCT" SizeX="5" SizeY="4" {said}>{data}</Pixels>'
    xml = f'<OME UUID="urn:%d"><Image>{pixels}</Image></OME>'
    return sorted(written(folder / name, array[n], description=xml % n, metadata=None) for n, name in enumerate(names))


def test_planes_of_several_files_lie_where_ome_says_and_not_where_their_names_do(tmp_path: Path) -> None:
    """Stage software numbers files as it writes them, not as they lie in z."""
    array = noise((3, 4, 5))
    (volume,) = tiff.open_volumes(ome_parts(tmp_path, array, "Z", ["c.ome.tif", "a.ome.tif", "b.ome.tif"]))
    assert np.array_equal(volume.read((0, 0, 0), volume.shape_zyx), array)


@pytest.mark.parametrize("axis", ["C", "T"])
def test_times_and_channels_of_several_files_are_no_slices(tmp_path: Path, axis: str) -> None:
    array = noise((3, 4, 5))
    volumes = tiff.open_volumes(ome_parts(tmp_path, array, axis, ["a.ome.tif", "b.ome.tif", "c.ome.tif"]))
    assert [volume.name for volume in volumes] == [f"{stem}_{axis.lower()}{n}" for n, stem in enumerate("abc")]
    assert all(np.array_equal(volume.read((0, 0, 0), (1, 4, 5))[0], array[n]) for n, volume in enumerate(volumes))


def test_ome_xml_and_imagej_lines_become_tags(tmp_path: Path) -> None:
    path = written(tmp_path / "a.ome.tif", noise((4, 8, 9)), ome=True, metadata={"axes": "ZYX", "PhysicalSizeX": 4})
    assert by_place(path)["ome", "Image.0.Pixels.0.SizeZ"] == "4"
    path = written(tmp_path / "b.tif", noise((4, 8, 9)), imagej=True, metadata={"axes": "ZYX", "unit": "nm"})
    assert by_place(path)["imagej", "slices"] == "4"


def test_an_ome_plane_without_a_page_is_refused(tmp_path: Path) -> None:
    path = Path(written(tmp_path / "a.ome.tif", noise((4, 8, 9)), ome=True, metadata={"axes": "ZYX"}))
    path.write_bytes(
        path.read_bytes().replace(b'SizeZ="4"', b'SizeZ="5"').replace(b'PlaneCount="4"', b'PlaneCount="5"')
    )
    with pytest.raises(FormatError, match=r"5 planes from page 0.*found 4 pages"):
        tiff.open_volumes([str(path)])


def test_ome_xml_with_entities_is_refused(tmp_path: Path) -> None:
    xml = '<!DOCTYPE x [<!ENTITY a "aaaa">]><OME><Image>&a;</Image></OME>'
    path = written(tmp_path / "a.tif", noise((8, 9)), description=xml, metadata=None)
    with pytest.raises(FormatError, match="DOCTYPE"):
        list(tiff.read_tags(path))


def test_imagej_stacks_above_4_gb_have_one_page(tmp_path: Path) -> None:
    array = noise((5, 6, 7))
    path = Path(
        written(tmp_path / "a.tif", array[:1], description="ImageJ=1.53\nimages=5\nslices=5\nunit=nm\n", metadata=None)
    )
    assert first_offset(path) + array[0].nbytes == path.stat().st_size
    path.write_bytes(path.read_bytes() + array[1:].tobytes())
    assert np.array_equal(whole(str(path)), array)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(FormatError, match="5 planes up to byte"):
        tiff.open_volumes([str(path)])


def test_fewer_pages_than_imagej_promises_are_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "a.tif", noise((3, 6, 7)), description="ImageJ=1.53\nimages=5\nslices=5\n", metadata=None)
    with pytest.raises(FormatError, match=r"5 images expected.*found 3 pages"):
        tiff.open_volumes([path])


@pytest.mark.parametrize(
    ("resolution", "unit", "size"),
    [
        ((1e6, 2e6), "CENTIMETER", (None, 5.0, 10.0)),
        ((2540000, 2540000), "INCH", (None, 10.0, 10.0)),
        ((1, 1), "CENTIMETER", (None, None, None)),
        ((72, 72), "INCH", (None, None, None)),
        ((300, 300), "INCH", (None, None, None)),
        ((93, 64), "INCH", (None, None, None)),
        ((4800, 4800), "INCH", (None, None, None)),
        ((1e6, 1e6), "NONE", (None, None, None)),
    ],
)
def test_a_resolution_counts_where_somebody_measured_it(
    tmp_path: Path, resolution: tuple[float, float], unit: str, size: tuple[float | None, ...]
) -> None:
    path = written(tmp_path / "a.tif", noise((8, 9)), resolution=resolution, resolutionunit=unit, metadata=None)
    assert tiff.open_volumes([path])[0].voxel_size_zyx_nm == size


@pytest.mark.parametrize(
    ("unit", "resolution", "expected"),
    [
        ("inch", (72, 72), (None, None, None)),
        ("cm", (28.3465, 28.3465), (None, None, None)),
        ("cm", (1_250_000, 1_250_000), (50.0, 8.0, 8.0)),
        ("mm", (125, 125), (5.0, 8000.0, 8000.0)),
    ],
    ids=["a screen's inch", "a screen's cm", "cm of a microscope", "a unit that somebody set"],
)
def test_imagej_takes_inch_and_cm_from_screens_as_well(
    tmp_path: Path, unit: str, resolution: tuple[float, float], expected: tuple[float | None, ...]
) -> None:
    """A scan of 72 dots per inch that ImageJ saves again says `unit=inch`: its pixels are not 0.35 mm of tissue."""
    text = f"ImageJ=1.54f\nimages=3\nslices=3\nunit={unit}\nspacing=5e-6\n"
    kind = {"inch": 2, "cm": 3, "mm": 1}[unit]
    path = written(
        tmp_path / "a.tif",
        noise((3, 4, 5)),
        description=text,
        metadata=None,
        resolution=resolution,
        resolutionunit=kind,
    )
    assert tiff.open_volumes([path])[0].voxel_size_zyx_nm == pytest.approx(expected)


def test_pages_that_differ_are_refused_and_thumbnails_left_out(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as writer:
        writer.write(noise((8, 9)), metadata=None)
        writer.write(noise((4, 4)), metadata=None, subfiletype=1)
        writer.write(noise((8, 9)), metadata=None)
    assert tiff.open_volumes([str(path)])[0].shape_zyx == (2, 8, 9)
    with tifffile.TiffWriter(path, append=True) as writer:
        writer.write(noise((8, 10)), metadata=None)
    with pytest.raises(FormatError, match=r"page 0 is \(8, 9\).*page 3 is \(8, 10\)"):
        tiff.open_volumes([str(path)])


@pytest.mark.parametrize(
    ("array", "options", "reason"),
    [
        (noise((8, 9, 3)), {"photometric": "rgb"}, "RGB colour"),
        (noise((8, 9)), {"photometric": "palette", "colormap": np.zeros((3, 256), "u2")}, "palette colour"),
        (noise((8, 9)).astype("complex64"), {}, "complex"),
        (noise((8, 9)) > 60, {}, "uint1 data"),
    ],
    ids=["rgb", "palette", "complex", "1-bit"],
)
def test_colour_complex_and_1_bit_pages_are_refused_by_name(
    tmp_path: Path, array: np.ndarray, options: dict[str, Any], reason: str
) -> None:
    with pytest.raises(UnsupportedDataError, match=rf"a\.tif: page 0 holds {reason}"):
        tiff.open_volumes([written(tmp_path / "a.tif", array, metadata=None, **options)])


def test_tags_of_every_type_are_kept(tmp_path: Path) -> None:
    extra = [
        (65000, "H", 3, (1, 2, 3), False),
        (65001, "d", 1, 2.5, False),
        (65002, "s", 0, "caf\u00e9".encode(), False),
        (65003, "B", 200_000, bytes(200_000), False),
        (65004, "2i", 1, (-1, 3), False),
    ]
    path = written(tmp_path / "a.tif", noise((8, 9)), extratags=extra, metadata=None)
    tags = {tag.path: tag for tag in tiff.read_tags(path)}
    assert (tags["Tag 65000"].value, tags["Tag 65000"].type) == ([1, 2, 3], "SHORT")
    assert (tags["Tag 65001"].value, tags["Tag 65001"].type) == (2.5, "DOUBLE")
    assert tags["Tag 65002"].value == "caf\u00e9"
    assert tags["Tag 65003"].value["size_bytes"] == 200_000
    assert (tags["Tag 65004"].value, tags["Tag 65004"].type) == ([-1, 3], "SRATIONAL")
    assert tags["StripOffsets"].value == [first_offset(path)]


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_page_written_by_hand_is_read(tmp_path: Path, order: str) -> None:
    path = tmp_path / "a.tif"
    path.write_bytes(raw_tiff(grey(), order=order).ljust(200, b"\0") + bytes(range(16)))
    assert whole(str(path)).tolist() == np.arange(16).reshape(1, 4, 4).tolist()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"II*\0\0\0\0\0", "never finished"),
        (b"II*\0\x08\0", "first page's offset"),
        (raw_tiff(grey(), following=8), "loop back to page 0"),
        (raw_tiff(grey(), following=10**6).ljust(216, b"\1"), "page 1"),
        (raw_tiff(grey(at=201)).ljust(216, b"\1"), "strip 0 of 1 is outside the file"),
        (raw_tiff(grey(at=0)).ljust(216, b"\1"), "strip 0 of 1 is missing"),
        (raw_tiff(grey(t279=(4, 1, 15))).ljust(216, b"\1"), "too small"),
        (raw_tiff(grey(t278=(3, 1, 1))).ljust(216, b"\1"), "4 strips expected"),
        (raw_tiff(grey(width=0)).ljust(216, b"\1"), "1 or more"),
        (raw_tiff(grey(t256=(4, 1, 2**31), t257=(4, 1, 2**31))).ljust(216, b"\1"), "cut short"),
        (raw_tiff(grey(t273=(4, 2**31, 8))).ljust(216, b"\1"), "StripOffsets"),
        (raw_tiff(grey(t32997=(3, 1, 4))).ljust(216, b"\1"), "4 images deep"),
        (raw_tiff({256: (3, 1, 4)}), "tag 257 expected"),
    ],
)
def test_a_page_that_contradicts_itself_is_refused(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "bad.tif"
    path.write_bytes(content)
    with pytest.raises(FormatError, match=rf"bad\.tif.*{reason}"):
        tiff.open_volumes([str(path)])


def _plain(path: Path) -> str:
    return written(path, noise((6, 20, 30)), rowsperstrip=4, metadata=None)


def _packed(path: Path) -> str:
    return written(path, noise((6, 20, 30)), compression="zlib", metadata=None)


def _big(path: Path) -> str:
    return written(path, noise((6, 20, 30)), bigtiff=True, byteorder=">", metadata=None)


def _ome(path: Path) -> str:
    return written(path, noise((6, 20, 30)), ome=True, metadata={"axes": "ZYX"})


@pytest.mark.parametrize("write", [_plain, _packed, _big, _ome])
def test_a_truncated_file_is_never_read_silently(tmp_path: Path, write: Callable[[Path], str]) -> None:
    """Some writers pad the end: a cut there loses nothing, so the stack must then be whole."""
    path = Path(write(tmp_path / "cut.tif"))
    complete, voxels = path.read_bytes(), whole(str(path))
    for size in {*range(0, len(complete) - 1, len(complete) // 40), len(complete) - 1}:
        path.write_bytes(complete[:size])
        if len(complete) - size > 64:
            with pytest.raises(FormatError, match=r"cut\.tif"):
                whole(str(path))
            continue
        with suppress(FormatError):
            assert np.array_equal(whole(str(path)), voxels)


def test_real_stacks_cut_short_are_never_read_silently(shared: Path, tmp_path: Path) -> None:
    path = tmp_path / "cut.tif"
    for source in (
        f"{MIRROR}/epfl/volumedata.tif",
        f"{U2OS}xy.tif",
        "data/tiff/test_loading_image_saved_with_DM_stack.tif",
    ):
        complete = (shared / source).read_bytes()
        for size in {*range(0, len(complete) - 100, len(complete) // 30)}:
            path.write_bytes(complete[:size])
            with pytest.raises(FormatError, match=r"cut\.tif"):
                whole(str(path))


def test_damaged_packed_bytes_are_an_error(tmp_path: Path) -> None:
    path = Path(written(tmp_path / "a.tif", noise((64, 64)), compression="zlib", metadata=None))
    at = first_offset(path)
    data = bytearray(path.read_bytes())
    data[at : at + 20] = b"\xff" * 20
    path.write_bytes(data)
    with pytest.raises(FormatError, match="page 0 cannot be decoded"):
        whole(str(path))


def test_many_pages_are_listed_fast(tmp_path: Path) -> None:
    path = written(tmp_path / "a.tif", np.zeros((2000, 4, 4), np.uint8), metadata=None)
    began = time.monotonic()
    assert tiff.open_volumes([path])[0].shape_zyx == (2000, 4, 4)
    assert time.monotonic() - began < 2


def test_flipped_bytes_raise_nothing_but_our_own_errors(tmp_path: Path) -> None:
    path = tmp_path / "flipped.tif"
    rng = np.random.default_rng(1)
    for write in (_plain, _ome, _packed):
        complete = Path(write(tmp_path / "a.tif")).read_bytes()
        for _ in range(100):
            data = bytearray(complete)
            for place in rng.integers(0, 700, 3):
                data[place] = rng.integers(0, 256)
            path.write_bytes(data)
            try:
                for volume in tiff.open_volumes([str(path)]):
                    volume.read((0, 0, 0), (1, 1, 1))
                list(tiff.witnesses(tiff.read_tags(str(path))))
            except EMAssetsError:
                continue
