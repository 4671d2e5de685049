"""What a source holds: single files and trees, over every protocol, nothing downloaded."""

import os
from dataclasses import replace
from pathlib import Path

import pytest
from scripted_server import Script

from em_assets.errors import SourceError, SourceMissingError, SourceUnreachableError
from em_assets.model import Source
from em_assets.sources import ftp, observe
from em_assets.sources.origins import PUBLIC_ORIGIN, Origin
from em_assets.sources.wire import Patience

WHEN = 1705276800  # 2024-01-15T00:00:00Z
TREE = {"slice 1.dm3": b"one", "slice 2.dm3": b"twotwo", "trakem2/a/p.xml": b"<x/>", "notes.txt": b"n"}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """The same tree as a web and FTP host, and as a bucket."""
    for root in (tmp_path / "archive" / "http" / "a.org" / "data", tmp_path / "archive" / "s3" / "a.org" / "data"):
        for name, content in TREE.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            os.utime(path, (WHEN, WHEN))
    return tmp_path / "archive" / "http" / "a.org" / "data"


@pytest.mark.parametrize(
    ("url", "name"), [("https://a.org/api/entry/1/", "1.json"), ("https://a.org/api/entry/1", "1")]
)
def test_an_api_that_answers_json_is_a_document_and_no_folder(
    tmp_path: Path, archive: Origin, hurried: Patience, url: str, name: str
) -> None:
    folder = tmp_path / "archive" / "http" / "a.org" / "api" / "entry" / "1"
    folder.mkdir(parents=True)
    (folder / "index.json").write_text('{"EMPIAR-1": {}}')
    data = tmp_path / "em.tif"
    data.write_bytes(b"em")
    seen = observe([Source(url=str(data)), Source(url=url, archive="empiar")], archive, patience=hurried)
    assert [remote.path for _, remote in seen.files] == ["em.tif", f"archive_empiar/{name}"]
    assert seen.files[1][1].url == url
    assert seen.files[1][1].validator


@pytest.mark.parametrize("url", ["https://a.org/data/", "https://a.org/data", "ftp://a.org/data/", "s3://a.org/data/"])
def test_a_tree_is_listed_with_sizes_whatever_the_protocol(
    tree: Path, archive: Origin, hurried: Patience, url: str
) -> None:
    seen = observe([Source(url=url)], archive, patience=hurried)
    assert {remote.path: remote.size_bytes for _, remote in seen.files} == {
        name: len(content) for name, content in TREE.items()
    }
    assert all(remote.validator for _, remote in seen.files)
    named = {remote.path: remote.url for _, remote in seen.files}
    blank = " " if url.startswith("s3") else "%20"
    assert named["slice 1.dm3"] == f"{url.rstrip('/')}/slice{blank}1.dm3"


@pytest.mark.parametrize(
    "url", ["https://a.org/data/slice%201.dm3", "ftp://a.org/data/slice%201.dm3", "s3://a.org/data/slice 1.dm3"]
)
def test_a_single_file_is_named_by_its_address(tree: Path, archive: Origin, hurried: Patience, url: str) -> None:
    ((_, remote),) = observe([Source(url=url)], archive, patience=hurried).files
    assert (remote.path, remote.size_bytes, remote.url) == ("slice 1.dm3", 3, url)


def test_local_folders_and_mirrors_are_listed_alike(tree: Path) -> None:
    local = observe([Source(url=str(tree))], PUBLIC_ORIGIN)
    mirror = Origin("mirror", folder=tree.parents[1])
    mirrored = observe([Source(url="https://a.org/data/")], mirror)
    assert [remote.path for _, remote in local.files] == sorted(TREE)
    assert mirrored.fingerprint == local.fingerprint
    assert mirrored.files[1][1].url == "https://a.org/data/slice%201.dm3"


@pytest.mark.parametrize("url", ["https://a.org/data/", "ftp://a.org/data/", "s3://a.org/data/"])
def test_include_and_exclude_choose(tree: Path, archive: Origin, hurried: Patience, url: str) -> None:
    source = Source(url=url, include=("*.dm3", "trakem2/**"), exclude=("*1.dm3",))
    seen = observe([source], archive, patience=hurried)
    assert [remote.path for _, remote in seen.files] == ["slice 2.dm3", "trakem2/a/p.xml"]


def test_several_sources_have_folders_of_their_own(tree: Path, archive: Origin, hurried: Patience) -> None:
    url = "https://a.org/data/"
    sources = [Source(url=url, include=("*1.dm3",), volume="em"), Source(url=url, include=("*2.dm3",))]
    seen = observe(sources, archive, patience=hurried)
    assert [(index, remote.path) for index, remote in seen.files] == [(0, "em/slice 1.dm3"), (1, "1/slice 2.dm3")]


@pytest.mark.parametrize("url", ["https://a.org/data/", "ftp://a.org/data/", "s3://a.org/data/"])
def test_nothing_that_matches_is_an_error_naming_url_and_include(
    tree: Path, archive: Origin, hurried: Patience, url: str
) -> None:
    with pytest.raises(SourceMissingError, match=rf"{url}.*\['\*\.tif'\]"):
        observe([Source(url=url, include=("*.tif",))], archive, patience=hurried)


def test_a_tree_over_ftp_of_more_folders_than_any_has_is_refused(
    tree: Path, archive: Origin, hurried: Patience, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Links may lead in circles; the tree has three folders."""
    monkeypatch.setattr(ftp, "MOST_FOLDERS", 3)
    assert len(observe([Source(url="ftp://a.org/data/")], archive, patience=hurried).files) == len(TREE)
    monkeypatch.setattr(ftp, "MOST_FOLDERS", 2)
    with pytest.raises(SourceError, match=r"more than 2 folders; narrow `include`"):
        observe([Source(url="ftp://a.org/data/")], archive, patience=hurried)


@pytest.mark.parametrize("url", ["https://a.org/gone/", "ftp://a.org/gone/", "s3://gone/data/", "/no/such/folder"])
def test_what_is_not_there_is_missing(tree: Path, archive: Origin, hurried: Patience, url: str) -> None:
    with pytest.raises(SourceMissingError):
        observe([Source(url=url)], archive, patience=hurried)


def test_the_fingerprint_changes_with_content_and_not_with_ports(
    tree: Path, archive: Origin, hurried: Patience
) -> None:
    source = Source(url="https://a.org/data/")
    before = observe([source], archive, patience=hurried).fingerprint
    again = observe([source], replace(archive, name="sample"), patience=hurried).fingerprint
    (tree / "notes.txt").write_bytes(b"m")
    assert again == before
    assert observe([source], archive, patience=hurried).fingerprint != before


@pytest.mark.parametrize("dead", ["https://127.0.0.1:9/data/", "ftp://127.0.0.1:9/data/"])
def test_the_fingerprint_is_the_same_whichever_address_answers(
    tree: Path, archive: Origin, hurried: Patience, dead: str
) -> None:
    web, ftp = "https://a.org/data/", "ftp://a.org/data/"
    both = observe([Source(url=web, fallback_urls=(ftp,))], archive, patience=hurried)
    turned = observe([Source(url=ftp, fallback_urls=(web,))], archive, patience=hurried)
    alone = observe([Source(url=dead, fallback_urls=(ftp,))], archive, patience=hurried)
    assert both.fingerprint == turned.fingerprint == alone.fingerprint


def test_a_file_that_one_listing_leaves_out_is_found_in_the_other(
    tree: Path, archive: Origin, hurried: Patience, script: Script
) -> None:
    """An HTTPS listing of EMPIAR-11759 once left a file out that FTP had."""
    script.says("/data/", b'<a href="slice%201.dm3">s</a>')
    script.says("/data/slice%201.dm3", b"one")
    source = Source(url=f"{script.url}/data/", fallback_urls=("ftp://a.org/data/",))
    seen = observe([source], archive, patience=hurried)
    assert [remote.path for _, remote in seen.files] == sorted(TREE)


def test_the_error_names_every_address_that_was_tried(hurried: Patience) -> None:
    source = Source(url="http://127.0.0.1:9/a/", fallback_urls=("ftp://127.0.0.1:9/b/",))
    with pytest.raises(SourceUnreachableError, match=r"(?s)http://127\.0\.0\.1:9/a/.*ftp://127\.0\.0\.1:9/b/"):
        observe([source], PUBLIC_ORIGIN, patience=hurried)


def test_an_index_page_is_followed_downwards_only(script: Script, hurried: Patience) -> None:
    script.says(
        "/d/",
        b'<a href="?C=N;O=D">N</a><a href="/">up</a><a href="../">up</a><a href="https://else.org/d/x">x</a>'
        b'<a href="/d/a.tif#top">a</a><a href="sub/">s</a><a name="no">n</a>',
    )
    script.says("/d/sub/", b'<A HREF="/d/">back</A><a href="b%20c.tif">b</a>')
    script.says("/d/a.tif", b"a")
    script.says("/d/sub/b%20c.tif", b"bc", headers={"ETag": '"1"'})
    seen = observe([Source(url=f"{script.url}/d/")], PUBLIC_ORIGIN, patience=hurried)
    assert [(remote.path, remote.size_bytes, remote.validator) for _, remote in seen.files] == [
        ("a.tif", 1, None),
        ("sub/b c.tif", 2, 'etag:"1"'),
    ]


@pytest.mark.parametrize("href", ["%2e%2e/%2e%2e/x", "a%5c..%5cx", "nul", "x%00y"])
def test_a_hostile_name_in_a_listing_is_refused(script: Script, hurried: Patience, href: str) -> None:
    script.says("/d/", f'<a href="{href}">x</a>'.encode())
    script.says(f"/d/{href}", b"x")
    with pytest.raises(SourceError):
        observe([Source(url=f"{script.url}/d/")], PUBLIC_ORIGIN, patience=hurried)


def test_a_server_that_refuses_head_is_asked_otherwise(script: Script, hurried: Patience) -> None:
    script.says("/a.tif", b"abc", head_status=405)
    ((_, remote),) = observe([Source(url=f"{script.url}/a.tif")], PUBLIC_ORIGIN, patience=hurried).files
    assert remote.size_bytes == 3
