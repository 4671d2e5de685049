"""The tag tree of a DM3 or DM4 file in one pass over its headers: payloads of arrays are stepped over, never read.

Layout (counts are big-endian, of 4 bytes in version 3 and 8 in version 4; values follow the file's byte order)::

    version  tree's size  byte order  │ group: sorted open n_tags tag…
    tag:  21 name_length name [size]  %%%%  n_info info… payload       a value
          20 name_length name [size]  group                            a branch
    info: type | 15 0 n_fields (0 type)… | 18 length | 20 <element info> count
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NoReturn

from em_assets.errors import FormatError
from em_assets.formats.binary import BinaryFile
from em_assets.formats.trees import described

MAX_TAGS = 2_000_000
MAX_DEPTH = 64
MAX_PATH_LENGTH = 2000
MAX_INFO = 4096
"""Numbers that declare one value's type; a struct of 2,000 fields is beyond anything seen."""

MAX_TEXT_BYTES = 128 * 1024
"""A longer array of uint16 is data, not text."""

MAX_LIST = 256
"""A longer array is reported by its size and offset alone."""

_GROUP, _VALUE = 20, 21
_STRUCT, _STRING, _ARRAY = 15, 18, 20

_SIMPLE = {
    2: ("int16", "h"),
    3: ("int32", "i"),
    4: ("uint16", "H"),
    5: ("uint32", "I"),
    6: ("float32", "f"),
    7: ("float64", "d"),
    8: ("bool", "?"),
    9: ("int8", "b"),
    10: ("uint8", "B"),
    11: ("int64", "q"),
    12: ("uint64", "Q"),
}
_UINT16 = 4


@dataclass(frozen=True)
class DMTag:
    """One value of the tree; `offset` is where its payload begins, `size_bytes` how long that is.

    `value` is None for an array that is reported by size and offset only, and for an empty group (type `group`).
    """

    path: str
    value: Any
    type: str
    offset: int
    size_bytes: int
    is_array: bool = False


@dataclass(frozen=True)
class DMHeader:
    """Version (3 or 4) and byte order (`<` or `>`) of a file's values, and where its tree's root begins."""

    version: int
    byte_order: str
    root_offset: int


@dataclass
class _Group:
    path: str
    n_tags: int
    next_index: int = 0


def read_header(file: BinaryFile) -> DMHeader:
    """The file's own header.

    Raises
    ------
    FormatError
        Not version 3 or 4, an unknown byte order, or a tree that is longer than the file.
    """
    head = file.read(0, min(512, file.size), "the version")
    version = int.from_bytes(head[:4])
    if version not in (3, 4):
        raise FormatError(f"{file.path}: a DM file of version 3 or 4 (at byte 0) expected, found {described(head)}")
    width = _count_bytes(version)
    tree_size = int.from_bytes(file.read(4, width, "the tree's size"))
    order_at = 4 + width
    order = int.from_bytes(file.read(order_at, 4, "the byte order"))
    if order not in (0, 1):
        raise FormatError(f"{file.path}: byte order 0 or 1 expected at byte {order_at}, found {order}")
    if tree_size > file.size:
        raise FormatError(
            f"{file.path}: the header at byte 4 declares {tree_size} bytes, the file has {file.size}: it is cut short"
        )
    return DMHeader(version, "<" if order == 1 else ">", order_at + 4)


def walk_tags(file: BinaryFile) -> Iterator[DMTag]:
    """Every value of the tree in file order, and every empty group, each once.

    A tag without a name takes its position in its group, counted from 0. Linear in the file's size, with a stack of at
    most `MAX_DEPTH` groups.

    Raises
    ------
    FormatError
        Naming the byte at which the file breaks off, contradicts itself or exceeds a limit.
    """
    header = read_header(file)
    walker = _Walker(file, header)
    yield from walker.walk()
    trailing = file.size - walker.at
    if 0 < trailing < 8:
        raise FormatError(
            f"{file.path}: 8 zero bytes expected after the tags at byte {walker.at}, found {trailing}: it is cut short"
        )


class _Walker:
    """Position in the file and the open groups of one pass."""

    def __init__(self, file: BinaryFile, header: DMHeader) -> None:
        self.file = file
        self.order = header.byte_order
        self.is_dm4 = header.version == 4
        self.count_bytes = _count_bytes(header.version)
        self.at = header.root_offset
        self.n_tags = 0

    def walk(self) -> Iterator[DMTag]:
        stack = [self.group("")]
        while stack:
            group = stack[-1]
            if group.next_index == group.n_tags:
                stack.pop()
                continue
            kind, path = self.tag_head(group)
            if kind == _VALUE:
                yield self.value(path)
                continue
            inner = self.group(path)
            if inner.n_tags == 0:
                yield DMTag(path, None, "group", self.at, 0)
                continue
            if len(stack) >= MAX_DEPTH:
                self.refuse(f"groups nested at most {MAX_DEPTH} deep expected, found {path[:80]!r} deeper")
            stack.append(inner)

    def group(self, path: str) -> _Group:
        self.take(2, "a group's flags")
        at = self.at
        n_tags = self.count("a group's number of tags")
        # The shortest tag is an empty unnamed group: kind, length of name, flags, count.
        shortest = 5 + self.count_bytes + (8 if self.is_dm4 else 0)
        if not 0 <= n_tags * shortest <= self.file.size - self.at:
            self.refuse(
                f"tags in the remaining {self.file.size - self.at} bytes expected, found a group of {n_tags}", at
            )
        return _Group(path, n_tags)

    def tag_head(self, group: _Group) -> tuple[int, str]:
        at = self.at
        self.n_tags += 1
        if self.n_tags > MAX_TAGS:
            self.refuse(f"at most {MAX_TAGS} tags expected, found more")
        kind, name_length = struct.unpack(">BH", self.take(3, "a tag"))
        if kind not in (_GROUP, _VALUE):
            self.refuse(f"a tag's kind 20 or 21 expected, found {kind}", at)
        name = _decoded_name(self.take(name_length, "a tag's name")) if name_length else str(group.next_index)
        group.next_index += 1
        if self.is_dm4:
            self.take(8, "a tag's size")
        path = f"{group.path}.{name}" if group.path else name
        if len(path) > MAX_PATH_LENGTH:
            self.refuse(f"a tag path of at most {MAX_PATH_LENGTH} characters expected, found {path[:80]!r}…", at)
        return kind, path

    def value(self, path: str) -> DMTag:
        at = self.at
        if self.take(4, "a value's mark") != b"%%%%":
            self.refuse(f"%%%% expected before the value of {path}", at)
        n_info = self.count("the length of a value's type")
        if not 1 <= n_info <= MAX_INFO:
            self.refuse(f"a type of 1 to {MAX_INFO} numbers expected for {path}, found {n_info}", at + 4)
        info = struct.unpack(
            f">{n_info}{'q' if self.is_dm4 else 'i'}", self.take(n_info * self.count_bytes, f"the type of {path}")
        )
        kind, size, used = self.measured(info, 0, path, at)
        if used != n_info:
            self.refuse(f"a type of {used} numbers expected for {path}, found {n_info}", at + 4)
        payload_at = self.at
        if size > self.file.size - payload_at:
            self.refuse(f"{size} bytes of {path} expected, only {self.file.size - payload_at} follow: cut short")
        is_text = _is_text(info, size, path)
        is_array = info[0] in (_ARRAY, _STRING) and not is_text
        value = self.decoded(info, size, path) if not is_array or _is_listed(info, path) else None
        self.at = payload_at + size
        return DMTag(path, value, "utf-16 text" if is_text else kind, payload_at, size, is_array)

    def measured(self, info: tuple[int, ...], index: int, path: str, at: int) -> tuple[str, int, int]:
        """Name of the type declared from `index`, bytes of such a value, and the index behind the declaration."""
        rest = len(info) - index
        kind = info[index] if rest > 0 else -1
        if kind in _SIMPLE:
            name, code = _SIMPLE[kind]
            return name, struct.calcsize(f"={code}"), index + 1
        if kind == _STRUCT and rest >= 3 and info[index + 2] >= 0 and rest >= 3 + 2 * info[index + 2]:
            end = index + 3 + 2 * info[index + 2]
            fields = [_SIMPLE.get(field) for field in info[index + 4 : end : 2]]
            if None not in fields:
                known = [field for field in fields if field]
                size = sum(struct.calcsize(f"={code}") for _, code in known)
                return f"struct({', '.join(name for name, _ in known)})", size, end
        if kind == _STRING and rest >= 2 and info[index + 1] >= 0:
            return "utf-16 text", 2 * info[index + 1], index + 2
        if kind == _ARRAY and rest >= 3 and index < 8:
            name, size, used = self.measured(info, index + 1, path, at)
            if used < len(info) and info[used] >= 0:
                return f"array({name}, {info[used]})", size * info[used], used + 1
        raise FormatError(
            f"{self.file.path}: a known type expected at byte {at + 4} for {path}, found {list(info[:8])}"
        )

    def decoded(self, info: tuple[int, ...], size: int, path: str) -> Any:
        data = self.file.read(self.at, size, f"the value of {path}")
        if info[0] in _SIMPLE:
            return struct.unpack(f"{self.order}{_SIMPLE[info[0]][1]}", data)[0]
        if info[0] == _STRUCT:
            return list(struct.unpack(self.order + "".join(_SIMPLE[field][1] for field in info[4::2]), data))
        if info[0] == _STRING or info[1] == _UINT16:
            # A lone surrogate cannot be stored as UTF-8, so it becomes U+FFFD like any other broken character.
            return data.decode("utf-16-le" if self.order == "<" else "utf-16-be", "replace")
        code = _SIMPLE[info[1]][1]
        return list(struct.unpack(f"{self.order}{info[2]}{code}", data))

    def count(self, what: str) -> int:
        return int.from_bytes(self.take(self.count_bytes, what), signed=True)

    def take(self, n_bytes: int, what: str) -> bytes:
        data = self.file.read(self.at, n_bytes, what)
        self.at += n_bytes
        return data

    def refuse(self, problem: str, at: int | None = None) -> NoReturn:
        raise FormatError(f"{self.file.path}: {problem} (at byte {self.at if at is None else at})")


def _count_bytes(version: int) -> int:
    return 4 if version == 3 else 8


def _decoded_name(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1")  # what Digital Micrograph itself writes: `Emission Current (µA)`


def is_pixels(path: str) -> bool:
    """Whether a tag's path is that of an image's payload, which no pass over the tags reads."""
    return path.endswith("ImageData.Data")


def _is_text(info: tuple[int, ...], size: int, path: str) -> bool:
    """An array of uint16 is how these files write text; only an image's own payload may be short and yet no text."""
    is_characters = info[0] == _STRING or (info[0] == _ARRAY and info[1] == _UINT16)
    return is_characters and size <= MAX_TEXT_BYTES and not is_pixels(path)


def _is_listed(info: tuple[int, ...], path: str) -> bool:
    is_simple = info[0] == _ARRAY and len(info) == 3 and info[1] in _SIMPLE
    return is_simple and info[1] != _UINT16 and info[2] <= MAX_LIST and not is_pixels(path)
