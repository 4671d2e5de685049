"""Where a public URL is really asked: the archive itself, a loopback look-alike of it, or a folder that mirrors it.

Dataset files, manifests and errors always name the public URL; only `locate` knows where the bytes come from today.
::

    canonical URL                   public                             sample                            folder
    https://HOST/P                  unchanged                          {http}/HOST/P                     HOST/P
    ftp://HOST/P                    unchanged                          {ftp}/HOST/P                      HOST/P
    gs://B/K                        https://storage.googleapis.com/B/K {http}/storage.googleapis.com/B/K B/K
    https://B.storage.googleapis.com/K   like gs://B/K in all three
    s3://B/K                        unchanged                          unchanged, {s3} as its endpoint   B/K
    file:///P, a path, this machine's own addresses      never mapped
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import quote, unquote, urlsplit
from urllib.request import url2pathname

from em_assets.errors import SourceError
from em_assets.settings import PUBLIC

Protocol = Literal["http", "ftp", "s3"]

SCHEMES = ("http", "https", "ftp", "s3", "gs", "file")
GOOGLE_STORAGE = "storage.googleapis.com"
THIS_MACHINE = ("127.0.0.1", "localhost", "[::1]")
_SERVER = re.compile("([^:/?#]+)://([^/?#]*)")


@dataclass(frozen=True)
class Origin:
    """Who answers for the archives.

    Attributes
    ----------
    name
        `public`, `sample`, or the mirror's folder: the store is bound to it.
    folder
        The folder that mirrors the archives; None for the others.
    endpoints
        Gives the base URL of a loopback server for `http`, `ftp` or `s3`. It is called when that protocol is first
        needed, so a server that nobody asks is never started. None for the real archives.
    """

    name: str
    folder: Path | None = None
    endpoints: Callable[[Protocol], str] | None = None


PUBLIC_ORIGIN = Origin(PUBLIC)


@dataclass(frozen=True)
class Location:
    """Where to ask: a URL, or a plain path for what lies on a disk; `s3_endpoint` is None for the real S3."""

    url: str
    s3_endpoint: str | None = None

    @property
    def scheme(self) -> str:
        """`http`, `https`, `ftp`, `s3`, or `file` for a plain path."""
        return url_scheme(self.url)

    @property
    def path(self) -> Path:
        """The plain path of a location on a disk."""
        return Path(self.url)


def url_scheme(url: str) -> str:
    """Scheme of a URL in lower case; `file` for a plain path."""
    scheme, mark, _ = url.partition("://")
    return scheme.lower() if mark else "file"


def url_server(url: str) -> str:
    """Scheme and server of a URL, `https://HOST:PORT`; `file://` for a plain path."""
    found = _SERVER.match(url)
    return f"{found[1].lower()}://{found[2]}" if found else "file://"


def after_server(url: str) -> str:
    """What stands behind a URL's server: path, query and fragment."""
    found = _SERVER.match(url)
    return url[found.end() :] if found else url


def locate(url: str, origin: Origin) -> Location:
    """Where a canonical URL is asked under an origin.

    Raises
    ------
    SourceError
        A URL of a scheme that is not known, or without a host.
    """
    scheme = url_scheme(url)
    if scheme == "file":
        return Location(_local_path(url))
    if scheme not in SCHEMES:
        raise SourceError(f"{url}: {scheme}:// is not supported; one of {', '.join(SCHEMES)} or a path expected")
    server = url_server(url).partition("://")[2]
    if not server:
        raise SourceError(f"{url}: no host or bucket after {scheme}://")
    if scheme in ("http", "https", "ftp") and server.rsplit(":", 1)[0] in THIS_MACHINE:
        return Location(url)
    bucket_and_key = _bucket_and_key(url, scheme)
    if origin.folder is not None:
        return Location(str(_in_folder(url, origin.folder, bucket_and_key)))
    if scheme == "s3":
        return Location(url, origin.endpoints("s3") if origin.endpoints else None)
    if bucket_and_key is not None:
        url = f"https://{GOOGLE_STORAGE}/{quote(bucket_and_key)}"
    if origin.endpoints is None:
        return Location(url)
    base = origin.endpoints("ftp" if scheme == "ftp" else "http")
    return Location(f"{base.rstrip('/')}/{url.split('://', 1)[1]}")


def _bucket_and_key(url: str, scheme: str) -> str | None:
    """`B/K` of an object store's URL, not percent-encoded; None for an ordinary web or FTP address."""
    rest = url.split("://", 1)[1]
    if scheme in ("s3", "gs"):
        return rest  # keys stand in these URLs as they are
    host, _, path = rest.partition("/")
    if host == GOOGLE_STORAGE:
        return unquote(path)
    if host.endswith(f".{GOOGLE_STORAGE}"):
        return f"{host.removesuffix(f'.{GOOGLE_STORAGE}')}/{unquote(path)}"
    return None


def _in_folder(url: str, folder: Path, bucket_and_key: str | None) -> Path:
    relative = bucket_and_key or unquote(url.split("://", 1)[1])
    path = folder / relative
    if not path.resolve().is_relative_to(folder.resolve()):
        raise SourceError(f"{url}: leads out of the mirror {folder}")
    return path


def _local_path(url: str) -> str:
    if not url.lower().startswith("file://"):
        return url
    parts = urlsplit(url)
    if parts.netloc not in ("", "localhost"):
        raise SourceError(f"{url}: file:// of another machine ({parts.netloc}); three slashes expected: file:///path")
    return url2pathname(parts.path)
