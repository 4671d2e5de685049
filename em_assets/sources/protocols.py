"""Which module speaks which protocol: one line a scheme."""

from contextlib import AbstractContextManager
from typing import Protocol

from em_assets.sources import buckets, ftp, local, web
from em_assets.sources.globs import Wanted
from em_assets.sources.origins import Location, Origin, locate, url_scheme
from em_assets.sources.wire import Body, Entry, Patience, Resume


class Speaker(Protocol):
    """What a protocol's module offers."""

    def entries(self, location: Location, wanted: Wanted, patience: Patience) -> list[Entry]:
        """List the wanted files, sorted by path."""

    def names(self, location: Location, patience: Patience) -> list[str]:
        """Give what lies directly in a folder: names, those of folders with a slash at the end; sorted."""

    def body(
        self, location: Location, patience: Patience, resume: Resume | None = None
    ) -> AbstractContextManager[Body]:
        """Give one file's bytes, or the rest of them."""


class Ranged(Speaker, Protocol):
    """A protocol that sends parts of a file, as many at once as one likes."""

    def about(self, location: Location, patience: Patience) -> Body:
        """What the server declares of a file, without its bytes."""

    def web_location(self, location: Location) -> Location:
        """Where a file is asked for over HTTP."""


RANGED: dict[str, Ranged] = {"http": web, "https": web, "s3": buckets, "gs": buckets}

PROTOCOLS: dict[str, Speaker] = {
    "http": web,
    "https": web,
    "ftp": ftp,
    "s3": buckets,
    "gs": buckets,
    "file": local,
}


def ask(url: str, origin: Origin) -> tuple[Speaker, Location]:
    """Who speaks for a canonical URL under an origin, and where to ask."""
    location = locate(url, origin)
    if url_scheme(url) == "gs" and location.scheme == "https":
        location = Location(url)  # Google's own bucket: HTTPS serves its objects, but lists none
    return PROTOCOLS[location.scheme], location


def ask_ranged(url: str, origin: Origin) -> tuple[Ranged, Location] | None:
    """As `ask`, for a protocol that sends parts of a file; None for the others."""
    _, location = ask(url, origin)
    speaker = RANGED.get(location.scheme)
    return (speaker, location) if speaker else None
