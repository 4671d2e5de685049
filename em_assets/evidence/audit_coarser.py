"""Claims that say less than is known: true as far as they go, so no failure."""

import re
from typing import Any

from em_assets.evidence.audit_rows import HOLDS, UNKNOWN, Row

LESS_EXACT = "less exact than what is known"

_KINDS_OF = {
    "SEM": ("FIB-SEM", "SBF-SEM", "ssSEM"),
    "TEM": ("ssTEM",),
    "electron tomography": ("cryo-ET",),
}
"""A technique → those that are one."""

_ANY_ELECTRON = re.compile(r"((3d|volume|cryo)[\s-]*)?(electron microscop[ye]|v?em)", re.IGNORECASE)
_BITS = re.compile(r"(\d+)[\s-]*bits?", re.IGNORECASE)
_NO_ELECTRONS = ("light-sheet", "other")


def of_less_exact(row: Row, said: Any, true: Any) -> tuple[str, str] | None:
    """Verdict and cause of a claim that agrees with the truth as far as it goes; None where it does not.

    A width in bits (`16-bit`) and the accession in a DOI say all that they mean to: they hold.
    """
    text, known = str(row.value).strip(), str(true)
    if row.field == "dtype" and (bits := _BITS.fullmatch(text)):
        is_width = known.endswith(bits[1]) and not known[: -len(bits[1])].endswith(tuple("0123456789"))
        return (HOLDS, "the width alone is said") if is_width else None
    if row.field == "doi" and not str(said).startswith("10."):
        is_suffix = known.casefold().endswith(f"/{text.casefold()}")
        return (HOLDS, "the accession in the DOI") if is_suffix else (UNKNOWN, "no DOI")
    return (UNKNOWN, LESS_EXACT) if _is_wider(row.field, text, str(said), known) else None


def _is_wider(field: str, text: str, said: str, known: str) -> bool:
    if field == "technique":
        is_any = _ANY_ELECTRON.fullmatch(text) is not None and known not in _NO_ELECTRONS
        return is_any or known in _KINDS_OF.get(said, ())
    if field == "licence":
        return _letters(said) == re.sub(r"\d", "", _letters(known))
    if field == "organism":
        return said.casefold() == known.casefold().partition(" ")[0]
    return False


def _letters(text: str) -> str:
    return "".join(letter for letter in text.casefold() if letter.isalnum())
