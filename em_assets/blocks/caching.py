"""Volumes that are elsewhere, with the chunks that were read kept on this disk, so that none is fetched twice.

A chunk is kept as it was decoded, packed with zstd: whatever a format does to its chunks, here they are alike.
"""

import hashlib
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import product
from math import prod
from threading import Lock
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from em_assets.blocks.disk_cache import DiskCache
from em_assets.blocks.flight import begin, in_a_thread, land
from em_assets.formats.volume import Finish, SourceLevel, SourceVolume
from em_assets.model import ZYX
from em_assets.settings import BlockCache

ZSTD_LEVEL = 1
IN_FLIGHT_BYTES = 128 << 20
"""Chunks that are fetched at once, over all boxes; each box may begin one in any case."""

MOST_KEEPING = 16
"""Chunks of a box that wait to be packed, once their voxels are where they should be."""


def with_cache(source: SourceVolume, what: str, place: BlockCache) -> SourceVolume:
    """The same volume, its chunks kept in the cache; levels that are not stored in chunks are as they were.

    `what` names its bytes: the same text is the same bytes, and other bytes are another text.
    """
    cache = DiskCache.opened(place)
    name = hashlib.sha256(what.encode()).hexdigest()[:32]
    levels = (_with_cache(level, f"{name}/s{index}", cache, source.dtype) for index, level in enumerate(source.levels))
    return replace(source, levels=tuple(levels))


def looks(source: SourceVolume) -> str:
    """What the metadata of a volume say of it: a part of what tells its bytes from others."""
    levels = [(level.shape_zyx, level.chunk_shape_zyx, level.offset_zyx_nm) for level in source.levels]
    return repr((source.name, source.dtype.str, source.compressor, levels))


def _with_cache(level: SourceLevel, name: str, cache: DiskCache, dtype: np.dtype[Any]) -> SourceLevel:
    if level.chunk_shape_zyx is None:
        return level
    reader = _Reader(level, level.chunk_shape_zyx, name, cache, dtype)
    return replace(level, read_box=reader.read_box, begin_into=reader.begin_into, read_into=None)


class _Piece(NamedTuple):
    """What a box has of one chunk: the chunk's name, first voxel and shape, where in it, and the memory it goes to."""

    name: str
    start_zyx: ZYX
    shape_zyx: ZYX
    within: tuple[slice, ...]
    out: NDArray[Any]


class _InFlight:
    """Bytes of the chunks that are being fetched, by any number of threads."""

    def __init__(self) -> None:
        self._bytes = 0
        self._lock = Lock()

    def add(self, n_bytes: int) -> None:
        """So many more, or fewer."""
        with self._lock:
            self._bytes += n_bytes

    @property
    def is_room(self) -> bool:
        """Whether another may be begun."""
        return self._bytes < IN_FLIGHT_BYTES


@dataclass(frozen=True, eq=False)
class _Reader:
    """Boxes of a level, chunk by chunk: from the disk, else from where they are."""

    level: SourceLevel
    chunk_zyx: ZYX
    name: str
    cache: DiskCache
    dtype: np.dtype[Any]
    in_flight: _InFlight = field(default_factory=_InFlight)

    def read_box(self, start_zyx: ZYX, shape_zyx: ZYX) -> NDArray[Any]:
        """A box as a fresh array."""
        out = np.empty(shape_zyx, self.dtype)
        self.begin_into(start_zyx, out)()
        return out

    def begin_into(self, start_zyx: ZYX, out: NDArray[Any]) -> Finish:
        """A box into memory that is there, without waiting for the first of its chunks."""
        pieces = self._pieces(start_zyx, out)
        flying: deque[Finish] = deque()
        keeping: deque[Finish] = deque()

        def fly() -> None:
            while self.in_flight.is_room or not flying:
                piece = next(pieces, None)
                if piece is None:
                    return
                flying.append(self._begin(piece, keeping))

        def finish() -> None:
            try:
                while flying:
                    flying.popleft()()
                    fly()
                    while len(keeping) > MOST_KEEPING:
                        keeping.popleft()()
            finally:
                land(flying)
                land(keeping)

        try:
            fly()
        except BaseException:
            land(flying)
            raise
        return finish

    def _pieces(self, start_zyx: ZYX, out: NDArray[Any]) -> Iterator[_Piece]:
        axes = zip(start_zyx, out.shape, self.chunk_zyx, strict=True)
        for index in product(*(range(start // edge, -(-(start + n) // edge)) for start, n, edge in axes)):
            yield self._piece(index, start_zyx, out)

    def _piece(self, index: tuple[int, ...], start_zyx: ZYX, out: NDArray[Any]) -> _Piece:
        within, to, starts, shape = [], [], [], []
        axes = zip(index, self.chunk_zyx, self.level.shape_zyx, start_zyx, out.shape, strict=True)
        for at, edge, size, start, n in axes:
            first, end = at * edge, min((at + 1) * edge, size)
            low, high = max(first, start), min(end, start + n)
            within.append(slice(low - first, high - first))
            to.append(slice(low - start, high - start))
            starts.append(first)
            shape.append(end - first)
        z, y, x = index
        (start_z, start_y, start_x), (n_z, n_y, n_x) = starts, shape
        name = f"{self.name}/{z}/{y}_{x}"
        return _Piece(name, (start_z, start_y, start_x), (n_z, n_y, n_x), tuple(within), out[tuple(to)])

    def _begin(self, piece: _Piece, keeping: deque[Finish]) -> Finish:
        take = in_a_thread(self._take, piece) if self.cache.has(piece.name) else None
        fetch = None if take else self._fetch(piece, keeping)

        def done() -> None:
            if fetch:
                fetch()
            elif take and not take():
                self._fetch(piece, keeping)()

        return done

    def _take(self, piece: _Piece) -> bool:
        """Whether the chunk was on the disk; its voxels are where they should be then."""
        import imagecodecs

        packed = self.cache.load(piece.name)
        if packed is None:
            return False
        n_bytes = prod(piece.shape_zyx) * self.dtype.itemsize
        voxels = np.frombuffer(imagecodecs.zstd_decode(packed, out=n_bytes), self.dtype).reshape(piece.shape_zyx)
        np.copyto(piece.out, voxels[piece.within])
        return True

    def _fetch(self, piece: _Piece, keeping: deque[Finish]) -> Finish:
        chunk = np.empty(piece.shape_zyx, self.dtype)
        finish = begin(self.level, [(piece.start_zyx, chunk)])
        self.in_flight.add(chunk.nbytes)

        def done() -> None:
            try:
                finish()
            finally:
                self.in_flight.add(-chunk.nbytes)
            np.copyto(piece.out, chunk[piece.within])
            keeping.append(in_a_thread(self._keep, piece.name, chunk))

        return done

    def _keep(self, name: str, chunk: NDArray[Any]) -> None:
        import imagecodecs

        if self.cache.has(name):  # another box, in flight at the same time, was quicker
            return
        # The stubs name only some of the buffers that are taken.
        self.cache.keep(name, bytes(imagecodecs.zstd_encode(chunk, ZSTD_LEVEL)))  # type: ignore[arg-type]
