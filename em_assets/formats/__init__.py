"""What is inside a file: bytes → every original tag and lazy volumes. One module a format, one line in `FORMATS`.

A format is a module with these names::

    NAME                         "dm"
    MARKERS                      names of files that mark a folder as one thing: ("zarr.json", …); () for single files
    matches(head, name) -> bool  whether a file with these first bytes (up to 4096) is of this format; single files only
    read_tags(path)              every original tag of one file or marked folder, pixels never read
    witnesses(tags)              what those tags say of a record's fields
    open_volumes(paths)          the lazy volumes that these files, in order, or this one folder hold

`path` is a local path or a URL (http, https, s3, gs for marked folders; fsspec's for files). Everything raises
subclasses of `EMAssetsError` on account of input.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from em_assets.errors import FormatError, SourceMissingError, UnknownFormatError, UsageError
from em_assets.formats import dm, documents, hdf5, mrc, n5, ome_zarr, precomputed, tiff
from em_assets.formats.slices import natural_key
from em_assets.formats.trees import described, disk_errors, is_url, local_path, open_tree
from em_assets.formats.volume import SourceVolume
from em_assets.formats.web_files import URL_SCHEMES, read_head
from em_assets.model import Tag, Witness

HEAD_BYTES = 4096


class Format(Protocol):
    """What a module of this folder offers; see above."""

    @property
    def NAME(self) -> str:
        """Its name in `FORMATS` and in dataset files."""

    @property
    def MARKERS(self) -> tuple[str, ...]:
        """Names of files that mark a folder as one thing."""

    def matches(self, head: bytes, name: str) -> bool:
        """Whether a file with these first bytes is of this format."""

    def read_tags(self, path: str) -> Iterator[Tag]:
        """Every original tag."""

    def witnesses(self, tags: Iterable[Tag]) -> Iterable[Witness]:
        """What the tags say of a record's fields."""

    def open_volumes(self, paths: Sequence[str]) -> list[SourceVolume]:
        """The lazy volumes that these files, or this one folder, hold."""


FORMATS: dict[str, Format] = {
    "dm": dm,
    "tiff": tiff,
    "mrc": mrc,
    "ome_zarr": ome_zarr,
    "precomputed": precomputed,
    "n5": n5,
    "hdf5": hdf5,
}


def detect(path: str | Path) -> Format:
    """The format of a file, of a marked folder, or of the files in a folder; a local path or a URL.

    Raises
    ------
    UnknownFormatError
        No format knows it; the message says what was found and what to do.
    UsageError
        There is nothing at the local path.
    SourceError
        There is nothing at the URL, or no answer.
    """
    place = _place(path)
    marked = _marked(place)
    if marked is not None:
        return marked
    if not is_url(place) and Path(place).is_dir():
        return _files_of_one_format(place)[0]
    return _format_of_file(place)


def detect_tagged(path: str | Path) -> Format:
    """As `detect`, and `documents` for a small document beside a volume: what tags can be read of.

    Raises
    ------
    EMAssetsError
        As `detect`.
    """
    place = _place(path)
    try:
        return detect(place)
    except UnknownFormatError:
        if documents.matches(b"", place.rstrip("/").rpartition("/")[2]):
            return documents
        raise


def open_path(path: str | Path, *, format: str | None = None) -> list[SourceVolume]:
    """The volumes of a file, of a folder of slices or stacks, or of a marked folder; nothing of their pixels is read.

    Raises
    ------
    EMAssetsError
        As `detect`, and whatever the format finds wrong.
    """
    place = _place(path)
    chosen = None if format is None else _named(format)
    is_folder = not is_url(place) and Path(place).is_dir()
    if is_folder and _marked(place) is None and (chosen is None or not chosen.MARKERS):
        found, files = _files_of_one_format(place, chosen)
        return found.open_volumes(files)
    return (chosen or detect(place)).open_volumes([place])


def open_files(paths: Sequence[str | Path], *, format: str | None = None) -> list[SourceVolume]:
    """The volumes that these files, in natural order of their names, hold together.

    Raises
    ------
    FormatError
        The files are of two formats.
    """
    places = sorted((_place(path) for path in paths), key=natural_key)
    if not places:
        raise UsageError("at least one file expected, found none")
    if format is not None:
        return _named(format).open_volumes(places)
    known = {place: detect(place) for place in places}
    return _one_format(known).open_volumes(places)


def read_tags(path: str | Path, *, format: str | None = None) -> Iterator[Tag]:
    """Every original tag of one file or marked folder; pixels are never read.

    Raises
    ------
    EMAssetsError
        As `detect`, and whatever the format finds wrong.
    """
    place = _place(path)
    if not is_url(place) and Path(place).is_dir() and _marked(place) is None:
        raise UsageError(f"{place}: a file or a zarr or precomputed folder expected, found a folder of files: name one")
    return (detect_tagged(place) if format is None else _named(format)).read_tags(place)


def _place(path: str | Path) -> str:
    """A URL as it is; a local path, which must exist, absolute."""
    text = str(path)
    if is_url(text):
        return text
    found = local_path(text)
    with disk_errors(found):
        if not found.exists():
            raise UsageError(f"{found}: a file or folder expected, found nothing")
    return str(found)


def _named(name: str) -> Format:
    if name not in FORMATS:
        raise UsageError(f"format {name!r}: one of {', '.join(FORMATS)} expected")
    return FORMATS[name]


def _marked(place: str) -> Format | None:
    """The format that a folder's marker files name; None for anything else."""
    if is_url(place):
        if place.partition("://")[0] not in URL_SCHEMES:
            return None
    elif not Path(place).is_dir():
        return None
    tree = open_tree(place)
    marked = [format for format in FORMATS.values() if tree.has_any(format.MARKERS)]
    if len(marked) > 1:
        names = " and ".join(format.NAME for format in marked)
        raise FormatError(f"{place}: one format expected, found the markers of {names}: name one with `format`")
    return marked[0] if marked else None


def _format_of_file(place: str) -> Format:
    name, head = place.rstrip("/").rpartition("/")[2], _head(place)
    for format in FORMATS.values():
        if format.matches(head, name):
            return format
    if any(name in format.MARKERS for format in FORMATS.values()):
        raise UnknownFormatError(f"{place}: this marks its folder as a volume: name the folder")
    raise UnknownFormatError(f"{place}: {', '.join(FORMATS)} expected, found {described(head)}")


def _head(place: str) -> bytes:
    if not is_url(place):
        try:
            with Path(place).open("rb") as file:
                return file.read(HEAD_BYTES)
        except OSError as error:
            raise FormatError(f"{place}: cannot be read: {error.strerror}") from error
    head = _remote_head(place)
    if head is None:
        raise SourceMissingError(f"{place}: nothing there, or nothing for the public (404 or 403)")
    return head


def _remote_head(url: str) -> bytes | None:
    if url.partition("://")[0] in URL_SCHEMES:
        return read_head(url, HEAD_BYTES)
    raise UsageError(f"{url}: {', '.join(URL_SCHEMES)} or a local path expected; add it to a dataset to fetch it whole")


def _files_of_one_format(folder: str, chosen: Format | None = None) -> tuple[Format, list[str]]:
    """The files in a folder that a format knows, in natural order; files of no known format are left out."""
    with disk_errors(folder):
        files = [entry for entry in Path(folder).iterdir() if entry.is_file() and not entry.name.startswith(".")]
    known: dict[str, Format] = {}
    refused: dict[str, UnknownFormatError] = {}
    for place in sorted(map(str, files), key=natural_key):
        try:
            known[place] = _format_of_file(place)
        except UnknownFormatError as error:
            refused[place] = error
    if chosen is not None:
        known = {place: format for place, format in known.items() if format is chosen}
    if not known:
        raise UnknownFormatError(_nothing_known(folder, [str(error) for error in refused.values()]))
    _check_siblings(known, refused)
    return _one_format(known), list(known)


def _check_siblings(known: Iterable[str], refused: Mapping[str, UnknownFormatError]) -> None:
    """Refuse a slice that is no slice: left out like a text file, it would leave a hole in the volume."""
    suffixes = {Path(place).suffix for place in known} - {""}
    for place, error in refused.items():
        if Path(place).suffix in suffixes:
            raise error


def _one_format(known: dict[str, Format]) -> Format:
    first = {format.NAME: place for place, format in reversed(known.items())}
    if len(first) > 1:
        each = "; ".join(f"{name}: {place}" for name, place in sorted(first.items()))
        raise FormatError(f"files of one format expected, found {each}: choose with `include` or `format`")
    return next(iter(known.values()))


def _nothing_known(folder: str, refused: list[str]) -> str:
    marked = sorted(entry.name for entry in Path(folder).iterdir() if entry.is_dir() and _marked(str(entry)))
    if marked:
        return f"{folder}: a volume or its slices expected, found a folder of volumes: name one of {', '.join(marked)}"
    found = refused[0] if refused else "no files"
    return f"{folder}: files of {', '.join(FORMATS)} expected, found {found}"
