"""Whether the bytes on the disk are those that the manifest names: disks rot, and people edit."""

import hashlib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from em_assets.model import RawFile

HASHED_AT_ONCE = 4
"""SHA-256 takes some GB/s a core and lets other threads run."""


def damaged_files(files_dir: Path, rows: Iterable[RawFile]) -> list[str]:
    """Files whose size or SHA-256 is not the manifest's, a sentence each; every byte is read."""
    with ThreadPoolExecutor(HASHED_AT_ONCE) as pool:
        return [problem for problem in pool.map(lambda row: _damage(files_dir / row.path, row), rows) if problem]


def _damage(path: Path, row: RawFile) -> str | None:
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
            size_bytes = file.tell()
    except OSError as error:
        return f"{path}: in the manifest, and cannot be read ({error.strerror}); fetch the dataset again"
    if size_bytes != row.size_bytes:
        return f"{path}: {row.size_bytes} bytes expected, found {size_bytes}; remove it and fetch the dataset again"
    if found != row.sha256:
        return f"{path}: sha256 {row.sha256} expected, found {found}; remove it and fetch the dataset again"
    return None
