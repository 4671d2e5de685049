"""Where a TIFF page keeps its pixels, checked against the file, and how they are read box by box."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from em_assets.errors import FormatError, UnsupportedDataError
from em_assets.formats.binary import BinaryFile, fill_rows
from em_assets.formats.tiff_pages import Page

MAX_SEGMENT_BYTES = 2**30
"""A compressed strip or tile is decoded whole, so a larger one is refused."""

_KINDS = {1: "uint", 2: "int", 3: "float", 4: "uint"}
_DTYPES = {f"uint{bits}" for bits in (8, 16, 32, 64)} | {f"int{bits}" for bits in (8, 16, 32, 64)}
_DTYPES |= {f"float{bits}" for bits in (16, 32, 64)}
_COLOURS = {2: "RGB colour", 3: "palette colour", 5: "CMYK colour", 6: "YCbCr colour", 8: "CIELab colour"}


@dataclass(frozen=True)
class PagePixels:
    """One page's pixels: `dtype` is the file's, segments are strips (whole rows) or tiles, of `sizes` bytes."""

    index: int
    offset: int
    shape_yx: tuple[int, int]
    dtype: np.dtype[Any]
    segment_yx: tuple[int, int]
    offsets: NDArray[np.int64]
    sizes: NDArray[np.int64]
    compression: int
    is_plain: bool

    @property
    def row_bytes(self) -> int:
        """Bytes of a whole row, uncompressed."""
        return self.shape_yx[1] * self.dtype.itemsize

    @property
    def size_bytes(self) -> int:
        """Bytes of the page, uncompressed."""
        return self.shape_yx[0] * self.row_bytes

    @property
    def is_contiguous(self) -> bool:
        """Whether the page is one run of bytes in the file."""
        steps = np.diff(self.offsets)
        return self.is_plain and bool(np.all(steps == self.segment_yx[0] * self.row_bytes))


def page_pixels(file: BinaryFile, page: Page) -> PagePixels:
    """Shape, type and place of a page's pixels, every segment of which lies inside the file.

    Raises
    ------
    UnsupportedDataError
        Colour, complex, or a type that is no whole number of bytes.
    FormatError
        A segment is missing or outside the file, or the page does not say what it needs to.
    """
    shape = (_integer(file, page, 257), _integer(file, page, 256))
    if min(shape) < 1:
        raise FormatError(f"{file.path}: {page}: ImageLength and ImageWidth of 1 or more expected, found {shape}")
    dtype = np.dtype(dtype_name(file.path, page)).newbyteorder(page.byte_order)  # type: ignore[arg-type]
    is_tiled = 322 in page.entries
    segment = (
        (_integer(file, page, 323), _integer(file, page, 322))
        if is_tiled
        else (min(_integer(file, page, 278, shape[0]), shape[0]), shape[1])
    )
    compression = _integer(file, page, 259, 1)
    if min(segment) < 1:
        raise FormatError(f"{file.path}: {page}: strips or tiles of 1 or more pixels expected, found {segment} (y, x)")
    is_plain = compression == 1 and not is_tiled and _integer(file, page, 266, 1) == 1
    none = np.zeros(0, np.int64)
    pixels = PagePixels(page.index, page.offset, shape, dtype, segment, none, none, compression, is_plain)
    if not is_plain and segment[0] * segment[1] * dtype.itemsize > MAX_SEGMENT_BYTES:
        raise UnsupportedDataError(
            f"{file.path}: {page}: compressed strips or tiles of at most {MAX_SEGMENT_BYTES} bytes expected, found "
            f"{segment} (y, x) {dtype.name}: write it anew in smaller ones"
        )
    if is_plain and pixels.size_bytes > file.size:
        raise FormatError(
            f"{file.path}: {page}: {pixels.size_bytes} bytes of pixels expected, the file has {file.size}: cut short; "
            "fetch it again"
        )
    offsets, sizes = _checked_places(file, page, pixels, is_tiled=is_tiled)
    return replace(pixels, offsets=offsets, sizes=sizes)


def dtype_name(path: str, page: Page) -> str:
    """The page's data type as numpy calls it.

    Raises
    ------
    UnsupportedDataError
        Colour, complex, or a type that is no whole number of bytes: the message says which.

    A palette that shows each value as itself is none: Zeiss microscopes write one with every grey image.
    """
    samples = _first(page, 277, 1)
    photometric = _first(page, 262, 1)
    if (photometric in _COLOURS and not _has_grey_palette(page)) or samples != 1:
        kind = _COLOURS.get(photometric, "multi-sample")
        raise UnsupportedDataError(
            f"{path}: {page} holds {kind} data ({samples} samples a pixel); grey images become volumes"
        )
    if _first(page, 32997, 1) != 1:
        raise UnsupportedDataError(f"{path}: {page} is {_first(page, 32997, 1)} images deep; flat pages become volumes")
    bits, sample_format = _first(page, 258, 1), _first(page, 339, 1)
    if sample_format in (5, 6):
        raise UnsupportedDataError(f"{path}: {page} holds complex data ({bits} bits); real numbers become volumes")
    name = f"{_KINDS.get(sample_format, f'format {sample_format} of ')}{bits}"
    if name not in _DTYPES:
        raise UnsupportedDataError(
            f"{path}: {page} holds {name} data ({bits} bits a sample); whole bytes of uint, int or float become volumes"
        )
    return name


def _has_grey_palette(page: Page) -> bool:
    """Whether the colours are red, green and blue ramps of 16 bits in whose upper byte each of 256 values stands."""
    entry = page.entries.get(320)
    numbers = None if entry is None else entry.numbers
    if _first(page, 262, 1) != 3 or numbers is None or len(numbers) != 3 * 256:
        return False
    return np.array_equal(numbers >> 8, np.tile(np.arange(256), 3))


def read_plain_box(file: BinaryFile, pixels: PagePixels, start_yx: tuple[int, int], out: NDArray[Any]) -> None:
    """Fill a box (y, x) of an uncompressed page in strips: only its rows are read, neighbouring strips at once."""
    first, end = start_yx[0], start_yx[0] + out.shape[0]
    rows = pixels.segment_yx[0]
    row = first
    while row < end:
        strip = last = row // rows
        while (last + 1) * rows < end and pixels.offsets[last + 1] - pixels.offsets[last] == rows * pixels.row_bytes:
            last += 1
        stop = min(end, (last + 1) * rows)
        at = int(pixels.offsets[strip]) + (row - strip * rows) * pixels.row_bytes
        rows_out, what = out[row - first : stop - first], f"strip {strip} of page {pixels.index}"
        fill_rows(file, at, pixels.dtype, pixels.shape_yx[1], start_yx[1], rows_out, what)
        row = stop


def _checked_places(
    file: BinaryFile, page: Page, pixels: PagePixels, *, is_tiled: bool
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Offset and size of every segment, all of them inside the file."""
    (height, width), (rows, columns) = pixels.shape_yx, pixels.segment_yx
    n_segments = -(-height // rows) * -(-width // columns)
    kind, offset_tag, count_tag = ("tile", 324, 325) if is_tiled else ("strip", 273, 279)
    offsets = _positions(file, page, offset_tag, n_segments, kind)
    needed = np.full(n_segments, rows * columns * pixels.dtype.itemsize, np.uint64)
    if not is_tiled:
        needed[-1] = (height - (n_segments - 1) * rows) * columns * pixels.dtype.itemsize
    if count_tag in page.entries:
        counts = _positions(file, page, count_tag, n_segments, kind)
    elif pixels.compression == 1:
        counts = needed
    else:
        raise FormatError(f"{file.path}: {page}: the sizes of its {n_segments} {kind}s expected, found none")
    small = counts < (needed if pixels.compression == 1 else np.uint64(1))
    outside = (offsets > file.size) | (counts > np.uint64(file.size) - np.minimum(offsets, np.uint64(file.size)))
    missing = offsets == 0
    for bad, problem in (
        (missing, "is missing"),
        (small, "is too small for its pixels"),
        (outside, "is outside the file"),
    ):
        if bad.any():
            first = int(np.argmax(bad))
            raise FormatError(
                f"{file.path}: {page}: {kind} {first} of {n_segments} {problem} ({counts[first]} bytes at byte "
                f"{offsets[first]}; the file has {file.size}): it is cut short or was never finished; fetch it again"
            )
    return offsets.astype(np.int64), counts.astype(np.int64)


def _positions(file: BinaryFile, page: Page, number: int, n_segments: int, kind: str) -> NDArray[np.uint64]:
    entry = page.entries.get(number)
    numbers = None if entry is None else entry.numbers
    if numbers is None or numbers.dtype.kind not in "ui" or len(numbers) < n_segments:
        found = "none" if numbers is None else len(numbers)
        raise FormatError(f"{file.path}: {page}: {n_segments} {kind}s expected by its size, found {found}")
    return numbers[:n_segments].astype(np.uint64)


def _first(page: Page, number: int, default: int) -> int:
    entry = page.entries.get(number)
    numbers = None if entry is None else entry.numbers
    return default if numbers is None or len(numbers) == 0 or numbers.dtype.kind not in "ui" else int(numbers[0])


def _integer(file: BinaryFile, page: Page, number: int, default: int | None = None) -> int:
    if number not in page.entries and default is None:
        raise FormatError(f"{file.path}: {page}: tag {number} expected, found none")
    return _first(page, number, -1 if default is None else default)
