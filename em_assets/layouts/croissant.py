"""The catalog as Croissant 1.1: its Parquet tables, and one JSON-LD file that says what every column means.

Each table is a RecordSet, so that whoever reads Croissant gets every volume as a row, with where its voxels lie. The
voxels themselves are no records: Croissant has no words for Zarr yet.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from em_assets.catalog.consolidate import consolidate
from em_assets.catalog.holdings import holdings
from em_assets.catalog.schemas import CATALOG, Column, TableSchema
from em_assets.catalog.tables import write_table
from em_assets.layouts.bibtex import bibtex
from em_assets.layouts.held import Held
from em_assets.layouts.interface import Options, Takes, Written
from em_assets.layouts.licences import UNKNOWN, licence_url
from em_assets.layouts.works import MADE_UP, Work, work_of
from em_assets.schema import SCHEMA_VERSION

if TYPE_CHECKING:
    import pyarrow as pa

TAKES: Takes = "many"

FOLDER, DOCUMENT = "em_assets_croissant", "croissant.json"

CONFORMS_TO = "http://mlcommons.org/croissant/1.1"

_TERMS = (
    *("arrayShape", "citeAs", "column", "containedIn", "equivalentProperty", "extract", "field", "fileObject"),
    *("fileProperty", "fileSet", "format", "includes", "isArray", "isLiveDataset", "jsonPath", "key", "md5"),
    *("parentField", "path", "recordSet", "references", "regex", "repeated", "replace", "samplingRate", "separator"),
    *("source", "subField", "transform"),
)

CONTEXT: Mapping[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    "conformsTo": "dct:conformsTo",
    "name": {"@container": "@language"},
    "description": {"@container": "@language"},
    "data": {"@id": "cr:data", "@type": "@json"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    **{term: f"cr:{term}" for term in _TERMS},
}
"""The terms of Croissant 1.1: readers compare them, and fetch no context from the network."""

DATA_TYPES = {"string": "sc:Text", "int64": "sc:Integer", "float64": "sc:Float", "bool": "sc:Boolean"}

KEYS = {"datasets": ("dataset",), "volumes": ("dataset", "volume"), "files": ("dataset", "path")}
"""Columns that tell the rows of a table apart."""


def export(held: Sequence[Held], draft: Path, options: Options) -> Written:
    """Write the tables of these datasets, and the document about them, into one folder."""
    folder = draft / FOLDER
    folder.mkdir()
    tables = _tables(held)
    for schema in CATALOG:
        write_table(tables[schema.name], folder / _file(schema), schema)
    digests = {schema.name: _sha256(folder / _file(schema)) for schema in CATALOG}
    works = [work_of(one) for one in sorted(held, key=lambda one: one.name)]
    document = croissant_document(works, digests)
    (folder / DOCUMENT).write_text(
        json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8"
    )
    notes = [note for work in works for note in work.licences.notes]
    if "datePublished" not in document:
        notes.append("datePublished left out: nobody says when any of these datasets was released")
    return Written(notes=(*notes, "voxels stay in the store: `url` of the table `volumes` says where"))


def croissant_document(works: Sequence[Work], digests: Mapping[str, str]) -> dict[str, Any]:
    """The JSON-LD about the catalog of these works, whose tables have these SHA-256."""
    released = max((work.released_on[:10] for work in works if work.released_on), default=None)
    people = dict.fromkeys(person for work in works for person in work.people.persons)
    pages = [url for work in works if (url := work.url)]
    facts = {
        "@context": dict(CONTEXT),
        "@type": "sc:Dataset",
        "name": "em_assets_catalog",
        "description": _description(works),
        "conformsTo": CONFORMS_TO,
        "version": _version(digests),
        "license": _licences(works),
        "creator": [{"@type": "sc:Person", "name": person.in_full} for person in people],
        "datePublished": released,
        "url": pages[0] if len(works) == 1 and pages else None,
        "isBasedOn": pages,
        "citeAs": bibtex(works),
        "keywords": sorted({"electron microscopy", "volume", *(work.dataset for work in works)}),
        "distribution": [_file_object(schema, digests[schema.name]) for schema in CATALOG],
        "recordSet": [_record_set(schema) for schema in CATALOG],
    }
    return {key: value for key, value in facts.items() if value not in (None, [])}


def _tables(held: Sequence[Held]) -> "dict[str, pa.Table]":
    parts = [holdings({one.name: one.dataset}, one.settings) for one in held]
    return consolidate({name: part for each in parts for name, part in each.items()})


def _description(works: Sequence[Work]) -> str:
    made_up = [MADE_UP] if any(work.is_made_up for work in works) else []
    titles = "; ".join(f"{work.dataset}: {work.title}" for work in works)
    return " ".join(
        [
            f"Catalog of {len(works)} datasets of volume microscopy: every volume, raw file, original tag, claim and "
            "conflict. Lengths are nanometres, axes z, y, x, sizes bytes; null is unknown.",
            *made_up,
            titles,
        ]
    )


def _licences(works: Sequence[Work]) -> list[str]:
    """The licences of the data; that one is unknown stands among them, in words."""
    known = sorted({licence for work in works for licence in work.licences.known})
    unknown = [volume for work in works for volume in work.licences.unlicensed]
    said = [licence_url(licence) or licence for licence in known]
    return [*said, *([f"{UNKNOWN} This holds for {', '.join(unknown)}."] if unknown else [])]


def _version(digests: Mapping[str, str]) -> str:
    """That of the tables' schema, and a digest of what is in them: no two catalogs have one version."""
    text = "".join(f"{name} {digest}\n" for name, digest in sorted(digests.items()))
    return f"{SCHEMA_VERSION}+{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def _file_object(schema: TableSchema, sha256: str) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": _file(schema),
        "name": _file(schema),
        "description": schema.meaning,
        "contentUrl": _file(schema),
        "encodingFormat": "application/x-parquet",
        "sha256": sha256,
    }


def _record_set(schema: TableSchema) -> dict[str, Any]:
    keys = [{"@id": f"{schema.name}/{column}"} for column in KEYS.get(schema.name, ())]
    return {
        "@type": "cr:RecordSet",
        "@id": schema.name,
        "name": schema.name,
        "description": schema.meaning,
        **({"key": keys} if keys else {}),
        "field": [_field(schema, column) for column in schema.columns],
    }


def _field(schema: TableSchema, column: Column) -> dict[str, Any]:
    return {
        "@type": "cr:Field",
        "@id": f"{schema.name}/{column.name}",
        "name": column.name,
        "description": column.meaning,
        "dataType": DATA_TYPES[column.type],
        "source": {"fileObject": {"@id": _file(schema)}, "extract": {"column": column.name}},
    }


def _file(schema: TableSchema) -> str:
    return f"{schema.name}.parquet"


def _sha256(path: Path) -> str:
    with path.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
