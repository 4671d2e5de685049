"""Neuroglancer's Python server on this machine, with the files of committed volumes beside it.

One port for both, so that one `ssh -L` reaches them from elsewhere; a secret in every address, since everybody on the
machine can ask a port of it::

    http://127.0.0.1:PORT/v/SECRET/                       the client
    http://127.0.0.1:PORT/volumes/SECRET/<volume>/<key>   a file of its committed generation
"""

import socket
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from em_assets.errors import SettingsError, UsageError
from em_assets.viewing.files import CommittedFiles
from em_assets.viewing.scene import Scene
from em_assets.viewing.state import state_of

THIS_MACHINE = "127.0.0.1"
READS_AT_ONCE = 8

_DRIVER = {"0.4": "zarr2", "0.5": "zarr3"}


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

    from em_assets.viewing.handlers import NoIcon, ServedFiles, VolumeFile

    with ThreadPoolExecutor(READS_AT_ONCE) as executor:
        viewer = Viewer(allow_credentials=False)
        try:
            base = f"{server.get_server_url()}/volumes/{viewer.token}"
            files = {layer.name: CommittedFiles(layer.committed) for layer in scene.layers}
            routes = [
                (rf"/volumes/{viewer.token}/([^/]+)/(.*)", VolumeFile, {"served": ServedFiles(files, executor, say)}),
                ("/favicon.ico", NoIcon),
            ]
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
