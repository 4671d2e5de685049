"""Index pages, as Apache, nginx, lighttpd, IIS, Caddy, h5ai, Python and people write them: which links lead below."""

from collections.abc import Iterator
from contextlib import suppress
from email.message import Message
from html.parser import HTMLParser
from urllib.parse import unquote, urldefrag, urljoin, urlsplit


def text_of(content: bytes, content_type: str) -> str:
    """A page in the charset that it is said to have, or in UTF-8; a wrong one is no error: most links are escaped."""
    said = Message()
    said["Content-Type"] = content_type
    for charset in (said.get_content_charset("utf-8"), "utf-8"):
        with suppress(LookupError, UnicodeDecodeError):
            return content.decode(charset)
    return content.decode("latin-1")


def links_in(text: str, address: str) -> list[str]:
    """Where a page's links lead, in their order; `address` is the page's own."""
    links = _Links(address)
    links.feed(text)
    return links.urls


def folder_at(url: str, address: str) -> str:
    """The folder that a listing is of: where its URL was sent on to, if that is a folder."""
    return urldefrag(address).url if urlsplit(address).path.endswith("/") else url


def links_below(address: str, urls: list[str], top: str) -> Iterator[tuple[str, str]]:
    """Decoded path and URL of the links of a page that lead below a folder; those with a query sort, or do worse."""
    own, top_path = unquote(urlsplit(address).path), unquote(urlsplit(top).path)
    for url in urls:
        path = unquote(urlsplit(url).path)
        if path not in (own, top_path) and not urlsplit(url).query and is_below(url, top):
            yield path.removeprefix(top_path), url


def is_below(url: str, top: str) -> bool:
    """Whether a URL lies below a folder's, or is it; `http` and `https` of one host are one server."""
    return _server(url) == _server(top) and unquote(urlsplit(url).path).startswith(unquote(urlsplit(top).path))


def _server(url: str) -> tuple[str | None, int | None]:
    """Name without its case, and port; the usual ones are none."""
    parts = urlsplit(url)
    return parts.hostname, None if parts.port in (80, 443) else parts.port


class _Links(HTMLParser):
    def __init__(self, address: str) -> None:
        super().__init__()
        self.urls: list[str] = []
        self._base: str | None = None
        self._address = address

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep `<a href=…>`, by the first `<base href=…>`; what is no address leads nowhere."""
        href = (dict(attrs).get("href") or "").strip()
        if not href or tag not in ("a", "base"):
            return
        with suppress(ValueError):
            url = urldefrag(urljoin(self._base or self._address, href)).url
            _server(url)  # its port may be no number
            if tag == "a":
                self.urls.append(url)
            elif self._base is None:
                self._base = url
