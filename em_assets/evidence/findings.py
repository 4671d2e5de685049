"""Claims that say nothing that can be used, each with the reason: contradicting units, no length, date or number."""

import math
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from em_assets.evidence.fields import CONTENTS, FIELDS, TECHNIQUES, VECTORS
from em_assets.evidence.quantities import bytes_per, is_known_length, is_pixels, iso_date, one_unit, written
from em_assets.model import EXTRA_FIELDS, Claim

_LENGTHS = ("_nm", "_mm")
_CLOSED = {"technique": TECHNIQUES, "content": CONTENTS}


class Finding(NamedTuple):
    """A claim that cannot be used and why."""

    claim: Claim
    reason: str

    def __str__(self) -> str:
        return f"{self.claim.field}: {self.reason} ({self.claim.said_by}, {self.claim.locator})"


def findings(claims: Iterable[Claim]) -> Iterator[Finding]:
    """Each claim that could not be read, and each statement of no field, with the reason, in the claims' order."""
    for claim in claims:
        reason = why_unread(claim)
        if reason:
            yield Finding(claim, reason)


def why_unread(claim: Claim) -> str | None:
    """Why a claim says nothing that can be used; None where it does.

    Files and archives may say more than a record has fields; in a TOML file such a field decides nothing unnoticed.
    """
    rule = FIELDS.get(claim.field)
    if rule is None and claim.field not in VECTORS:
        is_stated = claim.kind in ("publisher", "recorded") and claim.field not in EXTRA_FIELDS
        return "no field of the record: it is kept and decides nothing" if is_stated else None
    if claim.value is None:
        return None
    if rule is not None and rule.read(claim) is not None:
        return None
    if claim.field in _CLOSED:
        return f"{claim.raw[:80]!r} is none of {', '.join(_CLOSED[claim.field])}"
    if claim.field.endswith(("_at", "_on")):
        return iso_date(str(claim.value))[1]
    return _of_quantity(claim) or f"cannot be read: {claim.raw[:80]!r}"


def _of_quantity(claim: Claim) -> str | None:
    found = written(claim.value)
    if found is None:
        return f"no number in {claim.raw[:80]!r}"
    unit, contradiction = one_unit(found.unit, claim.unit)
    if contradiction:
        return contradiction
    if any(number is None for number in found.numbers) and not isinstance(claim.value, list):
        return f"no finite number: {claim.raw[:80]!r}"
    if claim.field.endswith(_LENGTHS) or claim.field in VECTORS:
        return _of_length(unit, found.numbers)
    if claim.field == "shape_zyx" and unit is not None and not is_pixels(unit):
        return f"unit mix: {unit!r} where voxels are counted"
    if claim.field == "source_bytes" and unit is not None and bytes_per(unit) is None:
        return f"{unit!r} is no unit of bytes"
    if any(number is not None and (number < 0 or not number.is_integer()) for number in map(_float, found.numbers)):
        return f"a whole number above 0 expected, found {claim.raw[:80]!r}"
    return None


def _of_length(unit: str | None, numbers: tuple[float | None, ...]) -> str | None:
    if unit is None:
        return "a number without a unit: whose nanometres, or ångström, these are nobody says"
    if is_pixels(unit):
        return f"unit mix: {unit!r} where a length is meant"
    if not is_known_length(unit):
        return f"{unit!r} is no unit of length"
    if any(number is None or number <= 0 or not math.isfinite(number) for number in numbers):
        return f"a length above 0 expected, found {', '.join(str(number) for number in numbers)} {unit}"
    return None


def _float(number: float | None) -> float | None:
    return None if number is None else float(number)
