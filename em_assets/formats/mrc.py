"""MRC and CCP4 maps (`.map`, `.rec`, `.st`, `.ali`, also in gzip or bzip2): header fields as tags, a lazy volume.

The header is 1024 bytes, then an extended header of `nsymbt` bytes, then the voxels: sections of rows of columns, which
are z, y, x unless MAPC, MAPR and MAPS say otherwise. The cell is in ångström, spatial x, y, z whatever the order.
"""

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from em_assets.errors import FormatError, UnsupportedDataError
from em_assets.formats.binary import (
    BinaryFile,
    Opener,
    binary_from_bytes,
    file_name,
    open_binary,
    read_box,
    read_box_into,
)
from em_assets.formats.mrc_header import HEADER_BYTES, Header, is_header, parse_header
from em_assets.formats.packed import PACKED_SUFFIXES, UnpackedFile, unpacked, unpacked_head
from em_assets.formats.slices import stack_or_separate
from em_assets.formats.trees import described
from em_assets.formats.volume import SourceLevel, SourceVolume
from em_assets.model import ZYX, PartialFloatZYX, Tag, Witness
from em_assets.units import to_nm

NAME = "mrc"
MARKERS: tuple[str, ...] = ()

SUFFIXES = (".mrc", ".mrcs", ".map", ".ccp4", ".rec", ".st", ".ali")

MAX_UNPACKED_BYTES = 8 * 2**30
"""A packed map is unpacked into a temporary file, so a larger one is refused with the way out."""

MAX_HEX_BYTES = 1024 * 1024
"""A longer extended header is described by its type and size alone."""

_MRC2014 = 20140
"""The version of the first format in which mode 0 has a sign."""

_REFUSED = {3: "complex (2 × int16)", 4: "complex (2 × float32)", 16: "RGB colour", 101: "4-bit"}


def matches(head: bytes, name: str) -> bool:
    """Whether a file begins as an MRC map does, packed or not.

    Maps from before 2000 have no `MAP ` stamp: their fields must be plausible and their name an MRC map's.
    """
    lower = name.casefold()
    bare = next((lower.removesuffix(suffix) for suffix in PACKED_SUFFIXES if lower.endswith(suffix)), lower)
    is_named_so = bare.endswith(SUFFIXES)
    if is_named_so and head.startswith(b"BZh"):
        return True  # a bzip2 block is larger than any head: the name decides, opening looks
    if is_named_so and head.startswith(b"\x1f\x8b"):
        head = unpacked_head(head)
    if len(head) < HEADER_BYTES or not is_header(head[:HEADER_BYTES]):
        return False
    return is_named_so or head[208:212] in (b"MAP ", b"MAP\0")


def read_tags(path: str) -> Iterator[Tag]:
    """Every field of one file's header, its labels, and what its extended header is.

    Raises
    ------
    FormatError
        No MRC header, or a file that ends inside its headers.
    """
    with _opener(path, headers_only=True)() as file:
        header = _header(file)
        extended = file.read(HEADER_BYTES, min(header.extended_bytes, MAX_HEX_BYTES), "the extended header")
    yield from (Tag("header", name, value, kind) for name, value, kind in header.fields)
    if header.extended_bytes:
        yield Tag("extended_header", "type", header.extended_type, "char[4]")
        yield Tag("extended_header", "size_bytes", header.extended_bytes, "int32")
        if header.extended_bytes <= MAX_HEX_BYTES:
            yield Tag("extended_header", "hex", extended.hex(), "bytes")


def open_volumes(paths: Sequence[str]) -> list[SourceVolume]:
    """The volume of each file, several for a stack of volumes; 2-D images of several files are the slices of one.

    A packed file is unpacked into a temporary file, once, when its first voxel is read.

    Raises
    ------
    UnsupportedDataError
        Complex, colour or 4-bit voxels.
    FormatError
        No MRC header, or a file that is shorter than it declares.
    """
    return stack_or_separate([volume for path in paths for volume in _open_file(path)])


def witnesses(tags: Iterable[Tag]) -> Iterator[Witness]:
    """What one file's header says."""
    values = {tag.path: tag.value for tag in tags if tag.container == "header"}
    if "mode" not in values:
        return
    for axis, size in zip("xyz", _spacings_angstrom(values), strict=True):
        if size is not None:
            raw = f"{values[f'cella_{axis}']} / {values[f'm{axis}']}"
            yield Witness(f"voxel_size_{axis}_nm", size, "Å", f"header: cella_{axis} / m{axis}", raw)
        elif values[f"cella_{axis}"] < 0:
            # No length, and no unset cell either: said, so that it is found and not passed over.
            yield Witness(
                f"voxel_size_{axis}_nm",
                values[f"cella_{axis}"],
                "Å",
                f"header: cella_{axis}",
                str(values[f"cella_{axis}"]),
            )
    dtype = _dtype_name(values)
    if dtype:
        yield Witness("dtype", dtype, None, "header: mode", str(values["mode"]))
    if values["mode"] == 0 and values["dmin"] <= values["dmax"]:
        yield from _sign_of_bytes(values["dmin"], values["dmax"])
    order = _axis_order(values)
    stored = (_depth(values), values["ny"], values["nx"])
    if stored[0] > 1:
        shape = [stored[order.index(axis)] for axis in (3, 2, 1)]
        yield Witness("shape_zyx", shape, None, "header: nx, ny, nz", str(list(stored[::-1])))


def _sign_of_bytes(least: float, greatest: float) -> Iterator[Witness]:
    """What the header's own statistics say of mode 0, which had no sign in older programs: only some values tell."""
    if -128 <= least < 0:
        yield Witness("dtype", "int8", None, "header: dmin", str(least))
    if 127 < greatest <= 255:
        yield Witness("dtype", "uint8", None, "header: dmax", str(greatest))


def _open_file(path: str) -> list[SourceVolume]:
    open_file = _opener(path, headers_only=False)
    with _opener(path, headers_only=True)() as file:
        header = _header(file)
    values = header.values
    dtype_name = _dtype_name(values)
    if dtype_name is None:
        reason = _REFUSED.get(values["mode"], f"unknown (mode {values['mode']})")
        raise UnsupportedDataError(f"{path}: {reason} voxels; modes 0, 1, 2, 6 and 12 become volumes")
    dtype = np.dtype(dtype_name).newbyteorder(header.byte_order)  # type: ignore[arg-type]
    if not isinstance(open_file, _Packed):
        with open_file() as file:
            _check_sections(file, header, dtype.itemsize)
    map_ = _Map(path, open_file, dtype, header)
    stem = _stem(path)
    depth = _depth(values)
    if depth == values["nz"]:
        return [_volume(map_, stem, 0, depth)]
    return [_volume(map_, f"{stem}_v{n}", n * depth, depth) for n in range(values["nz"] // depth)]


def _check_sections(file: BinaryFile, header: Header, itemsize: int) -> None:
    """Refuse a file that ends before its last section, or goes on for a section: an acquisition that was broken off.

    Less than a section behind the last one is padding, which some programs write.
    """
    n_sections, declared = header.values["nz"], header.size_bytes(itemsize)
    file.read(declared - 1, 1, f"the last of {n_sections} sections")
    n_more = (file.size - declared) // (header.values["nx"] * header.values["ny"] * itemsize)
    if n_more:
        raise FormatError(
            f"{file.path}: {n_sections} sections declared by nz, found {n_sections + n_more} in the file: the header "
            "was not brought up to date; mend nz, or fetch the file again"
        )


@dataclass(frozen=True)
class _Map:
    """One file's voxels."""

    path: str
    open_file: Opener
    dtype: np.dtype[Any]
    header: Header


def _volume(map_: _Map, name: str, first_section: int, n_sections: int) -> SourceVolume:
    values = map_.header.values
    stored = (n_sections, values["ny"], values["nx"])
    order = _axis_order(values)
    # Position among (section, row, column) of z, y and x.
    z, y, x = (order.index(axis) for axis in (3, 2, 1))
    plane_bytes = stored[1] * stored[2] * map_.dtype.itemsize
    offset = HEADER_BYTES + map_.header.extended_bytes + first_section * plane_bytes

    def read(start_zyx: ZYX, shape_zyx: ZYX) -> NDArray[Any]:
        start, extent = [0, 0, 0], [0, 0, 0]
        for place, first, size in zip((z, y, x), start_zyx, shape_zyx, strict=True):
            start[place], extent[place] = first, size
        with map_.open_file() as file:
            box = read_box(
                file, offset, map_.dtype, stored, (start[0], start[1], start[2]), (extent[0], extent[1], extent[2])
            )
        return np.ascontiguousarray(box.transpose(z, y, x))

    def read_into(start_zyx: ZYX, out: NDArray[Any]) -> None:
        with map_.open_file() as file:
            read_box_into(file, offset, map_.dtype, stored, start_zyx, out)

    is_in_order = (z, y, x) == (0, 1, 2)
    level = SourceLevel(
        (stored[z], stored[y], stored[x]),
        _voxel_size_zyx_nm(values),
        read,
        read_into=read_into if is_in_order else None,
    )
    dtype = map_.dtype.newbyteorder("=")
    packing = {".gz": "gzip", ".bz2": "bzip2"}.get(f".{map_.path.rsplit('.', 1)[-1].casefold()}")
    return SourceVolume(name, NAME, dtype, (level,), (map_.path,), compressor=packing)


def _header(file: BinaryFile) -> Header:
    if file.size < HEADER_BYTES:
        head = file.read(0, file.size, "an MRC header")
        raise FormatError(f"{file.path}: an MRC header of {HEADER_BYTES} bytes expected, found {described(head)}")
    return parse_header(file.path, file.read(0, HEADER_BYTES, "an MRC header"))


def _dtype_name(values: Mapping[str, Any]) -> str | None:
    """None for a mode that becomes no volume.

    Mode 0 is signed since MRC2014; IMOD's own stamp says otherwise by a flag. A header that does not name MRC2014, and
    whose statistics lie where signed bytes do not reach, is of an older program's unsigned ones.
    """
    if values["mode"] == 0:
        if values.get("imod_stamp") is not None:
            return "int8" if values["imod_flags"] & 1 else "uint8"
        is_beyond = 0 <= values["dmin"] <= values["dmax"] and 127 < values["dmax"] <= 255
        return "uint8" if is_beyond and values["nversion"] < _MRC2014 else "int8"
    return {1: "int16", 2: "float32", 6: "uint16", 12: "float16"}.get(values["mode"])


def _depth(values: Mapping[str, Any]) -> int:
    """Sections of a volume: all, or `mz` in a stack of volumes (space group 401 and above)."""
    is_stack = values["ispg"] >= 401 and values["mz"] > 0 and values["nz"] % values["mz"] == 0
    return int(values["mz"] if is_stack and _axis_order(values) == (3, 2, 1) else values["nz"])


def _axis_order(values: Mapping[str, Any]) -> tuple[int, int, int]:
    """Which spatial axis (1 x, 2 y, 3 z) sections, rows and columns run along; zeros mean that nobody set them."""
    order = (values["maps"], values["mapr"], values["mapc"])
    return (3, 2, 1) if order == (0, 0, 0) else order


def _spacings_angstrom(values: Mapping[str, Any]) -> tuple[float | None, float | None, float | None]:
    """Cell over intervals along x, y, z; None for a cell that nobody set (0) or that counts backwards (below 0).

    A stack of images (space group 0) whose cell is one section deep has no z step.
    """
    x, y, z = (
        values[f"cella_{axis}"] / values[f"m{axis}"] if values[f"m{axis}"] > 0 and values[f"cella_{axis}"] > 0 else None
        for axis in "xyz"
    )
    is_image_stack = values["ispg"] == 0 and values["mz"] == 1
    return (x, y, None if is_image_stack else z)


def _voxel_size_zyx_nm(values: Mapping[str, Any]) -> PartialFloatZYX:
    x, y, z = (None if size is None else to_nm(size, "Å") for size in _spacings_angstrom(values))
    return (z, y, x)


def _stem(path: str) -> str:
    name = file_name(path)
    for suffix in PACKED_SUFFIXES:
        if name.casefold().endswith(suffix):
            name = name[: -len(suffix)]
    return name.rsplit(".", 1)[0]


def _opener(path: str, *, headers_only: bool) -> Opener:
    lower = path.casefold()
    if not lower.endswith(PACKED_SUFFIXES):
        return lambda: open_binary(path)
    if headers_only:
        return lambda: binary_from_bytes(path, unpacked(path, HEADER_BYTES + MAX_HEX_BYTES))
    return _Packed(path)


class _Packed:
    """Opens a packed file; unpacks it on first use and keeps the bytes as long as the volume lives."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._unpacked: UnpackedFile | None = None

    def __call__(self) -> BinaryFile:
        with self._lock:
            if self._unpacked is None:
                self._unpacked = _unpacked_map(self.path)
            return self._unpacked.open()


def _unpacked_map(path: str) -> UnpackedFile:
    with binary_from_bytes(path, unpacked(path, HEADER_BYTES)) as file:
        header = _header(file)
    declared = header.size_bytes(np.dtype(_dtype_name(header.values) or "uint8").itemsize)
    if declared > MAX_UNPACKED_BYTES:
        raise UnsupportedDataError(f"{path}: {declared} bytes unpacked are too many to unpack on the side: unpack it")
    return UnpackedFile(path, declared)
