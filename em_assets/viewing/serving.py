"""Neuroglancer's Python server on this machine, with the files of committed volumes beside it.

One port for both, so that one `ssh -L` reaches them from elsewhere; a secret in every address, since everybody on the
machine can ask a port of it::

    http://127.0.0.1:PORT/v/SECRET/                       the client
    http://127.0.0.1:PORT/volumes/SECRET/<volume>/<key>   a file of its committed generation
"""

import asyncio
import re
import socket
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from em_assets.errors import EMAssetsError, SettingsError, UsageError
from em_assets.viewing.files import CommittedFiles
from em_assets.viewing.scene import Scene
from em_assets.viewing.state import state_of

if TYPE_CHECKING:
    from tornado.web import RequestHandler

THIS_MACHINE = "127.0.0.1"
READS_AT_ONCE = 8

_DRIVER = {"0.4": "zarr2", "0.5": "zarr3"}
_METADATA = (".zarray", ".zattrs", ".zgroup", "zarr.json")
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


@dataclass(frozen=True)
class Served:
    """What is being shown: `link` opens it; `viewer` is neuroglancer's own object; `urls` are those of the layers."""

    link: str
    urls: Mapping[str, str]
    viewer: Any


@contextmanager
def serving(scene: Scene, port: int = 0, say: Callable[[str], object] = str) -> Iterator[Served]:
    """Serve a scene for as long as somebody is inside; at any free port where `port` is 0.

    `say` is told, once, of each file that is lost or cannot be read.

    Raises
    ------
    SettingsError
        neuroglancer is not installed.
    UsageError
        The port is taken, or this process shows something at another one already.
    """
    server = _server(port)
    from neuroglancer import Viewer

    with ThreadPoolExecutor(READS_AT_ONCE) as executor:
        viewer = Viewer(allow_credentials=False)
        try:
            base = f"{server.get_server_url()}/volumes/{viewer.token}"
            files = {layer.name: CommittedFiles(layer.committed) for layer in scene.layers}
            volume_file, no_icon = _handlers(files, executor, say)
            routes = [(rf"/volumes/{viewer.token}/([^/]+)/(.*)", volume_file), ("/favicon.ico", no_icon)]
            server.global_server.app.add_handlers(r".*", routes)
            urls = {
                layer.name: f"{_DRIVER[layer.committed.commit.ome_zarr]}://{base}/{quote(layer.name)}/"
                for layer in scene.layers
            }
            viewer.set_state(state_of(scene, urls))
            yield Served(viewer.get_viewer_url(), urls, viewer)
        finally:
            server.stop()


def _server(port: int) -> Any:
    try:
        from neuroglancer import server
    except ImportError as error:
        raise SettingsError(f"neuroglancer is not installed ({error.name}): pip install 'em-assets[viewer]'") from error
    if server.is_server_running():
        raise UsageError("this process shows something in neuroglancer already: close that, or use another process")
    _refuse_taken(port)
    server.set_server_bind_address(THIS_MACHINE, port)
    return server


def _refuse_taken(port: int) -> None:
    """Say that a port is taken, which the server would say with a trace and an open socket."""
    with socket.socket() as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind((THIS_MACHINE, port))
        except OSError as error:
            raise UsageError(f"port {port} of {THIS_MACHINE}: {error.strerror}; name another, or none") from error


def _handlers(
    files: Mapping[str, CommittedFiles], executor: ThreadPoolExecutor, say: Callable[[str], object]
) -> "tuple[type[RequestHandler], type[RequestHandler]]":
    from tornado.web import RequestHandler

    said: set[str] = set()

    class VolumeFile(RequestHandler):
        """One file of a committed generation, or a range of it."""

        async def get(self, volume: str, key: str) -> None:
            await self._answer(volume, key)

        async def head(self, volume: str, key: str) -> None:
            await self._answer(volume, key, is_head=True)

        async def _answer(self, volume: str, key: str, *, is_head: bool = False) -> None:
            loop = asyncio.get_running_loop()
            try:
                size = await loop.run_in_executor(executor, _size, files.get(volume), key)
                if size is None:
                    self._absent(key)
                    return
                start, stop = self._asked(size)
                if start < stop and not is_head:
                    self.write(await loop.run_in_executor(executor, files[volume].read, key, start, stop - start))
                elif is_head:
                    self.set_header("Content-Length", str(stop - start))
            except EMAssetsError as error:
                # 404 would be empty space to the client: what was lost must not look like that.
                self.clear()
                self.set_status(500, "Lost")
                self._tell(str(error))

        def _asked(self, size: int) -> tuple[int, int]:
            """First byte and the one behind the last; the answer's status and headers say the same."""
            self.set_header("Content-Type", "application/octet-stream")
            self.set_header("Accept-Ranges", "bytes")
            found = _RANGE.fullmatch(self.request.headers.get("Range", ""))
            if found is None or found[1] == found[2] == "":
                return 0, size
            start = int(found[1]) if found[1] else max(size - int(found[2]), 0)
            stop = min(int(found[2]) + 1, size) if found[1] and found[2] else size
            if start >= stop:
                self.set_status(416)
                self.set_header("Content-Range", f"bytes */{size}")
                return 0, 0
            self.set_status(206)
            self.set_header("Content-Range", f"bytes {start}-{stop - 1}/{size}")
            return start, stop

        def _absent(self, key: str) -> None:
            """The client asks for metadata that may not be there, and a browser writes each 404 on its console.

            To the client a redirection to a folder of that name means the same.
            """
            if key.endswith("/"):
                return
            if key.rpartition("/")[2] in _METADATA:
                self.redirect(f"{self.request.path}/")
            else:
                self.set_status(404)

        def _tell(self, problem: str) -> None:
            if problem not in said:
                said.add(problem)
                say(problem)

    class NoIcon(RequestHandler):
        """A browser asks for an icon unasked, and writes on its console that there is none."""

        def get(self) -> None:
            self.set_status(204)

    return VolumeFile, NoIcon


def _size(files: CommittedFiles | None, key: str) -> int | None:
    return files.size_bytes(key) if files else None
