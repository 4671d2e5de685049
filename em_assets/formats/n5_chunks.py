"""Blocks of an N5 array: fetched, their headers held against the grid, decoded by tensorstore.

::

    mode (2 bytes) | number of dimensions (2) | extent of each (4), x first | values, packed or not, big-endian

A block that says to be smaller than its place leaves the rest at zero, and no library minds: so it is an error here.
What is not there at all is zero by the format; whoever has a list of files knows what was lost.
"""

import struct
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import product
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from em_assets.errors import FormatError
from em_assets.formats.tensorstores import (
    begin_tensorstore,
    open_kvstore,
    open_tensorstore,
    read_files,
)
from em_assets.formats.trees import Tree
from em_assets.formats.volume import Finish
from em_assets.formats.web_files import read_at_most
from em_assets.formats.zarr_arrays import ArrayInfo
from em_assets.formats.zarr_nodes import join
from em_assets.model import ZYX

MOST_BLOCKS = 2**20
"""That one box may touch: of honest blocks it would be larger than every memory."""

BLOCKS_AT_ONCE = 2**12
"""A box that touches more is read in parts, so that their number costs no memory."""

REQUESTS_AT_ONCE = 16
"""For blocks behind a URL."""

_LZ4 = b"LZ4Block"
_LZ4_HEADER = struct.Struct("<8sBiiI")
"""Of each block of Java's LZ4BlockOutputStream: magic, method and size, packed and plain bytes, a checksum."""

_LZ4_STORED, _LZ4_PACKED = 0x10, 0x20

_Spans = Sequence[tuple[int, int]]
"""First and stop along z, y, x."""


@dataclass(frozen=True, eq=False)
class BlockReader:
    """Boxes of one item of an array, its axes turned to z, y, x.

    Attributes
    ----------
    node
        The array's path in the tree.
    zyx
        Positions of z, y and x among the dimensions; z is None in a flat image.
    item
        Index along the other dimensions, (dimension, index).
    """

    tree: Tree
    node: str
    info: ArrayInfo
    zyx: tuple[int | None, int, int]
    item: tuple[tuple[int, int], ...]
    is_lz4: bool
    is_fill_allowed: bool

    def read_box(self, start_zyx: ZYX, shape_zyx: ZYX) -> NDArray[Any]:
        """A box as a fresh array."""
        out = np.empty(shape_zyx, self.info.dtype)
        self.begin_into(start_zyx, out)()
        return out

    def begin_into(self, start_zyx: ZYX, out: NDArray[Any]) -> Finish:
        """A box into memory that is there; its blocks are fetched at once and decoded while others work."""
        spans = [(first, first + extent) for first, extent in zip(start_zyx, out.shape, strict=True)]
        *others, last = self._parts(spans)
        for part in others:
            self._begin_part(start_zyx, out, part)()
        return self._begin_part(start_zyx, out, last)

    def _begin_part(self, start_zyx: ZYX, out: NDArray[Any], part: _Spans) -> Finish:
        z, y, x = (stop - first for first, stop in part)
        own = tuple(slice(first - at, stop - at) for (first, stop), at in zip(part, start_zyx, strict=True))
        box = self._box((part[0][0], part[1][0], part[2][0]), (z, y, x))
        return begin_tensorstore(self.where, box, out[own])

    def _parts(self, spans: _Spans) -> list[_Spans]:
        """A box as parts that touch at most `BLOCKS_AT_ONCE` blocks each, none of them twice."""
        edges = [1 if axis is None else self.info.chunk_shape[axis] for axis in self.zyx]
        counts = [-(-stop // edge) - first // edge for (first, stop), edge in zip(spans, edges, strict=True)]
        if prod(counts) > MOST_BLOCKS:
            raise FormatError(
                f"{self.where}: at most {MOST_BLOCKS} blocks in a box expected, found {prod(counts)} of blockSize "
                f"{list(self.info.chunk_shape)}: read a smaller box"
            )
        if prod(counts) <= BLOCKS_AT_ONCE:
            return [spans]
        axis = counts.index(max(counts))
        first, stop = spans[axis]
        middle = (first // edges[axis] + counts[axis] // 2) * edges[axis]
        halves = [[*spans[:axis], half, *spans[axis + 1 :]] for half in ((first, middle), (middle, stop))]
        return [part for half in halves for part in self._parts(half)]

    @property
    def where(self) -> str:
        """The array's place, for messages."""
        return self.tree.locate(self.node)

    @cached_property
    def _kvstore(self) -> Any:
        return open_kvstore(self.where, self.tree.kvstore(self.node))

    def _box(self, start_zyx: ZYX, shape_zyx: ZYX) -> Any:
        """The box as a tensorstore of the touched blocks alone, which lie in memory."""
        import tensorstore

        spans = self._spans(start_zyx, shape_zyx)
        context = tensorstore.Context()
        memory = tensorstore.KvStore.open({"driver": "memory"}, context=context).result()
        for name, block in self._blocks(spans):
            memory[name] = block
        array = open_tensorstore(
            self.where,
            {
                "driver": "n5",
                "kvstore": {"driver": "memory"},
                "metadata": dict(self.info.metadata),
                "assume_metadata": True,
                "fill_missing_data_reads": True,
            },
            context,
        )
        box = array[tuple(slice(first, stop) for first, stop in spans)].translate_to[(0,) * len(spans)]
        for dimension, _ in sorted(self.item, reverse=True):
            box = box[(slice(None),) * dimension + (0,)]
        spatial = [axis for axis in self.zyx if axis is not None]
        turned = box.transpose([sorted(spatial).index(axis) for axis in spatial])
        return turned if len(spatial) == 3 else turned[tensorstore.newaxis]

    def _spans(self, start_zyx: ZYX, shape_zyx: ZYX) -> list[tuple[int, int]]:
        """First and stop along each dimension of the array."""
        spans = [(0, 1)] * len(self.info.shape)
        for axis, first, extent in zip(self.zyx, start_zyx, shape_zyx, strict=True):
            if axis is not None:
                spans[axis] = (first, first + extent)
        for dimension, index in self.item:
            spans[dimension] = (index, index + 1)
        return spans

    def _blocks(self, spans: Sequence[tuple[int, int]]) -> Iterator[tuple[str, bytes]]:
        ranges = [
            range(first // edge, -(-stop // edge))
            for (first, stop), edge in zip(spans, self.info.chunk_shape, strict=True)
        ]
        cells = {"/".join(map(str, cell)): cell for cell in product(*ranges)}
        for name, data in self._files(list(cells)):
            if data is None and not self.is_fill_allowed:
                raise FormatError(f"{join(self.where, name)}: a block expected, and it is missing; fetch it again")
            if data is not None:
                yield name, self._checked(name, cells[name], data)

    def _files(self, names: Sequence[str]) -> Iterator[tuple[str, bytes | None]]:
        """Each file's bytes, never more than a packer makes of a block: they are in memory whole."""
        most = 2 * prod(self.info.chunk_shape) * self.info.dtype.itemsize + 2**16
        if self.tree.is_local:
            for name in names:
                self._check_size(name, self.tree.size_of(join(self.node, name)), most)
            yield from read_files(self.where, self._kvstore, names).items()
            return
        urls = [self.tree.locate(join(self.node, name)) for name in names]
        pool = ThreadPoolExecutor(min(REQUESTS_AT_ONCE, len(names)))
        try:
            for name, data in zip(names, pool.map(partial(read_at_most, most_bytes=most + 1), urls), strict=True):
                self._check_size(name, len(data or b""), most)
                yield name, data
        finally:
            pool.shutdown(cancel_futures=True)  # what was not begun is not asked for once one has failed

    def _check_size(self, name: str, size: int | None, most: int) -> None:
        if size is not None and size > most:
            found = size if self.tree.is_local else "more"
            raise FormatError(f"{join(self.where, name)}: a block of at most {most} bytes expected, found {found}")

    def _checked(self, name: str, cell: tuple[int, ...], data: bytes) -> bytes:
        """The block as tensorstore takes it, its header right."""
        n = len(self.info.shape)
        header = struct.Struct(f">HH{n}I")
        if len(data) < header.size:
            raise FormatError(
                f"{join(self.where, name)}: a block of {header.size} bytes or more expected; it is cut short"
            )
        mode, n_said, *extents = header.unpack_from(data)
        if (mode, n_said) != (0, n):
            raise FormatError(
                f"{join(self.where, name)}: a block of mode 0 in {n} dimensions expected, found {mode}, {n_said}"
            )
        for size, edge, index, extent in zip(self.info.shape, self.info.chunk_shape, cell, extents, strict=True):
            if extent not in (edge, min(edge, size - index * edge)):  # some writers fill blocks at the end, some clip
                raise FormatError(f"{join(self.where, name)}: {edge} voxels expected, found {extents}: it is cut short")
        if not self.is_lz4:
            return data
        plain = unpacked_lz4(join(self.where, name), data[header.size :], prod(extents) * self.info.dtype.itemsize)
        return data[: header.size] + plain


def unpacked_lz4(where: str, data: bytes, n_bytes: int) -> bytes:
    """What Java's LZ4BlockOutputStream packed, which must be so many bytes.

    Raises
    ------
    FormatError
        It breaks off, contradicts itself, or unpacks to anything else.
    """
    import imagecodecs

    out, at = bytearray(), 0
    while len(out) < n_bytes:
        if len(data) < at + _LZ4_HEADER.size:
            raise FormatError(f"{where}: LZ4 blocks of {n_bytes} bytes expected; it is cut short")
        magic, method, n_packed, n_plain, _ = _LZ4_HEADER.unpack_from(data, at)
        at += _LZ4_HEADER.size
        is_known = magic == _LZ4 and method & 0xF0 in (_LZ4_STORED, _LZ4_PACKED)
        if not is_known or not 0 < n_plain <= n_bytes - len(out) or not 0 < n_packed <= len(data) - at:
            raise FormatError(f"{where}: an LZ4 block expected, found {data[at - _LZ4_HEADER.size :][:24]!r}")
        part = data[at : at + n_packed]
        try:
            plain = part if method & 0xF0 == _LZ4_STORED else bytes(imagecodecs.lz4_decode(part, out=n_plain))
        except (RuntimeError, ValueError) as error:
            raise FormatError(f"{where}: broken LZ4: {error}") from error
        if len(plain) != n_plain:
            raise FormatError(f"{where}: an LZ4 block of {n_plain} bytes expected, found {len(plain)}")
        out += plain
        at += n_packed
    return bytes(out)
