"""A pixel's size in a maker's own tag counts; the dots per inch beside it do not."""

import gzip
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
import tifffile

from em_assets.errors import UnsupportedDataError
from em_assets.formats import open_path, tiff
from em_assets.formats.tiff_makers import maker_sizes

SCAN = "[User]\nDate=1\n[Scan]\nPixelWidth=5e-009\nPixelHeight=6e-009\n[EScan]\nPixelWidth=1\n"


def fei(path: Path, text: str) -> Path:
    """A TIFF as an FEI microscope writes it: 96 dots per inch, and its settings in a tag of its own."""
    tags = [(34682, "s", 0, text, True)]
    tifffile.imwrite(path, np.ones((4, 5), np.uint8), resolution=(96, 96), resolutionunit="INCH", extratags=tags)
    return path


def test_metres_of_a_scan_are_the_voxel_size(tmp_path: Path) -> None:
    path = fei(tmp_path / "a.tif", SCAN)
    assert open_path(path)[0].voxel_size_zyx_nm == pytest.approx((None, 6.0, 5.0))
    said = [(w.field, w.raw, w.locator) for w in tiff.witnesses(tiff.read_tags(str(path))) if "voxel" in w.field]
    assert said[0] == ("voxel_size_x_nm", "5e-009", "page 0: FEI_HELIOS [Scan] PixelWidth")


@pytest.mark.parametrize(
    "text", ["", "no settings", "[Scan]\nPixelWidth=wide\n", "[Scan]\nPixelWidth\n", "[Image]\nPixelWidth=1\n", "[Scan"]
)
def test_damaged_settings_are_no_size_and_no_error(tmp_path: Path, text: str) -> None:
    assert open_path(fei(tmp_path / "a.tif", text))[0].voxel_size_zyx_nm == (None, None, None)


SMARTSEM = (
    "0\r\n0\r\nAP_PIXEL_SIZE\r\nPixel Size = 15.63 nm\r\n"
    "AP_IMAGE_PIXEL_SIZE\r\nImage Pixel Size = {} \r\nAP_MAG\r\nMag = 14.3 K X\r\n"
)


@pytest.mark.parametrize(
    ("said", "size"),
    [("7.813 nm", 7.813), ("0.5 µm", 500.0), ("558.2 pm", 0.5582), ("7.813", None), ("x nm", None), ("1 K X", None)],
)
def test_zeiss_says_the_pixel_of_the_image_and_that_of_its_screen(
    tmp_path: Path, said: str, size: float | None
) -> None:
    tags = [(34118, 2, 0, SMARTSEM.format(said).encode("latin-1"), True)]
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.ones((4, 5), np.uint8), resolution=(96, 96), resolutionunit="INCH", extratags=tags)
    assert open_path(path)[0].voxel_size_zyx_nm == pytest.approx((None, size, size))


@pytest.mark.parametrize("factor", [256, 257])
def test_a_palette_of_greys_is_a_grey_image(tmp_path: Path, factor: int) -> None:
    """SmartSEM writes every 8-bit image with a palette that shows each value as itself."""
    image = np.arange(20, dtype=np.uint8).reshape(4, 5)
    ramp = np.tile(np.arange(256, dtype=np.uint16) * factor, (3, 1))
    tifffile.imwrite(tmp_path / "a.tif", image, photometric="palette", colormap=ramp, metadata=None)
    assert np.array_equal(open_path(tmp_path / "a.tif")[0].read((0, 0, 0), (1, 4, 5))[0], image)
    tifffile.imwrite(tmp_path / "b.tif", image, photometric="palette", colormap=ramp[:, ::-1], metadata=None)
    with pytest.raises(UnsupportedDataError, match="palette"):
        open_path(tmp_path / "b.tif")


def test_a_number_of_digital_micrograph_counts_with_its_unit() -> None:
    page = {"Tag 65003": "µm", "Tag 65009": 0.5, "Tag 65004": "", "Tag 65010": "x"}
    assert [(w.field, w.value, w.unit) for w in maker_sizes(page)] == [("voxel_size_x_nm", 0.5, "µm")]
    assert maker_sizes({"Tag 65009": 0.5}) == []


def test_real_files_of_fei_and_jeol_say_what_they_say(shared: Path, tmp_path: Path) -> None:
    """The one has pixels of 3.4 µm and says 64 dots per inch; the other says 93, and no size."""
    with ZipFile(shared / "data/tiff/tiff_FEI_Helios.zip") as packed:
        helios = packed.extract("FEI-Helios-Ebeam-16bits.tif", tmp_path)
    assert open_path(helios)[0].voxel_size_zyx_nm == pytest.approx((None, 3372.4, 3372.4))
    jeol = tmp_path / "jeol.tif"
    jeol.write_bytes(gzip.decompress((shared / "data/tiff/JEOL-SightX-TEM-mag-dummy.tif.gz").read_bytes()))
    assert open_path(jeol)[0].voxel_size_zyx_nm == (None, None, None)
