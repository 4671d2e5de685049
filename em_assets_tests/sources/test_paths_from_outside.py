"""Names come from outside: none leads out of the root, and none falls together with another."""

import pytest

from em_assets.errors import SourceError
from em_assets.sources.paths import below, file_name, refuse_twins, safe_relative_path


@pytest.mark.parametrize(
    "name",
    [
        "../x", "a/../../x", "/etc/passwd", "a//b", "a/./b", "..", "", "a/", "C:/x", "c:x", "a\\b", "a\0b", "a\nb",
        "NUL", "con.tif", "a/COM1", "trailing.", "trailing ", "x" * 256, "a/\x7f", "\ud800",
    ],
)  # fmt: skip
def test_a_hostile_name_is_refused(name: str) -> None:
    with pytest.raises(SourceError, match="refused"):
        safe_relative_path(name)


@pytest.mark.parametrize("name", ["a.tif", "a/b.zarr/s0/0.0.0", ".zgroup", " blank first", "µm/é.dm3", "console.tif"])
def test_an_honest_name_stays_as_it_is(name: str) -> None:
    assert safe_relative_path(name) == name


@pytest.mark.parametrize(
    "paths",
    [["a.tif", "A.tif"], ["x/a", "X/b"], ["straße", "STRASSE"], ["e\u0301", "\u00e9"], ["a", "a/b"]],
    ids=["files", "folders", "sharp-s", "composed", "file-and-folder"],
)
def test_twins_are_refused_with_both_names(paths: list[str]) -> None:
    with pytest.raises(SourceError):
        refuse_twins(paths)


def test_equal_folders_are_no_twins() -> None:
    refuse_twins(["x/a", "x/b", "x/y/a", "xy"])


def test_a_path_is_encoded_in_a_web_address_and_kept_in_a_bucket_key() -> None:
    assert below("https://a.org/d/", "x y/#1.tif") == "https://a.org/d/x%20y/%231.tif"
    assert below("s3://b/k", "x y") == "s3://b/k/x y"
    assert file_name("https://a.org/d/x%20y.tif?download=1") == "x y.tif"
