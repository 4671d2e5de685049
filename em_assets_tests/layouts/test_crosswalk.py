"""The crosswalk: every field of the record, and no term that nobody has."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from full_record import FULL, crate_of
from pydantic import BaseModel

from em_assets.layouts import cryoet_schema
from em_assets.model import VolumeRecord
from em_assets.schema import build
from em_assets.schema.crosswalk import CROSSWALK, Row

by_field = pytest.mark.parametrize("row", CROSSWALK, ids=lambda row: row.field)


def test_every_field_of_the_record_has_its_row_in_their_order() -> None:
    assert [row.field for row in CROSSWALK] == list(VolumeRecord.model_fields)


@by_field
def test_every_counterpart_has_a_term_or_says_why_not(row: Row) -> None:
    assert all(one.terms or one.note for one in (row.cryoet, row.visor, row.ro_crate))
    assert row.ro_crate.terms  # of our own making, so every field has one


def below(model: type[BaseModel], name: str) -> type[BaseModel] | None:
    """The class of a field, where it is one."""
    kinds = [model.model_fields[name].annotation, *get_args(model.model_fields[name].annotation)]
    return next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)), None)


@by_field
def test_terms_of_cryoet_are_fields_of_its_classes(row: Row) -> None:
    for term in row.cryoet.terms:
        name, *fields = term.split(".")
        model: type[BaseModel] | None = getattr(cryoet_schema, name)
        for field in fields:
            assert model is not None
            assert field in model.model_fields
            model = below(model, field)


def test_terms_of_cryoet_stand_in_the_schema_as_published(shared: Path) -> None:
    text = (shared / "tools" / "validators" / "cryoet_v1.1.0_fields.md").read_text()
    known = set(re.findall(r"^- `(\w+)`", text, re.MULTILINE))
    said = {field for row in CROSSWALK for term in row.cryoet.terms for field in term.split(".")[1:]}
    assert said - known == set()


def keys_of(value: Any) -> Iterator[str]:
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from keys_of(inner)
    yield from value if isinstance(value, dict) else ()


def test_terms_of_visor_are_keys_of_a_real_sample(shared: Path) -> None:
    documents = (shared / "data" / "visor").rglob("*.json")
    known = {key for path in documents for key in keys_of(json.loads(path.read_text()))}
    said = {
        word for row in CROSSWALK for term in row.visor.terms for word in term.replace("info.json: ", "").split(": ")
    }
    assert said - known == {"zarr.json"}


@by_field
def test_terms_of_ro_crate_stand_in_a_crate_that_we_write(row: Row) -> None:
    labels = FULL.model_copy(update={"volume": "cells", "content": "labels", "labels_of": "em"})
    graph = [*crate_of(FULL, labels), *crate_of(FULL)]
    for term in row.ro_crate.terms:
        kind, _, name = term.replace(": ", ".").partition(".")
        of_kind = [entity for entity in graph if entity["@type"] == kind]
        assert any(name in entity or entity.get("name") == name for entity in of_kind)


def test_the_page_has_a_line_for_every_field_and_is_linked_from_the_class() -> None:
    files = build()
    lines = [line for line in files["crosswalk.md"].splitlines() if line.startswith("| `")]
    assert [line.split("`")[1] for line in lines] == list(VolumeRecord.model_fields)
    assert "[crosswalk](crosswalk.md)" in files["README.md"]
    assert "[crosswalk](crosswalk.md)" in files["classes.md"].partition("## VolumeRecord")[2]
