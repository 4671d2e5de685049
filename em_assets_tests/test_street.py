"""Imports run one way; dagster and the environment have one place each; light commands stay light."""

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

import em_assets
from em_assets.catalog.schemas import OF_A_DATASET
from em_assets.catalog.tables import concat, write_table
from em_assets.sources.manifest import write_manifest

PACKAGE = Path(em_assets.__file__).parent

# A room may use the rooms before its own stage, and its own files.
STREET = [
    {"errors"},
    {"remote"},
    {"settings"},
    {"model"},
    {"units"},
    {"formats", "volumes"},
    {"sources"},
    {"datasets", "keeping"},
    {"evidence"},
    {"catalog", "blocks"},
    {"retention"},
    {"auditing", "building", "independent", "schema"},
    {"layouts"},
    {"checking", "inspecting", "judging"},
    {"page", "proving"},
    {"sample"},
    {"defs"},
    {"definitions"},
    {"terminal"},
    {"adding", "collecting", "exporting", "fetching", "planning", "showing", "starting", "viewing"},
    {"doctor"},
    {"cli"},
]
STAGE = {room: stage for stage, rooms in enumerate(STREET) for room in rooms}
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@cache
def imported_modules(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def imported_rooms(path: Path) -> set[str]:
    rooms = {name.split(".")[1] for name in imported_modules(path) if name.startswith("em_assets.")}
    return rooms - {"__version__", "open_volume", room_of(path)}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_imports_only_rooms_before_its_own(path: Path) -> None:
    later = {room for room in imported_rooms(path) if STAGE[room] > STAGE[room_of(path)]}
    assert later == set()


def test_every_room_has_its_place_in_the_street() -> None:
    assert {room_of(path) for path in MODULES} <= set(STAGE)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_dagster_is_imported_in_its_rooms_only(path: Path) -> None:
    uses_dagster = any(name.split(".")[0] == "dagster" for name in imported_modules(path))
    assert not uses_dagster or room_of(path) in ("defs", "definitions")


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_the_environment_is_read_in_settings_only(path: Path) -> None:
    text = path.read_text()
    assert room_of(path) == "settings" or ("os.environ" not in text and "getenv" not in text)


def modules_after(code: str, *arguments: str) -> set[str]:
    """The top-level modules that a fresh process has imported after `code`."""
    tail = "\nimport sys; sys.stderr.write('\\n' + ' '.join(m for m in sys.modules if '.' not in m))"
    done = subprocess.run(
        [sys.executable, "-c", code + tail, *arguments], capture_output=True, text=True, check=True, timeout=120
    )
    return set(done.stderr.splitlines()[-1].split())


LIGHT = {
    "import": "import em_assets",
    "open_volume": "from em_assets import open_volume",
    "tags": "from em_assets.cli import main; main(['tags', sys.argv[1]], standalone_mode=False)",
    "show": "from em_assets.cli import main; main(['show', 'epfl_hippocampus'], standalone_mode=False)",
    "conflicts": "from em_assets.cli import main; main(['conflicts', 'epfl_hippocampus'], standalone_mode=False)",
    "audit": "from em_assets.cli import main; main(['audit', sys.argv[3]], standalone_mode=False)",
    "ingest": "from em_assets.cli import main; main(['ingest', sys.argv[1], sys.argv[2]], standalone_mode=False)",
}


def store_with_tables(store: Path, dataset: str) -> None:
    """A store that holds a dataset without files: the tables that `show` and `conflicts` read, empty."""
    raw, metadata = store / "raw" / dataset, store / "metadata" / dataset
    raw.mkdir(parents=True)
    write_manifest(raw, [], "f00d")
    for schema in OF_A_DATASET:
        write_table(concat(schema, []), metadata / f"{schema.name}.parquet", schema)


@pytest.mark.parametrize("code", LIGHT.values(), ids=LIGHT.keys())
def test_a_light_command_imports_neither_dagster_nor_pandas(
    code: str, small_tiff: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EM_ASSETS_STORE", str(tmp_path / "store"))
    store_with_tables(tmp_path / "store", "epfl_hippocampus")
    claims = tmp_path / "claims.json"
    claims.write_text('[{"dataset": "epfl_hippocampus", "field": "technique", "value": "TEM"}]')
    modules = modules_after(f"import sys; {code}", str(small_tiff), str(tmp_path / "out.zarr"), str(claims))
    assert modules.isdisjoint({"dagster", "pandas"})
