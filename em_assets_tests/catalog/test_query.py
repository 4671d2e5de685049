"""SQL over the catalog: real questions are answered, and nothing but the catalog can be asked."""

import re
from pathlib import Path

import pytest

from em_assets.catalog.consolidate import DatasetPart, consolidate
from em_assets.catalog.query import query, rows_of
from em_assets.catalog.schemas import CATALOG
from em_assets.catalog.tables import write_table
from em_assets.catalog.views import VIEWS, View
from em_assets.errors import NotBuiltError, StoreError, UsageError
from em_assets.evidence.fields import FIELDS
from em_assets.settings import Settings

REPOSITORY = Path(__file__).resolve().parents[2]


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


def test_columns_of_one_name_are_all_kept(settings: Settings) -> None:
    """A join that keeps both keys once printed one of them, and blank where the other table had no row."""
    answer = query("SELECT 1 AS a, 2 AS a, 'NaN'::DOUBLE AS b, 3 AS a_2", settings)
    assert rows_of(answer) == [{"a": 1, "a_2": 2, "b": None, "a_2_2": 3}]


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
    with pytest.raises(UsageError, match=r"neurons(.|\n)*Tables: claims, conflicts, datasets, .* Views: anisotropic"):
        query("SELECT * FROM neurons", settings)


def test_anisotropic_volumes_are_those_that_are_no_cubes(settings: Settings) -> None:
    (row,) = query("SELECT * FROM anisotropic_volumes", settings).to_pylist()
    assert (row["dataset"], row["volume"]) == ("zebrafish", "em")
    assert row["anisotropy"] == pytest.approx(50 / 7.998250424861908)


def test_unknown_fields_can_be_counted(settings: Settings) -> None:
    answer = query("SELECT dataset, count(*) AS n FROM unknown_fields GROUP BY dataset", settings)
    assert answer.to_pylist() == [{"dataset": "zebrafish", "n": len(FIELDS) - 1}]


def test_who_says_so_can_be_asked(settings: Settings) -> None:
    answer = query("SELECT said_by FROM known_fields WHERE field = 'voxel_size_z_nm'", settings)
    assert answer.to_pylist() == [{"said_by": "slice_0000.dm3"}]


def test_tag_paths_count_datasets_and_files(settings: Settings) -> None:
    sql = "SELECT n_datasets, n_files FROM tag_paths WHERE path = 'ImageList.*.ImageData.Dimensions'"
    assert query(sql, settings).to_pylist() == [{"n_datasets": 1, "n_files": 2}]


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.name)
def test_every_view_can_be_asked(view: View, settings: Settings) -> None:
    assert query(f"SELECT * FROM {view.name}", settings).num_columns > 1


@pytest.mark.parametrize("page", ["README.md", "docs/catalog.md"])
def test_the_questions_of_the_pages_are_answered(page: str, settings: Settings) -> None:
    (block,) = re.findall(r"^```sql\n(.*?)^```", (REPOSITORY / page).read_text(), re.MULTILINE | re.DOTALL)
    questions = re.findall(r"SELECT[^;]+;", block)
    assert len(questions) >= 3
    assert all(query(question, settings).num_rows for question in questions)


def test_a_catalog_of_an_older_version_has_fewer_views(settings: Settings) -> None:
    for name in ("fields", "conflicts", "tags"):
        (settings.catalog_dir / f"{name}.parquet").unlink()
    with pytest.raises(UsageError, match=r"Views: anisotropic_volumes\)"):
        query("SELECT * FROM unknown_fields", settings)


def test_no_catalog_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(NotBuiltError, match="make demo"):
        query("SELECT 1", Settings(store=tmp_path))


def test_a_torn_table_is_an_error_of_the_store(settings: Settings) -> None:
    (settings.catalog_dir / "volumes.parquet").write_bytes(b"PAR1")
    with pytest.raises(StoreError, match=r"volumes\.parquet"):
        query("SELECT 1", settings)
