"""Files that came another way (Globus, Aspera, a disk by post): taken into the store once they are proved.

What proves a file, the strongest that there is::

    a lock file's SHA-256          the store's own, with --locked; or `lock.toml` in the folder, of this very version
    the source's own checksum      from the listing's or the answer's headers; the bytes are not sent
    pieces                         where nobody says a checksum: as the source sends them now (`comparing`)

A checksum that lies beside (md5sums.txt, x.tif.sha256, …) must agree as well; it proves a file to be whole, and not to
be the version that the source has now. Where nothing proves a file, it is fetched.
"""

import fcntl
import os
import shutil
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from em_assets.errors import IncompleteError, UsageError
from em_assets.model import RawFile, RemoteFile, Source
from em_assets.sources.checksums import (
    ETAG_MD5,
    MOST_SIDECAR_BYTES,
    algorithm_of,
    declared,
    new_digest,
    read_sidecar,
    sidecar_of,
)
from em_assets.sources.comparing import DifferentBytesError, Span, compare, is_alike, spans_to_compare
from em_assets.sources.job import Job
from em_assets.sources.manifest import FILES, LOCK, OLD, keep_old, read_lock
from em_assets.sources.origins import Origin
from em_assets.sources.partial import lent_path, sync_folder, unwritable
from em_assets.sources.protocols import ask
from em_assets.sources.transfer import file_sha256, is_web_page
from em_assets.sources.wire import BLOCK_BYTES, Body, Patience, agree

MOST_NAMED = 10
FICLONE = 0x40049409
"""Linux's request for a copy that shares the original's blocks until one of them is written to."""


@dataclass(frozen=True)
class Adoption:
    """A folder whose files may be what the source lists.

    Attributes
    ----------
    folder
        Paths below it are those of the listing, with or without the source's own folder in front.
    origin, patience
        Whom to ask for a checksum, and how patiently.
    demanded
        Path → SHA-256 of the lock file that is to be followed.
    handed_on
        Path → row of the lock file that came with the files: it holds for the version that it names.
    """

    folder: Path
    origin: Origin
    patience: Patience
    demanded: Mapping[str, str] = field(default_factory=dict)
    handed_on: Mapping[str, RawFile] = field(default_factory=dict)

    def locked(self, remote: RemoteFile) -> str | None:
        """SHA-256 that a lock file says of what is listed; of another version it says nothing."""
        row = self.handed_on.get(remote.path)
        is_same = row is not None and row.validator is not None and row.validator == remote.validator
        return self.demanded.get(remote.path, row.sha256 if row is not None and is_same else None)


class _RefusedError(Exception):
    """A file is not what is listed; the message says in what."""


class _UnprovedError(Exception):
    """Nothing tells whether a file is what is listed."""


def adoption(folder: Path, origin: Origin, patience: Patience, demanded: Mapping[str, str]) -> Adoption:
    """A folder to adopt from; a raw folder that a colleague handed on brings its `lock.toml` along.

    Raises
    ------
    UsageError
        No such folder.
    """
    if not folder.is_dir():
        raise UsageError(
            f"{folder}: a folder of files to adopt expected, found {'a file' if folder.exists() else 'nothing'}"
        )
    if (folder / LOCK).is_file() and (folder / FILES).is_dir():
        handed_on = {row.path: row for row in read_lock(folder)}
        return Adoption(folder / FILES, origin, patience, demanded, handed_on)
    return Adoption(folder, origin, patience, demanded)


def adopt(taken: Adoption, job: Job) -> list[RawFile]:
    """Take in what a source lists, is not held and lies in the folder; the rest is left to be fetched.

    Files are copied, sharing their blocks where the file system can: whoever writes to the folder later changes nothing
    in the store.

    Raises
    ------
    IncompleteError
        Files are not what the source lists; the message names them. Those that are have been taken.
    """
    missing = [remote for remote in job.remotes if job.held_row(remote) is None]
    found = {remote: at for remote in missing if (at := _candidate(taken.folder, remote.path, job.prefix)) is not None}
    beside = _said_beside(taken.folder, found)
    rows, refused, unproved, proofs = [], [], 0, Counter[str]()
    for remote, candidate in found.items():
        try:
            row, proof = _adopted(taken, job, remote, candidate, beside.get(remote.path, {}))
        except _RefusedError as refusal:
            refused.append(f"{candidate}: {refusal}")
            continue
        except _UnprovedError:
            unproved += 1
            continue
        job.keep([row])
        rows.append(row)
        proofs[proof] += 1
    if rows:
        by = ", ".join(f"{count} by {proof}" for proof, count in sorted(proofs.items()))
        job.log(f"{job.source.url}: {len(rows)} files adopted from {taken.folder}, proved {by}")
    if unproved:
        job.log(f"{job.source.url}: {unproved} files are fetched: nothing proves what lies in {taken.folder}")
    if refused:
        more = f" and {len(refused) - MOST_NAMED} more" if len(refused) > MOST_NAMED else ""
        raise IncompleteError(
            f"{len(refused)} files are not what the source lists: {'; '.join(refused[:MOST_NAMED])}{more}. "
            "Transfer them again, or take them out of the folder: then they are fetched from the source"
        )
    return rows


def _candidate(folder: Path, path: str, prefix: str) -> Path | None:
    for name in dict.fromkeys((path, path.removeprefix(prefix))):
        if (folder / name).is_file():
            return folder / name
    return None


def _said_beside(folder: Path, found: Mapping[RemoteFile, Path]) -> dict[str, dict[str, str]]:
    """Path → checksums, from sidecars beside these files and in the folders above; the source need not list them.

    The rest of the folder, which may be a whole disk, is not looked through.
    """
    above = {place for at in found.values() for place in at.parents if place.is_relative_to(folder)}
    beside = (path for place in above for path in place.iterdir() if path.is_file())
    names = frozenset(path.relative_to(folder).as_posix() for path in beside)
    said: dict[str, dict[str, str]] = {}
    for name in sorted(name for name in names if sidecar_of(name, names)):
        if (folder / name).stat().st_size > MOST_SIDECAR_BYTES:
            continue
        for named, algorithm, digits in read_sidecar(name, (folder / name).read_text(errors="replace")):
            said.setdefault(named, {})[algorithm] = digits
    return {remote.path: said.get(at.relative_to(folder).as_posix(), {}) for remote, at in found.items()}


def _adopted(
    taken: Adoption, job: Job, remote: RemoteFile, candidate: Path, beside: Mapping[str, str]
) -> tuple[RawFile, str]:
    """The row of a file that is proved and at its final name, and by what it was proved."""
    size_bytes = candidate.stat().st_size
    if remote.size_bytes is not None and remote.size_bytes != size_bytes:
        raise _RefusedError(f"{remote.size_bytes:,} bytes listed, {size_bytes:,} there")
    dest = job.files_dir / remote.path
    taken_in = _taken_in(candidate, dest)
    try:
        proof = _proof(taken, job.source, remote, taken_in, beside)
        row = RawFile(
            path=remote.path,
            url=remote.url,
            size_bytes=size_bytes,
            sha256=file_sha256(taken_in),
            validator=remote.validator,
            source=job.index,
        )
        _publish(taken_in, dest, row, job)
    finally:
        taken_in.unlink(missing_ok=True)
    return row, proof


def _publish(taken_in: Path, dest: Path, row: RawFile, job: Job) -> None:
    """Give a proved file its final name; what stands there is kept among the old versions."""
    held = job.held.get(row.path)
    try:
        if held is not None and held.sha256 != row.sha256:
            keep_old(dest, job.files_dir.parent / OLD / held.sha256)
        taken_in.replace(dest)
        sync_folder(dest.parent)
    except OSError as error:
        raise unwritable(error, dest, row.path, row.size_bytes) from error


def _taken_in(candidate: Path, dest: Path) -> Path:
    """A synced copy beside the final name; of the same blocks where the file system can."""
    temporary = lent_path(dest)
    try:
        dest.parent.mkdir(parents=True, exist_ok=True)
        temporary.unlink(missing_ok=True)
        with candidate.open("rb") as file, temporary.open("xb") as copy:
            try:
                fcntl.ioctl(copy.fileno(), FICLONE, file.fileno())
            except OSError:  # most file systems, and two of them, cannot
                shutil.copyfileobj(file, copy, BLOCK_BYTES)
            copy.flush()
            os.fsync(copy.fileno())
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise unwritable(error, temporary, str(candidate), candidate.stat().st_size) from error
    return temporary


def _proof(taken: Adoption, source: Source, remote: RemoteFile, file: Path, beside: Mapping[str, str]) -> str:
    """What proves that a file is the one that is listed, in words."""
    with file.open("rb") as content:
        if is_web_page(PurePosixPath(remote.path).name, content.read(512)):
            raise _RefusedError("a web page saved as data")
    locked = taken.locked(remote)
    if locked is not None:
        _compare(file, {"sha256": locked})
        return "a lock file"
    if beside:
        _compare(file, beside)
    listed = _listed_md5(source, remote)
    if listed:
        with suppress(_RefusedError):  # an ETag of an encrypting bucket is no MD5: the answer's headers say
            _compare(file, listed)
            return "the source's checksum"
    proof = _proved_by_source(taken, source, remote, file, is_filled=bool(beside))
    return f"{proof}, and a checksum beside them" if beside else proof


def _compare(file: Path, sums: Mapping[str, str]) -> None:
    digests = {name: new_digest(algorithm_of(name)) for name in sums}
    with file.open("rb") as content:
        for block in iter(lambda: content.read(BLOCK_BYTES), b""):
            for digest in digests.values():
                digest.update(block)
    for name, expected in sums.items():
        if digests[name].hexdigest() != expected:
            raise _RefusedError(f"{name} {expected} declared, {digests[name].hexdigest()} there")


def _proved_by_source(taken: Adoption, source: Source, remote: RemoteFile, file: Path, *, is_filled: bool) -> str:
    """Hold a file to the checksum that the source's answer declares, or else to pieces of it."""
    speaker, location = ask(remote.url, taken.origin)
    spans = spans_to_compare(file, is_filled=is_filled)
    first, *others = spans or [Span(0, 0)]

    def begun() -> tuple[str | None, str | None]:
        """What proves the file already, and what a later answer can be held to."""
        with speaker.body(location, taken.patience) as body:
            _check_version(remote, file, body)
            sums = {name: digits for name, digits in body.checksums.items() if name != ETAG_MD5 or source.etag_is_md5}
            if sums:
                _compare(file, sums)
                return "the source's checksum", None
            if spans is None or (remote.size_bytes is None and body.size_bytes is None):
                raise _UnprovedError
            compare(file, first, body)
            return None if others else "every byte", body.resume_with

    try:
        proof, resume_with = taken.patience(begun)
        if proof is None and is_alike(file, others, resume_with, speaker, location, taken.patience):
            proof = "pieces and all that could be unfilled"
    except DifferentBytesError as error:
        raise _RefusedError(str(error)) from error
    if proof is None:
        raise _UnprovedError
    return proof


def _check_version(remote: RemoteFile, file: Path, body: Body) -> None:
    if not agree(remote.validator, body.validators):
        raise IncompleteError(f"{remote.url}: listed as {remote.validator}, sent as {', '.join(body.validators)}")
    if body.size_bytes not in (None, file.stat().st_size):
        raise _RefusedError(f"{body.size_bytes:,} bytes at the source, {file.stat().st_size:,} there")


def _listed_md5(source: Source, remote: RemoteFile) -> dict[str, str]:
    """The MD5 that a listing's ETag is, where it is one."""
    if not source.etag_is_md5 or not (remote.validator or "").startswith("etag:"):
        return {}
    return declared({"ETag": (remote.validator or "").removeprefix("etag:")}, is_whole=True)
