"""Lengths as files write them, in nanometres."""

import math

_NM_PER_SYMBOL = {
    "pm": 1e-3,
    "A": 0.1,
    "\u00c5": 0.1,
    "\u212b": 0.1,  # the ångström sign, a character of its own beside the letter
    "nm": 1.0,
    "um": 1e3,
    "\u00b5m": 1e3,  # micro sign
    "\u03bcm": 1e3,  # Greek letter
    "\u00c2\u00b5m": 1e3,  # the micro sign's UTF-8 read as Latin-1 and saved again
    "\\u00B5m": 1e3,  # Java's escape as ImageJ writes it: u2os_chromatin has these seven characters
    "\\u00b5m": 1e3,
    "mm": 1e6,
    "cm": 1e7,
    "m": 1e9,
    "in": 2.54e7,
}
"""Symbols count by their exact case: `Mm`, `ms`, `Nm` are no misspelt lengths."""

_NM_PER_WORD = {
    "picometer": 1e-3,
    "angstrom": 0.1,
    "ångstrom": 0.1,
    "ångström": 0.1,
    "nanometer": 1.0,
    "micron": 1e3,
    "micrometer": 1e3,
    "millimeter": 1e6,
    "centimeter": 1e7,
    "meter": 1e9,
    "inch": 2.54e7,
    "inche": 2.54e7,  # its plural without the s
}


def to_nm(value: float, unit: str | None) -> float | None:
    """A length in nanometres; None where it is no length or none that anybody measured.

    None for no unit, an empty one, pixels, and units of another dimension (`1/nm`, `eV`, `s`): a number without a unit
    is never taken for nanometres. None as well for zero, negative and infinite values.
    """
    factor = _factor(unit)
    if factor is None or not math.isfinite(value) or value <= 0:
        return None
    # Dividing by 10 rounds once; multiplying by 0.1 would round twice and leave 0.30000000000000004.
    length = value / round(1 / factor) if factor < 1 else value * factor
    return length if 0 < length < math.inf else None


def is_length(unit: str | None) -> bool:
    """Whether a unit is one of length that `to_nm` knows."""
    return _factor(unit) is not None


def _factor(unit: str | None) -> float | None:
    if unit is None:
        return None
    text = unit.strip(" \t\r\n\0")
    word = text.casefold().replace("metre", "meter")
    return _NM_PER_SYMBOL.get(text) or _NM_PER_WORD.get(word) or _NM_PER_WORD.get(word.removesuffix("s"))
