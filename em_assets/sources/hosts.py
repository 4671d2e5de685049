"""How many connections to one host at a time: over all threads and processes that share a store.

::

    raw/.hosts/<host>/00.lock …   one file a connection that is allowed; whoever holds its lock has the connection

The locks are the system's: they end with the process that holds them, however that dies.
"""

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import get_ident
from urllib.parse import urlsplit

from em_assets.errors import StoreError
from em_assets.sources.origins import url_scheme

FOLDER = ".hosts"
POLL_S = 0.05
SAID_EVERY_S = 60.0

AT_ONCE = {"s3": 32, "gs": 32, "ftp": 2, "file": 2}
"""Connections by scheme: object stores are made for many, archives ask for few, a disk is as quick alone."""

AT_ONCE_ELSEWHERE = 4
POLITE_HOSTS = ("ftp.ebi.ac.uk", "www.ebi.ac.uk")
AT_ONCE_POLITE = 3


@dataclass(frozen=True)
class Host:
    """A server and how many connections it gets.

    Attributes
    ----------
    folder
        Where the locks are; None where nobody else is asked, and nobody else may be asking.
    log
        Told when it must wait for long.
    is_ended
        Whether to wait no longer.
    """

    name: str
    limit: int
    folder: Path | None = None
    log: Callable[[str], object] = str
    is_ended: Callable[[], bool] = bool

    @contextmanager
    def line(self) -> Iterator[None]:
        """Hold one connection; wait until one is free."""
        if self.folder is None:
            yield
            return
        began_at = said_at = time.monotonic()
        while (descriptor := self._taken()) is None and not self.is_ended():
            time.sleep(POLL_S)
            if time.monotonic() - said_at > SAID_EVERY_S:
                said_at = time.monotonic()
                self.log(f"{self.name}: all {self.limit} connections in use for {said_at - began_at:.0f} s; waiting")
        try:
            yield
        finally:
            if descriptor is not None:
                os.close(descriptor)

    @contextmanager
    def spare_lines(self, most: int) -> Iterator[int]:
        """Hold as many more connections as are free now, up to `most`; the number of them."""
        if self.folder is None:
            yield min(most, self.limit - 1)
            return
        with ExitStack() as held:
            count = 0
            while count < most and (descriptor := self._taken()) is not None:
                held.callback(os.close, descriptor)
                count += 1
            yield count

    def _taken(self) -> int | None:
        """Lock any file that nobody holds; None where all are held."""
        assert self.folder is not None
        for number in range(self.limit):
            path = self.folder / f"{(number + get_ident() // 4096) % self.limit:02}.lock"
            descriptor = self._opened(path)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(descriptor)
            except OSError as error:
                os.close(descriptor)
                raise StoreError(
                    f"{path}: cannot be locked ({error.strerror}), and without locks nobody knows how many connections "
                    "are open; put the store on a file system that has them (mount NFS with them, or choose another)"
                ) from error
            else:
                return descriptor
        return None

    def _opened(self, path: Path) -> int:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise StoreError(f"{path}: cannot be written ({error.strerror})") from error


def host_of(url: str, raw: Path, connections: int | None, log: Callable[[str], object]) -> Host:
    """Name a URL's host, its limit, and its locks below the folder of all raw files."""
    scheme, name = url_scheme(url), urlsplit(url).hostname or ""
    if name in POLITE_HOSTS:
        limit = min(AT_ONCE_POLITE, connections or AT_ONCE_POLITE)
    else:
        limit = connections or AT_ONCE.get(scheme, AT_ONCE_ELSEWHERE)
    is_remote = bool(name)
    return Host(name, limit, raw / FOLDER / name if is_remote else None, log)
