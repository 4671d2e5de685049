"""Files packed whole by gzip or bzip2: unpacked to a bound, never beyond it."""

import bz2
import zlib
from typing import Protocol

from em_assets.errors import FormatError
from em_assets.formats.binary import open_binary

PACKED_SUFFIXES = (".gz", ".bz2")

_STEP_BYTES = 256 * 1024


class _Unpacker(Protocol):
    """What `bz2.BZ2Decompressor` offers: bounded output, the rest held back for the next call."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    def decompress(self, data: bytes, max_length: int) -> bytes: ...


def unpacked(path: str, n_bytes: int, *, is_all: bool = False) -> bytes:
    """The first `n_bytes` that a packed file unpacks to, or fewer where there are no more.

    Memory grows with what is really there, not with what is asked for. With `is_all` the file must unpack to exactly so
    many bytes, and its checksum must hold.

    Raises
    ------
    FormatError
        The file is damaged or, with `is_all`, unpacks to fewer bytes or more.
    """
    out, is_whole = _unpack(path, n_bytes)
    if is_all and len(out) > n_bytes:
        raise FormatError(f"{path}: {n_bytes} bytes declared by the header inside, it unpacks to more")
    if is_all and (len(out) < n_bytes or not is_whole):
        raise FormatError(f"{path}: {n_bytes} unpacked bytes expected, found {len(out)}: cut short; fetch it again")
    return bytes(out[:n_bytes])


def unpacked_head(head: bytes) -> bytes:
    """What the first bytes of a gzip file unpack to; nothing for other bytes.

    A bzip2 block is larger than any head, so nothing can be said of one.
    """
    try:
        return zlib.decompressobj(wbits=31).decompress(head, 4096)
    except zlib.error:
        return b""


def _unpack(path: str, n_bytes: int) -> tuple[bytearray, bool]:
    """At most one byte more than asked for, and whether the packed stream came to its proper end."""
    out = bytearray()
    unpacker: _Unpacker = bz2.BZ2Decompressor() if path.casefold().endswith(".bz2") else _Gunzip()
    with open_binary(path) as file:
        at = 0
        while len(out) <= n_bytes and not unpacker.eof and (at < file.size or not unpacker.needs_input):
            count = min(_STEP_BYTES, file.size - at) if unpacker.needs_input else 0
            packed = file.read(at, count, "packed bytes")
            at += count
            try:
                out += unpacker.decompress(packed, n_bytes + 1 - len(out))
            except (zlib.error, OSError) as error:
                raise FormatError(f"{path}: the packed bytes before byte {at} are damaged: {error}") from error
    return out, unpacker.eof


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
