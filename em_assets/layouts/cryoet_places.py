"""What a path in the cryoET data portal's tree is, in both forms that the portal has had.

::

    <run>/Tomograms/VoxelSpacing13.480/CanonicalTomogram/<run>.zarr             first form
    <run>/Tomograms/VoxelSpacing13.480/Annotations/101_cytoplasm_1.0_segmentationmask.zarr
    <run>/Reconstructions/VoxelSpacing13.480/Tomograms/100/<run>.zarr           second form
    <run>/Reconstructions/VoxelSpacing13.480/Annotations/101/cytoplasm-1.0_segmentationmask.zarr

Names of annotations are written with `-` as well as with `_`; number, object and version are found from the ends.
"""

import re
from typing import Literal, NamedTuple

Section = Literal["dataset", "run", "tomogram", "annotation", "tiltseries", "frames", "alignment", "other"]

DATASET_DOCUMENT, RUN_DOCUMENT = "dataset_metadata.json", "run_metadata.json"
TOMOGRAM_DOCUMENT, TILT_SERIES_DOCUMENT = "tomogram_metadata.json", "tiltseries_metadata.json"
VIEWER_DOCUMENT = "neuroglancer_config.json"

MASK_SUFFIXES = ("_segmentationmask", "_segmask", "_instancesegmask")
POINT_SUFFIXES = ("_point", "_orientedpoint", "_instancesegmentation", "_instancesegmentationpoint")
OTHER_SUFFIXES = ("_globalcaption", "_point_caption", "_triangularmesh", "_triangularmeshgroup")

_SPACING = r"VoxelSpacing(?P<spacing>\d+(?:\.\d+)?)"
_IN_SPACING = re.compile(rf"(?:Tomograms|Reconstructions)/{_SPACING}/(?P<rest>.+)")
_TOMOGRAM = re.compile(r"(?:CanonicalTomogram|Tomograms/(?P<number>\d+))/(?P<name>[^/]+)")
_ANNOTATION = re.compile(r"Annotations/(?:(?P<number>\d+)/)?(?P<name>[^/]+)")
_NUMBERED = re.compile(r"(?P<number>\d+)[-_](?P<rest>.+)")
_VERSION = re.compile(r"\d+(?:\.\d+)*")
_SECTIONS: dict[str, Section] = {
    "TiltSeries": "tiltseries",
    "Frames": "frames",
    "Gains": "frames",
    "Alignments": "alignment",
}


class Place(NamedTuple):
    """Where in the tree a file, or a whole Zarr group, stands.

    Attributes
    ----------
    path
        From the dataset's folder on; of a file inside a Zarr group the group's.
    name
        Last part of it.
    spacing
        Ångström as the folder's name writes them; None outside a folder of one spacing.
    number
        Of the tomogram or annotation, where the path has it.
    """

    path: str
    section: Section
    run: str | None
    name: str
    spacing: str | None = None
    number: str | None = None

    @property
    def suffix(self) -> str:
        """`zarr`, `mrc`, `json` and so on, lower case."""
        return self.name.rpartition(".")[2].casefold()

    @property
    def folder(self) -> str:
        """What holds it."""
        return self.path.rpartition("/")[0]


class AnnotationName(NamedTuple):
    """The parts of an annotation's file name; `version` is None where it is no number."""

    number: str | None
    object: str
    version: str | None
    suffix: str


def place_of(path: str) -> Place:
    """What a path from the dataset's folder on is."""
    unit = _unit(path)
    name = unit.rpartition("/")[2]
    run, _, rest = unit.partition("/")
    if not rest:
        return Place(unit, "dataset" if unit == DATASET_DOCUMENT else "other", None, name)
    if rest == RUN_DOCUMENT:
        return Place(unit, "run", run, name)
    below = _IN_SPACING.fullmatch(rest)
    if below:
        found = _TOMOGRAM.fullmatch(below["rest"])
        if found:
            return Place(unit, "tomogram", run, name, below["spacing"], found["number"])
        found = _ANNOTATION.fullmatch(below["rest"])
        if found:
            return Place(unit, "annotation", run, name, below["spacing"], found["number"])
        return Place(unit, "other", run, name, below["spacing"])
    return Place(unit, _SECTIONS.get(rest.partition("/")[0], "other"), run, name)


def annotation_name(place: Place) -> AnnotationName | None:
    """The parts of an annotation's name; None for a name of another form."""
    stem = place.name.rpartition(".")[0] or place.name
    known = (*MASK_SUFFIXES, *POINT_SUFFIXES, *OTHER_SUFFIXES)
    suffix = next((suffix for suffix in sorted(known, key=len, reverse=True) if stem.endswith(suffix)), "")
    stem = stem.removesuffix(suffix)
    numbered = _NUMBERED.fullmatch(stem)
    number = numbered["number"] if numbered else place.number
    rest = numbered["rest"] if numbered else stem
    cut = max(rest.rfind("-"), rest.rfind("_"))
    if cut < 1 or number is None:
        return None
    version = rest[cut + 1 :]
    return AnnotationName(number, rest[:cut], version if _VERSION.fullmatch(version) else None, suffix)


def slug(name: str) -> str:
    """An object's name as file names have it."""
    return re.sub("[^0-9a-z]", "_", name.lower())


def _unit(path: str) -> str:
    """The path, cut after the first part that is a Zarr group."""
    parts = path.split("/")
    for index, part in enumerate(parts):
        if part.endswith(".zarr"):
            return "/".join(parts[: index + 1])
    return path
