"""An FTP server that commits one fault, over pyftpdlib."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import Any

from em_assets.errors import EMAssetsError, IncompleteError, SourceMissingError, SourceUnreachableError

FAULTS: dict[str, type[EMAssetsError] | None] = {
    "closed_and_called_complete": None,  # "226" after half the file, each time; whole by REST
    "aborted": None,  # "426" after half
    "dropped": None,  # both connections gone after half
    "too_many_users": SourceUnreachableError,
    "gone_since_listed": SourceMissingError,
    "listed_shorter": IncompleteError,
    "no_restart": None,  # broken off once, and no REST
    "silent": SourceUnreachableError,  # half, then nothing
}
CUTS = ("closed_and_called_complete", "aborted", "dropped", "silent")


@contextmanager
def faulty_ftp(root: Path, fault: str) -> Iterator[str]:
    """A running server for `root`; its URL."""
    with running(*_server(root, fault)) as url:
        yield url


@contextmanager
def running(loop: Any, server: Any) -> Iterator[str]:
    """Run a server of pyftpdlib in a thread; its URL."""
    ending = Event()

    def serve() -> None:
        while not ending.is_set():
            loop.loop(timeout=0.02, blocking=False)
        loop.close()

    thread = Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"ftp://127.0.0.1:{server.address[1]}"
    finally:
        ending.set()
        thread.join()


def _server(root: Path, fault: str) -> tuple[Any, Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        from pyftpdlib.authorizers import DummyAuthorizer
        from pyftpdlib.handlers import DTPHandler, FTPHandler
        from pyftpdlib.ioloop import IOLoop
        from pyftpdlib.servers import FTPServer

    transfers = []
    sessions = []

    class Data(DTPHandler):  # type: ignore[misc]
        is_cut = False

        def push_with_producer(self, producer: Any) -> None:
            file = getattr(producer, "file", None)
            transfers.append(file)
            self.is_cut = file is not None and (fault in CUTS or (fault == "no_restart" and len(transfers) == 1))
            if not self.is_cut:
                super().push_with_producer(producer)
                return
            if fault == "silent":
                self.push(file.read(max(Path(file.name).stat().st_size // 2 - file.tell(), 0)))
                return
            left = Path(file.name).stat().st_size - file.tell()
            self.push(file.read(max(left // 2, 50_000)))

        def close_when_done(self) -> None:
            if not self.is_cut or fault == "closed_and_called_complete":
                super().close_when_done()
            elif fault != "silent":
                self.ioloop.call_later(0.02, self.end_badly)  # what has been pushed goes out before

        def end_badly(self) -> None:
            if fault != "dropped":
                self.cmd_channel.respond("426 Connection closed; transfer aborted.")
            self.close()
            if fault == "dropped":
                self.cmd_channel.close()

    class Handler(FTPHandler):  # type: ignore[misc]
        authorizer = DummyAuthorizer()
        dtp_handler = Data
        use_sendfile = False

        def on_connect(self) -> None:
            sessions.append(self)
            if fault == "too_many_users" or (fault == "three_sessions" and len(sessions) > 3):
                self.respond("421 Too many users, please come back later.")
                self.close_when_done()

        def recv(self, size: int) -> bytes:
            data: bytes = super().recv(size)
            return data[: data.find(b"\n") + 1] if fault == "reads_one_line" else data

        def ftp_MLSD(self, path: str) -> Any:
            if fault in ("no_mlsd", "reads_one_line"):
                self.respond("502 Not implemented.")
                return None
            return super().ftp_MLSD(path)

        def ftp_RETR(self, file: str) -> Any:
            if fault == "gone_since_listed":
                self.respond("550 No such file.")
                return None
            return super().ftp_RETR(file)

        def ftp_SIZE(self, path: str) -> None:
            if fault == "listed_shorter":
                self.respond(f"213 {Path(path).stat().st_size // 2}")
                return
            super().ftp_SIZE(path)

        def ftp_REST(self, line: str) -> None:
            if fault == "no_restart":
                self.respond("502 Not implemented.")
                return
            super().ftp_REST(line)

        def log(self, *args: Any, **kwargs: Any) -> None:
            pass

        logline = logerror = log_cmd = log_transfer = log

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        Handler.authorizer.add_anonymous(str(root))
    loop = IOLoop()
    return loop, FTPServer(("127.0.0.1", 0), Handler, ioloop=loop)
