"""An archive's record as it was fetched: read within bounds, its values found again by JSON pointer."""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from em_assets.errors import FormatError

MOST_RECORD_BYTES = 16 << 20
"""Records are small documents; the largest public ones hold a few megabytes."""

MOST_RAW_CHARACTERS = 2000
_SHOWN_BYTES = 60


class ArchiveWitness(NamedTuple):
    """What an archive's record says of one field.

    Attributes
    ----------
    volume
        Which of the archive's things it speaks of, as the record names it: a file, a folder or a path (`places` finds
        the dataset's volumes by it). None for the dataset as a whole.
    field, value, unit
        As the record writes them. A value of None: it says something that is not of the usual form; `raw` has it.
    locator
        JSON pointer, or row and column.
    raw
        The text itself, cut where it is long.
    is_unconfirmed
        Nobody here has seen a real record of this form.
    """

    volume: str | None
    field: str
    value: Any
    unit: str | None
    locator: str
    raw: str
    is_unconfirmed: bool = False


@dataclass(frozen=True)
class Node:
    """A value of a JSON document and where it stands there; a missing key is a node of None."""

    value: Any
    pointer: str = ""

    def get(self, *keys: str | int) -> "Node":
        """The value below these keys and list indices."""
        node = self
        for key in keys:
            node = Node(node._child(key), f"{node.pointer}/{_escaped(key)}")
        return node

    def nodes(self) -> list["Node"]:
        """The items of a list; a lone object is a list of one."""
        if isinstance(self.value, list):
            return [self.get(index) for index in range(len(self.value))]
        return [self] if isinstance(self.value, dict) else []

    def nodes_of_text(self) -> list[str | None]:
        """The items of a list as words, in their places; None for one that is none."""
        return [Node(value).text() for value in self.value] if isinstance(self.value, list) else []

    def items(self) -> list[tuple[str, "Node"]]:
        """The keys and values of an object."""
        return [(key, self.get(key)) for key in self.value] if isinstance(self.value, dict) else []

    def text(self) -> str | None:
        """Words, blanks around them gone; None for anything else and for none."""
        return (self.value.strip() or None) if isinstance(self.value, str) else None

    def number(self) -> float | int | None:
        """A finite number, also one written as text."""
        return as_number(self.value)

    def whole(self) -> int | None:
        """A whole number above 0."""
        number = self.number()
        return int(number) if number is not None and number > 0 and number == int(number) else None

    @property
    def is_empty(self) -> bool:
        """Whether it says nothing at all."""
        return self.value is None or self.value in ("", [], {}) or (isinstance(self.value, str) and not self.text())

    @property
    def raw(self) -> str:
        """Its own text; anything but text as JSON."""
        text = self.value if isinstance(self.value, str) else json.dumps(self.value, ensure_ascii=False)
        return shortened(text)

    def _child(self, key: str | int) -> Any:
        if isinstance(key, int):
            return self.value[key] if isinstance(self.value, list) and key < len(self.value) else None
        return self.value.get(key) if isinstance(self.value, dict) else None


def said(
    field: str,
    node: Node,
    value: Any,
    unit: str | None = None,
    *,
    volume: str | None = None,
    is_unconfirmed: bool = False,
) -> Iterator[ArchiveWitness]:
    """One witness; of the value None where something stands there that could not be read; none where nothing does."""
    if value is not None:
        yield ArchiveWitness(volume, field, value, unit, node.pointer, node.raw, is_unconfirmed)
    elif not node.is_empty:
        yield ArchiveWitness(volume, field, None, None, node.pointer, node.raw, is_unconfirmed=True)


def said_text(
    field: str, node: Node, *, volume: str | None = None, is_unconfirmed: bool = False
) -> Iterator[ArchiveWitness]:
    """One witness of words."""
    yield from said(field, node, node.text(), volume=volume, is_unconfirmed=is_unconfirmed)


def said_date(field: str, node: Node, *, volume: str | None = None) -> Iterator[ArchiveWitness]:
    """One witness of a day: in ISO form, or as written and unconfirmed where it is another."""
    text = node.text()
    yield from said(field, node, text, volume=volume, is_unconfirmed=text is not None and not is_iso_date(text))


def said_names(field: str, nodes: list[Node], of: Node, *, volume: str | None = None) -> Iterator[ArchiveWitness]:
    """One witness of a list of names, those that are no text left out."""
    names = [name for node in nodes if (name := node.text())]
    yield from said(field, of, names or None, volume=volume)


def said_axes(of: Node, unit: str | None, *, volume: str | None = None) -> Iterator[ArchiveWitness]:
    """The voxel size along z, y and x of an object with these keys; a flipped axis has its length all the same."""
    for axis in "zyx":
        node = of.get(axis)
        number = node.number()
        yield from said(f"voxel_size_{axis}_nm", node, None if number is None else abs(number), unit, volume=volume)


def load_json(path: str, document: bytes) -> Node:
    """The document, whatever it holds.

    Raises
    ------
    FormatError
        Too large, not JSON, not UTF-8, nested too deeply.
    """
    check_size(path, len(document))
    try:
        return Node(json.loads(document, parse_constant=str))
    except RecursionError as error:
        raise FormatError(f"{path}: JSON nested too deeply for an archive's record") from error
    except ValueError as error:
        start = document[:_SHOWN_BYTES]
        raise FormatError(f"{path}: JSON expected, found {start!r} ({shortened(str(error), 200)})") from error


def load_text(path: str, document: bytes) -> str:
    """The text of a table, its byte order mark gone.

    Raises
    ------
    FormatError
        Too large, or not UTF-8: at which byte.
    """
    check_size(path, len(document))
    try:
        return document.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        found = document[error.start : error.start + 8]
        raise FormatError(f"{path}: UTF-8 text expected, found {found!r} at byte {error.start}") from error


def check_size(path: str, n_bytes: int) -> None:
    """Refuse what is no record by its size alone.

    Raises
    ------
    FormatError
        More than `MOST_RECORD_BYTES`.
    """
    if n_bytes > MOST_RECORD_BYTES:
        raise FormatError(
            f"{path}: an archive's record of at most {MOST_RECORD_BYTES:,} bytes expected, {n_bytes:,} found"
        )


def shortened(text: str, most: int = MOST_RAW_CHARACTERS) -> str:
    """The text, cut where it is longer."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def is_iso_date(text: str) -> bool:
    """Whether a text is a day, or a moment, in ISO form."""
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def as_number(value: Any) -> float | int | None:
    """A finite number, also one written as text; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    if not math.isfinite(number):
        return None
    return value if isinstance(value, int) else number


def _escaped(key: str | int) -> str:
    return str(key).replace("~", "~0").replace("/", "~1")
