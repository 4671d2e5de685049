"""One HTTP connection, kept open: GET and HEAD with next to no overhead, and every byte of the answer's head in view.

A client library spends more time on a small object than the network does: 1,000 objects of 270 kB cost requests 0.57 s
of CPU and this module 0.1 s. It is strict instead of able: answers in chunks, in a content coding or without a length,
and servers behind a proxy, are `UnusualError`, and `web` asks `requests` for them.
"""

import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import NoReturn
from urllib.parse import quote, urlsplit

from em_assets.errors import SourceUnreachableError
from em_assets.sources.wire import BLOCK_BYTES, LATER

MOST_HEAD_BYTES = 1 << 16
GATHER_S = 0.5
"""Bytes are passed on once a block is full, the answer ends, or so much time has gone: a trickle is seen as one."""

_ANSWER = b"HTTP/1."
_SAFE = "!$%&'()*+,/:;=?@[]~"


class UnusualError(Exception):
    """An answer that is no plain file: `requests` is to be asked."""


class NoAnswerError(SourceUnreachableError):
    """No connection, or none that answers."""


class GarbledError(SourceUnreachableError):
    """What came in place of an answer is none: perhaps more of the file before."""


class Headers(dict[str, str]):
    """Headers by name, whatever its case; values of one name are joined by commas (RFC 9110, 5.3)."""

    def __getitem__(self, name: str) -> str:
        return super().__getitem__(name.lower())

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and super().__contains__(name.lower())

    def get(self, name: str, default: str = "") -> str:  # type: ignore[override]
        """Value of a header; nothing where it is not there."""
        return super().get(name.lower(), default)


@dataclass(frozen=True)
class Head:
    """Status and headers of an answer, as `requests.Response` names them too."""

    url: str
    status_code: int
    reason: str
    headers: Headers

    @property
    def ok(self) -> bool:
        """Whether it is no error."""
        return self.status_code < 400


class Connection:
    """A connection to one server; not for two threads at once.

    Attributes
    ----------
    socket
        To look behind the end of an answer; None while there is no connection.
    """

    def __init__(self, url: str, verify: ssl.SSLContext) -> None:
        parts = urlsplit(url)
        self._is_tls = parts.scheme == "https"
        self._host = (parts.hostname or "").encode("idna").decode()
        self._port = parts.port or (443 if self._is_tls else 80)
        self._verify = verify
        bracketed = f"[{self._host}]" if ":" in self._host else self._host
        self._common = (
            f"Host: {bracketed}{f':{parts.port}' if parts.port else ''}\r\n"
            "Accept-Encoding: identity\r\nAccept: */*\r\nUser-Agent: em-assets\r\n"
        )
        self._block = bytearray(BLOCK_BYTES)
        self._begin = self._end = 0  # of what has come and is not read yet
        self._left = 0  # bytes of the answer's body that are still to come
        self._came = 0  # bytes of the block that the last head was read into
        self._is_last = False  # the server closes behind this answer
        self._is_head_behind = False  # a HEAD has been sent behind it
        self.socket: socket.socket | None = None

    def ask(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        connect_s: float,
        read_s: float,
        *,
        is_looked_at_again: bool = False,
    ) -> Head:
        """Send a request, and give the answer's head; of a GET the body comes from `chunks`, or from `whole`.

        With `is_looked_at_again` a HEAD goes out behind it, which the server answers once the last byte is sent; its
        answer comes from `head_behind`. So nobody waits for a second question.

        Raises
        ------
        NoAnswerError, GarbledError
            Also where the head does not end within `read_s`.
        UnusualError
            See above.
        """
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        rest = f" {_target(url)} HTTP/1.1\r\n{self._common}"
        again = f"HEAD{rest}\r\n" if is_looked_at_again else ""
        request = f"{method}{rest}{lines}\r\n{again}".encode("latin-1")
        if self._left or self._begin != self._end or self._is_last or self._is_head_behind:
            self.close()  # an answer that nobody wanted whole, or that the server ends
        is_kept = self.socket is not None
        try:
            head = self._asked(request, url, connect_s, read_s)
        except (NoAnswerError, OSError) as error:
            self.close()
            if not is_kept or isinstance(error, TimeoutError):
                self._fail(url, error)
            head = self._once_more(request, url, connect_s, read_s)  # it was closed while nobody used it
        self._left = 0 if method == "HEAD" else _length(head)
        self._is_head_behind = is_looked_at_again and not self._is_last
        return head

    def whole(self, seconds: float) -> memoryview:
        """A body that fits into a block with its head; less of it where it broke off or took longer than that."""
        assert self.socket is not None
        until = time.monotonic() + seconds
        block, begin, stop = memoryview(self._block), self._begin, self._begin + self._left
        while self._end < stop and time.monotonic() < until:
            try:
                count = self.socket.recv_into(block[self._end :])
            except OSError:
                break
            if not count:
                break
            self._end += count
        self._begin = min(self._end, stop)
        self._left = stop - self._begin
        return block[begin : self._begin]

    def head_behind(self, url: str, read_s: float) -> Head | None:
        """The second answer; None where the server closes behind the first. The body stays where it is.

        Raises
        ------
        NoAnswerError, GarbledError, OSError
            It does not come, or something else does: more of the file.
        """
        if not self._is_head_behind:
            return None
        assert self.socket is not None
        self._is_head_behind = False
        behind = bytearray(MOST_HEAD_BYTES)
        got = self._end - self._begin
        if got > len(behind):
            raise GarbledError(f"{url}: {got:,} bytes behind its end")
        behind[:got] = memoryview(self._block)[self._begin : self._end]
        head, _ = self._read_head(url, behind, got, read_s)
        self._begin = self._end
        return head

    def chunks(self, url: str) -> Iterator[memoryview]:
        """Yield the body, in views that hold until the next one is asked for.

        Raises
        ------
        SourceUnreachableError
            It broke off; all that came before has been passed on.
        """
        while self._left:
            view, error = self._gathered()
            if view:
                self._left -= len(view)
                yield view
            if error is not None:
                self.close()
                raise SourceUnreachableError(f"{url}: broke off ({error})") from error

    @property
    def has_surplus(self) -> bool:
        """Whether bytes have come behind the answer's end."""
        return not self._left and self._begin != self._end

    def close(self) -> None:
        """End the connection; the next request opens another."""
        self._begin = self._end = self._left = 0
        self._is_last = self._is_head_behind = False
        if self.socket is not None:
            self.socket.close()
            self.socket = None

    def _once_more(self, request: bytes, url: str, connect_s: float, read_s: float) -> Head:
        try:
            return self._asked(request, url, connect_s, read_s)
        except (NoAnswerError, OSError) as error:
            self.close()
            self._fail(url, error)

    def _fail(self, url: str, error: Exception) -> NoReturn:
        raise NoAnswerError(f"{url}: no answer, {LATER} ({error})") from error

    def _asked(self, request: bytes, url: str, connect_s: float, read_s: float) -> Head:
        if self.socket is None:
            self.socket = self._connected(connect_s)
        self.socket.settimeout(read_s)
        self.socket.sendall(request)
        head, self._begin = self._read_head(url, self._block, 0, read_s)
        self._end = self._came
        return head

    def _connected(self, connect_s: float) -> socket.socket:
        plain = socket.create_connection((self._host, self._port), timeout=connect_s)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if not self._is_tls:
            return plain
        try:
            return self._verify.wrap_socket(plain, server_hostname=self._host)
        except BaseException:
            plain.close()
            raise

    def _read_head(self, url: str, block: bytearray, got: int, read_s: float) -> tuple[Head, int]:
        """The head of an answer, of which `got` bytes are there; and where it ends, with all that came in `block`."""
        assert self.socket is not None
        until = time.monotonic() + read_s
        while (end := block.find(b"\r\n\r\n", 0, min(got, MOST_HEAD_BYTES))) < 0 or not got:
            if not block.startswith(_ANSWER[:got]):
                self.close()
                raise GarbledError(f"{url}: {bytes(block[:20])!r} came in place of an answer")
            if time.monotonic() > until or got >= MOST_HEAD_BYTES:
                raise NoAnswerError(f"no end of the answer's head within {read_s:g} s and {got:,} bytes")
            count = self.socket.recv_into(memoryview(block)[got:])
            if not count:
                raise NoAnswerError("the connection was closed without an answer")
            got += count
        head = _parsed(url, bytes(memoryview(block)[:end]))
        self._came = got
        self._is_last = block.startswith(b"HTTP/1.0") or head.headers.get("Connection").lower() == "close"
        return head, end + 4

    def _gathered(self) -> tuple[memoryview, Exception | None]:
        """What has come of the body, a block at most; and what ended it, where it broke off."""
        assert self.socket is not None
        if self._begin == self._end:
            self._begin = self._end = 0
        block = memoryview(self._block)
        most = min(len(block), self._begin + self._left)
        until = time.monotonic() + GATHER_S
        error: Exception | None = None
        while self._end < most and error is None:
            try:
                count = self.socket.recv_into(block[self._end : most])
            except OSError as failure:
                error = failure
                break
            if not count:
                error = EOFError(f"{self._left - (self._end - self._begin):,} bytes are missing")
            self._end += count
            if time.monotonic() > until:
                break
        stop = min(self._end, most)
        view = block[self._begin : stop]
        self._begin = stop
        return view, error


@lru_cache(maxsize=8)
def verification(authorities: str) -> ssl.SSLContext:
    """Verify a server by these certificate authorities: a file, or a folder."""
    from pathlib import Path

    is_folder = Path(authorities).is_dir()
    return ssl.create_default_context(
        cafile=None if is_folder else authorities, capath=authorities if is_folder else None
    )


def _target(url: str) -> str:
    parts = urlsplit(url)
    return quote((parts.path or "/") + (f"?{parts.query}" if parts.query else ""), safe=_SAFE)


def _parsed(url: str, head: bytes) -> Head:
    first, *lines = head.decode("latin-1").split("\r\n")
    version, _, rest = first.partition(" ")
    status, _, reason = rest.partition(" ")
    if not status.isdecimal() or len(status) != 3:
        raise GarbledError(f"{url}: HTTP/1.1 and a status expected, found {first[:40]!r}")
    found: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or name != name.strip():
            raise UnusualError(f"a header {line[:40]!r}")
        key = name.lower()
        found[key] = f"{found[key]}, {value.strip()}" if key in found else value.strip()
    headers = Headers(found)
    if version not in ("HTTP/1.0", "HTTP/1.1") or status.startswith("1"):
        raise UnusualError(f"{version} {status}")
    return Head(url, int(status), reason, headers)


def _length(head: Head) -> int:
    length = head.headers.get("Content-Length")
    if head.status_code in (204, 304):
        return 0
    if "Transfer-Encoding" in head.headers or not (length.isascii() and length.isdecimal()):
        raise UnusualError("a body without a length")
    return int(length)
