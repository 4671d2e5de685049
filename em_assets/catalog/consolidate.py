"""The catalog's tables from whatever datasets exist: none, one or all. Every step is linear in the rows."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from em_assets.catalog.files import file_rows
from em_assets.catalog.schemas import (
    CLAIMS,
    CONFLICTS,
    DATASETS,
    FIELDS,
    FILES,
    ORIGINAL_TAGS,
    RECORD,
    TAGS,
    VOLUMES,
    TableSchema,
)
from em_assets.catalog.tables import concat, table_of_rows
from em_assets.errors import StoreError
from em_assets.model import RawFile

if TYPE_CHECKING:
    import pyarrow as pa


class Written(NamedTuple):
    """A committed volume as the catalog names it; the shapes are text like `[64, 64, 64]`."""

    url: str
    generation: str
    n_levels: int
    chunk_shape: str
    shard_shape: str | None
    compressor: str | None


@dataclass(frozen=True)
class DatasetPart:
    """What one dataset brings to the catalog.

    Attributes
    ----------
    origin, title, source_url, source_fingerprint
        Of the dataset; a title that its record carries goes first.
    files
        The rows of its manifest.
    original_tags, claims, record, conflicts, fields, described_files
        Its own tables, the last one its `files`; None for one that is not made yet.
    written
        Its committed volumes by name.
    """

    origin: str
    title: str | None = None
    source_url: str | None = None
    source_fingerprint: str | None = None
    files: Sequence[RawFile] = ()
    original_tags: "pa.Table | None" = None
    claims: "pa.Table | None" = None
    record: "pa.Table | None" = None
    conflicts: "pa.Table | None" = None
    fields: "pa.Table | None" = None
    described_files: "pa.Table | None" = None
    written: Mapping[str, Written] = field(default_factory=dict)


def consolidate(parts: Mapping[str, DatasetPart]) -> "dict[str, pa.Table]":
    """The tables of `schemas.CATALOG`, sorted by dataset; in a dataset as its own tables are, which are sorted too.

    Raises
    ------
    StoreError
        A record names a dataset that is not among the parts.
    """
    ordered = {name: parts[name] for name in sorted(parts)}
    record = _joined(RECORD, (part.record for part in ordered.values()))
    return {
        DATASETS.name: _datasets(ordered, record),
        VOLUMES.name: _volumes(ordered, record),
        FILES.name: _files(ordered),
        TAGS.name: _tags(ordered),
        CLAIMS.name: _joined(CLAIMS, (part.claims for part in ordered.values())),
        CONFLICTS.name: _joined(CONFLICTS, (part.conflicts for part in ordered.values())),
        FIELDS.name: _joined(FIELDS, (part.fields for part in ordered.values())),
    }


def rows_of(name: str, part: DatasetPart) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The row of `datasets`, and those of `volumes`, that one dataset has.

    No table is built for it: Arrow imports pandas where it makes columns of lists, and one dataset's page should come
    in a blink.
    """
    if part.record is None:
        return _dataset_row(name, part, {}), []
    nowhere = dict.fromkeys(Written._fields)
    volumes = [
        row
        | {"source_fingerprint": part.source_fingerprint}
        | (part.written[row["volume"]]._asdict() if row["volume"] in part.written else nowhere)
        for row in sorted(part.record.to_pylist(), key=lambda row: str(row["volume"]))
    ]
    facts = _facts_by_dataset(part.record).get(name, {})
    return _dataset_row(name, part, facts), [{key: row[key] for key in VOLUMES.column_names} for row in volumes]


def _datasets(parts: Mapping[str, DatasetPart], record: "pa.Table") -> "pa.Table":
    facts = _facts_by_dataset(record)
    return table_of_rows(DATASETS, [_dataset_row(name, part, facts.get(name, {})) for name, part in parts.items()])


def _dataset_row(name: str, part: DatasetPart, facts: Mapping[str, list[str]]) -> dict[str, Any]:
    def said(key: str) -> str | None:
        # dict.fromkeys: each once, in the volumes' order
        return "; ".join(dict.fromkeys(facts.get(key, ()))) or None

    settled = part.conflicts["is_settled"].to_pylist() if part.conflicts is not None else []
    return {
        "dataset": name,
        "title": said("title") or part.title,
        "origin": part.origin,
        "n_volumes": _n_rows(part.record),
        "n_files": len(part.files),
        "source_bytes": sum(file.size_bytes for file in part.files),
        "source_url": part.source_url,
        "source_fingerprint": part.source_fingerprint,
        **{key: said(key) for key in ("technique", "organism", "licence", "doi", "citation")},
        "n_tags": _n_rows(part.original_tags),
        "n_claims": _n_rows(part.claims),
        "n_conflicts": len(settled),
        "n_unsettled": settled.count(False),
        "n_unknown": part.fields["is_unknown"].to_pylist().count(True) if part.fields is not None else 0,
    }


def _facts_by_dataset(record: "pa.Table") -> dict[str, dict[str, list[str]]]:
    """What the volumes of each dataset say of it, without nulls: dataset → column → values."""
    facts: dict[str, dict[str, list[str]]] = {}
    wanted = ["dataset", "title", "technique", "organism", "licence", "doi", "citation"]
    for row in record.select(wanted).to_pylist():
        of_dataset = facts.setdefault(row.pop("dataset"), {})
        for key, value in row.items():
            if value is not None:
                of_dataset.setdefault(key, []).append(value)
    return facts


def _volumes(parts: Mapping[str, DatasetPart], record: "pa.Table") -> "pa.Table":
    import pyarrow as pa

    ordered = record.sort_by([("dataset", "ascending"), ("volume", "ascending")])
    datasets = [str(name) for name in ordered["dataset"].to_pylist()]
    volumes = [str(name) for name in ordered["volume"].to_pylist()]
    strange = sorted(set(datasets) - set(parts))
    if strange:
        raise StoreError(
            f"a record of {', '.join(strange)} lies among those of {', '.join(parts)}; materialize it again"
        )
    written = [parts[name].written.get(volume) for name, volume in zip(datasets, volumes, strict=True)]
    columns: dict[str, Any] = {name: ordered[name] for name in RECORD.column_names}
    columns["source_fingerprint"] = [parts[name].source_fingerprint for name in datasets]
    for name in Written._fields:
        columns[name] = [None if volume is None else getattr(volume, name) for volume in written]
    return pa.Table.from_pydict({name: columns[name] for name in VOLUMES.column_names}, schema=VOLUMES.arrow)


def _files(parts: Mapping[str, DatasetPart]) -> "pa.Table":
    """The manifests; format and volume of each file as long as it is the one that these were found for."""
    rows = []
    for name, part in parts.items():
        described = part.described_files.to_pylist() if part.described_files is not None else []
        found = {(row["path"], row["sha256"]): (row["format"], row["volume"]) for row in described}
        for row in file_rows(name, part.origin, part.files):
            row["format"], row["volume"] = found.get((row["path"], row["sha256"]), (None, None))
            rows.append(row)
    return table_of_rows(FILES, rows)


def _tags(parts: Mapping[str, DatasetPart]) -> "pa.Table":
    import numpy as np
    import pyarrow as pa

    tags = _joined(ORIGINAL_TAGS, (part.original_tags for part in parts.values()))
    rows_of_each = [_n_rows(part.original_tags) for part in parts.values()]
    names = pa.array(list(parts), pa.string())
    dataset = names.take(np.repeat(np.arange(len(parts)), rows_of_each))
    return pa.Table.from_arrays([pa.chunked_array([dataset]), *tags.columns], schema=TAGS.arrow)


def _joined(schema: TableSchema, tables: "Iterable[pa.Table | None]") -> "pa.Table":
    return concat(schema, (table for table in tables if table is not None))


def _n_rows(table: "pa.Table | None") -> int:
    return 0 if table is None else table.num_rows
