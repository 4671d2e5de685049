"""A web server on loopback for a folder of hosts: `http://127.0.0.1:PORT/<host>/<path>`.

It does what archives do and readers rely on: ranges with If-Range, HEAD, ETag and Last-Modified, index pages for
folders, percent-encoded names, connections that stay open. Several ranges at once are answered by the whole file.
"""

import email.utils
import hashlib
import html
import os
import re
import socket
import sys
import time
from contextlib import suppress
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, BinaryIO, NamedTuple
from urllib.parse import quote, unquote, urlsplit

_INDEX_DOCUMENT = "index.json"
_NO_INDEX = ("storage.googleapis.com",)  # object stores answer 404 where a web server shows a folder
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")
_BLOCK = 1 << 20


_md5 = partial(hashlib.md5, usedforsecurity=False)


class Span(NamedTuple):
    """First byte and number of bytes."""

    start: int
    size: int


class HTTPSource:
    """A running server for the files below `root`."""

    def __init__(self, root: Path) -> None:
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.root = root.resolve()
        self._thread = Thread(target=self._server.serve_forever, args=(0.05,), name="sample-http", daemon=True)
        self._thread.start()

    @property
    def base_url(self) -> str:
        """Where the folder of hosts begins, without a slash at its end."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def stop(self) -> None:
        """Stop listening and close what is open."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        self._server.close_connections()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128  # readers of chunks open many connections at once
    root: Path

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._connections: set[socket.socket] = set()
        self._etags: dict[Path, tuple[tuple[int, ...], str]] = {}

    def process_request(self, request: Any, client_address: Any) -> None:
        self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that hang up in the middle of a body: that is theirs to do."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)

    def close_connections(self) -> None:
        """End the connections that clients keep open, so that none is answered by a server that is gone."""
        for connection in list(self._connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def etag(self, path: Path, status: os.stat_result) -> str:
        """The content's MD5, as object stores do, so that it survives restarts and a change that is taken back."""
        stamp = (status.st_size, status.st_mtime_ns, status.st_ctime_ns)
        known = self._etags.get(path)
        if known is None or known[0] != stamp:
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, _md5).hexdigest()
            known = self._etags[path] = (stamp, f'"{digest}"')
        return known[1]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "em-assets-sample"
    timeout = 60
    disable_nagle_algorithm = True  # else a body waits 40 ms behind its headers
    server: _Server

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet: progress belongs to those who fetch."""

    def _answer(self, with_body: bool) -> None:
        url_path = unquote(urlsplit(self.path).path)
        path = _below(self.server.root, url_path)
        if path is not None and path.is_dir():
            if not url_path.endswith("/"):
                self._redirect(quote(url_path) + "/")
                return
            if not (path / _INDEX_DOCUMENT).exists():
                self._send_index(path, url_path, with_body)
                return
            path = path / _INDEX_DOCUMENT
        elif url_path.endswith("/"):
            path = None
        if path is None or not path.is_file():
            self._send_page(HTTPStatus.NOT_FOUND, "The requested URL was not found on this server.", with_body)
            return
        with path.open("rb") as file:
            self._send_file(path, file, with_body)

    def _send_file(self, path: Path, file: BinaryIO, with_body: bool) -> None:
        status = path.stat()
        etag = self.server.etag(path, status)
        modified = email.utils.formatdate(status.st_mtime, usegmt=True)
        if self.headers.get("If-None-Match") == etag:
            self._send_head(HTTPStatus.NOT_MODIFIED, {"ETag": etag})
            return
        span = None
        if self.headers.get("If-Range") in (None, etag, modified):
            span = requested_span(self.headers.get("Range"), status.st_size)
        if span is not None and span.size <= 0:
            outside = {"Content-Range": f"bytes */{status.st_size}", "Content-Length": "0"}
            self._send_head(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, outside)
            return
        start, size = span or Span(0, status.st_size)
        headers = {
            "Content-Length": str(size),
            "Content-Type": _content_type(path),
            "ETag": etag,
            "Last-Modified": modified,
            "Accept-Ranges": "bytes",
        }
        if span is not None:
            headers["Content-Range"] = f"bytes {start}-{start + size - 1}/{status.st_size}"
        self._send_head(HTTPStatus.OK if span is None else HTTPStatus.PARTIAL_CONTENT, headers)
        if with_body:
            self._copy(file, start, size)

    def _send_head(self, status: HTTPStatus, headers: dict[str, str]) -> None:
        """Status and headers; a body may follow."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def _copy(self, file: BinaryIO, start: int, size: int) -> None:
        file.seek(start)
        while size > 0:
            block = file.read(min(_BLOCK, size))
            if not block:  # cut short meanwhile: the promised length cannot be kept
                self.close_connection = True
                return
            self.wfile.write(block)
            size -= len(block)

    def _send_index(self, folder: Path, url_path: str, with_body: bool) -> None:
        if url_path.strip("/").split("/")[0] in _NO_INDEX:
            self._send_page(HTTPStatus.NOT_FOUND, "NoSuchKey", with_body)
            return
        self._send_html(HTTPStatus.OK, index_page(folder, url_path), with_body)

    def _send_page(self, status: HTTPStatus, text: str, with_body: bool) -> None:
        page = f"<html><head><title>{status.value} {status.phrase}</title></head><body><p>{text}</p></body></html>\n"
        self._send_html(status, page, with_body)

    def _send_html(self, status: HTTPStatus, page: str, with_body: bool) -> None:
        body = page.encode()
        self._send_head(status, {"Content-Type": "text/html;charset=UTF-8", "Content-Length": str(len(body))})
        if with_body:
            self.wfile.write(body)

    def _redirect(self, location: str) -> None:
        self._send_head(HTTPStatus.MOVED_PERMANENTLY, {"Location": location, "Content-Length": "0"})


def requested_span(header: str | None, size: int) -> Span | None:
    """What a Range header asks of a file; None for all of it, a span of no bytes where it lies outside."""
    match = _RANGE.fullmatch(header.strip()) if header else None
    if match is None or match.groups() == ("", ""):
        return None
    first, last = match.groups()
    if not first:
        wanted = min(int(last), size)
        return Span(size - wanted, wanted)
    end = min(int(last), size - 1) if last else size - 1
    if last and int(last) < int(first):
        return None  # not a range at all (RFC 9110, 14.1.2): ignored
    return Span(int(first), max(0, end - int(first) + 1))


def index_page(folder: Path, url_path: str) -> str:
    """A folder as Apache shows it: a row a name, sizes rounded, and links that sort the table."""
    title = html.escape(f"Index of {url_path.rstrip('/')}")
    rows = ['<tr><td><a href="../">Parent Directory</a></td><td>&nbsp;</td><td align="right">  - </td></tr>']
    for entry in sorted(folder.iterdir()):
        name = entry.name + ("/" if entry.is_dir() else "")
        status = entry.stat()
        when = time.strftime("%Y-%m-%d %H:%M", time.gmtime(status.st_mtime))
        size = "  - " if entry.is_dir() else _rounded(status.st_size)
        link = f'<a href="{quote(name)}">{html.escape(name)}</a>'
        rows.append(f'<tr><td>{link}</td><td align="right">{when}  </td><td align="right">{size}</td></tr>')
    head = '<tr><th><a href="?C=N;O=D">Name</a></th><th><a href="?C=M;O=A">Last modified</a></th>'
    head += '<th><a href="?C=S;O=A">Size</a></th></tr>'
    body = "\n".join([head, *rows])
    return f"<html><head><title>{title}</title></head><body><h1>{title}</h1>\n<table>\n{body}\n</table></body></html>\n"


def _below(root: Path, url_path: str) -> Path | None:
    """The path of a URL below the root; None for one that leads out of it."""
    if "\0" in url_path:
        return None
    path = (root / url_path.lstrip("/")).resolve()
    return path if path.is_relative_to(root) else None


def _content_type(path: Path) -> str:
    return {".json": "application/json", ".tif": "image/tiff", ".xml": "text/xml"}.get(
        path.suffix, "application/octet-stream"
    )


def _rounded(size: int) -> str:
    """A size as Apache rounds it: 512, 1.2K, 29M."""
    value, unit = float(size), ""
    for larger in ("K", "M", "G"):
        if value < 1000:
            break
        value, unit = value / 1024, larger
    if not unit:
        return str(size)
    return f"{value:.1f}{unit}" if value < 10 else f"{value:.0f}{unit}"
