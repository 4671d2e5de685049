"""Threads that write while others go on compressing, and the memory that they write from: each process has its own.

A thread that waits for the disk does not compress: on two cores the whole of 805 MB took 1.2 s with threads that only
write, and 1.4 s where each wrote what it had compressed, were they two, three or six. The threads live as long as the
process, the memory until it is let go.
"""

import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from os import cpu_count
from queue import Empty, LifoQueue

import numpy as np
from numpy.typing import NDArray

from em_assets.volumes.direct import aligned

Buffer = NDArray[np.uint8]

BUFFER_BYTES = 2 << 20
"""Gathered before it is written."""

MOST_WRITERS = 8
"""A thread writes some 1.5 GB/s."""


class _Disk:
    """Writers, and a buffer for each thread that compresses, for each that writes, and twice as many that wait."""

    def __init__(self) -> None:
        n_cores = cpu_count() or 1
        n_writers = min(MOST_WRITERS, max(2, n_cores))
        self.writers = ThreadPoolExecutor(n_writers, "em-assets-disk")
        # The last one that was given back comes first: its memory is there. None is one without memory yet.
        self.buffers: LifoQueue[Buffer | None] = LifoQueue()
        for _ in range(n_cores + 3 * n_writers):
            self.buffers.put(None)


_disk = _Disk()


def take_buffer() -> Buffer:
    """Memory at a multiple of a page, ours until it is given back or written; waits where all of it is in use.

    Who waits must hold none: those who do would wait for each other.
    """
    buffer = _disk.buffers.get()
    if buffer is not None:
        return buffer
    try:
        return np.frombuffer(aligned(BUFFER_BYTES), np.uint8)
    except (OSError, MemoryError):  # none to be had now: maybe later
        _disk.buffers.put(None)
        raise


def give_back(buffer: Buffer) -> None:
    """Let others have a buffer."""
    _disk.buffers.put(buffer)


def let_go_of_spare() -> None:
    """Give the system the memory that nobody uses at the moment."""
    spare = 0
    with suppress(Empty):
        while True:
            _disk.buffers.get_nowait()
            spare += 1
    for _ in range(spare):
        _disk.buffers.put(None)


def write_behind(write: Callable[[Buffer], None], buffer: Buffer) -> Future[None]:
    """Have a buffer written by another thread and then given back, whatever happens; here where none can be had."""
    todo, done = [write], Future[None]()
    try:
        _disk.writers.submit(_write, todo, done, buffer)
    except RuntimeError:  # no thread can be started, or the interpreter ends; it may have been queued all the same
        _write(todo, done, buffer)
    return done


def _write(todo: list[Callable[[Buffer], None]], done: Future[None], buffer: Buffer) -> None:
    """Do it if nobody has begun to."""
    try:
        write = todo.pop()
    except IndexError:
        return
    try:
        write(buffer)
    except BaseException as error:  # noqa: BLE001  # whoever waits is told
        give_back(buffer)
        done.set_exception(error)
    else:
        give_back(buffer)
        done.set_result(None)


def _after_fork() -> None:
    """A child has none of its parent's threads, and what is in its buffers is the parent's to write."""
    global _disk
    _disk = _Disk()


os.register_at_fork(after_in_child=_after_fork)
