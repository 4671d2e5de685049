"""Sessions of `requests` whose answers' heads end in time.

`requests` limits each read alone: a head that comes byte by byte lasts as long as the server likes.
"""

import socket
from contextlib import suppress
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.response import HTTPResponse

from em_assets.sources.wire import in_time


class _Plain(HTTPConnection):
    def getresponse(self) -> HTTPResponse:  # type: ignore[override]  # as urllib3 itself does
        with in_time(self.timeout, lambda: _end(self.sock)):
            return super().getresponse()


class _Secure(HTTPSConnection):
    def getresponse(self) -> HTTPResponse:  # type: ignore[override]  # as urllib3 itself does
        with in_time(self.timeout, lambda: _end(self.sock)):
            return super().getresponse()


class _PlainPool(HTTPConnectionPool):
    ConnectionCls = _Plain


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _Secure


class _Adapter(HTTPAdapter):
    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _PlainPool, "https": _SecurePool}

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(*args, **kwargs)
        manager.pool_classes_by_scheme = {"http": _PlainPool, "https": _SecurePool}
        return manager


def new_session() -> requests.Session:
    """A session whose reading time-out is that of the whole head, too."""
    session = requests.Session()
    for scheme in ("http://", "https://"):
        session.mount(scheme, _Adapter())
    return session


def _end(connection: Any) -> None:
    """End a connection under whoever reads from it; TLS is not asked, which would want the reader's lock."""
    with suppress(OSError, TypeError):
        socket.socket.shutdown(getattr(connection, "socket", connection), socket.SHUT_RDWR)
