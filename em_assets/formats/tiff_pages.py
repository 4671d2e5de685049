"""The directories of a TIFF, classic and BigTIFF, in one strict pass: every page's every tag, no pixels.

::

    II 42 offset │ page: n_entries  entry…  offset of the next page, 0 after the last
    II 43 8 0 offset     entry: number type count (value | offset of the value)
"""

import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from em_assets.errors import FormatError
from em_assets.formats.binary import BinaryFile, Window
from em_assets.formats.tiff_names import tag_name, type_name
from em_assets.formats.trees import described

MAX_BLOB_BYTES = 64 * 1024
"""A longer value of plain bytes (a colour profile, another program's notes) is reported by its size and offset."""

MAX_TAG_BYTES = 128 * 2**20
"""What the tags of a file may take together, those that pages share counted each time: as numbers they take tenfold."""

MAX_ENTRIES = 65_535
"""Tags of one page: all that a classic TIFF can count."""

_CODES = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 11: "f", 12: "d", 13: "I", 16: "Q", 17: "q", 18: "Q"}
_ASCII, _RATIONAL, _UNDEFINED, _SRATIONAL = 2, 5, 7, 10
_SIZES = {number: struct.calcsize(f"={code}") for number, code in _CODES.items()} | {
    _ASCII: 1,
    _RATIONAL: 8,
    _UNDEFINED: 1,
    _SRATIONAL: 8,
}
_POINTERS = {330: "SubIFD", 34665: "Exif", 34853: "GPS"}
"""Tags whose values are offsets of further directories."""

_BLOBS = (1, 6, _UNDEFINED)
_XMP = 700
_LISTS = (273, 279, 324, 325)
"""Offsets and sizes of segments are lists even where there is one."""


class Slot(NamedTuple):
    """What a directory declares of one tag: all but its value.

    Attributes
    ----------
    place
        Of its field among those that the directory's plan unpacks.
    is_blob
        Plain bytes too long to be read.
    code
        One of its numbers as `struct` and numpy call it, byte order included; empty where it has none.
    decode
        Makes the value of a field; None where the field is the value.
    """

    number: int
    name: str
    type: str
    n_values: int
    place: int
    size_bytes: int
    is_blob: bool
    code: str
    decode: Callable[[Any], Any] | None

    def __str__(self) -> str:
        return f"{self.name} ({self.type} × {self.n_values})"


class Entry(NamedTuple):
    """One tag of one page. Its field is a number, bytes, or the size and offset of bytes that were not read."""

    slot: Slot
    field: Any

    @property
    def numbers(self) -> NDArray[Any] | None:
        """The values of an integer or float tag; None for any other."""
        if not self.slot.code:
            return None
        is_packed = isinstance(self.field, bytes)
        return np.frombuffer(self.field, self.slot.code) if is_packed else np.array([self.field], self.slot.code)

    @property
    def value(self) -> Any:
        """Number, text, list of these, [numerator, denominator] or, for long plain bytes, their size and offset."""
        return self.field if self.slot.decode is None else self.slot.decode(self.field)


@dataclass(frozen=True)
class Page:
    """One directory; `fields` has, at its place, what each slot holds.

    `index` counts the main chain from 0. A directory that a page points at has that page's index and its own `kind`.
    """

    index: int
    offset: int
    byte_order: str
    slots: tuple[Slot, ...]
    fields: Sequence[Any]
    kind: str = ""

    @cached_property
    def entries(self) -> dict[int, Entry]:
        """The tags by number."""
        return {slot.number: Entry(slot, self.fields[slot.place]) for slot in self.slots}

    def value(self, number: int) -> Any:
        """Value of a tag; None where the page has none."""
        entry = self.entries.get(number)
        return None if entry is None else entry.value

    @cached_property
    def values(self) -> dict[str, Any]:
        """Value of every tag by name."""
        return {entry.slot.name: entry.value for entry in self.entries.values()}

    def __str__(self) -> str:
        return f"{self.kind} of page {self.index}" if self.kind else f"page {self.index}"


class _Layout(NamedTuple):
    """Byte order and kind of a file."""

    byte_order: str
    is_big: bool

    @property
    def number(self) -> struct.Struct:
        """An offset."""
        return struct.Struct(self.byte_order + ("Q" if self.is_big else "I"))

    @property
    def n_entries(self) -> struct.Struct:
        """The number of tags of a page."""
        return struct.Struct(self.byte_order + ("Q" if self.is_big else "H"))

    @property
    def declaration(self) -> struct.Struct:
        """Number, type and count, with which an entry begins."""
        return struct.Struct(self.byte_order + ("HHQ" if self.is_big else "HHI"))


class _Plan(NamedTuple):
    """How to read a directory that declares certain tags: the pages of a stack are alike but for the values.

    `unpack` gives a field for each slot, then the next page's offset. The field of a value that lies outside of the
    directory is its offset.
    """

    slots: tuple[Slot, ...]
    unpack: Callable[[bytes], tuple[Any, ...]]
    outside: tuple[Slot, ...]


def is_tiff(head: bytes) -> bool:
    """Whether a file that begins so is a TIFF, classic or big, in either byte order."""
    return head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def read_pages(file: BinaryFile, *, with_inner: bool = False) -> Iterator[Page]:
    """The pages in the order of the chain; on wish with those that they point at behind them, each once.

    Raises
    ------
    FormatError
        No TIFF, no page, a chain that runs in a loop, or a directory or value outside the file: the page is named.
    """
    layout, offset = _read_header(file)
    if offset == 0:
        raise FormatError(f"{file.path}: a first page expected, found none: the file was never finished")
    reader = _Reader(file, layout)
    seen: dict[int, int] = {}
    while offset:
        if offset in seen:
            raise FormatError(
                f"{file.path}: the end of the pages expected after page {len(seen) - 1}, found a loop back to page "
                f"{seen[offset]} at byte {offset}"
            )
        seen[offset] = len(seen)
        page, offset = reader.page(len(seen) - 1, offset)
        yield page
        if with_inner:
            yield from reader.inner(page)


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


class _Reader:
    """Reads pages; directories and the values outside of them through a window each, as they may lie far apart."""

    def __init__(self, file: BinaryFile, layout: _Layout) -> None:
        self.file = file
        self.layout = layout
        self.directories, self.values = Window(file), Window(file)
        self.budget = MAX_TAG_BYTES
        self.n_entries, self.entry_bytes = layout.n_entries, layout.declaration.size + layout.number.size
        self.number_bytes = layout.number.size
        self.seen_inside: set[int] = set()

    def page(self, index: int, offset: int) -> tuple[Page, int]:
        """A page, and the next one's offset."""
        read, n_count = self.directories.read, self.n_entries.size
        (n_entries,) = self.n_entries.unpack(read(offset, n_count) or self.missing(offset, n_count, f"page {index}"))
        if n_entries > MAX_ENTRIES:
            raise FormatError(f"{self.file.path}: page {index}: at most {MAX_ENTRIES} tags expected, found {n_entries}")
        body_at, n_bytes = offset + n_count, n_entries * self.entry_bytes + self.number_bytes
        body = read(body_at, n_bytes) or self.missing(body_at, n_bytes, f"the {n_entries} tags of page {index}")
        plan = _plan(self.layout, b"".join(_declarations(self.layout, n_entries)(body)))
        self.budget -= n_bytes
        fields = list(plan.unpack(body))
        read = self.values.read
        for slot in plan.outside:
            at, n_bytes = fields[slot.place], slot.size_bytes
            if slot.is_blob:
                self.missing(at + n_bytes - 1, 1, f"{slot} of page {index}")
                fields[slot.place] = {"size_bytes": n_bytes, "offset": at}
            else:
                fields[slot.place] = read(at, n_bytes) or self.missing(at, n_bytes, f"{slot} of page {index}")
                self.budget -= n_bytes
            self.check_budget(f"page {index}")
        return Page(index, offset, self.layout.byte_order, plan.slots, fields), fields[-1]

    def inner(self, page: Page) -> Iterator[Page]:
        """The directories that a page's tags point at; one that several pages share comes with the first."""
        for slot in page.slots:
            if slot.number not in _POINTERS:
                continue
            offsets = page.entries[slot.number].numbers
            if offsets is None or offsets.dtype.kind != "u":
                continue
            for place, offset in enumerate(offsets.tolist()):
                if offset and offset not in self.seen_inside:
                    self.seen_inside.add(offset)
                    inner, _ = self.page(page.index, offset)
                    yield replace(inner, kind=f"{_POINTERS[slot.number]} {place}")

    def missing(self, offset: int, n_bytes: int, what: str) -> bytes:
        """What is in no window, straight from the file: it, or the error that says where it ought to be."""
        if offset + n_bytes <= self.file.size:
            self.check_budget(what, n_bytes)
        return self.file.read(offset, n_bytes, what)

    def check_budget(self, what: str, n_bytes: int = 0) -> None:
        """Refuse more tags than a file may have, before they are read."""
        if self.budget < n_bytes:
            raise FormatError(
                f"{self.file.path}: {what}: tags of at most {MAX_TAG_BYTES} bytes expected in one file, found more"
            )


@lru_cache(maxsize=64)
def _declarations(layout: _Layout, n_entries: int) -> Callable[[bytes], tuple[bytes, ...]]:
    """Takes number, type and count of each entry out of a directory."""
    value = f"{layout.number.size}x"
    return struct.Struct(f"{layout.declaration.size}s{value}" * n_entries + value).unpack


@lru_cache(maxsize=64)
def _plan(layout: _Layout, declarations: bytes) -> _Plan:
    order, value_bytes, offset_code = layout.byte_order, layout.number.size, layout.number.format[-1]
    codes: list[str] = []
    slots: dict[int, Slot] = {}
    for number, kind, count in layout.declaration.iter_unpack(declarations):
        codes.append(f"{layout.declaration.size}x")
        if number in slots:  # of a tag that is there twice, readers take the first
            codes.append(f"{value_bytes}x")
            continue
        size = _SIZES.get(kind, 0) * count
        is_one = count == 1 and kind in _CODES and number != _XMP and size <= value_bytes
        code, n_bytes = (offset_code, value_bytes) if size > value_bytes else (f"{size}s", size)
        if is_one:
            code = _CODES[kind]
        codes.append(f"{code}{value_bytes - n_bytes}x")
        slots[number] = _slot(order, number, kind, count, len(slots), is_one=is_one)
    outside = tuple(slot for slot in slots.values() if slot.size_bytes > value_bytes)
    unpack = struct.Struct(order + "".join(codes) + offset_code).unpack
    return _Plan(tuple(slots.values()), unpack, outside)


def _slot(order: str, number: int, kind: int, count: int, place: int, *, is_one: bool) -> Slot:
    size = _SIZES.get(kind, 0) * count
    is_blob = kind in _BLOBS and size > MAX_BLOB_BYTES
    code = "" if is_blob or kind not in _CODES else order + _CODES[kind]
    # More than a file may have is refused before it is read, so there is nothing to decode (and no `struct` so long).
    decode = None if is_blob or size > MAX_TAG_BYTES else _decoder(order, number, kind, count, is_one=is_one)
    return Slot(number, tag_name(number), type_name(kind), count, place, size, is_blob, code, decode)


def _decoder(order: str, number: int, kind: int, count: int, *, is_one: bool) -> Callable[[Any], Any] | None:
    if kind not in _SIZES:  # the specification asks readers to pass over types that they don't know
        return lambda field: None
    if kind == _ASCII or number == _XMP:
        return _text
    if kind == _UNDEFINED:
        return bytes.hex
    is_list = count != 1 or number in _LISTS
    if kind in (_RATIONAL, _SRATIONAL):
        return _rationals(struct.Struct(order + ("II" if kind == _RATIONAL else "ii")), is_list=is_list)
    if is_one:
        return (lambda field: [field]) if is_list else None
    unpack = struct.Struct(f"{order}{count}{_CODES[kind]}").unpack
    return (lambda field: list(unpack(field))) if is_list else (lambda field: unpack(field)[0])


def _rationals(pair: struct.Struct, *, is_list: bool) -> Callable[[bytes], Any]:
    if is_list:
        return lambda field: [list(parts) for parts in pair.iter_unpack(field)]
    return lambda field: list(pair.unpack(field))


def _text(data: bytes) -> str:
    """Text without the padding behind it: NULs, and the blanks and line ends that programs add."""
    data = data.rstrip(b"\0 \t\r\n")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1")
