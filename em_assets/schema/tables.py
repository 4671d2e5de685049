"""The Parquet tables as JSON Schema: one object is one row."""

from collections.abc import Mapping
from typing import Any

from em_assets.catalog.schemas import (
    BLOCK_INDEX,
    CATALOG,
    ORIGINAL_TAGS,
    POINTS,
    RECORD,
    Column,
    TableSchema,
    unit_in_name,
)
from em_assets.schema.classes import DIALECT

TABLES = (*CATALOG, ORIGINAL_TAGS, RECORD, BLOCK_INDEX, POINTS)
"""The catalog's, and the three that only a dataset's own folder has."""

_JSON_TYPES = {"string": "string", "int64": "integer", "float64": "number", "bool": "boolean"}


def table_schema(table: TableSchema, version: str, example: Mapping[str, Any] | None) -> dict[str, Any]:
    """JSON Schema of a row; `x-parquet-type` is how Parquet keeps the column, `x-sorted-by` how the rows lie."""
    return {
        "$schema": DIALECT,
        "$id": f"urn:em_assets:schema:{version}:table:{table.name}",
        "title": table.name,
        "description": table.meaning,
        "x-sorted-by": table.order,
        "type": "object",
        "properties": {column.name: _property(column) for column in table.columns},
        "required": table.column_names,
        "additionalProperties": False,
        **({"examples": [dict(example)]} if example else {}),
    }


def _property(column: Column) -> dict[str, Any]:
    json_type = _JSON_TYPES[column.type]
    unit = unit_in_name(column.name)
    return {
        "type": json_type if column.required else [json_type, "null"],
        "description": column.meaning,
        "x-parquet-type": column.type,
        **({"x-unit": unit} if unit else {}),
    }
