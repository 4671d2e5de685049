"""Compressed and tiled TIFF pages, decoded strip by strip or tile by tile, and no more of them than a box touches.

A codec that is told how much room it has, and knows nothing of pictures, cannot do worse than fail: those run here.
Those that parse headers of their own (JPEG, JPEG 2000, WebP, …) run in a child, where they may ask for the moon.
"""

import struct
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from em_assets.errors import FormatError
from em_assets.formats.binary import BinaryFile, open_binary
from em_assets.formats.jpeg import check_end
from em_assets.formats.limited import call_limited, limits_for
from em_assets.formats.tiff_pixels import PagePixels

CACHE_BYTES = 256 * 2**20
"""Decoded segments of all files together that are kept for the next box; the last ones whatever their size."""

MAX_DECODERS = 1024
"""Pages whose way to decode is remembered."""

_BOUNDED = frozenset({1, 5, 8, 32773, 32946, 34925, 34926, 50000})
"""None, LZW, deflate (two numbers), PackBits, LZMA, Zstandard (two numbers)."""

_WITH_TABLES = (6, 7, 33007, 34892)
_JPEG = 7

_FAILURES = (ValueError, RuntimeError, LookupError, TypeError, OSError, EOFError, struct.error, MemoryError)

Decode = Callable[[bytes, int], NDArray[Any]]
"""A segment's bytes and its number → its pixels (y, x), cut at the page's edges."""


class _Kept:
    """Decoded segments by file, page and number while they fit: a thousand slices share what one file may keep."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._segments: OrderedDict[tuple[object, int, int], NDArray[Any]] = OrderedDict()
        self._bytes = 0

    def get(self, file: object, page: int, numbers: Sequence[int]) -> dict[int, NDArray[Any]]:
        with self._lock:
            return {n: self._segments[file, page, n] for n in numbers if (file, page, n) in self._segments}

    def put(self, file: object, page: int, segments: Mapping[int, NDArray[Any]]) -> None:
        with self._lock:
            for number, segment in segments.items():
                self._bytes += segment.nbytes if (file, page, number) not in self._segments else 0
                self._segments[file, page, number] = segment
            while len(self._segments) > len(segments) and self._bytes > CACHE_BYTES:
                self._bytes -= self._segments.popitem(last=False)[1].nbytes


_KEPT = _Kept()


class DecodedPages:
    """Boxes of the pages of one file; what was decoded is kept while it fits. Safe to share between threads."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._decoders: OrderedDict[int, Decode] = OrderedDict()

    def read_box(self, pixels: PagePixels, start_yx: tuple[int, int], extent_yx: tuple[int, int]) -> NDArray[Any]:
        """A box of a page, in native byte order; only the segments that it touches are decoded.

        Raises
        ------
        FormatError
            Compressed bytes that are damaged, or no decoder knows them.
        """
        (y, x), (height, width) = start_yx, extent_yx
        rows, columns = pixels.segment_yx
        out = np.empty(extent_yx, pixels.dtype.newbyteorder("="))
        for band in range(y // rows, -(-(y + height) // rows)):
            for place, segment in self._segments(pixels, band, range(x // columns, -(-(x + width) // columns))):
                top, left = band * rows, place * columns
                inner = segment[max(0, y - top) : y + height - top, max(0, x - left) : x + width - left]
                at_y, at_x = max(top, y) - y, max(left, x) - x
                out[at_y : at_y + inner.shape[0], at_x : at_x + inner.shape[1]] = inner
        return out

    def _segments(self, pixels: PagePixels, band: int, columns: range) -> Iterator[tuple[int, NDArray[Any]]]:
        """The segments of one band at these places along x, each with its place."""
        first = band * -(-pixels.shape_yx[1] // pixels.segment_yx[1])
        numbers = [first + place for place in columns]
        kept = _KEPT.get(self, pixels.offset, numbers)
        missing = [number for number in numbers if number not in kept]
        if missing:
            decode = self._here if pixels.compression in _BOUNDED else self._apart
            decoded = dict(zip(missing, decode(pixels, missing), strict=True))
            _KEPT.put(self, pixels.offset, decoded)
            kept |= decoded
        for place, number in zip(columns, numbers, strict=True):
            yield place, kept[number]

    def _here(self, pixels: PagePixels, numbers: Sequence[int]) -> list[NDArray[Any]]:
        decode = self._decoder(pixels)
        with open_binary(self.path) as file:
            return [_decoded(file, pixels, decode, number) for number in numbers]

    def _apart(self, pixels: PagePixels, numbers: Sequence[int]) -> list[NDArray[Any]]:
        a_segment = pixels.segment_yx[0] * pixels.segment_yx[1]
        told = {**vars(pixels), "dtype": pixels.dtype.str, "offsets": [], "sizes": []}
        for key in ("offsets", "sizes"):
            told[key] = [int(value) for value in getattr(pixels, key)[list(numbers)]]
        flat = call_limited(
            self.path,
            f"{__name__}:decode_segments",
            *(self.path, told, list(numbers)),
            limits=limits_for(len(numbers) * a_segment * pixels.dtype.itemsize),
        )
        extents = [_extent(pixels, number) for number in numbers]
        ends = np.cumsum([height * width for height, width in extents])
        return [part.reshape(extent) for part, extent in zip(np.split(flat, ends[:-1]), extents, strict=True)]

    def _decoder(self, pixels: PagePixels) -> Decode:
        with self._lock:
            decode = self._decoders.get(pixels.offset)
        if decode is None:
            decode = _decoder(self.path, pixels)
            with self._lock:
                self._decoders[pixels.offset] = decode
                if len(self._decoders) > MAX_DECODERS:
                    self._decoders.popitem(last=False)
        return decode


def decode_segments(path: str, told: dict[str, Any], numbers: list[int]) -> NDArray[Any]:
    """The pixels of these segments one behind the other; to be called in a limited child.

    `told` are the fields of a `PagePixels` that has offsets and sizes of these segments alone.

    Raises
    ------
    FormatError
        Compressed bytes that are damaged or cut short, or no decoder knows them.
    """
    pixels = PagePixels(**{**told, "dtype": np.dtype(told["dtype"])})
    decode = _decoder(path, pixels)
    with open_binary(path) as file:
        segments = [_decoded(file, pixels, decode, number, place) for place, number in enumerate(numbers)]
    return np.concatenate([segment.reshape(-1) for segment in segments])


def _decoded(
    file: BinaryFile, pixels: PagePixels, decode: Decode, number: int, place: int | None = None
) -> NDArray[Any]:
    """A segment by its number; `place` is where its offset and size stand, if not there."""
    at = number if place is None else place
    data = file.read(int(pixels.offsets[at]), int(pixels.sizes[at]), f"segment {number} of page {pixels.index}")
    if pixels.compression == _JPEG:
        check_end(f"{file.path}: segment {number} of page {pixels.index}", data)
    try:
        segment = decode(data, number)
    except _FAILURES as error:
        raise _undecoded(file.path, pixels.index, error) from error
    shape, dtype = _extent(pixels, number), pixels.dtype.newbyteorder("=")
    if segment.shape != shape or segment.dtype != dtype:
        raise FormatError(
            f"{file.path}: page {pixels.index}: {shape} (y, x) {dtype.name} expected in segment {number}, it decodes "
            f"to {segment.shape} {segment.dtype}"
        )
    return segment


def _decoder(path: str, pixels: PagePixels) -> Decode:
    with open_binary(path) as file:
        try:
            page = _page(path, file.stream, pixels.offset, pixels.index)
            # Made while the file is open: it may hold tables that all segments share.
            tables = {"jpegtables": page.jpegtables, "jpegheader": page.jpegheader}
            options = tables if pixels.compression in _WITH_TABLES else {}
            decode = page.decode
        except _FAILURES as error:
            raise _undecoded(path, pixels.index, error) from error

    def decoded(data: bytes, number: int) -> NDArray[Any]:
        segment, _, _ = decode(data, number, **options)
        if segment is None:
            raise ValueError(f"segment {number} is empty")
        height, width = _extent(pixels, number)
        return np.asarray(segment[0, :height, :width, 0])

    return decoded


def _page(path: str, stream: Any, offset: int, index: int) -> Any:
    import tifffile

    # _multifile: an OME-TIFF may name other files, which must not be opened on its word.
    tif = tifffile.TiffFile(stream, name=path, _multifile=False)
    tif.filehandle.seek(offset)
    return tifffile.TiffPage(tif, index=index)


def _extent(pixels: PagePixels, number: int) -> tuple[int, int]:
    """Pixels (y, x) of a segment, without what lies beyond the page's edges."""
    (height, width), (rows, columns) = pixels.shape_yx, pixels.segment_yx
    row, column = divmod(number, -(-width // columns))
    return (min(rows, height - row * rows), min(columns, width - column * columns))


def _undecoded(path: str, index: int, error: Exception) -> FormatError:
    return FormatError(f"{path}: page {index} cannot be decoded: {error}")
