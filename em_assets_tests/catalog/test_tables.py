"""Tables come back as they went in, in the same bytes, or not at all."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from em_assets.catalog.consolidate import DatasetPart
from em_assets.catalog.schemas import CATALOG, CLAIMS, CONFLICTS, ORIGINAL_TAGS, RECORD, TableSchema
from em_assets.catalog.tables import (
    claims_of_table,
    claims_table,
    concat,
    conflicts_of_table,
    conflicts_table,
    read_table,
    record_table,
    records_of_table,
    table_of_rows,
    tags_table,
    write_parts,
    write_table,
    write_text,
)
from em_assets.errors import NotBuiltError, StoreError
from em_assets.model import Claim, Conflict, Tag, VolumeRecord

RECORDS = [
    VolumeRecord(dataset="a", volume="em", origin="public", shape_zyx=(2, 3, 4), voxel_size_zyx_nm=(None, 4.0, 4.0)),
    VolumeRecord(dataset="a", volume="labels", origin="public", content="labels", labels_of="em"),
]


def _claim(value: Any) -> Claim:
    return Claim(
        dataset="a",
        volume=None,
        field="f",
        value=value,
        kind="file",
        said_by="x",
        locator="y",
        raw="z",
        origin="public",
    )


def test_records_come_back_as_they_went_in(tmp_path: Path) -> None:
    write_table(record_table(RECORDS), tmp_path / "record.parquet", RECORD)
    assert records_of_table(read_table(tmp_path / "record.parquet", RECORD)) == RECORDS


@pytest.mark.parametrize("value", [8, 7.998, "8 nm", [1, 2], {"a": None}, None, True], ids=repr)
def test_claims_keep_their_values_type(value: object) -> None:
    assert claims_of_table(claims_table([_claim(value)])) == [_claim(value)]


def test_conflicts_come_back_as_they_went_in() -> None:
    conflict = Conflict(
        dataset="a",
        volume=None,
        field="shape_zyx",
        value=[1, 2, 3],
        said_by="file",
        other_value="1x2x3",
        other_said_by="page",
        is_settled=True,
        rule="file before publisher",
    )
    assert conflicts_of_table(conflicts_table([conflict])) == [conflict]


def test_a_tag_is_text_as_it_is_and_anything_else_json() -> None:
    tags = [Tag("", "a", "µm", "ascii"), Tag("", "b", [1, 2.5], "array"), Tag("", "c", None, "null")]
    assert tags_table("f.dm3", tags)["value"].to_pylist() == ["µm", "[1, 2.5]", "null"]


def test_text_that_is_not_utf_8_is_kept_escaped() -> None:
    table = tags_table("f.tif", [Tag("", "Artist", "caf\udce9", "ascii"), Tag("", "Make", ["\udce9"], "ascii")])
    assert table["value"].to_pylist() == ["caf\\udce9", '["\\udce9"]']


def test_the_same_rows_give_the_same_bytes_however_they_were_put_together(tmp_path: Path) -> None:
    whole = record_table(RECORDS)
    in_parts = pa.concat_tables([record_table(RECORDS[:1]), record_table(RECORDS[1:])])
    write_table(whole, tmp_path / "whole.parquet", RECORD)
    write_table(in_parts, tmp_path / "parts.parquet", RECORD)
    assert (tmp_path / "whole.parquet").read_bytes() == (tmp_path / "parts.parquet").read_bytes()


@pytest.mark.parametrize("schema", [ORIGINAL_TAGS, CLAIMS, RECORD, CONFLICTS, *CATALOG], ids=lambda schema: schema.name)
def test_an_empty_table_of_every_schema_is_written_and_read(schema: TableSchema, tmp_path: Path) -> None:
    write_table(concat(schema, []), tmp_path / "a.parquet", schema)
    assert read_table(tmp_path / "a.parquet", schema).num_rows == 0


def test_a_folder_named_like_a_partition_adds_no_column(tmp_path: Path) -> None:
    """Arrow's own `read_table` makes a column `dataset` of a folder `dataset=b`."""
    path = tmp_path / "dataset=b" / "record.parquet"
    write_table(record_table(RECORDS), path, RECORD)
    assert read_table(path, RECORD)["dataset"].to_pylist() == ["a", "a"]


def test_a_table_of_another_schema_is_refused_and_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "record.parquet"
    write_table(record_table(RECORDS), path, RECORD)
    wrong = record_table(RECORDS).drop_columns(["dtype"]).append_column("colour", pa.array(["r", "g"]))
    with pytest.raises(StoreError, match="missing dtype; unknown colour"):
        write_table(wrong, path, RECORD)
    assert [file.name for file in tmp_path.iterdir()] == ["record.parquet"]
    assert records_of_table(read_table(path, RECORD)) == RECORDS


def test_reading_says_which_columns_differ(tmp_path: Path) -> None:
    write_table(concat(CLAIMS, []), tmp_path / "claims.parquet", CLAIMS)
    with pytest.raises(StoreError, match=r"claims\.parquet: not a table of conflicts: missing other_value"):
        read_table(tmp_path / "claims.parquet", CONFLICTS)


def test_a_required_column_without_a_value_is_refused(tmp_path: Path) -> None:
    table = table_of_rows(CLAIMS, [{"dataset": "a"}])
    with pytest.raises(StoreError, match=r"claims\.field is null in 1 rows"):
        write_table(table, tmp_path / "claims.parquet", CLAIMS)


@pytest.mark.parametrize(
    ("row", "words"), [({"colour": "red"}, "no column colour"), ({"shape_z": "many"}, "another type")], ids=str
)
def test_a_row_that_does_not_fit_is_refused(row: dict[str, str], words: str) -> None:
    with pytest.raises(StoreError, match=words):
        table_of_rows(RECORD, [row])


def test_a_missing_table_says_which_command_makes_it(tmp_path: Path) -> None:
    with pytest.raises(NotBuiltError, match="em-assets fetch DATASET"):
        read_table(tmp_path / "record.parquet", RECORD)


def test_a_torn_table_is_an_error_of_the_store(tmp_path: Path) -> None:
    path = tmp_path / "record.parquet"
    write_table(record_table(RECORDS), path, RECORD)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(StoreError, match="not a readable Parquet file"):
        read_table(path, RECORD)


def test_text_is_written_in_one_step(tmp_path: Path) -> None:
    write_text("z×y×x\n", tmp_path / "catalog" / "METADATA_SUMMARY.md")
    assert [file.read_text(encoding="utf-8") for file in (tmp_path / "catalog").iterdir()] == ["z×y×x\n"]


def test_a_disk_that_refuses_is_named_with_the_bytes_that_it_should_have_taken(tmp_path: Path) -> None:
    """Readers of a catalog want the place and the size, and not an errno."""
    (tmp_path / "in the way.md").mkdir()
    (tmp_path / "in the way.md" / "something").touch()
    with pytest.raises(StoreError, match=r"in the way\.md.* cannot be written .*bytes needed: 8, for a text file"):
        write_text("z×y×x\n", tmp_path / "in the way.md")
    with pytest.raises(StoreError, match=r"in the way\.md.* cannot be written .*bytes needed: [\d,]+, for 2 rows"):
        write_parts([record_table(RECORDS)], tmp_path / "in the way.md", RECORD)
    assert [path.name for path in tmp_path.iterdir()] == ["in the way.md"]


def test_a_part_is_empty_unless_told_otherwise() -> None:
    assert DatasetPart(origin="public").record is None
