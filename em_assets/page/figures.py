"""Numbers as people of the field read them: lengths in nm or µm, sizes in decimal units, spaces that do not break."""

from collections.abc import Iterable, Sequence

NBSP = "\N{NO-BREAK SPACE}"
UNKNOWN = "unknown"

_LENGTHS = ((1e6, "mm"), (1e3, "\N{MICRO SIGN}m"), (1.0, "nm"))
_DIGITS = 4


def length(nm: float) -> str:
    """`500 nm`, `2 µm`: four figures."""
    scale, unit = _unit_of(nm)
    return f"{_number(nm / scale)}{NBSP}{unit}"


def lengths(nm_zyx: Sequence[float | None]) -> str:
    """`50 × 7.998 × 7.998 nm`, in the unit of the shortest; `?` for an unknown one, `unknown` for none at all."""
    known = [nm for nm in nm_zyx if nm is not None]
    if not known:
        return UNKNOWN
    scale, unit = _unit_of(min(known))
    numbers = ("?" if nm is None else _number(nm / scale) for nm in nm_zyx)
    return f"{_times(numbers)}{NBSP}{unit}"


def shape(voxels_zyx: Sequence[int] | None) -> str:
    """`16 × 5,500 × 5,496`."""
    return UNKNOWN if voxels_zyx is None else _times(f"{voxels:,}" for voxels in voxels_zyx)


def size(n_bytes: int | None) -> str:
    """`3.35 GB`: decimal units, as archives use them."""
    if n_bytes is None:
        return UNKNOWN
    value, unit = float(n_bytes), "bytes"
    for larger in ("kB", "MB", "GB", "TB", "PB"):
        if value < 999.5:  # 999.6 would be written as 1e+03
            break
        value, unit = value / 1000, larger
    return f"{value:.3g}{NBSP}{unit}"


def factor(value: float | None) -> str | None:
    """`10`, `1,017`: how many times one value is the other; None where they are no numbers."""
    return None if value is None else f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def count(number: int, noun: str) -> str:
    """`1 volume`, `1,200 volumes`."""
    return f"{number:,}{NBSP}{noun}{'' if number == 1 else 's'}"


def plain(value: object) -> str:
    """A value of the record as it stands there: numbers in up to ten figures, the numbers of a triple apart."""
    if isinstance(value, bool | str | int):
        return str(value)
    if isinstance(value, float):
        return f"{value:.10g}"
    if isinstance(value, list | tuple):
        return _times(plain(item) for item in value) if _is_triple(value) else ", ".join(map(plain, value))
    return UNKNOWN if value is None else str(value)


def _is_triple(values: Sequence[object]) -> bool:
    return len(values) == 3 and all(isinstance(value, int | float) for value in values)


def _unit_of(nm: float) -> tuple[float, str]:
    return next(((scale, unit) for scale, unit in _LENGTHS if abs(nm) >= scale), _LENGTHS[-1])


def _number(value: float) -> str:
    text = f"{value:.{_DIGITS}g}"
    return f"{value:,.0f}" if "e+" in text else text


def _times(numbers: Iterable[str]) -> str:
    return f"{NBSP}× ".join(numbers)
