"""Reading in a process of its own, for one that may not read itself.

tensorstore aborts a process that was forked from one that used it, and `fork` is how torch starts the workers of a
`DataLoader` on Linux unless it is told otherwise. Such a worker starts one fresh interpreter (`reading_process`), once,
and asks it for its boxes over a pipe. It costs a second and a copy; `make_loader` and `BlockStream` need neither.
"""

import atexit
import os
import pickle
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache
from threading import Lock
from typing import TYPE_CHECKING, Any

from em_assets.blocks.flight import Place
from em_assets.errors import StoreError

if TYPE_CHECKING:
    from em_assets.blocks.volume import VolumeDataset


def fill(volume: "VolumeDataset", places: Sequence[Place]) -> None:
    """Fill each array with its box of the volume, as `flight.fill` does."""
    _reader(os.getpid()).fill(volume, places)


@lru_cache(maxsize=1)
def _reader(_: int) -> "_Reader":
    """The process that reads for this one; another process id is another process's."""
    return _Reader()


class _Reader:
    """A fresh interpreter that reads boxes; it ends when the pipe to it does."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "em_assets.blocks.reading_process"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self._lock = Lock()
        # A forked worker leaves by os._exit, without this: then the pipe's end is what ends the reader.
        atexit.register(self._end)

    def fill(self, volume: "VolumeDataset", places: Sequence[Place]) -> None:
        with self._lock:
            try:
                self._send((pickle.dumps(volume), [(start, block.shape) for start, block in places]))
                failure = self._receive()
                if failure is not None:
                    raise failure
                for _, block in places:
                    self._receive_into(block.data.cast("B"))
            except (OSError, EOFError, pickle.UnpicklingError) as error:
                raise StoreError(f"{volume.url}: the process that reads for a forked one has died: {error}") from error

    def _send(self, message: Any) -> None:
        assert self._process.stdin is not None
        pickle.dump(message, self._process.stdin)
        self._process.stdin.flush()

    def _receive(self) -> Any:
        assert self._process.stdout is not None
        return pickle.load(self._process.stdout)

    def _receive_into(self, target: memoryview) -> None:
        assert self._process.stdout is not None
        while target:
            n = self._process.stdout.readinto(target)  # type: ignore[attr-defined]  # a BufferedReader
            if not n:
                raise EOFError("the answer broke off")
            target = target[n:]

    def _end(self) -> None:
        with suppress(OSError):
            assert self._process.stdin is not None
            self._process.stdin.close()
        self._process.wait()
