"""Which of a dataset's volumes an archive speaks of.

An archive names its things in its own way: a file, a folder, an experiment, a path in its tree. A volume is meant where
the parts of that name stand, in this order, in the public address of its files. The nearest record speaks: what is said
of an image goes before what is said of its experiment, and that before what is said of the study, where they differ.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple
from urllib.parse import unquote

from em_assets.sources.archives.record import ArchiveWitness

Document = tuple[str, Sequence[ArchiveWitness]]
"""The address of a record, and what it says."""


def assigned(documents: Iterable[Document], volume_urls: Mapping[str, Sequence[str]]) -> list[Document]:
    """The same documents with the dataset's own volume names, without what is said of things that it does not hold.

    Parameters
    ----------
    documents
        Everything that archives say of one dataset.
    volume_urls
        Name of each volume → public addresses of its files.
    """
    spoken = _Spoken(volume_urls)
    kept = list(documents)
    for _, witnesses in kept:
        for one in witnesses:
            spoken.hear(one)
    return [(url, [own for one in witnesses for own in spoken.owned(one)]) for url, witnesses in kept]


def depth_in(place: str, url: str) -> int | None:
    """How deep in an address the last part of a place stands; None where the place is not on its way.

    >>> depth_in("study/experimentD", "ftp://host/study/2020/experimentD/a.tif")
    4
    """
    return _depth(_parts(place), _parts(unquote(url)))


class _Nearest(NamedTuple):
    """How deep the nearest statement of a field stands, and what is said there."""

    depth: int
    values: frozenset[str]


class _Spoken:
    """Finds the volumes of places, each place once, and what is said nearest to each."""

    def __init__(self, volume_urls: Mapping[str, Sequence[str]]) -> None:
        self._parts = {volume: [_parts(unquote(url)) for url in urls] for volume, urls in volume_urls.items()}
        self._names = {part for urls in self._parts.values() for parts in urls for part in parts}
        self._known: dict[str | None, dict[str, int]] = {None: dict.fromkeys(volume_urls, 0)}
        self._nearest: dict[tuple[str, str], _Nearest] = {}

    def hear(self, one: ArchiveWitness) -> None:
        """Take a statement in; one that could not be read is nobody's nearest."""
        if one.value is None:
            return
        for volume, depth in self._of(one.volume).items():
            known = self._nearest.get((volume, one.field), _Nearest(depth, frozenset()))
            if depth >= known.depth:
                values = known.values if depth == known.depth else frozenset()
                self._nearest[(volume, one.field)] = _Nearest(depth, values | {_text(one)})

    def owned(self, one: ArchiveWitness) -> list[ArchiveWitness]:
        """The statement for each volume that it holds for: one for all of them where it holds for all."""
        if not self._parts:
            return [one] if one.volume is None else []
        volumes = [volume for volume, depth in self._of(one.volume).items() if self._holds(one, volume, depth)]
        if len(volumes) == len(self._parts):
            return [one._replace(volume=None)]
        return [one._replace(volume=volume) for volume in volumes]

    def _holds(self, one: ArchiveWitness, volume: str, depth: int) -> bool:
        nearest = self._nearest.get((volume, one.field))
        return nearest is None or depth >= nearest.depth or _text(one) in nearest.values

    def _of(self, place: str | None) -> dict[str, int]:
        if place not in self._known:
            self._known[place] = dict(self._search(_parts(place or "")))
        return self._known[place]

    def _search(self, parts: Sequence[str]) -> Iterable[tuple[str, int]]:
        if not parts or parts[-1] not in self._names:
            return
        for volume, urls in self._parts.items():
            depths = [depth for url in urls if (depth := _depth(parts, url)) is not None]
            if depths:
                yield volume, max(depths)


def _text(one: ArchiveWitness) -> str:
    return f"{one.value!r} {one.unit}"


def _parts(place: str) -> list[str]:
    return [part for part in place.split("://", 1)[-1].split("/") if part]


def _depth(parts: Sequence[str], url: Sequence[str]) -> int | None:
    at = 0
    for part in parts:
        try:
            at = url.index(part, at) + 1
        except ValueError:
            return None
    return at or None
