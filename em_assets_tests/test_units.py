import math

import pytest

from em_assets.units import is_length, to_nm


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [
        (8, "nm", 8.0),
        (0.007998250424861908, "\u00b5m", 7.998250424861908),
        (0.02, "\\u00B5m", 20.0),
        (1, "\u03bcm", 1000.0),
        (0.01, "um", 10.0),
        (2.5, "micron", 2500.0),
        (2.5, "Micrometres", 2500.0),
        (13.48, "\u00c5", 1.348),
        (2, "\u212b", 0.2),
        (3, "A", 0.3),
        (2, "pm", 0.002),
        (1, "mm", 1e6),
        (1, "cm", 1e7),
        (1, "m", 1e9),
        (1, "inches", 2.54e7),
        (5, " nm\0", 5.0),
    ],
)
def test_a_length_is_turned_into_nanometres(value: float, unit: str, expected: float) -> None:
    assert to_nm(value, unit) == expected


@pytest.mark.parametrize("unit", [None, "", " ", "pixel", "1/nm", "eV", "s", "ms", "M", "Nm", "Mm"])
def test_a_number_without_a_unit_of_length_is_never_taken_for_nanometres(unit: str | None) -> None:
    assert to_nm(5, unit) is None
    assert not is_length(unit)


@pytest.mark.parametrize("value", [0, -1, math.inf, -math.inf, math.nan, 1e308])
def test_a_scale_that_nobody_can_have_measured_is_unknown(value: float) -> None:
    assert to_nm(value, "m") is None
