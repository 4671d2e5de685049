"""One example of every class, made of the classes themselves, so that none can be wrong. The dataset is made up."""

from collections.abc import Mapping
from typing import Any

from em_assets.catalog.consolidate import DatasetPart, Written, consolidate
from em_assets.catalog.fields import fields_table
from em_assets.catalog.files import files_table
from em_assets.catalog.schemas import ORIGINAL_TAGS
from em_assets.catalog.tables import claims_table, concat, conflicts_table, record_table, tags_table
from em_assets.datasets import Dataset
from em_assets.evidence import Resolution
from em_assets.model import Claim, Conflict, Part, RawFile, RemoteFile, Source, Statement, Tag, VolumeRecord, Witness

_NAME, _VOLUME, _FILE = "zebrafish_retina", "em", "slice_0000.dm3"
_PATH = "ImageList.1.ImageTags.SBFSEM.Record.Slice thickness"
_URL = f"https://archive.example.org/12345/data/{_FILE}"
_PAGE = "https://archive.example.org/12345/"
_SHA256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"

_SOURCE = Source(url="https://archive.example.org/12345/data/", include=("*.dm3",), volume=_VOLUME)
_SAYS = Statement(field="voxel_size_zyx_nm", value=[8, 8, 8], at=_PAGE)
_RAW_FILE = RawFile(path=_FILE, url=_URL, size_bytes=30_396_050, sha256=_SHA256, validator='"5f3c"', source=0)
_TAG = Tag(container="", path=_PATH, value=50.0, type="float32")
_WITNESS = Witness(field="voxel_size_z_nm", value=50.0, unit="nm", locator=_PATH, raw="50.0")
_CLAIM = Claim(dataset=_NAME, volume=_VOLUME, kind="file", said_by=_FILE, origin="public", **_WITNESS._asdict())
_CONFLICT = Conflict(
    dataset=_NAME,
    volume=_VOLUME,
    field="voxel_size_z_nm",
    value=50.0,
    unit="nm",
    said_by=_FILE,
    kind="file",
    other_value=8.0,
    other_said_by=_PAGE,
    other_kind="publisher",
    factor=6.25,
    cause="z copied from xy",
    is_settled=True,
    rule="file before publisher",
)
_RECORD = VolumeRecord(
    dataset=_NAME,
    volume=_VOLUME,
    origin="public",
    title="Retina of a zebrafish larva",
    technique="SBF-SEM",
    technique_id="FBbi_00000585",
    organism="Danio rerio",
    organism_taxon=7955,
    content="em",
    shape_zyx=(16, 5500, 5496),
    dtype="uint8",
    voxel_size_zyx_nm=(50.0, 8.0, 8.0),
    licence="CC0-1.0",
    source_n_levels=1,
    n_files=1,
    source_bytes=30_396_050,
)
_RESOLUTION = Resolution(
    dataset=_NAME,
    volume=_VOLUME,
    field="voxel_size_z_nm",
    value=50.0,
    claim=_CLAIM,
    rule="file > derived > recorded > archive > publisher",
    n_agree=1,
    n_disagree=1,
    conflicts=(_CONFLICT,),
)
_WRITTEN = Written(
    url=f"store/volumes/{_NAME}/{_VOLUME}/1ed47ab3e8269db0",
    generation="1ed47ab3e8269db0",
    n_levels=5,
    chunk_shape="[16, 64, 64]",
    shard_shape="[16, 512, 512]",
    compressor="zstd(level=1)",
)

EXAMPLES: Mapping[type[Any], Any] = {
    Dataset: Dataset(name=_NAME, title="Retina of a zebrafish larva", format="dm", sources=(_SOURCE,), says=(_SAYS,)),
    Source: _SOURCE,
    Part: Part(inside="volumes/labels/neuron_ids", volume="neurons", content="labels", labels_of=_VOLUME),
    Statement: _SAYS,
    RemoteFile: RemoteFile(path=_FILE, url=_URL, size_bytes=30_396_050, validator='"5f3c"'),
    RawFile: _RAW_FILE,
    Tag: _TAG,
    Witness: _WITNESS,
    Claim: _CLAIM,
    Conflict: _CONFLICT,
    VolumeRecord: _RECORD,
    Resolution: _RESOLUTION,
}


def example_rows() -> dict[str, dict[str, Any]]:
    """A row of every table: what the catalog makes of the examples."""
    record, tags = record_table([_RECORD]), concat(ORIGINAL_TAGS, [tags_table(_FILE, [_TAG])])
    fields = fields_table(_NAME, [_VOLUME], [_RESOLUTION])
    part = DatasetPart(
        origin="public",
        source_url=_SOURCE.url,
        source_fingerprint="69d94997536ce295",
        files=[_RAW_FILE],
        original_tags=tags,
        claims=claims_table([_CLAIM]),
        record=record,
        conflicts=conflicts_table([_CONFLICT]),
        fields=fields.filter([not unknown for unknown in fields["is_unknown"].to_pylist()]),
        described_files=files_table(_NAME, "public", [_RAW_FILE], formats={_FILE: "dm"}, volumes={_VOLUME: [_FILE]}),
        written={_VOLUME: _WRITTEN},
    )
    tables = consolidate({_NAME: part}) | {"record": record, "original_tags": tags}
    return {name: table.to_pylist()[0] for name, table in tables.items()}
