"""The fixed columns of every table, each with its type and what it means.

A dataset's own tables are `OF_A_DATASET`; those over all datasets are `CATALOG`.
Lengths are nanometres, axes z, y, x, sizes bytes; null is unknown. Shapes of chunks are text like `[64, 64, 64]`.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    import pyarrow as pa

ColumnType = Literal["string", "int64", "float64", "bool"]


_UNITS = {"_nm": "nm", "_bytes": "byte", "_kv": "kV", "_mm": "mm"}


def unit_in_name(name: str) -> str | None:
    """The unit that the name of a field or column ends in; None for a name without one."""
    return next((unit for suffix, unit in _UNITS.items() if name.endswith(suffix)), None)


class Column(NamedTuple):
    """One column: its name, its type and what it means; `required` columns are never null."""

    name: str
    type: ColumnType
    meaning: str
    required: bool = False


@dataclass(frozen=True)
class TableSchema:
    """The columns of one table, in order, what one row is, and by which columns the catalog sorts it."""

    name: str
    columns: tuple[Column, ...]
    meaning: str
    order: str

    @property
    def column_names(self) -> list[str]:
        """The columns' names, in order."""
        return [column.name for column in self.columns]

    @cached_property
    def arrow(self) -> "pa.Schema":
        """The same as Arrow sees it."""
        import pyarrow as pa

        types = {"string": pa.string(), "int64": pa.int64(), "float64": pa.float64(), "bool": pa.bool_()}
        return pa.schema([pa.field(column.name, types[column.type]) for column in self.columns])


_DATASET = Column("dataset", "string", "name of the dataset: its TOML file's name", required=True)
_ORIGIN = Column("origin", "string", "public, sample (made-up pixels), or the folder of a mirror", required=True)
_TAG_COLUMNS = (
    Column("file", "string", "path of the file below the dataset's raw files", required=True),
    Column("container", "string", "part of the file that holds the tag: a page, a header, a node", required=True),
    Column("path", "string", "the tag's name there", required=True),
    Column("value", "string", "text as it is, anything else as JSON"),
    Column("type", "string", "the type that the file declares", required=True),
)

ORIGINAL_TAGS = TableSchema(
    "original_tags",
    _TAG_COLUMNS,
    meaning="Every tag of a dataset's files, in the files' own order",
    order="the files' own order",
)

CLAIMS = TableSchema(
    "claims",
    (
        _DATASET,
        Column("volume", "string", "the volume it is said of; null for the whole dataset"),
        Column("field", "string", "the field of the record it speaks of", required=True),
        Column("value", "string", "what is said, as JSON", required=True),
        Column("unit", "string", "unit as written; null where none is"),
        Column("kind", "string", "file, archive, publisher, recorded or derived", required=True),
        Column("said_by", "string", "the file, page, archive or code that says it", required=True),
        Column("locator", "string", "where in it: a tag's path, a JSON pointer, a key", required=True),
        Column("raw", "string", "the text that was read", required=True),
        _ORIGIN,
    ),
    meaning="What each source says of each field: one row a claim",
    order="dataset, volume, field, kind, said_by, locator",
)

_RECORD_COLUMNS = (
    _DATASET,
    Column("volume", "string", "name of the volume in its dataset", required=True),
    _ORIGIN,
    Column("technique", "string", "how it was imaged: FIB-SEM, SBF-SEM, …"),
    Column("organism", "string", "species"),
    Column("content", "string", "em, labels or fluorescence"),
    Column("labels_of", "string", "the volume that these labels belong to"),
    Column("shape_z", "int64", "voxels along z"),
    Column("shape_y", "int64", "voxels along y"),
    Column("shape_x", "int64", "voxels along x"),
    Column("voxel_size_z_nm", "float64", "step between slices, nanometres"),
    Column("voxel_size_y_nm", "float64", "pixel height, nanometres"),
    Column("voxel_size_x_nm", "float64", "pixel width, nanometres"),
    Column("dtype", "string", "type of a voxel, as numpy names it"),
    Column("source_n_levels", "int64", "levels of resolution that the source offers"),
    Column("source_chunks", "string", "the source's own chunk shape, z, y, x"),
    Column("source_compressor", "string", "the source's own compression"),
    Column("n_files", "int64", "raw files that the volume is made of"),
    Column("source_bytes", "int64", "bytes of these files"),
)
_RECORD_FURTHER_COLUMNS = (
    Column("title", "string", "title of the dataset"),
    Column("licence", "string", "licence of the data"),
    Column("doi", "string", "DOI of the data"),
    Column("citation", "string", "how to cite it"),
    Column("description", "string", "what it is, in the archive's words"),
    Column("authors", "string", "who made it"),
    Column("technique_id", "string", "id of the technique in FBbi; null where no real one was seen"),
    Column("organism_taxon", "int64", "NCBI taxon of the species"),
    Column("sample", "string", "what was imaged: organ, cell line"),
    Column("sample_type", "string", "tissue, cell culture, organism, …"),
    Column("contrast_polarity", "string", "dark or bright membranes"),
    Column("extent_z_nm", "float64", "physical size along z, nanometres"),
    Column("extent_y_nm", "float64", "physical size along y, nanometres"),
    Column("extent_x_nm", "float64", "physical size along x, nanometres"),
    Column("instrument", "string", "microscope"),
    Column("accelerating_voltage_kv", "float64", "accelerating voltage or landing energy, kilovolt"),
    Column("working_distance_mm", "float64", "from the last lens to the sample, millimetres"),
    Column("acquired_at", "string", "when it was imaged, ISO 8601"),
    Column("deposited_on", "string", "when it was given to the archive, ISO 8601"),
    Column("released_on", "string", "when the archive opened it, ISO 8601"),
)

RECORD = TableSchema(
    "record",
    _RECORD_COLUMNS + _RECORD_FURTHER_COLUMNS,
    meaning="What is true of each volume of a dataset, as far as anyone witnessed it",
    order="volume",
)

CONFLICTS = TableSchema(
    "conflicts",
    (
        _DATASET,
        Column("volume", "string", "the volume in question; null for the whole dataset"),
        Column("field", "string", "the field on which two sources differ", required=True),
        Column("value", "string", "one value, as JSON: the winning one where the conflict is settled", required=True),
        Column("unit", "string", "unit of both values"),
        Column("said_by", "string", "who says it", required=True),
        Column("kind", "string", "kind of that claim"),
        Column("other_value", "string", "the other value, as JSON", required=True),
        Column("other_said_by", "string", "who says that", required=True),
        Column("other_kind", "string", "kind of the other claim"),
        Column("factor", "float64", "the larger value over the smaller one"),
        Column("cause", "string", "what likely went wrong; null where no known slip fits"),
        Column("is_settled", "bool", "whether a rule decides between them; the field is null if not", required=True),
        Column("rule", "string", "the rule that decides, or why none does", required=True),
    ),
    meaning="Claims that differ beyond their field's tolerance",
    order="dataset, volume, field",
)

VOLUMES = TableSchema(
    "volumes",
    (
        *_RECORD_COLUMNS,
        Column("source_fingerprint", "string", "digest of the source's listing when it was fetched"),
        Column("n_levels", "int64", "levels of the written volume"),
        Column("chunk_shape", "string", "chunk shape of the written volume, z, y, x"),
        Column("shard_shape", "string", "shard shape of the written volume; null where it is not sharded"),
        Column("compressor", "string", "compression of the written volume"),
        Column("url", "string", "where the written volume lies, from the store's root on; null until it is written"),
        *_RECORD_FURTHER_COLUMNS,
        Column("generation", "string", "digest of what the written volume was made from and how"),
    ),
    meaning="Every volume of every dataset: its record, and where it was written",
    order="dataset, volume",
)

DATASETS = TableSchema(
    "datasets",
    (
        _DATASET,
        Column("title", "string", "title of the dataset"),
        _ORIGIN,
        Column("n_volumes", "int64", "volumes in it", required=True),
        Column("n_files", "int64", "raw files held", required=True),
        Column("source_bytes", "int64", "bytes of these files", required=True),
        Column("source_url", "string", "public address of the source"),
        Column("source_fingerprint", "string", "digest of the source's listing when it was fetched"),
        Column("technique", "string", "techniques of its volumes"),
        Column("organism", "string", "species of its volumes"),
        Column("licence", "string", "licence of the data"),
        Column("doi", "string", "DOI of the data"),
        Column("citation", "string", "how to cite it"),
        Column("n_tags", "int64", "original tags in its files", required=True),
        Column("n_claims", "int64", "claims about it", required=True),
        Column("n_conflicts", "int64", "claims that differ beyond tolerance", required=True),
        Column("n_unsettled", "int64", "conflicts that no rule decides", required=True),
        Column("n_unknown", "int64", "fields of its volumes that have no value", required=True),
    ),
    meaning="Every dataset: one row each",
    order="dataset",
)

TAGS = TableSchema(
    "tags",
    (_DATASET, *_TAG_COLUMNS),
    meaning="Every original tag of every dataset",
    order="dataset, then the files' own order",
)

FILES = TableSchema(
    "files",
    (
        _DATASET,
        _ORIGIN,
        Column("path", "string", "path below the dataset's raw files", required=True),
        Column("url", "string", "public address of the file, whatever the origin", required=True),
        Column("size_bytes", "int64", "size", required=True),
        Column("sha256", "string", "digest of the bytes that are held", required=True),
        Column("validator", "string", "the source's own mark of this version: ETag, generation, modification time"),
        Column("source", "int64", "which `[[source]]` of the TOML file it came from, the first is 0", required=True),
        Column("format", "string", "the format that reads it; null where none does: the file is kept as it is"),
        Column("volume", "string", "the volume that it is part of; several with `; ` between; null for none"),
    ),
    meaning="Every raw file that is held whole: its manifest row, and what it is part of",
    order="dataset, path",
)

FIELDS = TableSchema(
    "fields",
    (
        _DATASET,
        Column("volume", "string", "the volume that is described; null for the whole dataset"),
        Column("field", "string", "the field of the record", required=True),
        Column("value", "string", "what the record says, as JSON; null where nothing is known or nobody wins"),
        Column("unit", "string", "unit of the value"),
        Column("kind", "string", "kind of the claim that won"),
        Column("said_by", "string", "who made it"),
        Column("locator", "string", "where in it"),
        Column("rule", "string", "the rule that made it win, or why none did; null where nobody says anything"),
        Column("n_agree", "int64", "claims that say the same within tolerance, the winner among them", required=True),
        Column("n_disagree", "int64", "claims that say otherwise", required=True),
        Column("is_unknown", "bool", "whether the record has no value: unsaid, or disputed", required=True),
    ),
    meaning="Every field of every volume with its witness; a field that nobody knows has its row too",
    order="dataset, volume, field",
)

BLOCK_INDEX = TableSchema(
    "block_index",
    (
        _DATASET,
        Column("volume", "string", "name of the volume in its dataset", required=True),
        Column("z", "int64", "place of the chunk in the grid of chunks, counted from 0", required=True),
        Column("y", "int64", "the same along y", required=True),
        Column("x", "int64", "the same along x", required=True),
        Column("n_voxels", "int64", "voxels in it: fewer at an end of the volume", required=True),
        Column("min", "float64", "smallest finite voxel; null where none is finite, as in the next three"),
        Column("max", "float64", "largest finite voxel"),
        Column("mean", "float64", "mean of the finite voxels"),
        Column("std", "float64", "their standard deviation"),
        Column("zero_fraction", "float64", "share of the voxels that equal the fill value, which is 0", required=True),
    ),
    meaning="Every chunk of the finest level of every volume, with the statistics of its voxels",
    order="dataset, volume, z, y, x",
)
"""Beside a dataset's own tables: it has a row a chunk, so the catalog holds no copy of it."""

POINTS = TableSchema(
    "points",
    (
        _DATASET,
        Column("file", "string", "path of the file of points below the dataset's raw files", required=True),
        Column("type", "string", "point, orientedPoint or instancePoint, as the file says; null where it does not"),
        Column("z", "float64", "voxels of the annotated volume along z", required=True),
        Column("y", "float64", "the same along y", required=True),
        Column("x", "float64", "the same along x", required=True),
        Column("instance_id", "int64", "which object the point is part of; null where the file does not say"),
        Column("rotation_xyz", "string", "rotation matrix of an oriented point as JSON, rows x, y, z"),
    ),
    meaning="Every annotated point of a dataset's `.ndjson` files, in the files' own order",
    order="dataset, file, then the file's own order",
)
"""Beside a dataset's own tables, and there only for one that has points; the catalog holds no copy of it."""

OF_A_DATASET = (ORIGINAL_TAGS, CLAIMS, RECORD, CONFLICTS, FIELDS, FILES)
"""The tables below `metadata/<dataset>/`."""

CATALOG = (DATASETS, VOLUMES, FILES, TAGS, CLAIMS, CONFLICTS, FIELDS)
"""The tables below `catalog/`."""
