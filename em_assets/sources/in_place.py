"""A facility's own files, read where they lie: hashed, and linked to from the store, never copied and never written.

::

    raw/<dataset>/files/<path> -> /instrument/2024/run_7/<path>     a symbolic link; the manifest has size and SHA-256

Who changes a file below a link changes what the store reads. So its time of modification stands in the manifest, the
sensor compares it, and `changed_files` does again before and after a volume is made of it.
"""

import os
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from em_assets.errors import IncompleteError, PlanTooLargeError, SourceMissingError, StoreError
from em_assets.model import RawFile, RemoteFile, Source
from em_assets.sources.checksums import MOST_SIDECAR_BYTES, new_digest, read_sidecar, sidecar_of
from em_assets.sources.job import Job
from em_assets.sources.local import validators
from em_assets.sources.manifest import OLD, keep_old
from em_assets.sources.origins import locate, url_scheme
from em_assets.sources.partial import lent_path
from em_assets.sources.progress import megabytes
from em_assets.sources.transfer import is_web_page
from em_assets.sources.wire import BLOCK_BYTES, agree

HASHED_AT_ONCE = 4
"""SHA-256 takes 2 GB/s a core, and network disks give more to several readers than to one."""


def is_in_place(source: Source) -> bool:
    """Whether a source's files are referenced: all its addresses are on this machine's disks, and `copy` is unset."""
    urls = (source.url, *source.fallback_urls)
    return source.kind == "files" and not source.is_copied and all(url_scheme(url) == "file" for url in urls)


def fetch(job: Job) -> tuple[RawFile, ...]:
    """Hash and link what is not referenced yet as it is now; rows of all files of the source, sorted by path.

    `max_bytes` counts only where the dataset says it: nothing is moved.

    Raises
    ------
    PlanTooLargeError
        There is more than that.
    IncompleteError
        A file changed since it was listed, is not what a checksum beside it says, or is a web page saved as data.
    SourceMissingError
        A file cannot be read.
    StoreError
        The store cannot be written.
    """
    refused = too_large(job.source, job.remotes)
    if refused:
        raise PlanTooLargeError(refused)
    rows = {remote.path: _held(job, remote) for remote in job.remotes}
    missing = [remote for remote in job.remotes if rows[remote.path] is None]
    if not missing:
        return tuple(row for row in rows.values() if row is not None)
    total = sum(remote.size_bytes or 0 for remote in missing)
    job.log(f"{job.source.url}: {len(missing)} of {len(rows)} files to hash where they lie, {megabytes(total)}")
    said = _said_beside(job)
    with ThreadPoolExecutor(HASHED_AT_ONCE) as pool:
        try:
            for row in pool.map(lambda remote: _referenced(job, remote, said.get(remote.path, {})), missing):
                rows[row.path] = row
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return tuple(row for row in rows.values() if row is not None)


def too_large(source: Source, remotes: Iterable[RemoteFile]) -> str | None:
    """Why a source is refused: it holds more than the `max_bytes` that its dataset says; None where it is not."""
    total = sum(remote.size_bytes or 0 for remote in remotes)
    if "max_bytes" not in source.model_fields_set or total <= source.max_bytes:
        return None
    return (
        f"{source.url}: {total:,} bytes, more than max_bytes = {source.max_bytes:,}. Narrow `include`, or leave "
        "`max_bytes` out: files that are read where they lie take no room in the store"
    )


def changed_files(files_dir: Path, rows: Iterable[RawFile]) -> list[str]:
    """Files that are referenced and are no longer what was hashed, as far as size and time of modification tell."""
    return [problem for row in rows if (problem := _change(files_dir / row.path, row)) is not None]


def _change(link: Path, row: RawFile) -> str | None:
    if not link.is_symlink():
        return None
    original = link.readlink()
    try:
        status = link.stat()
    except OSError as error:
        return f"{original}: referenced, and cannot be read ({error.strerror})"
    if status.st_size == row.size_bytes and agree(row.validator, validators(status)):
        return None
    return f"{original}: changed since it was hashed; fetch the dataset again"


def _held(job: Job, remote: RemoteFile) -> RawFile | None:
    link = job.files_dir / remote.path
    if not link.is_symlink() or link.readlink() != _original(job, remote):
        return None
    row = job.known_row(remote)
    # Others write to it: its validator must be that of what was hashed, whatever SHA-256 a lock demands.
    return None if row is None or row.validator != remote.validator else row


def _original(job: Job, remote: RemoteFile) -> Path:
    return locate(remote.url, job.origin).path


def _referenced(job: Job, remote: RemoteFile, checksums: Mapping[str, str]) -> RawFile:
    locked = job.locked.get(remote.path)
    original = _original(job, remote)
    sums = {"sha256": locked} if locked else checksums
    digests = _digests(original, remote, {"sha256", *sums})
    for name, expected in sorted(sums.items()):
        if digests[name] != expected:
            raise IncompleteError(f"{original}: {name} {expected} declared, {digests[name]} found; copy it there anew")
    held = job.held.get(remote.path)
    _link(original, job.files_dir / remote.path, job.files_dir.parent / OLD / held.sha256 if held else None)
    row = RawFile(
        path=remote.path,
        url=remote.url,
        size_bytes=original.stat().st_size,
        sha256=digests["sha256"],
        validator=remote.validator,
        source=job.index,
    )
    job.keep([row])
    return row


def _digests(original: Path, remote: RemoteFile, algorithms: set[str]) -> dict[str, str]:
    """Digests of a file that stayed the same from its listing to the last byte."""
    digests = {name: new_digest(name) for name in sorted(algorithms)}
    try:
        with original.open("rb", buffering=0) as file:
            before = os.fstat(file.fileno())
            beginning = b""
            for block in iter(lambda: file.read(BLOCK_BYTES), b""):
                beginning = beginning or block[:512]
                for digest in digests.values():
                    digest.update(block)
            after = original.stat()
    except OSError as error:
        raise SourceMissingError(f"{original}: cannot be read ({error.strerror}); mend `url`, or its rights") from error
    if is_web_page(remote.path, beginning):
        raise IncompleteError(f"{original}: a web page saved as data; get the file itself")
    same = (before.st_ino, before.st_size, before.st_mtime_ns) == (after.st_ino, after.st_size, after.st_mtime_ns)
    if not same or remote.size_bytes not in (None, after.st_size) or not agree(remote.validator, validators(after)):
        raise IncompleteError(f"{original}: changed while it was hashed; fetch again once nobody writes it")
    return {name: digest.hexdigest() for name, digest in digests.items()}


def _link(original: Path, link: Path, replaced_to: Path | None) -> None:
    """Make the link in one step; a copy that stood there is kept among the old versions."""
    try:
        link.parent.mkdir(parents=True, exist_ok=True)
        if replaced_to is not None:
            keep_old(link, replaced_to)
        temporary = lent_path(link)
        temporary.unlink(missing_ok=True)
        temporary.symlink_to(original)
        temporary.replace(link)
    except OSError as error:
        raise StoreError(f"{link}: cannot be written ({error.strerror})") from error


def _said_beside(job: Job) -> dict[str, dict[str, str]]:
    """Path → checksums, from the sidecars among the files."""
    by_path = {remote.path: remote for remote in job.remotes}
    said: dict[str, dict[str, str]] = {}
    for path in sorted(path for path in by_path if sidecar_of(path, frozenset(by_path))):
        original = _original(job, by_path[path])
        if original.stat().st_size <= MOST_SIDECAR_BYTES:
            for named, algorithm, digits in read_sidecar(path, original.read_text(errors="replace")):
                said.setdefault(named, {})[algorithm] = digits
    return said
