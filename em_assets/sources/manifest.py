"""What a dataset's raw folder holds whole: a Parquet manifest, and a journal of what arrived since it was written.

::

    raw/<dataset>/manifest.parquet   written once everything is there; all readers go by it
    raw/<dataset>/journal.jsonl      one line a file that arrived; a killed run loses nothing, a finished one removes it
    raw/<dataset>/files/<path>       the bytes
"""

import json
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from em_assets.errors import StoreError
from em_assets.model import RawFile
from em_assets.sources.transfer import sync_folder

if TYPE_CHECKING:
    import pyarrow as pa

MANIFEST = "manifest.parquet"
JOURNAL = "journal.jsonl"
FILES = "files"
FINGERPRINT_KEY = b"source_fingerprint"


def read_manifest(raw_dir: Path) -> tuple[RawFile, ...] | None:
    """Every file that is held, in the manifest's order; None where nothing has been fetched whole.

    Raises
    ------
    StoreError
        The manifest cannot be read.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = raw_dir / MANIFEST
    if not path.exists():
        return None
    try:
        table = pq.read_table(path, schema=manifest_schema())
        return tuple(RawFile(**row) for row in table.to_pylist())
    except (pa.ArrowException, OSError, ValidationError) as error:
        raise StoreError(f"{path}: no manifest that can be read ({error}); remove {raw_dir} and fetch again") from error


def read_fingerprint(raw_dir: Path) -> str | None:
    """Fingerprint of the source as it was when these files were fetched; None where nothing has been fetched whole."""
    import pyarrow.parquet as pq

    path = raw_dir / MANIFEST
    if not path.exists():
        return None
    kept = (pq.read_schema(path).metadata or {}).get(FINGERPRINT_KEY)
    return kept.decode() if kept else None


def write_manifest(raw_dir: Path, files: Sequence[RawFile], fingerprint: str) -> None:
    """Replace the manifest: whoever reads meanwhile sees the old one or the new one, whole."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.Table.from_pylist([file.model_dump() for file in files], schema=manifest_schema())
    table = table.replace_schema_metadata({FINGERPRINT_KEY: fingerprint.encode()})
    temporary = raw_dir / f".{MANIFEST}.{os.getpid()}"
    with temporary.open("wb") as sink:
        pq.write_table(table, sink)
        sink.flush()
        os.fsync(sink.fileno())
    temporary.replace(raw_dir / MANIFEST)
    sync_folder(raw_dir)


def manifest_schema() -> "pa.Schema":
    """Columns of the manifest: those of `RawFile`."""
    import pyarrow as pa

    fields: list[pa.Field[Any]] = [
        pa.field("path", pa.string(), nullable=False),
        pa.field("url", pa.string(), nullable=False),
        pa.field("size_bytes", pa.int64(), nullable=False),
        pa.field("sha256", pa.string(), nullable=False),
        pa.field("validator", pa.string()),
        pa.field("source", pa.int32(), nullable=False),
    ]
    return pa.schema(fields)


class Journal:
    """The files that arrived since the manifest was written."""

    def __init__(self, raw_dir: Path) -> None:
        self._path = raw_dir / JOURNAL
        self._lock = threading.Lock()

    def read(self) -> list[RawFile]:
        """Its files; a last line that a kill cut short is left out."""
        if not self._path.exists():
            return []
        rows = []
        for line in self._path.read_text().splitlines():
            try:
                rows.append(RawFile(**json.loads(line)))
            except (ValueError, TypeError):
                continue
        return rows

    def add(self, file: RawFile) -> None:
        """Note a file that is at its final name."""
        with self._lock, self._path.open("a") as journal:
            journal.write(f"{file.model_dump_json()}\n")

    def remove(self) -> None:
        """Forget it: the manifest has taken it up."""
        self._path.unlink(missing_ok=True)
