"""A dataset's tags and record as JSON, for people and programs without Parquet: made from the tables, never read back.

::

    metadata/<dataset>/metadata.json              each field of each volume: value, witness, rule, who disagrees
    metadata/<dataset>/tags/<file>.json           the tags of one file, or of the root of one zarr tree
    metadata/<dataset>/tags/<file>/<node>.json    the tags of one node below it
"""

import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from em_assets.catalog.schemas import CONFLICTS, FIELDS, ORIGINAL_TAGS
from em_assets.catalog.tables import write_text
from em_assets.model import Tag

if TYPE_CHECKING:
    import pyarrow as pa

TAGS_FOLDER = "tags"
METADATA_FILE = "metadata.json"

TEXT_TYPES = frozenset({"ASCII", "utf-16 text", "json:string", "text", "attribute", "bytes", "UNDEFINED"})
"""Declared types whose value is text as it stands; a value of any other type is JSON in the table."""

MAX_NAME = 120
MAX_PATH = 600
_UNSAFE = re.compile(r"[^\w.+ ()=-]")
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)


def write_dumps(folder: Path, tables: "Mapping[str, pa.Table]") -> None:
    """Write what these tables of one dataset can be told as, into its metadata folder; other tables are left alone.

    Each file is replaced in one step; files of tags that are no more are removed.
    """
    if ORIGINAL_TAGS.name in tables:
        _write_tags(folder / TAGS_FOLDER, tables[ORIGINAL_TAGS.name])
    if FIELDS.name in tables and CONFLICTS.name in tables:
        document = metadata_document(tables[FIELDS.name].to_pylist(), tables[CONFLICTS.name].to_pylist())
        write_text(json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n", folder / METADATA_FILE)


def metadata_document(fields: Sequence[Mapping[str, Any]], conflicts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The record with its witnesses, from rows of `FIELDS` and `CONFLICTS`; `dataset_fields` are of no one volume."""
    volumes: dict[str, dict[str, Any]] = {}
    of_dataset: dict[str, Any] = {}
    for row in fields:
        own = of_dataset if row["volume"] is None else volumes.setdefault(row["volume"], {})
        own[row["field"]] = _field(row, [one for one in conflicts if _concerns(one, row)])
    names = {row["dataset"] for row in fields}
    return {"dataset": min(names) if names else None, "volumes": volumes, "dataset_fields": of_dataset}


def tags_text(file: str, node: str, tags: Iterable[Tag]) -> str:
    """One file's or node's tags as JSON, a tag a line; the values of `tags` are text as in the table.

    Of two tags with one path (DM files have such) the later one is called `path#2`: a JSON object has each key once.
    """
    lines: dict[str, dict[str, str]] = {}
    for tag in tags:
        own = lines.setdefault(tag.container, {})
        path, number = tag.path, 2
        while path in own:
            path, number = f"{tag.path}#{number}", number + 1
        own[path] = f'    {_quoted(path)}: {{"type": {_quoted(tag.type)}, "value": {_value(tag)}}}'
    containers = [
        f"  {_quoted(container)}: {{\n" + ",\n".join(own.values()) + "\n  }" for container, own in lines.items()
    ]
    head = f'{{"file": {_quoted(file)}, "node": {_quoted(node)}, "containers": {{\n'
    return head + ",\n".join(containers) + "\n}}\n"


def dump_path(file: str, node: str) -> str:
    """Where a file's, or a node's, tags go below the folder of tags: never outside of it, whatever its name is."""
    parts = [_safe(part) for part in (*file.split("/"), *(node.split("/") if node else ()))]
    path = "/".join(parts)
    return f"{path if len(path) <= MAX_PATH else _digest(path)}.json"


class _Unit(NamedTuple):
    file: str
    node: str


def _write_tags(folder: Path, table: "pa.Table") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    written: set[Path] = set()
    for unit, tags in _by_unit(table):
        path = folder / dump_path(*unit)
        while path in written:  # two names that are one once they are made safe
            path = path.with_name(f"{path.stem}_.json")
        written.add(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        _replace(path, tags_text(*unit, tags))
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir() and not path.is_symlink():
            if not any(path.iterdir()):
                path.rmdir()
        elif path not in written:
            path.unlink()


def _by_unit(table: "pa.Table") -> Iterator[tuple[_Unit, list[Tag]]]:
    """The tags of each file or node, in the order of the table; a node is the folder of its documents."""
    rows = zip(*(table[name].to_pylist() for name in ORIGINAL_TAGS.column_names), strict=True)
    units: dict[_Unit, list[Tag]] = {}
    for file, container, path, value, kind in rows:
        units.setdefault(_Unit(file, container.rpartition("/")[0]), []).append(Tag(container, path, value, kind))
    yield from units.items()


def _value(tag: Tag) -> str:
    if tag.value is None:
        return "null"
    if tag.type in TEXT_TYPES or tag.type.startswith("char["):
        return _quoted(tag.value)
    try:
        json.loads(tag.value, parse_constant=_no_number)
    except ValueError:
        return _quoted(tag.value)
    return str(tag.value)


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is no JSON")


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _safe(part: str) -> str:
    """One name of a path, changed where some system would take it for something else; two names never become one."""
    safe = _UNSAFE.sub("_", part)
    is_plain = safe == part and len(part.encode()) <= MAX_NAME and part.strip(" .") == part and part != ""
    return part if is_plain and not _RESERVED.fullmatch(part) else f"{safe.strip(' .')[:40]}-{_digest(part)}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _replace(path: Path, text: str) -> None:
    """Whole or not at all. Not synced, as a tree may have thousands of nodes, and the table brings them all back."""
    temporary = path.with_name(f".{os.getpid()}.tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


def _field(row: Mapping[str, Any], conflicts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    witness = None
    if row["said_by"] is not None:
        witness = {key: row[key] for key in ("kind", "said_by", "locator")}
    return {
        "value": None if row["value"] is None else json.loads(row["value"]),
        "unit": row["unit"],
        "witness": witness,
        "rule": row["rule"],
        "n_agree": row["n_agree"],
        "n_disagree": row["n_disagree"],
        "conflicts": [_conflict(one) for one in conflicts],
    }


def _conflict(row: Mapping[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in row.items() if key not in ("dataset", "volume", "field")}
    return kept | {"value": json.loads(row["value"]), "other_value": json.loads(row["other_value"])}


def _concerns(conflict: Mapping[str, Any], field: Mapping[str, Any]) -> bool:
    """A conflict of the whole dataset concerns each of its volumes."""
    return bool(conflict["field"] == field["field"] and conflict["volume"] in (None, field["volume"]))
