"""Tilt series and frames that came in, which go out as they came; one that is not whole is refused, none is made up."""

import json
import re
import shutil
from collections.abc import Iterable
from pathlib import Path

from em_assets.layouts.cryoet_came_in import CameIn
from em_assets.layouts.cryoet_places import TILT_SERIES_DOCUMENT, Place, place_of
from em_assets.layouts.cryoet_theirs import Theirs

_BESIDE = ("mdoc", "rawtlt", "tlt")
_FRAME = re.compile(r".+\.(tiff?|eer|mrc)", re.IGNORECASE)
_GAIN = re.compile(r"(?:.*[_-])?gain(?:[_-]reference)?\.(mrc|dm4)", re.IGNORECASE)


def copy_tilt_series(theirs: Theirs, run: str, folder: Path) -> list[str]:
    """Copy a run's tilt series under the layout's names; the reason where it lacks something."""
    places = [place for place in theirs.came_in.places() if place.section == "tiltseries" and place.run == run]
    if not places:
        return []
    found = theirs.tilt_series(run)
    pixels = {suffix: [place for place in places if place.suffix == suffix] for suffix in ("zarr", "mrc")}
    lacking = [f"one {suffix}, {len(of_it)} held" for suffix, of_it in pixels.items() if len(of_it) != 1]
    n_documents = sum(place.name == TILT_SERIES_DOCUMENT for place in places)
    lacking += [f"one {TILT_SERIES_DOCUMENT}, {n_documents} held"] if n_documents != 1 else []
    lacking += found.missing if found else ()
    if lacking or found is None:
        return [f"{run}/TiltSeries: the layout demands {'; '.join(lacking)}"]
    dest = folder / "TiltSeries"
    dest.mkdir(parents=True)
    for suffix, (place,) in pixels.items():
        _copy(theirs.came_in, place, dest / f"{run}.{suffix}")
    if found.dropped:
        document = json.dumps(found.document, indent=2, ensure_ascii=False) + "\n"
        (dest / TILT_SERIES_DOCUMENT).write_text(document, encoding="utf-8")
    else:
        (own,) = (place for place in places if place.name == TILT_SERIES_DOCUMENT)
        _copy(theirs.came_in, own, dest / TILT_SERIES_DOCUMENT)
    return [*_copy_beside(theirs.came_in, run, places, dest)]


def copy_frames(tree: CameIn, run: str, folder: Path) -> list[str]:
    """Copy a run's frames and gain reference; the reason where the layout has no place for a file."""
    places = [place for place in tree.places() if place.section == "frames" and place.run == run]
    gains = [place for place in places if _GAIN.fullmatch(place.name)]
    frames = [place for place in places if place not in gains and _FRAME.fullmatch(place.name)]
    known = [place for place in places if place.name == "frame_acquisition_order.json" or place.suffix == "mdoc"]
    others = [place for place in places if place not in (*gains[:1], *frames, *known)]
    refused = [f"{place.path}: the layout has no place for it" for place in others]
    if not frames:
        return refused + ([f"{run}/Frames: no frame (tiff, eer or mrc) is held"] if gains or known else [])
    dest = folder / "Frames"
    dest.mkdir(parents=True)
    for place in (*frames, *known):
        _copy(tree, place, dest / place.name)
    for place in gains[:1]:
        _copy(tree, place, dest / f"Gain_reference.{place.suffix}")
    return refused


def _copy_beside(tree: CameIn, run: str, places: Iterable[Place], dest: Path) -> list[str]:
    """Angles and the microscope's notes: one file of each kind."""
    refused = []
    for place in places:
        final = dest / f"{run}.{place.suffix}"
        if place.name == TILT_SERIES_DOCUMENT or place.suffix in ("zarr", "mrc"):
            continue
        if place.suffix not in _BESIDE or final.exists():
            refused.append(f"{place.path}: the layout has no place for it")
        else:
            _copy(tree, place, final)
    return refused


def _copy(tree: CameIn, place: Place, dest: Path) -> None:
    """A file, or every file of a Zarr group."""
    for path, own in tree.files.items():
        if place_of(path).path == place.path:
            final = dest / path.removeprefix(f"{place.path}/") if path != place.path else dest
            final.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(own, final)
