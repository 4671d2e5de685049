"""Chunks that a source stores as they would be stored here: decoded to be counted and halved, and kept as they are."""

from collections.abc import Iterator
from concurrent.futures import Executor
from itertools import product
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from em_assets.errors import FormatError
from em_assets.formats.volume import SourceVolume, StoredChunks
from em_assets.model import ZYX
from em_assets.volumes.codec import Codec, codec_of
from em_assets.volumes.encoding import SeeChunks, StoredBytes
from em_assets.volumes.levels import Grid


def is_kept_verbatim(volume: SourceVolume, grid: Grid, codec: Codec) -> bool:
    """Whether a volume's chunks are stored just so: same shape, same codec, same level."""
    stored = volume.levels[0].stored
    return (
        stored is not None
        and stored.shape_zyx == grid.chunk_shape
        and codec_of(stored.codec) == codec
        and codec.name == "zstd"
    )


def read_verbatim(
    volume: SourceVolume, start_zyx: ZYX, block: NDArray[Any], see: SeeChunks, readers: Executor
) -> StoredBytes:
    """Fill a block, which starts and ends at chunks, and tell of each of them; the bytes of those that are stored.

    Raises
    ------
    FormatError
        A chunk is damaged, or decodes to another size.
    """
    stored = volume.levels[0].stored
    assert stored is not None
    rows = list(_rows(stored.shape_zyx, start_zyx, block.shape))
    found = readers.map(lambda row: _read_row(stored, volume.dtype, row, start_zyx, block, see), rows)
    return {chunk: data for part in found for chunk, data in part.items()}


def _rows(edge: ZYX, start: ZYX, shape: tuple[int, ...]) -> Iterator[list[ZYX]]:
    """The indices of a block's chunks, row by row."""
    z, y, x = (range(s // e, -(-(s + n) // e)) for s, n, e in zip(start, shape, edge, strict=True))
    return ([(i, j, k) for k in x] for i, j in product(z, y))


def _read_row(
    stored: StoredChunks, dtype: np.dtype[Any], row: list[ZYX], start: ZYX, block: NDArray[Any], see: SeeChunks
) -> StoredBytes:
    decoded = np.empty(stored.shape_zyx, dtype)
    kept = {}
    for chunk in row:
        at = [i * edge - s for i, edge, s in zip(chunk, stored.shape_zyx, start, strict=True)]
        target = block[tuple(slice(a, a + edge) for a, edge in zip(at, stored.shape_zyx, strict=True))]
        data = stored.read(chunk)
        if data is None:
            target[...] = stored.fill_value
            continue
        _decode(stored.locate(chunk), data, decoded)
        inside = decoded[tuple(map(slice, target.shape))]
        target[...] = inside
        see(chunk, np.ascontiguousarray(inside)[None])
        kept[chunk] = data
    return kept


def _decode(where: str, data: bytes, out: NDArray[Any]) -> None:
    from imagecodecs import ZstdError, zstd_decode

    try:
        n_bytes = len(zstd_decode(data, out=out.data.cast("B")))
    except (ZstdError, ValueError) as error:
        raise FormatError(f"{where}: cannot be read, so fetch it again: {error}") from error
    if n_bytes != prod(out.shape) * out.dtype.itemsize:
        raise FormatError(f"{where}: {out.nbytes} bytes of voxels expected, it decodes to {n_bytes}; fetch it again")
