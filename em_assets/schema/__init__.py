"""The schema of everything that is kept, built from the models and tables themselves: JSON Schema and Markdown.

::

    model.py, datasets, evidence ──┐
    catalog/schemas.py, views.py ──┴─▶ build() ──▶ schema/v<SCHEMA_VERSION>/ ◀── compared by a test

A class's fields are explained by the `Attributes` of its docstring or, where the class is kept as a table, by that
table's columns: there is no other text. What is committed for a version never changes once others use it; a change of
the models is a new `SCHEMA_VERSION`.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from em_assets.errors import UsageError
from em_assets.schema.classes import CLASSES, class_schema
from em_assets.schema.crosswalk import CROSSWALK
from em_assets.schema.enumerations import enumerations
from em_assets.schema.examples import example_rows
from em_assets.schema.markdown import classes_page, crosswalk_page, enumerations_page, index_page, tables_page
from em_assets.schema.tables import TABLES, table_schema

SCHEMA_VERSION = "1.0.0"
"""Raise the last number for a better text, the middle one for a new field or word, the first for anything else."""


def build() -> dict[str, str]:
    """Every file of this version by its name: the same text for the same models."""
    classes = {one.__name__: class_schema(one, SCHEMA_VERSION) for one in CLASSES}
    rows = example_rows()
    tables = {table.name: table_schema(table, SCHEMA_VERSION, rows.get(table.name)) for table in TABLES}
    words = enumerations()
    return {
        "README.md": index_page(SCHEMA_VERSION, classes, tables, words),
        "classes.md": classes_page(classes),
        "tables.md": tables_page(tables),
        "crosswalk.md": crosswalk_page(CROSSWALK),
        "enumerations.md": enumerations_page(words),
        "enumerations.json": _json(words),
        **{f"classes/{name}.schema.json": _json(schema) for name, schema in classes.items()},
        **{f"tables/{name}.schema.json": _json(schema) for name, schema in tables.items()},
    }


def committed(folder: Path) -> dict[str, str]:
    """Every file of this version as it lies below `folder`; empty where there is none."""
    root = folder / f"v{SCHEMA_VERSION}"
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {path.relative_to(root).as_posix(): path.read_text(encoding="utf-8") for path in files}


def write(folder: Path, *, is_rewrite: bool = False) -> Path:
    """Write this version's files below `folder`.

    Raises
    ------
    UsageError
        The version is there and the models say otherwise now, unless it is to be rewritten: nobody may use it yet.
    """
    root, files, kept = folder / f"v{SCHEMA_VERSION}", build(), committed(folder)
    if kept and kept != files and not is_rewrite:
        raise UsageError(
            f"{root} is there, and the models have changed since ({', '.join(differing(kept, files))}): raise "
            "SCHEMA_VERSION in em_assets/schema/__init__.py, or rewrite a version that nobody uses yet: "
            "make schema REWRITE=1"
        )
    for name in kept.keys() - files.keys():
        (root / name).unlink()
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    return root


def differing(kept: Mapping[str, str], files: Mapping[str, str]) -> list[str]:
    """Names of the files that are not the same in both."""
    return [name for name in sorted(kept.keys() | files.keys()) if kept.get(name) != files.get(name)]


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"
