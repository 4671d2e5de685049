"""A web server that commits one named fault a path: `/<fault>/data.tif`. Each docstring says what must come of it."""

import gzip
import hashlib
import re
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from em_assets.errors import EMAssetsError, IncompleteError, PlanTooLargeError, SourceError, SourceUnreachableError

PAYLOAD = b"II*\0" + b"".join(hashlib.sha256(number.to_bytes(4, "big")).digest() for number in range(8000))
OTHER = bytes(byte ^ 0x5A for byte in PAYLOAD)
HALF = len(PAYLOAD) // 2
WHEN = "Wed, 01 Jan 2025 00:00:00 GMT"


def etag(content: bytes) -> str:
    """A strong validator that is no checksum."""
    return f'"v-{hashlib.sha1(content).hexdigest()[:10]}"'


@dataclass
class Exchange:
    """One request, and the means to answer it badly; `number` counts the GETs of a path."""

    connection: socket.socket
    method: str
    headers: dict[str, str]
    number: int
    sent: Counter[str]
    path: str

    def head(self, status: int, **headers: object) -> None:
        """Send a status and headers; `_` in their names is a hyphen."""
        lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
        self.connection.sendall(f"HTTP/1.1 {status} Said\r\n{lines}\r\n".encode())

    def body(self, content: bytes) -> None:
        """Send bytes and count them."""
        if self.method == "GET":
            self.connection.sendall(content)
            self.sent[self.path] += len(content)

    def plain(self, content: bytes, **headers: object) -> None:
        """Send everything, whatever was asked for."""
        self.head(200, **{"Content_Length": len(content), **headers})
        self.body(content)

    def ranged(self, content: bytes, most: int | None = None, **more: object) -> None:
        """Answer as one should, by Range and If-Range; the body ends after `most` bytes."""
        headers = {"ETag": etag(content), "Last_Modified": WHEN, "Accept_Ranges": "bytes", **more}
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("range", ""))
        start = int(asked[1]) if asked and self.headers.get("if-range", headers["ETag"]) == headers["ETag"] else 0
        rest = content[start:]
        span = {"Content_Range": f"bytes {start}-{len(content) - 1}/{len(content)}"} if start else {}
        self.head(206 if start else 200, Content_Length=len(rest), **headers, **span)
        self.body(rest[:most])

    def reset(self) -> None:
        """End the connection with a TCP reset."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    @property
    def start(self) -> int:
        """First byte that is asked for."""
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("range", ""))
        return int(asked[1]) if asked else 0


@dataclass
class FaultyWeb:
    """The running server: `asked` holds method, path and headers of every request, `sent` the bytes by path."""

    url: str
    asked: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    sent: Counter[str] = field(default_factory=Counter)

    def gets(self, fault: str) -> list[dict[str, str]]:
        """Headers of the GETs of one fault."""
        return [headers for method, path, headers in self.asked if method == "GET" and path.startswith(f"/{fault}/")]


Fault = Callable[[Exchange, threading.Event], bool | None]
"""Answers one request; True where the connection stays open for the next."""


@contextmanager
def faulty_web(faults: dict[str, Fault]) -> Iterator[FaultyWeb]:
    """A server for these faults on loopback."""
    ending = threading.Event()
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)
    web = FaultyWeb(f"http://127.0.0.1:{listener.getsockname()[1]}")
    counts: Counter[str] = Counter()

    def serve(connection: socket.socket) -> None:
        with connection, suppress(OSError), connection.makefile("rb") as requests:
            while line := requests.readline():
                method, path, _ = line.decode().split(" ")
                headers = {}
                while (line := requests.readline()).strip():
                    name, _, value = line.decode().partition(":")
                    headers[name.lower()] = value.strip()
                web.asked.append((method, path, headers))
                exchange = Exchange(connection, method, headers, counts[path], web.sent, path)
                counts[path] += method == "GET"
                if not faults[path.split("/")[1]](exchange, ending):
                    return

    def accept() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=serve, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield web
    finally:
        ending.set()
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def early_end(x: Exchange, _: threading.Event) -> None:
    """Half of what is asked for, each time: never done, since half of one byte is none."""
    x.ranged(PAYLOAD, (len(PAYLOAD) - x.start) // 2)


def reset(x: Exchange, _: threading.Event) -> None:
    """As above, with a TCP reset."""
    early_end(x, _)
    x.reset()


def flaky(x: Exchange, _: threading.Event) -> None:
    """50 kB a connection: whole by resuming, hardly a byte twice."""
    x.ranged(PAYLOAD, 50_000)


def flaky_by_time(x: Exchange, _: threading.Event) -> None:
    """As above, where a time is the only validator."""
    headers = {"Last_Modified": WHEN, "Date": "Fri, 10 Jan 2025 00:00:00 GMT"}
    start = x.start if x.headers.get("if-range") == WHEN else 0
    span = {"Content_Range": f"bytes {start}-{len(PAYLOAD) - 1}/{len(PAYLOAD)}"} if start else {}
    x.head(206 if start else 200, Content_Length=len(PAYLOAD) - start, **headers, **span)
    x.body(PAYLOAD[start : start + 50_000])


def weak_etag(x: Exchange, _: threading.Event) -> None:
    """Broken off once under an ETag that If-Range may not name: from the start again."""
    x.head(200, Content_Length=len(PAYLOAD), ETag='W/"1"')
    x.body(PAYLOAD[: HALF if x.number == 0 else None])


def chunked_cut(x: Exchange, _: threading.Event) -> None:
    """Chunked, without the last chunk."""
    x.head(200, Transfer_Encoding="chunked")
    x.body(b"%x\r\n" % HALF + PAYLOAD[:HALF] + b"\r\n")


def undeclared_cut(x: Exchange, _: threading.Event) -> None:
    """No length, closed half-way: nobody could tell."""
    x.head(200, Connection="close")
    x.body(PAYLOAD[:HALF])


def range_ignored(x: Exchange, _: threading.Event) -> None:
    """Broken off once; the resume gets everything, with status 200."""
    x.head(200, Content_Length=len(PAYLOAD), ETag=etag(PAYLOAD))
    x.body(PAYLOAD[: HALF if x.number == 0 else None])


def range_early(x: Exchange, _: threading.Event) -> None:
    """The resume begins 1000 bytes too early, and says so."""
    if x.start == 0:
        return x.ranged(PAYLOAD, HALF if x.number == 0 else None)
    begin = x.start - 1000
    x.head(
        206,
        Content_Length=len(PAYLOAD) - begin,
        ETag=etag(PAYLOAD),
        Content_Range=f"bytes {begin}-{len(PAYLOAD) - 1}/{len(PAYLOAD)}",
    )
    return x.body(PAYLOAD[begin:])


def range_unsaid(x: Exchange, _: threading.Event) -> None:
    """The resume gets a 206 that does not say which part it is."""
    if x.start == 0:
        return x.ranged(PAYLOAD, HALF if x.number == 0 else None)
    x.head(206, Content_Length=len(PAYLOAD) - x.start, ETag=etag(PAYLOAD))
    return x.body(OTHER[x.start :])


def range_total(x: Exchange, _: threading.Event) -> None:
    """The resume's total is another: another file."""
    if x.start == 0:
        return x.ranged(PAYLOAD, HALF if x.number == 0 else None)
    x.head(206, Content_Length=9, Content_Range=f"bytes {x.start}-{x.start + 8}/{x.start + 9}")
    return x.body(OTHER[:9])


def range_short(x: Exchange, _: threading.Event) -> bool:
    """Parts that are shorter than asked for, as RFC 9110 allows."""
    if x.start == 0:
        x.ranged(PAYLOAD, 60_000)
        return False
    end = min(x.start + 60_000, len(PAYLOAD))
    x.head(
        206,
        Content_Length=end - x.start,
        ETag=etag(PAYLOAD),
        Content_Range=f"bytes {x.start}-{end - 1}/{len(PAYLOAD)}",
    )
    x.body(PAYLOAD[x.start : end])
    return True


def range_refused(x: Exchange, _: threading.Event) -> None:
    """416 for any range: from the start again."""
    if x.start == 0:
        return x.ranged(PAYLOAD, HALF if x.number == 0 else None)
    return x.head(416, Content_Length=0, Content_Range=f"bytes */{len(PAYLOAD)}")


def changed_in_between(x: Exchange, _: threading.Event) -> None:
    """Another version of the same length after the first half: never a mixture."""
    x.ranged(PAYLOAD if x.number == 0 else OTHER, HALF if x.number == 0 else None)


def changed_unasked(x: Exchange, _: threading.Event) -> None:
    """If-Range is not heeded: the rest of another version, under its own ETag. From the start again, then."""
    if x.start == 0:
        return x.ranged(PAYLOAD, HALF if x.number == 0 else None)
    x.head(
        206,
        Content_Length=len(OTHER) - x.start,
        ETag=etag(OTHER),
        Content_Range=f"bytes {x.start}-{len(OTHER) - 1}/{len(OTHER)}",
    )
    return x.body(OTHER[x.start :])


def changed_while_sent(x: Exchange, _: threading.Event) -> bool:
    """One answer, half of it of another version, as when a file is written while it is sent: only a HEAD tells."""
    x.plain(PAYLOAD[:HALF] + OTHER[HALF:], ETag=etag(PAYLOAD if x.method == "GET" or x.number == 0 else OTHER))
    return True


def told_to_wait(x: Exchange, _: threading.Event) -> bool:
    """429 twice, with a Retry-After of an hour: capped."""
    x.head(429, Content_Length=0, Retry_After=3600) if x.number < 2 and x.method == "GET" else x.ranged(PAYLOAD)
    return True


def busy_twice(x: Exchange, _: threading.Event) -> bool:
    """503 twice, then the file."""
    x.head(503, Content_Length=0) if x.number < 2 and x.method == "GET" else x.ranged(PAYLOAD)
    return True


def always_busy(x: Exchange, _: threading.Event) -> None:
    """503 for ever."""
    x.plain(b"<html>maintenance</html>") if x.method == "HEAD" else x.head(503, Content_Length=0)


def length_too_small(x: Exchange, _: threading.Event) -> bool:
    """More bytes than its Content-Length says: the end would be missing."""
    x.head(200, Content_Length=len(PAYLOAD) - 1000)
    x.body(PAYLOAD)
    return True


def length_too_large(x: Exchange, _: threading.Event) -> None:
    """Fewer bytes than its Content-Length says."""
    x.head(200, Content_Length=len(PAYLOAD) + 1000)
    x.body(PAYLOAD)


def trickle(x: Exchange, ending: threading.Event) -> None:
    """A byte now and then: no read times out, and it would last for ever."""
    x.head(200, Content_Length=len(PAYLOAD), ETag=etag(PAYLOAD))
    while x.method == "GET" and not ending.wait(0.02):
        x.body(b"I")


def silence(x: Exchange, ending: threading.Event) -> None:
    """Half of it, then nothing on an open connection."""
    x.head(200, Content_Length=len(PAYLOAD))
    x.body(PAYLOAD[:HALF])
    if x.method == "GET":
        ending.wait(100)


def no_answer(x: Exchange, ending: threading.Event) -> bool:
    """HEAD is answered, GET never."""
    if x.method == "GET":
        ending.wait(100)
    x.head(200, Content_Length=len(PAYLOAD))
    return True


def wrong_bit(x: Exchange, _: threading.Event) -> bool:
    """The right length, one bit wrong; the ETag is the MD5 of the right bytes."""
    x.plain(bytes([*PAYLOAD[:HALF], PAYLOAD[HALF] ^ 1]) + PAYLOAD[HALF + 1 :], ETag=f'"{MD5}"')
    return True


def wrong_bit_once(x: Exchange, _: threading.Event) -> bool:
    """As above, but only on the way, and only once."""
    if x.number:
        x.plain(PAYLOAD, ETag=f'"{MD5}"')
        return True
    return wrong_bit(x, _)


def web_page(x: Exchange, _: threading.Event) -> bool:
    """A page in place of the file, with status 200 and its own right length."""
    x.plain(b"<!DOCTYPE html><html><body>Please log in</body></html>", Content_Type="text/html")
    return True


def compressed(x: Exchange, _: threading.Event) -> bool:
    """A content coding that nobody asked for: neither length nor bytes are the file's."""
    x.plain(gzip.compress(PAYLOAD, 1), Content_Encoding="gzip")
    return True


def bomb(x: Exchange, _: threading.Event) -> bool:
    """A small body that would inflate to 50 MB."""
    x.plain(gzip.compress(bytes(50_000_000), 1), Content_Encoding="gzip")
    return True


def endless(x: Exchange, ending: threading.Event) -> None:
    """Chunks without end: `max_bytes` ends it."""
    x.head(200, Transfer_Encoding="chunked")
    while x.method == "GET" and not ending.is_set():
        x.body(b"10000\r\n" + bytes(65536) + b"\r\n")


def redirected_in_circles(x: Exchange, _: threading.Event) -> bool:
    """It sends back to itself."""
    x.head(302, Content_Length=0, Location=x.path)
    return True


def redirected_to_a_file(x: Exchange, _: threading.Event) -> bool:
    """It sends to a file of this machine."""
    x.head(302, Content_Length=0, Location="file:///etc/passwd")
    return True


def head_refused(x: Exchange, _: threading.Event) -> bool:
    """HEAD is not allowed."""
    x.head(405, Content_Length=0) if x.method == "HEAD" else x.ranged(PAYLOAD)
    return True


def named_outside(x: Exchange, _: threading.Event) -> bool:
    """It proposes a name that leads out of the folder."""
    x.plain(PAYLOAD, Content_Disposition='attachment; filename="../../../outside.tif"')
    return True


MD5 = hashlib.md5(PAYLOAD).hexdigest()

FAULTS: dict[Fault, type[EMAssetsError] | None] = {
    early_end: SourceUnreachableError,
    reset: SourceUnreachableError,
    flaky: None,
    flaky_by_time: None,
    weak_etag: None,
    chunked_cut: SourceUnreachableError,
    undeclared_cut: IncompleteError,
    range_ignored: None,
    range_early: None,
    range_unsaid: None,
    range_total: None,
    range_short: None,
    range_refused: None,
    changed_in_between: IncompleteError,
    changed_unasked: None,
    changed_while_sent: IncompleteError,
    told_to_wait: None,
    busy_twice: None,
    always_busy: SourceUnreachableError,
    length_too_small: IncompleteError,
    length_too_large: SourceUnreachableError,
    trickle: SourceUnreachableError,
    silence: SourceUnreachableError,
    no_answer: SourceUnreachableError,
    wrong_bit: IncompleteError,
    wrong_bit_once: None,
    web_page: IncompleteError,
    compressed: SourceError,
    bomb: SourceError,
    endless: PlanTooLargeError,
    redirected_in_circles: SourceError,
    redirected_to_a_file: SourceError,
    head_refused: None,
    named_outside: None,
}
"""Every fault, and the error that it must end in; None where the bytes must be exact all the same."""

BY_NAME = {fault.__name__: fault for fault in FAULTS}  # type: ignore[attr-defined]
