"""Bytes at places of one file, on this disk or behind a URL: every read is whole, or an error that says where."""

import io
from collections.abc import Callable
from types import TracebackType
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from em_assets.errors import EMAssetsError, FormatError, SourceMissingError, SourceUnreachableError, UsageError
from em_assets.formats.trees import is_url, local_path
from em_assets.model import ZYX

BUFFER_BYTES = 64 * 1024

WINDOW_BYTES = 32 * 1024

WASTE_BYTES = 1024 * 1024
"""A narrow box is read as whole rows and cut while the rows together stay below this; then row by row."""


class BinaryFile:
    """A file open for reading at given places; a context manager.

    Attributes
    ----------
    path
        As it was given, for messages.
    size
        Bytes.
    """

    def __init__(self, path: str, stream: BinaryIO, size: int) -> None:
        self.path = path
        self.size = size
        self._stream = stream

    @property
    def stream(self) -> BinaryIO:
        """The open file at its beginning, for a library that reads it by itself."""
        self._stream.seek(0)
        return self._stream

    def read(self, offset: int, count: int, what: str) -> bytes:
        """Exactly `count` bytes from `offset`; `what` they are goes into the message.

        Raises
        ------
        FormatError
            The file ends before.
        """
        if offset < 0 or count < 0 or offset + count > self.size:
            raise FormatError(
                f"{self.path}: {what} expected in {count} bytes from byte {offset}, the file has {self.size} bytes: "
                "it is cut short or contradicts itself; fetch it again"
            )
        try:
            self._stream.seek(offset)
            data = self._stream.read(count)
        except _errors(self.path) as error:
            raise _unreadable(self.path, error) from error
        if len(data) != count:
            raise FormatError(
                f"{self.path}: {what} expected in {count} bytes from byte {offset}, found only {len(data)}: "
                "the file changed since it was opened"
            )
        return data

    def read_into(self, offset: int, out: NDArray[Any], what: str) -> None:
        """Fill an array whose memory is one run with the bytes from `offset`; `what` they are goes into the message.

        Raises
        ------
        FormatError
            The file ends before.
        """
        if offset < 0 or offset + out.nbytes > self.size or not hasattr(self._stream, "readinto"):
            out.reshape(-1)[...] = np.frombuffer(self.read(offset, out.nbytes, what), out.dtype)
            return
        try:
            self._stream.seek(offset)
            count = self._stream.readinto(out.data.cast("B"))
        except _errors(self.path) as error:
            raise _unreadable(self.path, error) from error
        if count != out.nbytes:
            raise FormatError(
                f"{self.path}: {what} expected in {out.nbytes} bytes from byte {offset}, found only {count}: "
                "the file changed since it was opened"
            )

    def __enter__(self) -> "BinaryFile":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stream.close()


class Window:
    """Small reads of a file, served from the block around the last one: a directory is many of them side by side."""

    def __init__(self, file: BinaryFile, n_bytes: int = WINDOW_BYTES) -> None:
        self._file = file
        self._n_bytes = n_bytes
        self._start = 0
        self._data = b""

    def read(self, offset: int, count: int) -> bytes | None:
        """Exactly `count` bytes from `offset`; None where the file has not so many, or a block could not hold them."""
        begin = offset - self._start
        if begin < 0 or begin + count > len(self._data):
            if count > self._n_bytes // 2 or offset + count > self._file.size:
                return None
            self._start = max(0, offset - self._n_bytes // 4)  # what belongs together may lie before
            size = min(self._n_bytes, self._file.size - self._start)
            self._data = self._file.read(self._start, size, "a block of the file")
            begin = offset - self._start
        return self._data[begin : begin + count]


Opener = Callable[[], BinaryFile]
"""Opens a file anew: each read has a handle of its own, so threads never share a position and no handle outlives it."""


def open_binary(path: str) -> BinaryFile:
    """The file at a local path, a `file://` URL or any URL that fsspec knows.

    Raises
    ------
    UsageError
        No such local file.
    SourceMissingError, SourceUnreachableError
        The URL has no such file, or does not answer.
    """
    if is_url(path):
        return _open_url(path)
    local = local_path(path)
    if not local.is_file():
        raise UsageError(f"{local}: a file expected, found {'a folder' if local.is_dir() else 'nothing'}")
    try:
        stream = local.open("rb", buffering=BUFFER_BYTES)
    except OSError as error:
        raise _unreadable(str(local), error) from error
    return BinaryFile(path, stream, stream.seek(0, io.SEEK_END))


def binary_from_bytes(path: str, data: bytes) -> BinaryFile:
    """Bytes in memory under the name of the file that they come from."""
    return BinaryFile(path, io.BytesIO(data), len(data))


def file_name(path: str) -> str:
    """Name of a file without its folders, from a path or a URL."""
    return path.split("?")[0].rstrip("/").rsplit("/", 1)[-1] if is_url(path) else local_path(path).name


def read_rows(
    file: BinaryFile,
    offset: int,
    dtype: np.dtype[Any],
    row_shape: tuple[int, int],
    columns: tuple[int, int],
    what: str,
) -> NDArray[Any]:
    """Columns (start, count) of (count, width) rows that lie one behind the other from `offset`; dtype as given."""
    n_rows, width = row_shape
    start, count = columns
    row_bytes = width * dtype.itemsize
    if count == width or (count * 4 >= width and n_rows * row_bytes <= WASTE_BYTES):
        whole = np.frombuffer(file.read(offset, n_rows * row_bytes, what), dtype).reshape(n_rows, width)
        return whole[:, start : start + count]
    first = offset + start * dtype.itemsize
    parts = [file.read(first + row * row_bytes, count * dtype.itemsize, what) for row in range(n_rows)]
    return np.frombuffer(b"".join(parts), dtype).reshape(n_rows, count)


def read_box(file: BinaryFile, offset: int, dtype: np.dtype[Any], shape: ZYX, start: ZYX, extent: ZYX) -> NDArray[Any]:
    """A box of an array that lies in the file in C order from `offset`, in native byte order.

    The axes are the array's own, slowest first. Peak memory is the box and one plane of its rows.
    """
    out = np.empty(extent, dtype.newbyteorder("="))
    read_box_into(file, offset, dtype, shape, start, out)
    return out


def read_box_into(
    file: BinaryFile, offset: int, dtype: np.dtype[Any], shape: ZYX, start: ZYX, out: NDArray[Any]
) -> None:
    """The same into an array of the box's shape, in native byte order; whole rows need no other memory."""
    _, height, width = shape
    for plane, rows in enumerate(out, start[0]):
        at = offset + (plane * height + start[1]) * width * dtype.itemsize
        fill_rows(file, at, dtype, width, start[2], rows, f"plane {plane}")


def fill_rows(
    file: BinaryFile, offset: int, dtype: np.dtype[Any], width: int, column: int, out: NDArray[Any], what: str
) -> None:
    """Fill (y, x) rows in native byte order from rows of this width that lie one behind the other from `offset`."""
    if out.shape[1] == width and out.flags.c_contiguous:
        file.read_into(offset, out, what)
        if not dtype.isnative:
            out.byteswap(inplace=True)
        return
    out[...] = read_rows(file, offset, dtype, (out.shape[0], width), (column, out.shape[1]), what)


def _open_url(path: str) -> BinaryFile:
    import fsspec

    options = {"anon": True} if path.startswith("s3://") else {"token": "anon"} if path.startswith("gs://") else {}
    try:
        stream = fsspec.open(path, "rb", **options).open()
        size = cast(int | None, getattr(stream, "size", None))
    except FileNotFoundError as error:
        raise SourceMissingError(f"{path}: no such file there") from error
    except ImportError as error:
        raise UsageError(f"{path}: no reader for this protocol is installed: {error}") from error
    except _errors(path) as error:
        raise SourceUnreachableError(f"{path}: cannot be opened: {error}") from error
    if size is None:
        stream.close()
        raise SourceUnreachableError(f"{path}: the server does not say how large the file is; fetch it first")
    return BinaryFile(path, stream, size)


def _errors(path: str) -> tuple[type[Exception], ...]:
    """What reading may raise on account of the disk or, for a URL, of the server and the way to it."""
    if not is_url(path):
        return (OSError,)
    import aiohttp

    return (OSError, ValueError, aiohttp.ClientError)


def _unreadable(path: str, error: Exception) -> EMAssetsError:
    if is_url(path):
        return SourceUnreachableError(f"{path}: reading broke off: {error}")
    return UsageError(f"{path}: cannot be read: {error}")
