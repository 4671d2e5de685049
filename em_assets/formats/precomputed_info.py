"""The `info` of a Neuroglancer precomputed volume, checked before any library sees it.

A hostile one (two channels, a block size of 0) kills the process in cloud-volume, and none of it is caught later.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from em_assets.errors import FormatError, UnsupportedDataError
from em_assets.formats.zarr_arrays import MAX_EXTENT, check_chunk_bytes, whole_numbers
from em_assets.model import Content

DATA_TYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "float32")
ENCODING_TYPES: Mapping[str, tuple[str, ...]] = {
    "raw": DATA_TYPES,
    "jpeg": ("uint8",),
    "png": ("uint8", "uint16"),
    "compressed_segmentation": ("uint32", "uint64"),
    "compresso": ("uint8", "uint16", "uint32", "uint64"),
}
MAX_SCALES = 64
MAX_BLOCK = 1024
_CONTENTS: Mapping[str, Content | None] = {"segmentation": "labels", "image": None}


@dataclass(frozen=True)
class Sharding:
    """How chunks are packed into shard files: `neuroglancer_uint64_sharded_v1`."""

    preshift_bits: int
    hash: str
    minishard_bits: int
    shard_bits: int
    data_encoding: str


@dataclass(frozen=True)
class Scale:
    """One resolution; x, y, z as in the file, turned where volumes are made."""

    key: str
    size_xyz: tuple[int, ...]
    voxel_offset_xyz: tuple[int, ...]
    chunk_xyz: tuple[int, ...]
    resolution_xyz_nm: tuple[float, ...]
    encoding: str
    sharding: Sharding | None


@dataclass(frozen=True)
class Info:
    """A volume with one value a voxel; `content` where the type says it."""

    dtype: np.dtype[Any]
    content: Content | None
    scales: tuple[Scale, ...]


def parse_info(where: str, document: Any) -> Info:
    """A checked `info`.

    Raises
    ------
    FormatError
        It contradicts itself or exceeds every honest size; the message names the key.
    UnsupportedDataError
        It is no volume (a mesh, a skeleton, a graph), has several channels, or an encoding that is not known.
    """
    if not isinstance(document, dict):
        raise FormatError(f"{where}: a JSON object expected, found {document!r:.80}")
    kind = document.get("@type", "neuroglancer_multiscale_volume")
    if kind != "neuroglancer_multiscale_volume" or "scales" not in document:
        raise UnsupportedDataError(
            f"{where}: a precomputed volume expected, found @type {kind!r:.60} (no voxels in it)"
        )
    if "graph" in document:
        raise UnsupportedDataError(f"{where}: a graphene segmentation: its voxels are behind a chunked-graph server")
    if not isinstance(document.get("type"), str) or document["type"] not in _CONTENTS:
        raise FormatError(f"{where}: type {' or '.join(_CONTENTS)} expected, found {document.get('type')!r:.60}")
    channels = document.get("num_channels")
    if type(channels) is not int or channels != 1:
        raise UnsupportedDataError(f"{where}: one channel expected, found num_channels {channels!r:.60} (colour data?)")
    data_type = document.get("data_type")
    if not isinstance(data_type, str) or data_type not in DATA_TYPES:
        raise UnsupportedDataError(f"{where}: data_type {', '.join(DATA_TYPES)} expected, found {data_type!r:.60}")
    scales = document["scales"]
    if not isinstance(scales, list) or not 1 <= len(scales) <= MAX_SCALES:
        raise FormatError(f"{where}: 1 to {MAX_SCALES} scales expected, found {scales!r:.80}")
    return Info(
        dtype=np.dtype(data_type),
        content=_CONTENTS[document["type"]],
        scales=tuple(_scale(f"{where}: scales.{i}", scale, data_type) for i, scale in enumerate(scales)),
    )


def _scale(where: str, scale: Any, data_type: str) -> Scale:
    if not isinstance(scale, dict) or not isinstance(scale.get("key"), str) or not scale["key"]:
        raise FormatError(f"{where}: an object with a key expected, found {scale!r:.80}")
    encoding = scale.get("encoding")
    if not isinstance(encoding, str) or encoding not in ENCODING_TYPES:
        raise UnsupportedDataError(f"{where}: encoding {', '.join(ENCODING_TYPES)} expected, found {encoding!r:.60}")
    if data_type not in ENCODING_TYPES[encoding]:
        raise FormatError(f"{where}: encoding {encoding} holds {', '.join(ENCODING_TYPES[encoding])}, not {data_type}")
    if encoding == "compressed_segmentation":
        key = "compressed_segmentation_block_size"
        whole_numbers(where, key, scale.get(key), least=1, most=MAX_BLOCK, count=3)
    offset = scale.get("voxel_offset", [0, 0, 0])
    return Scale(
        key=scale["key"].strip("/"),
        size_xyz=whole_numbers(where, "size", scale.get("size"), least=1, most=MAX_EXTENT, count=3),
        voxel_offset_xyz=whole_numbers(where, "voxel_offset", offset, least=-MAX_EXTENT, most=MAX_EXTENT, count=3),
        chunk_xyz=_chunk(where, scale.get("chunk_sizes"), np.dtype(data_type)),
        resolution_xyz_nm=_resolution(where, scale.get("resolution")),
        encoding=encoding,
        sharding=_sharding(where, scale.get("sharding")),
    )


def _chunk(where: str, chunk_sizes: Any, dtype: np.dtype[Any]) -> tuple[int, ...]:
    """The first chunk size: further ones are the same voxels stored again in another cut."""
    if not isinstance(chunk_sizes, list) or not chunk_sizes:
        raise FormatError(f"{where}: chunk_sizes: a list of three numbers each expected, found {chunk_sizes!r:.80}")
    chunk = whole_numbers(where, "chunk_sizes.0", chunk_sizes[0], least=1, most=MAX_EXTENT, count=3)
    check_chunk_bytes(f"{where}: chunk_sizes", chunk, dtype)
    return chunk


def _resolution(where: str, resolution: Any) -> tuple[float, ...]:
    is_list = isinstance(resolution, list) and len(resolution) == 3
    if not is_list or not all(type(r) in (int, float) and 0 < r < 1e12 for r in resolution):
        raise FormatError(f"{where}: resolution: three positive numbers (nm) expected, found {resolution!r:.80}")
    return tuple(float(r) for r in resolution)


def _sharding(where: str, sharding: Any) -> Sharding | None:
    if sharding is None:
        return None
    kind = sharding.get("@type") if isinstance(sharding, dict) else None
    if kind != "neuroglancer_uint64_sharded_v1":
        raise UnsupportedDataError(f"{where}: sharding neuroglancer_uint64_sharded_v1 expected, found {sharding!r:.80}")
    bits = [sharding.get(key) for key in ("preshift_bits", "minishard_bits", "shard_bits")]
    preshift, minishard, shard = whole_numbers(where, "sharding bits", bits, least=0, most=64, count=3)
    if minishard > 24 or minishard + shard > 64:
        raise FormatError(f"{where}: at most 24 minishard bits, and 64 with the shard bits, expected, found {bits}")
    encodings = [sharding.get(key, "raw") for key in ("data_encoding", "minishard_index_encoding")]
    if not all(encoding in ("raw", "gzip") for encoding in encodings):
        raise FormatError(f"{where}: sharding: encodings raw or gzip expected, found {encodings!r:.80}")
    if sharding.get("hash") not in ("identity", "murmurhash3_x86_128"):
        raise FormatError(f"{where}: sharding: a known hash expected, found {sharding.get('hash')!r:.60}")
    return Sharding(preshift, sharding["hash"], minishard, shard, encodings[0])
