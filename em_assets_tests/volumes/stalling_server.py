"""A server before an S3 server: it passes on what it is asked, and holds back one request until it is told to go on."""

import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPResponse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

PATIENCE_S = 60
POLL_S = 0.01
"""How soon it notices that it is to end."""


class StallingServer(ThreadingHTTPServer):
    """Holds back the `held_at`th request about something, counted from 0; `is_held` says that it has come.

    Counted are those whose address has one of the words of `about`.
    """

    daemon_threads = True

    def __init__(self, origin: str, held_at: int, about: Collection[str]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.origin, self._about = urlsplit(origin).netloc, about
        self.is_held, self.go_on = threading.Event(), threading.Event()
        self._held_at, self._n_asked, self._lock = held_at, 0, threading.Lock()

    @property
    def url(self) -> str:
        """What to ask instead of the server behind."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def pass_or_hold(self, address: str) -> None:
        """Count a request, and wait where it is the one that is held back."""
        if not any(word in address for word in self._about):
            return
        with self._lock:
            number, self._n_asked = self._n_asked, self._n_asked + 1
        if number == self._held_at:
            self.is_held.set()
            assert self.go_on.wait(PATIENCE_S)


@contextmanager
def stalling(origin: str, held_at: int, about: Collection[str]) -> Iterator[StallingServer]:
    """The server, at work."""
    with StallingServer(origin, held_at, about) as server:
        thread = threading.Thread(target=server.serve_forever, args=(POLL_S,))
        thread.start()
        try:
            yield server
        finally:
            server.go_on.set()
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: StallingServer

    def _pass_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.pass_or_hold(self.path)
        connection = HTTPConnection(self.server.origin, timeout=PATIENCE_S)
        try:
            connection.request(self.command, self.path, body, dict(self.headers.items()))
            self._answer(connection.getresponse())
        finally:
            connection.close()

    def _answer(self, found: HTTPResponse) -> None:
        body = found.read()
        self.send_response_only(found.status, found.reason)
        for name, value in found.getheaders():
            if name.lower() not in ("connection", "transfer-encoding", "content-length"):
                self.send_header(name, value)
        length = found.getheader("Content-Length") if self.command == "HEAD" else str(len(body))
        self.send_header("Content-Length", length or "0")
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _pass_on

    def log_message(self, *_: object) -> None:
        pass
