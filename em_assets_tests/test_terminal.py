"""What a cell of a table shows."""

import pytest

from em_assets.terminal import cell


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (7.998250424861908, "7.998"),
        (50.0, "50"),
        (275_984.0, "275984"),
        (-12_345.6, "-12346"),
        (2.5e-7, "2.5e-07"),
        (3e38, "3e+38"),
        (float("nan"), "nan"),
        ([1_200_000.0, None, 8.0], "1200000 × ? × 8"),
    ],
)
def test_a_length_is_shown_in_figures_that_people_read(value: object, shown: str) -> None:
    """The extent of a whole brain in nanometres was `2.76e+05`: four figures of it, and none to compare."""
    assert cell(value) == shown
