"""What an HTTP answer says of a file: how long, which version, which part, and whether more comes than it says."""

import re
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from email.utils import format_datetime, parsedate_to_datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol

from em_assets.errors import IncompleteError
from em_assets.sources.wire import MODIFIED, NotResumedError, Resume, agree, modified

if TYPE_CHECKING:
    import socket

MOST_DIGITS = 19
"""Of a number of bytes: no file has more, and Python takes no number of thousands of them."""

_CONTENT_RANGE = re.compile(rf"bytes (\d{{1,{MOST_DIGITS}}})-(\d{{1,{MOST_DIGITS}}})/(\d{{1,{MOST_DIGITS}}})")


class Answer(Protocol):
    """What `requests.Response` and `connection.Head` have in common."""

    @property
    def url(self) -> str:
        """Where it came from, behind all redirects."""

    @property
    def status_code(self) -> int:
        """200, 206, …."""

    @property
    def reason(self) -> str:
        """The status in the server's words."""

    @property
    def headers(self) -> Mapping[str, str]:
        """By name, whatever its case."""


def asking(url: str, resume: Resume | None) -> dict[str, str]:
    """Headers that ask for the rest of a file, or for all of it where it is no longer the same."""
    if resume is None:  # Amazon tells checksums only when asked
        return {"x-amz-checksum-mode": "ENABLED"} if ".amazonaws.com/" in url else {}
    kind, value = resume.validator.split(":", 1)
    if f"{kind}:" == MODIFIED:
        value = format_datetime(datetime.fromisoformat(value), usegmt=True)
    last = "" if resume.end is None else str(resume.end - 1)
    return {"Range": f"bytes={resume.start}-{last}", "If-Range": value}


def span(response: Answer, resume: Resume | None) -> tuple[int, int | None]:
    """First byte that is sent, and size of the whole file."""
    if response.status_code != 206:
        return 0, size_of(response)
    said = response.headers.get("Content-Range", "")
    found = _CONTENT_RANGE.fullmatch(said.strip())
    start, last, size_bytes = map(int, found.groups()) if found else (-1, -1, -1)
    end = size_bytes if resume is None or resume.end is None else min(resume.end, size_bytes)
    sent = size_of(response)
    if resume is None or start != resume.start or not start <= last < end or sent not in (None, last - start + 1):
        wanted = f"bytes {resume.start}-" if resume else "the whole file"
        raise NotResumedError(f"{response.url}: {wanted} asked for, {said or 'a part'} sent")
    if not agree(resume.validator, validators_of(response)):
        raise NotResumedError(f"{response.url}: {resume.validator} asked for, another version sent")
    return start, size_bytes


def resume_with(response: Answer) -> str | None:
    """The validator that If-Range may name: a strong ETag, or a time that is no longer the present (RFC 9110, 8.8)."""
    etag = response.headers.get("ETag", "")
    if etag.startswith('"'):
        return f"etag:{etag}"
    times = [value for value in validators_of(response) if value.startswith(MODIFIED)]
    if etag or not times:
        return None
    try:
        sent = parsedate_to_datetime(response.headers.get("Date", "")).timestamp()
        changed = parsedate_to_datetime(response.headers.get("Last-Modified", "")).timestamp()
    except (ValueError, TypeError):
        return None
    return times[0] if sent - changed >= 2 else None


def length_in(headers: Mapping[str, str]) -> str:
    """The Content-Length, also where it is said twice and alike (RFC 9110, 8.6); nothing where it is not."""
    said = headers.get("Content-Length", "")
    if "," not in said:
        return said
    lengths = {length.strip() for length in said.split(",")}
    return lengths.pop() if len(lengths) == 1 else ""


def size_of(response: Answer) -> int | None:
    """Bytes that the answer declares; None where it does not.

    Raises
    ------
    IncompleteError
        More than any file has.
    """
    declared = length_in(response.headers)
    if declared.isdecimal() and len(declared) > MOST_DIGITS:
        raise IncompleteError(f"{response.url}: a length expected, found one of {len(declared)} digits")
    return int(declared) if declared.isdecimal() else None


def validators_of(response: Answer) -> tuple[str, ...]:
    """ETag and time of modification, as far as the answer has them."""
    found = []
    if etag := response.headers.get("ETag"):
        found.append(f"etag:{etag}")
    if when := response.headers.get("Last-Modified"):
        found += _modified(when)
    return tuple(found)


@lru_cache(maxsize=1024)
def _modified(when: str) -> tuple[str, ...]:
    """A date as a validator; a date that is none tells nothing."""
    try:
        return (modified(parsedate_to_datetime(when)),)
    except ValueError:
        return ()


def retry_after_s(value: str) -> float:
    """Seconds that a server asks to wait: a number, or a date; 0 where it says nothing."""
    if value.strip().isdecimal():
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, TypeError):
        return 0.0


def refuse_surplus(url: str, connection: "socket.socket | None") -> None:
    """Look whether bytes have come behind the declared end: a Content-Length that is too small cuts a file short."""
    if connection is not None and has_more(connection):
        raise IncompleteError(f"{url}: more bytes than declared")


def has_more(connection: "socket.socket") -> bool:
    """Whether bytes have come on a connection that nobody has asked for; one of them is taken off it."""
    if connection.fileno() < 0:
        return False
    timeout = connection.gettimeout()
    try:
        connection.settimeout(0.0)
        return bool(connection.recv(1))
    except (OSError, ValueError):  # nothing to read, or closed
        return False
    finally:
        with suppress(OSError):
            connection.settimeout(timeout)
