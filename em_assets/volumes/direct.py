"""Writing past the system's cache of files, where the file system can: for bytes that are read much later, if at all.

The cache costs a copy and a page of memory for every 4 kB, and a disk that is written to at once has nothing left to do
when the file is synced. Of a file in such blocks the memory, the place and the length are multiples of 4,096 bytes.

What is read again soon after, as a small raw file may be, then comes from the disk and not from memory, and that is no
loss: to write, sync and read again 270 kB took 1.5 ms and 0.34 ms of CPU this way, and 2.0 and 0.86 ms by the cache
(medians of five times 300, on a virtual machine, where a page of memory is dear).
"""

import fcntl
import mmap
import os
from contextlib import suppress
from errno import EINVAL, EOPNOTSUPP

ALIGNED_BYTES = 4096
LEAST_BYTES = 1 << 16
"""Less than this is written as usual: a page or two cost nobody anything."""

_FLAG = getattr(os, "O_DIRECT", 0)  # none on macOS
_REFUSALS = (EINVAL, EOPNOTSUPP)


def is_refusal(error: OSError) -> bool:
    """Whether a file system says that it has no such thing, or not for this memory, place or length."""
    return error.errno in _REFUSALS


def aligned(size_bytes: int) -> memoryview:
    """Memory that such blocks can be written from; it is given back with the last view of it."""
    # Private: a forked child would write into what its parent is writing from.
    memory = mmap.mmap(-1, size_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_HUGEPAGE"):  # a fault for every 2 MB in place of one for every 4 kB
        with suppress(OSError):
            memory.madvise(mmap.MADV_HUGEPAGE)
    return memoryview(memory)


def rounded_up(size_bytes: int) -> int:
    """The length of the blocks that hold so many bytes."""
    return -(-size_bytes // ALIGNED_BYTES) * ALIGNED_BYTES


def open_direct(path: str | os.PathLike[str], flags: int) -> int | None:
    """A descriptor that writes past the cache; None where the file system has no such thing."""
    if not _FLAG:
        return None
    try:
        return os.open(path, flags | _FLAG | os.O_CLOEXEC, 0o666)
    except OSError as error:
        if is_refusal(error):
            return None
        raise


def turn_direct(descriptor: int) -> bool:
    """Let a descriptor that is open for writing write past the cache; False where the file system has no such thing."""
    if not _FLAG:
        return False
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETFL, os.O_WRONLY | _FLAG)
    except OSError as error:
        if is_refusal(error):
            return False
        raise
    return True


def turn_plain(descriptor: int) -> None:
    """Undo `turn_direct`."""
    fcntl.fcntl(descriptor, fcntl.F_SETFL, os.O_WRONLY)


def write_new(path: str, block: memoryview, size_bytes: int, flags: int = os.O_WRONLY | os.O_CREAT | os.O_TRUNC) -> int:
    """A new file with the first bytes of an `aligned` block; its descriptor. Nothing is synced yet."""
    n_whole = size_bytes - size_bytes % ALIGNED_BYTES
    direct = open_direct(path, flags) if size_bytes >= LEAST_BYTES else None
    if direct is not None:
        try:
            if write_past(direct, block[:n_whole], 0) == n_whole:
                if n_whole != size_bytes:
                    turn_plain(direct)
                    write_all(direct, block[n_whole:size_bytes], n_whole)
                return direct
        except BaseException:
            os.close(direct)
            raise
        os.close(direct)
    plain = os.open(path, flags | os.O_CLOEXEC, 0o666)
    try:
        write_all(plain, block[:size_bytes], 0)
    except BaseException:
        os.close(plain)
        raise
    return plain


def write_at(plain: int, direct: int | None, view: memoryview, position: int) -> None:
    """Write to a file that is open twice: whole blocks past the cache, what is left over as usual."""
    n_whole = len(view) - len(view) % ALIGNED_BYTES
    if direct is not None and position % ALIGNED_BYTES == 0 and n_whole >= LEAST_BYTES:
        written = write_past(direct, view[:n_whole], position)
        position, view = position + written, view[written:]
    write_all(plain, view, position)


def write_past(direct: int, view: memoryview, position: int) -> int:
    """Write whole blocks of aligned memory; how many bytes of them went past the cache.

    None where file system or memory is not fit for it.
    """
    total = 0
    while view:
        try:
            written = os.pwrite(direct, view, position + total)
        except OSError as error:
            if is_refusal(error):
                return total
            raise
        written -= written % ALIGNED_BYTES  # after a part of a block: that is written again
        if not written:
            return total
        total, view = total + written, view[written:]
    return total


def write_all(descriptor: int, view: memoryview, position: int) -> None:
    """Write all of it where it belongs."""
    while view:
        written = os.pwrite(descriptor, view, position)
        position, view = position + written, view[written:]


def close(descriptor: int | None) -> None:
    """Close it, if there is one."""
    if descriptor is not None:
        with suppress(OSError):
            os.close(descriptor)
