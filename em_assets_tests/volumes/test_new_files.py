"""Files that grow piece by piece, past the system's cache where that goes, have exactly the bytes that were given."""

import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from errno import EIO
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest

from em_assets.volumes import new_files, writing_behind
from em_assets.volumes.direct import ALIGNED_BYTES, LEAST_BYTES
from em_assets.volumes.ledger import Entry, digest_of
from em_assets.volumes.new_files import BUFFER_BYTES, NewFile, NewFiles, Piece, spread_folders
from em_assets.volumes.sinks import FolderSink, put

SIZES = [0, 1, ALIGNED_BYTES, LEAST_BYTES - 1, LEAST_BYTES, BUFFER_BYTES, BUFFER_BYTES + 1, 5_000_011]


def noise(n_bytes: int) -> bytes:
    return np.random.default_rng(n_bytes).integers(0, 256, n_bytes, dtype=np.uint8).tobytes()


def pieces(data: bytes, n_bytes: int) -> list[bytes]:
    return [data[start : start + n_bytes] for start in range(0, len(data), n_bytes)]


def n_open() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def written(path: Path, *appended: list[bytes]) -> bytes:
    file = NewFile(path)
    for some in appended:
        file.append(some)
    file.finish()
    assert file.size_bytes == path.stat().st_size
    return path.read_bytes()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("piece", [999_983, 65_536])
def test_a_file_has_the_bytes_that_were_given_in_their_order(tmp_path: Path, size: int, piece: int) -> None:
    assert written(tmp_path / "file", pieces(noise(size), piece)) == noise(size)


@pytest.mark.parametrize("first", SIZES)
def test_it_may_grow_in_parts_between_which_others_are_written(tmp_path: Path, first: int) -> None:
    """The memory that a thread writes from is used for other files in between."""
    file, other = NewFile(tmp_path / "file"), noise(3 * BUFFER_BYTES + 7)
    file.append([noise(first)])
    assert written(tmp_path / "other", [other]) == other
    file.append([noise(70_001)])
    file.append([])
    file.finish()
    assert (tmp_path / "file").read_bytes() == noise(first) + noise(70_001)


@pytest.mark.skipif(not os.access("/dev/shm", os.W_OK), reason="no file system in memory here")
def test_a_file_system_in_memory_takes_the_same_with_the_same_digest() -> None:
    data = noise(5_000_011)
    with TemporaryDirectory(dir="/dev/shm") as folder:
        entry = put(FolderSink(Path(folder)), "s0/c/0", pieces(data, 190_001))
        assert (Path(folder) / "s0/c/0").read_bytes() == data
    assert (entry.size_bytes, entry.blake3) == (len(data), digest_of(data))


@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")
def test_a_forked_child_writes_from_memory_of_its_own(tmp_path: Path) -> None:
    """Dagster and data loaders fork: a child has its parent's memory, and none of the threads that write from it."""
    file = NewFile(tmp_path / "parent")

    def parts() -> Iterator[bytes]:
        yield noise(100_000)
        child = os.fork()
        if child == 0:
            written(tmp_path / "child", [bytes(100_001), bytes(3 * BUFFER_BYTES)])
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        yield noise(100_001)

    file.append([noise(BUFFER_BYTES)])
    file.append(parts())
    file.finish()
    assert (tmp_path / "parent").read_bytes() == noise(BUFFER_BYTES) + noise(100_000) + noise(100_001)
    assert (tmp_path / "child").read_bytes() == bytes(100_001 + 3 * BUFFER_BYTES)


def test_many_threads_write_their_files_from_few_buffers(tmp_path: Path) -> None:
    """More files at once than there is memory to write from, and pieces that fail on the way, which keep none of it."""

    def write(number: int) -> bool:
        data = noise(5_000_000 + number)
        with pytest.raises(ZeroDivisionError):
            put(
                FolderSink(tmp_path),
                f"{number}/torn",
                (part if part else 1 / 0 for part in [*pieces(data, 999_983), b""]),
            )
        return written(tmp_path / str(number) / "whole", pieces(data, 999_983)) == data

    with ThreadPoolExecutor(16) as executor:
        assert all(executor.map(write, range(64)))


def written_behind(sink: FolderSink, objects: Iterable[tuple[str, Piece]]) -> list[Entry]:
    stored = sink.put_all(objects)
    wait(stored.under_way)
    for written in stored.under_way:
        written.result()
    return stored.entries


@pytest.mark.parametrize("sizes", [[], [0], SIZES, [1, 300_000, BUFFER_BYTES, 2, 1_900_000, 190_001, 4096]], ids=str)
def test_files_that_are_written_behind_are_there_at_the_end(tmp_path: Path, sizes: list[int]) -> None:
    data = {f"s0/{number}/{size}": noise(size) for number, size in enumerate(sizes)}
    held = bytearray(max(sizes, default=0))

    def objects() -> Iterator[tuple[str, memoryview]]:
        for key, content in data.items():  # from memory that is used again
            held[: len(content)] = content
            yield key, memoryview(held)[: len(content)]

    entries = written_behind(FolderSink(tmp_path), objects())
    assert {key: (tmp_path / key).read_bytes() for key in data} == data
    assert [tuple(entry) for entry in entries] == [
        (key, len(content), digest_of(content)) for key, content in data.items()
    ]


@pytest.mark.parametrize("size", [5, 190_001, BUFFER_BYTES + 1])
@pytest.mark.parametrize("place", [0, 40])
def test_of_files_that_are_written_behind_one_that_cannot_be_is_an_error(tmp_path: Path, size: int, place: int) -> None:
    (tmp_path / str(place)).write_bytes(b"old")
    open_before = n_open()
    with pytest.raises(FileExistsError, match=f"/{place}'"):
        written_behind(FolderSink(tmp_path), ((str(number), noise(size)) for number in range(41)))
    assert (tmp_path / str(place)).read_bytes() == b"old"
    assert n_open() == open_before


def test_what_fails_between_files_ends_those_that_were_begun(tmp_path: Path) -> None:
    for attempt in range(30):  # more often than there is memory to write from
        folder = tmp_path / str(attempt)
        with pytest.raises(ZeroDivisionError):
            FolderSink(folder).put_all((str(number), noise(500_000 // (9 - number) * 9)) for number in range(10))
        files = list(folder.iterdir())
        assert files
        assert all(file.read_bytes() == noise(500_000 // (9 - int(file.name)) * 9) for file in files)


def test_a_failure_that_is_known_when_the_last_files_are_sent_keeps_no_memory(tmp_path: Path) -> None:
    def put_two() -> None:
        with NewFiles() as files:
            files.put(f"{tmp_path}/0", noise(BUFFER_BYTES))
            files.put(f"{tmp_path}/1", b"next")
            wait(files.under_way)

    (tmp_path / "0").write_bytes(b"old")
    for _ in range(30):  # more often than there is memory to write from
        with pytest.raises(FileExistsError):
            put_two()


def test_where_the_disk_cannot_be_asked_the_error_keeps_no_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: int) -> bool:
        raise OSError(EIO, "Input/output error")

    monkeypatch.setattr(new_files, "turn_direct", refuse)
    for number in range(30):
        with pytest.raises(OSError, match="Input/output"):
            put(FolderSink(tmp_path), str(number), [noise(LEAST_BYTES)])
        with pytest.raises(OSError, match="Input/output"):
            put(FolderSink(tmp_path), f"{number}.large", [noise(BUFFER_BYTES + 1)])


def test_without_another_thread_a_file_is_written_all_the_same(tmp_path: Path) -> None:
    """As at the interpreter's end, or where the system starts no more threads."""
    code = f"""
import threading
from em_assets.volumes.ledger import digest_of
from em_assets.volumes.sinks import FolderSink, put
from pathlib import Path
def work():
    threading.main_thread().join()
    for number in range(30):
        entry = put(FolderSink(Path({str(tmp_path)!r})), str(number), [bytes(5_000_000)])
        assert entry.blake3 == digest_of(bytes(5_000_000))
threading.Thread(target=work).start()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr == ""
    assert [(tmp_path / str(number)).read_bytes() == bytes(5_000_000) for number in range(30)] == [True] * 30


def test_spare_memory_is_let_go_and_found_again(tmp_path: Path) -> None:
    assert written(tmp_path / "before", [noise(5_000_000)]) == noise(5_000_000)
    writing_behind.let_go_of_spare()
    assert written(tmp_path / "after", [noise(5_000_000)]) == noise(5_000_000)


def test_a_file_that_is_there_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"old")
    with pytest.raises(FileExistsError):
        NewFile(tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == b"old"


def test_an_object_that_is_dropped_leaves_no_descriptor_open(tmp_path: Path) -> None:
    open_before = n_open()
    growing = FolderSink(tmp_path).begin("s0/0")
    growing.append([noise(100_000)])
    growing.drop()
    growing.drop()
    assert n_open() == open_before


def test_a_wish_that_a_file_system_does_not_know_is_no_error(tmp_path: Path) -> None:
    spread_folders(tmp_path / "s0")
    spread_folders(tmp_path / "s0")
    assert (tmp_path / "s0").is_dir()
    spread_folders(Path("/proc/self/fdinfo"))
