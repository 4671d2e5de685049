"""Numbers are read as people write them, and what contradicts itself is a finding."""

from typing import Any

import pytest

from em_assets.evidence.fields import FIELDS
from em_assets.evidence.findings import why_unread
from em_assets.evidence.quantities import triple
from em_assets.model import Claim


def a_claim(field: str, value: Any, unit: str | None = None, kind: str = "publisher") -> Claim:
    return Claim.model_validate(
        {
            "dataset": "stack", "volume": None, "field": field, "value": value, "unit": unit, "kind": kind,
            "said_by": "somebody", "locator": "page 3", "raw": str(value), "origin": "public",
        }
    )  # fmt: skip


@pytest.mark.parametrize(
    ("field", "value", "unit", "expected"),
    [
        ("shape_zyx", "1065×2048×1536", None, [1065, 2048, 1536]),
        ("shape_zyx", "1,065 x 2,048 x 1,536 voxels", None, [1065, 2048, 1536]),
        ("shape_zyx", "(165, 768, 1024)", None, [165, 768, 1024]),
        ("shape_zyx", "[165,768,1024] px", None, [165, 768, 1024]),
        ("shape_zyx", "1024 × 768 × 165 (x, y, z)", None, [165, 768, 1024]),
        ("shape_zyx", "1000³", None, [1000, 1000, 1000]),
        ("shape_zyx", {"x": 3, "y": 2, "z": 1}, None, [1, 2, 3]),
        ("extent_zyx_nm", "1 × 2 × 3 µm", None, [1e3, 2e3, 3e3]),
        ("extent_zyx_nm", {"unit": "µm", "values": {"x": 48.0, "y": 6.0, "z": 33.0}}, None, [33e3, 6e3, 48e3]),
        ("voxel_size_z_nm", "0.05 µm", None, 50.0),
        ("voxel_size_z_nm", "5,24 nm", None, 5.24),
        ("voxel_size_z_nm", 13.48, "angstrom", 1.348),
        ("source_bytes", "708.4 MB", None, 708_400_000),
        ("source_bytes", "1 KiB", None, 1024),
        ("source_bytes", 2, "GB", 2_000_000_000),
        ("dtype", "UNSIGNED_INT8_DATA", None, "uint8"),
        ("dtype", "unsigned byte", None, "uint8"),
        ("dtype", "SIGNED_INT16_DATA", None, "int16"),
        ("dtype", "16-bit", None, "uint16"),
        ("dtype", "REAL4_DATA 32 float", None, "float32"),
        ("technique", "Focused Ion Beam milling SEM", None, "FIB-SEM"),
        ("technique", "serial section TEM", None, "ssTEM"),
        ("technique", "transmission electron microscopy", None, "TEM"),
        ("organism", "NCBITaxon_9606", None, "Homo sapiens"),
        ("organism", "Fruit fly", None, "Drosophila melanogaster"),
        ("organism_taxon", "Mouse", None, 10090),
        ("licence", "CC BY 4.0", None, "CC-BY-4.0"),
        ("licence", "https://creativecommons.org/publicdomain/zero/1.0/", None, "CC0-1.0"),
        ("accelerating_voltage_kv", "900 eV", None, 0.9),
        ("accelerating_voltage_kv", 1900, "V", 1.9),
        ("acquired_at", "11.06.2018", None, "2018-06-11"),
        ("acquired_at", "13/06/2018", None, "2018-06-13"),
        ("acquired_at", "Mon Jun 11 22:26:45 2018", None, "2018-06-11T22:26:45"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_value_is_read_as_people_write_it(field: str, value: Any, unit: str | None, expected: Any) -> None:
    found = FIELDS[field].read(a_claim(field, value, unit))
    assert found == pytest.approx(expected) if isinstance(expected, float | list) else found == expected
    assert why_unread(a_claim(field, value, unit)) is None


@pytest.mark.parametrize(
    "value",
    [
        ["30 nm", "0.008 µm", "0.008 µm"],
        {"x": "8 nm", "y": "8 nm", "z": "0.03 µm"},
        "0.008 µm (xy), 30 nm (z)",
        "8 nm (xy), 25-35 nm (z)",
        "8 nm (xy), 25 \u2013 35 nm (z)",
        "x: 8 nm, y: 8 nm, z: 30 ± 5 nm",
        "8 × 8 × 25 nm to 35 nm",
    ],
    ids=str,
)
def test_of_ranges_and_of_two_units_no_number_is_taken(value: Any) -> None:
    assert triple(value) is None


@pytest.mark.parametrize(
    ("field", "value", "unit", "reason"),
    [
        ("voxel_size_x_nm", "5 nm", "µm", "contradict"),
        ("voxel_size_x_nm", 5, "1/nm", "no unit of length"),
        ("voxel_size_x_nm", 5, "eV", "no unit of length"),
        ("voxel_size_x_nm", 0, "nm", "above 0"),
        ("voxel_size_x_nm", -4.0, "nm", "above 0"),
        ("voxel_size_x_nm", "1e999", "nm", "no number"),
        ("voxel_size_x_nm", "unknown", "nm", "no number"),
        ("voxel_size_x_nm", 5, "px", "unit mix"),
        ("shape_zyx", [5, 5, 5], "nm", "unit mix"),
        ("shape_zyx", [5, 0, 5], None, "cannot be read"),
        ("source_bytes", 5, "nm", "no unit of bytes"),
        ("acquired_at", "06/11/2018", None, "cannot be told apart"),
        ("acquired_at", "31/31/2018", None, "no such day"),
        ("acquired_at", "\udcff\udcfe", None, "no date"),
    ],
    ids=lambda value: repr(value)[:24],
)
def test_what_cannot_be_used_is_a_finding(field: str, value: Any, unit: str | None, reason: str) -> None:
    claim = a_claim(field, value, unit)
    assert FIELDS[field].read(claim) is None
    assert reason in str(why_unread(claim))
