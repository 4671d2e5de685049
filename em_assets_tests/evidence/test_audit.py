"""Published claims are judged: those of the facts file's table, further true and false ones, and nonsense."""

import json
import math
import time
from pathlib import Path
from typing import Any

import pytest

from em_assets.datasets import Dataset, load
from em_assets.evidence import audit
from em_assets.settings import PUBLIC, Settings

HERE = Path(__file__).parent
PUBLISHED = json.loads((HERE / "published_claims.json").read_text(encoding="utf-8"))
FURTHER = json.loads((HERE / "further_claims.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Dataset]:
    return load(Settings(store=tmp_path_factory.mktemp("store"), origin=PUBLIC))


def _name(claim: dict[str, Any]) -> str:
    return f"{claim.get('row', '')} {claim['dataset']} {claim['field']} {str(claim['value'])[:24]}".strip()


@pytest.fixture(scope="module")
def published(registry: dict[str, Dataset]) -> list[dict[str, Any]]:
    return audit(PUBLISHED, registry)


@pytest.mark.parametrize("number", range(len(PUBLISHED)), ids=[_name(claim) for claim in PUBLISHED])
def test_a_published_error_is_judged_as_the_facts_say(number: int, published: list[dict[str, Any]]) -> None:
    claim, judged = PUBLISHED[number], published[number]
    assert judged["verdict"] == claim["expected"], judged
    assert (claim["cause"] or "") in (judged["cause"] or "")
    assert judged["true_value"] is not None
    assert judged["witness"]


def test_all_24_rows_are_there() -> None:
    assert {claim["row"] for claim in PUBLISHED} == {*range(1, 25), "archive"}


@pytest.mark.parametrize("claim", FURTHER, ids=_name)
def test_a_claim_outside_the_facts_is_judged(claim: dict[str, Any], registry: dict[str, Dataset]) -> None:
    (judged,) = audit([claim], registry)
    assert judged["verdict"] == claim["expected"], judged
    assert (claim["cause"] or "") in (judged["cause"] or "")


def test_what_fails_or_cannot_be_told_has_a_cause(published: list[dict[str, Any]]) -> None:
    assert [row for row in published if row["verdict"] != "holds" and not row["cause"]] == []


VALUES: list[Any] = [
            None, True, -1, 0, math.inf, math.nan, 10**400, "", "\ud800", "×" * 400, [[]], [None] * 3, [1, 2],
            {"x": {}}, {"a": None}, "1e999 nm", "0×0×0", [0, 0, 0], ["a", "b", "c"], "5 nm 5 µm", "9" * 5000,
]  # fmt: skip

NONSENSE: list[Any] = [
    None,
    7,
    "text",
    [],
    {},
    {"dataset": 5, "field": None, "value": math.nan},
    *(
        {"dataset": dataset, "field": field, "value": value, "unit": unit}
        for dataset in ("epfl_hippocampus", "u2os_chromatin", "hemibrain_ng", "*", None, ["epfl_hippocampus"])
        for field in (
            "shape_zyx", "voxel_size_zyx_nm", "voxel_size_z_nm", "source_bytes", "size", "technique", "content",
            "dtype",
            "n_files", "n_pages", "is_isotropic", "organism", "acquired_at", "axis_order", "crop_start_zyx", "n_chunks",
            "technique_shares", "n_organisms", "n_isotropic", "size_unit", "extent_zyx_nm", "dataset", "chunk_bytes",
            "tag_categories", "count_basis", "licence", "doi",
        )
        for value in VALUES
        for unit in (None, "1/nm")
    ),
]  # fmt: skip


def test_nothing_that_anybody_writes_raises(registry: dict[str, Dataset]) -> None:
    judged = audit(NONSENSE, registry)
    assert len(judged) == len(NONSENSE)
    assert {row["verdict"] for row in judged} <= {"holds", "fails", "unknown"}


@pytest.mark.parametrize("field", ["n_chunks", "n_organisms"])
def test_a_number_without_end_takes_no_time_without_end(registry: dict[str, Dataset], field: str) -> None:
    """A pattern that began anew at every digit took a quarter of a second for 5,000 digits, and 16 s for these."""
    before = time.process_time()
    (row,) = audit([{"dataset": "epfl_hippocampus", "field": field, "value": "9" * 40_000}], registry)
    assert time.process_time() - before < 3
    assert row["verdict"] in ("fails", "unknown")


def test_the_answer_keeps_the_claim_and_its_order(registry: dict[str, Dataset]) -> None:
    claims: list[dict[str, Any]] = [
        {"dataset": "epfl_hippocampus", "field": "dtype", "value": "uint8", "unit": None, "said_by": "me", "note": 1},
        {"dataset": "u2os_chromatin", "field": "dtype", "value": "uint16", "unit": None, "said_by": "me"},
    ]
    judged = audit(claims, registry)
    assert [{key: row[key] for key in claim} for row, claim in zip(judged, claims, strict=True)] == claims
    assert [row["verdict"] for row in judged] == ["holds", "fails"]
    assert judged[0]["witness"].startswith("volumedata.tif: page 0")
