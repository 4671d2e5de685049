"""A web server whose answers a test writes down."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any


@dataclass
class Answer:
    """What is sent for one path.

    `body` may differ from what `headers` promise; so many requests as `refusals` are answered 503 before it.
    """

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    refusals: int = 0
    head_status: int | None = None


@dataclass
class Script:
    """The answers by path, and what was asked so far."""

    url: str
    answers: dict[str, Answer]
    asked: list[str]

    def says(self, path: str, body: bytes = b"", **how: Any) -> str:
        """Write an answer down; the URL that gives it."""
        self.answers[path] = Answer(body, **how)
        return self.url + path


@contextmanager
def scripted() -> Iterator[Script]:
    """A running server with an empty script: 404 for everything."""
    answers: dict[str, Answer] = {}
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self._send(with_body=False)

        def do_GET(self) -> None:
            self._send(with_body=True)

        def log_message(self, format: str, *args: Any) -> None:
            pass

        def _send(self, with_body: bool) -> None:
            asked.append(f"{self.command} {self.path}")
            answer = answers.get(self.path, Answer(status=404))
            if answer.refusals:
                answer.refusals -= 1
                answer = Answer(status=503)
            self.send_response(answer.status if with_body else answer.head_status or answer.status)
            for name, value in {"Content-Length": str(len(answer.body)), **answer.headers}.items():
                if value:  # an empty one takes the header away
                    self.send_header(name, value)
            self.end_headers()
            if with_body:
                self.wfile.write(answer.body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield Script(f"http://127.0.0.1:{server.server_address[1]}", answers, asked)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
