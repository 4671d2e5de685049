"""Buckets as people fill them: keys of all kinds, more than a page of them, empty objects that stand for folders."""

from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import quote

import pytest

from em_assets.errors import SourceError, SourceMissingError, SourceUnreachableError
from em_assets.model import Source
from em_assets.sample.server_s3 import S3Source
from em_assets.sources import acquire, observe
from em_assets.sources.origins import Origin
from em_assets.sources.wire import Patience

Put = Callable[..., Origin]


@pytest.fixture
def put(tmp_path: Path) -> Iterator[Put]:
    """Puts objects into the bucket `bkt`; the origin that has it."""
    (tmp_path / "s3" / "bkt").mkdir(parents=True)
    (tmp_path / "s3" / "bkt" / "first").write_bytes(b"1")
    server = S3Source(tmp_path / "s3")
    base = server.base_url

    def send(*keys: str, acl: str = "public-read") -> Origin:
        for key in keys:
            connection = HTTPConnection(base.removeprefix("http://"))
            body = b"" if key.endswith(("/", "empty")) else b"II*\0" + key.encode()
            connection.request("PUT", f"/bkt/{quote(key)}", body, {"x-amz-acl": acl})
            assert connection.getresponse().status == 200
            connection.close()
        return Origin("sample", endpoints=lambda protocol: base)

    yield send
    server.stop()


def listed(origin: Origin, url: str, patience: Patience) -> dict[str, int | None]:
    """Path → size of everything that a source lists."""
    return {remote.path: remote.size_bytes for _, remote in observe([Source(url=url)], origin, patience=patience).files}


def test_empty_objects_that_stand_for_folders_are_no_files(put: Put, hurried: Patience, tmp_path: Path) -> None:
    """Amazon's console and many programs make them; `sub` was listed as a file beside the folder, and all refused."""
    origin = put("m/", "m/sub/", "m/sub/a.tif", "m/sub/deep/", "m/b/empty", "m/b/")
    assert listed(origin, "s3://bkt/m/", hurried) == {"sub/a.tif": 11 + 4, "b/empty": 0}
    acquire([Source(url="s3://bkt/m/")], origin, tmp_path / "raw", log=str, patience=hurried)
    assert (tmp_path / "raw/files/sub/a.tif").read_bytes() == b"II*\0m/sub/a.tif"


def test_an_object_and_others_below_it_are_refused(put: Put, hurried: Patience) -> None:
    with pytest.raises(SourceError, match="both as a file and as a folder"):
        listed(put("f/empty", "f/empty/y.tif"), "s3://bkt/f/", hurried)


def test_names_of_all_kinds_come_from_a_bucket(put: Put, hurried: Patience, tmp_path: Path) -> None:
    names = ["a b.tif", "a+b.tif", "100%.tif", "%41.tif", "ü.tif", "日本.tif", "a#b.tif", "a?b=c&d.tif", "a'(b)!~.tif"]
    origin = put(*(f"n p+%/{name}" for name in names))
    acquire([Source(url="s3://bkt/n p+%/")], origin, tmp_path / "raw", log=str, patience=hurried)
    for name in names:
        assert (tmp_path / "raw" / "files" / name).read_bytes() == b"II*\0n p+%/" + name.encode()


def test_more_keys_than_a_page_holds_are_all_listed(put: Put, hurried: Patience) -> None:
    assert len(listed(put(*(f"many/{number:04}" for number in range(1003))), "s3://bkt/many/", hurried)) == 1003


@pytest.mark.parametrize("key", ["d//a.tif", "d/../a.tif"])
def test_a_key_that_is_no_path_is_named_and_not_asked_for_again(put: Put, hurried: Patience, key: str) -> None:
    with pytest.raises(SourceError, match=r"s3://bkt/d/: .*d/.*a\.tif.*`include`") as raised:
        listed(put(key, "d/b.tif"), "s3://bkt/d/", hurried)
    assert not isinstance(raised.value, SourceUnreachableError)


def test_an_object_that_is_not_public_is_named(put: Put, hurried: Patience, tmp_path: Path) -> None:
    """As of a bucket whose requesters pay: listed, and refused."""
    origin = put("p/a.tif", acl="private")
    with pytest.raises(SourceMissingError, match=r"s3://bkt/p/a\.tif|/bkt/p/a\.tif: HTTP 403, not public"):
        acquire([Source(url="s3://bkt/p/")], origin, tmp_path / "raw", log=str, patience=hurried)
