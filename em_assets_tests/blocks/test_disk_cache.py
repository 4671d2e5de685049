"""Bytes that are kept on this disk: never too many, never wrong ones, whoever else keeps some."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from em_assets.blocks.disk_cache import DISK_BLOCK_BYTES, SIZE, DiskCache
from em_assets.errors import SettingsError, StoreError
from em_assets.settings import BlockCache, block_cache

MOST = 32 * DISK_BLOCK_BYTES


@pytest.fixture
def cache(tmp_path: Path) -> DiskCache:
    return DiskCache.opened(BlockCache(tmp_path / "blocks", MOST))


def taken(cache: DiskCache) -> int:
    files = [path for path in cache.folder.rglob("*") if path.is_file() and path.name != SIZE]
    return sum(-(-path.stat().st_size // DISK_BLOCK_BYTES) * DISK_BLOCK_BYTES for path in files)


def names(cache: DiskCache) -> set[str]:
    return {path.name for path in cache.folder.rglob("*") if path.is_file() and path.name != SIZE}


def test_what_is_kept_comes_back_and_what_is_not_is_none(cache: DiskCache) -> None:
    cache.keep("v/s0/0/0_0", b"voxels")
    assert cache.has("v/s0/0/0_0")
    assert cache.load("v/s0/0/0_0") == b"voxels"
    assert cache.load("v/s0/0/0_1") is None


def test_there_are_never_too_many_and_what_was_not_used_for_longest_goes_first(cache: DiskCache) -> None:
    for number in range(32):
        cache.keep(f"v/{number}", b"x" * 100)
        os.utime(cache.folder / f"v/{number}", (number, number))
    assert taken(cache) == MOST
    assert cache.load("v/0") == b"x" * 100
    cache.keep("v/32", b"x" * 100)
    assert taken(cache) == MOST * 3 // 4
    assert names(cache) == {"0", *map(str, range(10, 33))}


@pytest.mark.parametrize("damage", [b"", b"short", None], ids=["empty", "short", "other"])
def test_a_damaged_file_counts_as_none_and_is_gone(cache: DiskCache, damage: bytes | None) -> None:
    cache.keep("v/0", b"voxels")
    path = cache.folder / "v/0"
    path.write_bytes(path.read_bytes()[:-1] + b"?" if damage is None else damage)
    assert cache.load("v/0") is None
    assert not cache.has("v/0")


def test_a_size_that_nobody_can_read_is_counted_anew(cache: DiskCache) -> None:
    for number in range(20):
        cache.keep(f"v/{number}", b"x")
    (cache.folder / SIZE).write_bytes(b"\0\0")
    cache.keep("v/20", b"x")
    assert int((cache.folder / SIZE).read_bytes()) == taken(cache) == 21 * DISK_BLOCK_BYTES


def test_a_file_that_would_push_out_too_much_is_not_kept(cache: DiskCache) -> None:
    cache.keep("v/0", b"x" * (MOST // 8))
    assert not cache.has("v/0")


def test_where_nothing_can_be_written_reading_goes_on_without(cache: DiskCache) -> None:
    (cache.folder / "v").write_text("a file where a folder should be")
    cache.keep("v/0", b"x")
    assert cache.load("v/0") is None


def test_a_folder_that_was_deleted_is_made_again(cache: DiskCache) -> None:
    shutil.rmtree(cache.folder)
    cache.keep("v/0", b"x")
    assert cache.load("v/0") == b"x"


def test_a_folder_that_cannot_be_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="EM_ASSETS_CACHE"):
        DiskCache.opened(BlockCache(tmp_path / "file" / "blocks", MOST))


KEEPER = """
import sys
from pathlib import Path
from em_assets.blocks.disk_cache import DiskCache
cache = DiskCache(Path(sys.argv[1]), int(sys.argv[2]))
for number in range(200):
    name = f"v/{number * int(sys.argv[3]) % 101}"
    found = cache.load(name)
    assert found in (None, name.encode() * 50), found
    cache.keep(name, name.encode() * 50)
    total = 4096 * (len(list(cache.folder.glob("v/[0-9]*"))) if number % 10 == 0 else 0)
    assert total <= cache.most_bytes, total
"""


def test_several_processes_keep_to_the_bound_together(cache: DiskCache) -> None:
    command = [sys.executable, "-c", KEEPER, str(cache.folder), str(MOST)]
    running = [subprocess.Popen([*command, str(step)]) for step in (1, 3, 7, 11)]
    assert [process.wait(60) for process in running] == [0, 0, 0, 0]
    assert taken(cache) <= MOST
    assert int((cache.folder / SIZE).read_bytes()) >= taken(cache)


class TestTheSetting:
    def test_there_is_none_unless_it_is_asked_for(self) -> None:
        assert block_cache({}) is None
        assert block_cache({"EM_ASSETS_BLOCK_CACHE_GIB": "0"}) is None

    def test_its_folder_is_beside_the_working_copies(self, tmp_path: Path) -> None:
        variables = {"EM_ASSETS_CACHE": str(tmp_path), "EM_ASSETS_BLOCK_CACHE_GIB": "0.5"}
        assert block_cache(variables) == BlockCache(tmp_path / "blocks", 1 << 29)

    @pytest.mark.parametrize("value", ["-1", "much", "inf", "nan"])
    def test_another_value_is_said(self, value: str) -> None:
        with pytest.raises(SettingsError, match=f"EM_ASSETS_BLOCK_CACHE_GIB={value}"):
            block_cache({"EM_ASSETS_BLOCK_CACHE_GIB": value})
