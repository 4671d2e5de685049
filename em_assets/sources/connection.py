"""One HTTP connection, kept open: GET and HEAD with next to no overhead, and every byte of the answer's head in view.

A client library spends more time on a small object than the network does: 1,000 objects of 270 kB cost requests 0.57 s
of CPU and this module 0.1 s. It is strict instead of able: answers in chunks, in a content coding or without a length,
and servers behind a proxy, are `UnusualError`, and `web` asks `requests` for them.
"""

import math
import socket
import ssl
import struct
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import NoReturn
from urllib.parse import quote, urlsplit

from em_assets.errors import SourceUnreachableError
from em_assets.sources.answers import has_more
from em_assets.sources.http_heads import GarbledError, Head, NoAnswerError, UnusualError, length_of, parsed
from em_assets.sources.origins import after_server
from em_assets.sources.wire import BLOCK_BYTES, LATER, LEAST_WAIT_S, PATIENCE, Patience
from em_assets.volumes.direct import aligned

MOST_HEAD_BYTES = 1 << 16
HEAD_AT_ONCE_BYTES = 4096
"""What comes of a body with its head is copied."""

MOST_WHOLE_BYTES = 8 << 20
"""A longer body is not held in memory; of this as much is taken as comes."""

GATHER_S = 0.5
"""Bytes are passed on once a block is full, the answer ends, or so much time has gone: a trickle is seen as one."""

_ANSWER = b"HTTP/1."
_SAFE = "!$%&'()*+,/:;=?@[]~"


class Connection:
    """A connection to one server; not for two threads at once.

    Attributes
    ----------
    socket
        To look behind the end of an answer; None while there is no connection.
    heard_at
        When bytes came last, by `time.monotonic`.
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
        self._block = bytearray(MOST_HEAD_BYTES)  # heads, and what came of a body with them
        self._body = memoryview(b"")
        self._begin = self._end = 0  # of what has come in the block and is not read yet
        self._left = 0  # bytes of the answer's body that are still to come
        self._came = 0  # bytes of the block that have come with the last head
        self._broke_off: Exception | None = None
        self._waits_s = 0.0  # the system's limit of a wait, as it is set
        self._is_last = False  # the server closes behind this answer, or nobody knows where the next begins
        self._is_head_behind = False  # a HEAD has been sent behind it
        self._ahead: deque[str] = deque()  # URLs that have been asked for ahead, the oldest first
        self._patience = PATIENCE
        self.heard_at = 0.0
        self.socket: socket.socket | None = None

    def ask(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        patience: Patience,
        *,
        is_looked_at_again: bool = False,
    ) -> Head:
        """Send a request, and give the answer's head; of a GET the body comes from `chunks`, or from `whole`.

        With `is_looked_at_again` a HEAD goes out behind it, which the server answers once the last byte is sent; its
        answer comes from `head_behind`. So nobody waits for a second question.

        Raises
        ------
        NoAnswerError, GarbledError
            Also where the head does not end within `patience.read_s`.
        UnusualError
            See above.
        """
        request = self._request(method, url, headers, is_looked_at_again=is_looked_at_again)
        self._make_ready()
        is_kept = self.socket is not None
        try:
            head = self._asked(request, url, patience)
        except (NoAnswerError, OSError) as error:
            self.close()
            if not is_kept or isinstance(error, TimeoutError):
                self._fail(url, error)
            head = self._once_more(request, url, patience)  # it was closed while nobody used it
        self._patience = patience
        self._left = 0 if method == "HEAD" else length_of(head)
        self._is_head_behind = is_looked_at_again and not self._is_last
        return head

    def ask_ahead(self, url: str, headers: Mapping[str, str]) -> bool:
        """Send a GET, and a HEAD behind it, before the answers to others have been read; `answered` gives its head.

        False, and nothing is sent, where there is no connection, or the server closes it.
        """
        if self.socket is None or self._is_last:
            return False
        try:
            self.socket.sendall(self._request("GET", url, headers, is_looked_at_again=True))
        except OSError:
            self.close()
            return False
        self._ahead.append(url)
        return True

    def answered(self, url: str, patience: Patience) -> Head | None:
        """The head of the answer to the oldest question that was sent ahead; None where nobody can know it any more.

        Then the connection has ended, or the oldest question was for another file; it is closed.

        Raises
        ------
        NoAnswerError, GarbledError, UnusualError
            As `ask`.
        """
        if not self._ahead or self._ahead.popleft() != url or self._is_last or self._left or self._is_head_behind:
            self.close()
            return None
        got = self._to_front()
        try:
            head, self._begin = self._read_head(url, self._block, got, patience.wait_s(patience.read_s))
        except TimeoutError as error:
            self.close()
            self._fail(url, error)
        except (NoAnswerError, OSError):
            self.close()
            return None
        self._end = self._came
        self._patience = patience
        self._left = length_of(head)
        self._is_head_behind = not self._is_last
        return head

    def heads(self, urls: Sequence[str], patience: Patience) -> list[Head]:
        """Ask for the heads of some files at once; as many as were answered, in their order.

        They are fewer where the server ends the connection, or anything else comes: the others are then to be asked
        for anew. None of them counts where one is waited for in vain: a question may have been lost, and each answer
        behind it be another file's.
        """
        requests = [self._request("HEAD", url, {}) for url in urls]
        found: list[Head] = []
        got = 0
        self._make_ready()
        try:
            self._send(b"".join(requests), patience)
            while len(found) < len(urls) and not self._is_last:
                head, begin = self._read_head(urls[len(found)], self._block, got, patience.wait_s(patience.read_s))
                got = self._came - begin
                self._block[:got] = self._block[begin : self._came]
                found.append(head)
        except TimeoutError:
            found.clear()
            self.close()
        except (SourceUnreachableError, UnusualError, OSError):
            self.close()
        if got:  # more than was asked for
            self.close()
        return found

    def whole(self, seconds: float, is_ended: Callable[[], bool]) -> memoryview:
        """A body of `MOST_WHOLE_BYTES` at most; less where it broke off, a block took longer, or it is not wanted.

        The memory is `direct.aligned`, and holds until the next body.
        """
        assert self.socket is not None
        body = self.block
        got = self._given(body)
        while self._left:
            end, until = min(got + BLOCK_BYTES, got + self._left), time.monotonic() + seconds
            while got < end and (left_s := until - time.monotonic()) > 0:
                try:
                    count = self._received(body[got:end], left_s, is_all=True)
                except OSError:
                    return body[:got]
                if not count:
                    return body[:got]
                got += count
                self._left -= count
            if got < end or is_ended():
                break
        return body[:got]

    def head_behind(self, url: str, read_s: float) -> Head | None:
        """The second answer; None where the server closes behind the first. The body stays where it is.

        Raises
        ------
        NoAnswerError, GarbledError, OSError
            It does not come, or something else does: more of the file.
        """
        if not self._is_head_behind:
            return None
        self._is_head_behind = False
        head, begin = self._read_head(url, self._block, self._to_front(), read_s)
        if self._ahead:
            self._begin, self._end = begin, self._came
        else:  # a HEAD has no body: with what this is nobody knows where one is
            self._is_last |= begin != self._came
            self._begin = self._end = 0
        return head

    def receive(self, url: str, into: memoryview) -> int:
        """Bytes that came next of the body, into this memory: until that is full, or `GATHER_S` are over; 0 at its end.

        Only the first of them are waited for with all patience: what has come is not kept back until a silence ends.

        Raises
        ------
        SourceUnreachableError
            It broke off; all that came before has been passed on.
        """
        got = 0
        if self._broke_off is None:
            got = self._given(into) or self._more(into, self._patience.wait_s(self._patience.read_s))
            until = time.monotonic() + GATHER_S
            while 0 < got < len(into) and (left_s := until - time.monotonic()) > 0:
                count = self._more(into[got:], left_s, is_gathering=True)
                if not count:
                    break
                got += count
        if not got and self._broke_off is not None:
            error = self._broke_off
            self.close()
            raise SourceUnreachableError(f"{url}: broke off ({error})") from error
        return got

    def chunks(self, url: str) -> Iterator[memoryview]:
        """Yield the body, in views that hold until the next one is asked for.

        Raises
        ------
        SourceUnreachableError
            As `receive`.
        """
        while count := self.receive(url, self.block[:BLOCK_BYTES]):
            yield self._body[:count]

    @property
    def n_ahead(self) -> int:
        """Questions that have been sent ahead, and whose answers are still to be read."""
        return len(self._ahead)

    @property
    def has_surplus(self) -> bool:
        """Whether bytes have come behind the answer's end; those of answers that were asked for ahead are none."""
        if self._left or self.socket is None or (self._ahead and not self._is_last):
            return False
        return self._begin != self._end or has_more(self.socket)

    def close(self) -> None:
        """End the connection; the next request opens another."""
        self._begin = self._end = self._left = 0
        self._ahead.clear()
        self._is_last = self._is_head_behind = False
        self._broke_off = None
        if self.socket is not None:
            self.socket.close()
            self.socket = None

    def _once_more(self, request: bytes, url: str, patience: Patience) -> Head:
        try:
            return self._asked(request, url, patience)
        except (NoAnswerError, OSError) as error:
            self.close()
            self._fail(url, error)

    def _fail(self, url: str, error: Exception) -> NoReturn:
        raise NoAnswerError(f"{url}: no answer, {LATER} ({error})") from error

    def _make_ready(self) -> None:
        """Close a connection with an answer on it that nobody wanted whole, or behind which the server closes."""
        if self._left or self._begin != self._end or self._is_last or self._is_head_behind or self._ahead:
            self.close()

    def _request(self, method: str, url: str, headers: Mapping[str, str], *, is_looked_at_again: bool = False) -> bytes:
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        rest = f" {_target(url)} HTTP/1.1\r\n{self._common}"
        again = f"HEAD{rest}\r\n" if is_looked_at_again else ""
        return f"{method}{rest}{lines}\r\n{again}".encode("latin-1")

    def _to_front(self) -> int:
        """Move what has come and is not read yet to the block's front; how much it is."""
        got = self._end - self._begin
        self._block[:got] = self._block[self._begin : self._end]
        return got

    def _send(self, request: bytes, patience: Patience) -> None:
        if self.socket is None:
            self.socket = self._connected(patience.wait_s(patience.connect_s), patience.read_s)
            self._waits_s = 0.0
        self.socket.sendall(request)

    def _asked(self, request: bytes, url: str, patience: Patience) -> Head:
        self._send(request, patience)
        read_s = patience.wait_s(patience.read_s)
        head, self._begin = self._read_head(url, self._block, 0, read_s)
        self._end = self._came
        return head

    def _connected(self, connect_s: float, send_s: float) -> socket.socket:
        plain = socket.create_connection((self._host, self._port), timeout=connect_s)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if not self._is_tls:
            plain.settimeout(None)
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _timeval(send_s))
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
        while (end := block.find(b"\r\n\r\n", 0, min(got, MOST_HEAD_BYTES))) < 0:
            if not block.startswith(_ANSWER[:got]):
                self.close()
                raise GarbledError(f"{url}: {bytes(block[:20])!r} came in place of an answer")
            if time.monotonic() > until or got >= MOST_HEAD_BYTES:
                raise NoAnswerError(f"no end of the answer's head within {read_s:g} s and {got:,} bytes")
            left_s = max(until - time.monotonic(), LEAST_WAIT_S)
            count = self._received(memoryview(block)[got : max(2 * got, HEAD_AT_ONCE_BYTES)], left_s)
            if not count:
                raise NoAnswerError("the connection was closed without an answer")
            got += count
        head = parsed(url, bytes(memoryview(block)[:end]))
        self._came = got
        self._is_last = block.startswith(b"HTTP/1.0") or head.is_last
        return head, end + 4

    @property
    def block(self) -> memoryview:
        """Memory for a whole body; made when the first comes."""
        if not self._body:
            self._body = aligned(MOST_WHOLE_BYTES)
        return self._body

    def _given(self, into: memoryview) -> int:
        """What has come of the body with its head, copied; how much that is."""
        count = min(self._end - self._begin, self._left, len(into))
        if count:
            into[:count] = memoryview(self._block)[self._begin : self._begin + count]
            self._begin += count
            self._left -= count
        return count

    def _more(self, into: memoryview, wait_s: float, *, is_gathering: bool = False) -> int:
        """Bytes of the body that came within so many seconds; where none did, `_broke_off` says why.

        While gathering it is no failure that nothing has come: something has before.
        """
        if not self._left:
            return 0
        try:
            count = self._received(into[: self._left], wait_s, is_all=is_gathering)
        except OSError as error:
            if not (is_gathering and isinstance(error, TimeoutError)):
                self._broke_off = error
            return 0
        if not count:
            self._broke_off = EOFError(f"{self._left:,} bytes are missing")
        self._left -= count
        return count

    def _received(self, into: memoryview, wait_s: float, *, is_all: bool = False) -> int:
        """Bytes that came within so many seconds; with `is_all` the system gathers them, where it can, until all have.

        Raises
        ------
        TimeoutError
            None came.
        """
        assert self.socket is not None
        count = self._waited_for(into, wait_s, is_all=is_all)
        if count:
            self.heard_at = time.monotonic()
        return count

    def _waited_for(self, into: memoryview, wait_s: float, *, is_all: bool) -> int:
        assert self.socket is not None
        waits_s = math.ceil(10 * max(wait_s, LEAST_WAIT_S)) / 10
        if self._is_tls:
            self.socket.settimeout(waits_s)
            return self.socket.recv_into(into)
        if waits_s != self._waits_s:  # the system keeps to it by itself, and all of a gathering counts
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _timeval(waits_s))
            self._waits_s = waits_s
        try:
            return self.socket.recv_into(into, 0, socket.MSG_WAITALL if is_all else 0)
        except BlockingIOError as error:
            raise TimeoutError("timed out") from error


def _timeval(seconds: float) -> bytes:
    whole = int(seconds)
    return struct.pack("@ll", whole, round((seconds - whole) * 1e6))


@lru_cache(maxsize=8)
def verification(authorities: str) -> ssl.SSLContext:
    """Verify a server by these certificate authorities: a file, or a folder."""
    from pathlib import Path

    is_folder = Path(authorities).is_dir()
    return ssl.create_default_context(
        cafile=None if is_folder else authorities, capath=authorities if is_folder else None
    )


def _target(url: str) -> str:
    """What is asked for at the server: path and query."""
    found = after_server(url).partition("#")[0]
    return quote(found if found.startswith("/") else f"/{found}", safe=_SAFE)
