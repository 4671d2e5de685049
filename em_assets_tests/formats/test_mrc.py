import bz2
import gzip
import json
import struct
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
import pytest

from em_assets.errors import EMAssetsError, FormatError, UnsupportedDataError
from em_assets.formats import mrc
from em_assets.units import to_nm

RNG = np.random.default_rng(7)


def noise(shape: tuple[int, ...], dtype: str = "int16") -> np.ndarray:
    return RNG.integers(0, 100, shape).astype(dtype)


def written(path: Path, array: np.ndarray, voxel_size: float = 13.48) -> Path:
    with mrcfile.new(path, array) as file:
        file.voxel_size = voxel_size
    return path


def patched(path: Path, **fields: tuple[int, str, Any]) -> str:
    """The file with header fields set: byte, struct code (in little-endian), value."""
    data = bytearray(path.read_bytes())
    for at, code, value in fields.values():
        struct.pack_into(f"<{code}", data, at, *(value if isinstance(value, tuple) else (value,)))
    path.write_bytes(data)
    return str(path)


def whole(path: Path | str) -> np.ndarray:
    (volume,) = mrc.open_volumes([str(path)])
    return volume.read((0, 0, 0), volume.shape_zyx)


def header(path: Path | str) -> dict[str, Any]:
    return {tag.path: tag.value for tag in mrc.read_tags(str(path)) if tag.container == "header"}


REAL = [
    "derived/fib25.mrc",
    "mrc/Custom_movie.mrc",
    "mrc/EMD-3197.map",
    "mrc/HAADFscan.mrc",
    "mrc/input_mrc.mrc",
    "mrc/signed_ints.mrc",
    "mrc/temp.mrc",
    "mrc/unsigned_ints.mrc",
]


@pytest.mark.parametrize("name", REAL)
def test_a_real_file_gives_what_independent_readers_agree_on(shared: Path, name: str) -> None:
    agreed = json.loads((shared / "data/expected.json").read_text())[name]["agreed"]
    (volume,) = mrc.open_volumes([str(shared / "data" / name)])
    voxels = volume.read((0, 0, 0), volume.shape_zyx)
    assert list(volume.shape_zyx) == agreed.get("shape", [1, 16, 16])
    assert str(volume.dtype) == agreed.get("dtype", "int8")
    assert f"{zlib.crc32(voxels.tobytes()):08x}" == agreed["crc32"]
    angstrom = agreed.get("voxel A (x,y,z sorted)")
    if angstrom:
        assert sorted(volume.voxel_size_zyx_nm) == pytest.approx([size / 10 for size in angstrom], rel=1e-4)


def test_axes_that_are_stored_in_another_order_are_turned_to_z_y_x(shared: Path) -> None:
    """MAPC, MAPR, MAPS are 3, 1, 2: columns run along z, rows along x. Other readers hand the array out as it lies."""
    path = str(shared / "data/mrc/EMD-3001.map")
    with mrcfile.open(path, permissive=True) as file:
        stored = file.data.copy()
    (volume,) = mrc.open_volumes([path])
    expected = stored.transpose(2, 0, 1)
    assert volume.shape_zyx == expected.shape == (73, 25, 43)
    assert np.array_equal(whole(path), expected)
    assert np.array_equal(volume.read((5, 2, 7), (9, 3, 1)), expected[5:14, 2:5, 7:8])
    assert volume.voxel_size_zyx_nm == pytest.approx((3.303 / 72, 0.471 / 12, 1.793 / 40), rel=1e-5)


def test_a_cell_of_zero_or_below_is_no_voxel_size(shared: Path) -> None:
    """Direct Electron's programs write cells that count backwards."""
    path = str(shared / "data/mrc/Custom_movie.mrc")
    assert mrc.open_volumes([path])[0].voxel_size_zyx_nm == (None, None, None)
    said = [w for w in mrc.witnesses(mrc.read_tags(path)) if w.field.startswith("voxel")]
    assert [(w.field, to_nm(w.value, w.unit)) for w in said] == [("voxel_size_x_nm", None), ("voxel_size_y_nm", None)]
    (scan,) = mrc.open_volumes([str(shared / "data/mrc/HAADFscan.mrc")])
    assert scan.voxel_size_zyx_nm == (None, pytest.approx(5.679131), pytest.approx(5.679131))


def test_an_extended_header_is_described(shared: Path) -> None:
    found = {(tag.container, tag.path): tag.value for tag in mrc.read_tags(str(shared / "data/mrc/HAADFscan.mrc"))}
    assert found["extended_header", "type"] == "FEI2"
    assert found["extended_header", "size_bytes"] == 909312
    found = {(tag.container, tag.path): tag.value for tag in mrc.read_tags(str(shared / "data/mrc/EMD-3001.map"))}
    assert len(found["extended_header", "hex"]) == 320


@pytest.mark.parametrize("name", ["derived/fib25.mrc", "mrc/temp.mrc", "mrc/EMD-3001.map", "mrc/emd_3197.map.gz"])
def test_a_map_is_known_by_its_first_bytes(shared: Path, name: str) -> None:
    path = shared / "data" / name
    with path.open("rb") as file:
        assert mrc.matches(file.read(4096), path.name)


@pytest.mark.parametrize(
    "head", [b"", b"some text " * 200, bytes(4096), b"\x1f\x8b" + bytes(4000), b"II*\0" + bytes(4092)]
)
def test_other_bytes_are_no_map_whatever_their_name(head: bytes) -> None:
    assert not mrc.matches(head, "a.mrc")
    assert not mrc.matches(head, "a.mrc.gz")


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("dtype", ["int8", "int16", "uint16", "float16", "float32"])
def test_all_modes_and_byte_orders_give_the_same_voxels(tmp_path: Path, order: str, dtype: str) -> None:
    array = noise((3, 4, 5), dtype)
    path = written(tmp_path / "a.mrc", array.astype(np.dtype(dtype).newbyteorder(order)))
    (volume,) = mrc.open_volumes([str(path)])
    assert volume.dtype == np.dtype(dtype)
    assert volume.dtype.isnative
    assert volume.voxel_size_zyx_nm == pytest.approx((1.348, 1.348, 1.348))
    assert np.array_equal(volume.read((1, 2, 1), (2, 2, 3)), array[1:, 2:, 1:4])
    assert header(path)["mx"] == 5


def test_a_wrong_machine_stamp_is_seen_through(tmp_path: Path) -> None:
    array = noise((3, 4, 5))
    path = patched(written(tmp_path / "a.mrc", array), stamp=(212, "4B", (0x11, 0x11, 0, 0)))
    assert np.array_equal(whole(path), array)


@pytest.mark.parametrize(("flags", "dtype"), [(0, "uint8"), (1, "int8")])
def test_imod_says_whether_its_bytes_have_a_sign(tmp_path: Path, flags: int, dtype: str) -> None:
    path = patched(
        written(tmp_path / "a.mrc", noise((3, 4, 5), "int8")), stamp=(152, "i", 1146047817), flags=(156, "i", flags)
    )
    assert mrc.open_volumes([path])[0].dtype == np.dtype(dtype)
    assert header(path)["imod_flags"] == flags


@pytest.mark.parametrize(
    ("version", "least", "greatest", "dtype"),
    [(0, 0, 255, "uint8"), (0, 0, 127, "int8"), (0, -3, 200, "int8"), (20140, 0, 255, "int8"), (0, 0, -1, "int8")],
    ids=["old and beyond", "old and within", "contradicts itself", "says MRC2014", "no statistics"],
)
def test_statistics_of_an_old_header_say_whether_its_bytes_have_a_sign(
    tmp_path: Path, version: int, least: float, greatest: float, dtype: str
) -> None:
    """Programs before 2014 wrote unsigned bytes in mode 0: read with a sign, the bright half would turn black."""
    path = patched(
        written(tmp_path / "a.mrc", noise((3, 4, 5), "int8")),
        nversion=(108, "i", version),
        dmin=(76, "f", least),
        dmax=(80, "f", greatest),
    )
    assert mrc.open_volumes([path])[0].dtype == np.dtype(dtype)


def test_a_stack_of_images_has_no_z_step(tmp_path: Path) -> None:
    path = patched(written(tmp_path / "a.mrc", noise((3, 4, 5))), ispg=(88, "i", 0), mz=(36, "i", 1))
    assert mrc.open_volumes([path])[0].voxel_size_zyx_nm == (None, pytest.approx(1.348), pytest.approx(1.348))


def test_a_stack_of_volumes_is_several(tmp_path: Path) -> None:
    array = noise((6, 4, 5))
    path = patched(written(tmp_path / "a.mrc", array), ispg=(88, "i", 401), mz=(36, "i", 3))
    first, second = mrc.open_volumes([path])
    assert (first.name, second.name) == ("a_v0", "a_v1")
    assert np.array_equal(second.read((0, 0, 0), (3, 4, 5)), array[3:])
    assert {w.field: w.value for w in mrc.witnesses(mrc.read_tags(path))}["shape_zyx"] == [3, 4, 5]


def test_labels_and_fields_become_tags_and_witnesses(tmp_path: Path) -> None:
    path = written(tmp_path / "a.mrc", noise((3, 4, 5)))
    with mrcfile.open(path, "r+") as file:
        file.add_label("aligned by hand")
    assert any("aligned by hand" in str(value) for name, value in header(path).items() if name.startswith("label."))
    found = {w.field: (w.value, w.unit) for w in mrc.witnesses(mrc.read_tags(str(path)))}
    assert found["voxel_size_z_nm"] == (pytest.approx(13.48), "\u00c5")
    assert found["shape_zyx"] == ([3, 4, 5], None)
    assert found["dtype"] == ("int16", None)


@pytest.mark.parametrize(("suffix", "pack"), [(".gz", gzip.compress), (".bz2", bz2.compress)])
def test_a_packed_map_is_read_and_a_cut_or_padded_one_is_not(tmp_path: Path, suffix: str, pack: Any) -> None:
    array = noise((6, 40, 50))
    plain = written(tmp_path / "a.mrc", array).read_bytes()
    path = tmp_path / f"a.mrc{suffix}"
    path.write_bytes(pack(plain))
    assert mrc.matches(path.read_bytes()[:4096], path.name)
    assert mrc.open_volumes([str(path)])[0].name == "a"
    assert np.array_equal(whole(path), array)
    packed = path.read_bytes()
    for size in range(0, len(packed) - 1, len(packed) // 30):
        path.write_bytes(packed[:size])
        with pytest.raises(FormatError, match=r"a\.mrc"):
            whole(path)
    path.write_bytes(pack(plain + b"more"))
    with pytest.raises(FormatError, match="unpacks to more"):
        whole(path)


def test_a_packed_map_is_read_by_many_threads_at_once(tmp_path: Path) -> None:
    array = noise((40, 50, 60), "int16")
    path = tmp_path / "a.mrc.gz"
    path.write_bytes(gzip.compress(written(tmp_path / "a.mrc", array).read_bytes()))
    (volume,) = mrc.open_volumes([str(path)])
    with ThreadPoolExecutor(8) as pool:
        planes = list(pool.map(lambda z: volume.read((z, 3, 4), (1, 40, 50)), range(40)))
    assert np.array_equal(np.concatenate(planes), array[:, 3:43, 4:54])


def test_a_bomb_is_unpacked_no_further_than_declared(tmp_path: Path) -> None:
    path = tmp_path / "a.mrc.gz"
    path.write_bytes(gzip.compress(written(tmp_path / "a.mrc", noise((3, 4, 5))).read_bytes() + bytes(300_000_000), 1))
    with pytest.raises(FormatError, match="1144 bytes declared"):
        whole(path)


@pytest.mark.parametrize(("mode", "reason"), [(3, "complex"), (4, "complex"), (16, "RGB colour"), (101, "4-bit")])
def test_what_is_no_volume_is_refused_by_name(tmp_path: Path, mode: int, reason: str) -> None:
    with pytest.raises(UnsupportedDataError, match=reason):
        mrc.open_volumes([patched(written(tmp_path / "a.mrc", noise((3, 4, 5))), mode=(12, "i", mode))])


def test_a_truncated_file_is_never_read_silently(tmp_path: Path) -> None:
    path = written(tmp_path / "cut.mrc", noise((6, 20, 30)))
    complete = path.read_bytes()
    for size in {*range(0, len(complete) - 1, len(complete) // 40), len(complete) - 1}:
        path.write_bytes(complete[:size])
        with pytest.raises(FormatError, match=r"cut\.mrc"):
            mrc.open_volumes([str(path)])


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "zero bytes"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3\n", "git-LFS"),
        (b"some text " * 200, "text that start"),
        (bytes(2000), "bytes that start"),
    ],
)
def test_a_file_that_is_no_map_is_refused(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "bad.mrc"
    path.write_bytes(content)
    with pytest.raises(FormatError, match=rf"bad\.mrc: an MRC header.*{reason}"):
        mrc.open_volumes([str(path)])


@pytest.mark.parametrize(
    "field",
    [(0, "i", 0), (4, "i", -3), (12, "i", 9), (64, "3i", (1, 1, 3)), (92, "i", -8)],
    ids=["nx", "ny", "mode", "axes", "nsymbt"],
)
def test_a_header_that_makes_no_sense_is_refused(tmp_path: Path, field: tuple[int, str, Any]) -> None:
    with pytest.raises(FormatError, match="an MRC header expected"):
        mrc.open_volumes([patched(written(tmp_path / "a.mrc", noise((3, 4, 5))), field=field)])


def test_an_extended_header_beyond_the_file_is_refused(tmp_path: Path) -> None:
    path = patched(written(tmp_path / "a.mrc", noise((3, 4, 5))), nsymbt=(92, "i", 5000))
    with pytest.raises(FormatError, match=r"a\.mrc"):
        list(mrc.read_tags(path))
    with pytest.raises(FormatError, match="the last of 3 sections"):
        mrc.open_volumes([path])


def test_2d_maps_are_slices_of_one_volume(tmp_path: Path) -> None:
    array = noise((3, 4, 5))
    paths = [str(written(tmp_path / f"s_{z}.mrc", array[z])) for z in range(3)]
    (volume,) = mrc.open_volumes(paths)
    assert volume.name == "s"
    assert np.array_equal(volume.read((1, 0, 2), (2, 4, 3)), array[1:, :, 2:])


def test_flipped_bytes_raise_nothing_but_our_own_errors(tmp_path: Path) -> None:
    complete = written(tmp_path / "a.mrc", noise((3, 4, 5))).read_bytes()
    rng = np.random.default_rng(1)
    path = tmp_path / "flipped.mrc"
    for _ in range(300):
        data = bytearray(complete)
        for place in rng.integers(0, 230, 3):
            data[place] = rng.integers(0, 256)
        path.write_bytes(data)
        try:
            for volume in mrc.open_volumes([str(path)]):
                volume.read((0, 0, 0), volume.shape_zyx)
            list(mrc.witnesses(mrc.read_tags(str(path))))
        except EMAssetsError:
            continue
