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
import json
import math
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from em_assets.errors import (
    FormatError,
    PlanTooLargeError,
    SourceError,
    SourceMissingError,
    VolumeChoiceError,
)
from em_assets.formats.tensorstores import TENSORSTORE_ERRORS
from em_assets.formats.volume import SourceVolume
from em_assets.model import ZYX, RawFile, RemoteFile, Source
from em_assets.settings import SAMPLE
from em_assets.sources.boxes import Boxes, says_absent
from em_assets.sources.hosts import host_of
from em_assets.sources.job import Job, is_whole
from em_assets.sources.manifest import OLD, keep_old
from em_assets.sources.origins import Origin, locate
from em_assets.sources.partial import require_space, sync_folder, unwritable, writable
from em_assets.sources.paths import below
from em_assets.sources.progress import Progress, megabytes
from em_assets.sources.remote_metadata import documents_of, readable, scale_key
from em_assets.sources.shards import require_shards, shards_of
from em_assets.sources.transfer import file_sha256
from em_assets.sources.wire import Patience
from em_assets.volumes.staging import sync_tree

CROP = "crop.zarr"
REMOTE_METADATA = "source"
ATTRIBUTE = "em_assets_cutout"
CROP_CHUNK = 64
ABSENT_WAY_ON = (
    ". Ask the archive for it, or move the box; if the publisher of a zarr or N5 volume writes no empty chunks, say "
    "`absent_is_fill = true`"
)
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
                _write_crop(job, volume, documents, staging / CROP)
            rows = _rows(job, staging)
            sync_tree(staging)  # its folders too: the names in them must be on the disk before the box has its own
            _publish(job, staging)
    finally:
        sweep(job.files_dir)
    for row in rows:
        job.keep(row)
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


@contextmanager
def absence_in_words(source: Source) -> Iterator[None]:
    """Say what to do about a chunk that is not there.

    Raises
    ------
    SourceMissingError
        In the place of the format's own error.
    """
    try:
        yield
    except FormatError as error:
        if not says_absent(error):
            raise
        way_on = "" if source.absent_is_fill else ABSENT_WAY_ON
        raise SourceMissingError(f"{source.url}: a chunk of the box is not there: {error}{way_on}") from error


def cutout_shape(source: Source, origin: Origin) -> ZYX:
    """Shape of the box: the sample's volumes are small, so they may have a smaller one."""
    if origin.name == SAMPLE and source.sample_shape_zyx:
        return source.sample_shape_zyx
    if source.shape_zyx is None:
        raise SourceError(f"{source.url}: a cutout without shape_zyx")
    return source.shape_zyx


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


def open_remote(source: Source, origin: Origin, documents: Mapping[str, bytes]) -> SourceVolume:
    """The remote volume that a box is cut from, opened lazily; `documents` is what it says of itself.

    Its levels begin with the one that is asked for, and coarser ones follow.

    Raises
    ------
    VolumeChoiceError
        There are several, and `volume` names none of them; or it has no such level.
    """
    volume = _whole_remote(source, origin, documents)
    if source.level >= len(volume.levels):
        raise VolumeChoiceError(f"{source.url}: level = {source.level}, and there are {len(volume.levels)} from 0 on")
    return replace(volume, levels=volume.levels[source.level :])


def _whole_remote(source: Source, origin: Origin, documents: Mapping[str, bytes]) -> SourceVolume:
    from em_assets.formats import detect, n5, ome_zarr

    url = readable(locate(source.url, origin)).url
    format = detect(url)
    if format is ome_zarr:
        is_declared = shards_of(documents, scale_key(source.url, documents, source.level)) is not None
        volumes = ome_zarr.open_volumes([url], is_fill_allowed=source.absent_is_fill or is_declared)
    elif format is n5:
        volumes = n5.open_volumes([url], is_fill_allowed=source.absent_is_fill)
    else:
        volumes = format.open_volumes([url])
    if len(volumes) == 1:
        return volumes[0]
    named = [volume for volume in volumes if volume.name == source.volume]
    if not named:
        names = ", ".join(volume.name for volume in volumes)
        raise VolumeChoiceError(f"{source.url}: holds several volumes, and `volume` names none of them: {names}")
    return named[0]


def _write_documents(documents: dict[str, bytes], folder: Path) -> None:
    for name, content in documents.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def _write_crop(job: Job, volume: SourceVolume, documents: dict[str, bytes], dest: Path) -> None:
    shape = cutout_shape(job.source, job.origin)
    shards = shards_of(documents, scale_key(job.source.url, documents, job.source.level))
    size_bytes = math.prod(shape) * volume.dtype.itemsize
    if size_bytes > job.source.max_bytes:
        raise PlanTooLargeError(
            f"{job.source.url}: a box of {shape} voxels has {size_bytes:,} bytes, more than max_bytes = "
            f"{job.source.max_bytes:,}. Take a smaller `shape_zyx`, or raise `max_bytes`"
        )
    require_space(job.files_dir, size_bytes, job.source.url)
    boxes = Boxes(job.source, volume, shape)
    for start in boxes.starts():
        job.log(f"{job.source.url}: box from {start} of shape {shape} (z, y, x), {megabytes(size_bytes)}")
        if shards is not None and not job.source.absent_is_fill:
            require_shards(job.source.url, readable(locate(job.source.url, job.origin)).url, shards, start, shape)
        progress = Progress(job.source.url, job.log, 1, size_bytes)
        with progress.shown():
            is_blank = _copy_box(volume, start, shape, dest, progress)
        if not is_blank or job.source.start_zyx:
            _describe(job, boxes, documents, start, dest)
            return
        job.log(f"{job.source.url}: the box from {start} is blank; it is moved")
        boxes.blank.append(start)
        shutil.rmtree(dest)
    raise SourceMissingError(
        f"{job.source.url}: {len(boxes.blank)} boxes of shape {shape} drawn with seed = {job.source.seed} are all "
        "blank, and so is the coarsest level: is this the volume that is meant? If it is, give `start_zyx`"
    )


def _copy_box(volume: SourceVolume, start: ZYX, shape: ZYX, dest: Path, progress: Progress) -> bool:
    """Copy the box in slabs of whole chunks, and tell whether it is blank; peak memory is one slab and its chunks."""
    array = _new_array(volume, shape, dest / "s0")
    lowest, highest = [], []
    depth = _slab_depth(volume)
    for z in range(0, shape[0], depth):
        slab_shape = (min(depth, shape[0] - z), shape[1], shape[2])
        slab = volume.read((start[0] + z, start[1], start[2]), slab_shape)
        lowest.append(slab.min())
        highest.append(slab.max())
        _write_slab(array[z : z + slab_shape[0]], slab, dest / "s0")
        progress.add_bytes(slab.nbytes)
    progress.add_file()
    return bool(min(lowest) == max(highest))


def _new_array(volume: SourceVolume, shape: ZYX, dest: Path) -> Any:
    import tensorstore

    try:
        return tensorstore.open(_array_spec(volume, shape, dest), create=True).result()
    except TENSORSTORE_ERRORS as error:
        raise unwritable(error, dest, "a box", math.prod(shape) * volume.dtype.itemsize) from error


def _write_slab(part: Any, slab: NDArray[Any], dest: Path) -> None:
    try:
        part.write(slab).result()
    except TENSORSTORE_ERRORS as error:
        raise unwritable(error, dest, "a slab of the box", slab.nbytes) from error


def _slab_depth(volume: SourceVolume) -> int:
    """Rows of our own chunks, and of the remote's where both fit in few: then no remote chunk is read twice."""
    chunk = volume.levels[0].chunk_shape_zyx
    both = math.lcm(CROP_CHUNK, chunk[0]) if chunk else CROP_CHUNK
    return both if both <= 8 * CROP_CHUNK else CROP_CHUNK


def _array_spec(volume: SourceVolume, shape: ZYX, dest: Path) -> dict[str, Any]:
    metadata = {
        "shape": list(shape),
        "data_type": volume.dtype.name,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [CROP_CHUNK] * 3}},
        "chunk_key_encoding": {"name": "default"},
        "codecs": [
            {"name": "bytes", "configuration": {"endian": "little"}},
            {"name": "zstd", "configuration": {"level": 3, "checksum": True}},
        ],
        "dimension_names": ["z", "y", "x"],
    }
    # A chunk of zeros is written like any other: an absent one would be an error, not a background.
    return {
        "driver": "zarr3",
        "kvstore": {"driver": "file", "path": f"{dest}/"},
        "metadata": metadata,
        "store_data_equal_to_fill_value": True,
    }


def _describe(job: Job, boxes: Boxes, documents: dict[str, bytes], start: ZYX, dest: Path) -> None:
    volume, level = boxes.volume, boxes.volume.levels[0]
    cut = {
        "url": job.source.url,
        "scale_key": scale_key(job.source.url, documents, job.source.level),
        **({"level": job.source.level} if job.source.level else {}),
        "start_zyx": list(start),
        "shape_zyx": list(boxes.shape_zyx),
        "seed": None if job.source.start_zyx else job.source.seed,
        "blank_starts_zyx": [list(blank) for blank in boxes.blank],
        "source_shape_zyx": list(volume.shape_zyx),
        "source_chunks": list(level.chunk_shape_zyx) if level.chunk_shape_zyx else None,
        "source_compressor": volume.compressor,
        "source_n_levels": job.source.level + len(volume.levels),
    }
    group = {
        "zarr_format": 3,
        "node_type": "group",
        "attributes": {"ome": _multiscales(volume, start), ATTRIBUTE: cut},
    }
    (dest / "zarr.json").write_text(json.dumps(group, indent=2) + "\n")


def _multiscales(volume: SourceVolume, start: ZYX) -> dict[str, Any]:
    level = volume.levels[0]
    scale = [size or 1.0 for size in level.voxel_size_zyx_nm]
    offset = [at + begin * size for at, begin, size in zip(level.offset_zyx_nm, start, scale, strict=True)]
    axes = [
        {"name": name, "type": "space", **({"unit": "nanometer"} if size else {})}  # without a unit: nobody knows
        for name, size in zip("zyx", level.voxel_size_zyx_nm, strict=True)
    ]
    transformations = [{"type": "scale", "scale": scale}, {"type": "translation", "translation": offset}]
    dataset = {"path": "s0", "coordinateTransformations": transformations}
    return {"version": "0.5", "multiscales": [{"name": volume.name, "axes": axes, "datasets": [dataset]}]}


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
