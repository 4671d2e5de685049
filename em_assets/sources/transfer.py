"""One file, whole or not at all: beside its final name until size and content are right, then renamed into place."""

import hashlib
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from em_assets.errors import IncompleteError, PlanTooLargeError, StoreError
from em_assets.model import RemoteFile
from em_assets.sources.origins import Origin
from em_assets.sources.protocols import ask
from em_assets.sources.wire import PATIENCE, Body, Patience, agree

PARTIAL = re.compile(r"\.[0-9a-f]{16}\.\d+\.partial")
"""Names of files that are still arriving; none of a source's own names is taken for one by mistake."""

_PAGE_SUFFIXES = (".html", ".htm", ".xhtml")
_PAGE_BEGINNINGS = (b"<!doctype html", b"<html")


class Fetched(NamedTuple):
    """A file that is at its final name."""

    sha256: str
    size_bytes: int


def fetch_file(
    remote: RemoteFile,
    dest: Path,
    origin: Origin,
    *,
    patience: Patience = PATIENCE,
    max_bytes: int | None = None,
    quarantine: Path | None = None,
    on_bytes: Callable[[int], None] | None = None,
) -> Fetched:
    """Fetch a listed file to `dest`, which holds the old bytes or all of the new ones at any moment.

    Parameters
    ----------
    remote
        As listed: what arrives must have its size and validator.
    dest
        The final name; folders above it are made.
    max_bytes
        Cap for a file whose size nobody declares.
    quarantine
        Where content is kept, with the reason beside it, that has the right size and cannot be data; None drops it.
    on_bytes
        Told of every block that arrived.

    Raises
    ------
    IncompleteError
        Fewer, more or other bytes than declared, however often asked; or a web page in the place of data.
    SourceMissingError
        Not there, or not public: never asked twice.
    SourceUnreachableError
        No answer, however often asked.
    StoreError
        The disk is full or cannot be written.
    """
    mark = hashlib.sha256(dest.name.encode()).hexdigest()[:16]
    partial = dest.with_name(f".{mark}.{os.getpid()}.partial")
    with _store_errors(partial, remote.size_bytes):
        dest.parent.mkdir(parents=True, exist_ok=True)
    try:
        fetched = patience(lambda: _receive(remote, partial, origin, patience, max_bytes, on_bytes))
        _refuse_web_page(remote, partial, quarantine)
        with _store_errors(dest, remote.size_bytes):
            partial.replace(dest)
            sync_folder(dest.parent)
    finally:
        partial.unlink(missing_ok=True)
    return fetched


def sync_folder(folder: Path) -> None:
    """Make a rename in a folder outlive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, read in blocks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _receive(
    remote: RemoteFile,
    partial: Path,
    origin: Origin,
    patience: Patience,
    max_bytes: int | None,
    on_bytes: Callable[[int], None] | None,
) -> Fetched:
    speaker, location = ask(remote.url, origin)
    digest = hashlib.sha256()
    received = 0
    with speaker.body(location, patience) as body:
        expected = _expected_bytes(remote, body)
        with _writing(partial, expected) as write:
            for chunk in body.chunks:
                received += len(chunk)
                _check_not_over(remote, received, expected, max_bytes)
                write(chunk)
                digest.update(chunk)
                if on_bytes:
                    on_bytes(len(chunk))
    if expected is not None and received != expected:
        raise IncompleteError(f"{remote.url}: {expected:,} bytes declared, {received:,} arrived")
    return Fetched(digest.hexdigest(), received)


def _expected_bytes(remote: RemoteFile, body: Body) -> int | None:
    """How many bytes must arrive; None where the protocol marks the end itself."""
    listed, declared = remote.size_bytes, body.size_bytes
    if listed is not None and declared is not None and listed != declared:
        raise IncompleteError(f"{remote.url}: {listed:,} bytes listed, {declared:,} declared by the answer")
    if not agree(remote.validator, body.validators):
        raise IncompleteError(
            f"{remote.url}: listed as {remote.validator}, sent as {', '.join(body.validators)}: it changed in between"
        )
    expected = declared if listed is None else listed
    if expected is None and not body.ends_itself:
        raise IncompleteError(f"{remote.url}: nobody says how many bytes it has, so a part could pass for the whole")
    return expected


def _check_not_over(remote: RemoteFile, received: int, expected: int | None, max_bytes: int | None) -> None:
    if expected is not None and received > expected:
        raise IncompleteError(f"{remote.url}: {expected:,} bytes declared, more arrived")
    if max_bytes is not None and received > max_bytes:
        raise PlanTooLargeError(f"{remote.url}: of undeclared size, and over max_bytes = {max_bytes:,}")


@contextmanager
def _writing(path: Path, expected: int | None) -> Iterator[Callable[[bytes], int]]:
    """Give a writer whose bytes are on the disk when the block ends."""
    with _store_errors(path, expected):
        file = path.open("wb")

    def write(chunk: bytes) -> int:
        with _store_errors(path, expected):
            return file.write(chunk)

    with file:
        yield write
        with _store_errors(path, expected):
            file.flush()
            os.fsync(file.fileno())


@contextmanager
def _store_errors(path: Path, expected: int | None) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        size = "unknown" if expected is None else f"{expected:,}"
        raise StoreError(f"{path}: cannot be written ({error.strerror}); bytes needed: {size}") from error


def _refuse_web_page(remote: RemoteFile, partial: Path, quarantine: Path | None) -> None:
    """Error pages come with status 200 and the right length: a page under another name is no data."""
    with partial.open("rb") as file:
        beginning = file.read(512).lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    name = PurePosixPath(remote.path).name.lower()
    if name.endswith(_PAGE_SUFFIXES) or not beginning.startswith(_PAGE_BEGINNINGS):
        return
    reason = f"{remote.url}: a web page saved as data ({name} begins with {beginning[:40].decode('latin-1')!r})"
    if quarantine is not None:
        kept = quarantine / remote.path
        kept.parent.mkdir(parents=True, exist_ok=True)
        partial.replace(kept)
        kept.with_name(f"{kept.name}.reason.txt").write_text(f"{reason}\n")
        reason = f"{reason}; kept at {kept}"
    raise IncompleteError(reason)
