"""What is written past the system's cache is on the disk exactly, whatever its length; else it is written as usual."""

import fcntl
import mmap
import os
import random
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from em_assets.volumes import direct
from em_assets.volumes.new_files import NewFile

SIZES = [1, 4095, 4096, direct.LEAST_BYTES, direct.LEAST_BYTES + 1, 270_001, 1 << 20]
NOISE = random.Random(5).randbytes(1 << 20)


def has_direct_writes(folder: Path) -> bool:
    """Whether this file system takes a block past its cache, asked of the system alone."""
    path, memory = folder / "probe", mmap.mmap(-1, 4096)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_DIRECT)
    except OSError:
        return False
    try:
        return os.pwrite(descriptor, memory, 0) == 4096
    except OSError:
        return False
    finally:
        os.close(descriptor)
        path.unlink()


def is_direct(descriptor: int) -> bool:
    return bool(fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_DIRECT)


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """A folder on a file system that has direct writes."""
    if not has_direct_writes(tmp_path):
        pytest.skip("the file system of temporary files has no direct writes")
    return tmp_path


@contextmanager
def longest_file(n_bytes: int) -> Iterator[None]:
    """No file of this process may grow beyond so many bytes: the system cuts a write short there, then refuses."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_what_a_file_system_has_is_used(disk: Path) -> None:
    opened = direct.open_direct(disk / "x", os.O_WRONLY | os.O_CREAT)
    assert opened is not None
    assert is_direct(opened)
    os.close(opened)
    for size_bytes, expected in ((direct.LEAST_BYTES - 1, False), (direct.LEAST_BYTES, True), (270_336, True)):
        written = direct.write_new(str(disk / "y"), block(size_bytes), size_bytes)
        assert is_direct(written) == expected
        os.close(written)
        assert (disk / "y").read_bytes() == NOISE[:size_bytes]
    file = NewFile(disk / "z")
    file.append([NOISE])
    assert is_direct(descriptor_of(disk / "z"))
    file.append([NOISE[:1000]])
    file.finish()
    assert (disk / "z").read_bytes() == NOISE + NOISE[:1000]


def write(file: NewFile, content: bytes) -> None:
    file.append([content])
    file.finish()


def descriptor_of(path: Path) -> int:
    """The one with which this process has a file open."""
    (found,) = (each for each in Path("/proc/self/fd").iterdir() if os.path.realpath(each) == str(path.resolve()))
    return int(found.name)


@pytest.mark.parametrize("limit", [(1 << 21) + (1 << 20), (1 << 21) + 100_100], ids=["at a block", "within a block"])
def test_after_some_blocks_a_short_write_goes_on_and_a_refusal_is_told(disk: Path, limit: int) -> None:
    """Within a block the system refuses the direct write, takes what it can of the plain one, and then nothing."""
    content = NOISE * 4
    with longest_file(limit):
        file = NewFile(disk / "x")
        with pytest.raises(OSError, match="File too large"):
            write(file, content)
        file.close()
    assert (disk / "x").read_bytes() == content[:limit]


@pytest.mark.parametrize("limit", [409_600, 409_700], ids=["at a block", "within a block"])
def test_a_part_that_is_cut_short_is_right_as_far_as_it_goes(disk: Path, limit: int) -> None:
    (disk / "x").write_bytes(b"")
    with longest_file(limit), (disk / "x").open("r+b", buffering=0) as file:
        past = direct.open_direct(disk / "x", os.O_WRONLY)
        assert past is not None
        with pytest.raises(OSError, match="File too large"):
            direct.write_at(file.fileno(), past, block(1 << 20), 0)
        direct.close(past)
    assert (disk / "x").read_bytes() == NOISE[:limit]


def test_a_refusal_of_direct_writes_is_made_good_in_the_same_file(disk: Path) -> None:
    """A place within a block, after blocks that went past the cache."""
    with (disk / "x").open("w+b", buffering=0) as file:
        past = direct.open_direct(disk / "x", os.O_WRONLY)
        assert past is not None
        direct.write_at(file.fileno(), past, block(1 << 20)[: 1 << 17], 0)
        direct.write_at(file.fileno(), past, memoryview(NOISE)[1 << 17 : 300_001], 1 << 17)  # unfit memory
        direct.write_at(file.fileno(), past, memoryview(NOISE)[300_001:], 300_001)
        direct.close(past)
    assert (disk / "x").read_bytes() == NOISE


def block(size_bytes: int) -> memoryview:
    """Noise in memory that is fit for it."""
    memory = direct.aligned(1 << 20)
    memory[:size_bytes] = NOISE[:size_bytes]
    return memory


@pytest.mark.parametrize("has_flag", [True, False], ids=["past the cache", "as usual"])
@pytest.mark.parametrize("size_bytes", SIZES)
def test_a_new_file_has_just_these_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size_bytes: int, has_flag: bool
) -> None:
    if not has_flag:
        monkeypatch.setattr(direct, "_FLAG", 0)
    os.close(direct.write_new(str(tmp_path / "x"), block(size_bytes), size_bytes))
    assert (tmp_path / "x").read_bytes() == NOISE[:size_bytes]


@pytest.mark.parametrize("start", [0, 4096, 100], ids=["at the start", "at a block", "within a block"])
@pytest.mark.parametrize("offset", [0, 1], ids=["fit memory", "unfit memory"])
def test_a_part_lands_where_it_belongs(tmp_path: Path, start: int, offset: int) -> None:
    (tmp_path / "x").write_bytes(b"")
    with (tmp_path / "x").open("r+b", buffering=0) as file:
        past = direct.open_direct(tmp_path / "x", os.O_WRONLY)
        direct.write_at(file.fileno(), past, block(270_001)[offset:270_001], start)
        direct.close(past)
    assert (tmp_path / "x").read_bytes() == bytes(start) + NOISE[offset:270_001]
