"""TIFF stacks as two programs write them: ITK (strips of four rows, an IFD behind each page) and ImageJ 1.52p.

::

    ITK     header | strips of page 0 | IFD 0, its arrays | strips of page 1 | IFD 1, its arrays | …   little-endian
    ImageJ  header | IFD 0 | description | resolution | all pixels, page by page | IFD 1 | IFD 2 | …   big-endian
"""

import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

_ASCII, _SHORT, _LONG, _RATIONAL = 2, 3, 4, 5


def itk_stack(volume: NDArray[np.uint8], rows_per_strip: int = 4) -> bytes:
    """A stack as the Insight Toolkit writes it: every page says its number, none says its resolution."""
    out = bytearray(b"II*\0" + bytes(4))
    link = 4  # where the offset of the next IFD has to stand
    for number, page in enumerate(volume):
        first_strip = len(out)
        out += page.tobytes() + bytes((first_strip + page.size) % 2)  # IFDs begin on a word
        ifd_at = len(out)
        struct.pack_into("<I", out, link, ifd_at)
        ifd, link_in_ifd = _itk_ifd(page.shape, number, len(volume), rows_per_strip, first_strip, ifd_at)
        out += ifd
        link = ifd_at + link_in_ifd
    return bytes(out)


def imagej_stack(
    volume: NDArray[Any], pixel_width: float, spacing: float, unit: str, display_range: tuple[float, float]
) -> bytes:
    """A stack as ImageJ writes it: big-endian, its unit and its z step in the description."""
    volume = volume.astype(volume.dtype.newbyteorder(">"))
    description = imagej_description(len(volume), spacing, unit, display_range)
    n_pages, page_bytes = len(volume), volume[0].nbytes
    text_at = 8 + _ifd_size(13)
    pixels_at = text_at + len(description) + 16
    ifds_at = pixels_at + volume.nbytes

    def ifd(number: int) -> bytes:
        following = 0 if number == n_pages - 1 else ifds_at + number * _ifd_size(13)
        height, width = volume.shape[1:]
        entries = [
            (254, _LONG, 1, 0),
            (256, _LONG, 1, width),
            (257, _LONG, 1, height),
            (258, _SHORT, 1, 8 * volume.itemsize),
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
    return head + volume.tobytes() + b"".join(ifd(number) for number in range(1, n_pages))


def imagej_description(n_pages: int, spacing: float, unit: str, display_range: tuple[float, float]) -> bytes:
    """What ImageJ writes into `ImageDescription`, closed by a zero byte."""
    low, high = display_range
    lines = ["ImageJ=1.52p", f"images={n_pages}", f"slices={n_pages}", f"unit={unit}", f"spacing={spacing}"]
    lines += ["loop=false", f"min={float(low)}", f"max={float(high)}"]
    return ("\n".join(lines) + "\n").encode("ascii") + b"\0"


def _itk_ifd(
    shape_yx: tuple[int, ...], number: int, n_pages: int, rows_per_strip: int, first_strip: int, ifd_at: int
) -> tuple[bytes, int]:
    """The IFD with its arrays behind it, and where in it the offset of the next IFD stands."""
    height, width = shape_yx
    starts = range(0, height, rows_per_strip)
    counts = [min(rows_per_strip, height - row) * width for row in starts]
    offsets = [first_strip + row * width for row in starts]
    software = b"InsightToolkit\0"
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
        (305, _ASCII, len(software), arrays_at + 8 * len(offsets)),
    ]
    arrays = struct.pack(f"<{2 * len(offsets)}I", *offsets, *counts) + software
    return _ifd("<", entries, 0) + arrays, _ifd_size(14) - 4


def _ifd_size(n_entries: int) -> int:
    return 2 + 12 * n_entries + 4


def _ifd(order: str, entries: list[tuple[int, int, int, int]], following: int) -> bytes:
    parts = [struct.pack(order + "H", len(entries))]
    for tag, kind, count, value in entries:
        is_short = kind == _SHORT and count == 1
        packed = struct.pack(order + "HH", value, 0) if is_short else struct.pack(order + "I", value)
        parts.append(struct.pack(order + "HHI", tag, kind, count) + packed)
    return b"".join(parts) + struct.pack(order + "I", following)
