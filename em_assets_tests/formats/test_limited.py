"""A decoder that crashes, hangs or eats memory ends in words, and the next file is read as if nothing had been."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from em_assets.errors import FormatError, UnsupportedDataError
from em_assets.formats.limited import CHILDREN, Limits, call_limited

CASES = "em_assets_tests.formats.limited_cases:run"
SHORT = Limits(memory_bytes=2**30, cpu_s=0, wall_s=3)


@pytest.mark.parametrize(
    ("deed", "words"),
    [
        ("crash", "a.tif: cannot be decoded: the decoder died of SIGSEGV"),
        ("work", "a.tif: cannot be decoded: it took more than 0 s of work"),
        ("memory", "a.tif: takes more memory"),
        ("bug", "ZeroDivisionError"),
    ],
)
def test_a_decoder_that_misbehaves_is_an_error_of_the_file(deed: str, words: str) -> None:
    with pytest.raises(FormatError, match=words):
        call_limited("a.tif", CASES, "a.tif", deed, limits=SHORT)
    assert call_limited("b.tif", CASES, "b.tif", "array", 4, limits=SHORT).tolist() == [[0, 1], [2, 3]]


def test_a_decoder_that_sleeps_is_not_waited_for() -> None:
    with pytest.raises(FormatError, match="more than 0 s"):
        call_limited("a.tif", CASES, "a.tif", "sleep", limits=Limits(2**30, 1, wall_s=0.5))


def test_errors_of_ours_come_through_as_they_are_and_the_child_lives() -> None:
    before = call_limited("a.tif", CASES, "a.tif", "process", limits=SHORT)
    with pytest.raises(UnsupportedDataError, match=r"a\.tif: no volume"):
        call_limited("a.tif", CASES, "a.tif", "refuse", limits=SHORT)
    assert call_limited("a.tif", CASES, "a.tif", "process", limits=SHORT) == before


def test_what_a_library_prints_does_not_get_into_an_answer() -> None:
    assert call_limited("a.tif", CASES, "a.tif", "print", limits=SHORT) == "said"


def test_an_array_comes_back_with_its_type_and_shape() -> None:
    voxels = call_limited("a.tif", CASES, "a.tif", "array", 200_000, limits=SHORT)
    assert (voxels.dtype, voxels.shape) == (np.dtype(">u2"), (2, 100_000))
    assert np.array_equal(voxels.reshape(-1), np.arange(200_000).astype("u2"))


def test_threads_get_their_own_answers() -> None:
    with ThreadPoolExecutor(2 * CHILDREN) as pool:
        sizes = list(pool.map(lambda n: call_limited("a", CASES, "a", "array", n, limits=SHORT).size, range(2, 60, 2)))
    assert sizes == list(range(2, 60, 2))


FORKING = f"""
import os
from em_assets.formats.limited import call_limited, limits_for
ask = lambda: call_limited("a.tif", {CASES!r}, "a.tif", "process", limits=limits_for(100))
mine = ask()
reading, writing = os.pipe()
if os.fork() == 0:
    os.write(writing, str(ask()).encode())
    raise SystemExit
os.wait()
assert int(os.read(reading, 100)) != mine
assert ask() == mine
"""


def test_a_process_that_was_forked_talks_with_children_of_its_own() -> None:
    """And leaves those of its parent alone when it ends."""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", FORKING], capture_output=True, text=True, timeout=60)
    assert done.stderr == ""
    assert done.returncode == 0
