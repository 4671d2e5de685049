"""Numbers as people write them: lengths, triples, bytes and dates, with their units and how finely they are rounded."""

import math
import re
from datetime import date, datetime
from typing import Any, NamedTuple

from em_assets.units import is_length, to_nm

PIXEL_UNITS = ("px", "pixel", "pixels", "voxel", "voxels", "vx", "vox")
"""Units that count and do not measure."""

BYTES_PER_UNIT = {
    "b": 1,
    "byte": 1,
    "bytes": 1,
    **{f"{prefix}b": 1000**power for power, prefix in enumerate(("k", "m", "g", "t", "p"), 1)},
    **{f"{prefix}ib": 1024**power for power, prefix in enumerate(("k", "m", "g", "t", "p"), 1)},
    **{
        f"{name}byte{plural}": base**power
        for base, names in ((1000, ("kilo", "mega", "giga", "tera")), (1024, ("kibi", "mebi", "gibi", "tebi")))
        for power, name in enumerate(names, 1)
        for plural in ("", "s")
    },
}
"""Decimal unless the `i` is written: that is what the units mean, whatever file managers print."""

_NUMBER = (
    r"[-+]?(?:\d{1,3}(?:[,\u00a0\u202f]\d{3})+(?![\d])|\d+)(?:\.\d+)?(?:[eE][-+]?\d+)?|[-+]?\d*[.,]\d+(?:[eE][-+]?\d+)?"
)
_UNIT = r"[^\d\s,;×*()\[\]{}]+(?:/[a-zµμ]+)?"
_ORDER = re.compile(r"\(?\b([zyx])\s*[,×x* ]?\s*([zyx])\s*[,×x* ]?\s*([zyx])\b\)?", re.IGNORECASE)
_CUBED = re.compile(r"(³|\^\s*3|\*\*\s*3|\bcubed?\b|\bisotropic\b)", re.IGNORECASE)
_DECIMAL_COMMA = re.compile(r"\s*[-+]?(\d+,(\d{1,2}|\d{4,})|0,\d+)(?!\d)[^\d,]*")
"""One number with a comma that groups no thousands."""

_RANGE = re.compile(r"\d\s*(?:[pnmcuµμ]?m|Å|A)?\s*(?:[-\u2013\u2014±]|\+/-|\bto\b)\s*\d")
"""From one number to another, or a number and how uncertain it is: neither is the other's."""

_MAX_TEXT = 500
"""Longer texts are prose, not a quantity."""


class Written(NamedTuple):
    """Numbers as written.

    `unit` stands in the text itself; `order` is `zyx`, `xyz`, … where the text or its keys say so; `decimals` are those
    of the roughest number, None where the numbers came as numbers.
    """

    numbers: tuple[float | None, ...]
    unit: str | None
    order: str | None
    is_text: bool
    decimals: int | None


def written(value: Any) -> Written | None:
    """What a value says in numbers; None where it says none."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int | float):
        return Written((_finite(value),), None, None, False, None)
    if isinstance(value, dict):
        return _of_mapping(value)
    if isinstance(value, list | tuple):
        return _of_list(value)
    return _of_text(value) if isinstance(value, str) and len(value) <= _MAX_TEXT else None


def triple(value: Any) -> Written | None:
    """Three numbers; one alone stands for three only where the text says so (`1000³`, `8 nm isotropic`)."""
    found = written(value)
    if found is None or len(found.numbers) == 3:
        return found
    if len(found.numbers) == 1 and isinstance(value, str) and _CUBED.search(value):
        return found._replace(numbers=found.numbers * 3)
    return None


def in_zyx(numbers: tuple[float | None, ...], order: str) -> list[float | None]:
    """Three numbers written in some order, as z, y, x."""
    by_axis = dict(zip(order, numbers, strict=True))
    return [by_axis[axis] for axis in "zyx"]


def one_unit(of_text: str | None, of_claim: str | None) -> tuple[str | None, str | None]:
    """The unit that holds, and a finding: a text and its claim that name two different units contradict each other."""
    if of_text is None or of_claim is None or of_text == of_claim:
        return of_text or of_claim, None
    lengths = to_nm(1.0, of_text), to_nm(1.0, of_claim)
    sizes = bytes_per(of_text), bytes_per(of_claim)
    if (lengths[0] is not None and lengths[0] == lengths[1]) or (sizes[0] is not None and sizes[0] == sizes[1]):
        return of_text, None
    return None, f"two units that contradict each other: {of_text!r} in the text, {of_claim!r} beside it"


def bytes_per(unit: str | None) -> int | None:
    """Bytes of a unit; None for anything that is none."""
    return None if unit is None else BYTES_PER_UNIT.get(unit.strip().casefold())


def is_pixels(unit: str | None) -> bool:
    """Whether a unit counts pixels or voxels."""
    return unit is not None and unit.strip().casefold() in PIXEL_UNITS


def is_known_length(unit: str | None) -> bool:
    """Whether a unit is one of length."""
    return is_length(unit)


def iso_date(text: str) -> tuple[str | None, str | None]:
    """A date, with its time where one is written, in ISO form; or None and why it cannot be told.

    `2018-06-11`, `2018-06-11T20:27:04+00:00`, `20180611`, `2018:06:11 22:27:16` (TIFF), `Mon Jun 11 22:26:45 2018`,
    `11 June 2018`. With dots the day comes first: every country that writes dots does so. With slashes day and month
    are the locale's, so only a number above 12 tells them apart.
    """
    text = " ".join(text.split())
    try:
        return _canonical(datetime.fromisoformat(text), has_time=len(text) > 10), None
    except ValueError:
        pass
    for form, has_time in _FORMS:
        try:
            return _canonical(datetime.strptime(text, form), has_time), None  # no zone is written
        except ValueError:
            continue
    return _national(text)


_FORMS = (
    ("%Y:%m:%d %H:%M:%S", True),
    ("%Y/%m/%d", False),
    ("%Y/%m/%d %H:%M:%S", True),
    ("%Y.%m.%d", False),
    ("%d.%m.%Y", False),
    ("%d.%m.%Y %H:%M:%S", True),
    ("%d.%m.%Y %H:%M", True),
    ("%a %b %d %H:%M:%S %Y", True),
    ("%d %B %Y", False),
    ("%d %b %Y", False),
    ("%B %d, %Y", False),
    ("%b %d, %Y", False),
)

_SLASHED = re.compile(r"(\d{1,2})[/-](\d{1,2})[/-](\d{4})(?: .*)?")


def _national(text: str) -> tuple[str | None, str | None]:
    match = _SLASHED.fullmatch(text)
    if match is None:
        return None, f"no date that can be read: {text[:80]!r}"
    first, second, year = (int(part) for part in match.groups())
    readings = {reading for day, month in ((first, second), (second, first)) if (reading := _date(year, month, day))}
    if len(readings) == 1:
        return readings.pop(), None
    if not readings:
        return None, f"no such day: {text[:80]!r}"
    return None, f"day and month cannot be told apart in {text[:80]!r}: {' or '.join(sorted(readings))}"


def _date(year: int, month: int, day: int) -> str | None:
    try:
        return date(year, month, day).isoformat()
    except ValueError:
        return None


def _canonical(moment: datetime, has_time: bool) -> str:
    return moment.isoformat() if has_time else moment.date().isoformat()


_AXIS_WORDS = {"depth": "z", "height": "y", "width": "x", "slice": "z", "axial": "z"}
_IN_PLANE = ("xy", "yx", "lateral", "pixel")


def _of_mapping(value: dict[Any, Any]) -> Written | None:
    """Numbers by axis (`x`, `width`, `xy`, …), or a list, with a unit beside them or in each."""
    by_axis = {_AXIS_WORDS.get(str(key).casefold(), str(key).casefold()): number for key, number in value.items()}
    unit = by_axis.get("unit", by_axis.get("units"))
    inner = by_axis.get("values", by_axis.get("value"))
    if isinstance(inner, dict | list | str):
        found = written(inner)
        return None if found is None else found._replace(unit=found.unit or (unit if isinstance(unit, str) else None))
    in_plane = next((by_axis[name] for name in _IN_PLANE if name in by_axis), None)
    if in_plane is not None:
        by_axis = {"x": in_plane, "y": in_plane} | by_axis
    if not {"x", "y", "z"} <= set(by_axis):
        return None
    found = _of_list([by_axis[axis] for axis in "zyx"])
    if found is None:
        return None
    return found._replace(order="zyx", unit=found.unit or (unit if isinstance(unit, str) else None))


_LABELLED = (
    re.compile(r"\b(xy|lateral|[xyz]|z|axial)\s*[:=]\s*([\d.]+)\s*([^\W\d]+)?", re.IGNORECASE),
    re.compile(
        r"([\d.]+)\s*([^\W\d]+)?\s*\(?(?:in |along )?\(?(xy|lateral(?:ly)?|axial(?:ly)?|[xyz])\b\)?", re.IGNORECASE
    ),
)


def _of_labels(text: str) -> Written | None:
    """`8 nm (xy), 50 nm (z)` and `x=8, y=8, z=50 nm`: each number with its axis."""
    for number, pattern in enumerate(_LABELLED):
        found = [match.groups() for match in pattern.finditer(text)]
        parts = [(one[0], one[1], one[2]) if number == 0 else (one[2], one[0], one[1]) for one in found]
        axes = {axis.casefold().removesuffix("ly"): f"{size} {unit or ''}".strip() for axis, size, unit in parts}
        if len(axes) == len(parts) >= 2:
            units = [unit for _, _, unit in parts if unit]
            read = _of_mapping({**axes, "unit": units[-1] if units else None})
            if read is not None:
                return read._replace(is_text=True)
    return None


def _of_list(values: list[Any] | tuple[Any, ...]) -> Written | None:
    """Each a number, null, or a text with one number in it; all in one unit."""
    if len(values) > 8:
        return None
    parts = [None if one is None else written(one) for one in values]
    if any(
        one is not None and (part is None or len(part.numbers) != 1) for one, part in zip(values, parts, strict=True)
    ):
        return None
    units = sorted({part.unit for part in parts if part is not None and part.unit is not None})
    if len({to_nm(1.0, unit) or unit for unit in units}) > 1:
        return None
    numbers = tuple(None if part is None else part.numbers[0] for part in parts)
    return Written(numbers, units[0] if units else None, None, False, None) if numbers else None


def _of_text(text: str) -> Written | None:
    if _RANGE.search(text):
        return None
    if text.strip()[:1] in ("[", "(") and "," in text:
        inner = re.split(r"[\])]", text.strip()[1:], maxsplit=1)
        parts: list[Any] = [part.strip() for part in inner[0].split(",")]
        found_list = _of_list(parts)
        if found_list is not None:
            rest = inner[1].strip() if len(inner) > 1 else ""
            return found_list._replace(unit=found_list.unit or (rest if is_length(rest) or is_pixels(rest) else None))
    text = re.sub(r"\s*(?:/|\bper\b)\s*(?:px|pix|pixel|voxel|vx|slice|section)s?\b", "", text, flags=re.IGNORECASE)
    labelled = _of_labels(text)
    if labelled is not None:
        return labelled
    text = re.sub(r"(?<=\d)\s*/\s*(?=\d+\s*/|\d+\D*$)", " × ", text) if text.count("/") == 2 else text
    if _DECIMAL_COMMA.fullmatch(text):
        text = text.replace(",", ".")
    order = _ORDER.search(text)
    letters = "".join(order.groups()).casefold() if order else ""
    is_order = sorted(letters) == ["x", "y", "z"]
    bare = _ORDER.sub(" ", text) if is_order else text
    bare = re.sub(r"\*\*\s*3|\^\s*3|³|\bisotropic\b|\bcubed?\b", " ", bare, flags=re.IGNORECASE)
    found = re.findall(
        rf"({_NUMBER})\s*({_UNIT})?", re.sub(r"(?<=[\d\s])[xX×*](?=[\s\d])|(?<=\s)by(?=\s)", " × ", bare)
    )
    numbers = [(_as_number(number), number, unit) for number, unit in found]
    kept = [(number, raw, unit) for number, raw, unit in numbers if number is not None]
    if not kept or len(kept) > 8:
        return None
    units = [unit.strip(".,;:") for _, _, unit in kept if unit.strip(".,;:")]
    if len(set(units)) > 1 and len({to_nm(1.0, unit) for unit in units}) > 1:
        return None
    decimals = min(_decimals(raw) for _, raw, _ in kept)
    return Written(
        tuple(number for number, _, _ in kept),
        units[0] if units else None,
        letters if is_order else None,
        True,
        decimals,
    )


def _decimals(number: str) -> int:
    mantissa, _, exponent = number.casefold().replace(",", "").partition("e")
    return len(mantissa.partition(".")[2]) - (int(exponent) if exponent else 0)


def _as_number(text: str) -> float | None:
    bare = text.replace("\u00a0", " ").replace("\u202f", " ")
    if re.fullmatch(r"[-+]?\d{1,3}([, ]\d{3})+(\.\d+)?", bare):
        bare = bare.replace(",", "").replace(" ", "")
    try:
        return _finite(float(bare.replace(",", ".")))
    except (ValueError, OverflowError):
        return None


def _finite(number: float) -> float | None:
    try:
        return number if math.isfinite(number) else None
    except OverflowError:
        return None
