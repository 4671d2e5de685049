"""`*` stays inside a folder, `**` crosses folders, exclude wins."""

import pytest

from em_assets.sources.globs import Wanted


@pytest.mark.parametrize(
    ("pattern", "path", "is_wanted"),
    [
        ("**", "a/b/c.tif", True),
        ("*.tif", "a.tif", True),
        ("*.tif", "b/a.tif", False),
        ("**/*.tif", "a.tif", True),
        ("**/*.tif", "b/c/a.tif", True),
        ("run/**", "run/a/b", True),
        ("run/**", "runs/a", False),
        ("s?/[0-9].dm3", "s1/7.dm3", True),
        ("s?/[!0-9].dm3", "s1/7.dm3", False),
        ("a/**/z.json", "a/z.json", True),
        ("*.TIF", "a.tif", False),
    ],
)
def test_a_glob_chooses(pattern: str, path: str, is_wanted: bool) -> None:
    assert (path in Wanted((pattern,))) is is_wanted


def test_exclude_wins() -> None:
    wanted = Wanted(("**",), ("**/*.xml",))
    assert "a.xml" not in wanted
    assert "a.dm3" in wanted


@pytest.mark.parametrize(
    ("pattern", "folder", "may_hold"),
    [("*.tif", "a", False), ("a/*.tif", "a", True), ("a/*.tif", "b", False), ("a/**", "a/b/c", True), ("**", "x", True),
     ("a/*/c.json", "a/b", True), ("a/*/c.json", "a/b/c", False), ("**/c.json", "x/y", True)],
)  # fmt: skip
def test_folders_that_cannot_hold_anything_wanted_are_not_listed(pattern: str, folder: str, may_hold: bool) -> None:
    assert Wanted((pattern,)).may_hold(folder) is may_hold


def test_a_bucket_is_listed_below_the_literal_beginnings_only() -> None:
    assert Wanted(("a/b/*.json", "a/b/c/**", "x.json")).roots == ("a/b", "x.json")
    assert Wanted(("*.tif", "a/**")).roots == ("",)


@pytest.mark.parametrize(
    ("pattern", "folder", "may_hold"),
    [("a/**", "a", False), ("a/**", "a/b", False), ("**/a/**", "x/a", False), ("a/**", "ab", True), ("a/*", "a", True),
     ("**/*.xml", "a", True), ("a/**", "b", True), ("**/x**", "a", True)],
)  # fmt: skip
def test_folders_all_of_which_is_excluded_are_not_listed(pattern: str, folder: str, may_hold: bool) -> None:
    assert Wanted(("**",), (pattern,)).may_hold(folder) is may_hold
