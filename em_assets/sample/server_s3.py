"""An S3 server on loopback (moto) with a bucket for every folder below a root, readable without credentials."""

from http.client import HTTPConnection
from pathlib import Path
from threading import Lock, Thread
from typing import Any
from urllib.parse import quote

from em_assets.errors import StoreError

_PUBLIC_READ = {"x-amz-acl": "public-read"}  # without it moto answers 403 to an anonymous GET

_SHOWING = Lock()
_shown: "S3Source | None" = None
"""Whose objects moto holds: it has one set of buckets for the whole process."""


class S3Source:
    """A running server with the objects below `root`, `<bucket>/<key>`.

    Two stores' samples can be served by one process in turn, not at the same time: asking for one's `base_url` puts
    its objects in the place of the other's.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._held: dict[str, tuple[int, ...]] = {}
        self._server = _server()
        self._thread = Thread(target=self._server.serve_forever, args=(0.05,), name="sample-s3", daemon=True)
        self._thread.start()

    @property
    def base_url(self) -> str:
        """The endpoint, with the objects as they lie on the disk now."""
        global _shown
        with _SHOWING:
            if _shown is not self:
                self._forget_all()
                _shown = self
            self._sync()
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def stop(self) -> None:
        """Stop listening and forget the objects."""
        global _shown
        with _SHOWING:
            if _shown is self:
                self._forget_all()
                _shown = None
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _forget_all(self) -> None:
        connection = self._connection()
        _request(connection, "POST", "moto-api/reset", b"")
        connection.close()
        self._held = {}

    def _sync(self) -> None:
        """Put what is new or changed on the disk, delete what is gone from it."""
        found = _stamps(self._root)
        connection = self._connection()
        buckets = {name.split("/", 1)[0] for name in found} - {name.split("/", 1)[0] for name in self._held}
        for bucket in sorted(buckets):
            _request(connection, "PUT", bucket, b"")
        for name, stamp in found.items():
            if self._held.get(name) != stamp:
                _request(connection, "PUT", name, (self._root / name).read_bytes())
        for name in self._held.keys() - found.keys():
            _request(connection, "DELETE", name, None)
        connection.close()
        self._held = found

    def _connection(self) -> HTTPConnection:
        return HTTPConnection("127.0.0.1", self._server.server_address[1])


def _stamps(root: Path) -> dict[str, tuple[int, ...]]:
    """What tells a changed file from an unchanged one, by `<bucket>/<key>`."""
    stamps: dict[str, tuple[int, ...]] = {}
    for path in sorted(root.rglob("*")):
        if path.is_file():
            status = path.stat()
            name = path.relative_to(root).as_posix()
            stamps[name] = (status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    return stamps


def _request(connection: HTTPConnection, method: str, name: str, body: bytes | None) -> None:
    connection.request(method, "/" + quote(name), body=body, headers=_PUBLIC_READ if body is not None else {})
    answer = connection.getresponse()
    answer.read()
    if answer.status >= 300:
        raise StoreError(f"s3://{name}: the sample's own server answered {answer.status} to {method}")


def _server() -> Any:
    from moto.moto_server.werkzeug_app import (
        DomainDispatcherApplication,
        MotoRequestHandler,
        create_backend_app,
    )
    from werkzeug.serving import make_server

    class Handler(MotoRequestHandler):
        def log(self, type: str, message: str, *args: Any) -> None:
            """Quiet: progress belongs to those who fetch."""

    application = DomainDispatcherApplication(create_backend_app)
    return make_server("127.0.0.1", 0, application, threaded=True, request_handler=Handler)
