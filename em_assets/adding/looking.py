"""What lies at an address, looked at within bounds: names, first bytes, a volume's own metadata; never its voxels."""

import math
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import NamedTuple

from em_assets.adding.listing import Tree, names_in
from em_assets.errors import (
    EMAssetsError,
    FormatError,
    SourceError,
    SourceMissingError,
    UnknownFormatError,
    UsageError,
    VolumeChoiceError,
)
from em_assets.formats import FORMATS, HEAD_BYTES
from em_assets.formats.slices import natural_key
from em_assets.formats.trees import described
from em_assets.formats.volume import SourceVolume
from em_assets.model import ZYX, PartialFloatZYX, Source
from em_assets.sources.globs import Wanted
from em_assets.sources.origins import Origin, locate, url_scheme
from em_assets.sources.paths import below, file_name
from em_assets.sources.protocols import ask
from em_assets.sources.remote_metadata import documents_of
from em_assets.sources.remote_volume import open_remote
from em_assets.sources.wire import Patience

MOST_HEADS = 12
"""Files whose first bytes are read: the first one of each ending."""

MOST_SHOWN = 10
BOX_BYTES = 1 << 30
"""A box that is proposed of a large volume has at most these."""


class Remote(NamedTuple):
    """A volume by its own metadata.

    Attributes
    ----------
    size_bytes
        Of the voxels of all its levels, uncompressed.
    """

    shape_zyx: ZYX
    voxel_size_zyx_nm: PartialFloatZYX
    dtype: str
    itemsize: int
    content: str | None
    size_bytes: int

    def box_zyx(self, max_bytes: int) -> ZYX:
        """Shape of a box to propose: a cube of a power of two of at most `max_bytes`, clipped to the volume."""
        edge = 1 << int(math.log2(max(min(BOX_BYTES, max_bytes) // self.itemsize, 1)) / 3)
        z, y, x = (min(edge, extent) for extent in self.shape_zyx)
        return (z, y, x)


class Found(NamedTuple):
    """What there is to fetch at an address.

    Attributes
    ----------
    url
        Of the file or folder that holds it, which may lie deeper than the address that was asked for.
    include
        Globs below `url` that the files were chosen by; `**` where all that is there is meant.
    format
        Name in `FORMATS`.
    paths
        Of the files in that format below `url`, as far as they were listed; empty for one file or one marked folder.
    others
        Ending → number of the files that are of no known format.
    is_listable
        Whether what lies below can be listed, and so be fetched file by file.
    is_all
        Whether everything was listed.
    volume
        Of a folder that is one volume; None for files, which are opened when they are held.
    size_bytes
        Of one file, where the source says it.
    """

    url: str
    format: str
    paths: tuple[str, ...] = ()
    others: Mapping[str, int] = {}
    include: tuple[str, ...] = ("**",)
    is_listable: bool = True
    is_all: bool = True
    volume: Remote | None = None
    size_bytes: int | None = None

    @property
    def is_voxel_size_known(self) -> bool:
        """Whether the volume's own metadata says it."""
        return self.volume is not None and all(self.volume.voxel_size_zyx_nm)


def look(url: str, include: Sequence[str], origin: Origin, patience: Patience) -> Found:
    """Look at an address: a marked folder, a file, or a folder of files of one format, or with one marked folder in it.

    Raises
    ------
    UsageError
        There are several volumes, or formats: the message lists them, so that one can be chosen.
    UnknownFormatError
        No format knows what is there.
    SourceError
        Nothing is there, or nobody answers.
    """
    documents = _documents(url, origin, patience)
    if documents:
        found = _marked(url, documents, origin, patience)
        return found._replace(include=tuple(include)) if found.url.rstrip("/") == url.rstrip("/") else found
    if not url.endswith("/") and not _is_bucket(url):
        single = _single(url, origin, patience)
        if single is not None:
            return single
    tree = Tree(url if url.endswith("/") else f"{url}/", Wanted(tuple(include)), origin, patience)
    tree.walk()
    return _of_tree(tree, origin, patience)


def _is_bucket(url: str) -> bool:
    """Whether it is a whole bucket: what answers at its own address is a listing, and no file."""
    return url_scheme(url) in ("s3", "gs") and "/" not in url.split("://", 1)[1]


def _documents(url: str, origin: Origin, patience: Patience) -> dict[str, bytes]:
    """The metadata of a marked folder; nothing where there is none, or the protocol cannot tell."""
    if locate(url, origin).scheme == "ftp":
        return {}
    try:
        return documents_of(url, origin, patience)
    except (SourceMissingError, NotADirectoryError):
        return {}


def _marked(url: str, documents: Mapping[str, bytes], origin: Origin, patience: Patience) -> Found:
    source = Source(kind="cutout", url=url, shape_zyx=(1, 1, 1))
    folder = url if url.endswith("/") else f"{url}/"
    is_listable = _is_listable(folder, documents, origin, patience)
    try:
        volume = open_remote(source, origin, documents)
    except VolumeChoiceError:  # one folder, several volumes: they are named when it is held
        return Found(folder, _format_of(documents), is_listable=is_listable)
    except FormatError as error:
        below_it = _volumes_below(folder, origin, patience) if is_listable else []
        if not below_it:
            raise
        if len(below_it) > 1:
            raise UsageError(f"{_choice(folder, below_it)}; as one it cannot be opened: {error}") from None
        return look(below_it[0], ("**",), origin, patience)
    return Found(folder, volume.format, is_listable=is_listable, volume=_remote(volume))


def _format_of(documents: Mapping[str, bytes]) -> str:
    return next(name for name, format in FORMATS.items() if any(marker in documents for marker in format.MARKERS))


def _remote(volume: SourceVolume) -> Remote:
    itemsize = volume.dtype.itemsize
    return Remote(
        shape_zyx=volume.shape_zyx,
        voxel_size_zyx_nm=volume.voxel_size_zyx_nm,
        dtype=volume.dtype.name,
        itemsize=itemsize,
        content=volume.content,
        size_bytes=sum(math.prod(level.shape_zyx) for level in volume.levels) * itemsize,
    )


def _is_listable(folder: str, documents: Mapping[str, bytes], origin: Origin, patience: Patience) -> bool:
    try:
        names = names_in(folder, origin, patience)
    except SourceError:
        return False
    return any(name in names for name in documents)


def _single(url: str, origin: Origin, patience: Patience) -> Found | None:
    """A file, by its first bytes; None where the address is no file."""
    location = locate(url, origin)
    if location.scheme == "file" and location.path.is_dir():
        return None
    try:
        head, size_bytes = _head(url, origin, patience)
    except SourceMissingError:
        if location.scheme in ("http", "https", "file"):
            raise
        return None  # a bucket and an FTP server have nothing under a folder's own name
    if _is_page(head):
        return None
    format = _format_by(head, file_name(url))
    if format is None:
        known = ", ".join(FORMATS)
        raise UnknownFormatError(f"{url}: {known} expected, found {described(head)}")
    return Found(url, format, size_bytes=size_bytes)


def _head(url: str, origin: Origin, patience: Patience) -> tuple[bytes, int | None]:
    """The first bytes of a file, and its size where the source says it."""
    speaker, location = ask(url, origin)

    def read() -> tuple[bytes, int | None]:
        data = bytearray()
        with speaker.body(location, patience) as body:
            for chunk in body.chunks:
                data += chunk[:HEAD_BYTES]
                if len(data) >= HEAD_BYTES:
                    break
            return bytes(data[:HEAD_BYTES]), body.size_bytes

    return patience(read)


def _is_page(head: bytes) -> bool:
    """Whether it is a web page: the index of a folder, say."""
    return "web page" in described(head)


def _format_by(head: bytes, name: str) -> str | None:
    return next((format.NAME for format in FORMATS.values() if format.matches(head, name)), None)


def _of_tree(tree: Tree, origin: Origin, patience: Patience) -> Found:
    kinds = _by_ending(tree.files)
    if len(kinds) > MOST_HEADS:
        kinds = dict(sorted(kinds.items(), key=lambda kind: -len(kind[1])))
    formats: dict[str, list[str]] = {}
    others: dict[str, int] = {}
    heads: dict[str, bytes] = {}
    for index, (ending, paths) in enumerate(kinds.items()):
        head = _head(below(tree.url, paths[0]), origin, patience)[0] if index < MOST_HEADS else b""
        format = _format_by(head, paths[0].rpartition("/")[2])
        if format is None:
            others[ending], heads[paths[0]] = len(paths), head
        else:
            formats.setdefault(format, []).extend(paths)
    choices = [below(tree.url, folder) for folder in tree.marked]
    choices += [f'--include "**/*{_ending(paths)}" ({name}, {len(paths)} files)' for name, paths in formats.items()]
    if len(choices) > 1:
        raise _choice(tree.url, choices)
    if tree.marked:
        found = look(below(tree.url, tree.marked[0]), ("**",), origin, patience)
        return found._replace(is_all=found.is_all and tree.is_all)
    if not formats:
        raise _nothing(tree, heads)
    ((format, paths),) = formats.items()
    return Found(tree.url, format, tuple(paths), others, include=tree.wanted.include, is_all=tree.is_all)


def _by_ending(paths: Sequence[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for path in sorted(paths, key=natural_key):
        found.setdefault(PurePosixPath(path).suffix, []).append(path)
    return found


def _ending(paths: Sequence[str]) -> str:
    return PurePosixPath(paths[0]).suffix


def _volumes_below(folder: str, origin: Origin, patience: Patience) -> list[str]:
    tree = Tree(folder, Wanted(), origin, patience)
    tree.walk()
    return [below(folder, marked) for marked in tree.marked]


def _choice(url: str, choices: Sequence[str]) -> UsageError:
    more = f" and {len(choices) - MOST_SHOWN} more" if len(choices) > MOST_SHOWN else ""
    return UsageError(f"{url}: one volume expected, found several: choose {', or '.join(choices[:MOST_SHOWN])}{more}")


def _nothing(tree: Tree, heads: Mapping[str, bytes]) -> EMAssetsError:
    if not heads:
        return SourceMissingError(f"{tree.url}: no file there, or none that --include asks for")
    seen = "; ".join(f"{path}: {described(head)}" for path, head in list(heads.items())[:3])
    return UnknownFormatError(f"{tree.url}: files of {', '.join(FORMATS)} expected, found {seen}")
