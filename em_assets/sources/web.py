"""HTTP and HTTPS: single files, and folders that show an index page.

requests, not fsspec or obstore: a download that cannot lie needs every header and the body's raw bytes. fsspec turns
429 and 503 into "not found", obstore's HTTP store cannot list, and both hide what was declared.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from html.parser import HTMLParser
from http.cookiejar import DefaultCookiePolicy
from typing import TYPE_CHECKING
from urllib.parse import unquote, urldefrag, urljoin, urlsplit

from em_assets.errors import SourceError, SourceMissingError, SourceUnreachableError
from em_assets.sources.globs import Wanted
from em_assets.sources.origins import THIS_MACHINE, Location
from em_assets.sources.wire import BLOCK_BYTES, Body, Entry, Patience, modified

if TYPE_CHECKING:
    import requests

GONE = {401: "not public", 403: "not public", 404: "not there", 410: "gone for good"}
PASSING_STATUS = (408, 425, 429)
MOST_PAGES = 100_000
AT_ONCE = 4
_COMPRESSED = (".gz", ".tgz", ".bz2", ".xz", ".zst", ".Z")


def entries(location: Location, wanted: Wanted, patience: Patience) -> list[Entry]:
    """List the wanted files below an index page, or the one file that the address is, with sizes and validators.

    Raises
    ------
    SourceMissingError
        401, 403, 404, 410.
    SourceUnreachableError
        No answer, or one that says to come back later.
    """
    with _session(location.url) as session:
        root = location.url
        if not urlsplit(root).path.endswith("/"):
            head = _head(session, root, patience)
            if not urlsplit(head.url).path.endswith("/"):
                return [_entry("", head)]
            root = head.url
        found = sorted(_walk(session, root, wanted, patience).items())
        with ThreadPoolExecutor(AT_ONCE) as pool:
            return list(pool.map(lambda item: _entry(item[0], _head(session, item[1], patience)), found))


@contextmanager
def body(location: Location, patience: Patience) -> Iterator[Body]:
    """Give the file's bytes exactly as stored: no content coding is asked for, and none is undone."""
    url = location.url
    with _session(url) as session, _asked(session, "GET", url, patience) as response:
        coding = response.headers.get("Content-Encoding", "identity")
        if coding != "identity" and not urlsplit(url).path.endswith(_COMPRESSED):
            raise SourceError(f"{url}: plain bytes asked for, {coding} sent")
        yield Body(
            _chunks(response, url),
            _size(response),
            _validators(response),
            ends_itself="chunked" in response.headers.get("Transfer-Encoding", ""),
        )


def fetch_small(url: str, patience: Patience, most_bytes: int) -> bytes | None:
    """Read a small file whole; None where there is none, which a bucket that nobody may list calls 403.

    Raises
    ------
    SourceUnreachableError
        As for `entries`.
    SourceError
        More than `most_bytes`.
    """
    with _session(url) as session, _asked(session, "GET", url, patience, accept=(403, 404)) as response:
        if response.status_code in (403, 404):
            return None
        content = bytearray()
        for chunk in _chunks(response, url):
            content += chunk
            if len(content) > most_bytes:
                raise SourceError(f"{url}: a small file expected, more than {most_bytes:,} bytes sent")
        return bytes(content)


@contextmanager
def _session(url: str) -> Iterator["requests.Session"]:
    import requests

    with requests.Session() as session:
        session.headers.update({"Accept-Encoding": "identity", "User-Agent": "em-assets"})
        session.auth = lambda request: request  # anonymous: a ~/.netrc is not ours to send
        session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        session.trust_env = (urlsplit(url).hostname or "") not in THIS_MACHINE  # proxies are for the world outside
        yield session


@contextmanager
def _asked(
    session: "requests.Session", method: str, url: str, patience: Patience, *, accept: tuple[int, ...] = ()
) -> Iterator["requests.Response"]:
    import requests

    timeouts = (patience.connect_s, patience.read_s)
    try:
        response = session.request(method, url, stream=True, timeout=timeouts, allow_redirects=True)
    except (requests.exceptions.InvalidURL, requests.exceptions.TooManyRedirects) as error:
        raise SourceError(f"{url}: {error}") from error
    except requests.RequestException as error:
        raise SourceUnreachableError(f"{url}: no answer ({error})") from error
    with response:
        if response.status_code not in accept:
            _check_status(response, url)
        yield response


def _check_status(response: "requests.Response", url: str) -> None:
    status = response.status_code
    if status < 300:
        return
    if status in GONE:
        raise SourceMissingError(f"{url}: HTTP {status}, {GONE[status]}")
    if status in PASSING_STATUS or status >= 500:
        raise SourceUnreachableError(f"{url}: HTTP {status} {response.reason}; a later try may succeed")
    raise SourceError(f"{url}: HTTP {status} {response.reason}")


def _head(session: "requests.Session", url: str, patience: Patience) -> "requests.Response":
    def ask() -> "requests.Response":
        with _asked(session, "HEAD", url, patience, accept=(405, 501)) as response:
            if response.ok:
                return response
        with _asked(session, "GET", url, patience) as response:  # closed before its body is read
            return response

    return patience(ask)


def _entry(path: str, response: "requests.Response") -> Entry:
    return Entry(path, _size(response), _validators(response))


def _size(response: "requests.Response") -> int | None:
    declared = response.headers.get("Content-Length", "")
    return int(declared) if declared.isdecimal() else None


def _validators(response: "requests.Response") -> tuple[str, ...]:
    found = []
    if etag := response.headers.get("ETag"):
        found.append(f"etag:{etag}")
    if when := response.headers.get("Last-Modified"):
        try:
            found.append(modified(parsedate_to_datetime(when)))
        except ValueError:
            return tuple(found)  # a date that is none tells nothing
    return tuple(found)


def _chunks(response: "requests.Response", url: str) -> Iterator[bytes]:
    import requests
    import urllib3

    try:
        yield from response.raw.stream(BLOCK_BYTES, decode_content=False)
    except (urllib3.exceptions.HTTPError, requests.RequestException, OSError) as error:
        raise SourceUnreachableError(f"{url}: broke off ({error})") from error


def _walk(session: "requests.Session", root: str, wanted: Wanted, patience: Patience) -> dict[str, str]:
    """Return decoded path → URL of every wanted file below an index page; only what lies below it is followed."""
    files: dict[str, str] = {}
    seen = {root}
    pending = [root]
    while pending:
        for path, url in _children(session, pending.pop(), root, patience):
            if path.endswith("/"):
                if url not in seen and wanted.may_hold(path):
                    seen.add(url)
                    pending.append(url)
            elif path in wanted:
                files[path] = url
        if len(seen) > MOST_PAGES:
            raise SourceError(f"{root}: more than {MOST_PAGES:,} folders; narrow `include`")
    return files


def _children(session: "requests.Session", page: str, root: str, patience: Patience) -> Iterator[tuple[str, str]]:
    def ask() -> tuple[str, str]:
        with _asked(session, "GET", page, patience) as response:
            content = b"".join(_chunks(response, page))
            return response.url, content.decode(response.encoding or "utf-8", errors="replace")

    address, text = patience(ask)
    links = _Links()
    links.feed(text)
    root_path = unquote(urlsplit(root).path)
    for href in links.hrefs:
        url = urldefrag(urljoin(address, href)).url
        parts = urlsplit(url)
        path = unquote(parts.path)
        below = parts.netloc == urlsplit(root).netloc and path.startswith(root_path) and path != root_path
        if below and not parts.query and path != unquote(urlsplit(address).path):
            yield path.removeprefix(root_path), url


class _Links(HTMLParser):
    """Collects the targets of a page's links."""

    def __init__(self) -> None:
        super().__init__()
        self.hrefs: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep `<a href=…>`."""
        if tag == "a":
            self.hrefs += [value for name, value in attrs if name == "href" and value]
