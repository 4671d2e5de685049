import io
import json
import struct
import time
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from em_assets.errors import EMAssetsError, FormatError, UnsupportedDataError, UsageError
from em_assets.formats import dm

MIRROR = "data/mirror_s005"
DATA_TYPES = {
    "int16": (1, 2),
    "float32": (2, 6),
    "uint8": (6, 10),
    "uint16": (10, 4),
    "rgb": (23, 3),
    "complex64": (3, 3),
}
SIMPLE = {2: "h", 3: "i", 4: "H", 5: "I", 6: "f", 7: "d", 8: "?", 10: "B"}

Node = tuple[str | None, Any]


class Payload:
    """A value with its declared type; `data` is in the file's byte order."""

    def __init__(self, info: Sequence[int], data: bytes) -> None:
        self.info, self.data = info, data


def simple(kind: int, value: float) -> Callable[[str], Payload]:
    return lambda order: Payload([kind], struct.pack(order + SIMPLE[kind], value))


def text(value: str) -> Callable[[str], Payload]:
    return lambda order: Payload([20, 4, len(value)], value.encode("utf-16-le" if order == "<" else "utf-16-be"))


def pixels(array: np.ndarray, element: int) -> Callable[[str], Payload]:
    return lambda order: Payload([20, element, array.size], array.astype(array.dtype.newbyteorder(order)).tobytes())


def dm_bytes(nodes: list[Node], version: int = 3, order: str = "<") -> bytes:
    """A DM file of these nodes: a list is a group, anything else makes a payload."""
    count = ">i" if version == 3 else ">q"

    def group(items: list[Node]) -> bytes:
        out = bytearray(b"\1\0" + struct.pack(count, len(items)))
        for name, item in items:
            encoded = (name or "").encode("latin-1")
            is_group = isinstance(item, list)
            body = group(item) if is_group else value(item(order))
            size = struct.pack(">q", len(body)) if version == 4 else b""
            out += struct.pack(">BH", 20 if is_group else 21, len(encoded)) + encoded + size + body
        return bytes(out)

    def value(payload: Payload) -> bytes:
        info = b"".join(struct.pack(count, number) for number in payload.info)
        return b"%%%%" + struct.pack(count, len(payload.info)) + info + payload.data

    tree = group(nodes)
    head = struct.pack(">i", version) + struct.pack(count, len(tree) + 4) + struct.pack(">i", int(order == "<"))
    return head + tree + bytes(8)


def image(array: np.ndarray, kind: str, scales: Sequence[tuple[float, str]], tags: list[Node] | None = None) -> Node:
    data_type, element = DATA_TYPES[kind]
    axes = [(None, [("Scale", simple(6, scale)), ("Units", text(unit))]) for scale, unit in scales]
    data = [
        ("Calibrations", [("Dimension", axes)]),
        ("Data", pixels(array, element)),
        ("DataType", simple(5, data_type)),
        ("Dimensions", [(None, simple(5, size)) for size in array.shape[::-1]]),
    ]
    return (None, [("ImageData", data), ("ImageTags", tags or [])])


def thumbnail() -> Node:
    return image(np.zeros((4, 4), np.int32), "rgb", [(1, ""), (1, "")])


def dm_file(path: Path, images: list[Node], version: int = 3, order: str = "<", thumbnails: bool = True) -> str:
    nodes: list[Node] = [("ImageList", images)]
    if thumbnails:
        nodes.append(("Thumbnails", [(None, [("ImageIndex", simple(5, 0))])]))
    path.write_bytes(dm_bytes(nodes, version, order))
    return str(path)


def slice_tags(thickness: float | None = 50.0, dimension: float | None = 50.0) -> list[Node]:
    record: list[Node] = [("Approach", [("Slice thickness", simple(6, 200))])]
    if thickness is not None:
        record.append(("Record", [("Slice thickness", simple(6, thickness))]))
    tags: list[Node] = [("SBFSEM", record)]
    if dimension is not None:
        info = [("2", [("Scale", simple(6, dimension)), ("Units", text("nm"))])]
        tags.append(("Meta Data", [("Dimension info", info)]))
    return tags


def ramp(shape: tuple[int, ...], dtype: str = "uint8") -> np.ndarray:
    return (np.arange(np.prod(shape)) * 7 % 251).reshape(shape).astype(dtype)


def write_slice(path: Path, array: np.ndarray, tags: list[Node] | None = None) -> str:
    scales = [(0.008, "\u00b5m"), (0.008, "\u00b5m")]
    return dm_file(path, [thumbnail(), image(array, str(array.dtype), scales, slice_tags() if tags is None else tags)])


@pytest.mark.parametrize("number", range(16))
def test_every_tag_of_the_golden_dump_is_found(shared: Path, number: int) -> None:
    """The dumps are another program's; it drops struct tags and empty groups, so there are fewer of them than ours."""
    name = f"F57-8_test1_3VBSED_slice_{number:04d}"
    golden = json.loads((shared / MIRROR / f"expected/empiar_11759_metadata/{name}_dm3_metadata.json").read_text())
    ours = dm.read_tags(str(shared / MIRROR / f"empiar/world_availability/11759/data/{name}.dm3"))
    found = {f"root.{tag.path}": str(tag.value) for tag in ours}
    expected = golden["full_original_tags"]
    assert {path: found.get(path) for path in expected} == expected


def test_slices_are_one_volume_with_its_z_step_from_the_tags(shared: Path) -> None:
    files = sorted((shared / MIRROR / "empiar/world_availability/11759/data").glob("*.dm3"))
    (volume,) = dm.open_volumes([str(file) for file in files])
    assert volume.name == "F57-8_test1_3VBSED_slice"
    assert volume.shape_zyx == (16, 275, 275)
    assert volume.voxel_size_zyx_nm == (50.0, 7.998250424861908, 7.998250424861908)
    one = dm.open_volumes([str(files[3])])[0]
    assert np.array_equal(volume.read((3, 5, 7), (1, 20, 30)), one.read((0, 5, 7), (1, 20, 30)))


def test_all_witnesses_of_a_z_step_are_given_and_trimming_is_none(shared: Path) -> None:
    file = shared / MIRROR / "empiar/world_availability/11759/data/F57-8_test1_3VBSED_slice_0000.dm3"
    found = [(witness.field, witness.value, witness.unit) for witness in dm.witnesses(dm.read_tags(str(file)))]
    assert found.count(("voxel_size_z_nm", 50.0, "nm")) == 2
    assert 200.0 not in [value for _, value, _ in found]
    assert ("voxel_size_x_nm", 0.007998250424861908, "\u00b5m") in found
    assert ("instrument", "FEI Quanta", None) in found
    assert ("accelerating_voltage_kv", 1.9, "kV") in found
    assert ("acquired_at", "2018-06-11T20:27:16+00:00", None) in found


REAL = [
    "dm3/Fei HAADF-UK_location.dm3",
    "dm3/dmTest_3D_int16_64,65,66.dm3",
    "dm3/multi_signal.dm3",
    "dm3/test-1.dm3",
    "dm3/test-10.dm3",
    "dm3/test-2.dm3",
    "dm3/test-6.dm3",
    "dm3/test_STEM_image.dm3",
    "dm3/test_diffraction_pattern.dm3",
    "dm3/test_dm_image_um_unit.dm3",
    "dm3/test_stackbuilder_imagestack.dm3",
    "dm4/dmTest_float32_nonSquare_diffPixelSize.dm4",
    "dm4/test-10.dm4",
    "dm4/test-12.dm4",
    "dm4/test-6.dm4",
]


@pytest.mark.parametrize("name", REAL)
def test_a_real_file_gives_what_independent_readers_agree_on(shared: Path, name: str) -> None:
    agreed = json.loads((shared / "data/expected.json").read_text())[name]["agreed"]
    (volume,) = dm.open_volumes([str(shared / "data" / name)])
    voxels = volume.read((0, 0, 0), volume.shape_zyx)
    shape = agreed["shape (singletons kept)"]
    assert list(volume.shape_zyx) == [1, *shape][-3:]
    assert str(volume.dtype) == agreed["dtype"]
    assert f"{zlib.crc32(voxels.tobytes()):08x}" == agreed["crc32"]
    sizes = volume.voxel_size_zyx_nm[3 - len(shape) :]
    expected = agreed.get("voxel nm, in array order", [None, 59.983, 59.983])
    assert list(sizes) == [None if size is None else pytest.approx(size, rel=5e-3) for size in expected]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("dm3/08_carbon.dm3", "spectrum"),
        ("dm3/test-23.dm3", "RGB colour"),
        ("dm4/test_fft_packed_complex8.dm4", "packed complex"),
    ],
)
def test_what_is_no_volume_is_refused_by_name(shared: Path, name: str, reason: str) -> None:
    with pytest.raises(UnsupportedDataError, match=reason):
        dm.open_volumes([str(shared / "data" / name)])


@pytest.mark.parametrize("version", [3, 4])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "float32"])
def test_both_versions_and_byte_orders_give_the_same_voxels(
    tmp_path: Path, version: int, order: str, dtype: str
) -> None:
    array = ramp((3, 4, 5), dtype)
    path = dm_file(
        tmp_path / "a.dm", [thumbnail(), image(array, dtype, [(3, "pm"), (2, "nm"), (1, "\u00b5m")])], version, order
    )
    (volume,) = dm.open_volumes([path])
    assert volume.dtype == np.dtype(dtype)
    assert volume.dtype.isnative
    assert volume.voxel_size_zyx_nm == (1000.0, 2.0, 0.003)
    assert np.array_equal(volume.read((1, 1, 2), (2, 3, 2)), array[1:3, 1:4, 2:4])
    assert dm.matches(Path(path).read_bytes()[:4096], "a.dm")


def test_unnamed_tags_structs_arrays_and_empty_groups_are_kept(tmp_path: Path) -> None:
    nodes: list[Node] = [
        ("Colour", lambda order: Payload([15, 0, 2, 0, 2, 0, 6], struct.pack(f"{order}hf", -1, 0.5))),
        ("Few", lambda order: Payload([20, 7, 2], struct.pack(f"{order}2d", 1.5, 2.5))),
        ("Many", lambda order: Payload([20, 10, 300], bytes(300))),
        ("List", [(None, []), ("Named", simple(3, -4)), (None, text("\u00b5m \u20ac"))]),
    ]
    path = tmp_path / "a.dm3"
    path.write_bytes(dm_bytes(nodes))
    found = {tag.path: (tag.value, tag.type) for tag in dm.read_tags(str(path))}
    assert found["Colour"] == ([-1, 0.5], "struct(int16, float32)")
    assert found["Few"] == ([1.5, 2.5], "array(float64, 2)")
    assert found["Few.Size"][0] == 16
    assert found["Many.Size"] == (300, "array(uint8, 300)")
    assert "Many" not in found
    assert found["List.0"] == (None, "group")
    assert found["List.Named"] == (-4, "int32")
    assert found["List.2"] == ("\u00b5m \u20ac", "utf-16 text")


def test_the_offset_of_an_array_is_where_its_bytes_are(tmp_path: Path) -> None:
    path = Path(write_slice(tmp_path / "a.dm3", ramp((4, 5))))
    found = {tag.path: tag.value for tag in dm.read_tags(str(path))}
    offset, size = (found[f"ImageList.1.ImageData.Data.{name}"] for name in ("Offset", "Size"))
    assert path.read_bytes()[offset : offset + size] == ramp((4, 5)).tobytes()


def test_reading_tags_reads_no_pixels(tmp_path: Path) -> None:
    """The pixels are a hole in a sparse file of 3 GB: reading them would take seconds and memory."""
    whole = dm_bytes([("ImageList", [image(np.zeros((1, 1), np.uint8), "uint8", [(1, "nm")])])])
    info = struct.pack(">3i", 20, 10, 1)
    at = whole.index(info) + 12
    path = tmp_path / "big.dm3"
    with path.open("wb") as file:
        file.write(whole[: at - 4] + struct.pack(">i", 2**31 - 1))
        file.seek(2**31 - 1, io.SEEK_CUR)
        file.write(whole[at + 1 :])
    began = time.monotonic()
    found = {tag.path: tag.value for tag in dm.read_tags(str(path))}
    assert found["ImageList.0.ImageData.Data.Size"] == 2**31 - 1
    assert time.monotonic() - began < 1


@pytest.mark.parametrize(
    ("tags", "z"),
    [
        (slice_tags(), 50.0),
        (slice_tags(dimension=None), 50.0),
        (slice_tags(thickness=None), 50.0),
        (slice_tags(thickness=None, dimension=None), None),
        (slice_tags(thickness=60.0, dimension=50.0), None),
    ],
    ids=["both", "thickness", "dimension info", "neither, trimming is none", "in dispute"],
)
def test_the_z_step_of_a_slice_is_what_its_tags_agree_on(tmp_path: Path, tags: list[Node], z: float | None) -> None:
    (volume,) = dm.open_volumes([write_slice(tmp_path / "a.dm3", ramp((4, 5)), tags)])
    assert volume.voxel_size_zyx_nm[0] == z


def test_slices_that_differ_in_shape_or_type_are_refused_by_name(tmp_path: Path) -> None:
    first = write_slice(tmp_path / "s_1.dm3", ramp((4, 5)))
    with pytest.raises(FormatError, match=r"s_1\.dm3 is 4 × 5.*s_2\.dm3 is 4 × 6"):
        dm.open_volumes([first, write_slice(tmp_path / "s_2.dm3", ramp((4, 6)))])
    with pytest.raises(FormatError, match=r"uint8.*uint16"):
        dm.open_volumes([first, write_slice(tmp_path / "s_3.dm3", ramp((4, 5), "uint16"))])


def test_slices_that_differ_in_their_z_step_have_none(tmp_path: Path) -> None:
    first = write_slice(tmp_path / "s_1.dm3", ramp((4, 5)))
    second = write_slice(tmp_path / "s_2.dm3", ramp((4, 5)), slice_tags(60.0, 60.0))
    (volume,) = dm.open_volumes([first, second])
    assert volume.voxel_size_zyx_nm == (None, pytest.approx(8), pytest.approx(8))


def test_an_rgb_thumbnail_that_nobody_declared_is_left_out(tmp_path: Path) -> None:
    data = image(ramp((4, 5)), "uint8", [(2, "nm"), (3, "nm")])
    path = dm_file(tmp_path / "a.dm3", [thumbnail(), data], thumbnails=False)
    assert [volume.name for volume in dm.open_volumes([path])] == ["a"]
    assert [w.value for w in dm.witnesses(dm.read_tags(path)) if w.field.startswith("voxel")] == [2.0, 3.0]


def test_two_images_are_two_volumes(tmp_path: Path) -> None:
    images = [image(ramp((4, 5)), "uint8", [(2, "nm"), (3, "nm")]) for _ in range(2)]
    path = dm_file(tmp_path / "a.dm3", [thumbnail(), *images])
    assert [volume.name for volume in dm.open_volumes([path])] == ["a_1", "a_2"]


@pytest.mark.parametrize("version", [3, 4])
def test_a_truncated_file_is_never_read_silently(tmp_path: Path, version: int) -> None:
    """The 8 zero bytes behind the tags may be gone as a whole: nothing is lost with them."""
    whole = Path(
        dm_file(tmp_path / "a", [thumbnail(), image(ramp((40, 50)), "uint8", [(1, "nm")] * 2)], version)
    ).read_bytes()
    path = tmp_path / "cut.dm3"
    for size in {*range(0, len(whole) - 9, len(whole) // 40), len(whole) - 9, len(whole) - 7, len(whole) - 1}:
        path.write_bytes(whole[:size])
        with pytest.raises(FormatError, match=r"cut\.dm3"):
            list(dm.read_tags(str(path)))
        with pytest.raises(FormatError, match=r"cut\.dm3"):
            dm.open_volumes([str(path)])


def test_a_file_that_shrinks_after_it_was_opened_is_an_error_and_no_crash(tmp_path: Path) -> None:
    path = Path(write_slice(tmp_path / "a.dm3", ramp((40, 50))))
    (volume,) = dm.open_volumes([str(path)])
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(FormatError, match="plane 0"):
        volume.read((0, 0, 0), (1, 40, 50))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "zero bytes"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3\n", "git-LFS"),
        (b"just some text in a file", "text"),
        (struct.pack(">3i", 3, 10**9, 1) + bytes(20), "cut short"),
        (struct.pack(">3i", 3, 20, 7) + bytes(20), "byte order"),
        (struct.pack(">3i", 3, 9, 1) + b"\0\0" + struct.pack(">i", 10**8), "a group of"),
        (struct.pack(">3i", 3, 20, 1) + b"\0\0" + struct.pack(">i", -1) + bytes(9), "a group of"),
        (struct.pack(">3i", 3, 20, 1) + b"\0\0" + struct.pack(">i", 1) + b"\7\0\0" + bytes(20), "20 or 21"),
        (dm_bytes([("a", lambda order: Payload([20, 10, 2**31 - 1], b"abc"))]), "cut short"),
        (dm_bytes([("a", lambda order: Payload([20, 10, -5], b"abc"))]), "known type"),
        (dm_bytes([("a", lambda order: Payload([99], b"abc"))]), "known type"),
        (dm_bytes([("a", lambda order: Payload([2, 2], b"abc"))]), "a type of 1 numbers"),
        (dm_bytes([("a", lambda order: Payload([20] * 40, b"abc"))]), "known type"),
        (dm_bytes([]), "found none"),
    ],
)
def test_a_file_that_is_no_dm_or_contradicts_itself_is_refused(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "bad.dm3"
    path.write_bytes(content)
    with pytest.raises(FormatError, match=rf"bad\.dm3.*{reason}"):
        dm.open_volumes([str(path)])


def test_a_payload_that_contradicts_its_shape_is_refused(tmp_path: Path) -> None:
    bad = image(ramp((4, 5)), "uint8", [(1, "nm")] * 2)
    bad[1][0][1][3] = ("Dimensions", [(None, simple(5, 50)), (None, simple(5, 4))])
    with pytest.raises(FormatError, match="200 bytes expected at byte"):
        dm.open_volumes([dm_file(tmp_path / "a.dm3", [bad], thumbnails=False)])


def test_eighty_thousand_empty_groups_are_read_at_once(tmp_path: Path) -> None:
    """A reader in use hangs on such a file."""
    path = tmp_path / "groups.dm3"
    path.write_bytes(dm_bytes([(None, []) for _ in range(80_000)]))
    began = time.monotonic()
    assert sum(1 for tag in dm.read_tags(str(path)) if tag.type == "group") == 80_000
    assert time.monotonic() - began < 3


def test_groups_nested_without_end_are_refused(tmp_path: Path) -> None:
    nodes: list[Node] = [("v", simple(3, 1))]
    for _ in range(100):
        nodes = [("g", nodes)]
    path = tmp_path / "deep.dm3"
    path.write_bytes(dm_bytes(nodes))
    with pytest.raises(FormatError, match=r"deep\.dm3.*64 deep"):
        list(dm.read_tags(str(path)))


def test_a_missing_file_is_the_callers_mistake(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="found nothing"):
        dm.open_volumes([str(tmp_path / "none.dm3")])


def test_flipped_bytes_raise_nothing_but_our_own_errors(tmp_path: Path) -> None:
    whole = Path(write_slice(tmp_path / "a.dm3", ramp((4, 5)))).read_bytes()
    rng = np.random.default_rng(1)
    path = tmp_path / "flipped.dm3"
    for _ in range(300):
        data = bytearray(whole)
        for place in rng.integers(0, len(whole), 3):
            data[place] = rng.integers(0, 256)
        path.write_bytes(data)
        try:
            for volume in dm.open_volumes([str(path)]):
                volume.read((0, 0, 0), volume.shape_zyx)
            list(dm.witnesses(dm.read_tags(str(path))))
        except EMAssetsError:
            continue
