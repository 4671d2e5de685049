"""Rules of physics, what is derived, and what an archive declares."""

from typing import Any

import pytest

from em_assets.evidence.completeness import incompleteness, missing_chunks, n_chunks
from em_assets.evidence.derived import z_step
from em_assets.evidence.plausibility import RULES, Facts, broken_rules
from em_assets.model import Claim, RawFile, VolumeRecord


def broken(claimed: dict[str, Any] | None = None, **record: Any) -> list[str]:
    facts = Facts(VolumeRecord(dataset="stack", volume="em", origin="public", **record), claimed or {})
    return [one.rule for one in broken_rules(facts)]


@pytest.mark.parametrize(
    ("record", "claimed", "rule"),
    [
        ({"technique": "TEM", "voxel_size_zyx_nm": (5, 5, 5)}, {}, "section tem has thick sections"),
        ({"technique": "FIB-SEM", "voxel_size_zyx_nm": (50, 8, 8)}, {}, "fib sem mills thin slices"),
        ({"technique": "SBF-SEM", "voxel_size_zyx_nm": (8, 8, 8)}, {}, "sbf sem cuts no thin slices"),
        ({"technique": "FIB-SEM", "voxel_size_zyx_nm": (20, 20, 20)}, {}, None),
        ({"technique": "cryo-ET", "voxel_size_zyx_nm": (1.3, 1.3, 1.3)}, {}, None),
        ({"voxel_size_zyx_nm": (8, 8, 8)}, {"voxel_size_x_nm": [8.0, 80.0]}, "voxel sizes differ by no power of ten"),
        ({"voxel_size_zyx_nm": (20, 20, 20)}, {"voxel_size_x_nm": [20.0, 50.0]},
         "no pixels per micrometre for a length"),
        ({"voxel_size_zyx_nm": (8, 8, 8)}, {"voxel_size_z_nm": [8.0, 50.0]}, "z is not copied from xy"),
        ({"voxel_size_zyx_nm": (8, 8, 30)}, {}, "x is not the step between slices"),
        ({"voxel_size_zyx_nm": (30, 8, 8)}, {}, None),
        ({"voxel_size_zyx_nm": (8, 30, 8)}, {}, None),
        ({"voxel_size_zyx_nm": (4, 4, 5.24)}, {}, None),
        (
            {"voxel_size_zyx_nm": (4, 4, 4), "shape_zyx": (10, 10, 10), "extent_zyx_nm": (40, 40, 80)},
            {},
            "extent is shape times voxel",
        ),
        ({"shape_zyx": (9, 7, 5)}, {"shape_zyx": [[9, 5, 7]]}, "page order is axis order"),
        ({"voxel_size_zyx_nm": (1, 1, 1)}, {}, "voxel size is no default"),
        ({"voxel_size_zyx_nm": (50, 40_000, 40_000)}, {}, "voxel of an electron microscope"),
    ],
    ids=lambda value: str(value)[:40],
)  # fmt: skip
def test_a_rule_finds_what_cannot_be(record: dict[str, Any], claimed: dict[str, Any], rule: str | None) -> None:
    assert broken(claimed, **record) == ([] if rule is None else [rule])


def test_rules_of_electron_microscopy_skip_fluorescence() -> None:
    record: dict[str, Any] = {"technique": "light-sheet", "voxel_size_zyx_nm": (50_000, 20_000, 20_000)}
    assert broken(content="fluorescence", **record) == []
    assert broken(content="em", **record) == ["voxel of an electron microscope"]


def test_every_rule_has_its_reason_and_source() -> None:
    assert all(len(rule.reason) > 40 and rule.source for rule in RULES)
    assert len({rule.name for rule in RULES}) == len(RULES)


def test_the_z_step_is_how_the_stage_climbs_whatever_one_slice_did() -> None:
    positions = [100 + 50.0 * number for number in range(20)]
    positions[7] += 400
    assert z_step(positions) == (50.0, 19)
    assert z_step([0.0, 50.0]) is None
    assert z_step([0.0, 50.0, 51.0, 180.0, 181.0]) is None
    assert z_step([5.0] * 9) is None


def declared(field: str, value: Any, unit: str | None = None, kind: str = "archive") -> Claim:
    return Claim.model_validate(
        {
            "dataset": "stack", "volume": None, "field": field, "value": value, "unit": unit, "kind": kind,
            "said_by": "api", "locator": "/size", "raw": f"{value} {unit or ''}".strip(), "origin": "public",
        }
    )  # fmt: skip


def held(*paths: str) -> list[RawFile]:
    return [
        RawFile(path=path, url="u", size_bytes=500_000_000, sha256="0" * 64, validator=None, source=0) for path in paths
    ]


def test_what_is_declared_and_not_held_is_said() -> None:
    claims = [
        declared("n_files", {"dm3": 3, "xml": 1}, kind="recorded"),
        declared("source_bytes", 1.2, "GB"),
        declared("folders", ["marks"], kind="recorded"),
    ]
    assert incompleteness(claims, held("a.dm3", "b.dm3", "c.xml")) == [
        "3 .dm3 files declared, 2 held (api)",
        "folder marks/ declared, nothing in it held (api)",
    ]
    assert incompleteness(claims, held("a.dm3", "b.dm3"), is_sample=True) == [
        "1.2 GB declared, 1000000000 bytes held: 200000000 fewer (api)"
    ]
    assert incompleteness(claims, held("a.dm3", "b.dm3", "c.dm3", "d.xml", "marks/1")) == []


def test_chunks_are_counted_by_arithmetic() -> None:
    assert n_chunks([564, 2520, 2596], [64, 64, 64]) == 9 * 40 * 41
    assert missing_chunks({"s0": ([65, 64, 64], [64, 64, 64])}, {"s0": 1}) == ["s0: 2 chunks by arithmetic, 1 held"]
