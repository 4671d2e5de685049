"""The embedded default: look-alikes of the public sources, written once and served on loopback over the real protocols.

`serving(settings)` gives the origin to fetch from, whatever it is; under `sample` its servers run as long as somebody
is inside, one a protocol, started when that protocol is first asked for. They serve the files below
`store/sample_sources`, so that a file changed there is a source that changed.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

from em_assets.errors import SettingsError
from em_assets.sample.server_ftp import FTPSource
from em_assets.sample.server_http import HTTPSource
from em_assets.sample.server_s3 import S3Source
from em_assets.sample.write import write_sources
from em_assets.settings import PUBLIC, SAMPLE, Settings
from em_assets.sources.origins import PUBLIC_ORIGIN, Origin, Protocol

__all__ = ["serving", "write_sources"]


@contextmanager
def serving(settings: Settings) -> Iterator[Origin]:
    """The origin that the settings name, with its servers where it needs any; to be entered as often as one likes.

    Raises
    ------
    SettingsError
        The sample's servers are not installed; raised when a protocol is first asked for.
    """
    if settings.origin == PUBLIC:
        yield PUBLIC_ORIGIN
    elif settings.origin != SAMPLE:
        yield Origin(settings.origin, folder=Path(settings.origin))
    else:
        root = settings.sample_sources_dir.absolute()
        write_sources(root)
        servers = _enter(root)
        try:
            yield Origin(SAMPLE, endpoints=servers.endpoint)
        finally:
            _leave(root)


class _Servers:
    """The servers of one sample folder, shared by everybody in this process who is inside `serving`."""

    def __init__(self, root: Path) -> None:
        self.n_users = 0
        self._root = root
        self._running: dict[Protocol, HTTPSource | FTPSource | S3Source] = {}
        self._starting = Lock()

    def endpoint(self, protocol: Protocol) -> str:
        with self._starting:
            if self.n_users == 0:
                raise RuntimeError("the sample's servers are stopped: an origin is good only inside `serving`")
            if protocol not in self._running:
                self._running[protocol] = self._start(protocol)
            return self._running[protocol].base_url

    def stop(self) -> None:
        for server in self._running.values():
            server.stop()

    def _start(self, protocol: Protocol) -> HTTPSource | FTPSource | S3Source:
        try:
            if protocol == "http":
                return HTTPSource(self._root / "http")
            return FTPSource(self._root / "http") if protocol == "ftp" else S3Source(self._root / "s3")
        except ImportError as error:
            raise SettingsError(
                f"the sample origin serves {protocol} with a package that is not installed ({error.name}): "
                "pip install 'em-assets[sample]', or choose another EM_ASSETS_ORIGIN"
            ) from error


_SERVERS: dict[Path, _Servers] = {}
_SERVERS_LOCK = Lock()


def _enter(root: Path) -> _Servers:
    with _SERVERS_LOCK:
        servers = _SERVERS.setdefault(root, _Servers(root))
        servers.n_users += 1
        return servers


def _leave(root: Path) -> None:
    with _SERVERS_LOCK:
        servers = _SERVERS[root]
        servers.n_users -= 1
        if servers.n_users == 0:
            del _SERVERS[root]
            servers.stop()
