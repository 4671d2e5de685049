"""Objects of a real S3 server, over a real connection."""

import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from em_assets.errors import SettingsError, SourceUnreachableError, StoreError
from em_assets.remote.path import PART_BYTES, RemotePath, remote_path


@pytest.fixture
def place(s3_environment: dict[str, str], new_bucket: Callable[[], str]) -> RemotePath:
    """An empty folder in a bucket."""
    return remote_path(f"{new_bucket()}/some/folder/", s3_environment)


def test_what_was_put_is_there_whole_and_only_below_its_folder(place: RemotePath) -> None:
    (place / "a/b c#?.bin").put(b"12345")
    (place / "a2").put(memoryview(b"x"))
    assert (place / "a/b c#?.bin").read_bytes() == b"12345"
    assert {key: found.size_bytes for key, found in place.objects().items()} == {"a/b c#?.bin": 5, "a2": 1}
    assert list((place / "a").objects()) == ["b c#?.bin"]
    assert place.folders() == ["a"]
    assert (str(place), (place / "a2").name) == (f"s3://{place.bucket}/some/folder", "a2")


def test_what_is_not_there_is_a_missing_file(place: RemotePath) -> None:
    assert not (place / "a").is_file()
    with pytest.raises(FileNotFoundError, match="some/folder/a"):
        (place / "a").read_bytes()
    (place / "a").put(b"1")
    place.remove(["a", "never there"])
    assert place.objects() == {}


def test_of_sixteen_that_create_one_object_one_wins(place: RemotePath) -> None:
    with ThreadPoolExecutor(16) as executor:
        made = list(executor.map(lambda number: (place / "one").create(b"%d" % number), range(16)))
    assert made.count(True) == 1
    assert (place / "one").read_bytes() == b"%d" % made.index(True)


def test_a_file_of_several_parts_goes_up_and_comes_back_whole(place: RemotePath, tmp_path: Path) -> None:
    data = bytes(range(256)) * (PART_BYTES // 128)
    (tmp_path / "large").write_bytes(data)
    e_tag = (place / "large").upload(tmp_path / "large")
    assert (place / "large").download(tmp_path / "back").e_tag == e_tag
    assert (tmp_path / "back").read_bytes() == data


def test_bytes_that_are_not_those_that_went_up_are_refused(place: RemotePath, tmp_path: Path) -> None:
    import obstore

    obstore.put(place._store, (place / "x").key, b"other bytes", attributes={"sha256": "0" * 64})
    with pytest.raises(StoreError, match="x: 11 bytes, sha256 0000"):
        (place / "x").download(tmp_path / "x")


def test_a_place_can_be_sent_to_another_process_and_holds_no_key(place: RemotePath) -> None:
    assert pickle.loads(pickle.dumps(place)) == place
    assert "a-secret-key" not in f"{place!r}{vars(place)}"


def test_a_bucket_that_is_not_there_is_named(s3_environment: dict[str, str]) -> None:
    nowhere = remote_path("s3://no-such-bucket/a", s3_environment)
    with pytest.raises(StoreError, match="s3://no-such-bucket: no such bucket"):
        nowhere.objects()
    with pytest.raises(StoreError, match="s3://no-such-bucket: no such bucket"):
        nowhere.put(b"")


def test_a_server_that_does_not_answer_may_be_asked_again(s3_environment: dict[str, str]) -> None:
    gone = remote_path("s3://bucket/a", s3_environment | {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"})
    with pytest.raises(SourceUnreachableError, match=r"s3://bucket/a \(http://127\.0\.0\.1:9\)"):
        gone.look()


@pytest.mark.parametrize("left", [(), ("AWS_ACCESS_KEY_ID",), ("AWS_SECRET_ACCESS_KEY",)], ids=str)
def test_that_there_are_no_credentials_is_said_and_what_to_set(
    s3_environment: dict[str, str],
    new_bucket: Callable[[], str],
    monkeypatch: pytest.MonkeyPatch,
    left: tuple[str, ...],
) -> None:
    """The library asks the machine for its role then, and its words are of `PUT http://169.254.169.254/…`."""
    for name in {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}.difference(left):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_METADATA_ENDPOINT", "http://127.0.0.1:9")  # a machine without a role
    with pytest.raises(StoreError, match=r"a: no credentials found; .*AWS_ACCESS_KEY_ID and AWS_SECRET_") as refused:
        remote_path(f"{new_bucket()}/a", s3_environment).look()
    assert "http:" not in str(refused.value)
    assert "a-secret-key" not in str(refused.value)


@pytest.mark.parametrize(
    "url", ["s3://", "gs://bucket/a", "s3://bucket/a//b", "s3://bucket/../a", "s3://me:key@bucket"]
)
def test_what_names_no_folder_in_a_bucket_is_refused(url: str) -> None:
    with pytest.raises(SettingsError, match="s3://bucket/folder expected"):
        remote_path(url, {})
