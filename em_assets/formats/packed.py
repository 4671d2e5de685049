"""Files packed whole by gzip or bzip2: unpacked to a bound, never beyond it."""

import bz2
import io
import os
import tempfile
import weakref
import zlib
from typing import IO, Any, BinaryIO, Protocol, cast

from em_assets.errors import FormatError, UsageError
from em_assets.formats.binary import BinaryFile, open_binary

PACKED_SUFFIXES = (".gz", ".bz2")

STEP_BYTES = 256 * 1024

MOST_AT_ONCE = 16 * 2**20
"""Of unpacked bytes: 256 kB of gzip can hold 256 MB of zeros."""


class _Unpacker(Protocol):
    """What `bz2.BZ2Decompressor` offers: bounded output, the rest held back for the next call."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    def decompress(self, data: bytes, max_length: int) -> bytes: ...


def unpacked(path: str, n_bytes: int) -> bytes:
    """The first `n_bytes` that a packed file unpacks to, or fewer where there are no more.

    Memory grows with what is really there, not with what is asked for.

    Raises
    ------
    FormatError
        The file is damaged.
    """
    out = io.BytesIO()
    _unpack(path, n_bytes, out)
    return out.getvalue()[:n_bytes]


class UnpackedFile:
    """A packed file's bytes in a file of no name, which is gone with this object or its process.

    Raises
    ------
    FormatError
        The file is damaged, or unpacks to fewer bytes than `n_bytes` or more.
    UsageError
        The disk for temporary files has no room; the message names how many bytes it takes.
    """

    def __init__(self, path: str, n_bytes: int) -> None:
        self._path, self._size = path, n_bytes
        self._file = tempfile.TemporaryFile()  # noqa: SIM115  # lives as long as this
        weakref.finalize(self, self._file.close)
        try:
            is_whole = _unpack(path, n_bytes, self._file)
            found = self._file.tell()
            self._file.flush()
        except OSError as error:
            raise UsageError(
                f"{path}: {n_bytes} bytes expected to fit into {tempfile.gettempdir()} ({error.strerror}): unpack it"
            ) from error
        if found > n_bytes:
            raise FormatError(f"{path}: {n_bytes} bytes declared by the header inside, it unpacks to more")
        if found < n_bytes or not is_whole:
            raise FormatError(f"{path}: {n_bytes} unpacked bytes expected, found {found}: cut short; fetch it again")

    def open(self) -> BinaryFile:
        """It, with a position of its own."""
        return BinaryFile(self._path, cast(BinaryIO, io.BufferedReader(_View(self), STEP_BYTES)), self._size)

    def read_into(self, buffer: Any, offset: int) -> int:
        """Fill memory with the bytes from a place on, any number of threads at once; how many there were."""
        return os.preadv(self._file.fileno(), [buffer], offset)


class _View(io.RawIOBase):
    """A position in an unpacked file; closing it closes nothing else."""

    def __init__(self, whole: UnpackedFile) -> None:
        self._whole, self._at = whole, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        assert whence == io.SEEK_SET
        self._at = offset
        return offset

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:
        n_bytes = self._whole.read_into(buffer, self._at)
        self._at += n_bytes
        return n_bytes


def unpacked_head(head: bytes) -> bytes:
    """What the first bytes of a gzip file unpack to; nothing for other bytes.

    A bzip2 block is larger than any head, so nothing can be said of one.
    """
    try:
        return zlib.decompressobj(wbits=31).decompress(head, 4096)
    except zlib.error:
        return b""


def _unpack(path: str, n_bytes: int, out: IO[bytes]) -> bool:
    """At most one byte more than asked for; whether the packed stream came to its proper end."""
    unpacker: _Unpacker = bz2.BZ2Decompressor() if path.casefold().endswith(".bz2") else _Gunzip()
    with open_binary(path) as file:
        at = 0
        while out.tell() <= n_bytes and not unpacker.eof and (at < file.size or not unpacker.needs_input):
            count = min(STEP_BYTES, file.size - at) if unpacker.needs_input else 0
            packed = file.read(at, count, "packed bytes")
            at += count
            try:
                plain = unpacker.decompress(packed, min(MOST_AT_ONCE, n_bytes + 1 - out.tell()))
            except (zlib.error, OSError) as error:
                raise FormatError(f"{path}: the packed bytes before byte {at} are damaged: {error}") from error
            out.write(plain)
    return unpacker.eof


class _Gunzip:
    """zlib's decompressor under bz2's names."""

    def __init__(self) -> None:
        self._stream = zlib.decompressobj(wbits=31)

    @property
    def eof(self) -> bool:
        return self._stream.eof

    @property
    def needs_input(self) -> bool:
        return not self._stream.unconsumed_tail

    def decompress(self, data: bytes, max_length: int) -> bytes:
        return self._stream.decompress(self._stream.unconsumed_tail + data, max_length)
