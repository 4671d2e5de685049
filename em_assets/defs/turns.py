"""One run at a time writes an asset of a dataset; the others wait, and then find the work done.

The lock is the system's, on a file: it ends with the process that holds it, however that dies, so nobody waits for a
process that is gone. Right results do not rest on it, since volumes commit and tables are replaced in one step;
it spares work.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from em_assets.settings import Settings

FOLDER = ".turns"


@contextmanager
def turn(settings: Settings, what: str, log: Callable[[str], None]) -> Iterator[None]:
    """Hold the turn to write `what`, an asset and its partition; waiting is said once."""
    lock = FileLock(_path(settings, what))
    try:
        lock.acquire(blocking=False)
    except Timeout:
        log(f"waiting for another run, which is writing {what}")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _path(settings: Settings, what: str) -> Path:
    folder = settings.store / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{what}.lock"
