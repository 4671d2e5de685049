"""SQL over the catalog: real questions are answered, and nothing but the catalog can be asked."""

from pathlib import Path

import pytest

from em_assets.catalog.consolidate import DatasetPart, consolidate
from em_assets.catalog.query import query
from em_assets.catalog.schemas import CATALOG
from em_assets.catalog.tables import write_table
from em_assets.errors import NotBuiltError, StoreError, UsageError
from em_assets.settings import Settings


@pytest.fixture
def settings(tmp_path: Path, zebrafish: DatasetPart, cell: DatasetPart) -> Settings:
    settings = Settings(store=tmp_path / "store", origin="sample")
    tables = consolidate({"zebrafish": zebrafish, "cell": cell})
    for schema in CATALOG:
        write_table(tables[schema.name], settings.catalog_dir / f"{schema.name}.parquet", schema)
    return settings


def test_which_volumes_have_a_z_step_other_than_their_xy(settings: Settings) -> None:
    answer = query("SELECT dataset, volume FROM volumes WHERE voxel_size_z_nm <> voxel_size_x_nm", settings)
    assert answer.to_pylist() == [{"dataset": "zebrafish", "volume": "em"}]


def test_every_tag_whose_path_contains_thickness(settings: Settings) -> None:
    answer = query("SELECT file, value FROM tags WHERE path ILIKE '%thickness%' ORDER BY file", settings)
    assert answer.to_pylist() == [
        {"file": "slice_0000.dm3", "value": "50.0"},
        {"file": "slice_0001.dm3", "value": "50.0"},
    ]


def test_tables_can_be_joined_and_counted(settings: Settings) -> None:
    sql = "SELECT d.title, count(*) AS n FROM volumes v JOIN datasets d USING (dataset) GROUP BY ALL ORDER BY n DESC"
    assert query(sql, settings).to_pylist() == [{"title": "A cell", "n": 2}, {"title": "A retina", "n": 1}]


def test_no_rows_are_an_answer_too(settings: Settings) -> None:
    answer = query("SELECT dataset FROM volumes WHERE dtype = 'int16'", settings)
    assert (answer.num_rows, answer.column_names) == (0, ["dataset"])


@pytest.mark.parametrize(
    "sql",
    [
        "SELEC 1",
        "SELECT * FROM neurons",
        "SELECT colour FROM volumes",
        "",
        "SELECT 1; SELECT 2",
        "CREATE TABLE mine (a INTEGER)",
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM '/etc/passwd'",
        "COPY (SELECT 1) TO '/tmp/em_assets_query.csv'",
        "ATTACH '/tmp/em_assets_query.db'",
        "SET enable_external_access = true",
        "INSTALL httpfs",
        "SELECT * FROM tables",
    ],
    ids=str,
)
def test_what_cannot_be_asked_is_a_usage_error(sql: str, settings: Settings) -> None:
    with pytest.raises(UsageError):
        query(sql, settings)


def test_an_error_lists_the_tables(settings: Settings) -> None:
    with pytest.raises(UsageError, match=r"neurons(.|\n)*Tables: datasets, tags, volumes"):
        query("SELECT * FROM neurons", settings)


def test_no_catalog_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(NotBuiltError, match="make demo"):
        query("SELECT 1", Settings(store=tmp_path))


def test_a_torn_table_is_an_error_of_the_store(settings: Settings) -> None:
    (settings.catalog_dir / "volumes.parquet").write_bytes(b"PAR1")
    with pytest.raises(StoreError, match=r"volumes\.parquet"):
        query("SELECT 1", settings)
