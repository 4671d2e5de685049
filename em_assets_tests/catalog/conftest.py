"""A small catalog of two datasets, made of rows as the other rooms make them."""

import pytest

from em_assets.catalog.consolidate import DatasetPart, Written
from em_assets.catalog.fields import fields_table
from em_assets.catalog.files import files_table
from em_assets.catalog.schemas import ORIGINAL_TAGS
from em_assets.catalog.tables import claims_table, concat, conflicts_table, record_table, tags_table
from em_assets.evidence import Resolution
from em_assets.model import Claim, Conflict, RawFile, Tag, VolumeRecord


@pytest.fixture
def zebrafish() -> DatasetPart:
    """Two slices with a z step of their own, written as one volume."""
    names = ("slice_0000.dm3", "slice_0001.dm3")
    tags = [
        Tag("", "ImageList.1.ImageTags.SBFSEM.Record.Slice thickness", 50.0, "float32"),
        Tag("", "ImageList.1.ImageData.Dimensions", [5496, 5500], "array of uint32"),
        Tag("", "Session Info.Operator", None, "string"),
    ]
    record = VolumeRecord(
        dataset="zebrafish",
        volume="em",
        origin="sample",
        title="A retina",
        technique="SBF-SEM",
        organism="Danio rerio",
        content="em",
        shape_zyx=(2, 5500, 5496),
        dtype="uint8",
        voxel_size_zyx_nm=(50.0, 7.998250424861908, 7.998250424861908),
        source_n_levels=1,
        n_files=2,
        source_bytes=60_000_000,
    )
    claim = Claim(
        dataset="zebrafish",
        volume="em",
        field="voxel_size_z_nm",
        value=50,
        unit="nm",
        kind="file",
        said_by="slice_0000.dm3",
        locator="ImageList.1.ImageTags.SBFSEM.Record.Slice thickness",
        raw="50",
        origin="sample",
    )
    conflict = Conflict(
        dataset="zebrafish",
        volume="em",
        field="voxel_size_z_nm",
        value=50,
        said_by="slice_0000.dm3",
        other_value=8,
        other_said_by="https://example.org/stack",
        is_settled=True,
        rule="file before publisher",
    )
    decided = Resolution(
        dataset="zebrafish",
        volume="em",
        field="voxel_size_z_nm",
        value=50.0,
        claim=claim,
        rule="file > publisher",
        n_agree=1,
        n_disagree=1,
        conflicts=(conflict,),
    )
    files = [
        RawFile(path=name, url="u", size_bytes=30_000_000, sha256="0" * 64, validator=None, source=0) for name in names
    ]
    return DatasetPart(
        origin="sample",
        title="A retina, as the registry calls it",
        source_url="https://example.org/stack/",
        source_fingerprint="f00d",
        files=files,
        described_files=files_table(
            "zebrafish", "sample", files, formats=dict.fromkeys(names, "dm"), volumes={"em": names}
        ),
        fields=fields_table("zebrafish", ["em"], [decided]),
        original_tags=concat(ORIGINAL_TAGS, [tags_table(name, tags) for name in names]),
        claims=claims_table([claim]),
        record=record_table([record]),
        conflicts=conflicts_table([conflict]),
        written={"em": Written("volumes/zebrafish/em/abc", "abc", 3, "[64, 64, 64]", "[256, 256, 256]", "zstd")},
    )


@pytest.fixture
def cell() -> DatasetPart:
    """One cell as two volumes, isotropic, not written yet."""
    tags = [
        Tag("page 0", "ImageDescription", "ImageJ=1.53c|unit=\\u00B5m", "ascii"),
        Tag("page 0", "ImageDescription.spacing", 0.02, "float"),
        Tag("page 0", "BitsPerSample", 8, "short"),
    ]
    shapes = {"xz": (775, 184, 1121), "xy": (184, 775, 1121)}
    records = [
        VolumeRecord(
            dataset="cell",
            volume=volume,
            origin="sample",
            technique="FIB-SEM",
            shape_zyx=shape,
            dtype="uint8",
            voxel_size_zyx_nm=(20.0, 20.0, 20.0),
            source_chunks="[1, 775, 1121]",
        )
        for volume, shape in shapes.items()
    ]
    return DatasetPart(
        origin="sample",
        title="A cell",
        original_tags=concat(ORIGINAL_TAGS, [tags_table(f"cell_{name}.tif", tags) for name in ("xy", "xz")]),
        record=record_table(records),
    )
