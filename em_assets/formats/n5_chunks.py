"""Blocks of an N5 array: fetched, their headers held against the grid, decoded by tensorstore.

::

    mode (2 bytes) | number of dimensions (2) | extent of each (4), x first | values, packed or not, big-endian

A block that says to be smaller than its place leaves the rest at zero, and no library minds: so it is an error here.
What is not there at all is zero by the format; whoever has a list of files knows what was lost.
"""

import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from math import prod
from typing import Any

from numpy.typing import NDArray

from em_assets.errors import FormatError
from em_assets.formats.tensorstores import (
    begin_tensorstore,
    open_kvstore,
    open_tensorstore,
    read_files,
    read_tensorstore,
)
from em_assets.formats.trees import Tree
from em_assets.formats.volume import Finish
from em_assets.formats.zarr_arrays import ArrayInfo
from em_assets.formats.zarr_nodes import join
from em_assets.model import ZYX

_LZ4 = b"LZ4Block"
_LZ4_HEADER = struct.Struct("<8sBiiI")
"""Of each block of Java's LZ4BlockOutputStream: magic, method and size, packed and plain bytes, a checksum."""

_LZ4_STORED, _LZ4_PACKED = 0x10, 0x20


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
        return read_tensorstore(self.where, self._box(start_zyx, shape_zyx))

    def begin_into(self, start_zyx: ZYX, out: NDArray[Any]) -> Finish:
        """A box into memory that is there; its blocks are fetched at once and decoded while others work."""
        z, y, x = out.shape
        return begin_tensorstore(self.where, self._box(start_zyx, (z, y, x)), out)

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
        self._check_sizes(cells)
        for name, data in read_files(self.where, self._kvstore, list(cells)).items():
            if data is None and not self.is_fill_allowed:
                raise FormatError(f"{join(self.where, name)}: a block expected, and it is missing; fetch it again")
            if data is not None:
                yield name, self._checked(name, cells[name], data)

    def _check_sizes(self, names: Iterable[str]) -> None:
        """Refuse a file on this disk that no packer makes of a block: it would be read into memory whole."""
        if not self.tree.is_local:
            return
        most = 2 * prod(self.info.chunk_shape) * self.info.dtype.itemsize + 2**20
        for name in names:
            size = self.tree.size_of(join(self.node, name))
            if size is not None and size > most:
                raise FormatError(f"{join(self.where, name)}: a block of at most {most} bytes expected, found {size}")

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
