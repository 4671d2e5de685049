"""Names below an address, listed folder by folder within bounds of time, number and depth."""

import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from queue import Empty, Queue
from threading import Thread

from em_assets.errors import EMAssetsError, SourceError, SourceUnreachableError
from em_assets.formats import FORMATS
from em_assets.sources.globs import Wanted
from em_assets.sources.origins import Origin
from em_assets.sources.paths import below, safe_relative_path
from em_assets.sources.protocols import ask
from em_assets.sources.wire import Patience

MOST_FOLDERS, MOST_NAMES, MOST_DEPTH = 300, 50_000, 12
LOOK_S = 90.0
"""For all listings together: an archive's folder of a million tiles is no answer to wait for."""


class TimeIsUpError(SourceUnreachableError):
    """A listing took too long."""


class Tree:
    """What lies below a folder, as far as the bounds allow: files, and folders that a marker makes one thing."""

    def __init__(self, url: str, wanted: Wanted, origin: Origin, patience: Patience) -> None:
        self.url = url
        self.files: list[str] = []
        self.marked: list[str] = []
        self.is_all = True
        self.wanted = wanted
        self._origin, self._patience = origin, patience
        self._markers = {marker for format in FORMATS.values() for marker in format.MARKERS}

    def walk(self) -> None:
        """List folder by folder, the nearest first; below a marked folder nothing is looked at.

        Raises
        ------
        SourceError
            A folder cannot be listed, or the time was used up before anything was found.
        """
        until = time.monotonic() + LOOK_S
        pending, n_folders = [""], 0
        while pending and n_folders < MOST_FOLDERS and len(self.files) < MOST_NAMES:
            folder = pending.pop(0)
            n_folders += 1
            try:
                names = names_in(below(self.url, folder), self._origin, self._patience, until - time.monotonic())
            except TimeIsUpError:
                if not self.files and not self.marked:
                    raise
                self.is_all = False
                return
            if folder and self._markers.intersection(names):
                self.marked.append(folder)
                continue
            self.files += [path for name in names if (path := folder + name) in self.wanted and not name.endswith("/")]
            pending += self._folders(folder, names)
        self.is_all = self.is_all and not pending

    def _folders(self, folder: str, names: Sequence[str]) -> Iterator[str]:
        for name in names:
            if name.endswith("/") and self.wanted.may_hold(folder + name):
                if folder.count("/") < MOST_DEPTH:
                    yield folder + name
                else:
                    self.is_all = False


def names_in(folder: str, origin: Origin, patience: Patience, left_s: float | None = None) -> list[str]:
    """Names directly in a folder, those that are refused left out; in a thread, since a bucket's listing has no end.

    Raises
    ------
    TimeIsUpError
        It takes longer than `left_s` seconds, by default `LOOK_S`, or none are left.
    SourceError
        It cannot be listed.
    """
    left_s = LOOK_S if left_s is None else left_s
    if left_s <= 0:
        raise _time_is_up(folder)
    speaker, location = ask(folder, origin)
    answers: Queue[list[str] | EMAssetsError] = Queue()

    def answer() -> None:
        try:
            answers.put(speaker.names(location, patience))
        except EMAssetsError as error:
            answers.put(error)

    Thread(target=answer, daemon=True, name=f"listing {folder}").start()
    try:
        found = answers.get(timeout=left_s)
    except Empty:
        raise _time_is_up(folder) from None
    if isinstance(found, EMAssetsError):
        raise found
    return [name for name in found if _is_safe(name)]


def _time_is_up(folder: str) -> TimeIsUpError:
    return TimeIsUpError(f"{folder}: not listed within {LOOK_S:.0f} s; name a folder inside, or the volume itself")


def _is_safe(name: str) -> bool:
    with suppress(SourceError):
        safe_relative_path(name.removesuffix("/"))
        return True
    return False
