"""Small documents beside a volume: JSON, points (`.ndjson`), and what tilt series bring along, as tags; no voxels.

SerialEM's `.mdoc`, IMOD's `.tlt`, `.rawtlt`, `.xtilt` and `.xf`, AreTomo's `.aln`, CTFFIND's `…ctffind….txt`, and
`.csv`. Known by their names: nothing in their first bytes tells one list of numbers from another.
"""

import csv
import json
import math
import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from em_assets.errors import FormatError, SourceMissingError, UnsupportedDataError
from em_assets.formats.binary import file_name, open_binary
from em_assets.formats.json_tags import flatten
from em_assets.formats.trees import parse_json
from em_assets.formats.volume import SourceVolume
from em_assets.model import Tag, Witness

NAME = "document"
MARKERS: tuple[str, ...] = ()

MAX_BYTES = 64 << 20
"""Points of the largest public annotations take some megabytes."""

MAX_LINES = 100_000
"""Of a table; tilt series have a hundred sections."""

NUMBERS = (".tlt", ".rawtlt", ".xtilt", ".xf", ".aln")

_SECTION = re.compile(r"\[\s*(?P<key>[^=\]]+?)\s*=\s*(?P<value>.*?)\s*\]")
_PAIR = re.compile(r"(?P<key>[^=]+?)\s*=\s*(?P<value>.*)")
_IS_PIXEL = ("PixelSpacing", "Voltage", "DateTime")


def matches(head: bytes, name: str) -> bool:
    """Whether a file of that name is one; `head` does not tell."""
    lower = name.casefold()
    is_ctf = lower.endswith(".txt") and "ctffind" in lower
    return is_ctf or lower.endswith((*NUMBERS, ".json", ".ndjson", ".mdoc", ".csv"))


def read_tags(path: str) -> Iterator[Tag]:
    """Every value of a document; of points how many there are, of which types, and between which coordinates.

    Raises
    ------
    FormatError
        It is empty, too large, or not what its name promises.
    """
    name, text = file_name(path).casefold(), _text(path)
    if name.endswith(".json"):
        yield from flatten("document", parse_json(path, text.encode()))
    elif name.endswith(".ndjson"):
        yield from _points(path, text)
    elif name.endswith(".mdoc"):
        yield from _mdoc(path, text)
    elif name.endswith(".csv"):
        yield from _csv(path, text)
    else:
        yield from _numbers(path, text)


def is_whole(path: str) -> bool:
    """Whether it can be read to its end."""
    try:
        deque(read_tags(path), maxlen=0)
    except FormatError:
        return False
    return True


def witnesses(tags: Iterable[Tag]) -> Iterator[Witness]:
    """What a microscope's notes (`.mdoc`) say; of JSON its archive speaks, which knows what the keys mean."""
    said = [tag for tag in tags if tag.type == "mdoc" and tag.path in _IS_PIXEL]
    first = {tag.path: tag for tag in reversed(said)}
    for key, fields, unit in (
        ("PixelSpacing", ("voxel_size_y_nm", "voxel_size_x_nm"), "Å"),
        ("Voltage", ("accelerating_voltage_kv",), "kV"),
        ("DateTime", ("acquired_at",), None),
    ):
        if key in first:
            tag = first[key]
            for field in fields:
                yield Witness(field, tag.value, unit, f"{tag.container}: {key}", str(tag.value))


def open_volumes(paths: Sequence[str]) -> list[SourceVolume]:
    """Never a volume.

    Raises
    ------
    UnsupportedDataError
        Always.
    """
    raise UnsupportedDataError(f"{paths[0]}: a document, not a volume; its tags can be read")


def points(path: str) -> Iterator[dict[str, Any]]:
    """The points of an `.ndjson` file, one JSON object each, with a `location` of finite x, y, z.

    Raises
    ------
    FormatError
        A line is no such point.
    """
    return _read_points(path, _text(path))


def _read_points(path: str, text: str) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            point = json.loads(line)
            is_placed = all(math.isfinite(float(point["location"][axis])) for axis in "xyz")
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise FormatError(f"{path}, line {number}: a point with a location x, y, z expected: {error}") from error
        if not is_placed:
            raise FormatError(f"{path}, line {number}: a location of finite numbers expected")
        yield point


def _points(path: str, text: str) -> Iterator[Tag]:
    found = list(_read_points(path, text))
    yield Tag("points", "count", len(found), "number of lines")
    yield Tag("points", "types", sorted({str(point.get("type")) for point in found}), "json:array")
    for axis in "xyz" if found else "":
        places = [float(point["location"][axis]) for point in found]
        yield Tag("points", f"location.{axis}", [min(places), max(places)], "least and greatest")


def _mdoc(path: str, text: str) -> Iterator[Tag]:
    """Pairs before the first section are the file's own; `[T = …]` are titles; others are sections of the series."""
    container, n_pairs = "header", 0
    for number, line in enumerate(_lines(path, text), 1):
        section, pair = _SECTION.fullmatch(line), _PAIR.fullmatch(line)
        if section and section["key"] == "T":
            yield Tag("titles", str(number), section["value"], "mdoc")
        elif section:
            container = f"{section['key']} {section['value']}"
        elif pair:
            n_pairs += 1
            yield Tag(container, pair["key"], _value(pair["value"]), "mdoc")
        elif line:
            raise FormatError(f"{path}, line {number}: `key = value` or `[section = value]` expected")
    if not n_pairs:
        raise FormatError(f"{path}: an .mdoc of SerialEM expected, found no `key = value`")


def _numbers(path: str, text: str) -> Iterator[Tag]:
    for number, line in enumerate(_lines(path, text), 1):
        if line.startswith("#"):
            yield Tag("comments", str(number), line.lstrip("# "), "text")
        elif line:
            values = [_value(word) for word in line.split()]
            if any(isinstance(value, str) for value in values):
                raise FormatError(f"{path}, line {number}: numbers expected, found {line[:60]!r}")
            yield Tag("lines", str(number), values if len(values) > 1 else values[0], "number")


def _csv(path: str, text: str) -> Iterator[Tag]:
    try:
        for number, row in enumerate(csv.DictReader(_lines(path, text), strict=True), 1):
            for column, value in row.items():
                yield Tag(f"row {number}", str(column), value, "text")
    except csv.Error as error:
        raise FormatError(f"{path}: a table with commas expected: {error}") from error


def _lines(path: str, text: str) -> list[str]:
    lines = [line.strip() for line in text.splitlines()]
    if len(lines) > MAX_LINES:
        raise FormatError(f"{path}: at most {MAX_LINES} lines expected, found {len(lines)}")
    return lines


def _value(text: str) -> Any:
    for kind in (int, float):
        try:
            value = kind(text)
        except ValueError:
            continue
        return value if math.isfinite(value) else text
    return text


def _text(path: str) -> str:
    try:
        with open_binary(path) as file:
            if file.size > MAX_BYTES:
                raise FormatError(f"{path}: a document of at most {MAX_BYTES:,} bytes expected, found {file.size:,}")
            data = file.read(0, file.size, "a document") if file.size else b""
    except SourceMissingError as error:
        raise FormatError(f"{path}: nothing there") from error
    if not data.strip():
        raise FormatError(f"{path}: a document expected, found nothing: a placeholder, or cut short")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FormatError(f"{path}: UTF-8 text expected, found other bytes at {error.start}") from error
