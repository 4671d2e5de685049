"""The fields of a record: how a claim of each is read, who goes first, and when two values agree.

One line a field in `FIELDS`. A claim of a field that is not there is kept, and decides nothing.
"""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from em_assets.model import Claim, ClaimKind
from em_assets.units import to_nm

VOXEL_SIZE_TOLERANCE = 0.005
"""Relative: 8 nm and the 7.998 nm of a calibration are one claim, 8 nm and 50 nm are two."""

MEASURED: tuple[ClaimKind, ...] = ("file", "derived", "archive", "publisher", "recorded")
"""Nobody knows better than the file what it was told at the microscope."""

OPENED: tuple[ClaimKind, ...] = ("derived", "file", "archive", "publisher", "recorded")
"""The voxels themselves, as opened, go before what a header says of them."""

DESCRIBED: tuple[ClaimKind, ...] = ("archive", "publisher", "recorded", "file", "derived")
"""Archives curate what publishers tell them; files rarely know."""

TECHNIQUES = (
    "FIB-SEM",
    "SBF-SEM",
    "TEM",
    "ssTEM",
    "ssSEM",
    "SEM",
    "cryo-ET",
    "electron tomography",
    "light-sheet",
    "other",
)

CONTENTS = ("em", "labels", "fluorescence")


@dataclass(frozen=True)
class FieldRule:
    """How the claims of one field become one value.

    Attributes
    ----------
    order
        Kinds of claims, the first deciding.
    read
        A claim's value in the record's unit and words; None where it says nothing that can be used.
    agree
        Whether two values that were read are the same within tolerance.
    is_of_its_scope
        A count over a dataset's files says nothing of one of its volumes.
    """

    order: tuple[ClaimKind, ...]
    read: Callable[[Claim], Any]
    agree: Callable[[Any, Any], bool]
    is_of_its_scope: bool = False

    @property
    def in_words(self) -> str:
        """The order as people read it: `file > derived > …`."""
        return " > ".join(self.order)


def read_length_nm(claim: Claim) -> float | None:
    """A length in nanometres.

    A claim's own unit goes before the one in the field's name. A file's number without a unit is unknown: a scale of
    1.0 that nobody set is no calibration.
    """
    number = _number(claim.value)
    if number is None:
        return None
    unit = claim.unit
    if unit is None and claim.kind not in ("file", "archive"):
        unit = "nm"
    return to_nm(number, unit)


def read_shape(claim: Claim) -> list[int] | None:
    """Three whole numbers above 0: z, y, x."""
    if not isinstance(claim.value, list) or len(claim.value) != 3:
        return None
    numbers = [_whole(value) for value in claim.value]
    return [number for number in numbers if number] if all(numbers) else None


def read_count(claim: Claim) -> int | None:
    """A whole number above 0."""
    return _whole(claim.value) or None


def read_dtype(claim: Claim) -> str | None:
    """The type as numpy names it; a word that numpy does not know stays as it is."""
    import numpy as np

    word = read_text(claim)
    if word is None:
        return None
    try:
        dtype = np.dtype(word.casefold())
    except TypeError:
        return word
    return dtype.name if dtype.kind in "biuf" else word


def read_text(claim: Claim) -> str | None:
    """Words, blanks collapsed; anything but text as JSON."""
    if claim.value is None:
        return None
    text = claim.value if isinstance(claim.value, str) else json.dumps(claim.value, ensure_ascii=False)
    return " ".join(text.split()) or None


def read_technique(claim: Claim) -> str | None:
    """The word of `TECHNIQUES` that is meant, whatever its hyphens and capitals; another word stays as it is."""
    word = read_text(claim)
    return None if word is None else _TECHNIQUE_WORDS.get(_bare(word), word)


def read_content(claim: Claim) -> str | None:
    """`em`, `labels` or `fluorescence`."""
    word = read_text(claim)
    return word if word in CONTENTS else None


def read_doi(claim: Claim) -> str | None:
    """The DOI without its resolver."""
    text = read_text(claim)
    if text is None:
        return None
    for prefix in ("https://doi.org/", "http://doi.org/", "https://dx.doi.org/", "http://dx.doi.org/", "doi:"):
        if text.lower().startswith(prefix):
            return text[len(prefix) :].strip() or None
    return text


def are_equal(value: Any, other: Any) -> bool:
    """The same value."""
    return bool(value == other)


def are_close(value: float, other: float) -> bool:
    """The same length within `VOXEL_SIZE_TOLERANCE`."""
    return math.isclose(value, other, rel_tol=VOXEL_SIZE_TOLERANCE)


def are_same_words(value: str, other: str) -> bool:
    """The same words, whatever their capitals."""
    return value.casefold() == other.casefold()


def are_free_words(_: str, __: str) -> bool:
    """Always: two titles of one dataset are not a disagreement."""
    return True


def _number(value: Any) -> float | None:
    """A finite number, also one that was written as text."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _whole(value: Any) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return value if value >= 0 else None
    number = _number(value)
    return int(number) if number is not None and number >= 0 and number.is_integer() else None


def _bare(word: str) -> str:
    return "".join(letter for letter in word.casefold() if letter.isalnum())


_TECHNIQUE_WORDS = {_bare(word): word for word in TECHNIQUES}

_VOXEL_SIZE = FieldRule(MEASURED, read_length_nm, are_close)
_FREE_TEXT = FieldRule(DESCRIBED, read_text, are_free_words)

FIELDS: dict[str, FieldRule] = {
    "title": _FREE_TEXT,
    "technique": FieldRule(DESCRIBED, read_technique, are_same_words),
    "organism": FieldRule(DESCRIBED, read_text, are_same_words),
    "content": FieldRule(OPENED, read_content, are_equal),
    "shape_zyx": FieldRule(OPENED, read_shape, are_equal),
    "dtype": FieldRule(OPENED, read_dtype, are_equal),
    "voxel_size_z_nm": _VOXEL_SIZE,
    "voxel_size_y_nm": _VOXEL_SIZE,
    "voxel_size_x_nm": _VOXEL_SIZE,
    "licence": FieldRule(DESCRIBED, read_text, are_same_words),
    "doi": FieldRule(DESCRIBED, read_doi, are_same_words),
    "citation": _FREE_TEXT,
    "source_n_levels": FieldRule(OPENED, read_count, are_equal),
    "source_chunks": FieldRule(OPENED, read_text, are_equal),
    "source_compressor": FieldRule(OPENED, read_text, are_same_words),
    "n_files": FieldRule(OPENED, read_count, are_equal, is_of_its_scope=True),
    "source_bytes": FieldRule(OPENED, read_count, are_equal, is_of_its_scope=True),
}

AS_STORED = ("source_n_levels", "source_chunks", "source_compressor")
"""How the archive keeps its copy."""

VECTORS = {"voxel_size_zyx_nm": ("voxel_size_z_nm", "voxel_size_y_nm", "voxel_size_x_nm")}
"""A claim of three numbers is three claims: one axis can be wrong alone."""
