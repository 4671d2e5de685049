"""Tables as they are kept: models ↔ Arrow ↔ Parquet, schema enforced, the same bytes for the same rows.

A table file is there when it is whole: it is written beside, synced and renamed. What a killed writer left beside is
`volumes.staging.sweep`'s to remove.
"""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from em_assets.catalog.schemas import CLAIMS, CONFLICTS, ORIGINAL_TAGS, RECORD, TableSchema
from em_assets.errors import NotBuiltError, StoreError
from em_assets.model import Claim, Conflict, Tag, VolumeRecord
from em_assets.sources.partial import unwritable, writable
from em_assets.volumes.staging import staging_folder

if TYPE_CHECKING:
    import pyarrow as pa

ROW_GROUP_ROWS = 128 * 1024
"""Fixed, so that the same rows give the same bytes; small, so that a filter on sorted rows skips most of a table."""


def tags_table(file: str, tags: Iterable[Tag]) -> "pa.Table":
    """A file's tags as rows of `ORIGINAL_TAGS`, in their own order; `concat` joins those of several files."""
    # One at a time, so that a long list is text before the next one comes.
    rows = [(tag.container, tag.path, _text(tag.value), tag.type) for tag in tags]
    names = ("container", "path", "value", "type")
    columns = {name: [row[place] for row in rows] for place, name in enumerate(names)}
    return _table(ORIGINAL_TAGS, {"file": [file] * len(rows)} | columns)


def claims_table(claims: Iterable[Claim]) -> "pa.Table":
    """Claims as rows of `CLAIMS`; a value is JSON."""
    return table_of_rows(CLAIMS, [claim.model_dump() | {"value": _json(claim.value)} for claim in claims])


def claims_of_table(table: "pa.Table") -> list[Claim]:
    """The claims that `claims_table` wrote."""
    return [Claim(**(row | {"value": json.loads(row["value"])})) for row in table.to_pylist()]


def conflicts_table(conflicts: Iterable[Conflict]) -> "pa.Table":
    """Conflicts as rows of `CONFLICTS`; both values are JSON."""
    rows = [
        conflict.model_dump() | {"value": _json(conflict.value), "other_value": _json(conflict.other_value)}
        for conflict in conflicts
    ]
    return table_of_rows(CONFLICTS, rows)


def conflicts_of_table(table: "pa.Table") -> list[Conflict]:
    """The conflicts that `conflicts_table` wrote."""
    return [
        Conflict(**(row | {"value": json.loads(row["value"]), "other_value": json.loads(row["other_value"])}))
        for row in table.to_pylist()
    ]


def record_table(records: Iterable[VolumeRecord]) -> "pa.Table":
    """Records as rows of `RECORD`: each axis has its column."""
    return table_of_rows(RECORD, [_record_row(record) for record in records])


def records_of_table(table: "pa.Table") -> list[VolumeRecord]:
    """The records that `record_table` wrote."""
    return [_record_of_row(row) for row in table.to_pylist()]


def table_of_rows(schema: TableSchema, rows: Sequence[Mapping[str, Any]]) -> "pa.Table":
    """Rows as a table of a schema; a key that a row lacks is null.

    Raises
    ------
    StoreError
        A row has a key that the schema does not know, or a value of another type.
    """
    known = set(schema.column_names)
    unknown = sorted({key for row in rows for key in row} - known)
    if unknown:
        raise StoreError(f"{schema.name}: no column {', '.join(unknown)}; there are {', '.join(schema.column_names)}")
    return _table(schema, {name: [row.get(name) for row in rows] for name in schema.column_names})


def concat(schema: TableSchema, tables: Iterable["pa.Table"]) -> "pa.Table":
    """The rows of several tables of one schema, in order; an empty table when there are none."""
    import pyarrow as pa

    return pa.concat_tables([schema.arrow.empty_table(), *tables]).combine_chunks()


def enforce(schema: TableSchema, table: "pa.Table", where: str) -> "pa.Table":
    """The same table, known to have the schema's columns, types and required values.

    Raises
    ------
    StoreError
        It has not; the message names the columns.
    """
    if not table.schema.equals(schema.arrow):
        raise StoreError(f"{where}: not a table of {schema.name}: {_difference(schema, table.schema)}")
    for column in schema.columns:
        if column.required and table[column.name].null_count:
            raise StoreError(f"{where}: {schema.name}.{column.name} is null in {table[column.name].null_count} rows")
    return table


def write_table(table: "pa.Table", path: Path, schema: TableSchema) -> None:
    """Write a table as Parquet in one step: readers see the old file or the new one, never a part.

    Raises
    ------
    StoreError
        The table is not of the schema, or the disk does not take it; nothing is written.
    """
    import pyarrow.parquet as pq

    # One chunk a column: how a table was put together must not show in its bytes.
    whole = enforce(schema, table, str(path)).combine_chunks().replace_schema_metadata(None)
    try:
        with staging_folder(path.parent, path.name) as staging:
            temporary = staging / path.name
            pq.write_table(whole, temporary, row_group_size=ROW_GROUP_ROWS, compression="zstd", compression_level=3)
            _replace(temporary, path)
    except OSError as error:
        raise unwritable(error, path, f"{whole.num_rows:,} rows", whole.nbytes) from error


def write_parts(parts: Iterable["pa.Table"], path: Path, schema: TableSchema) -> int:
    """Write several tables one after the other as `write_table` writes one, and count their rows.

    No more than one of them is held in memory: a volume of 10 TB has 40 million chunks.

    Raises
    ------
    StoreError
        As `write_table`.
    """
    import pyarrow.parquet as pq

    n_rows = n_bytes = 0
    try:
        with staging_folder(path.parent, path.name) as staging:
            temporary = staging / path.name
            with pq.ParquetWriter(temporary, schema.arrow, compression="zstd", compression_level=3) as writer:
                for part in parts:
                    whole = enforce(schema, part, str(path)).combine_chunks().replace_schema_metadata(None)
                    n_rows, n_bytes = n_rows + whole.num_rows, n_bytes + whole.nbytes
                    writer.write_table(whole, row_group_size=ROW_GROUP_ROWS)
            _replace(temporary, path)
    except OSError as error:
        raise unwritable(error, path, f"{n_rows:,} rows so far", n_bytes) from error
    return n_rows


def write_text(text: str, path: Path) -> None:
    """Write a text file as `write_table` writes a table: in one step.

    Raises
    ------
    StoreError
        The disk does not take it; nothing is written.
    """
    data = text.encode()
    with writable(path, "a text file", len(data)), staging_folder(path.parent, path.name) as staging:
        temporary = staging / path.name
        temporary.write_bytes(data)
        _replace(temporary, path)


def read_table(path: Path, schema: TableSchema) -> "pa.Table":
    """A table that `write_table` wrote.

    Raises
    ------
    NotBuiltError
        There is no such file.
    StoreError
        It is no Parquet file, or of another schema.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not path.is_file():
        raise NotBuiltError(f"{path}: no table of {schema.name} yet; `em-assets fetch DATASET` makes it")
    try:
        with pq.ParquetFile(path) as file:  # not pq.read_table, which makes columns of folders named like `a=b`
            # Threads cost more than they save on the small tables that most datasets have.
            table = file.read(use_threads=file.metadata.num_rows > ROW_GROUP_ROWS)
    except (pa.ArrowInvalid, OSError) as error:
        raise StoreError(
            f"{path}: not a readable Parquet file ({error}); remove it and materialize it again"
        ) from error
    return enforce(schema, table, str(path))


def _replace(temporary: Path, path: Path) -> None:
    """Make what was written to `temporary` be `path`, and be it after a power cut too."""
    _sync(temporary)
    temporary.replace(path)
    _sync(path.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _table(schema: TableSchema, columns: Mapping[str, list[Any]]) -> "pa.Table":
    import pyarrow as pa

    try:
        return pa.Table.from_pydict(dict(columns), schema=schema.arrow)
    except UnicodeEncodeError:  # lone surrogates: text that a file cut short or that is not UTF-8
        return pa.Table.from_pydict({name: _encodable(values) for name, values in columns.items()}, schema=schema.arrow)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise StoreError(f"{schema.name}: a value of another type than the schema's: {error}") from error


def _encodable(values: list[Any]) -> list[Any]:
    return [
        value.encode("utf-8", "backslashreplace").decode("utf-8") if isinstance(value, str) else value
        for value in values
    ]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else _json(value)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _record_row(record: VolumeRecord) -> dict[str, Any]:
    row = record.model_dump(exclude={"shape_zyx", "voxel_size_zyx_nm", "extent_zyx_nm"})
    shape = record.shape_zyx or (None, None, None)
    extent = record.extent_zyx_nm or (None, None, None)
    for axis, voxels, voxel_size_nm, extent_nm in zip("zyx", shape, record.voxel_size_zyx_nm, extent, strict=True):
        row[f"shape_{axis}"] = voxels
        row[f"voxel_size_{axis}_nm"] = voxel_size_nm
        row[f"extent_{axis}_nm"] = extent_nm
    return row


def _record_of_row(row: dict[str, Any]) -> VolumeRecord:
    shape = tuple(row.pop(f"shape_{axis}") for axis in "zyx")
    voxel_size_nm = tuple(row.pop(f"voxel_size_{axis}_nm") for axis in "zyx")
    extent = tuple(row.pop(f"extent_{axis}_nm") for axis in "zyx")
    return VolumeRecord(
        **row,
        shape_zyx=None if None in shape else shape,
        voxel_size_zyx_nm=voxel_size_nm,
        extent_zyx_nm=None if None in extent else extent,
    )


def _difference(schema: TableSchema, found: "pa.Schema") -> str:
    expected_types = {field.name: field.type for field in schema.arrow}
    found_types = {field.name: field.type for field in found}
    missing = [name for name in expected_types if name not in found_types]
    further = [name for name in found_types if name not in expected_types]
    retyped = [
        f"{name} is {found_types[name]}, not {kind}"
        for name, kind in expected_types.items()
        if name in found_types and found_types[name] != kind
    ]
    parts = [f"missing {', '.join(missing)}"] * bool(missing) + [f"unknown {', '.join(further)}"] * bool(further)
    return "; ".join(parts + retyped) or "the columns stand in another order"
