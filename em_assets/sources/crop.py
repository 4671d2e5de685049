"""The box as it is kept: an OME-Zarr 0.5 image of one level, which tells where it was cut.

Read and written slab by slab, so a box may be larger than memory; a blank one is thrown away and the next is read.
"""

import json
import math
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from em_assets.errors import PlanTooLargeError, SourceMissingError
from em_assets.formats.tensorstores import TENSORSTORE_ERRORS
from em_assets.formats.volume import SourceVolume
from em_assets.model import ZYX
from em_assets.sources.boxes import Boxes, cutout_shape
from em_assets.sources.job import Job
from em_assets.sources.origins import locate
from em_assets.sources.partial import require_space, unwritable
from em_assets.sources.progress import Progress, megabytes
from em_assets.sources.remote_metadata import readable, scale_key
from em_assets.sources.shards import require_shards, shards_of

ATTRIBUTE = "em_assets_cutout"
CROP_CHUNK = 64


def write_crop(job: Job, volume: SourceVolume, documents: Mapping[str, bytes], dest: Path) -> None:
    """Read the box that is asked for, or the first drawn one that is not blank, into a new image at `dest`.

    Raises
    ------
    OutOfBoundsError
        The box is not inside the volume.
    PlanTooLargeError
        It holds more bytes than the source's `max_bytes`.
    SourceMissingError
        Every box that the seed drew was blank.
    StoreError
        The disk has no room for it, or cannot be written.
    """
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
    progress.add_files(1)
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


def _describe(job: Job, boxes: Boxes, documents: Mapping[str, bytes], start: ZYX, dest: Path) -> None:
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
