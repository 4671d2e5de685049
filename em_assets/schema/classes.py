"""The models as JSON Schema: what pydantic says of their types, and what their docstrings say of their meaning."""

import inspect
import re
from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter

from em_assets.catalog import schemas
from em_assets.catalog.schemas import TableSchema, unit_in_name
from em_assets.datasets import Dataset
from em_assets.evidence import Resolution
from em_assets.model import Claim, Conflict, Part, RawFile, RemoteFile, Source, Statement, Tag, VolumeRecord, Witness
from em_assets.schema.examples import EXAMPLES

CLASSES: tuple[type[Any], ...] = (
    Dataset,
    Source,
    Part,
    Statement,
    RemoteFile,
    RawFile,
    Tag,
    Witness,
    Claim,
    Resolution,
    Conflict,
    VolumeRecord,
)

KEPT_AS: Mapping[type[Any], TableSchema] = {
    RawFile: schemas.FILES,
    RemoteFile: schemas.FILES,
    Tag: schemas.TAGS,
    Witness: schemas.CLAIMS,
    Claim: schemas.CLAIMS,
    Conflict: schemas.CONFLICTS,
    VolumeRecord: schemas.RECORD,
    Resolution: schemas.FIELDS,
}
"""The table whose columns mean what the fields of a class mean."""

DIALECT = "https://json-schema.org/draft/2020-12/schema"

_ATTRIBUTES = re.compile(r"\n*^Attributes\n-+\n(?P<entries>.*)\Z", re.MULTILINE | re.DOTALL)


def class_schema(one: type[Any], version: str) -> dict[str, Any]:
    """JSON Schema of a class, every field with its meaning and, where its name ends in one, its unit.

    Raises
    ------
    KeyError
        Nobody says what a field means.
    """
    schema = _types_of(one)
    by_name = {known.__name__: known for known in CLASSES}
    for name, definition in schema.get("$defs", {}).items():
        if name in by_name:  # any JSON value has a definition too, and needs no explanation
            _explain(definition, by_name[name])
    _explain(schema, one)
    schema["title"] = one.__name__
    heading = {"$schema": DIALECT, "$id": f"urn:em_assets:schema:{version}:{one.__name__}"}
    return heading | schema | {"examples": [_plain(one, EXAMPLES[one])]}


def summary_of(one: type[Any]) -> str:
    """What a class is: its docstring without the part on its fields."""
    return _ATTRIBUTES.sub("", inspect.getdoc(one) or "").strip()


def meanings_of(one: type[Any]) -> dict[str, str]:
    """What each field means: as the docstring says or, where it does not, as the class's table does."""
    table = KEPT_AS.get(one)
    columns = {column.name: column.meaning for column in table.columns} if table else {}
    return columns | _attributes(inspect.getdoc(one) or "")


def _types_of(one: type[Any]) -> dict[str, Any]:
    if not issubclass(one, tuple):
        return TypeAdapter(one).json_schema()
    # A named tuple is printed and kept by names, not as a list.
    properties = {name: TypeAdapter(kind).json_schema() for name, kind in one.__annotations__.items()}
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def _explain(schema: dict[str, Any], one: type[Any]) -> None:
    meanings = meanings_of(one)
    schema["description"] = summary_of(one)
    for name, definition in schema["properties"].items():
        definition.pop("title", None)
        definition["description"] = meanings[name]
        if unit := unit_in_name(name):
            definition["x-unit"] = unit


def _attributes(docstring: str) -> dict[str, str]:
    """`a, b` on a line of its own, its meaning indented beneath: numpy's way."""
    found = _ATTRIBUTES.search(docstring)
    meanings: dict[str, str] = {}
    names: list[str] = []
    for line in found["entries"].splitlines() if found else ():
        if line and not line[0].isspace():
            names = [name.strip() for name in line.split(",")]
        elif line.strip():
            meanings |= {name: f"{meanings.get(name, '')} {line.strip()}".strip() for name in names}
    return meanings


def _plain(one: type[Any], example: Any) -> Any:
    return (
        example._asdict()
        if issubclass(one, tuple)
        else TypeAdapter(one).dump_python(example, mode="json", by_alias=True)
    )
