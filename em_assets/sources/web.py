"""HTTP and HTTPS: single files, and folders that show an index page.

requests, not fsspec or obstore: a download that cannot lie needs every header and the body's raw bytes. fsspec turns
429 and 503 into "not found", obstore's HTTP store cannot list, and both hide what was declared.
"""

import http.client
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from html.parser import HTMLParser
from http.cookiejar import DefaultCookiePolicy
from threading import get_ident
from typing import TYPE_CHECKING
from urllib.parse import unquote, urldefrag, urljoin, urlsplit

from em_assets.errors import IncompleteError, SourceError, SourceMissingError, SourceUnreachableError
from em_assets.sources.answers import (
    asking,
    refuse_surplus,
    resume_with,
    retry_after_s,
    size_of,
    span,
    validators_of,
)
from em_assets.sources.checksums import declared
from em_assets.sources.globs import Wanted
from em_assets.sources.origins import THIS_MACHINE, Location
from em_assets.sources.wire import (
    BLOCK_BYTES,
    ELSEWHERE,
    LATER,
    Body,
    Entry,
    NotResumedError,
    Patience,
    Resume,
    ToldToWaitError,
)

if TYPE_CHECKING:
    import socket

    import requests

GONE = {401: "not public", 403: "not public", 404: "not there", 410: "gone for good"}
PASSING_STATUS = (408, 425, 429)
MOST_PAGES = 100_000
AT_ONCE = 4
_KEPT: ContextVar["dict[tuple[int, str], requests.Session] | None"] = ContextVar("_KEPT", default=None)
_COMPRESSED = (".gz", ".tgz", ".bz2", ".xz", ".zst", ".Z")


def entries(location: Location, wanted: Wanted, patience: Patience) -> list[Entry]:
    """List the wanted files below an index page, or the one file that the address is, with sizes and validators.

    An address that ends in a slash and answers JSON is no index page but a document: so archives' APIs answer.

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
        if not found and _is_json(answer := _head(session, root, patience)):
            return [Entry("", None, validators_of(answer))]  # HEAD of an answer made anew proves no size
        with ThreadPoolExecutor(AT_ONCE) as pool:
            return list(pool.map(lambda item: _entry(item[0], _head(session, item[1], patience)), found))


@contextmanager
def body(
    location: Location, patience: Patience, resume: Resume | None = None, *, as_stored: bool = False
) -> Iterator[Body]:
    """Give the file's bytes exactly as stored: no content coding is asked for, and none is undone.

    Parameters
    ----------
    resume
        Where to go on, if the file is still the same.
    as_stored
        The server keeps content codings with the bytes (S3 and Google do), so that one in the answer is no mistake.
    """
    url = location.url
    with (
        _session(url) as session,
        _asked(session, "GET", url, patience, accept=(416,), headers=asking(url, resume)) as response,
    ):
        if response.status_code == 416:
            raise NotResumedError(f"{url}: HTTP 416, nothing there to go on with")
        coding = response.headers.get("Content-Encoding", "identity")
        if coding != "identity" and not as_stored and not urlsplit(url).path.endswith(_COMPRESSED):
            raise SourceError(f"{url}: plain bytes asked for, {coding} sent")
        start, size_bytes = span(response, resume)
        connection = getattr(response.raw, "connection", None)
        yield Body(
            _chunks(response, url),
            size_bytes,
            validators_of(response),
            ends_itself="chunked" in response.headers.get("Transfer-Encoding", ""),
            start=start,
            resume_with=resume_with(response),
            checksums=declared(response.headers, is_whole=response.status_code == 200),
            recheck=lambda: _rechecked(session, url, patience, connection and connection.sock),
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
def connections_kept() -> Iterator[None]:
    """Keep connections open from one file to the next, in this context and those copied from it.

    Each thread has its own: what comes behind a file's last byte is then nobody else's.
    """
    sessions: dict[tuple[int, str], requests.Session] = {}
    token = _KEPT.set(sessions)
    try:
        yield
    finally:
        _KEPT.reset(token)
        for session in sessions.values():
            session.close()


@contextmanager
def _session(url: str) -> Iterator["requests.Session"]:
    """Give a session of its own, or the one that is kept for thread and host."""
    kept = _KEPT.get()
    if kept is None:
        with _new_session(url) as session:
            yield session
        return
    key = (get_ident(), urlsplit(url).netloc)
    if key not in kept:
        kept[key] = _new_session(url)
    yield kept[key]


def _new_session(url: str) -> "requests.Session":
    import requests

    session = requests.Session()
    session.headers.update({"Accept-Encoding": "identity", "User-Agent": "em-assets"})
    session.auth = lambda request: request  # anonymous: a ~/.netrc is not ours to send
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    session.trust_env = (urlsplit(url).hostname or "") not in THIS_MACHINE  # proxies are for the world outside
    return session


@contextmanager
def _asked(
    session: "requests.Session",
    method: str,
    url: str,
    patience: Patience,
    *,
    accept: tuple[int, ...] = (),
    headers: Mapping[str, str] | None = None,
) -> Iterator["requests.Response"]:
    import requests

    sent_astray = (
        requests.exceptions.InvalidURL,
        requests.exceptions.InvalidSchema,  # a redirect to file:// or the like
        requests.exceptions.TooManyRedirects,
    )
    timeouts = (patience.connect_s, patience.read_s)
    try:
        response = _answer(session, method, url, timeouts, headers)
    except sent_astray as error:
        raise SourceError(f"{url}: {error}") from error
    except requests.RequestException as error:
        raise SourceUnreachableError(f"{url}: no answer, {LATER} ({error})") from error
    with response:
        if response.status_code not in accept:
            _check_status(response, url)
        yield response


def _answer(
    session: "requests.Session", method: str, url: str, timeouts: tuple[float, float], headers: Mapping[str, str] | None
) -> "requests.Response":
    """Ask; once more at once where a connection kept open has been closed by the server in the same moment."""
    import requests

    def ask() -> requests.Response:
        return session.request(method, url, stream=True, timeout=timeouts, allow_redirects=True, headers=headers)

    try:
        return ask()
    except requests.ConnectionError as error:
        if "RemoteDisconnected" not in str(error):
            raise
        return ask()


def _check_status(response: "requests.Response", url: str) -> None:
    status = response.status_code
    if status < 300:
        return
    if status in GONE:
        raise SourceMissingError(f"{url}: HTTP {status}, {GONE[status]}; {ELSEWHERE}")
    if status in PASSING_STATUS or status >= 500:
        message = f"{url}: HTTP {status} {response.reason}; {LATER}"
        raise ToldToWaitError(message, retry_after_s(response.headers.get("Retry-After", "")))
    raise SourceError(f"{url}: HTTP {status} {response.reason}")


def _rechecked(
    session: "requests.Session", url: str, patience: Patience, connection: "socket.socket | None"
) -> tuple[str, ...]:
    """The validators behind the last byte; refuses an answer that goes on behind its declared end."""

    def ask() -> tuple[str, ...] | None:
        try:
            with _asked(session, "HEAD", url, patience, accept=(403, 405, 501)) as response:
                return validators_of(response) if response.ok else ()
        except SourceUnreachableError as error:
            if "BadStatusLine" in str(error):  # what came in place of a status was more of the file
                return None
            raise

    refuse_surplus(url, connection)
    validators = patience(ask)
    if validators is None:
        raise IncompleteError(f"{url}: more bytes than declared")
    refuse_surplus(url, connection)
    return validators


def _head(session: "requests.Session", url: str, patience: Patience) -> "requests.Response":
    def ask() -> "requests.Response":
        with _asked(session, "HEAD", url, patience, accept=(405, 501)) as response:
            if response.ok:
                return response
        with _asked(session, "GET", url, patience) as response:  # closed before its body is read
            return response

    return patience(ask)


def _entry(path: str, response: "requests.Response") -> Entry:
    return Entry(path, size_of(response), validators_of(response))


def _is_json(response: "requests.Response") -> bool:
    return response.headers.get("Content-Type", "").split(";")[0].strip().casefold() == "application/json"


def _chunks(response: "requests.Response", url: str) -> Iterator[bytes]:
    import requests
    import urllib3

    try:
        # What has come so far, never waiting for a full block: a trickle must be seen as one.
        while chunk := response.raw.read1(BLOCK_BYTES, decode_content=False):
            yield chunk
    except (urllib3.exceptions.HTTPError, http.client.HTTPException, requests.RequestException, OSError) as error:
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
