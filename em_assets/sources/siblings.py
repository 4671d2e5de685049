"""Newer versions of what a dataset takes, beside it: `…/v1.0/em` while the archive has `…/v1.2/` by now.

Only the last part of an address that looks like a version is compared, and only with names that differ from it in
nothing but the numbers. One listing of one folder is asked for; nothing below it.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

from em_assets.errors import SourceError
from em_assets.model import Source
from em_assets.sources.origins import Origin
from em_assets.sources.protocols import ask
from em_assets.sources.wire import PATIENCE, Patience

_VERSION = re.compile(
    r"(?P<head>|.*[-_. ])(?P<word>v|ver|version|release|)[-_]?"
    r"(?P<numbers>\d+(?:[._]\d+)*)(?P<tail>|\.[A-Za-z][\w.]*)/?",
    re.IGNORECASE,
)


class NewerVersion(NamedTuple):
    """A sibling of higher number: the address that a dataset takes, and the highest one that there is."""

    url: str
    newer_url: str

    def __str__(self) -> str:
        return f"{self.url}: a newer version is there: {self.newer_url}; look at what changed, then mend `url`"


class Looked(NamedTuple):
    """What was found beside a dataset's sources, and in words which folders cannot be listed and so tell nothing."""

    newer: list[NewerVersion]
    unlisted: list[str]


def newer_versions(sources: Sequence[Source], origin: Origin, *, patience: Patience = PATIENCE) -> Looked:
    """The highest newer sibling of each source that has one."""
    looked = Looked([], [])
    for source in sources:
        try:
            newer = _newest(source.url, origin, patience)
        except SourceError as error:  # a bucket that nobody may list, a server without index pages
            looked.unlisted.append(f"cannot be listed, so newer versions beside {source.url} are unknown: {error}")
            continue
        looked.newer.extend([newer] if newer else [])
    return looked


def newer_version(url: str, origin: Origin, patience: Patience = PATIENCE) -> NewerVersion | None:
    """The highest newer sibling of an address; None where there is none, or nobody lists them."""
    try:
        return _newest(url, origin, patience)
    except SourceError:
        return None


def _newest(url: str, origin: Origin, patience: Patience) -> NewerVersion | None:
    place = _versioned_place(url)
    if place is None:
        return None
    parent, name, below = place
    speaker, location = ask(parent, origin)
    names = speaker.names(location, patience)
    own = _version(name)
    versions = [(other, name.rstrip("/")) for name in names if (other := _version(name)) is not None]
    newer = [(numbers, name) for (key, numbers), name in versions if own and key == own[0] and numbers > own[1]]
    return NewerVersion(url, f"{parent}{max(newer)[1]}{below}") if newer else None


def _versioned_place(url: str) -> tuple[str, str, str] | None:
    """The folder of the last versioned part of an address, with a slash; that part; and what follows it."""
    scheme, separator, rest = url.rpartition("://")
    parts = rest.split("/")
    for index in range(len(parts) - 1, 0, -1):
        if _version(parts[index]) is not None:
            parent = f"{scheme}{separator}{'/'.join(parts[:index])}/"
            return parent, parts[index], "".join(f"/{part}" for part in parts[index + 1 :])
    return None


def _version(name: str) -> tuple[tuple[str, ...], tuple[int, ...]] | None:
    """What versions of one thing have in common, and the numbers; None for a name that is no version.

    A bare number is none, unless it has a point in it: `11759` is an entry of an archive, `s0` a level.
    """
    found = _VERSION.fullmatch(name)
    if found is None or not (found["word"] or "." in found["numbers"]):
        return None
    if not found["word"] and found["head"]:
        return None
    numbers = tuple(int(number) for number in re.split(r"[._]", found["numbers"]))
    return (found["head"], found["word"].lower(), found["tail"]), numbers
