"""The summary says what the tables say, in the two tables that people know."""

from dataclasses import replace

import pytest

from em_assets.catalog.consolidate import DatasetPart, consolidate
from em_assets.catalog.summary import collapse_series, metadata_summary
from em_assets.catalog.tables import tags_table
from em_assets.model import Tag


@pytest.fixture
def summary(zebrafish: DatasetPart, cell: DatasetPart) -> str:
    return metadata_summary(consolidate({"zebrafish": zebrafish, "cell": cell}))


def test_made_up_pixels_are_named_first(summary: str) -> None:
    assert summary.splitlines()[2].startswith("> **Origin: sample.**")


def test_values_have_one_row_a_volume(summary: str) -> None:
    assert "| zebrafish | 2×5500×5496 | 50×7.99825×7.99825 | uint8 | N/A | N/A |" in summary
    assert "| cell / xy | 184×775×1121 | 20×20×20 | uint8 | [1, 775, 1121] | N/A |" in summary


def test_fields_count_datasets_and_name_files(summary: str) -> None:
    assert "| ImageList | 1 | zebrafish: `slice_000*.dm3` |" in summary
    assert "| ImageDescription | 1 | cell: `cell_xy.tif`, `cell_xz.tif` |" in summary


def test_a_category_of_two_datasets_is_one_row(zebrafish: DatasetPart) -> None:
    tags_alone = replace(zebrafish, record=None)
    summary = metadata_summary(consolidate({"a": tags_alone, "b": tags_alone}))
    assert "| ImageList | 2 | a: `slice_000*.dm3`; b: `slice_000*.dm3` |" in summary


def test_a_document_without_tags_is_a_category_of_its_own_name(zebrafish: DatasetPart) -> None:
    """An empty `.zattrs` is one tag without a path; its row was an empty category."""
    tags = tags_table("a.zarr", [Tag("s0/.zattrs", "", {}, "json:object"), Tag("", "", 1, "json:number")])
    summary = metadata_summary(consolidate({"a": DatasetPart(origin="public", original_tags=tags)}))
    assert "| .zattrs | 1 | a: `a.zarr` |" in summary
    assert "| (the whole file) | 1 | a: `a.zarr` |" in summary
    assert "|  |" not in summary


def test_an_empty_catalog_has_a_summary() -> None:
    assert "0 datasets, 0 volumes, 0 original tags" in metadata_summary(consolidate({}))


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ([f"F57-8_slice_{n:04}.dm3" for n in range(16)], ["F57-8_slice_00**.dm3"]),
        (["a_9.tif", "a_10.tif"], ["a_*.tif"]),
        (["xy.tif", "xz.tif"], ["xy.tif", "xz.tif"]),
        (["s0/.zarray"], ["s0/.zarray"]),
        (["t1_c1", "t1_c2", "t2_c1"], ["t*_c*"]),
    ],
    ids=["padded", "unpadded", "no digits", "single", "two numbers"],
)
def test_files_that_differ_in_digits_are_one_series(names: list[str], expected: list[str]) -> None:
    assert collapse_series(names) == expected


def test_a_bar_or_a_line_break_in_a_name_breaks_no_table() -> None:
    tags = tags_table("a|b\n.tif", [Tag("page 0", "Make|Model", "x", "ascii")])
    summary = metadata_summary(consolidate({"a": DatasetPart(origin="public", original_tags=tags)}))
    assert summary.endswith("| Make\\|Model | 1 | a: `a\\|b .tif` |\n")
