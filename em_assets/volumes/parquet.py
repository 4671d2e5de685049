"""Parquet files that a commit names by their digest, made and read without holding a large one in memory.

A file of up to `HELD_BYTES` is held whole; a larger one lies on a disk, without a name while it is nowhere else yet,
and is read a row group at a time. Nothing is mapped: a mapped file that somebody cuts short ends the process.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import SpooledTemporaryFile, gettempdir
from typing import IO, TYPE_CHECKING, Any

from em_assets.errors import NoScratchRoomError, StoreError
from em_assets.volumes.folders import READ_BYTES, Folder, pieces_of

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

HELD_BYTES = 64 << 20

ROW_GROUP_ROWS = 128 * 1024
"""Fixed, so that the same rows give the same bytes."""


@dataclass(frozen=True, eq=False)
class ParquetBytes:
    """The bytes of a Parquet file; any number of threads, and of processes that are forked off, may read them.

    `source` is a `pyarrow.NativeFile`, by a type that pydantic need not know.
    """

    source: Any
    size_bytes: int
    blake3: str

    @staticmethod
    def of(schema: "pa.Schema", tables: Iterable["pa.Table"]) -> "ParquetBytes":
        """A file of the rows of these tables, each of so many row groups; the same bytes for the same tables.

        Raises
        ------
        NoScratchRoomError
            The folder for temporary files (`TMPDIR`) has no room.
        """
        import pyarrow.parquet as pq

        with scratch_errors("a Parquet file"), SpooledTemporaryFile(HELD_BYTES) as file:
            with pq.ParquetWriter(file, schema, compression="zstd") as writer:
                for table in tables:
                    writer.write_table(table, row_group_size=ROW_GROUP_ROWS)
            return _of_file(file)

    @staticmethod
    def read(path: Folder, digest: str) -> "ParquetBytes":
        """The file that a commit names with its digest.

        Raises
        ------
        StoreError
            It is not there, or has other bytes.
        NoScratchRoomError
            It is a large one of a bucket, and the folder for temporary files (`TMPDIR`) has no room for it.
        """
        try:
            found = _at(path)
        except OSError as error:
            raise StoreError(f"{path}: named by the commit and cannot be read: {error.strerror}") from error
        if found.blake3 != digest:
            raise StoreError(f"{path}: not the bytes that were committed (BLAKE3 {digest} expected)")
        return found

    def rows(self) -> "pq.ParquetFile":
        """The rows, for one thread."""
        import pyarrow.parquet as pq

        return pq.ParquetFile(self.source)

    def pieces(self) -> Iterator[bytes]:
        """The bytes, in small pieces."""
        for start in range(0, self.size_bytes, READ_BYTES):
            n_bytes = min(READ_BYTES, self.size_bytes - start)
            yield bytes(self.source.read_at(n_bytes, start))


@contextmanager
def scratch_errors(what: str) -> Iterator[None]:
    """Name the folder for temporary files where it has no room for something."""
    try:
        yield
    except OSError as error:
        raise NoScratchRoomError(
            f"{gettempdir()}: no room for {what} while it is written or read ({error.strerror}); "
            "name another folder in TMPDIR"
        ) from error


def _at(path: Folder) -> ParquetBytes:
    if isinstance(path, Path):
        with path.open("rb") as file:
            return _of_file(file)
    with SpooledTemporaryFile(HELD_BYTES) as copy:
        for piece in pieces_of(path):
            with scratch_errors(path.name):  # which is no damage: whoever takes it for one writes the volume anew
                copy.write(piece)
                copy.flush()
        return _of_file(copy)


def _of_file(file: "IO[bytes]") -> ParquetBytes:
    """What a file holds: in memory, or, where that is much, by another descriptor of the same file."""
    import pyarrow as pa
    from blake3 import blake3

    size_bytes, hasher = file.seek(0, 2), blake3()
    file.seek(0)
    if size_bytes <= HELD_BYTES:
        data = file.read()
        return ParquetBytes(pa.BufferReader(data), size_bytes, blake3(data).hexdigest())
    for piece in iter(lambda: file.read(READ_BYTES), b""):
        hasher.update(piece)
    return ParquetBytes(opened_again(file), size_bytes, hasher.hexdigest())


def opened_again(file: "IO[bytes]") -> "pa.NativeFile":
    """The same file, with a name or without, for as long as what comes back is there; read by position."""
    import pyarrow as pa

    return pa.OSFile(f"/dev/fd/{file.fileno()}", "rb")
