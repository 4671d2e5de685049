"""The catalog is what its datasets say, sorted, whatever of them exists."""

import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from em_assets.catalog.consolidate import DatasetPart, consolidate, rows_of
from em_assets.catalog.schemas import CATALOG, RECORD, TableSchema
from em_assets.catalog.tables import enforce, record_table, tags_table, write_table
from em_assets.errors import StoreError
from em_assets.evidence.fields import FIELDS as RULES
from em_assets.model import Tag, VolumeRecord


def test_no_dataset_gives_seven_empty_tables() -> None:
    tables = consolidate({})
    assert list(tables) == ["datasets", "volumes", "files", "tags", "claims", "conflicts", "fields"]
    assert {table.num_rows for table in tables.values()} == {0}


def test_every_table_keeps_its_schema(zebrafish: DatasetPart, cell: DatasetPart) -> None:
    tables = consolidate({"zebrafish": zebrafish, "cell": cell})
    for schema in CATALOG:
        enforce(schema, tables[schema.name], "here")


def test_datasets_are_counted_and_described(zebrafish: DatasetPart, cell: DatasetPart) -> None:
    rows = consolidate({"zebrafish": zebrafish, "cell": cell})["datasets"].to_pylist()
    assert [row["dataset"] for row in rows] == ["cell", "zebrafish"]
    assert rows[0]["n_volumes"] == 2
    assert rows[0]["title"] == "A cell"
    counts = {name: rows[1][name] for name in rows[1] if name.startswith("n_")}
    assert counts.pop("n_unknown") == len(RULES) - 1
    assert counts == {"n_volumes": 1, "n_files": 2, "n_tags": 6, "n_claims": 1, "n_conflicts": 1, "n_unsettled": 0}
    assert rows[1]["source_bytes"] == 60_000_000
    assert (rows[1]["title"], rows[1]["technique"], rows[1]["licence"]) == ("A retina", "SBF-SEM", None)


def test_a_volume_has_its_record_and_where_it_was_written(zebrafish: DatasetPart, cell: DatasetPart) -> None:
    rows = consolidate({"zebrafish": zebrafish, "cell": cell})["volumes"].to_pylist()
    assert [(row["dataset"], row["volume"]) for row in rows] == [("cell", "xy"), ("cell", "xz"), ("zebrafish", "em")]
    assert rows[0]["url"] is None
    written = rows[2]
    assert (written["url"], written["generation"]) == ("volumes/zebrafish/em/abc", "abc")
    assert (written["n_levels"], written["chunk_shape"]) == (3, "[64, 64, 64]")
    assert (written["voxel_size_z_nm"], written["source_fingerprint"]) == (50.0, "f00d")


def test_tags_keep_their_files_own_order(zebrafish: DatasetPart, cell: DatasetPart) -> None:
    tags = consolidate({"zebrafish": zebrafish, "cell": cell})["tags"]
    assert tags["dataset"].to_pylist() == ["cell"] * 6 + ["zebrafish"] * 6
    assert tags["path"].to_pylist()[:3] == ["ImageDescription", "ImageDescription.spacing", "BitsPerSample"]


def test_a_file_says_what_reads_it_and_what_it_is_part_of(zebrafish: DatasetPart) -> None:
    rows = consolidate({"zebrafish": zebrafish})["files"].to_pylist()
    assert [(row["path"], row["format"], row["volume"]) for row in rows] == [
        ("slice_0000.dm3", "dm", "em"),
        ("slice_0001.dm3", "dm", "em"),
    ]


def test_a_file_that_changed_since_is_listed_and_not_described(zebrafish: DatasetPart) -> None:
    """Its manifest row is newer than the table that says what the file was."""
    first, second = zebrafish.files
    fetched_anew = replace(zebrafish, files=[first, second.model_copy(update={"sha256": "1" * 64})])
    rows = consolidate({"zebrafish": fetched_anew})["files"].to_pylist()
    assert [(row["sha256"][0], row["format"]) for row in rows] == [("0", "dm"), ("1", None)]


def test_every_field_has_a_row_and_the_unknown_are_marked(zebrafish: DatasetPart) -> None:
    rows = consolidate({"zebrafish": zebrafish})["fields"].to_pylist()
    (known,) = [row for row in rows if not row["is_unknown"]]
    assert (known["field"], known["value"], known["unit"]) == ("voxel_size_z_nm", "50.0", "nm")
    assert (known["said_by"], known["n_agree"], known["n_disagree"]) == ("slice_0000.dm3", 1, 1)
    assert {row["field"] for row in rows} == set(RULES)


@pytest.mark.parametrize("schema", CATALOG, ids=lambda schema: schema.name)
def test_the_same_datasets_give_the_same_bytes(
    schema: TableSchema, zebrafish: DatasetPart, cell: DatasetPart, tmp_path: Path
) -> None:
    for name, parts in enumerate([{"zebrafish": zebrafish, "cell": cell}, {"cell": cell, "zebrafish": zebrafish}]):
        write_table(consolidate(parts)[schema.name], tmp_path / str(name), schema)
    assert (tmp_path / "0").read_bytes() == (tmp_path / "1").read_bytes()


def test_the_order_of_the_parts_does_not_show(zebrafish: DatasetPart, cell: DatasetPart) -> None:
    one = consolidate({"zebrafish": zebrafish, "cell": cell})
    assert consolidate({"cell": cell, "zebrafish": zebrafish}) == one


def test_a_dataset_that_is_only_fetched_is_there() -> None:
    rows = consolidate({"new": DatasetPart(origin="public", title="New")})["datasets"].to_pylist()
    assert [(row["dataset"], row["n_volumes"], row["n_tags"]) for row in rows] == [("new", 0, 0)]


@pytest.mark.parametrize("n_datasets", [5000])
def test_thousands_of_datasets_take_seconds_at_most(n_datasets: int) -> None:
    tags = tags_table("f.tif", [Tag("page 0", "ImageWidth", 5, "short")] * 3)
    parts = {
        f"d{number:06}": DatasetPart(
            origin="public",
            original_tags=tags,
            record=record_table([VolumeRecord(dataset=f"d{number:06}", volume="em", origin="public")]),
        )
        for number in range(n_datasets)
    }
    start_s = time.perf_counter()
    tables = consolidate(parts)
    assert time.perf_counter() - start_s < 10
    assert tables["tags"].num_rows == 3 * n_datasets


def test_a_record_of_another_dataset_is_an_error_of_the_store(zebrafish: DatasetPart) -> None:
    with pytest.raises(StoreError, match="a record of zebrafish lies among those of mouse"):
        consolidate({"mouse": zebrafish})


def test_one_datasets_rows_are_those_of_the_catalog(zebrafish: DatasetPart, cell: DatasetPart) -> None:
    tables = consolidate({"zebrafish": zebrafish, "cell": cell})
    rows = [rows_of("cell", cell), rows_of("zebrafish", zebrafish)]
    assert [dataset for dataset, _ in rows] == tables["datasets"].to_pylist()
    assert [volume for _, volumes in rows for volume in volumes] == tables["volumes"].to_pylist()


def test_one_datasets_rows_do_not_import_pandas(zebrafish: DatasetPart, tmp_path: Path) -> None:
    assert zebrafish.record is not None
    write_table(zebrafish.record, tmp_path / "record.parquet", RECORD)
    script = f"""
import sys
from pathlib import Path
from em_assets.catalog.consolidate import DatasetPart, rows_of
from em_assets.catalog.schemas import RECORD
from em_assets.catalog.tables import read_table
record = read_table(Path({str(tmp_path)!r}) / "record.parquet", RECORD)
print(rows_of("zebrafish", DatasetPart(origin="sample", record=record))[0]["title"], "pandas" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["A", "retina", "False"]
