"""The chunk files of an unsharded precomputed scale: their names, and those that cloud-volume compressed."""

from collections.abc import Iterator, Mapping
from itertools import product
from math import prod
from typing import Any

from em_assets.formats.jpeg import check_end
from em_assets.formats.precomputed_info import Scale
from em_assets.formats.tensorstores import open_tensorstore
from em_assets.formats.trees import gunzipped
from em_assets.model import ZYX

Cell = tuple[int, int, int]
"""A place in the chunk grid: x, y, z."""

COMPRESSED_SUFFIXES = ("", ".gz", ".br", ".zstd", ".xz", ".bz2")
"""What cloud-volume appends to the names of compressed chunk files on a local disk; "" comes first: not compressed."""


def cells(scale: Scale, start_zyx: ZYX, shape_zyx: ZYX) -> list[Cell]:
    """Places in the chunk grid that a box touches."""
    z, y, x = (
        range(start // edge, -(-(start + extent) // edge))
        for start, extent, edge in zip(start_zyx, shape_zyx, scale.chunk_xyz[::-1], strict=True)
    )
    return list(product(x, y, z))


def chunk_name(scale: Scale, cell: Cell) -> str:
    """Name of a chunk's file: `0-64_64-128_0-32`, counted with the offset and cut at the volume's end."""
    return "_".join(_spans(scale, cell))


def open_gunzipped(where: str, scale: Scale, spec: Mapping[str, Any], info: bytes, chunks: Mapping[str, bytes]) -> Any:
    """The scale as a tensorstore that has only these chunks, unpacked in memory, by file name.

    Raises
    ------
    FormatError
        A chunk is no whole gzip, or unpacks to more than a chunk can take.
    """
    import tensorstore

    context = tensorstore.Context()
    store = tensorstore.KvStore.open({"driver": "memory"}, context=context).result()
    store["info"] = info
    for name, data in chunks.items():
        plain = gunzipped(f"{where}/{name}", data, 16 * prod(scale.chunk_xyz) + 2**20)
        if scale.encoding == "jpeg":
            check_end(f"{where}/{name}", plain)
        store[f"{scale.key}/{name}"] = plain
    return open_tensorstore(where, {**spec, "kvstore": {"driver": "memory"}}, context)


def _spans(scale: Scale, cell: Cell) -> Iterator[str]:
    for index, edge, size, offset in zip(cell, scale.chunk_xyz, scale.size_xyz, scale.voxel_offset_xyz, strict=True):
        yield f"{offset + index * edge}-{offset + min((index + 1) * edge, size)}"
