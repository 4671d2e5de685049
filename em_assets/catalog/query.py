"""SQL over the catalog: DuckDB reads the Parquet tables, and views of them, and nothing else."""

import math
from collections.abc import Container, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from em_assets.catalog.schemas import BLOCK_INDEX, POINTS
from em_assets.catalog.views import VIEWS
from em_assets.errors import NotBuiltError, StoreError, UsageError
from em_assets.keeping import bring_folder, bring_from_every_dataset
from em_assets.settings import Settings

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

QUESTIONS = ("SELECT", "EXPLAIN")
"""DuckDB's words for statements that change nothing; DESCRIBE, SHOW and SUMMARIZE are SELECT to it."""


OF_EVERY_DATASET = (BLOCK_INDEX, POINTS)
"""Tables that are asked like the catalog's, and lie beside each dataset's own."""


def query(sql: str, settings: Settings) -> "pa.Table":
    """The rows that one SQL question has for its answer; the catalog's tables and `VIEWS` have their own names.

    Raises
    ------
    NotBuiltError
        There is no catalog yet.
    UsageError
        DuckDB refuses the question; the message lists the tables and views.
    StoreError
        A table of the catalog cannot be read.
    """
    import duckdb

    bring_folder(settings, settings.catalog_dir)
    for schema in OF_EVERY_DATASET:
        bring_from_every_dataset(settings, f"{schema.name}.parquet")
    tables = _catalog_tables(settings.catalog_dir) | _tables_of_datasets(settings)
    with duckdb.connect(":memory:") as connection:
        _register(connection, tables)
        views = _add_views(connection, tables)
        _lock(connection)
        try:
            return _answer(connection, sql)
        except duckdb.Error as error:
            # What follows the first empty line repeats the question with a mark under a word.
            said = " ".join(str(error).partition("\n\n")[0].split())
            raise UsageError(f"{said} (Tables: {', '.join(tables)}. Views: {', '.join(views)})") from error


def rows_of(answer: "pa.Table") -> list[dict[str, Any]]:
    """The answer's rows for printing: a name that two columns share is numbered, NaN is None, bytes are hexadecimal."""
    rows = answer.rename_columns(_numbered(answer.column_names)).to_pylist()
    return [{name: _printable(value) for name, value in row.items()} for row in rows]


def _tables_of_datasets(settings: Settings) -> dict[str, list[Path]]:
    """Those of all datasets as one table each: they have a row a chunk or point, so they are read where they lie."""
    folder = settings.metadata_dir("_").parent
    found = {schema.name: sorted(folder.glob(f"*/{schema.name}.parquet")) for schema in OF_EVERY_DATASET}
    return {name: paths for name, paths in found.items() if paths}


def _catalog_tables(folder: Path) -> dict[str, list[Path]]:
    tables = {path.stem: [path] for path in sorted(folder.glob("*.parquet")) if not path.name.startswith(".")}
    if not tables:
        raise NotBuiltError(f"{folder}: no catalog yet; `em-assets fetch DATASET` or `make demo` makes it")
    return tables


def _register(connection: "duckdb.DuckDBPyConnection", tables: dict[str, list[Path]]) -> None:
    """Make views of the tables. Arrow opens the files, so DuckDB itself needs no right to any."""
    import pyarrow as pa
    import pyarrow.dataset as arrow_dataset

    for name, paths in tables.items():
        try:
            connection.register(name, arrow_dataset.dataset(list(map(str, paths)), format="parquet"))
        except (pa.ArrowInvalid, OSError) as error:
            raise StoreError(
                f"{', '.join(map(str, paths))}: no readable Parquet ({error}); materialize `{name}` again"
            ) from error


def _add_views(connection: "duckdb.DuckDBPyConnection", tables: Container[str]) -> list[str]:
    """Make the views whose tables are there: a catalog that an older version made may lack some."""
    views = [view for view in VIEWS if all(table in tables for table in view.tables)]
    for view in views:
        connection.execute(f"CREATE TEMP VIEW {view.name} AS {view.sql}")
    return [view.name for view in views]


def _lock(connection: "duckdb.DuckDBPyConnection") -> None:
    # Without the first a question could name this module's own variables as tables.
    connection.execute("SET python_enable_replacements = false")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")


def _answer(connection: "duckdb.DuckDBPyConnection", sql: str) -> "pa.Table":
    statements = connection.extract_statements(sql)
    if len(statements) != 1:
        raise UsageError(f"one SQL statement expected, found {len(statements)}: {sql!r}")
    if statements[0].type.name not in QUESTIONS:
        raise UsageError(f"a question expected, like SELECT …, DESCRIBE … or EXPLAIN …; found {sql!r}")
    relation: Any = connection.sql(sql)
    answer: pa.Table = relation.to_arrow_table()
    return answer


def _numbered(names: Sequence[str]) -> list[str]:
    """`a, a, b` becomes `a, a_2, b`: rows are mappings, in which one name has one place."""
    numbered: list[str] = []
    for name in names:
        number, candidate = 2, name
        while candidate in numbered:
            number, candidate = number + 1, f"{name}_{number}"
        numbered.append(candidate)
    return numbered


def _printable(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.hex()
    return None if isinstance(value, float) and not math.isfinite(value) else value
