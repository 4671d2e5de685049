"""What breaks off inside of a file of the right size: pictures without their end, segments of too few pixels."""

import gzip
import io
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile

from em_assets.errors import FormatError
from em_assets.formats import open_path
from em_assets.formats.limited import Limits, call_limited
from em_assets_tests.formats.mutant_seeds import TEXTURED, write_precomputed, write_zarr_v2, write_zarr_v3

TIGHT = Limits(memory_bytes=10**9, cpu_s=20, wall_s=60)
READER = "em_assets_tests.formats.mutant_reading:read"


@pytest.fixture(scope="module")
def jpeg_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A precomputed volume of JPEG chunk files."""
    folder = tmp_path_factory.mktemp("precomputed")
    write_precomputed(folder)
    return folder / "jpeg"


@pytest.mark.parametrize("n_lost", [1, 2, 3, 100])
@pytest.mark.parametrize("is_packed", [False, True], ids=["plain", "gzip"])
def test_a_jpeg_chunk_without_its_end_is_no_grey(jpeg_tree: Path, n_lost: int, is_packed: bool) -> None:
    """Libjpeg paints what is missing; two bytes fewer even give the same pixels, and still the file is not whole."""
    chunk = sorted((jpeg_tree / "8_8_30").iterdir())[0]
    packed = chunk.with_name(f"{chunk.name}.gz")
    whole = chunk.read_bytes()
    try:
        chunk.write_bytes(whole[:-n_lost])
        if is_packed:
            packed.write_bytes(gzip.compress(chunk.read_bytes()))
            chunk.unlink()
        (volume,) = open_path(jpeg_tree)
        with pytest.raises(FormatError, match=r"FF D9.*cut short"):
            volume.read((0, 0, 0), volume.shape_zyx)
    finally:
        packed.unlink(missing_ok=True)
        chunk.write_bytes(whole)


@pytest.mark.parametrize("n_lost", [2, 40])
def test_a_jpeg_tile_without_its_end_is_an_error_of_its_page(tmp_path: Path, n_lost: int) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, TEXTURED, photometric="minisblack", compression="jpeg", tile=(16, 32))
    assert np.abs(open_path(path)[0].read((0, 0, 0), TEXTURED.shape).astype(int) - TEXTURED).mean() < 40
    with tifffile.TiffFile(path) as tif:
        end = tif.pages[1].dataoffsets[3] + tif.pages[1].databytecounts[3]
    data = bytearray(path.read_bytes())
    data[end - n_lost : end] = bytes(n_lost)
    path.write_bytes(data)
    (volume,) = open_path(path)
    volume.read((0, 0, 0), (1, 40, 48))
    with pytest.raises(FormatError, match=r"segment 3 of page 1: the end of a JPEG"):
        volume.read((1, 0, 0), (1, 40, 48))


@pytest.mark.parametrize("compression", ["zlib", "lzw", "packbits", "zstd", "lzma"])
def test_a_strip_that_unpacks_to_fewer_pixels_is_an_error(tmp_path: Path, compression: str) -> None:
    """The strip of a thumbnail, which is left out, in the place of the image's: whole in itself, and too short."""
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as tif:
        for rows, kind in ((40, 0), (20, 1)):
            tif.write(
                TEXTURED[0, :rows], photometric="minisblack", compression=compression, rowsperstrip=40, subfiletype=kind
            )
    with tifffile.TiffFile(path) as tif:
        high, low = tif.pages[0].tags, tif.pages[1].tags
        places = [(high[number].valueoffset, low[number].value[0]) for number in (273, 279)]
    data = bytearray(path.read_bytes())
    for place, value in places:
        data[place : place + 4] = value.to_bytes(4, "little")
    path.write_bytes(data)
    (volume,) = open_path(path)
    with pytest.raises(FormatError, match="page 0"):
        volume.read((0, 0, 0), (1, 40, 48))


@pytest.mark.soak
def test_three_gigabytes_of_zeros_in_a_small_chunk_are_not_unpacked(tmp_path: Path) -> None:
    bomb = zeros_packed(3 * 2**30)
    write_zarr_v2(tmp_path)
    (tmp_path / "gzip").rename(tmp_path / "v2")
    write_zarr_v3(tmp_path)
    (tmp_path / "p").mkdir()
    write_precomputed(tmp_path / "p")
    victims = {
        tmp_path / "v2": tmp_path / "v2" / "0.0.0",
        tmp_path / "gzip": tmp_path / "gzip" / "c" / "0" / "0" / "0",
        tmp_path / "p" / "gzip": sorted((tmp_path / "p" / "gzip" / "8_8_30").iterdir())[0],
    }
    for path, chunk in victims.items():
        assert chunk.exists()
        chunk.write_bytes(bomb)
        format = "precomputed" if "p" in path.parts else "ome_zarr"
        answer = call_limited(str(path), READER, str(path), format, limits=TIGHT)
        assert answer["voxels"].startswith("error: FormatError")
        assert answer["peak_bytes"] < 300 * 2**20


def zeros_packed(n_bytes: int) -> bytes:
    """So many zeros in a gzip, made without holding them."""
    out, packer = io.BytesIO(), zlib.compressobj(wbits=31)
    for _ in range(n_bytes // 2**24):
        out.write(packer.compress(bytes(2**24)))
    return out.getvalue() + packer.flush()
