"""New files of a volume on a disk, as a writer of hundreds of gigabytes makes them.

Large ones are written past the system's cache (`O_DIRECT`): they are read again much later or by another machine, they
are on the disk when the commit asks for it, and nothing else is driven out of memory. Finding memory for that cache
took half as long as compressing.
"""

import fcntl
import os
from array import array
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, wait
from contextlib import suppress
from functools import partial
from pathlib import Path

import numpy as np

from em_assets.volumes.direct import (
    ALIGNED_BYTES,
    LEAST_BYTES,
    is_refusal,
    rounded_up,
    turn_direct,
    turn_plain,
    write_all,
    write_past,
)
from em_assets.volumes.writing_behind import BUFFER_BYTES, Buffer, give_back, take_buffer, write_behind

Piece = bytes | memoryview
"""Part of a file; used up before the next one is asked for, so that a buffer can be used again."""

_GET_FLAGS, _SET_FLAGS, _TOP_FOLDER = 0x80086601, 0x40086602, 0x20000
"""FS_IOC_GETFLAGS, FS_IOC_SETFLAGS and FS_TOPDIR_FL of <linux/fs.h>: `chattr +T`."""


class NewFile:
    """A file that was not there and grows piece by piece; its folder is made where it is not there either.

    One thread at a time uses it. Others write full buffers meanwhile: what goes wrong there is raised by a later call,
    `finish` being the last.

    Raises
    ------
    OSError
        It is there, or cannot be written; from every method but `close`.
    """

    def __init__(self, path: str | Path) -> None:
        self._descriptor = _created(path)
        self._rest = b""
        self._is_direct: bool | None = None
        self._n_sent = 0
        self._under_way: list[Future[None]] = []
        self.size_bytes = 0

    def append(self, pieces: Iterable[Piece]) -> None:
        """Write pieces at the end; the last bytes may be held until more come, or the file is finished."""
        buffer, n_held = take_buffer(), len(self._rest)
        ours: Buffer | None = buffer
        try:
            buffer[:n_held] = np.frombuffer(self._rest, np.uint8)
            for piece in pieces:
                left = np.frombuffer(piece, np.uint8)
                self.size_bytes += left.size
                while left.size:
                    taken = min(left.size, BUFFER_BYTES - n_held)
                    buffer[n_held : n_held + taken] = left[:taken]
                    n_held, left = n_held + taken, left[taken:]
                    if n_held == BUFFER_BYTES:
                        self._raise_what_failed()
                        ours = None
                        self._send(buffer, n_held)
                        ours = buffer = take_buffer()
                        n_held = 0
            whole = n_held - n_held % ALIGNED_BYTES if self._n_sent or n_held >= LEAST_BYTES else 0
            self._rest = buffer[whole:n_held].tobytes()
            ours = None
            self._send(buffer, whole)
        finally:
            if ours is not None:
                give_back(ours)

    def finish(self) -> None:
        """Write what is still held, and close it."""
        self._wait()
        self._raise_what_failed()
        if self._is_direct:
            self._through_the_cache()
        write_all(self._descriptor, memoryview(self._rest), self._n_sent)
        self.close()

    def close(self) -> None:
        """Close it as it is, if that has not been done."""
        self._wait()  # the descriptor's number may be another file's soon
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _send(self, buffer: Buffer, n_bytes: int) -> None:
        """Have whole blocks of a buffer written, which is not the caller's any more."""
        place = self._n_sent
        self._n_sent += n_bytes
        if n_bytes and (place or n_bytes == BUFFER_BYTES):
            self._under_way.append(write_behind(partial(self._write, n_bytes, place), buffer))
            return
        try:  # a small file: another thread would be waited for at once
            self._write(n_bytes, place, buffer)
        finally:
            give_back(buffer)

    def _write(self, n_bytes: int, place: int, buffer: Buffer) -> None:
        held = buffer[:n_bytes].data
        if held and self._is_direct is None:
            self._is_direct = turn_direct(self._descriptor)
        while held:
            was_direct = self._is_direct
            try:
                n_written = os.pwrite(self._descriptor, held, place)
            except OSError as error:
                # Some file systems take the flag and then refuse, or ask for larger blocks.
                if not was_direct or not is_refusal(error):
                    raise
                self._through_the_cache()
            else:
                held, place = held[n_written:], place + n_written

    def _wait(self) -> None:
        if self._under_way:
            wait(self._under_way)

    def _raise_what_failed(self) -> None:
        while self._under_way and self._under_way[0].done():
            self._under_way.pop(0).result()

    def _through_the_cache(self) -> None:
        turn_plain(self._descriptor)
        self._is_direct = False


class NewFiles:
    """Small files that were not there, gathered in a buffer and written by other threads, many at a time.

    One thread at a time uses it. `under_way` are the writes that have not ended when the block is left: a file that is
    there, or cannot be written, is an OSError of one of them, if it was none before. Where the block is left by an
    exception none of them goes on.
    """

    def __init__(self) -> None:
        self.under_way: list[Future[None]] = []
        self._buffer: Buffer | None = None
        self._n_held = 0
        self._files: list[tuple[str, int, int]] = []

    def __enter__(self) -> "NewFiles":
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        is_sent = False
        try:
            if kind is None:
                self._send()
                is_sent = True
        finally:
            if self._buffer is not None:
                give_back(self._buffer)
            if not is_sent:
                wait(self.under_way)

    def put(self, path: str, data: Piece) -> None:
        """Write a file; its bytes are taken now."""
        if self._n_held + len(data) > BUFFER_BYTES:
            self._send()
        if len(data) > BUFFER_BYTES:
            file = NewFile(path)
            try:
                file.append([data])
                file.finish()
            finally:
                file.close()
            return
        if self._buffer is None:
            self._buffer = take_buffer()
        self._buffer[self._n_held : self._n_held + len(data)] = np.frombuffer(data, np.uint8)
        self._files.append((path, self._n_held, len(data)))
        self._n_held += rounded_up(len(data))

    def _send(self) -> None:
        if self._buffer is None:
            return
        while self.under_way and self.under_way[0].done():
            self.under_way.pop(0).result()
        buffer, files = self._buffer, self._files
        self._buffer, self._n_held, self._files = None, 0, []
        self.under_way.append(write_behind(partial(_write_files, files), buffer))


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


def _write_files(files: Sequence[tuple[str, int, int]], buffer: Buffer) -> None:
    """Write files, each from its place in a buffer, which is a multiple of a block."""
    memory = buffer.data
    for path, start, n_bytes in files:
        held = memory[start : start + n_bytes]
        n_whole = n_bytes - n_bytes % ALIGNED_BYTES if n_bytes >= LEAST_BYTES else 0
        descriptor, n_written = _created(path), 0
        try:
            if n_whole and turn_direct(descriptor):
                n_written = write_past(descriptor, held[:n_whole], 0)
                turn_plain(descriptor)
            write_all(descriptor, held[n_written:], n_written)
        finally:
            os.close(descriptor)


def _created(path: str | Path) -> int:
    """A descriptor of a new file; its folder is made only where it is not there yet: of 0.4 one in many needs it."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    try:
        return os.open(path, flags, 0o666)
    except FileNotFoundError:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, flags, 0o666)
