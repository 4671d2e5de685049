"""The committed schema is what the models say; a changed model is a new version."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from em_assets.catalog import schemas
from em_assets.errors import UsageError
from em_assets.schema import SCHEMA_VERSION, build, committed, differing, write
from em_assets.schema.classes import CLASSES, meanings_of

SCHEMA = Path(__file__).resolve().parents[2] / "schema"


@pytest.fixture(scope="module")
def built() -> dict[str, str]:
    return build()


def test_what_is_committed_is_what_the_models_say(built: dict[str, str]) -> None:
    changed = differing(committed(SCHEMA), built)
    assert changed == [], (
        f"schema/v{SCHEMA_VERSION} is not what the models say now: raise SCHEMA_VERSION (em_assets/schema/__init__.py) "
        "and run `make schema`; while nobody uses this version yet, `make schema REWRITE=1` will do"
    )


def test_building_twice_gives_the_same_text(built: dict[str, str]) -> None:
    assert build() == built


def test_a_version_that_is_there_is_not_rewritten_unasked(tmp_path: Path) -> None:
    root = write(tmp_path)
    assert write(tmp_path) == root
    (root / "tables.md").write_text("as the models were\n")
    with pytest.raises(UsageError, match=r"tables\.md.*raise SCHEMA_VERSION"):
        write(tmp_path)
    assert (root / "tables.md").read_text() == "as the models were\n"


def test_a_rewritten_version_keeps_no_stale_file(tmp_path: Path, built: dict[str, str]) -> None:
    root = write(tmp_path)
    (root / "classes" / "Gone.schema.json").write_text("{}")
    write(tmp_path, is_rewrite=True)
    assert committed(tmp_path) == built


@pytest.mark.parametrize("one", CLASSES, ids=lambda one: one.__name__)
def test_every_field_of_a_class_has_a_meaning(one: type[Any], built: dict[str, str]) -> None:
    schema = json.loads(built[f"classes/{one.__name__}.schema.json"])
    assert [name for name, of in schema["properties"].items() if not of["description"]] == []
    assert [line for line in meanings_of(one) if " " in line] == []


@pytest.mark.parametrize("name", [one.__name__ for one in CLASSES])
def test_the_example_of_a_class_is_valid(name: str, built: dict[str, str]) -> None:
    schema = json.loads(built[f"classes/{name}.schema.json"])
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(schema["examples"][0], schema)


@pytest.mark.parametrize("table", schemas.CATALOG, ids=lambda table: table.name)
def test_the_example_of_a_table_is_valid(table: schemas.TableSchema, built: dict[str, str]) -> None:
    schema = json.loads(built[f"tables/{table.name}.schema.json"])
    jsonschema.validate(schema["examples"][0], schema)
    assert list(schema["properties"]) == table.column_names


def test_a_key_that_is_not_declared_is_refused(built: dict[str, str]) -> None:
    schema = json.loads(built["classes/Claim.schema.json"])
    with pytest.raises(jsonschema.ValidationError, match="colour"):
        jsonschema.validate(schema["examples"][0] | {"colour": "red"}, schema)


def test_lengths_say_their_unit(built: dict[str, str]) -> None:
    columns = json.loads(built["tables/volumes.schema.json"])["properties"]
    assert (columns["voxel_size_z_nm"]["x-unit"], columns["source_bytes"]["x-unit"]) == ("nm", "byte")
    lengths = [name for name in columns if name.endswith("_nm")]
    assert [name for name in lengths if columns[name]["x-unit"] != "nm"] == []


def test_techniques_carry_the_ids_that_were_seen_and_no_others(built: dict[str, str]) -> None:
    words = {row["value"]: row["id"] for row in json.loads(built["enumerations.json"])["technique"]["values"]}
    assert {word: identifier for word, identifier in words.items() if identifier} == {
        "FIB-SEM": "FBbi_00050000",
        "SBF-SEM": "FBbi_00000585",
        "TEM": "FBbi_00000258",
    }


def test_the_pages_name_every_table_class_and_vocabulary(built: dict[str, str]) -> None:
    index = built["README.md"]
    assert [one.__name__ for one in CLASSES if f"[{one.__name__}]" not in index] == []
    assert [table.name for table in schemas.CATALOG if f"[{table.name}]" not in index] == []
    assert [name for name in json.loads(built["enumerations.json"]) if f"[{name}]" not in index] == []


def test_docs_catalog_names_every_table_and_view(built: dict[str, str]) -> None:
    page = (SCHEMA.parent / "docs" / "catalog.md").read_text()
    views = [row["value"] for row in json.loads(built["enumerations.json"])["view"]["values"]]
    assert [name for name in [*(table.name for table in schemas.CATALOG), *views] if f"`{name}`" not in page] == []
