"""An FTP server on loopback for a folder of hosts: anonymous, read-only, with MLSD, SIZE, MDTM and REST."""

import warnings
from pathlib import Path
from threading import Event, Thread
from typing import Any


class FTPSource:
    """A running server for the files below `root`."""

    def __init__(self, root: Path) -> None:
        self._loop, self._server = _server(root)
        self._stopping = Event()
        self._thread = Thread(target=self._serve, name="sample-ftp", daemon=True)
        self._thread.start()

    @property
    def base_url(self) -> str:
        """Where the folder of hosts begins, without a slash at its end."""
        return f"ftp://127.0.0.1:{self._server.address[1]}"

    def stop(self) -> None:
        """Stop listening and close what is open."""
        self._stopping.set()
        self._thread.join()

    def _serve(self) -> None:
        while not self._stopping.is_set():
            self._loop.loop(timeout=0.05, blocking=False)
        self._loop.close()  # in the thread that owns the sockets


def _server(root: Path) -> tuple[Any, Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # it imports asyncore, which Python 3.12 drops
        from pyftpdlib.authorizers import DummyAuthorizer
        from pyftpdlib.handlers import FTPHandler
        from pyftpdlib.ioloop import IOLoop
        from pyftpdlib.servers import FTPServer

    class Handler(FTPHandler):  # type: ignore[misc]  # pyftpdlib ships no types
        authorizer = DummyAuthorizer()

        def log(self, *args: Any, **kwargs: Any) -> None:
            """Quiet: progress belongs to those who fetch."""

        logline = logerror = log_cmd = log_transfer = log

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # "anonymous" with rights to write; it has none here
        Handler.authorizer.add_anonymous(str(root))
    loop = IOLoop()
    return loop, FTPServer(("127.0.0.1", 0), Handler, ioloop=loop)
