"""The catalog as Croissant: mlcroissant reads it without a network and yields what the catalog holds."""

import json
import socket
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from em_assets import layouts
from em_assets.catalog.schemas import CATALOG, VOLUMES
from em_assets.catalog.tables import read_table
from em_assets.layouts import croissant
from em_assets.layouts.interface import Exported
from em_assets.settings import Settings


@pytest.fixture(scope="module")
def exported(held_settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    (done,) = layouts.export([], held_settings, "croissant", tmp_path_factory.mktemp("croissant"))
    return done


@pytest.fixture(scope="module")
def folder(exported: Exported) -> Path:
    return Path(exported.dest) / croissant.FOLDER


@pytest.fixture(scope="module")
def document(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / croissant.DOCUMENT).read_text())
    return found


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture
def dataset(folder: Path, no_network: None) -> Iterator[Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of the libraries that it imports
        import mlcroissant

        yield mlcroissant.Dataset(jsonld=folder / croissant.DOCUMENT)


def text(value: Any) -> Any:
    return value.decode() if isinstance(value, bytes) else value


def test_mlcroissant_yields_every_volume_with_the_values_of_the_catalog(dataset: Any, folder: Path) -> None:
    expected = read_table(folder / "volumes.parquet", VOLUMES).to_pylist()
    rows = [
        {key.removeprefix("volumes/"): text(value) for key, value in row.items()} for row in dataset.records("volumes")
    ]
    wanted = ("dataset", "volume", "shape_z", "voxel_size_z_nm", "licence", "url")
    assert [[row[name] for name in wanted] for row in rows] == [[row[name] for name in wanted] for row in expected]
    assert len(rows) == 10


def test_mlcroissant_finds_nothing_to_complain_of(dataset: Any) -> None:
    issues = dataset.metadata.ctx.issues
    assert (issues.errors, issues.warnings) == (set(), set())


@pytest.mark.parametrize("schema", CATALOG, ids=lambda schema: schema.name)
def test_every_column_of_every_table_is_a_field_with_its_meaning(schema: Any, document: dict[str, Any]) -> None:
    (record_set,) = [one for one in document["recordSet"] if one["@id"] == schema.name]
    fields = {field["name"]: field["description"] for field in record_set["field"]}
    assert fields == {column.name: column.meaning for column in schema.columns}


def test_a_licence_that_nobody_says_stands_among_the_licences(document: dict[str, Any], exported: Exported) -> None:
    *known, unknown = document["license"]
    assert known == ["https://spdx.org/licenses/CC-BY-4.0", "https://spdx.org/licenses/CC0-1.0"]
    assert unknown.startswith("Licence unknown")
    assert "epfl_hippocampus/em" in unknown
    assert "licence of epfl_hippocampus/em unknown" in exported.notes


def test_made_up_voxels_are_called_so(document: dict[str, Any]) -> None:
    assert "Made up" in document["description"]


def test_two_selections_are_two_versions(held_settings: Settings, document: dict[str, Any], tmp_path: Path) -> None:
    layouts.export(["u2os_chromatin"], held_settings, "croissant", tmp_path)
    other = json.loads((tmp_path / croissant.FOLDER / croissant.DOCUMENT).read_text())
    assert other["version"] != document["version"]
    assert other["license"] == ["https://spdx.org/licenses/CC-BY-4.0"]


def test_a_required_licence_refuses_what_has_none_and_writes_nothing(held_settings: Settings, tmp_path: Path) -> None:
    from em_assets.errors import EvidenceError
    from em_assets.layouts.interface import Options

    with pytest.raises(EvidenceError, match="epfl_hippocampus/em"):
        layouts.export(
            ["u2os_chromatin", "epfl_hippocampus"], held_settings, "croissant", tmp_path, Options(require_licence=True)
        )
    assert list(tmp_path.iterdir()) == []
