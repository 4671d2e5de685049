"""Two values of one field that differ, and how far they are apart."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from typing import Any

SLIP_TOLERANCE = 0.02
"""Relative: a factor this near to 10 or 1000 is that factor; values beside it are rounded or measured twice."""


@dataclass(frozen=True)
class Case:
    """Two values of one field in the record's unit, and what else is known of the volume.

    Attributes
    ----------
    said, true
        The value in doubt and the one that it is held against.
    voxel_size_zyx_nm, shape_zyx
        Of the volume, as far as known.
    said_voxel_size_zyx_nm
        What the one in doubt says of each axis, as far as known.
    voxel_bytes
        Bytes of a voxel's type.
    other_bytes
        Sizes of other things of the same dataset, by name.
    slack
        How far `said` may be off because it was rounded.
    """

    field: str
    said: Any
    true: Any
    voxel_size_zyx_nm: Sequence[float | None] = (None, None, None)
    shape_zyx: Sequence[int] | None = None
    said_voxel_size_zyx_nm: Sequence[float | None] = (None, None, None)
    voxel_bytes: int | None = None
    other_bytes: Mapping[str, int] = dataclass_field(default_factory=dict)
    slack: float = 0.0

    @property
    def ratio(self) -> float:
        """`said` over `true`; NaN where they are no numbers above 0."""
        numbers = isinstance(self.said, int | float) and isinstance(self.true, int | float)
        return self.said / self.true if numbers and self.true and self.said else math.nan


Cause = Callable[[Case], str | None]


def factor_between(value: Any, other: Any) -> float | None:
    """The larger number over the smaller one; of lists the one factor that all axes share, None where they do not."""
    if isinstance(value, list) and isinstance(other, list) and len(value) == len(other) > 0:
        factors = [factor_between(a, b) for a, b in zip(value, other, strict=True)]
        first = factors[0]
        alike = first is not None and all(one is not None and math.isclose(one, first, rel_tol=1e-2) for one in factors)
        return first if alike else None
    if isinstance(value, bool) or isinstance(other, bool):
        return None
    if not isinstance(value, int | float) or not isinstance(other, int | float) or min(value, other) <= 0:
        return None
    return max(value, other) / min(value, other)


def is_near(value: Any, other: Any, tolerance: float = SLIP_TOLERANCE) -> bool:
    """Whether two numbers are the same within a relative tolerance."""
    numbers = isinstance(value, int | float) and isinstance(other, int | float)
    return numbers and not math.isnan(value) and math.isclose(value, other, rel_tol=tolerance)


def are_all_near(values: Sequence[Any], others: Sequence[Any], tolerance: float = 5e-3) -> bool:
    """Whether two lists of numbers are the same, each within a relative tolerance."""
    return len(values) == len(others) and all(is_near(a, b, tolerance) for a, b in zip(values, others, strict=True))


def axes_of(case: Case) -> tuple[list[int], list[int]]:
    """Both values as three axes; two empty lists where either is none."""
    both = isinstance(case.said, list | tuple) and isinstance(case.true, list | tuple)
    said, true = (list(case.said), list(case.true)) if both else ([], [])
    return (said, true) if len(said) == len(true) == 3 else ([], [])


def is_power_of_two(ratio: float, tolerance: float = 5e-3) -> bool:
    """Whether a factor is 2, 4, 8, … or one over it."""
    if math.isnan(ratio) or ratio <= 0:
        return False
    power = abs(math.log2(ratio))
    return round(power) >= 1 and is_near(2.0**power, 2.0 ** round(power), tolerance)
