"""A box of a remote volume, read chunk by chunk and kept with what the remote says of itself.

::

    source/…     the remote's own metadata, byte for byte: `info`, or the zarr documents under their own names
    crop.zarr/   the box: an OME-Zarr 0.5 image with one level, `em_assets_cutout` tells where it was cut

The box's start is given, or drawn by the seed on the remote's chunk grid and moved while the box is blank: a box at the
origin of a public label volume once was 8 GB of zeros, and nobody noticed. A chunk that the remote does not have is an
error and no background, unless the format itself declares it absent (a shard's index), or the dataset says that its
publisher writes no empty chunks.
"""

import hashlib
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from em_assets.errors import SourceError
from em_assets.model import RawFile, RemoteFile, Source
from em_assets.sources.boxes import cutout_shape
from em_assets.sources.crop import write_crop
from em_assets.sources.hosts import host_of
from em_assets.sources.job import Job, is_whole
from em_assets.sources.manifest import OLD, keep_old
from em_assets.sources.origins import Origin
from em_assets.sources.partial import sync_folder, writable
from em_assets.sources.paths import below
from em_assets.sources.remote_metadata import documents_of
from em_assets.sources.remote_volume import absence_in_words, open_remote
from em_assets.sources.transfer import file_sha256
from em_assets.sources.wire import Patience
from em_assets.volumes.staging import sync_tree

CROP = "crop.zarr"
REMOTE_METADATA = "source"
STAGING_PREFIX = ".cutout-"
REPLACED = "replaced-"
DONE = ".done"


def observe(source: Source, prefix: str, origin: Origin, patience: Patience) -> tuple[RemoteFile, ...]:
    """Fetch the remote's metadata, and nothing else; each file's validator is the digest of it all and of the box.

    Chunks that change below unchanged metadata go unnoticed: no archive tells without reading them all.

    Raises
    ------
    SourceMissingError
        No metadata of a volume at the address.
    SourceUnreachableError
        No answer.
    """
    documents = documents_of(source.url, origin, patience)
    validator = f"cutout:{_digest(source, origin, documents)}"
    return tuple(
        RemoteFile(
            path=f"{prefix}{REMOTE_METADATA}/{name}",
            url=below(source.url, name),
            size_bytes=len(content),
            validator=validator,
        )
        for name, content in documents.items()
    )


def is_document(row: RawFile, source: Source, prefix: str) -> bool:
    """Whether a held file is metadata that this very remote had: a refusal that passes looks like its removal."""
    folder = f"{prefix}{REMOTE_METADATA}/"
    return row.path.startswith(folder) and row.url == below(source.url, row.path.removeprefix(folder))


def fetch(job: Job) -> tuple[RawFile, ...]:
    """Read the box, unless it is held as asked for; rows of the metadata and of the crop, sorted by path.

    Raises
    ------
    OutOfBoundsError
        The box is not inside the volume; the message names both.
    PlanTooLargeError
        The box holds more bytes than the source's `max_bytes`.
    SourceMissingError
        Every box that the seed drew was blank.
    StoreError
        The disk has no room for the box, or cannot be written.
    """
    held = _held(job)
    if held is not None:
        return held
    documents = documents_of(job.source.url, job.origin, job.patience)
    volume = open_remote(job.source, job.origin, documents)
    if f"cutout:{_digest(job.source, job.origin, documents)}" != job.remotes[0].validator:
        raise SourceError(f"{job.source.url}: its metadata changed between listing and reading; run again")
    staging = job.files_dir / job.prefix / f"{STAGING_PREFIX}{os.getpid()}"
    shutil.rmtree(staging, ignore_errors=True)
    try:
        with writable(staging, job.source.url):
            _write_documents(documents, staging / REMOTE_METADATA)
            host = host_of(job.source.url, job.files_dir.parents[1], job.patience.connections, job.log)
            with absence_in_words(job.source), host.line():
                write_crop(job, volume, documents, staging / CROP)
            rows = _rows(job, staging)
            sync_tree(staging)  # its folders too: the names in them must be on the disk before the box has its own
            _publish(job, staging)
    finally:
        sweep(job.files_dir)
    for row in rows:
        job.keep([row])
    return rows


def sweep(files_dir: Path) -> None:
    """Remove the boxes that a killed process left, and put back what one took the place of and did not finish.

    The lock of the dataset is held, so nobody else is writing.
    """
    for depth in ("", "*/"):  # a source's prefix is one folder, or none
        for staging in sorted(files_dir.glob(f"{depth}{STAGING_PREFIX}*")):
            if not staging.name.endswith(DONE):
                _put_back(staging)
            shutil.rmtree(staging, ignore_errors=True)


def is_held(prefix: str, remotes: Sequence[RemoteFile], held: Mapping[str, RawFile], files_dir: Path) -> bool:
    """Whether a box is held as it is asked for."""
    return _held_rows(prefix, remotes, held, files_dir) is not None


def _held(job: Job) -> tuple[RawFile, ...] | None:
    rows = _held_rows(job.prefix, job.remotes, job.held, job.files_dir)
    return None if rows is None else tuple(row.model_copy(update={"source": job.index}) for row in rows)


def _held_rows(
    prefix: str, remotes: Sequence[RemoteFile], held: Mapping[str, RawFile], files_dir: Path
) -> tuple[RawFile, ...] | None:
    rows = [
        row
        for path, row in sorted(held.items())
        if row.validator == remotes[0].validator
        and path.startswith((f"{prefix}{REMOTE_METADATA}/", f"{prefix}{CROP}/"))
    ]
    paths = {row.path for row in rows}
    complete = f"{prefix}{CROP}/zarr.json" in paths and all(remote.path in paths for remote in remotes)
    return tuple(rows) if complete and all(is_whole(files_dir, row) for row in rows) else None


def _digest(source: Source, origin: Origin, documents: dict[str, bytes]) -> str:
    digest = hashlib.sha256()
    for name, content in sorted(documents.items()):
        digest.update(f"{name}\t{hashlib.sha256(content).hexdigest()}\n".encode())
    start = list(source.start_zyx) if source.start_zyx else f"seed {source.seed}"
    digest.update(f"{list(cutout_shape(source, origin))}\t{start}\t{source.volume}\n".encode())
    if source.level:
        digest.update(f"level {source.level}\n".encode())
    if source.absent_is_fill:  # other voxels, where a chunk is absent
        digest.update(b"absent_is_fill\n")
    return digest.hexdigest()


def _write_documents(documents: dict[str, bytes], folder: Path) -> None:
    for name, content in documents.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def _rows(job: Job, staging: Path) -> tuple[RawFile, ...]:
    urls = {remote.path: remote.url for remote in job.remotes}
    rows = []
    for file in sorted(path for path in staging.rglob("*") if path.is_file()):
        path = job.prefix + file.relative_to(staging).as_posix()
        rows.append(
            RawFile(
                path=path,
                url=urls.get(path, job.source.url),
                size_bytes=file.stat().st_size,
                sha256=file_sha256(file),
                validator=job.remotes[0].validator,
                source=job.index,
            )
        )
    return tuple(sorted(rows, key=lambda row: row.path))


def _publish(job: Job, staging: Path) -> None:
    """Put the staged folders in place of the old ones; readers go by the manifest, which is written after this.

    What they replace is kept by its digest, as of any file. Who is killed in between has changed nothing (`sweep`).
    """
    home = staging.parent
    for path, row in job.held.items():
        is_ours = path.startswith((f"{job.prefix}{REMOTE_METADATA}/", f"{job.prefix}{CROP}/"))
        if is_ours and is_whole(job.files_dir, row):
            keep_old(job.files_dir / path, job.files_dir.parent / OLD / row.sha256)
    for name in (REMOTE_METADATA, CROP):
        old = home / name
        if old.exists():
            old.replace(staging / f"{REPLACED}{name}")
        (staging / name).replace(old)
    sync_folder(home)
    staging.replace(f"{staging}{DONE}")


def _put_back(staging: Path) -> None:
    for name in (REMOTE_METADATA, CROP):
        old = staging / f"{REPLACED}{name}"
        if old.exists():
            shutil.rmtree(staging.parent / name, ignore_errors=True)
            old.replace(staging.parent / name)
