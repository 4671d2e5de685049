"""HTTP and HTTPS: single files, and folders that show an index page.

Bodies come over a plain `Connection`, or through `requests` where an answer is more than that can take.
"""

import http.client
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from contextvars import copy_context
from dataclasses import replace
from functools import partial
from itertools import chain, groupby, zip_longest
from typing import TYPE_CHECKING
from urllib.parse import urldefrag, urljoin, urlsplit

from em_assets.errors import IncompleteError, SourceError, SourceUnreachableError
from em_assets.sources.answers import Answer, asking, refuse_surplus, resume_with, size_of, span, validators_of
from em_assets.sources.checksums import declared
from em_assets.sources.connection import Connection
from em_assets.sources.globs import Wanted
from em_assets.sources.http_heads import GarbledError, Head, UnusualError
from em_assets.sources.index_pages import folder_at, is_below, links_below, links_in, text_of
from em_assets.sources.origins import Location, url_server
from em_assets.sources.paths import refuse_circle
from em_assets.sources.sessions import asked, check_status, connection_for, connections_kept, session_for
from em_assets.sources.wire import (
    BLOCK_BYTES,
    LATER,
    SHARE_OF_PATIENCE,
    Body,
    Entry,
    NotResumedError,
    Patience,
    Resume,
    Watch,
)

if TYPE_CHECKING:
    import socket

    import requests

MOST_PAGES = 100_000
MOST_PAGE_BYTES = 64 << 20
"""Of an index page: some hundred thousand files in one folder."""

MOST_REDIRECTS = 10
AT_ONCE = 3
IN_A_ROW = 32
"""Questions that are sent before the first is answered: a folder may hold ten thousand slices, and is watched."""

REDIRECTS = (301, 302, 303, 307, 308)
NO_HEAD = (403, 405, 501)
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
    with session_for(location.url) as session:
        root = location.url
        if not urlsplit(root).path.endswith("/"):
            head = _head(session, root, patience)
            if not urlsplit(head.url).path.endswith("/"):
                return [_entry("", head)]
            root = head.url
        tree = _Tree(session, root, wanted, patience)
        found = tree.walk(root)
        if not found and _is_json(answer := _head(session, root, patience)):
            return [Entry("", None, validators_of(answer))]  # HEAD of an answer made anew proves no size
        listed: list[Entry] = []
        while found:
            answers = list(zip(found.items(), _heads(session, list(found.values()), patience), strict=True))
            folders = [answer.url for (_, url), answer in answers if _is_folder(url, answer)]
            listed += [_entry(path, answer) for (path, url), answer in answers if not _is_folder(url, answer)]
            found = {path: url for folder in folders for path, url in tree.walk(folder).items()}
        return sorted(listed, key=lambda entry: entry.path)


def names(location: Location, patience: Patience) -> list[str]:
    """Names directly in the folder of an index page, those of folders with a slash at the end; sorted.

    Raises
    ------
    SourceMissingError, SourceUnreachableError
        As for `entries`.
    """
    with session_for(location.url) as session:
        address, hrefs = _page(session, location.url, patience)
    below = {path for path, _ in links_below(address, hrefs, folder_at(location.url, address))}
    return sorted(path for path in below if "/" not in path.rstrip("/"))


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
    with ExitStack() as stack:
        plain = _plainly_asked(stack, url, patience, asking(url, resume))
        if plain is not None:
            connection, head = plain
            recheck = partial(_rechecked_plainly, connection, head.url, patience)
            plainly = _body(url, head, resume, connection.chunks(url), recheck, as_stored=as_stored)
            yield replace(plainly, receive=partial(connection.receive, url))
            return
        session = stack.enter_context(session_for(url))
        with asked(session, "GET", url, patience, accept=(416,), headers=asking(url, resume)) as response:
            wire = getattr(response.raw, "connection", None)
            recheck = partial(_rechecked, session, url, patience, wire and wire.sock)
            yield _body(url, response, resume, _chunks(response, url, patience), recheck, as_stored=as_stored)


def web_location(location: Location) -> Location:
    """Where a file is asked for over HTTP: there."""
    return location


def about(location: Location, patience: Patience) -> Body:
    """What the server declares of a file, without its bytes."""
    url = location.url

    def head() -> "requests.Response":
        with session_for(url) as session:
            return _head(session, url, patience, asking(url, None))

    answer = head()
    return _body(url, answer, None, iter(()), lambda: validators_of(head()), as_stored=True)


def fetch_small(url: str, patience: Patience, most_bytes: int) -> bytes | None:
    """Read a small file whole; None where there is none, which a bucket that nobody may list calls 403.

    Raises
    ------
    SourceUnreachableError
        As for `entries`.
    SourceError
        More than `most_bytes`.
    """
    with session_for(url) as session, asked(session, "GET", url, patience, accept=(403, 404)) as response:
        is_there = response.status_code not in (403, 404)
        return _content(response, url, patience, patience.listing_s, most_bytes) if is_there else None


def _body(
    url: str,
    answer: Answer,
    resume: Resume | None,
    chunks: Iterator[bytes] | Iterator[memoryview],
    recheck: Callable[[], tuple[str, ...]],
    *,
    as_stored: bool,
) -> Body:
    if answer.status_code == 416:
        raise NotResumedError(f"{url}: HTTP 416, nothing there to go on with")
    if answer.status_code not in (200, 203, 206):
        raise SourceError(f"{url}: HTTP {answer.status_code} {answer.reason}, which is no file")
    coding = answer.headers.get("Content-Encoding", "") or "identity"
    if coding != "identity" and not as_stored and not urlsplit(url).path.endswith(_COMPRESSED):
        raise SourceError(f"{url}: plain bytes asked for, {coding} sent")
    start, size_bytes = span(answer, resume)
    return Body(
        chunks,
        size_bytes,
        validators_of(answer),
        ends_itself="chunked" in answer.headers.get("Transfer-Encoding", ""),
        start=start,
        resume_with=resume_with(answer),
        checksums=declared(answer.headers, is_whole=answer.status_code == 200),
        recheck=recheck,
    )


def _plainly_asked(
    stack: ExitStack, url: str, patience: Patience, headers: Mapping[str, str]
) -> tuple[Connection, Head] | None:
    """A plain connection and the head of its answer, behind all redirects; None where `requests` must be asked."""
    first = url
    for _ in range(MOST_REDIRECTS):
        connection = stack.enter_context(connection_for(url))
        if connection is None:
            return None
        try:
            head = connection.ask("GET", url, headers, patience)
        except UnusualError:
            connection.close()
            return None
        if head.status_code not in REDIRECTS or "Location" not in head.headers:
            if head.status_code != 416:
                check_status(head, first)
            return connection, head
        url = _sent_on(first, url, head.headers["Location"])
    raise SourceError(f"{first}: sent on more than {MOST_REDIRECTS} times")


def _sent_on(first: str, url: str, to: str) -> str:
    """Where an answer of a URL leads to; `first` is what was asked for in the beginning."""
    with suppress(UnicodeError):
        to = to.encode("latin-1").decode()  # as browsers take what nobody has escaped
    try:
        there = urldefrag(urljoin(url, to)).url
        parts = urlsplit(there)
        is_web = parts.scheme in ("http", "https") and parts.port != 0 and bool((parts.hostname or "").encode("idna"))
    except ValueError as error:
        raise SourceError(f"{first}: sent on to {to}, which is no web address: {error}") from None
    if not is_web:
        raise SourceError(f"{first}: sent on to {there}, which is no web address")
    return there


def _rechecked_plainly(connection: Connection, url: str, patience: Patience) -> tuple[str, ...]:
    """As `_rechecked`; a connection with more on it than was declared is of no use to anybody."""
    try:
        if connection.has_surplus:
            raise IncompleteError(f"{url}: more bytes than declared")
        refuse_surplus(url, connection.socket)
        validators = _validators_now(connection, url, patience)
        refuse_surplus(url, connection.socket)
    except IncompleteError:
        connection.close()
        raise
    return validators


def _validators_now(connection: Connection, url: str, patience: Patience) -> tuple[str, ...]:
    def ask() -> tuple[str, ...] | None:
        try:
            head = connection.ask("HEAD", url, {}, patience)
        except GarbledError:  # what came in place of a status was more of the file
            return None
        except UnusualError:
            connection.close()
            return ()
        if head.status_code not in NO_HEAD:
            check_status(head, url)
        return validators_of(head) if head.ok else ()

    validators = patience(ask)
    if validators is None:
        raise IncompleteError(f"{url}: more bytes than declared")
    return validators


def _rechecked(
    session: "requests.Session", url: str, patience: Patience, connection: "socket.socket | None"
) -> tuple[str, ...]:
    """The validators behind the last byte; refuses an answer that goes on behind its declared end."""

    def ask() -> tuple[str, ...] | None:
        try:
            with asked(session, "HEAD", url, patience, accept=NO_HEAD) as response:
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


def _head(
    session: "requests.Session", url: str, patience: Patience, headers: Mapping[str, str] | None = None
) -> "requests.Response":
    def ask() -> "requests.Response":
        # A signed address, which some archives send on to, may be asked for by GET and nothing else: 403.
        with asked(session, "HEAD", url, patience, accept=NO_HEAD, headers=headers) as response:
            if response.ok:
                return response
        with asked(session, "GET", url, patience, headers=headers) as response:  # closed before its body is read
            return response

    return patience(ask)


def _heads(session: "requests.Session", urls: Sequence[str], patience: Patience) -> list[Answer]:
    """What is said of files, in their order: some are asked for at once on each of a few connections.

    Whatever is not answered plainly is asked for by itself.
    """
    hasty = patience.within(SHARE_OF_PATIENCE * min(patience.connect_s, patience.read_s))
    is_answered = True

    def ask(row: Sequence[str]) -> list[Answer]:
        nonlocal is_answered
        answers: list[Answer] = []
        while len(answers) < len(row):
            rest = row[len(answers) :]
            heads = _heads_in_a_row(rest, hasty) if is_answered else []
            is_answered &= len(heads) == len(rest) or (len(heads) > 1 and heads[-1].is_last)
            for url, head in zip_longest(rest[: len(heads) or 1], heads):
                answers.append(head if head and head.status_code == 200 else _head(session, url, patience))
        return answers

    of_servers = [list(theirs) for _, theirs in groupby(urls, url_server)]
    rows = [theirs[at : at + IN_A_ROW] for theirs in of_servers for at in range(0, len(theirs), IN_A_ROW)]
    with connections_kept(), ThreadPoolExecutor(AT_ONCE) as pool:
        contexts = [copy_context() for _ in rows]
        return list(chain.from_iterable(pool.map(lambda context, row: context.run(ask, row), contexts, rows)))


def _heads_in_a_row(urls: Sequence[str], patience: Patience) -> list[Head]:
    with connection_for(urls[0]) as connection:
        return connection.heads(urls, patience) if connection else []


def _entry(path: str, response: Answer) -> Entry:
    return Entry(path, size_of(response), validators_of(response))


def _is_json(response: "requests.Response") -> bool:
    return response.headers.get("Content-Type", "").split(";")[0].strip().casefold() == "application/json"


def _chunks(response: "requests.Response", url: str, patience: Patience) -> Iterator[bytes]:
    import requests
    import urllib3

    wire = getattr(response.raw, "connection", None)
    connection = wire and wire.sock
    try:
        # What has come so far, never waiting for a full block: a trickle must be seen as one.
        while chunk := response.raw.read1(BLOCK_BYTES, decode_content=False):
            yield chunk
            if connection is not None and connection.fileno() >= 0:
                connection.settimeout(patience.wait_s(patience.read_s))
    except (urllib3.exceptions.HTTPError, http.client.HTTPException, requests.RequestException, OSError) as error:
        raise SourceUnreachableError(f"{url}: broke off ({error})") from None  # its text may hold a signature


def _content(response: "requests.Response", url: str, patience: Patience, left_s: float, most_bytes: int) -> bytes:
    """A small body whole: a trickle ends in time, and what has no end is too large."""
    until = time.monotonic() + left_s
    content = bytearray()
    for chunk in _chunks(response, url, patience.watched(Watch(patience, left_s))):
        content += chunk
        if len(content) > most_bytes:
            raise SourceError(f"{url}: a small file expected, more than {most_bytes:,} bytes sent")
        if time.monotonic() > until:
            raise SourceUnreachableError(f"{url}: no end after {left_s:.0f} s and {len(content):,} bytes; {LATER}")
    return bytes(content)


class _Tree:
    """What lies below an index page; only what does is followed."""

    def __init__(self, session: "requests.Session", root: str, wanted: Wanted, patience: Patience) -> None:
        self._session, self._wanted, self._patience = session, wanted, patience
        self._root = self._top = root  # asked for, and where that leads
        self._seen: set[str] = set()
        self._found: set[str] = set()

    def walk(self, page: str) -> dict[str, str]:
        """Return decoded path → URL of every wanted file below a page that is new.

        Raises
        ------
        SourceError
            A folder leads elsewhere, or there are too many.
        """
        files: dict[str, str] = {}
        pending = [page]
        while pending:
            for path, url in self._children(pending.pop()):
                if path.endswith("/"):
                    if url not in self._seen and self._wanted.may_hold(path):
                        refuse_circle(self._root, path)
                        self._seen.add(url)
                        pending.append(url)
                elif path in self._wanted and path not in self._found:
                    files[path] = url
            if len(self._seen) > MOST_PAGES:
                raise SourceError(f"{self._root}: more than {MOST_PAGES:,} folders; narrow `include`")
        self._found |= files.keys()
        return files

    def _children(self, page: str) -> Iterator[tuple[str, str]]:
        self._seen.add(page)
        address, hrefs = _page(self._session, page, self._patience)
        if page == self._root:
            self._top = folder_at(self._root, address)
        elif not is_below(address, self._top):
            raise SourceError(
                f"{page}: sent on to {address}, which is not below {self._top}: what that folder holds is not known; "
                "leave it out by `exclude` (its name and /**), or add that address as a source"
            )
        return links_below(address, hrefs, self._top)


def _page(session: "requests.Session", page: str, patience: Patience) -> tuple[str, list[str]]:
    """Where an index page is, behind all redirects, and the addresses that it links to."""
    watch = Watch(patience, patience.listing_s)

    def ask() -> tuple[str, str]:
        with asked(session, "GET", page, patience.within(watch.left_s)) as response:
            content = _content(response, page, patience, watch.left_s, MOST_PAGE_BYTES)
            return response.url, text_of(content, response.headers.get("Content-Type", ""))

    address, text = patience(ask, watch)
    return address, links_in(text, address)


def _is_folder(url: str, head: Answer) -> bool:
    """Whether a link without a slash at its end is sent on to a folder's page."""
    return urlsplit(head.url).path.endswith("/") and not urlsplit(url).path.endswith("/")
