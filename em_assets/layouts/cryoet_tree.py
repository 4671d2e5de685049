"""A portal's tree that lies on a disk, in a bucket or on the web: what it lists, and its small files."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from em_assets.errors import FormatError, SourceError, SourceMissingError
from em_assets.settings import absolute
from em_assets.sources import web
from em_assets.sources.globs import Wanted
from em_assets.sources.origins import PUBLIC_ORIGIN, Origin, url_scheme
from em_assets.sources.paths import below, refuse_twins, safe_relative_path
from em_assets.sources.protocols import ask, ask_ranged
from em_assets.sources.wire import PATIENCE

MOST_DOCUMENT_BYTES = 16 << 20


@dataclass(frozen=True)
class PortalTree:
    """The tree of one dataset, which begins at the folder that holds its runs."""

    url: str
    origin: Origin = PUBLIC_ORIGIN

    @cached_property
    def sizes(self) -> dict[str, int | None]:
        """Path of every file → its bytes, sorted by path.

        Raises
        ------
        SourceMissingError
            There is nothing.
        SourceError
            A name that leads out of the tree, or two that are one where case is ignored.
        """
        speaker, location = ask(f"{self.url}/", self.origin)
        found = {
            safe_relative_path(entry.path): entry.size_bytes for entry in speaker.entries(location, Wanted(), PATIENCE)
        }
        if not found:
            raise SourceMissingError(f"{self.url}: a tree of files expected, found none")
        refuse_twins(found)
        return dict(sorted(found.items()))

    def address(self, path: str) -> str:
        """Where a file or group can be opened."""
        url = below(self.url, path)
        if url_scheme(url) == "file":
            return url
        ranged = ask_ranged(url, self.origin)
        if ranged is None:
            raise SourceError(f"{url}: a disk, a bucket or HTTPS expected: other protocols open no volumes")
        speaker, location = ranged
        return speaker.web_location(location).url

    def read(self, path: str) -> bytes:
        """The bytes of a small file.

        Raises
        ------
        FormatError
            It is larger than any document.
        """
        size, address = self.sizes[path], self.address(path)
        if size is not None and size > MOST_DOCUMENT_BYTES:
            raise FormatError(f"{address}: at most {MOST_DOCUMENT_BYTES:,} bytes expected, found {size:,}")
        if url_scheme(address) == "file":
            return Path(address).read_bytes()
        return web.fetch_small(address, PATIENCE, MOST_DOCUMENT_BYTES) or b""


def portal_tree(place: str, origin: Origin = PUBLIC_ORIGIN) -> PortalTree:
    """The tree at a path or URL."""
    url = place.rstrip("/")
    return PortalTree(str(absolute(Path(url))) if url_scheme(url) == "file" else url, origin)
