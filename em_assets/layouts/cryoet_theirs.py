"""The portal's own documents of a dataset that came from there: cut down to the schema's classes, nothing made up."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

from em_assets.errors import FormatError
from em_assets.layouts.cryoet_came_in import CameIn
from em_assets.layouts.cryoet_places import (
    DATASET_DOCUMENT,
    POINT_SUFFIXES,
    TILT_SERIES_DOCUMENT,
    TOMOGRAM_DOCUMENT,
    VIEWER_DOCUMENT,
    Place,
    annotation_name,
    slug,
)
from em_assets.layouts.cryoet_schema import CLASSES, Known, known
from em_assets.model import ZYX


class Described(NamedTuple):
    """An annotation: its number, its version as file names have it, and its JSON."""

    number: int
    version: str
    document: dict[str, Any]

    @property
    def stem(self) -> str:
        """What the names of its files begin with."""
        named = self.document["annotation_object"]
        return f"{self.number}_{slug(named.get('description') or named['name'])}_{self.version}"


class Points(NamedTuple):
    """Points of an annotation, as they came."""

    place: Place
    described: Described
    suffix: str
    text: bytes


@dataclass(frozen=True)
class Theirs:
    """Reads the documents of one dataset; `notes` collects what of them stays behind."""

    came_in: CameIn
    notes: list[str] = field(default_factory=list)

    def dataset(self) -> Known:
        """`dataset_metadata.json`."""
        return self._known("Dataset", DATASET_DOCUMENT, self.came_in.document(DATASET_DOCUMENT) or {})

    def tomogram(self, place: Place) -> Known:
        """`tomogram_metadata.json` of a tomogram."""
        path = f"{place.folder}/{TOMOGRAM_DOCUMENT}"
        return self._known("Tomogram", path, self.came_in.document(path) or {})

    def viewer(self, place: Place) -> bytes | None:
        """`neuroglancer_config.json` beside a tomogram."""
        return self.came_in.bytes_of(f"{place.folder}/{VIEWER_DOCUMENT}")

    def tilt_series(self, run: str) -> Known | None:
        """`tiltseries_metadata.json` of a run; None where it has none."""
        paths = [
            place.path for place in self.came_in.places() if (place.run, place.name) == (run, TILT_SERIES_DOCUMENT)
        ]
        documents = [(path, document) for path in paths if (document := self.came_in.document(path)) is not None]
        return self._known("TiltSeries", *documents[0]) if documents else None

    def annotation(self, place: Place) -> Described | str:
        """The JSON of an annotation's file; what is wrong with it in words."""
        path = self._annotation_documents.get(_stem(place)) or self._annotation_documents.get(_portal_path(place.path))
        named = annotation_name(place)
        if path is None or named is None:
            return f"{place.path}: no JSON of an annotation is held that names it"
        if named.version is None:
            raise FormatError(f"{place.path}: a version that is a number expected in its name")
        found = self._known("Annotation", path, self.came_in.document(path) or {})
        if found.missing:
            return f"{path}: {'; '.join(found.missing)}"
        return Described(int(named.number or 0), named.version, found.document)

    def points(self) -> Iterator[Points | str]:
        """Every file of points, or what is wrong with it in words."""
        for place in self.came_in.places():
            if place.section != "annotation" or place.suffix != "ndjson":
                continue
            found, named = self.annotation(place), annotation_name(place)
            if isinstance(found, str) or named is None:
                yield str(found)
            elif named.suffix not in POINT_SUFFIXES[:3]:
                yield f"{place.path}: points expected, found {named.suffix or 'no suffix'}"
            else:
                yield Points(place, found, named.suffix, self.came_in.bytes_of(place.path) or b"")

    @cached_property
    def _annotation_documents(self) -> dict[str, str]:
        """Where an annotation's file is, or what its name begins with → the path of the JSON that describes it."""
        found: dict[str, str] = {}
        for place in self.came_in.places():
            if place.section == "annotation" and place.suffix == "json":
                document = self.came_in.document(place.path) or {}
                if "annotation_object" not in document:
                    continue
                found[_stem(place)] = place.path
                files = document.get("files")
                for file in files if isinstance(files, list) else ():
                    if isinstance(file, dict) and isinstance(file.get("path"), str):
                        found[_portal_path(file["path"])] = place.path
        return found

    def _known(self, name: str, path: str, document: dict[str, Any]) -> Known:
        found = known(CLASSES[name], document)
        if found.dropped:
            note = f"{path}: not of the schema's class {name}, kept as tags: {', '.join(found.dropped)}"
            if note not in self.notes:
                self.notes.append(note)
        return found


def check_points(place: Place, text: bytes, shape_zyx: ZYX) -> int:
    """How many points there are; they count voxels of their tomogram.

    Raises
    ------
    FormatError
        A line is no point, or a point lies outside the tomogram.
    """
    extents = dict(zip("zyx", shape_zyx, strict=True))
    n_points = 0
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        n_points += 1
        try:
            location = json.loads(line)["location"]
            at = {axis: float(location[axis]) for axis in "xyz"}
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise FormatError(f"{place.path}, line {number}: a point with a location x, y, z expected") from error
        outside = [axis for axis in "xyz" if not -0.5 <= at[axis] <= extents[axis] + 0.5]
        if outside:
            raise FormatError(
                f"{place.path}, line {number}: the point {at} lies outside its tomogram of {extents} voxels"
            )
    return n_points


def _stem(place: Place) -> str:
    """What the names of an annotation's files begin with, in whichever folder they are."""
    named = annotation_name(place)
    if named is None:
        return place.path
    return f"{place.run}/{place.spacing}/{named.number}/{named.object}/{named.version}"


def _portal_path(path: str) -> str:
    """A path as documents write it, from the run on: they begin with the bucket or with the dataset's number."""
    parts = path.split("/")
    at = next((i for i, part in enumerate(parts) if re.fullmatch("Tomograms|Reconstructions", part)), 0)
    return "/".join(parts[max(at - 1, 0) :])
