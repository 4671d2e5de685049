"""New files of a volume on a disk, as a writer of hundreds of gigabytes makes them.

Large ones are written past the system's cache (`O_DIRECT`): they are read again much later or by another machine, they
are on the disk when the commit asks for it, and nothing else is driven out of memory. Finding memory for that cache
took half as long as compressing.
"""

import fcntl
import os
import threading
from array import array
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from em_assets.volumes.direct import ALIGNED_BYTES, LEAST_BYTES, aligned, is_refusal, turn_direct, turn_plain

Piece = bytes | memoryview
"""Part of a file; used up before the next one is asked for, so that a buffer can be used again."""

BUFFER_BYTES = 2 << 20
"""Gathered by each thread before it writes."""

_GET_FLAGS, _SET_FLAGS, _TOP_FOLDER = 0x80086601, 0x40086602, 0x20000
"""FS_IOC_GETFLAGS, FS_IOC_SETFLAGS and FS_TOPDIR_FL of <linux/fs.h>: `chattr +T`."""

_memory = threading.local()


class NewFile:
    """A file that was not there and grows piece by piece; its folder is made where it is not there either.

    Raises
    ------
    OSError
        It is there, or cannot be written; from every method.
    """

    def __init__(self, path: Path) -> None:
        self._descriptor = _created(path)
        self._rest = b""
        self._is_direct: bool | None = None
        self.size_bytes = 0

    def append(self, pieces: Iterable[Piece]) -> None:
        """Write pieces at the end; the last bytes may be held until more come, or the file is finished."""
        buffer, n_held = _thread_buffer(), len(self._rest)
        buffer[:n_held] = np.frombuffer(self._rest, np.uint8)
        for piece in pieces:
            left = np.frombuffer(piece, np.uint8)
            self.size_bytes += left.size
            while left.size:
                taken = min(left.size, BUFFER_BYTES - n_held)
                buffer[n_held : n_held + taken] = left[:taken]
                n_held, left = n_held + taken, left[taken:]
                if n_held == BUFFER_BYTES:
                    self._write(buffer.data)
                    n_held = 0
        whole = n_held - n_held % ALIGNED_BYTES if self._is_direct is not None or n_held >= LEAST_BYTES else 0
        self._write(buffer[:whole].data)
        self._rest = buffer[whole:n_held].tobytes()

    def finish(self) -> None:
        """Write what is still held, and close it."""
        if self._is_direct:
            self._through_the_cache()
        _write_all(self._descriptor, memoryview(self._rest))
        self.close()

    def close(self) -> None:
        """Close it as it is, if that has not been done."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _write(self, held: memoryview) -> None:
        """Write whole blocks."""
        if held and self._is_direct is None:
            self._is_direct = turn_direct(self._descriptor)
        while held:
            try:
                held = held[os.write(self._descriptor, held) :]
            except OSError as error:
                # Some file systems take the flag and then refuse, or ask for larger blocks.
                if not self._is_direct or not is_refusal(error):
                    raise
                self._through_the_cache()

    def _through_the_cache(self) -> None:
        turn_plain(self._descriptor)
        self._is_direct = False


def spread_folders(folder: Path) -> None:
    """Ask that the folders in this one lie apart on the disk: each will hold many files. A wish that may be ignored.

    ext4 otherwise fills one region of the disk with all of them; threads that make files there wait for each other,
    and without a journal it looks, for each new file, at every one that was deleted there in the last minutes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    flags, descriptor = array("l", [0]), os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with suppress(OSError):  # a file system without this flag
            fcntl.ioctl(descriptor, _GET_FLAGS, flags)
            flags[0] |= _TOP_FOLDER
            fcntl.ioctl(descriptor, _SET_FLAGS, flags)
    finally:
        os.close(descriptor)


def _created(path: Path) -> int:
    """A descriptor of a new file; its folder is made only where it is not there yet: of 0.4 one in many needs it."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    try:
        return os.open(path, flags, 0o666)
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, flags, 0o666)


def _write_all(descriptor: int, rest: memoryview) -> None:
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _thread_buffer() -> NDArray[Any]:
    """A thread's memory for what it writes, at a multiple of a page; a thread writes one file at a time."""
    found: NDArray[Any] | None = getattr(_memory, "buffer", None)
    if found is None:
        found = _memory.buffer = np.frombuffer(aligned(BUFFER_BYTES), np.uint8)
    return found
