"""Slices whose numbering has a hole."""

import pytest

from em_assets.formats.slices import missing_numbers

CASES = {
    "whole": (["s_0.tif", "s_1.tif", "s_2.tif"], []),
    "one hole": (["s_0008.tif", "s_0009.tif", "s_0011.tif"], ["s_0010.tif"]),
    "width grows": (["s8.tif", "s9.tif", "s11.tif"], ["s10.tif"]),
    "steps of ten": (["run2_z000", "run2_z010", "run2_z030"], ["run2_z020"]),
    "other numbers stay": (["5nm_v2_1.dm3", "5nm_v2_2.dm3", "5nm_v2_4.dm3"], ["5nm_v2_3.dm3"]),
    "any order": (["s_4", "s_1", "s_2"], ["s_3"]),
    "tiles": (["r0_c0.tif", "r0_c2.tif", "r1_c0.tif"], []),
    "times": (["t_1530881042.tif", "t_1530881099.tif", "t_1530884000.tif"], []),
    "different names": (["a_1.tif", "b_3.tif"], []),
    "no numbers": (["a.tif", "a.tif"], []),
    "one": (["s_3.tif"], []),
    "none": ([], []),
}


@pytest.mark.parametrize(("names", "expected"), CASES.values(), ids=CASES.keys())
def test_what_a_numbering_leaves_out_is_named(names: list[str], expected: list[str]) -> None:
    assert missing_numbers(names) == expected
