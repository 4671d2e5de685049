"""The 5-D arrays of both VISoR schemas: stacks, channels, z, y, x; every chunk present, written once."""

import json
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from em_assets.layouts.visor_items import Plate
from em_assets.model import ZYX, FloatZYX

CHUNK = 256
"""Voxels along each edge of a chunk, or of a shard, as VISoR has them; no longer than the array."""

INNER_CHUNK = 64
"""Of a chunk inside a shard of 2025.6.1."""

COMPRESSION_LEVEL = 1

AT_ONCE = 4
"""Chunks, or shards, that are compressed and written while the next one is read."""

Metadata = Callable[[Sequence[int], ZYX], Mapping[str, Any]]
"""Shape of an array and of a chunk, or shard, z, y, x → its metadata, as tensorstore takes it."""


def write_levels(plate: Plate, group: Path, driver: str, metadata: Metadata) -> None:
    """Each level of an image as one array `0`, `1`, …; held are a few chunks (or shards) of 32 MiB."""
    import tensorstore

    for level, shape_zyx in enumerate(plate.shapes):
        shape = (len(plate.rows), len(plate.columns), *shape_zyx)
        unit = clipped(CHUNK, shape_zyx)
        spec = {
            "driver": driver,
            "kvstore": {"driver": "file", "path": f"{group / str(level)}/"},
            "metadata": dict(metadata(shape, unit)),
            "store_data_equal_to_fill_value": True,
        }
        array = tensorstore.open(spec, create=True).result()
        begun: deque[Any] = deque()
        for row, column in product(range(len(plate.rows)), range(len(plate.columns))):
            volume = plate.volumes[row][column].at_level(level)
            for start, box in _boxes(shape_zyx, unit):
                voxels = volume.read(start, box).astype(np.uint16, copy=False)
                z, y, x = (slice(at, at + n) for at, n in zip(start, box, strict=True))
                begun.append(array[row, column, z, y, x].write(voxels))
                if len(begun) > AT_ONCE:
                    begun.popleft().result()
        for write in begun:
            write.result()


def metadata_v2(shape: Sequence[int], chunk_zyx: ZYX) -> Mapping[str, Any]:
    """Of an array of 2024.11.0, zarr v2."""
    return {
        "zarr_format": 2,
        "shape": list(shape),
        "chunks": [1, 1, *chunk_zyx],
        "dtype": "<u2",
        "compressor": {"id": "blosc", "cname": "zstd", "clevel": COMPRESSION_LEVEL, "shuffle": 1, "blocksize": 0},
        "fill_value": 0,
        "filters": None,
        "order": "C",
        "dimension_separator": "/",
    }


def metadata_v3(shape: Sequence[int], shard_zyx: ZYX, names: Sequence[str]) -> Mapping[str, Any]:
    """Of an array of 2025.6.1, zarr v3 with shards, which hold a whole number of chunks."""
    shard = [1, 1, *(-(-edge // INNER_CHUNK) * INNER_CHUNK if edge > INNER_CHUNK else edge for edge in shard_zyx)]
    little_endian = {"name": "bytes", "configuration": {"endian": "little"}}
    blosc = {
        "name": "blosc",
        "configuration": {
            "cname": "zstd",
            "clevel": COMPRESSION_LEVEL,
            "shuffle": "shuffle",
            "typesize": 2,
            "blocksize": 0,
        },
    }
    sharding = {
        "chunk_shape": [1, 1, *(min(INNER_CHUNK, edge) for edge in shard_zyx)],
        "codecs": [little_endian, blosc],
        "index_codecs": [little_endian, {"name": "crc32c"}],
        "index_location": "end",
    }
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": list(shape),
        "data_type": "uint16",
        "fill_value": 0,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": shard}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "codecs": [{"name": "sharding_indexed", "configuration": sharding}],
        "dimension_names": list(names),
        "attributes": {},
    }


def scale_um(voxel_size_zyx_nm: FloatZYX) -> list[float]:
    """A scale of five values: stacks and channels by index, lengths in micrometres."""
    return [1.0, 1.0, *micrometres(voxel_size_zyx_nm)]


def micrometres(lengths_nm: Sequence[float]) -> list[float]:
    """Nanometres to micrometres, without the digits that binary fractions leave."""
    return [float(f"{length / 1000:.12g}") for length in lengths_nm]


def clipped(edge: int, shape_zyx: ZYX) -> ZYX:
    """A cube no larger than the array."""
    z, y, x = (min(edge, extent) for extent in shape_zyx)
    return (z, y, x)


def write_json(path: Path, document: Any) -> None:
    """A JSON document, its keys in the order given."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")


def _boxes(shape_zyx: ZYX, unit_zyx: ZYX) -> Iterator[tuple[ZYX, ZYX]]:
    ranges = (range(0, extent, edge) for extent, edge in zip(shape_zyx, unit_zyx, strict=True))
    for z, y, x in product(*ranges):
        ends = zip((z, y, x), unit_zyx, shape_zyx, strict=True)
        depth, height, width = (min(edge, extent - start) for start, edge, extent in ends)
        yield (z, y, x), (depth, height, width)
