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

    def body(
        self, location: Location, patience: Patience, resume: Resume | None = None
    ) -> AbstractContextManager[Body]:
        """Give one file's bytes, or the rest of them."""


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
