"""How the value of a claim is read, field by field, and when two values that were read agree."""

import json
import math
from typing import Any

from em_assets.evidence.quantities import bytes_per, in_zyx, is_pixels, iso_date, one_unit, triple, written
from em_assets.evidence.vocabulary import (
    CONTENT_TERMS,
    LICENCE_TERMS,
    ORGANISM_TERMS,
    TECHNIQUE_TERMS,
    Term,
    dtype_word,
    find_term,
)
from em_assets.model import Claim
from em_assets.units import to_nm

VOXEL_SIZE_TOLERANCE = 0.005
"""Relative: 8 nm and the 7.998 nm of a calibration are one claim, 8 nm and 50 nm are two."""

EXTENT_TOLERANCE = 0.02
"""Relative: extents are published in round micrometres."""


def read_length_nm(claim: Claim) -> float | None:
    """A length in nanometres.

    A claim's own unit goes before the one in the field's name. A number of a file or an archive without a unit is
    unknown: a scale of 1.0 that nobody set is no calibration.
    """
    number, unit = _number_and_unit(claim)
    if number is None:
        return None
    if unit is None and claim.kind not in ("file", "archive"):
        unit = "nm"
    return to_nm(number, unit)


def read_bare_length_nm(claim: Claim) -> float | None:
    """An archive's number without a unit, as if it were nanometres."""
    number, unit = _number_and_unit(claim)
    return to_nm(number, "nm") if claim.kind == "archive" and unit is None and number is not None else None


def read_length_mm(claim: Claim) -> float | None:
    """A length in millimetres."""
    number, unit = _number_and_unit(claim)
    nanometres = None if number is None else to_nm(number, unit or "mm")
    return None if nanometres is None else nanometres / 1e6


def read_extent(claim: Claim) -> list[float] | None:
    """Three lengths in nanometres: z, y, x."""
    found = triple(claim.value)
    if found is None:
        return None
    unit, contradiction = one_unit(found.unit, claim.unit)
    if contradiction or (unit is None and claim.kind in ("file", "archive")):
        return None
    lengths = [
        None if number is None else to_nm(number, unit or "nm") for number in in_zyx(found.numbers, _order(found))
    ]
    return [length for length in lengths if length] if all(lengths) else None


def read_shape(claim: Claim) -> list[int] | None:
    """Three whole numbers above 0: z, y, x, unless the text names another order; a count of lengths is none."""
    found = triple(claim.value)
    if found is None:
        return None
    unit, contradiction = one_unit(found.unit, claim.unit)
    if contradiction or not (unit is None or is_pixels(unit)):
        return None
    numbers = [_whole(number) for number in in_zyx(found.numbers, _order(found))]
    return [number for number in numbers if number] if all(numbers) else None


def read_count(claim: Claim) -> int | None:
    """A whole number above 0, or the sum of several kinds' (`{"dm3": 16, "xml": 1}`)."""
    if isinstance(claim.value, dict):
        parts = [_whole(part) for part in claim.value.values()]
        return sum(part for part in parts if part) or None if all(part is not None for part in parts) else None
    if isinstance(claim.value, str):
        found = written(claim.value)
        return (_whole(found.numbers[0]) or None) if found and len(found.numbers) == 1 else None
    return _whole(claim.value) or None


def read_bytes(claim: Claim) -> int | None:
    """Bytes; `MB` is a million of them and `MiB` 2**20."""
    number, unit = _number_and_unit(claim)
    factor = 1 if unit is None else bytes_per(unit)
    if number is None or factor is None or number <= 0:
        return None
    return round(number * factor) or None


def slack_of_bytes(claim: Claim) -> float:
    """Half of the last written digit; nothing for a bare number of bytes."""
    found = written(claim.value)
    unit = found and one_unit(found.unit, claim.unit)[0]
    factor = bytes_per(unit) or 1
    if found is None or factor == 1:
        return 0.0
    decimals = found.decimals if found.decimals is not None else _decimals_of(found.numbers[0])
    return 0.5 * 10.0**-decimals * factor * (1 + 1e-9)


def read_dtype(claim: Claim) -> str | None:
    """The type as numpy names it; a word that nobody knows stays as it is."""
    word = read_text(claim)
    return None if word is None else dtype_word(word) or word


def read_text(claim: Claim) -> str | None:
    """Words, blanks collapsed; anything but text as JSON."""
    if claim.value is None:
        return None
    text = claim.value if isinstance(claim.value, str) else json.dumps(claim.value, ensure_ascii=False)
    return " ".join(text.split()) or None


def read_names(claim: Claim) -> str | None:
    """Several words or names, joined by `; `."""
    if isinstance(claim.value, list) and all(isinstance(one, str) for one in claim.value):
        return "; ".join(" ".join(str(one).split()) for one in claim.value) or None
    return read_text(claim)


def read_technique(claim: Claim) -> str | None:
    """The word of `TECHNIQUES` that is meant; the vocabulary is closed, so another word says nothing."""
    text = read_names(claim)
    term = find_term(text, TECHNIQUE_TERMS) if text else None
    return term.word if term else None


def read_organism(claim: Claim) -> str | None:
    """The scientific name; a name or NCBI taxon that the table lacks stays as it is."""
    text = read_names(claim)
    if text is None:
        return None
    digits = text.upper().removeprefix("NCBITAXON").strip(": _")
    if digits.isdigit():
        return next((term.word for term in ORGANISM_TERMS if term.identifier == digits), f"NCBITaxon:{digits}")
    return _read_term(claim, ORGANISM_TERMS)


def read_taxon(claim: Claim) -> int | None:
    """The number in NCBI Taxonomy; of a name, where the table has it."""
    name = read_organism(claim)
    term = next((one for one in ORGANISM_TERMS if one.word == name), None)
    identifier = term.identifier if term else (name or "").removeprefix("NCBITaxon:")
    return int(identifier) if identifier and identifier.isdigit() else None


def read_licence(claim: Claim) -> str | None:
    """The SPDX identifier; another licence stays as it is."""
    return _read_term(claim, LICENCE_TERMS)


def read_content(claim: Claim) -> str | None:
    """`em`, `labels` or `fluorescence`."""
    text = read_text(claim)
    term = find_term(text, CONTENT_TERMS) if text else None
    return term.word if term else None


def read_polarity(claim: Claim) -> str | None:
    """`dark membranes` (as in TEM) or `bright membranes` (as detected, not inverted)."""
    text = (read_text(claim) or "").casefold()
    if any(word in text for word in ("bright", "white", "light membrane")):
        return "bright membranes"
    return "dark membranes" if any(word in text for word in ("dark", "black", "inverted")) else text or None


def read_date(claim: Claim) -> str | None:
    """A date in ISO form; None where day and month cannot be told apart."""
    text = read_text(claim)
    return None if text is None else iso_date(text)[0]


def read_voltage_kv(claim: Claim) -> float | None:
    """Kilovolt; a landing energy in eV or keV is the same number."""
    number, unit = _number_and_unit(claim)
    factor = {"kv": 1.0, "kev": 1.0, "v": 1e-3, "ev": 1e-3}.get((unit or "kV").strip().casefold())
    return number * factor if number is not None and factor is not None and number > 0 else None


def read_doi(claim: Claim) -> str | None:
    """The DOI without its resolver, in small letters."""
    text = read_text(claim)
    if text is None:
        return None
    for prefix in ("https://", "http://", "dx.", "www.", "doi.org/", "doi:"):
        if text.lower().startswith(prefix):
            text = text[len(prefix) :].strip()
    return text or None


def are_equal(value: Any, other: Any) -> bool:
    """The same value."""
    return bool(value == other)


def are_close(value: float, other: float) -> bool:
    """The same length within `VOXEL_SIZE_TOLERANCE`."""
    return math.isclose(value, other, rel_tol=VOXEL_SIZE_TOLERANCE)


def are_close_extents(value: list[float], other: list[float]) -> bool:
    """The same on each axis within `EXTENT_TOLERANCE`."""
    return all(math.isclose(a, b, rel_tol=EXTENT_TOLERANCE) for a, b in zip(value, other, strict=True))


def are_same_words(value: str, other: str) -> bool:
    """The same words, whatever their capitals, hyphens and full stops."""
    return value.casefold() == other.casefold() or _letters(value) == _letters(other) != ""


def are_same_instrument(value: str, other: str) -> bool:
    """One name is the other, or the other with more words (`Magellan`, `FEI Magellan 400`)."""
    one, two = set(_split_words(value)), set(_split_words(other))
    return _letters(value) == _letters(other) or (bool(one and two) and (one <= two or two <= one))


def are_same_day(value: str, other: str) -> bool:
    """The same day; the next one too where either is a moment with a zone, as the clock may be another country's."""
    from datetime import date

    days = [date.fromisoformat(one[:10]) for one in (value, other)]
    has_zone = any(len(one) > 19 for one in (value, other))
    return abs((days[0] - days[1]).days) <= (1 if has_zone else 0)


def are_free_words(_: str, __: str) -> bool:
    """Always: two titles of one dataset are not a disagreement."""
    return True


def _read_term(claim: Claim, terms: tuple[Term, ...]) -> str | None:
    text = read_names(claim)
    if text is None:
        return None
    term = find_term(text, terms)
    return term.word if term else text


def _order(found: Any) -> str:
    return found.order or "zyx"


def _number_and_unit(claim: Claim) -> tuple[float | None, str | None]:
    found = written(claim.value)
    if found is None or len(found.numbers) != 1:
        return None, None
    unit, contradiction = one_unit(found.unit, claim.unit)
    return (None, None) if contradiction else (found.numbers[0], unit)


def _whole(value: Any) -> int | None:
    """A whole number of 0 or more, also one that was written as text."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return int(number) if math.isfinite(number) and number >= 0 and number.is_integer() else None


def _decimals_of(number: float | None) -> int:
    text = repr(number)
    return 0 if "e" in text or text.endswith(".0") or "." not in text else len(text.partition(".")[2])


def _letters(word: str) -> str:
    return "".join(letter for letter in word.casefold() if letter.isalnum())


def _split_words(text: str) -> list[str]:
    import re

    return re.findall(r"[a-z]+|\d+", text.casefold())
