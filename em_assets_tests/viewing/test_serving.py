"""Bytes as neuroglancer asks for them: ranges of what the ledger names, and an error for what was lost."""

import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests
from tissue import CELLS, TISSUE, write_volume

from em_assets.errors import SettingsError, UsageError
from em_assets.remote.path import remote_path
from em_assets.settings import SAMPLE, Settings
from em_assets.viewing import Served, scene_of, serving
from em_assets.volumes.store import CommittedVolume

Commit = Callable[..., CommittedVolume]

SHARD = "s0/c/0/0/0"


@pytest.fixture
def said() -> list[str]:
    """What was said of files that were lost."""
    return []


@pytest.fixture
def served(commit: Commit, settings: Settings, said: list[str]) -> Iterator[Served]:
    """One volume of 0.5, served."""
    commit("em", TISSUE[:8, :100, :100])
    with serving(scene_of("tissue", None, settings), say=said.append) as served:
        yield served


def url(served: Served, key: str) -> str:
    return served.urls["em"].removeprefix("zarr3://") + key


def path(settings: Settings, key: str) -> Path:
    return settings.volumes_dir("tissue") / "em" / "latest" / key


@pytest.mark.parametrize(
    ("asked", "first", "last"), [("bytes=0-9", 0, 9), ("bytes=100-", 100, None), ("bytes=-20", -20, None)]
)
def test_a_range_of_a_shard_is_these_bytes_of_it(
    served: Served, settings: Settings, asked: str, first: int, last: int | None
) -> None:
    whole = path(settings, SHARD).read_bytes()
    expected = whole[first : None if last is None else last + 1]
    answer = requests.get(url(served, SHARD), headers={"Range": asked}, timeout=10)
    start = first % len(whole)
    assert (answer.status_code, answer.content) == (206, expected)
    assert answer.headers["Content-Range"] == f"bytes {start}-{start + len(expected) - 1}/{len(whole)}"


def test_a_head_and_a_whole_file_are_answered_with_the_same_length(served: Served, settings: Settings) -> None:
    whole = path(settings, SHARD).read_bytes()
    assert requests.get(url(served, SHARD), timeout=10).content == whole
    assert requests.head(url(served, SHARD), timeout=10).headers["Content-Length"] == str(len(whole))


def test_a_range_behind_the_end_is_refused(served: Served, settings: Settings) -> None:
    size = path(settings, SHARD).stat().st_size
    answer = requests.get(url(served, SHARD), headers={"Range": f"bytes={size}-"}, timeout=10)
    assert (answer.status_code, answer.headers["Content-Range"]) == (416, f"bytes */{size}")


@pytest.mark.parametrize("key", ["../commits/000001.json", "%2e%2e/commits/000001.json", "s0/c/9/9/9", "/etc/passwd"])
def test_what_the_ledger_does_not_name_is_not_there(served: Served, key: str) -> None:
    with requests.Session() as session:
        request = session.prepare_request(requests.Request("GET", url(served, "")))
        request.url = url(served, key)  # else requests would resolve the `..` itself
        assert session.send(request, timeout=10).status_code == 404


def test_who_does_not_know_the_secret_gets_nothing(served: Served) -> None:
    secret = served.link.rstrip("/").rpartition("/")[2]
    assert len(secret) >= 32
    for address in (served.link, url(served, "zarr.json")):
        assert requests.get(address, timeout=10).status_code == 200
        assert requests.get(address.replace(secret, "0" * len(secret)), timeout=10).status_code == 404


def test_only_this_machine_is_served(served: Served) -> None:
    port = int(served.link.split(":")[2].split("/")[0])
    with socket.socket() as other, pytest.raises(OSError, match="refused"):
        other.connect(("127.0.0.2", port))


@pytest.mark.parametrize("damage", ["gone", "cut short"])
def test_a_lost_file_is_an_error_and_said_once_and_never_empty_space(
    served: Served, settings: Settings, said: list[str], damage: str
) -> None:
    """A viewer draws 404 as zeros: whoever looks at a damaged volume would see black tissue."""
    shard = path(settings, SHARD)
    if damage == "gone":
        shard.unlink()
    else:
        shard.write_bytes(shard.read_bytes()[:-1])
    answers = [requests.get(url(served, SHARD), headers={"Range": "bytes=0-9"}, timeout=10) for _ in range(2)]
    assert [(answer.status_code, answer.content) for answer in answers] == [(500, b"")] * 2
    assert len(said) == 1
    assert SHARD in said[0]
    assert "em-assets fetch" in said[0]


def test_a_new_generation_does_not_change_what_is_being_shown(
    served: Served, settings: Settings, commit: Commit
) -> None:
    """The commit is resolved once: half of one version beside half of another would be no picture of anything."""
    before = path(settings, SHARD).read_bytes()
    write_volume(settings.volumes_dir("tissue") / "em", TISSUE[8:16, :100, :100], generation="fedcba9876543210")
    assert path(settings, SHARD).read_bytes() != before
    assert requests.get(url(served, SHARD), timeout=10).content == before


def test_a_volume_in_a_bucket_is_served_from_there(
    s3_environment: dict[str, str], new_bucket: Callable[[], str], tmp_path: Path
) -> None:
    settings = Settings(
        store=tmp_path / "copy", origin=SAMPLE, remote=remote_path(f"{new_bucket()}/store", s3_environment)
    )
    folder = settings.volumes_dir("tissue") / "em"
    write_volume(folder, CELLS[:8, :300, :200], labels_of=None)
    whole = (folder / "0123456789abcdef" / SHARD).read_bytes()
    with serving(scene_of("tissue", None, settings)) as served:
        answer = requests.get(url(served, SHARD), headers={"Range": "bytes=50-99"}, timeout=10)
        assert (answer.status_code, answer.content) == (206, whole[50:100])


def test_a_port_that_is_taken_is_said(commit: Commit, settings: Settings) -> None:
    commit("em", TISSUE[:2, :20, :20])
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=f"port {port}"), serving(scene_of("tissue", None, settings), port):
            pass


def test_without_neuroglancer_the_extra_is_named(
    commit: Commit, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit("em", TISSUE[:2, :20, :20])
    monkeypatch.setitem(sys.modules, "neuroglancer", None)  # what Python itself has there for a module that is not
    with (
        pytest.raises(SettingsError, match=r"pip install 'em-assets\[viewer\]'"),
        serving(scene_of("tissue", None, settings)),
    ):
        pass
