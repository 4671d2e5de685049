"""A box of a remote volume, read chunk by chunk and kept with what the remote says of itself.

::

    source/…     the remote's own metadata, byte for byte: `info`, or the zarr documents under their own names
    crop.zarr/   the box: an OME-Zarr 0.5 image with one level, `em_assets_cutout` tells where it was cut

The box's start is given, or drawn by the seed on the remote's chunk grid and drawn again while the box is blank: a box
at the origin of a public label volume once was 8 GB of zeros, and nobody noticed.
"""

import hashlib
import json
import math
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from em_assets.errors import (
    OutOfBoundsError,
    PlanTooLargeError,
    SourceError,
    SourceMissingError,
    StoreError,
    VolumeChoiceError,
)
from em_assets.formats.volume import SourceVolume
from em_assets.model import ZYX, RawFile, RemoteFile, Source
from em_assets.settings import SAMPLE
from em_assets.sources.job import Job, is_whole, megabytes
from em_assets.sources.origins import Origin, locate
from em_assets.sources.partial import sync_folder
from em_assets.sources.paths import below
from em_assets.sources.remote_metadata import documents_of, readable, scale_key
from em_assets.sources.transfer import file_sha256
from em_assets.sources.wire import Patience

CROP = "crop.zarr"
REMOTE_METADATA = "source"
ATTRIBUTE = "em_assets_cutout"
CROP_CHUNK = 64
MOST_STARTS = 20
STAGING_PREFIX = ".cutout-"


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
    """
    held = _held(job)
    if held is not None:
        return held
    volume = _open(job.source, job.origin)
    documents = documents_of(job.source.url, job.origin, job.patience)
    if f"cutout:{_digest(job.source, job.origin, documents)}" != job.remotes[0].validator:
        raise SourceError(f"{job.source.url}: its metadata changed between listing and reading; run again")
    staging = job.files_dir / f"{STAGING_PREFIX}{os.getpid()}"
    shutil.rmtree(staging, ignore_errors=True)
    try:
        _write_documents(documents, staging / REMOTE_METADATA)
        _write_crop(job, volume, documents, staging / CROP)
        rows = _rows(job, staging)
        _publish(job, staging)
    except OSError as error:
        raise StoreError(f"{staging}: cannot be written ({error.strerror})") from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    for row in rows:
        job.keep(row)
    return rows


def cutout_shape(source: Source, origin: Origin) -> ZYX:
    """Shape of the box: the sample's volumes are small, so they may have a smaller one."""
    if origin.name == SAMPLE and source.sample_shape_zyx:
        return source.sample_shape_zyx
    if source.shape_zyx is None:
        raise SourceError(f"{source.url}: a cutout without shape_zyx")
    return source.shape_zyx


def _held(job: Job) -> tuple[RawFile, ...] | None:
    validator = job.remotes[0].validator
    rows = [
        row
        for path, row in sorted(job.held.items())
        if row.validator == validator and path.startswith((f"{job.prefix}{REMOTE_METADATA}/", f"{job.prefix}{CROP}/"))
    ]
    paths = {row.path for row in rows}
    complete = f"{job.prefix}{CROP}/zarr.json" in paths and all(remote.path in paths for remote in job.remotes)
    if not complete or not all(is_whole(job.files_dir, row) for row in rows):
        return None
    return tuple(row.model_copy(update={"source": job.index}) for row in rows)


def _digest(source: Source, origin: Origin, documents: dict[str, bytes]) -> str:
    digest = hashlib.sha256()
    for name, content in sorted(documents.items()):
        digest.update(f"{name}\t{hashlib.sha256(content).hexdigest()}\n".encode())
    start = list(source.start_zyx) if source.start_zyx else f"seed {source.seed}"
    digest.update(f"{list(cutout_shape(source, origin))}\t{start}\t{source.volume}\n".encode())
    return digest.hexdigest()


def _open(source: Source, origin: Origin) -> SourceVolume:
    from em_assets.formats import open_path

    volumes = open_path(readable(locate(source.url, origin)).url)
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
    size_bytes = math.prod(shape) * volume.dtype.itemsize
    if size_bytes > job.source.max_bytes:
        raise PlanTooLargeError(
            f"{job.source.url}: a box of {shape} voxels has {size_bytes:,} bytes, more than max_bytes = "
            f"{job.source.max_bytes:,}. Take a smaller `shape_zyx`, or raise `max_bytes`"
        )
    for start in _starts(job.source, volume, shape):
        job.log(f"{job.source.url}: box from {start} of shape {shape} (z, y, x), {megabytes(size_bytes)}")
        is_blank = _copy_box(volume, start, shape, dest)
        if not is_blank or job.source.start_zyx:
            _describe(job, volume, documents, start, dest)
            return
        job.log(f"{job.source.url}: the box from {start} is blank; another start is drawn")
        shutil.rmtree(dest)
    raise SourceMissingError(
        f"{job.source.url}: {MOST_STARTS} boxes of shape {shape} drawn with seed = {job.source.seed} are all blank; "
        "give `start_zyx`, or another `seed`"
    )


def _starts(source: Source, volume: SourceVolume, shape: ZYX) -> Iterator[ZYX]:
    """Give the start, or draw some on the chunk grid; those that a coarse level shows to be blank are passed over."""
    _check_inside(source, volume, source.start_zyx or (0, 0, 0), shape)
    if source.start_zyx:
        yield source.start_zyx
        return
    chunk = volume.levels[0].chunk_shape_zyx or (1, 1, 1)
    n_starts = [(size - extent) // step + 1 for size, extent, step in zip(volume.shape_zyx, shape, chunk, strict=True)]
    random = np.random.default_rng(source.seed)
    for _ in range(MOST_STARTS):
        z, y, x = (int(number) * step for number, step in zip(random.integers(0, n_starts), chunk, strict=True))
        if not _looks_blank(volume, (z, y, x), shape):
            yield (z, y, x)


def _check_inside(source: Source, volume: SourceVolume, start: ZYX, shape: ZYX) -> None:
    if all(
        begin >= 0 and begin + extent <= size
        for begin, extent, size in zip(start, shape, volume.shape_zyx, strict=True)
    ):
        return
    end = tuple(begin + extent for begin, extent in zip(start, shape, strict=True))
    raise OutOfBoundsError(
        f"{source.url}: the box {start} to {end} (z, y, x) is not inside the volume (0, 0, 0) to {volume.shape_zyx}; "
        "mend `start_zyx` or `shape_zyx`"
    )


def _looks_blank(volume: SourceVolume, start: ZYX, shape: ZYX) -> bool:
    """Whether the same box of the coarsest level that still shows something of it is constant."""
    for level in reversed(volume.levels[1:]):
        ratio = [fine / coarse for fine, coarse in zip(volume.shape_zyx, level.shape_zyx, strict=True)]
        z, y, x = (int(begin / by) for begin, by in zip(start, ratio, strict=True))
        d, h, w = (int(extent / by) for extent, by in zip(shape, ratio, strict=True))
        ends = (z + d, y + h, x + w)
        if min(d, h, w) >= 4 and all(end <= size for end, size in zip(ends, level.shape_zyx, strict=True)):
            box = level.read_box((z, y, x), (d, h, w))
            return bool(box.min() == box.max())
    return False


def _copy_box(volume: SourceVolume, start: ZYX, shape: ZYX, dest: Path) -> bool:
    """Copy the box in slabs of whole chunks, and tell whether it is blank; peak memory is one slab and its chunks."""
    import tensorstore as ts

    array = ts.open(_array_spec(volume, shape, dest / "s0"), create=True).result()
    lowest, highest = [], []
    depth = _slab_depth(volume)
    for z in range(0, shape[0], depth):
        slab_shape = (min(depth, shape[0] - z), shape[1], shape[2])
        slab = volume.read((start[0] + z, start[1], start[2]), slab_shape)
        lowest.append(slab.min())
        highest.append(slab.max())
        array[z : z + slab_shape[0]].write(slab).result()
    return bool(min(lowest) == max(highest))


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


def _describe(job: Job, volume: SourceVolume, documents: dict[str, bytes], start: ZYX, dest: Path) -> None:
    level = volume.levels[0]
    cut = {
        "url": job.source.url,
        "scale_key": scale_key(job.source.url, documents),
        "start_zyx": list(start),
        "shape_zyx": list(cutout_shape(job.source, job.origin)),
        "seed": None if job.source.start_zyx else job.source.seed,
        "source_shape_zyx": list(volume.shape_zyx),
        "source_chunks": list(level.chunk_shape_zyx) if level.chunk_shape_zyx else None,
        "source_compressor": volume.compressor,
        "source_n_levels": len(volume.levels),
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
        with file.open("rb") as content:
            os.fsync(content.fileno())
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
    """Put the staged folders in place of the old ones; readers go by the manifest, which is written after this."""
    home = job.files_dir / job.prefix
    home.mkdir(parents=True, exist_ok=True)
    for name in (REMOTE_METADATA, CROP):
        old = home / name
        if old.exists():
            old.replace(staging / f"old-{name}")
        (staging / name).replace(old)
    sync_folder(home)
