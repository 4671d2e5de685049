"""DM3 files as DigitalMicrograph 3.21 writes them: the tag tree of one slice, from a table of tags.

::

    header   version 3, size of the tree, byte order 1        three big-endian int32
    group    is_sorted, is_open, number of entries            then the entries
    entry    20 for a group or 21 for data, length, name      a list's members have no name
    data     "%%%%", number of type words, type words         then the value, little-endian
"""

import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

_CODES = {"i2": 2, "i4": 3, "u2": 4, "u4": 5, "f4": 6, "f8": 7, "bool": 8}
_PACK = {"i2": "h", "i4": "i", "u2": "H", "u4": "I", "f4": "f", "f8": "d", "bool": "?"}
_STRUCT, _ARRAY, _OCTET = 15, 20, 10
_PIXEL_CODES = {np.dtype(np.uint8): 10, np.dtype(np.uint32): 5}  # GMS calls bytes "octets"


@dataclass
class _Group:
    """A dictionary (named, sorted) or a list (unnamed) of tags."""

    is_list: bool
    entries: dict[str, "_Group | bytes"] = field(default_factory=dict)


def dm3_bytes(rows: Iterable[Sequence[Any]], slice_index: int, images: Mapping[str, NDArray[Any]]) -> bytes:
    """The DM3 file of one slice.

    `rows` are `[path, type, value]` in file order as in `empiar_11759_tags.json`; `images` are the pixels by the path
    of their `Data` tag, the last of them the slice itself, whose size fills `width` and `height`.
    """
    height, width = list(images.values())[-1].shape
    root = _Group(is_list=False)
    for path, kind, value in rows:
        if isinstance(value, dict):
            value = value["each"][slice_index]
        _place(root, path.split("."), _entry(path, kind, _sized(value, height, width), images))
    tree = _group_bytes(root)
    # The size counts the tree and its trailer as far as the file's last 16 bytes, as GMS does.
    return struct.pack(">iii", 3, len(tree) + 4, 1) + tree + bytes(8)


def _sized(value: Any, height: int, width: int) -> Any:
    if isinstance(value, list):
        return [_sized(part, height, width) for part in value]
    return {"height": height, "width": width}.get(value, value) if isinstance(value, str) else value


def _place(root: _Group, names: list[str], entry: _Group | bytes) -> None:
    group = root
    for name, child in pairwise(names):
        below = group.entries.setdefault(name, _Group(is_list=child.startswith("#")))
        if not isinstance(below, _Group):
            raise TypeError(f"{'.'.join(names)}: {name} is a value and cannot hold tags")
        group = below
    group.entries[names[-1]] = entry


def _entry(path: str, kind: str, value: Any, images: Mapping[str, NDArray[Any]]) -> _Group | bytes:
    if kind in ("group", "list"):
        return _Group(is_list=kind == "list")
    if kind == "text":
        text = value.encode("utf-16-le")
        return _data((_ARRAY, _CODES["u2"], len(text) // 2), text)
    if kind == "octets":
        return _data((_ARRAY, _OCTET, value), bytes(value))
    if kind == "colour table":
        ramp = np.repeat(np.arange(value, dtype="<u2") * 257, 3)
        return _data((_ARRAY, _STRUCT, 0, 3, 0, 2, 0, 2, 0, 2, value), ramp.tobytes())
    if kind == "pixels":
        image = images[path]
        return _data((_ARRAY, _PIXEL_CODES[image.dtype], image.size), image.tobytes())
    if kind.startswith("struct "):
        return _struct(kind.split()[1:], value)
    return _data((_CODES[kind],), struct.pack("<" + _PACK[kind], value))


def _struct(kinds: list[str], values: Sequence[Any]) -> bytes:
    words = [_STRUCT, 0, len(kinds)]
    for kind in kinds:
        words += [0, _CODES[kind]]
    return _data(words, struct.pack("<" + "".join(_PACK[kind] for kind in kinds), *values))


def _data(type_words: Sequence[int], value: bytes) -> bytes:
    return b"%%%%" + struct.pack(f">i{len(type_words)}i", len(type_words), *type_words) + value


def _group_bytes(group: _Group) -> bytes:
    parts = [struct.pack(">??i", not group.is_list, False, len(group.entries))]
    for name, entry in group.entries.items():
        label = b"" if name.startswith("#") else name.encode("latin-1")
        is_group = isinstance(entry, _Group)
        parts.append(struct.pack(">BH", 20 if is_group else 21, len(label)) + label)
        parts.append(_group_bytes(entry) if isinstance(entry, _Group) else entry)
    return b"".join(parts)
