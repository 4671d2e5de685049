"""The fields of a record: how a claim of each is read, who goes first, and when two values agree.

One line a field in `FIELDS`. A claim of a field that is not there is kept, and decides nothing.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from em_assets.evidence.readings import (
    EXTENT_TOLERANCE,
    VOXEL_SIZE_TOLERANCE,
    are_close,
    are_close_extents,
    are_equal,
    are_free_words,
    are_same_day,
    are_same_instrument,
    are_same_words,
    read_bare_length_nm,
    read_bytes,
    read_content,
    read_count,
    read_date,
    read_doi,
    read_dtype,
    read_extent,
    read_length_mm,
    read_length_nm,
    read_licence,
    read_names,
    read_organism,
    read_polarity,
    read_shape,
    read_taxon,
    read_technique,
    read_text,
    read_voltage_kv,
    slack_of_bytes,
)
from em_assets.evidence.vocabulary import (
    CONTENTS,
    TECHNIQUES,
)
from em_assets.model import ALIASES, VECTORS, Claim, ClaimKind

__all__ = [
    "ALIASES",
    "AS_STORED",
    "CONTENTS",
    "EXTENT_TOLERANCE",
    "FIELDS",
    "TECHNIQUES",
    "VECTORS",
    "VOXEL_SIZE_TOLERANCE",
    "FieldRule",
]

MEASURED: tuple[ClaimKind, ...] = ("file", "derived", "recorded", "archive", "publisher")
"""Nobody knows better than the file what it was told at the microscope."""

OPENED: tuple[ClaimKind, ...] = ("derived", "file", "recorded", "archive", "publisher")
"""The voxels themselves, as opened, go before what a header says of them."""

LARGEST_VOXEL_NM = 100_000.0
"""No microscope has larger pixels: what says so are dots per inch, made for a printer."""

DESCRIBED: tuple[ClaimKind, ...] = ("archive", "publisher", "recorded", "file", "derived")
"""Archives curate what publishers tell them; files rarely know."""


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
    read_bare
        What a number of an archive would say if its missing unit were the record's: it is compared, and never wins.
    is_possible
        Whether a value can be at all; an impossible one is compared, and never wins.
    slack
        How far a claim may be off because it was written rounded, in the record's unit.
    unit
        Of the record.
    meaning
        In words, for people.
    """

    order: tuple[ClaimKind, ...]
    read: Callable[[Claim], Any]
    agree: Callable[[Any, Any], bool]
    is_of_its_scope: bool = False
    read_bare: Callable[[Claim], Any] | None = None
    is_possible: Callable[[Any], bool] | None = None
    slack: Callable[[Claim], float] | None = None
    unit: str | None = None
    meaning: str = ""

    @property
    def in_words(self) -> str:
        """The order as people read it: `file > derived > …`."""
        return " > ".join(self.order)


def _voxel_size(meaning: str) -> FieldRule:
    return FieldRule(
        MEASURED,
        read_length_nm,
        are_close,
        read_bare=read_bare_length_nm,
        is_possible=lambda nm: nm <= LARGEST_VOXEL_NM,
        unit="nm",
        meaning=meaning,
    )


def _free_text(meaning: str) -> FieldRule:
    return FieldRule(DESCRIBED, read_names, are_free_words, meaning=meaning)


FIELDS: dict[str, FieldRule] = {
    "title": _free_text("title of the dataset"),
    "description": _free_text("what it is, in the archive's words"),
    "authors": _free_text("who made it"),
    "technique": FieldRule(DESCRIBED, read_technique, are_same_words, meaning="how it was imaged"),
    "organism": FieldRule(DESCRIBED, read_organism, are_same_words, meaning="species, by its scientific name"),
    "organism_taxon": FieldRule(DESCRIBED, read_taxon, are_equal, meaning="number of the species in NCBI Taxonomy"),
    "sample": _free_text("what was imaged: organ, cell line"),
    "sample_type": _free_text("tissue, cell culture, organism, …"),
    "content": FieldRule(OPENED, read_content, are_equal, meaning="em, labels or fluorescence"),
    "contrast_polarity": FieldRule(DESCRIBED, read_polarity, are_same_words, meaning="dark or bright membranes"),
    "shape_zyx": FieldRule(OPENED, read_shape, are_equal, unit="voxel", meaning="voxels along z, y, x"),
    "dtype": FieldRule(OPENED, read_dtype, are_equal, meaning="type of a voxel, as numpy names it"),
    "voxel_size_z_nm": _voxel_size("step between slices"),
    "voxel_size_y_nm": _voxel_size("pixel height"),
    "voxel_size_x_nm": _voxel_size("pixel width"),
    "extent_zyx_nm": FieldRule(
        MEASURED, read_extent, are_close_extents, unit="nm", meaning="physical size along z, y, x"
    ),
    "instrument": FieldRule(MEASURED, read_text, are_same_instrument, meaning="microscope"),
    "accelerating_voltage_kv": FieldRule(
        MEASURED,
        read_voltage_kv,
        are_close,
        is_possible=lambda kv: 0.01 <= kv <= 3000,
        unit="kV",
        meaning="accelerating voltage or landing energy",
    ),
    "working_distance_mm": FieldRule(
        MEASURED,
        read_length_mm,
        lambda one, other: math.isclose(one, other, rel_tol=EXTENT_TOLERANCE),
        is_possible=lambda mm: 0.01 <= mm <= 200,
        unit="mm",
        meaning="from the last lens to the sample",
    ),
    "acquired_at": FieldRule(MEASURED, read_date, are_same_day, meaning="when it was imaged"),
    "deposited_on": FieldRule(DESCRIBED, read_date, are_same_day, meaning="when it was given to the archive"),
    "released_on": FieldRule(DESCRIBED, read_date, are_same_day, meaning="when the archive opened it"),
    "licence": FieldRule(DESCRIBED, read_licence, are_same_words, meaning="licence of the data"),
    "doi": FieldRule(DESCRIBED, read_doi, are_same_words, meaning="DOI of the data"),
    "citation": _free_text("how to cite it"),
    "source_n_levels": FieldRule(OPENED, read_count, are_equal, meaning="levels of resolution of the source"),
    "source_chunks": FieldRule(OPENED, read_text, are_equal, meaning="the source's own chunk shape, z, y, x"),
    "source_compressor": FieldRule(OPENED, read_text, are_same_words, meaning="the source's own compression"),
    "n_files": FieldRule(OPENED, read_count, are_equal, is_of_its_scope=True, meaning="raw files"),
    "source_bytes": FieldRule(
        OPENED, read_bytes, are_equal, is_of_its_scope=True, slack=slack_of_bytes, unit="byte", meaning="bytes of them"
    ),
}

AS_STORED = ("source_n_levels", "source_chunks", "source_compressor")
"""How the archive keeps its copy."""
