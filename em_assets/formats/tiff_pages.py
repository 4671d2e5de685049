"""The directories of a TIFF, classic and BigTIFF, in one strict pass: every page's every tag, no pixels.

::

    II 42 offset │ page: n_entries  entry…  offset of the next page, 0 after the last
    II 43 8 0 offset     entry: number type count (value | offset of the value)
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from em_assets.errors import FormatError
from em_assets.formats.binary import BinaryFile
from em_assets.formats.tiff_names import tag_name, type_name
from em_assets.formats.trees import described

MAX_BLOB_BYTES = 64 * 1024
"""A longer value of plain bytes (a colour profile, another program's notes) is reported by its size and offset."""

SPARE_BYTES = 64 * 2**20
"""What one pass may read beyond four times the file: pages may share values, but not so as to be read without end."""

_DTYPES = {
    1: "u1",
    3: "u2",
    4: "u4",
    6: "i1",
    8: "i2",
    9: "i4",
    11: "f4",
    12: "f8",
    13: "u4",
    16: "u8",
    17: "i8",
    18: "u8",
}
_ASCII, _RATIONAL, _UNDEFINED, _SRATIONAL = 2, 5, 7, 10
_SIZES = {number: np.dtype(code).itemsize for number, code in _DTYPES.items()} | {
    _ASCII: 1,
    _RATIONAL: 8,
    _UNDEFINED: 1,
    _SRATIONAL: 8,
}
_BLOBS = (1, 6, _UNDEFINED)
_XMP = 700
_LISTS = (273, 279, 324, 325)
"""Offsets and sizes of segments are lists even where there is one."""


@dataclass(frozen=True)
class Entry:
    """One tag of one page: `data` are its bytes, None for a blob that was left in the file or an unknown type."""

    number: int
    type: int
    count: int
    offset: int
    data: bytes | None
    byte_order: str

    @property
    def numbers(self) -> NDArray[Any] | None:
        """The values of an integer or float tag; None for any other."""
        code = _DTYPES.get(self.type)
        return None if code is None or self.data is None else np.frombuffer(self.data, f"{self.byte_order}{code}")

    @property
    def value(self) -> Any:
        """Number, text, list of these, [numerator, denominator] or, for long plain bytes, their size and offset."""
        if self.type not in _SIZES:
            return None
        if self.data is None:
            return {"size_bytes": self.count * _SIZES[self.type], "offset": self.offset}
        if self.type == _ASCII or self.number == _XMP:
            return _text(self.data)
        if self.type == _UNDEFINED:
            return self.data.hex()
        values = self._rationals() if self.type in (_RATIONAL, _SRATIONAL) else self._list()
        return values[0] if len(values) == 1 and self.number not in _LISTS else values

    def _list(self) -> list[Any]:
        numbers = self.numbers
        return [] if numbers is None else numbers.tolist()

    def _rationals(self) -> list[list[int]]:
        code = "u4" if self.type == _RATIONAL else "i4"
        pairs: list[list[int]] = np.frombuffer(self.data or b"", f"{self.byte_order}{code}").reshape(-1, 2).tolist()
        return pairs


@dataclass(frozen=True)
class Page:
    """One directory of the main chain, counted from 0."""

    index: int
    offset: int
    byte_order: str
    entries: dict[int, Entry]

    def value(self, number: int) -> Any:
        """Value of a tag; None where the page has none."""
        entry = self.entries.get(number)
        return None if entry is None else entry.value

    @cached_property
    def values(self) -> dict[str, Any]:
        """Value of every tag by name."""
        return {tag_name(number): entry.value for number, entry in self.entries.items()}

    def __str__(self) -> str:
        return f"page {self.index}"


@dataclass(frozen=True)
class _Layout:
    """Sizes of the parts of a directory."""

    byte_order: str
    is_big: bool

    @property
    def entry(self) -> struct.Struct:
        return struct.Struct(self.byte_order + ("HHQ8s" if self.is_big else "HHI4s"))

    @property
    def number(self) -> struct.Struct:
        return struct.Struct(self.byte_order + ("Q" if self.is_big else "I"))

    @property
    def count(self) -> struct.Struct:
        return struct.Struct(self.byte_order + ("Q" if self.is_big else "H"))


def is_tiff(head: bytes) -> bool:
    """Whether a file that begins so is a TIFF, classic or big, in either byte order."""
    return head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def read_pages(file: BinaryFile) -> Iterator[Page]:
    """The pages in the order of the chain.

    Raises
    ------
    FormatError
        No TIFF, no page, a chain that runs in a loop, or a directory or value outside the file: the page is named.
    """
    layout, offset = _read_header(file)
    seen: dict[int, int] = {}
    budget = SPARE_BYTES + 4 * file.size
    if offset == 0:
        raise FormatError(f"{file.path}: a first page expected, found none: the file was never finished")
    while offset:
        if offset in seen:
            raise FormatError(
                f"{file.path}: the end of the pages expected after page {len(seen) - 1}, found a loop back to page "
                f"{seen[offset]} at byte {offset}"
            )
        seen[offset] = len(seen)
        page, offset, n_bytes = _read_page(file, layout, len(seen) - 1, offset)
        budget -= n_bytes
        if budget < 0:
            raise FormatError(f"{file.path}: {page}: the pages' tags add up to more than the file could hold")
        yield page


def _read_header(file: BinaryFile) -> tuple[_Layout, int]:
    head = file.read(0, min(512, file.size), "a TIFF header")
    if not is_tiff(head):
        raise FormatError(f"{file.path}: a TIFF (II or MM, then 42 or 43, at byte 0) expected, found {described(head)}")
    byte_order = "<" if head[:2] == b"II" else ">"
    layout = _Layout(byte_order, is_big=43 in head[2:4])
    start = 8 if layout.is_big else 4
    if layout.is_big and head[4:8] != struct.pack(f"{byte_order}HH", 8, 0):
        raise FormatError(f"{file.path}: BigTIFF offsets of 8 bytes expected at byte 4, found {head[4:8]!r}")
    (first,) = layout.number.unpack(file.read(start, layout.number.size, "the first page's offset"))
    return layout, first


def _read_page(file: BinaryFile, layout: _Layout, index: int, offset: int) -> tuple[Page, int, int]:
    """A page, the next one's offset, and how many bytes were read for it."""
    what = f"page {index}"
    (n_entries,) = layout.count.unpack(file.read(offset, layout.count.size, what))
    body_at = offset + layout.count.size
    body_size = n_entries * layout.entry.size + layout.number.size
    body = file.read(body_at, body_size, f"the {n_entries} tags of {what}")
    n_bytes = body_size
    entries: dict[int, Entry] = {}
    for place in range(n_entries):
        at = place * layout.entry.size
        entry = _read_entry(file, layout, what, body_at + at, layout.entry.unpack_from(body, at))
        n_bytes += len(entry.data or b"")
        entries.setdefault(entry.number, entry)  # of a tag that is there twice, readers take the first
        if n_bytes > SPARE_BYTES + 4 * file.size:
            raise FormatError(f"{file.path}: {what}: its tags add up to more than the file could hold")
    (following,) = layout.number.unpack_from(body, body_size - layout.number.size)
    return Page(index, offset, layout.byte_order, entries), following, n_bytes


def _read_entry(file: BinaryFile, layout: _Layout, what: str, at: int, fields: tuple[int, int, int, bytes]) -> Entry:
    number, kind, count, inline = fields
    item = _SIZES.get(kind)
    if item is None:  # the specification asks readers to pass over types that they don't know
        return Entry(number, kind, count, at, None, layout.byte_order)
    size = item * count
    name = f"{tag_name(number)} ({type_name(kind)} × {count}) of {what}"
    if size <= len(inline):
        return Entry(number, kind, count, at, inline[:size], layout.byte_order)
    (offset,) = layout.number.unpack(inline)
    if kind in _BLOBS and size > MAX_BLOB_BYTES:
        file.read(offset + size - 1, 1, name)
        return Entry(number, kind, count, offset, None, layout.byte_order)
    return Entry(number, kind, count, offset, file.read(offset, size, name), layout.byte_order)


def _text(data: bytes) -> str:
    """Text without the padding behind it: NULs, and the blanks and line ends that programs add."""
    data = data.rstrip(b"\0 \t\r\n")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1")
