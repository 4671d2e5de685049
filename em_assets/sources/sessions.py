"""Sessions of `requests`: asking anonymously, and what a status means.

requests, not fsspec or obstore: a download that cannot lie needs every header and the body's raw bytes. fsspec turns
429 and 503 into "not found", obstore's HTTP store cannot list, and both hide what was declared.
"""

import ssl
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from http.cookiejar import DefaultCookiePolicy
from itertools import chain
from threading import get_ident
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

from em_assets.errors import SourceError, SourceMissingError, SourceUnreachableError, innermost_words
from em_assets.sources.answers import Answer, retry_after_s
from em_assets.sources.connection import Connection, verification
from em_assets.sources.origins import THIS_MACHINE
from em_assets.sources.wire import ELSEWHERE, LATER, Patience, ToldToWaitError

if TYPE_CHECKING:
    import requests

GONE = {401: "not public", 403: "not public", 404: "not there", 410: "gone for good"}
PASSING_STATUS = (202, 408, 425, 429)
"""202 comes while a file is brought from a tape, with words in its place."""


class Closing(Protocol):
    """What can be closed."""

    def close(self) -> None:
        """Close it."""


class _Kept:
    """What is kept open for a context: for each thread and host its own."""

    def __init__(self) -> None:
        self.sessions: dict[tuple[int, str], requests.Session] = {}
        self.connections: dict[tuple[int, str], Connection] = {}
        self.others: dict[tuple[int, str], Closing] = {}

    def close(self) -> None:
        """Close everything."""
        each: Iterable[Closing] = chain(self.sessions.values(), self.connections.values(), self.others.values())
        for closing in each:
            closing.close()


_KEPT: ContextVar[_Kept | None] = ContextVar("_KEPT", default=None)


@contextmanager
def connections_kept() -> Iterator[None]:
    """Keep connections open from one file to the next, in this context and those copied from it.

    Each thread has its own: what comes behind a file's last byte is then nobody else's.
    """
    kept = _Kept()
    token = _KEPT.set(kept)
    try:
        yield
    finally:
        _KEPT.reset(token)
        kept.close()


@contextmanager
def session_for(url: str) -> Iterator["requests.Session"]:
    """Give a session of its own, or the one that is kept for thread and host."""
    kept = _KEPT.get()
    if kept is None:
        with _new_session(url) as session:
            yield session
        return
    key = (get_ident(), urlsplit(url).netloc)
    if key not in kept.sessions:
        kept.sessions[key] = _new_session(url)
    yield kept.sessions[key]


@contextmanager
def connection_for(url: str) -> Iterator[Connection | None]:
    """Give a plain connection to a URL's server; None where only a proxy leads there."""
    parts = urlsplit(url)
    verify = _verification(parts.scheme, parts.netloc)
    if verify is None:
        yield None
        return
    kept = _KEPT.get()
    connection = kept.connections.get((get_ident(), f"{parts.scheme}:{parts.netloc}")) if kept else None
    if connection is None:
        connection = Connection(url, verify)
        if kept:
            kept.connections[(get_ident(), f"{parts.scheme}:{parts.netloc}")] = connection
    try:
        yield connection
    finally:
        if kept is None:
            connection.close()


def others_kept() -> dict[tuple[int, str], Closing] | None:
    """What other protocols keep open in this context, by thread and server, until it ends; None where nothing is."""
    kept = _KEPT.get()
    return kept.others if kept else None


@lru_cache(maxsize=256)
def _verification(scheme: str, netloc: str) -> ssl.SSLContext | None:
    """How a server is verified, by what the environment says of authorities; None where it says to use a proxy."""
    url = f"{scheme}://{netloc}/"
    with _new_session(url) as session:
        found = session.merge_environment_settings(url, {}, True, None, None)
    if found["proxies"] and any(name in found["proxies"] for name in (scheme, "all")):
        return None
    if found["verify"] is True:
        from requests.utils import DEFAULT_CA_BUNDLE_PATH

        return verification(DEFAULT_CA_BUNDLE_PATH)
    return verification(str(found["verify"]))


def _new_session(url: str) -> "requests.Session":
    from em_assets.sources.heads import new_session

    session = new_session()
    session.headers.update({"Accept-Encoding": "identity", "User-Agent": "em-assets"})
    session.auth = lambda request: request  # anonymous: a ~/.netrc is not ours to send
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    session.trust_env = (urlsplit(url).hostname or "") not in THIS_MACHINE  # proxies are for the world outside
    return session


@contextmanager
def asked(
    session: "requests.Session",
    method: str,
    url: str,
    patience: Patience,
    *,
    accept: tuple[int, ...] = (),
    headers: Mapping[str, str] | None = None,
) -> Iterator["requests.Response"]:
    """Give an answer whose status is good, or one of `accept`; its body is not read yet."""
    import requests

    sent_astray = (
        requests.exceptions.InvalidURL,
        requests.exceptions.InvalidSchema,  # a redirect to file:// or the like
        requests.exceptions.TooManyRedirects,
    )
    timeouts = (patience.wait_s(patience.connect_s), patience.wait_s(patience.read_s))
    try:
        response = _answer(session, method, url, timeouts, headers)
    except sent_astray as error:
        raise SourceError(f"{url}: {error}") from None  # its text may hold the signature that a redirect brought
    except requests.RequestException as error:
        raise SourceUnreachableError(f"{url}: no answer, {LATER} ({_what_broke(error, url)})") from None
    with response:
        if response.status_code not in accept:
            check_status(response, url)
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


def _what_broke(error: "requests.RequestException", url: str) -> str:
    """The words of an error, and the address that was asked for in the end where a redirect led to another host."""
    words, request = innermost_words(error), error.request
    last = str(request.url) if request and request.url else url
    return words if urlsplit(last).netloc == urlsplit(url).netloc else f"redirected to {last}: {words}"


def check_status(answer: Answer, url: str) -> None:
    """Raise what a status means: not there, later, or refused."""
    status = answer.status_code
    if status < 300 and status not in PASSING_STATUS:
        return
    if status in GONE:
        raise SourceMissingError(f"{url}: HTTP {status}, {GONE[status]}; {ELSEWHERE}")
    if status in PASSING_STATUS or status >= 500:
        message = f"{url}: HTTP {status} {answer.reason}; {LATER}"
        raise ToldToWaitError(message, retry_after_s(answer.headers.get("Retry-After", "")))
    raise SourceError(f"{url}: HTTP {status} {answer.reason}")
