"""A newer version beside the one that a dataset takes is reported, over every protocol."""

from pathlib import Path

import pytest

from em_assets.model import Source
from em_assets.sources.origins import PUBLIC_ORIGIN, Origin
from em_assets.sources.siblings import newer_version, newer_versions
from em_assets.sources.wire import Patience

VERSIONS = ("v0.9", "v1.0", "v1.2", "v1.10", "v1.10-draft", "w9.9", "readme.txt")


@pytest.fixture
def releases(tmp_path: Path) -> Path:
    """A folder of versions on a web and FTP host, in a bucket, and on a disk."""
    for root in ("archive/http/a.org/em", "archive/s3/bucket/em", "disk/em"):
        for name in VERSIONS:
            folder = tmp_path / root / name / "segmentation"
            folder.mkdir(parents=True)
            (folder / "info").write_text("{}")
    return tmp_path


@pytest.mark.parametrize("base", ["https://a.org/em", "ftp://a.org/em", "s3://bucket/em", "{disk}/em"])
def test_the_highest_newer_version_is_named(releases: Path, archive: Origin, hurried: Patience, base: str) -> None:
    base = base.format(disk=releases / "disk")
    found = newer_versions([Source(url=f"{base}/v1.0/segmentation/")], archive, patience=hurried)
    assert [newer.newer_url for newer in found.newer] == [f"{base}/v1.10/segmentation/"]
    assert f"{base}/v1.0/segmentation/: a newer version is there" in str(found.newer[0])
    assert found.unlisted == []
    assert newer_version(f"{base}/v1.10/segmentation/", archive, hurried) is None


@pytest.mark.parametrize(
    ("name", "siblings", "newer"),
    [
        ("seg_v2.zarr", ["seg_v3.zarr", "seg_v4", "other_v9.zarr"], "seg_v3.zarr"),
        ("release_3", ["release_10", "release_9"], "release_10"),
        ("1.0", ["1.1", "2.0", "11"], "2.0"),
        ("v783", ["v783b", "v630"], None),
        ("11759", ["11760"], None),
        ("s0", ["s1"], None),
        ("20200610-ftp", ["20210610-ftp"], None),
        ("image_8nm.tif", ["image_9nm.tif"], None),
    ],
)
def test_only_the_numbers_of_a_version_may_differ(
    tmp_path: Path, name: str, siblings: list[str], newer: str | None
) -> None:
    for folder in (name, *siblings):
        (tmp_path / folder).mkdir()
    found = newer_version(str(tmp_path / name), PUBLIC_ORIGIN)
    assert (None if found is None else found.newer_url) == (None if newer is None else str(tmp_path / newer))


def test_a_folder_that_nobody_lists_tells_nothing(releases: Path, archive: Origin, hurried: Patience) -> None:
    assert newer_version("https://a.org/nothing/v1.0/", archive, hurried) is None
    assert newer_version("https://a.org/em/readme.txt", archive, hurried) is None


def test_a_folder_that_cannot_be_listed_is_said_and_not_taken_for_one_without_newer_versions(
    releases: Path, archive: Origin, hurried: Patience
) -> None:
    sources = [Source(url="https://a.org/nothing/v1.0/"), Source(url="https://a.org/em/v1.10/")]
    found = newer_versions(sources, archive, patience=hurried)
    assert found.newer == []
    assert [said.split(": ")[0] for said in found.unlisted] == [
        "cannot be listed, so newer versions beside https://a.org/nothing/v1.0/ are unknown"
    ]
