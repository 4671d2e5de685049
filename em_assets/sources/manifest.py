"""What a dataset's raw folder holds whole: a Parquet manifest, a lock file, a journal of what arrived since then.

::

    raw/<dataset>/manifest.parquet   written once everything is there; all readers go by it
    raw/<dataset>/lock.toml          the same as text, to hand on: `fetch --locked` demands these bytes
    raw/<dataset>/journal.jsonl      one line a file that arrived; a killed run loses nothing, a finished one removes it
    raw/<dataset>/files/<path>       the bytes
    raw/<dataset>/old/<sha256>       bytes that a newer version has replaced, until `em-assets gc`
    raw/<dataset>/old/lock-<…>.toml  the locks that named them
    raw/<dataset>/dropped            there where bytes were dropped (`keep_raw = false`): what was made of them, and
                                     the path of each file whose bytes these were, a line each
"""

import hashlib
import json
import os
import shutil
import threading
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from em_assets.errors import StoreError
from em_assets.model import RawFile, RemoteFile
from em_assets.sources.partial import sync_folder, writable

if TYPE_CHECKING:
    import pyarrow as pa

MANIFEST = "manifest.parquet"
LOCK = "lock.toml"
JOURNAL = "journal.jsonl"
OLD = "old"
FILES = "files"
DROPPED = "dropped"
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
        with pq.ParquetFile(path) as file:  # not pq.read_table, which imports pandas: `show` should come in a blink
            return tuple(RawFile(**row) for row in file.read().to_pylist())
    except (pa.ArrowException, OSError, ValidationError) as error:
        raise _unreadable(path, error) from error


def read_fingerprint(raw_dir: Path) -> str | None:
    """Fingerprint of the source as it was when these files were fetched; None where nothing has been fetched whole.

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
        kept = (pq.read_schema(path).metadata or {}).get(FINGERPRINT_KEY)
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(path, error) from error
    return kept.decode() if kept else None


def write_manifest(raw_dir: Path, files: Sequence[RawFile], fingerprint: str) -> None:
    """Replace the manifest: whoever reads meanwhile sees the old one or the new one, whole."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.Table.from_pylist([file.model_dump() for file in files], schema=manifest_schema())
    table = table.replace_schema_metadata({FINGERPRINT_KEY: fingerprint.encode()})
    temporary = raw_dir / f".{MANIFEST}.new"
    with writable(temporary, "the manifest"):
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


def write_lock(raw_dir: Path, files: Sequence[RawFile], fingerprint: str) -> None:
    """Bring the lock file up to date; the one that it replaces is kept among the old versions."""
    text = _lock_text(files, fingerprint)
    path = raw_dir / LOCK
    before = path.read_text() if path.exists() else None
    if before == text:
        return
    with writable(path, "the lock file", len(text)):
        if before is not None and (raw_dir / MANIFEST).exists():
            old = raw_dir / OLD
            old.mkdir(exist_ok=True)
            (old / f"lock-{hashlib.sha256(before.encode()).hexdigest()[:16]}.toml").write_text(before)
        temporary = raw_dir / f".{LOCK}.new"
        with temporary.open("w") as sink:
            sink.write(text)
            sink.flush()
            os.fsync(sink.fileno())
        temporary.replace(path)
        sync_folder(raw_dir)


def read_lock(raw_dir: Path) -> tuple[RawFile, ...]:
    """The files that a lock file names.

    Raises
    ------
    StoreError
        There is none, or it cannot be read.
    """
    path = raw_dir / LOCK
    if not path.exists():
        raise StoreError(f"{path}: no lock file to follow; put a colleague's there, or fetch without --locked")
    try:
        return tuple(RawFile(**{"validator": None, **row}) for row in tomllib.loads(path.read_text())["file"])
    except (tomllib.TOMLDecodeError, OSError, KeyError, TypeError, ValueError) as error:
        raise StoreError(f"{path}: no lock file that can be read ({error}); get it anew, or remove it") from error


def lock_fingerprint(raw_dir: Path) -> str:
    """The fingerprint of what was listed when a lock file was written; errors as `read_lock`."""
    path = raw_dir / LOCK
    try:
        return str(tomllib.loads(path.read_text())["fingerprint"])
    except (tomllib.TOMLDecodeError, OSError, KeyError, ValueError) as error:
        raise StoreError(f"{path}: no lock file that can be read ({error}); get it anew, or remove it") from error


def differences(locked: Iterable[RawFile], found: Mapping[str, RawFile | RemoteFile]) -> list[str]:
    """What a lock names and what is there, where they differ: a sentence a file; validators do not count."""
    wanted = {row.path: row for row in locked}
    said = [f"{path}: in the lock, not there" for path in wanted.keys() - found.keys()]
    said += [f"{path}: there, not in the lock" for path in found.keys() - wanted.keys()]
    for path in wanted.keys() & found.keys():
        want, have = wanted[path], found[path]
        if have.size_bytes not in (None, want.size_bytes):
            said.append(f"{path}: {want.size_bytes:,} bytes in the lock, {have.size_bytes:,} there")
        elif isinstance(have, RawFile) and have.sha256 != want.sha256:
            said.append(f"{path}: sha256 {want.sha256} in the lock, {have.sha256} there")
    return sorted(said)


def keep_old(path: Path, old: Path) -> None:
    """Give a file that is about to be replaced a second name; what is referenced elsewhere is not ours to keep."""
    if old.exists() or path.is_symlink() or not path.exists():
        return
    with writable(old, f"the version of {path.name} that is replaced"):
        old.parent.mkdir(parents=True, exist_ok=True)
        temporary = old.with_name(f".{old.name}.new")
        temporary.unlink(missing_ok=True)
        try:
            os.link(path, temporary)
        except OSError:  # a file system without hard links
            shutil.copyfile(path, temporary)
        temporary.replace(old)


def remove_old(raw_dir: Path) -> int:
    """Remove the versions that newer ones have replaced; bytes that they took."""
    old = raw_dir / OLD
    size_bytes = sum(path.stat().st_size for path in old.iterdir()) if old.exists() else 0
    shutil.rmtree(old, ignore_errors=True)
    return size_bytes


def drop_bytes(raw_dir: Path, files: Iterable[RawFile], made_of: str) -> int:
    """Remove the bytes of these files, whose content was proved to be kept elsewhere; bytes that they took.

    The mark comes first: a run that is killed in between leaves bytes that nobody needs, never files that seem lost.
    """
    paths = sorted(file.path for file in files)
    temporary = raw_dir / f".{DROPPED}.new"
    with writable(temporary, "the mark of dropped bytes"):
        temporary.write_text("\n".join([made_of, *paths]))
        temporary.replace(raw_dir / DROPPED)
        sync_folder(raw_dir)
        size_bytes = 0
        for name in paths:
            path = raw_dir / FILES / name
            if path.is_file() and not path.is_symlink():
                size_bytes += path.stat().st_size
                path.unlink()
    return size_bytes


def read_dropped(raw_dir: Path) -> str | None:
    """What was made of the files before their bytes were dropped; None where they are kept."""
    path = raw_dir / DROPPED
    return path.read_text().split("\n")[0] if path.is_file() else None


def dropped_paths(raw_dir: Path) -> frozenset[str]:
    """Paths of the files whose bytes were dropped; none where all are kept."""
    path = raw_dir / DROPPED
    return frozenset(path.read_text().split("\n")[1:]) if path.is_file() else frozenset()


def _unreadable(path: Path, error: Exception) -> StoreError:
    return StoreError(f"{path}: no manifest that can be read ({error}); remove {path.parent} and fetch again")


def _lock_text(files: Sequence[RawFile], fingerprint: str) -> str:
    lines = ["# What was fetched, so that somebody else gets the same bytes: em-assets fetch --locked", ""]
    lines += [f"fingerprint = {_quoted(fingerprint)}"]
    for row in sorted(files, key=lambda row: row.path):
        values = row.model_dump(exclude_none=True).items()
        lines += ["", "[[file]]", *(f"{key} = {_quoted(value)}" for key, value in values)]
    return "\n".join(lines) + "\n"


def _quoted(value: str | int) -> str:
    """A TOML value; its basic strings are JSON's, but for DEL."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


class Journal:
    """The files that arrived since the manifest was written."""

    def __init__(self, raw_dir: Path) -> None:
        self._path = raw_dir / JOURNAL
        self._lock = threading.Lock()

    def read(self) -> list[RawFile]:
        """Its files; a line that a kill or a full disk cut short is left out."""
        if not self._path.exists():
            return []
        rows = []
        for line in self._path.read_bytes().split(b"\n"):
            try:
                rows.append(RawFile(**json.loads(line)))
            except (ValueError, TypeError):
                continue
        return rows

    def add(self, files: Iterable[RawFile]) -> None:
        """Note files that are at their final names, each on a line of its own: the one before may be torn."""
        lines = "".join(f"\n{file.model_dump_json()}\n" for file in files).encode()
        with self._lock, writable(self._path, "the journal", len(lines)), self._path.open("ab") as journal:
            journal.write(lines)

    def remove(self) -> None:
        """Forget it: the manifest has taken it up."""
        self._path.unlink(missing_ok=True)
