"""What is written past the system's cache is on the disk exactly, whatever its length; else it is written as usual."""

import os
import random
from pathlib import Path

import pytest

from em_assets.sources import direct

SIZES = [1, 4095, 4096, direct.LEAST_BYTES, direct.LEAST_BYTES + 1, 270_001, 1 << 20]
NOISE = random.Random(5).randbytes(1 << 20)


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
