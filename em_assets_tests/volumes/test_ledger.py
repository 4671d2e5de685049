"""Ledgers of many files: the bytes that they always had, a small part of them in memory at a time."""

import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from em_assets.errors import StoreError
from em_assets.volumes.folders import keys_in_order, put
from em_assets.volumes.ledger import RUN_ENTRIES, Entries, Entry, Ledger, digest_of
from em_assets.volumes.parquet import HELD_BYTES, ROW_GROUP_ROWS, ParquetBytes

N_ENTRIES = RUN_ENTRIES + 2 * ROW_GROUP_ROWS + 7
NOBODY = 65534
BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "ledgers.py"


def entry(number: int) -> Entry:
    return Entry(f"s0/{number // 900}/{number // 30 % 30}/{number % 30}", number, f"{number:064x}")


@pytest.fixture(scope="module")
def many() -> list[Entry]:
    """More than are held at once, in no order."""
    found = [entry(number) for number in range(N_ENTRIES)]
    random.Random(3).shuffle(found)
    return found


@pytest.fixture(scope="module")
def ledger(many: list[Entry]) -> Ledger:
    return Ledger.of(many)


def test_a_ledger_of_many_files_has_the_bytes_that_it_had_when_it_was_held_whole(
    many: list[Entry], ledger: Ledger
) -> None:
    """Commits name the digest: what was committed before must be found again."""
    keys, sizes, digests = ([*column] for column in zip(*sorted(many), strict=True))
    whole = BytesIO()
    table = pa.table({"key": pa.array(keys, pa.string()), "size_bytes": sizes, "blake3": digests})
    pq.write_table(table, whole, compression="zstd", row_group_size=ROW_GROUP_ROWS)
    assert b"".join(ledger.file.pieces()) == whole.getvalue()
    assert ledger.file.blake3 == digest_of(whole.getvalue())


def test_it_comes_in_the_order_of_its_keys_each_once(many: list[Entry], ledger: Ledger) -> None:
    expected = sorted(many)
    assert list(ledger) == expected
    assert (len(ledger), ledger.size_bytes) == (N_ENTRIES, sum(range(N_ENTRIES)))
    twice = Ledger.of(Entries([*many[: RUN_ENTRIES - 1], *many]))
    assert twice == ledger


def test_a_key_is_looked_up_in_its_row_group(ledger: Ledger) -> None:
    for number in (0, ROW_GROUP_ROWS - 1, ROW_GROUP_ROWS, N_ENTRIES // 2, N_ENTRIES - 1):
        assert ledger.size_of(entry(number).key) == number
    assert [ledger.size_of(key) for key in ("", "s0", "s0/0/0/", "s0/0/0/00", "zarr.json")] == [None] * 5


def test_a_key_of_any_length_is_looked_up() -> None:
    """Where the last one of a row group has more than 4 kB, Parquet keeps no statistics."""
    keys = ["a", "b", "c" * 5000]
    found = Ledger.of(Entry(key, number, f"{number:064x}") for number, key in enumerate(keys))
    assert [found.size_of(key) for key in (*keys, "c", "d")] == [0, 1, 2, None, None]


def test_a_file_that_is_too_large_to_be_held_is_read_from_the_disk_and_proved(tmp_path: Path) -> None:
    """Digests cannot be packed, so that a million of them are such a file."""
    numbers = random.Random(5)
    tables = (
        pa.table({"noise": [numbers.randbytes(1000) for _ in range(1024)]}) for _ in range(HELD_BYTES // 1024**2 + 1)
    )
    made = ParquetBytes.of(pa.schema([("noise", pa.binary())]), tables)
    assert made.size_bytes > HELD_BYTES
    path = tmp_path / "noise.parquet"
    put(path, made.pieces())
    found = ParquetBytes.read(path, made.blake3)
    with found.rows() as rows:
        assert rows.metadata.num_rows == 1024 * (HELD_BYTES // 1024**2 + 1)
    with path.open("r+b") as file:
        file.seek(made.size_bytes // 2)
        file.write(b"\0\0\0\0")
    with pytest.raises(StoreError, match=r"noise\.parquet: not the bytes that were committed"):
        ParquetBytes.read(path, made.blake3)


def test_what_is_more_than_the_ledger_names_is_found_between_any_names(tmp_path: Path) -> None:
    """A folder's files sort with a slash behind its name: `a.b` before `a/c` before `a0`."""
    names = ["a.b", "a/c", "a/d/e", "a0", "b"]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    assert list(keys_in_order(tmp_path)) == sorted(names) == names
    for more in names:
        known = Ledger.of(Entry(name, 1, digest_of(b"x")) for name in names if name != more)
        assert known.problems(tmp_path) == [f"{tmp_path / more}: not in the ledger"]


def test_a_link_to_a_folder_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "group").mkdir()
    (tmp_path / "group/a").write_bytes(b"x")
    (tmp_path / "group/link").symlink_to(tmp_path)
    (tmp_path / "group/other").symlink_to("a")
    assert list(keys_in_order(tmp_path / "group")) == ["a", "other"]


@pytest.fixture
def unlisted() -> Iterator[Path]:
    """A folder with `locked`, which nobody but the system's administrator may list, as seen by somebody else."""
    account = os.geteuid()
    with TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "a").write_bytes(b"x")
        (folder / "locked").mkdir(mode=0o700 if account == 0 else 0)
        if account == 0:
            os.seteuid(NOBODY)
        yield folder
        os.seteuid(account)
        (folder / "locked").chmod(0o700)


def test_a_folder_that_nobody_may_list_is_a_finding(unlisted: Path) -> None:
    """It was a traceback."""
    known = Ledger.of([Entry("a", 1, digest_of(b"x")), Entry("locked/b", 1, digest_of(b"x"))])
    assert known.problems(unlisted) == [
        f"{unlisted / 'locked/b'}: cannot be read: Permission denied",
        f"{unlisted / 'locked'}: cannot be listed: Permission denied",
    ]


def test_memory_does_not_grow_with_the_ledger(tmp_path: Path) -> None:
    """600 bytes a key were held: 26 GB for 10 TB in files of a chunk each."""
    command = [sys.executable, str(BENCHMARK), "--quick", "300000", "1200000"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = [json.loads(line) for line in done.stdout.splitlines()]
    steps = {said["step"] for said in found}
    assert len(steps) == 5
    for said in found:
        assert said["bytes"] < 300 << 20, said
