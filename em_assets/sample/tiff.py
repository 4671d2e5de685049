"""TIFF stacks as two programs write them: ITK (strips of four rows, an IFD behind each page) and ImageJ 1.52p.

::

    ITK     header | strips of page 0 | IFD 0, its arrays | strips of page 1 | IFD 1, its arrays | …   little-endian
    ImageJ  header | IFD 0 | description | resolution | all pixels, page by page | IFD 1 | IFD 2 | …   big-endian
"""

import struct
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from em_assets.model import ZYX

_ASCII, _SHORT, _LONG, _RATIONAL = 2, 3, 4, 5


_SOFTWARE = b"InsightToolkit\0"


class Part(NamedTuple):
    """Bytes of a file that are no pixels, and where they stand."""

    offset: int
    data: bytes


def itk_stack(volume: NDArray[np.uint8], rows_per_strip: int = 4) -> bytes:
    """A stack as the Insight Toolkit writes it: every page says its number, none says its resolution."""
    head, *directories = itk_parts((volume.shape[0], volume.shape[1], volume.shape[2]), rows_per_strip)
    out = bytearray(head.data)
    for page, directory in zip(volume, directories, strict=True):
        out += page.tobytes()
        out += bytes(directory.offset - len(out))  # IFDs begin on a word
        out += directory.data
    return bytes(out)


def itk_parts(shape_zyx: ZYX, rows_per_strip: int = 4) -> Iterator[Part]:
    """All of such a file but its pixels: the header, then the IFD of each page, with which the page ends."""
    n_pages, height, width = shape_zyx
    strips_at = 8
    yield Part(0, b"II*\0" + struct.pack("<I", _on_a_word(strips_at + height * width)))
    for number in range(n_pages):
        ifd_at = _on_a_word(strips_at + height * width)
        n_strips = -(-height // rows_per_strip)
        end = ifd_at + _ifd_size(14) + 8 * n_strips + len(_SOFTWARE)
        following = 0 if number == n_pages - 1 else _on_a_word(end + height * width)
        yield Part(ifd_at, _itk_ifd(shape_zyx, number, rows_per_strip, strips_at, ifd_at, following))
        strips_at = end


def imagej_stack(
    volume: NDArray[Any], pixel_width: float, spacing: float, unit: str, display_range: tuple[float, float]
) -> bytes:
    """A stack as ImageJ writes it: big-endian, its unit and its z step in the description."""
    volume = volume.astype(volume.dtype.newbyteorder(">"))
    shape = (volume.shape[0], volume.shape[1], volume.shape[2])
    head, tail = imagej_parts(shape, volume.itemsize, pixel_width, spacing, unit, display_range)
    return head.data + volume.tobytes() + tail.data


def imagej_parts(
    shape_zyx: ZYX,
    itemsize: int,
    pixel_width: float,
    spacing: float,
    unit: str,
    display_range: tuple[float, float],
) -> tuple[Part, Part]:
    """All of such a file but its pixels: what stands before them, and the IFDs behind them."""
    n_pages, height, width = shape_zyx
    description = imagej_description(n_pages, spacing, unit, display_range)
    page_bytes = height * width * itemsize
    text_at = 8 + _ifd_size(13)
    pixels_at = text_at + len(description) + 16
    ifds_at = pixels_at + n_pages * page_bytes

    def ifd(number: int) -> bytes:
        following = 0 if number == n_pages - 1 else ifds_at + number * _ifd_size(13)
        entries = [
            (254, _LONG, 1, 0),
            (256, _LONG, 1, width),
            (257, _LONG, 1, height),
            (258, _SHORT, 1, 8 * itemsize),
            (262, _SHORT, 1, 1),
            (270, _ASCII, len(description), text_at),
            (273, _LONG, 1, pixels_at + number * page_bytes),
            (277, _SHORT, 1, 1),
            (278, _SHORT, 1, height),
            (279, _LONG, 1, page_bytes),
            (282, _RATIONAL, 1, text_at + len(description)),
            (283, _RATIONAL, 1, text_at + len(description) + 8),
            (296, _SHORT, 1, 1),  # no unit that TIFF knows
        ]
        return _ifd(">", entries, following)

    pixels_per_unit = struct.pack(">II", round(1_000_000 / pixel_width), 1_000_000)
    head = b"MM\0*" + struct.pack(">I", 8) + ifd(0) + description + 2 * pixels_per_unit
    return Part(0, head), Part(ifds_at, b"".join(ifd(number) for number in range(1, n_pages)))


def imagej_description(n_pages: int, spacing: float, unit: str, display_range: tuple[float, float]) -> bytes:
    """What ImageJ writes into `ImageDescription`, closed by a zero byte."""
    low, high = display_range
    lines = ["ImageJ=1.52p", f"images={n_pages}", f"slices={n_pages}", f"unit={unit}", f"spacing={spacing}"]
    lines += ["loop=false", f"min={float(low)}", f"max={float(high)}"]
    return ("\n".join(lines) + "\n").encode("ascii") + b"\0"


def _itk_ifd(shape_zyx: ZYX, number: int, rows_per_strip: int, strips_at: int, ifd_at: int, following: int) -> bytes:
    """The IFD with its arrays behind it."""
    n_pages, height, width = shape_zyx
    starts = range(0, height, rows_per_strip)
    counts = [min(rows_per_strip, height - row) * width for row in starts]
    offsets = [strips_at + row * width for row in starts]
    arrays_at = ifd_at + _ifd_size(14)
    entries = [
        (254, _LONG, 1, 2),  # a page of several
        (256, _SHORT, 1, width),
        (257, _SHORT, 1, height),
        (258, _SHORT, 1, 8),
        (259, _SHORT, 1, 1),
        (262, _SHORT, 1, 1),
        (273, _LONG, len(offsets), arrays_at),
        (274, _SHORT, 1, 1),
        (277, _SHORT, 1, 1),
        (278, _SHORT, 1, rows_per_strip),
        (279, _LONG, len(counts), arrays_at + 4 * len(offsets)),
        (284, _SHORT, 1, 1),
        (297, _SHORT, 2, number | n_pages << 16),
        (305, _ASCII, len(_SOFTWARE), arrays_at + 8 * len(offsets)),
    ]
    arrays = struct.pack(f"<{2 * len(offsets)}I", *offsets, *counts) + _SOFTWARE
    return _ifd("<", entries, following) + arrays


def _on_a_word(offset: int) -> int:
    return offset + offset % 2


def _ifd_size(n_entries: int) -> int:
    return 2 + 12 * n_entries + 4


def _ifd(order: str, entries: list[tuple[int, int, int, int]], following: int) -> bytes:
    parts = [struct.pack(order + "H", len(entries))]
    for tag, kind, count, value in entries:
        is_short = kind == _SHORT and count == 1
        packed = struct.pack(order + "HH", value, 0) if is_short else struct.pack(order + "I", value)
        parts.append(struct.pack(order + "HHI", tag, kind, count) + packed)
    return b"".join(parts) + struct.pack(order + "I", following)
