"""The schema as pages for people: the same facts as the JSON Schema beside them."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from em_assets.schema.crosswalk import CRYOET, RO_CRATE, VISOR, Counterpart, Row, address_of_term

GENERATED = "<!-- Built by `make schema` from the models; a test compares. Change the models, not this page. -->"

CROSSED = "VolumeRecord"
"""The class whose fields the crosswalk has."""


def index_page(version: str, classes: Mapping[str, Any], tables: Mapping[str, Any], words: Mapping[str, Any]) -> str:
    """What there is, in one line each."""
    return _page(
        f"Schema {version}",
        "Lengths are nanometres, axes are z, y, x, sizes are bytes, dates are ISO 8601. Null is unknown, and never a "
        "default that looks measured.",
        "## Tables",
        "The Parquet tables. JSON Schema of their rows: `tables/`.",
        _table(("table", "a row is", "sorted by"), [_linked("tables", name, one) for name, one in tables.items()]),
        "## Classes",
        "The words of the catalog. JSON Schema: `classes/`.",
        _table(
            ("class", "what it is"),
            [(f"[{name}](classes.md#{name.lower()})", _first_line(one)) for name, one in classes.items()],
        ),
        "## Crosswalk",
        "What each field of a record is called in cryoET's, VISoR's and RO-Crate's words: [crosswalk](crosswalk.md).",
        "## Vocabularies",
        "As JSON: `enumerations.json`.",
        _table(
            ("vocabulary", "what it is", "words"),
            [(f"[{name}](enumerations.md#{name})", one["meaning"], len(one["values"])) for name, one in words.items()],
        ),
    )


def classes_page(classes: Mapping[str, Any]) -> str:
    """Every class with its fields and an example."""
    return _page("Classes", *(part for name, schema in classes.items() for part in _class(name, schema)))


def tables_page(tables: Mapping[str, Any]) -> str:
    """Every table with its columns and an example."""
    return _page("Tables", *(part for name, schema in tables.items() for part in _parquet(name, schema)))


def enumerations_page(words: Mapping[str, Any]) -> str:
    """Every vocabulary with its words."""
    parts = []
    for name, one in words.items():
        keys = list(one["values"][0])
        rows = [[row[key] for key in keys] for row in one["values"]]
        parts += [f"## {name}", f"{_sentence(one['meaning'])}.", _table(keys, rows)]
    return _page("Vocabularies", *parts)


def crosswalk_page(rows: Iterable[Row]) -> str:
    """Every field of the record with its counterparts elsewhere."""
    heading = ("field", "[cryoET data portal v1.1.0][cryoet]", "[VISoR 2025.6.1][visor]", "[RO-Crate 1.1][crate]")
    return _page(
        "Crosswalk",
        "What each field of a [VolumeRecord](classes.md#volumerecord) is called in other schemas, for those who read "
        "our exports or map data of their own. A dash: it has no counterpart there, and why.",
        _table(heading, [_crossed(row) for row in rows]),
        f"[cryoet]: {CRYOET}\n[visor]: {VISOR}\n[crate]: {RO_CRATE}",
    )


def _crossed(row: Row) -> tuple[str, str, str, str]:
    return (
        f"`{row.field}`",
        _counterpart(row.cryoet, [f"[`{term}`][cryoet]" for term in row.cryoet.terms]),
        _counterpart(row.visor, [f"[`{term}`][visor]" for term in row.visor.terms]),
        _counterpart(row.ro_crate, [f"[`{term}`]({address_of_term(term)})" for term in row.ro_crate.terms]),
    )


def _counterpart(counterpart: Counterpart, links: Sequence[str]) -> str:
    note = f" ({counterpart.note})" if counterpart.note else ""
    return f"{', '.join(links) or '—'}{note}"


def _class(name: str, schema: Mapping[str, Any]) -> list[str]:
    required = schema.get("required", ())
    rows = [
        (
            f"`{field}`",
            _type(of),
            "required" if field in required else json.dumps(of.get("default"), ensure_ascii=False),
            of.get("x-unit", ""),
            of["description"],
        )
        for field, of in schema["properties"].items()
    ]
    table = _table(("field", "type", "default", "unit", "meaning"), rows)
    elsewhere = ["What each field is called in other schemas: [crosswalk](crosswalk.md)."] * (name == CROSSED)
    return [f"## {name}", schema["description"], *elsewhere, table, _example(schema)]


def _parquet(name: str, schema: Mapping[str, Any]) -> list[str]:
    rows = [
        (
            f"`{column}`",
            of["x-parquet-type"],
            "no" if isinstance(of["type"], str) else "yes",
            of.get("x-unit", ""),
            of["description"],
        )
        for column, of in schema["properties"].items()
    ]
    said = f"{_sentence(schema['description'])}. Sorted by {schema['x-sorted-by']}."
    return [f"## {name}", said, _table(("column", "type", "null", "unit", "meaning"), rows), _example(schema)]


def _type(of: Mapping[str, Any]) -> str:
    """A type in words: `integer or null`, `list of string`, `"em" or "labels"`."""
    if "$ref" in of:
        name = of["$ref"].rpartition("/")[2]
        return "any JSON" if name == "JsonValue" else f"[{name}](#{name.lower()})"
    if "anyOf" in of:
        return " or ".join(dict.fromkeys(_type(one) for one in of["anyOf"]))
    if "enum" in of or "const" in of:
        return " or ".join(f'"{word}"' for word in of.get("enum", [of.get("const")]))
    if of.get("type") != "array":
        return str(of.get("type", "any JSON"))
    if "prefixItems" in of:
        items = list(dict.fromkeys(_type(one) for one in of["prefixItems"]))
        return f"{len(of['prefixItems'])} × {' or '.join(items)}"
    return f"list of {_type(of.get('items', {}))}"


def _example(schema: Mapping[str, Any]) -> str:
    examples = schema.get("examples", ())
    text = json.dumps(examples[0], indent=2, ensure_ascii=False) if examples else "none"
    return f"```json\n{text}\n```"


def _linked(page: str, name: str, schema: Mapping[str, Any]) -> tuple[str, str, str]:
    return f"[{name}]({page}.md#{name})", _sentence(schema["description"]), schema["x-sorted-by"]


def _first_line(schema: Mapping[str, Any]) -> str:
    return str(schema["description"]).partition("\n\n")[0]


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _page(title: str, *parts: str) -> str:
    return "\n\n".join([f"# {title}", GENERATED, *parts]) + "\n"


def _table(heading: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    lines = [heading, ["---"] * len(heading), *rows]
    return "\n".join("| " + " | ".join(_cell(value) for value in line) + " |" for line in lines)


def _cell(value: Any) -> str:
    text = "" if value is None else ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return " ".join(text.split()).replace("|", "\\|")
