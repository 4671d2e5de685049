"""What the tests of the formats share: a loopback server of a folder."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest


class QuietHandler(SimpleHTTPRequestHandler):
    """A folder's files, without a log, and 403 for what lies under `private`."""

    def log_message(self, format: str, *args: object) -> None:
        pass

    def send_head(self):
        if "/private/" in self.path:
            self.send_error(403)
            return None
        return super().send_head()


@pytest.fixture
def serve() -> Iterator[Callable[[Path], str]]:
    """Serves folders over HTTP on loopback for the length of the test: folder → URL without a trailing slash."""
    with ExitStack() as stack:
        yield lambda folder: stack.enter_context(_serving(folder))


@contextmanager
def _serving(folder: Path) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(QuietHandler, directory=str(folder))) as server:
        thread = Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
