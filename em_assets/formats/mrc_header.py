"""The 1024 bytes in front of every MRC map: MRC2014, and what IMOD and older CCP4 programs leave in its spare words."""

import struct
from dataclasses import dataclass
from typing import Any

from em_assets.errors import FormatError
from em_assets.formats.trees import described

HEADER_BYTES = 1024
MAX_AXIS = 1 << 24

_IMOD_STAMP = 1146047817
_MODES = frozenset({0, 1, 2, 3, 4, 6, 12, 16, 101})

_FIELDS = (
    ("nx", 0, "i"),
    ("ny", 4, "i"),
    ("nz", 8, "i"),
    ("mode", 12, "i"),
    ("nxstart", 16, "i"),
    ("nystart", 20, "i"),
    ("nzstart", 24, "i"),
    ("mx", 28, "i"),
    ("my", 32, "i"),
    ("mz", 36, "i"),
    ("cella_x", 40, "f"),
    ("cella_y", 44, "f"),
    ("cella_z", 48, "f"),
    ("cellb_alpha", 52, "f"),
    ("cellb_beta", 56, "f"),
    ("cellb_gamma", 60, "f"),
    ("mapc", 64, "i"),
    ("mapr", 68, "i"),
    ("maps", 72, "i"),
    ("dmin", 76, "f"),
    ("dmax", 80, "f"),
    ("dmean", 84, "f"),
    ("ispg", 88, "i"),
    ("nsymbt", 92, "i"),
    ("exttyp", 104, "4s"),
    ("nversion", 108, "i"),
    ("origin_x", 196, "f"),
    ("origin_y", 200, "f"),
    ("origin_z", 204, "f"),
    ("map", 208, "4s"),
    ("machst", 212, "4B"),
    ("rms", 216, "f"),
    ("nlabl", 220, "i"),
)
_TYPES = {"i": "int32", "f": "float32", "4s": "char[4]", "4B": "uint8[4]"}


@dataclass(frozen=True)
class Header:
    """A header's fields as (name, value, type), in order, and the byte order that makes sense of them."""

    byte_order: str
    fields: tuple[tuple[str, Any, str], ...]

    @property
    def values(self) -> dict[str, Any]:
        """Value of each field by name; `imod_stamp` and `imod_flags` are there only where IMOD wrote."""
        return {name: value for name, value, _ in self.fields}

    @property
    def extended_bytes(self) -> int:
        """Size of the extended header."""
        return int(self.values["nsymbt"])

    @property
    def extended_type(self) -> str:
        """What kind of extended header it says it is; empty where it does not."""
        return str(self.values["exttyp"])

    def size_bytes(self, itemsize: int) -> int:
        """Bytes that the whole file must have at least."""
        values: dict[str, int] = self.values
        return HEADER_BYTES + self.extended_bytes + values["nx"] * values["ny"] * values["nz"] * itemsize


def is_header(data: bytes) -> bool:
    """Whether these 1024 bytes make sense in either byte order."""
    return _byte_order(data) is not None


def parse_header(path: str, data: bytes) -> Header:
    """The fields of a header.

    Raises
    ------
    FormatError
        They make no sense in either byte order: sizes below 1, an unknown mode, axes that are no permutation.
    """
    order = _byte_order(data)
    if order is None:
        raise FormatError(
            f"{path}: an MRC header expected (sizes of 1 or more, a known mode, MAPC/R/S a permutation of 1, 2, 3), "
            f"found {described(data)}"
        )
    fields = [(name, _field(data, order, at, code), _TYPES[code]) for name, at, code in _FIELDS]
    stamp, flags = struct.unpack_from(f"{order}2i", data, 152)
    if stamp == _IMOD_STAMP:
        fields += [("imod_stamp", stamp, "int32"), ("imod_flags", flags, "int32")]
    if any(data[96:104]) or any(data[112:196]):  # spare words, which every program fills in its own way
        fields.append(("extra", data[96:196].hex(), "bytes"))
    n_labels = min(max({name: value for name, value, _ in fields}["nlabl"], 0), 10)
    for index in range(n_labels):
        text = data[224 + 80 * index : 304 + 80 * index]
        fields.append((f"label.{index}", _text(text), "char[80]"))
    return Header(order, tuple(fields))


def _field(data: bytes, order: str, at: int, code: str) -> Any:
    values = struct.unpack_from(f"{order}{code}", data, at)
    if code == "4s":
        return _text(values[0])
    return list(values) if code == "4B" else values[0]


def _text(data: bytes) -> str:
    return data.split(b"\0")[0].decode("latin-1").rstrip()


def _byte_order(data: bytes) -> str | None:
    """The machine stamp's byte order where that makes sense, else the other where that does: stamps are often wrong."""
    stamped = "<" if data[212] == 0x44 else ">"
    other = ">" if stamped == "<" else "<"
    return next((order for order in (stamped, other) if _is_plausible(data, order)), None)


def _is_plausible(data: bytes, order: str) -> bool:
    nx, ny, nz, mode = struct.unpack_from(f"{order}4i", data)
    axes = struct.unpack_from(f"{order}3i", data, 64)
    (extended,) = struct.unpack_from(f"{order}i", data, 92)
    return (
        all(1 <= size <= MAX_AXIS for size in (nx, ny, nz))
        and mode in _MODES
        and (sorted(axes) == [1, 2, 3] or axes == (0, 0, 0))
        and 0 <= extended <= 1 << 30
    )
