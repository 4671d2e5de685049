"""A portal's tree → the TOML file of a dataset: a source a volume, one of files with tags, one of documents.

Every file is looked at once: a group's metadata, a map's header, a document whole. What cannot be read is named and
left out, so that a placeholder stops nothing; a tree that contradicts itself is refused, and nothing is written.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from em_assets.datasets.opening import safe_volume_name
from em_assets.errors import EMAssetsError, FormatError, SourceUnreachableError
from em_assets.formats import open_path, read_tags
from em_assets.formats.volume import SourceVolume
from em_assets.layouts.cryoet_places import (
    DATASET_DOCUMENT,
    MASK_SUFFIXES,
    RUN_DOCUMENT,
    Place,
    annotation_name,
    place_of,
    slug,
)
from em_assets.layouts.cryoet_theirs import check_points
from em_assets.layouts.cryoet_tree import PortalTree, portal_tree
from em_assets.layouts.interface import Imported
from em_assets.model import Content
from em_assets.sources.archives import ARCHIVES
from em_assets.sources.origins import PUBLIC_ORIGIN, Origin, url_scheme

ARCHIVE = "cryoet"
PORTAL = "https://cryoetdataportal.czscience.com/datasets"


FRAMES = ("tif", "tiff", "eer", "mrc")
"""Of a remote tree they are listed and their headers read; terabytes are not fetched unasked."""


class _Volume(NamedTuple):
    """A volume of the dataset to be: what it is made of, and its name there."""

    place: Place
    name: str
    content: Content
    labels_of: str | None
    opened: SourceVolume


@dataclass
class _Looked:
    """What was found in a tree."""

    tree: PortalTree
    volumes: list[_Volume] = field(default_factory=list)
    tagged: list[str] = field(default_factory=list)
    documents: dict[str, Any] = field(default_factory=dict)
    findings: list[str] = field(default_factory=list)
    frames: list[Place] = field(default_factory=list)

    @property
    def is_remote(self) -> bool:
        """Whether files would have to be fetched."""
        return url_scheme(self.tree.url) != "file"

    def leave_out(self, path: str, reason: object) -> None:
        """Name a file or group that cannot be read."""
        text = " ".join(str(reason).split()).replace(f"{self.tree.address(path)}: ", "")
        self.findings.append(f"{path}: {text}")


def describe(place: str, name: str, origin: Origin = PUBLIC_ORIGIN) -> Imported:
    """The TOML file that makes a dataset of a portal's tree; every file is in it, or in the findings.

    Raises
    ------
    FormatError
        The tree contradicts itself: the message names the file.
    SourceError
        It cannot be had.
    """
    looked = _Looked(portal_tree(place, origin))
    places = list(dict.fromkeys(place_of(path) for path in looked.tree.sizes))
    _look_at_documents(looked, places)
    _check_names(looked)
    _look_at_volumes(looked, places)
    _check_points(looked, places)
    _say_what_is_missing(looked, places)
    if not looked.volumes and not looked.tagged:
        raise FormatError(f"{looked.tree.url}: a portal's tree expected, found no file that can be read")
    return Imported(_toml(looked, name), tuple(sorted(looked.findings)))


def _look_at_documents(looked: _Looked, places: Sequence[Place]) -> None:
    for place in places:
        if place.suffix == "json":
            try:
                content = looked.tree.read(place.path)
                list(ARCHIVES[ARCHIVE].witnesses(place.path, content))
                looked.documents[place.path] = json.loads(content)
            except SourceUnreachableError:
                raise
            except (EMAssetsError, ValueError) as error:
                looked.leave_out(place.path, error)


def _check_names(looked: _Looked) -> None:
    """Refuse what two readers would take for two things.

    Raises
    ------
    FormatError
        A run's name with a slash, a version that is no number, two objects under one name.
    """
    seen: dict[tuple[str | None, str | None, str | None], tuple[str, str]] = {}
    for path, document in looked.documents.items():
        place = place_of(path)
        if place.name == RUN_DOCUMENT and "/" in str(document.get("run_name")):
            raise FormatError(f"{path}: run_name {document['run_name']!r}: a name without slashes expected")
        if place.section != "annotation" or not isinstance(document, dict) or "annotation_object" not in document:
            continue
        version, named = document.get("version"), annotation_name(place)
        if (version is not None and not _is_number(version)) or (named and named.version is None):
            shown = version if named is None or named.version else place.name
            raise FormatError(f"{path}: version {shown!r}: a number expected")
        if named:
            key, own = (place.run, place.spacing, named.number), (slug(named.object), named.version or "")
            other, other_path = seen.setdefault(key, (f"{own}", path))
            if other != f"{own}":
                raise FormatError(f"{path}: two objects with one name: {other_path} has the number {named.number} too")


def _look_at_volumes(looked: _Looked, places: Sequence[Place]) -> None:
    """Groups before maps: where both hold a volume, the group is its one source and the map a file with tags."""
    tomograms: dict[tuple[str | None, str | None], list[_Volume]] = {}
    done: dict[str, _Volume] = {}
    for place in sorted(places, key=lambda place: (place.section != "tomogram", place.suffix != "zarr", place.path)):
        if place.path in looked.documents or place.suffix == "json":
            continue
        opened = _opened(looked, place)
        if opened is None:
            continue
        stem = place.path.rpartition(".")[0]
        volume = None if stem in done else _volume(place, opened, looked, tomograms)
        if volume is None:
            if place.suffix == "zarr" and stem not in done:
                looked.leave_out(place.path, "a volume in no place of one, so nobody can say what it is")
            elif looked.is_remote and place.section == "frames" and place.suffix in FRAMES:
                looked.frames.append(place)
            else:
                looked.tagged.append(place.path)
            continue
        done[stem] = volume
        looked.volumes.append(volume)
        if place.section == "tomogram":
            tomograms.setdefault((place.run, place.spacing), []).append(volume)


def _opened(looked: _Looked, place: Place) -> SourceVolume | str | None:
    """The volume, or "" for a file of tags; None where it cannot be read, which is a finding then."""
    address = looked.tree.address(place.path)
    try:
        if looked.tree.sizes.get(place.path) == 0:
            raise FormatError("empty: a placeholder, or cut short")
        if place.section not in ("tomogram", "annotation", "tiltseries") or place.suffix not in ("zarr", "mrc"):
            next(iter(read_tags(address)), None)
            return "" if place.suffix != "zarr" else open_path(address)[0]
        return open_path(address)[0]
    except SourceUnreachableError:
        raise
    except EMAssetsError as error:
        looked.leave_out(place.path, error)
        return None


def _volume(
    place: Place,
    opened: SourceVolume | str,
    looked: _Looked,
    tomograms: dict[tuple[str | None, str | None], list[_Volume]],
) -> _Volume | None:
    """What a volume is by its place; None for one that is no tomogram, mask or tilt series."""
    if isinstance(opened, str) or place.run is None:
        return None
    names = {volume.name.casefold() for volume in looked.volumes}
    if place.section in ("tomogram", "tiltseries"):
        words = [place.run] if place.section == "tomogram" else [place.run, "tiltseries"]
        return _Volume(place, _free(names, words, [place.spacing, place.number, "2"]), "em", None, opened)
    named = annotation_name(place)
    if place.section != "annotation" or named is None or named.suffix not in MASK_SUFFIXES:
        return None
    labelled = tomograms.get((place.run, place.spacing))
    if not labelled:
        looked.findings.append(f"{place.path}: a mask without its tomogram is kept with its tags, and is no volume")
        return None
    fitting = [one for one in labelled if one.opened.shape_zyx == opened.shape_zyx]
    if not fitting:
        raise FormatError(
            f"{place.path}: a mask of shape {opened.shape_zyx} (z, y, x); its tomogram {labelled[0].place.path} has "
            f"{labelled[0].opened.shape_zyx}"
        )
    words = [place.run, named.object]
    return _Volume(place, _free(names, words, [named.number, place.spacing]), "labels", fitting[0].name, opened)


def _free(taken: set[str], words: Sequence[str], further: Sequence[str | None]) -> str:
    """A name that no other volume has: of these words, with as many of the further ones as it takes."""
    chosen = list(words)
    for word in (None, *further):
        chosen += [word] if word else []
        name = safe_volume_name("_".join(chosen))
        if name.casefold() not in taken:
            return name
    raise FormatError(f"{'_'.join(chosen)}: two objects with one name; rename one of them in the tree")


def _check_points(looked: _Looked, places: Sequence[Place]) -> None:
    shapes = {
        (volume.place.run, volume.place.spacing): volume.opened.shape_zyx
        for volume in looked.volumes
        if volume.place.section == "tomogram"
    }
    for place in places:
        shape = shapes.get((place.run, place.spacing))
        if place.suffix == "ndjson" and place.path in looked.tagged and shape:
            check_points(place, looked.tree.read(place.path), shape)


def _say_what_is_missing(looked: _Looked, places: Sequence[Place]) -> None:
    if DATASET_DOCUMENT not in looked.documents:
        looked.findings.append(f"{DATASET_DOCUMENT}: absent or unreadable, so nobody says who made the dataset")
    for run in sorted({place.run for place in places if place.run and place.section != "other"}):
        sections = {place.section for place in places if place.run == run}
        absent = [section for section in ("tomogram", "tiltseries", "frames") if section not in sections]
        if absent:
            looked.findings.append(f"{run}: absent sections: {', '.join(absent)}")
    for of_run in dict.fromkeys(place.run for place in looked.frames):
        sizes = [looked.tree.sizes[place.path] or 0 for place in looked.frames if place.run == of_run]
        looked.findings.append(
            f"{of_run}/Frames: {len(sizes)} frames of {sum(sizes):,} bytes: headers read, not fetched; add "
            "a [[source]] of your own for them"
        )
    for path, document in looked.documents.items():
        frames = document.get("frames") if isinstance(document, dict) else None
        for frame in frames if isinstance(frames, list) else ():
            if isinstance(frame, dict) and frame.get("path") is None:
                looked.findings.append(f"{path}: frame {frame.get('acquisition_order')} has no file")


def _toml(looked: _Looked, name: str) -> str:
    document = looked.documents.get(DATASET_DOCUMENT, {})
    identifier = document.get("dataset_identifier")
    title = str(document.get("dataset_title") or name)
    lines = [
        "# Made by em-assets import --layout cryoet: one source a volume, then files with tags, then the documents.",
        f"title = {json.dumps(title, ensure_ascii=False)}",
    ]
    if isinstance(identifier, int) and identifier >= 10_000 and looked.is_remote:
        lines.append(f"links = [{json.dumps(f'{PORTAL}/{identifier}')}]")
    for volume in looked.volumes:
        wanted = f"{_literal(volume.place.path)}/**" if volume.place.suffix == "zarr" else _literal(volume.place.path)
        labels = [f"labels_of = {json.dumps(volume.labels_of)}"] if volume.labels_of else []
        said = [f"volume = {json.dumps(volume.name)}", f'content = "{volume.content}"', *labels]
        lines += [*_source(looked, [wanted]), *said]
    if looked.tagged:
        lines += [*_source(looked, map(_literal, sorted(looked.tagged))), "is_volume = false"]
    if looked.documents:
        lines += [*_source(looked, map(_literal, sorted(looked.documents))), f'archive = "{ARCHIVE}"']
    lines += ["", "[[says]]", 'field = "technique"', 'value = "cryo-ET"', f"at = {json.dumps(looked.tree.url)}"]
    return "\n".join(lines) + "\n"


def _source(looked: _Looked, include: Any) -> Iterator[str]:
    yield ""
    yield "[[source]]"
    yield f"url = {json.dumps(f'{looked.tree.url}/', ensure_ascii=False)}"
    yield f"include = {json.dumps(list(include), ensure_ascii=False)}"


def _literal(path: str) -> str:
    """A glob that means this path and no other."""
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in path)


def _is_number(version: object) -> bool:
    try:
        return not isinstance(version, bool) and float(str(version)) >= 0
    except ValueError:
        return False
