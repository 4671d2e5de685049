"""Published claims in other people's words: the field is found, the value read, and the verdict is that of a reader."""

from typing import Any

import pytest

from em_assets.datasets import Dataset, load
from em_assets.evidence import audit
from em_assets.settings import PUBLIC, Settings

BLOCK_FACE, MILLED, PYRAMID, FLY, CELL = (
    "empiar_11759", "epfl_hippocampus", "jrc_mus_nacc_2", "hemibrain_ng", "u2os_chromatin",
)  # fmt: skip

VOXEL_NAMES = (
    "resolution", "Pixel size", "voxel size (nm)", "Voxel Size [nm]", "voxel resolution", "nominal resolution",
    "pixel spacing", "sampling", "pixel size (x,y,z)", "voxel_dimensions",
)  # fmt: skip
VOXEL_VALUES: tuple[Any, ...] = (
    "8 x 8 x 50 nm", "8 nm x 8 nm x 50 nm", "0.008 µm × 0.008 µm × 0.05 µm", "80 Å × 80 Å × 500 Å", [8, 8, 50],
    {"x": 8, "y": 8, "z": 50}, {"xy": "8 nm", "z": "50 nm"}, {"width": 8, "height": 8, "depth": 50, "unit": "nm"},
    {"values": [8, 8, 50], "unit": "nm"}, "8 nm (xy), 50 nm (z)", "x=8, y=8, z=50 nm", "8/8/50 nm",
)  # fmt: skip

HOLD: list[tuple[str, str, Any]] = [
    (BLOCK_FACE, "pixel size", "8 nm"), (BLOCK_FACE, "pixel size (xy)", "80 Å"), (BLOCK_FACE, "xy resolution", 8),
    (BLOCK_FACE, "lateral resolution", "8 nm/px"), (BLOCK_FACE, "axial resolution", "50 nm"),
    (BLOCK_FACE, "z spacing (µm)", 0.05), (BLOCK_FACE, "z resolution (nm)", 50), (BLOCK_FACE, "PhysicalSizeX", 8),
    (BLOCK_FACE, "voxel_size_xyz_nm", [8, 8, 50]), (BLOCK_FACE, "voxel_size_zyx_nm", [50, 8, 8]),
    (BLOCK_FACE, "size", "5496 x 5500 x 16"), (BLOCK_FACE, "dimensions", [5496, 5500, 16]),
    (BLOCK_FACE, "dimensions (XYZ)", [5496, 5500, 16]), (BLOCK_FACE, "shape (z,y,x)", [16, 5500, 5496]),
    (BLOCK_FACE, "anisotropy factor", 6.25), (BLOCK_FACE, "anisotropic", "yes"), (BLOCK_FACE, "Data DOI",
     "10.6019/EMPIAR-11759"), (BLOCK_FACE, "accession", "EMPIAR-11759"), (BLOCK_FACE, "date released", "2024-01-15"),
    (BLOCK_FACE, "accelerating voltage (kV)", 1.9), (BLOCK_FACE, "landing energy", "1900 V"),
    (BLOCK_FACE, "microscope name", "FEI Quanta"), (BLOCK_FACE, "file format", "DM3"),
    (MILLED, "file size", "3.35 GB"), (MILLED, "size on disk", "3.4 GB"), (MILLED, "size in bytes", 3353674357),
    (MILLED, "number of slices", 1065), (MILLED, "# slices", 1065), (MILLED, "slice count", 1065),
    (MILLED, "SizeX", 2048), (MILLED, "image width (px)", 2048), (MILLED, "rows", 1536),
    (MILLED, "number of voxels", 1065 * 1536 * 2048), (MILLED, "total voxels", "3.35 gigavoxels"),
    (MILLED, "total voxels", "3.35 billion"), (MILLED, "total voxels", "3350154 kvox"),
    (MILLED, "bit depth", 8), (MILLED, "Data Type", "8-bit unsigned"), (MILLED, "pixel type", "uint8"),
    (MILLED, "imaging technique", "Focused Ion Beam Scanning Electron Microscopy (FIB-SEM)"),
    (MILLED, "species", "mouse"), (MILLED, "Organism / species", "Mus musculus (mouse)"),
    (MILLED, "NCBI taxonomy id", 10090), (MILLED, "field of view", "10.24 × 7.68 × 5.325 µm"),
    (MILLED, "dimensions (µm)", "10.24 × 7.68 × 5.325"), (MILLED, "physical size", "5.3 × 7.7 × 10.2 µm"),
    (PYRAMID, "number of scales", 9), (PYRAMID, "no. of files", 17285), (PYRAMID, "chunk size", "64x64x64"),
    (PYRAMID, "compression", "zstd"), (PYRAMID, "format", "OME-Zarr"), (CELL, "License type", "CC-BY 4.0"),
    (CELL, "cell line", "U2OS"), (FLY, "image type", "EM"),
    ("cremi_a", "format", "HDF"), ("cremi_a", "format", ".h5"), ("jrc_hela_2", "format", "N5"),
]  # fmt: skip

FAIL: list[tuple[str, str, Any, str]] = [
    (BLOCK_FACE, "voxel_size_zyx_nm", [8, 8, 50], "axis order turned"),
    (BLOCK_FACE, "shape", [5496, 5500, 16], "axis order turned"),
    (BLOCK_FACE, "voxel_size_xyz_nm", [50, 8, 8], "axis order turned"),
    (BLOCK_FACE, "resolution", "8.0 nm isotropic", "z copied from xy"),
    (BLOCK_FACE, "pixel size", "80 nm", "ångström read as nanometre"),
    (BLOCK_FACE, "isotropy", "yes", "z copied from xy"),
    (MILLED, "imaging technique", "TEM", "a scanning microscope"),
    (MILLED, "data size", "123.9 MB", "another file of the same dataset"),
    (MILLED, "bit depth", "16 bit", "another type"),
    (MILLED, "species", "rat", "another species"),
    (MILLED, "number of images", 1, "counted as one page"),
    (MILLED, "dimensions", "10.24 µm × 7.68 µm × 5.325 µm", "unit mix"),
    (PYRAMID, "number of scales", 8, "off by one"),
    (PYRAMID, "codec", "blosc", "another codec"),
    (FLY, "image type", "segmentation", "a segmentation taken for the images"),
    (FLY, "format", "N5", "another format"),
]


UNKNOWN: list[tuple[str, str, Any, str]] = [
    (BLOCK_FACE, "voxel size", "8 nm (xy), 45-55 nm (z)", "no number"),
    (BLOCK_FACE, "voxel size", "8 nm (xy), 50 ± 5 nm (z)", "no number"),
    (BLOCK_FACE, "voxel size", "0.008 µm (xy), 50 nm (z)", "no number"),
    (BLOCK_FACE, "section thickness", "45 nm to 55 nm", "no number"),
    (MILLED, "total voxels", "3.35G", "no unit that voxels have"),
]


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Dataset]:
    return load(Settings(store=tmp_path_factory.mktemp("store"), origin=PUBLIC))


def judged(registry: dict[str, Dataset], dataset: str, field: str, value: Any) -> dict[str, Any]:
    (row,) = audit([{"dataset": dataset, "field": field, "value": value, "unit": None, "said_by": "a page"}], registry)
    return row


@pytest.mark.parametrize("value", VOXEL_VALUES, ids=str)
def test_a_voxel_size_is_read_however_it_is_named_and_written(value: Any, registry: dict[str, Dataset]) -> None:
    named = {name: judged(registry, BLOCK_FACE, name, value) for name in VOXEL_NAMES}
    assert {name: row["verdict"] for name, row in named.items()} == dict.fromkeys(VOXEL_NAMES, "holds")


@pytest.mark.parametrize(("dataset", "field", "value"), HOLD, ids=str)
def test_what_is_true_holds_in_other_words(dataset: str, field: str, value: Any, registry: dict[str, Dataset]) -> None:
    row = judged(registry, dataset, field, value)
    assert row["verdict"] == "holds", row
    assert row["witness"]


@pytest.mark.parametrize(("dataset", "field", "value", "cause"), FAIL, ids=str)
def test_what_is_wrong_fails_in_other_words(
    dataset: str, field: str, value: Any, cause: str, registry: dict[str, Dataset]
) -> None:
    row = judged(registry, dataset, field, value)
    assert (row["verdict"], cause in str(row["cause"])) == ("fails", True), row


@pytest.mark.parametrize(("dataset", "field", "value", "cause"), UNKNOWN, ids=str)
def test_what_cannot_be_read_as_one_number_accuses_nobody(
    dataset: str, field: str, value: Any, cause: str, registry: dict[str, Dataset]
) -> None:
    """Of a range its last number was taken, of `50 ± 5 nm` the 5, and of two units the last for both."""
    row = judged(registry, dataset, field, value)
    assert (row["verdict"], cause in str(row["cause"])) == ("unknown", True), row
