"""A web server of a folder that counts what is asked for, and fails as it is told."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread


@dataclass
class FolderServer:
    """The running server: GETs by path in `asked`; the next so many of each path (or of `only` one) fail."""

    url: str = ""
    asked: Counter[str] = field(default_factory=Counter)
    fault: str = ""
    times: int = 0
    only: str | None = None
    over: Event = field(default_factory=Event)

    def fail(self, fault: str, times: int) -> None:
        """A status, `closes` (no answer), `breaks off`, `stalls`; for the next GETs of each path."""
        self.asked.clear()
        self.fault, self.times = fault, times


class _Handler(SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def __init__(self, server: FolderServer, *arguments: object, directory: str) -> None:
        self.told = server
        super().__init__(*arguments, directory=directory)  # type: ignore[arg-type]

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        self.told.asked[self.path] += 1
        if self.told.asked[self.path] > self.told.times or self.told.only not in (None, self.path):
            self._send_range() if "Range" in self.headers else super().do_GET()
        elif self.told.fault.isdigit():
            self.send_error(int(self.told.fault))
        else:
            self._break()

    def end_headers(self) -> None:
        path = Path(self.translate_path(self.path))
        if path.exists():
            self.send_header("ETag", f'"{path.stat().st_mtime_ns}"')  # S3's clients insist on one
        super().end_headers()

    def _send_range(self) -> None:
        whole = Path(self.translate_path(self.path)).read_bytes()
        first, last = self.headers["Range"].removeprefix("bytes=").split("-")
        start = int(first) if first else len(whole) - int(last)
        end = int(last) + 1 if first and last else len(whole)
        self.send_response(206)
        self.send_header("Content-Length", str(end - start))
        self.send_header("Content-Range", f"bytes {start}-{end - 1}/{len(whole)}")
        self.end_headers()
        self.wfile.write(whole[start:end])

    def _break(self) -> None:
        self.close_connection = True
        if self.told.fault != "closes":
            whole = Path(self.translate_path(self.path)).read_bytes()
            self.send_response(200)
            self.send_header("Content-Length", str(len(whole)))
            self.end_headers()
            self.wfile.write(whole[:100])
            self.wfile.flush()
        if self.told.fault == "stalls":
            self.told.over.wait(60)


@contextmanager
def serving(folder: Path) -> Iterator[FolderServer]:
    """The server of a folder, for as long as it is needed."""
    told = FolderServer()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, told, directory=str(folder))) as server:
        told.url = f"http://127.0.0.1:{server.server_port}"
        thread = Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield told
        finally:
            told.over.set()
            server.shutdown()
            thread.join()
