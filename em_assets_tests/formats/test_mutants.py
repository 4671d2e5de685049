"""Damaged and hostile files: a clear error or the truth, soon, in little memory, and no process dies.

The short form runs with every test; the whole campaign (`make soak`) has 2,000 mutants a format.
"""

from collections.abc import Iterable
from pathlib import Path

import pytest

from em_assets_tests.formats.mutant_campaign import Outcome, outcomes
from em_assets_tests.formats.mutant_seeds import WRITERS
from em_assets_tests.formats.mutants import Mutant, file_mutants, tree_mutants

MOST_BYTES = 2 * 10**9


@pytest.mark.parametrize("format", WRITERS)
def test_some_mutants_of_each_format_are_errors_or_the_truth(format: str, tmp_path: Path) -> None:
    judge(outcomes(format, tmp_path, n=30))


@pytest.mark.soak
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("format", WRITERS)
def test_two_thousand_mutants_of_each_format_are_errors_or_the_truth(format: str, tmp_path: Path) -> None:
    judge(outcomes(format, tmp_path, n=2400, seed=1))


def judge(found: Iterable[Outcome]) -> None:
    """A reader may not know that a flipped voxel is wrong; that something is missing it must know."""
    for outcome in found:
        assert outcome.result in ("error", "same", "other"), outcome
        assert "cut" not in outcome.kind or outcome.result in ("error", "same"), outcome
        assert outcome.peak_bytes < MOST_BYTES, outcome
        assert outcome.is_refused_by_manifest, outcome
        assert outcome.said.startswith("read: ") or ": " in outcome.said.removeprefix("error: "), outcome


def test_mutants_are_the_same_every_time() -> None:
    files = {"zarr.json": b'{"a": [1, 2, {"b": "c"}]}', "c/0": bytes(range(200))}

    def made(seed: int) -> list[Mutant]:
        trees = tree_mutants(files, ["zarr.json"], 50, seed)
        return [*trees, *file_mutants("a.tif", bytes(range(250)), [range(100, 200)], 50, seed)]

    assert made(3) == made(3)
    assert made(3) != made(4)
