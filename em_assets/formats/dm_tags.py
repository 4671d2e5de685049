"""The tag tree of a DM3 or DM4 file in one pass over its headers: payloads of arrays are stepped over, never read.

Layout (counts are big-endian, of 4 bytes in version 3 and 8 in version 4; values follow the file's byte order)::

    version  tree's size  byte order  │ group: sorted open n_tags tag…
    tag:  21 name_length name [size]  %%%%  n_info info… payload       a value
          20 name_length name [size]  group                            a branch
    info: type | 15 0 n_fields (0 type)… | 18 length | 20 <element info> count
"""

import codecs
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple, NoReturn

from em_assets.errors import FormatError
from em_assets.formats.binary import BinaryFile
from em_assets.formats.trees import described

MAX_TAGS = 2_000_000
SHORTEST_TAG = 9
"""Bytes of an empty unnamed group: kind, length of name, flags, number of tags."""

MAX_DEPTH = 64
MAX_PATH_LENGTH = 2000
MAX_INFO = 1024
"""Numbers that declare one value's type; a struct of 500 fields is beyond anything seen."""

MAX_HEADS = 16384
"""So many names with their types are remembered from file to file."""

MAX_TEXT_BYTES = 128 * 1024
"""A longer array of uint16 is data, not text."""

MAX_LIST = 256
"""A longer array is reported by its size and offset alone."""

WINDOW_BYTES = 64 * 1024
"""So much of the file is held at a time; what is stepped over further than that is never read."""

_LONGEST_HEAD = 3 + MAX_PATH_LENGTH + 8 + 12 + 8 * MAX_INFO
"""Bytes from a tag's beginning to its payload at most: as long as the window holds them, no step asks the file."""

PIXELS = "ImageData.Data"
"""Where an image's payload lies, which no pass over the tags reads."""

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


class DMTag(NamedTuple):
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
    width = 4 if version == 3 else 8
    tree_size = int.from_bytes(file.read(4, width, "the tree's size"))
    order_at = 4 + width
    order = int.from_bytes(file.read(order_at, 4, "the byte order"))
    if order not in (0, 1):
        raise FormatError(f"{file.path}: byte order 0 or 1 expected at byte {order_at}, found {order}")
    if tree_size > file.size:
        raise FormatError(
            f"{file.path}: the header at byte 4 declares {tree_size} bytes, the file has {file.size}: it is cut short; "
            "fetch it again"
        )
    return DMHeader(version, "<" if order == 1 else ">", order_at + 4)


def walk_tags(file: BinaryFile) -> Iterator[tuple[str, Any, str, int, int, bool]]:
    """Every value of the tree in file order, and every empty group, each once; as plain tuples of `DMTag`'s fields.

    A tag without a name takes its position in its group, counted from 0. Linear in the file's size, with a stack of at
    most `MAX_DEPTH` groups.

    Raises
    ------
    FormatError
        Naming the byte at which the file breaks off, contradicts itself or exceeds a limit.
    """
    return _Walker(file, read_header(file)).walk()


class _Walker:
    """One pass over the tree.

    Written for speed, as a file is some hundred tiny tags: one loop, its position `i` counted in a window of the file,
    and each name with its type understood once.
    """

    def __init__(self, file: BinaryFile, header: DMHeader) -> None:
        self.file = file
        self.order = header.byte_order
        self.is_dm4 = header.version == 4
        self.at = header.root_offset
        self.n_tags = 0
        self.heads, self.groups = _met(self.order, self.is_dm4)

    def walk(self) -> Iterator[tuple[str, Any, str, int, int, bool]]:
        try:
            yield from self.tags()
        except (struct.error, IndexError):
            self.refuse("a tag expected, the file ends inside it: cut short; fetch it again")
        trailing = self.file.size - self.at
        if 0 < trailing < 8:
            self.refuse(f"8 zero bytes expected after the tags, found {trailing}: cut short; fetch it again")

    def tags(self) -> Iterator[tuple[str, Any, str, int, int, bool]]:
        file_size, heads = self.file.size, self.heads
        # Kind, length of name, the size in DM4, mark, number of type words and these: one of a number, three of a text.
        number_head, text_head = (31, 47) if self.is_dm4 else (15, 23)
        groups, group_head = self.groups, (21 if self.is_dm4 else 9)
        data, base, near_end = self.window(self.at)
        n_tags, i = self.n_tags_of_group(data, 0)
        self.check_group("", n_tags, file_size - base - i)
        prefix, index = "", 0
        outer: list[tuple[str, int, int]] = []
        while True:
            while index == n_tags:
                if not outer:
                    self.at = base + i
                    return
                prefix, index, n_tags = outer.pop()
            self.at = base + i
            if i > near_end:
                data, base, near_end = self.window(self.at)
                i = 0
            if data[i] == _VALUE:
                n_name = data[i + 2]
                name, head_bytes, type_name, size, unpack, decode, array_name = (
                    heads.get(data[i : i + number_head + n_name])
                    or heads.get(data[i : i + text_head + n_name])
                    or self.head(data, i)
                )
                path = prefix + (name or str(index))
                index += 1
                i += head_bytes
                offset = base + i
                if offset + size > file_size:
                    left = file_size - offset
                    self.refuse(f"{size} bytes of {path} expected, only {left} follow: cut short; fetch it again")
                if unpack is not None:
                    (value,) = unpack(data, i)
                    yield path, value, type_name, offset, size, False
                elif decode is None or (array_name and path.endswith(PIXELS)):  # pixels are never text, however few
                    yield path, None, array_name, offset, size, True
                else:
                    payload = data[i : i + size] if i + size <= len(data) else self.file.read(offset, size, path)
                    yield path, decode(payload), type_name, offset, size, type_name == array_name
                i += size
                continue
            name, head_bytes, n_inner = groups.get(data[i : i + group_head + data[i + 2]]) or self.group(data, i)
            path = prefix + (name or str(index))
            index += 1
            i += head_bytes
            self.check_group(path, n_inner, file_size - base - i)
            if n_inner == 0:
                yield path, None, "group", base + i, 0, False
                continue
            if len(outer) >= MAX_DEPTH:
                self.refuse(f"groups nested at most {MAX_DEPTH} deep expected, found {path[:80]!r} deeper")
            outer.append((prefix, index, n_tags))
            prefix, index, n_tags = f"{path}.", 0, n_inner

    def window(self, at: int) -> tuple[bytes, int, int]:
        """The file from a place on, that place, and how far a tag may begin in it with all of its head inside."""
        count = min(WINDOW_BYTES, self.file.size - at)
        data = self.file.read(at, count, "tags")
        return data, at, count if at + count == self.file.size else count - _LONGEST_HEAD

    def group(self, data: bytes, i: int) -> tuple[str, int, int]:
        """Name of the group that begins at `i`, bytes to its first tag, and how many it has; remembered."""
        name, at = self.name(data, i)
        n_tags, at = self.n_tags_of_group(data, at)
        if len(self.groups) > MAX_HEADS:
            self.groups.clear()
        self.groups[data[i:at]] = name, at - i, n_tags
        return name, at - i, n_tags

    def n_tags_of_group(self, data: bytes, i: int) -> tuple[int, int]:
        """Number of tags of the group whose flags stand at `i`, and where the first one begins."""
        layout = struct.Struct(">2xq" if self.is_dm4 else ">2xi")
        return layout.unpack_from(data, i)[0], i + layout.size

    def check_group(self, path: str, n_tags: int, n_left: int) -> None:
        """Refuse a path that is too long, and more tags than fit into the bytes that are left."""
        self.n_tags += n_tags
        if not 0 <= n_tags * SHORTEST_TAG <= n_left:
            self.refuse(f"tags in the remaining {n_left} bytes expected, found a group of {n_tags}")
        if self.n_tags > MAX_TAGS:
            self.refuse(f"at most {MAX_TAGS} tags expected, found more")
        if len(path) > MAX_PATH_LENGTH:
            self.refuse(f"a tag path of at most {MAX_PATH_LENGTH} characters expected, found {path[:80]!r}…")

    def name(self, data: bytes, i: int) -> tuple[str, int]:
        """Name of the tag at `i`, and where its contents begin."""
        kind, n_name = struct.unpack_from(">BH", data, i)
        if kind not in (_GROUP, _VALUE):
            self.refuse(f"a tag's kind 20 or 21 expected, found {kind}")
        if n_name > MAX_PATH_LENGTH:
            self.refuse(f"a tag's name of at most {MAX_PATH_LENGTH} bytes expected, found {n_name}")
        end = i + 3 + n_name
        return _decoded_name(data[i + 3 : end]), end + (8 if self.is_dm4 else 0)

    def head(self, data: bytes, i: int) -> "_Head":
        """What stands before the payload of the value at `i`; remembered by its bytes."""
        name, at = self.name(data, i)
        width, letter = (8, "q") if self.is_dm4 else (4, "i")
        mark, n_words = struct.unpack_from(f">4s{letter}", data, at)
        if mark != b"%%%%" or not 1 <= n_words <= MAX_INFO:
            self.refuse(f"%%%% and a type of 1 to {MAX_INFO} numbers expected for {name}, found {mark!r} and {n_words}")
        words = struct.unpack_from(f">{n_words}{letter}", data, at + 4 + width)
        found = _declared(name, at + 4 + width * (1 + n_words) - i, words, self.order)
        if found is None:
            measured = _measured(words, 0)
            expected = "a known type" if measured is None else f"a type of {measured[2]} numbers"
            self.refuse(f"{expected} expected for {name}, found {list(words[:8])}")
        if len(self.heads) > MAX_HEADS:
            self.heads.clear()
        self.heads[data[i : i + found.head_bytes]] = found
        return found

    def refuse(self, problem: str) -> NoReturn:
        raise FormatError(f"{self.file.path}: {problem} (at byte {self.at})")


class _Head(NamedTuple):
    """A value's name and declared type.

    Attributes
    ----------
    name
        Empty where it has none.
    head_bytes
        From the tag's beginning to the payload.
    unpack
        Takes one number out of a window; None for anything but numbers.
    decode
        Makes a value of a payload; None where only size and offset are told.
    array_name
        The type where the payload is an array rather than text; equal to `type` for one that is.
    """

    name: str
    head_bytes: int
    type: str
    size_bytes: int
    unpack: Callable[[bytes, int], tuple[Any, ...]] | None = None
    decode: Callable[[bytes], Any] | None = None
    array_name: str = ""


@lru_cache
def _met(order: str, is_dm4: bool) -> tuple[dict[bytes, _Head], dict[bytes, tuple[str, int, int]]]:
    """The heads of values and of groups met so far, by their bytes: the files of a series carry the same ones."""
    return {}, {}


def _declared(name: str, head_bytes: int, words: tuple[int, ...], order: str) -> _Head | None:
    """What type words declare; None where they make no sense."""
    measured = _measured(words, 0)
    if measured is None or measured[2] != len(words):
        return None
    kind, size, _ = measured
    first = words[0]
    if first in _SIMPLE:
        return _Head(name, head_bytes, kind, size, unpack=struct.Struct(order + _SIMPLE[first][1]).unpack_from)
    if first == _STRUCT:
        fields = "".join(_SIMPLE[word][1] for word in words[4::2])
        return _Head(name, head_bytes, kind, size, decode=_lister(order + fields))
    if first == _STRING or words[1] == _UINT16:  # an array of uint16 is how these files write text
        if size > MAX_TEXT_BYTES:
            return _Head(name, head_bytes, kind, size, array_name=kind)
        # Straight from `codecs`: bytes.decode finds this codec by way of Python, several times as slow.
        decode = codecs.utf_16_le_decode if order == "<" else codecs.utf_16_be_decode
        # A lone surrogate cannot be stored as UTF-8, so it becomes U+FFFD like any other broken character.
        return _Head(
            name, head_bytes, "utf-16 text", size, decode=lambda data: decode(data, "replace", True)[0], array_name=kind
        )
    is_listed = len(words) == 3 and words[1] in _SIMPLE and words[2] <= MAX_LIST
    read_list = _lister(f"{order}{words[2]}{_SIMPLE[words[1]][1]}") if is_listed else None
    return _Head(name, head_bytes, kind, size, decode=read_list, array_name=kind)


def _measured(words: tuple[int, ...], index: int) -> tuple[str, int, int] | None:
    """Name of the type declared from `index`, bytes of such a value, and the index behind the declaration."""
    rest = len(words) - index
    kind = words[index] if rest > 0 else -1
    if kind in _SIMPLE:
        name, code = _SIMPLE[kind]
        return name, struct.calcsize(f"={code}"), index + 1
    if kind == _STRUCT and rest >= 3 and words[index + 2] >= 0 and rest >= 3 + 2 * words[index + 2]:
        end = index + 3 + 2 * words[index + 2]
        fields = [_SIMPLE.get(word) for word in words[index + 4 : end : 2]]
        known = [field for field in fields if field]
        if len(known) == len(fields):
            size = sum(struct.calcsize(f"={code}") for _, code in known)
            return f"struct({', '.join(name for name, _ in known)})", size, end
    if kind == _STRING and rest >= 2 and words[index + 1] >= 0:
        return "utf-16 text", 2 * words[index + 1], index + 2
    if kind == _ARRAY and rest >= 3 and index < 8:
        element = _measured(words, index + 1)
        if element is not None and element[2] < len(words) and words[element[2]] >= 0:
            name, size, used = element
            return f"array({name}, {words[used]})", size * words[used], used + 1
    return None


def _lister(code: str) -> Callable[[bytes], list[Any]]:
    unpack = struct.Struct(code).unpack
    return lambda data: list(unpack(data))


def _decoded_name(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1")  # what Digital Micrograph itself writes: `Emission Current (µA)`
