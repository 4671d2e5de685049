"""A volume to read blocks from, whatever keeps it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from em_assets.blocks import apart
from em_assets.blocks.flight import Place, begin, fill
from em_assets.blocks.indexing import selection
from em_assets.blocks.padding import Padding, ReadInside, read_padded
from em_assets.blocks.resampling import Resampled, checked_voxel_size, finer_level, resampled
from em_assets.blocks.targets import target, targets
from em_assets.errors import EvidenceError, OutOfBoundsError, UsageError
from em_assets.formats.tensorstores import is_forked_from_user
from em_assets.formats.volume import Finish, SourceLevel, SourceVolume, check_box, whole_numbers
from em_assets.model import ZYX, Content, FloatZYX, PartialFloatZYX, known
from em_assets.volumes.statistics import Statistics
from em_assets.volumes.store import CommittedVolume

if TYPE_CHECKING:
    import dask.array
    import pyarrow as pa

Box = tuple[Sequence[int], Sequence[int]]
"""First voxel and shape, both z, y, x."""


@dataclass(frozen=True, eq=False)
class VolumeDataset:
    """One level of one volume. Axes are z, y, x, lengths nanometres; voxels are read when they are asked for.

    It can be pickled, and is opened again wherever it arrives: the same generation of the same volume.

    Attributes
    ----------
    name
        Of the volume.
    url
        What is read: the committed OME-Zarr, or the source's own files.
    source
        The lazy volume itself.
    level
        Which level is read, 0 the finest.
    finest_voxel_size_zyx_nm
        Of level 0, as the dataset's record settled it or the file says it; None on an axis where neither does.
    reopen
        Opens the same volume again, at level 0: a picklable function.
    dataset
        The registered dataset that it is of; None for a path or URL.
    committed
        The generation that is read; None for anything but a committed volume.
    dispute
        Why the voxel size counts as unknown, in words, where sources disagree on it; "" otherwise.
    """

    name: str
    url: str
    source: SourceVolume
    level: int
    finest_voxel_size_zyx_nm: PartialFloatZYX
    reopen: Callable[[], "VolumeDataset"]
    dataset: str | None = None
    committed: CommittedVolume | None = None
    dispute: str = ""

    def __repr__(self) -> str:
        """What one looks for first in a notebook; the source's readers are left out."""
        return (
            f"<VolumeDataset {self.name}: shape_zyx={self.shape}, dtype={self.dtype}, "
            f"voxel_size_zyx_nm={self.voxel_size_zyx_nm}, level {self.level} of {len(self.levels)}, {self.url}>"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        """Readers hold files and threads: what travels is how to open the volume."""
        return _opened_again, (self.reopen, self.level)

    @property
    def levels(self) -> tuple[SourceLevel, ...]:
        """All levels that there are, finest first."""
        return self.source.levels

    @property
    def shape(self) -> ZYX:
        """Voxels along z, y, x."""
        return self.levels[self.level].shape_zyx

    @property
    def ndim(self) -> int:
        """Always 3."""
        return 3

    @property
    def size(self) -> int:
        """How many voxels there are."""
        z, y, x = self.shape
        return z * y * x

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of a voxel."""
        return self.source.dtype

    @property
    def chunk_shape(self) -> ZYX | None:
        """Voxels z, y, x that are stored, and so decoded, together; None where nothing is chunked."""
        return self.levels[self.level].chunk_shape_zyx

    @property
    def voxel_size_zyx_nm(self) -> FloatZYX | None:
        """Size of this level's voxels; None where any axis is unknown or disputed."""
        return self._voxel_size(self.level)

    @property
    def offset_zyx_nm(self) -> FloatZYX:
        """Position of the first voxel's centre."""
        return self.levels[self.level].offset_zyx_nm

    @property
    def content(self) -> Content | None:
        """What the voxels are; None where neither a commit nor the format says it."""
        return self.committed.commit.content if self.committed else self.source.content

    @property
    def generation(self) -> str | None:
        """Name of the bytes that are read, which never change under it; None for anything but a committed volume."""
        return self.committed.commit.generation if self.committed else None

    @property
    def statistics(self) -> Statistics | None:
        """Of all voxels of the finest level, as the pass that wrote it counted them; None where none did."""
        return self.committed.commit.statistics if self.committed else None

    def block_index(self) -> "pa.Table":
        """One row a chunk of the finest level: its index z, y, x and min, max, mean, std, zero_fraction.

        Raises
        ------
        UsageError
            No pass has counted the chunks: only committed volumes have an index.
        StoreError
            The index is not there, or is not the one that was committed.
        """
        if self.committed is None:
            raise UsageError(f"{self.url}: only a committed volume has a block index: fetch its dataset first")
        return self.committed.block_index()

    def at_level(self, level: int) -> "VolumeDataset":
        """The same volume at another level.

        Raises
        ------
        OutOfBoundsError
            There is no such level.
        """
        n = len(self.levels)
        if isinstance(level, bool) or not isinstance(level, int | np.integer) or not 0 <= level < n:
            raise OutOfBoundsError(f"{self.url}: no level {level!r}; there are {n}, counted from 0, the finest")
        return replace(self, level=int(level))

    def require_voxel_size(self) -> FloatZYX:
        """The voxel size in nanometres, z, y, x.

        Raises
        ------
        EvidenceError
            It is unknown or disputed; the message names the values that there are.
        """
        size = self.voxel_size_zyx_nm
        if size is None:
            raise EvidenceError(
                f"{self.name}: a length in nm was asked for, and the voxel size is {self.finest_voxel_size_zyx_nm} nm "
                f"(z, y, x){': ' + self.dispute if self.dispute else ', None where nobody says it'}; "
                "reading by voxels works"
            )
        return size

    def read(
        self,
        start_zyx: Sequence[int],
        shape_zyx: Sequence[int],
        *,
        voxel_size_zyx_nm: Sequence[float] | None = None,
        padding: Padding = "error",
        fill_value: float = 0,
        out: NDArray[Any] | None = None,
    ) -> NDArray[Any]:
        """Voxels of a box as a C-ordered array of `shape_zyx`.

        Parameters
        ----------
        start_zyx, shape_zyx
            In voxels of this level or, where it is given, of `voxel_size_zyx_nm`, from the volume's corner.
        voxel_size_zyx_nm
            Read in this voxel size instead: from the nearest finer level of all, interpolated linearly; labels take
            the nearest voxel.
        padding
            What a box holds where it reaches outside: an `error`, a `constant` (`fill_value`), or the volume mirrored
            at its faces (`reflect`).
        out
            An array of that shape and this type, C-ordered, to fill and return.

        Raises
        ------
        OutOfBoundsError
            The box reaches outside the volume, an axis is below 1, or these are not three whole numbers each.
        EvidenceError
            A voxel size is asked for and this volume's is unknown or disputed.
        UsageError
            `out` does not fit, or memory does not hold the box.
        FormatError
            The file breaks off or contradicts itself.
        StoreError
            A part of a committed volume is not there.
        """
        start, shape = whole_numbers(start_zyx), whole_numbers(shape_zyx)
        block = target(self.url, shape, self.dtype, out)
        read_inside: ReadInside
        if voxel_size_zyx_nm is None:
            within, read_inside = self.shape, self._read_inside
        else:
            within, read_inside = self._in_voxels_of(checked_voxel_size(voxel_size_zyx_nm))
        read_padded(self.url, within, start, block, read_inside, padding=padding, fill_value=fill_value)
        return block

    def read_many(self, boxes: Sequence[Box], out: NDArray[Any] | None = None) -> NDArray[Any] | list[NDArray[Any]]:
        """Many boxes, with many reads in flight: a list of arrays or, filled, `out` of shape (boxes, z, y, x).

        With `out` the voxels are decoded straight into it, which for small blocks saves a third of the time: memory
        that is used again costs nothing.

        Raises
        ------
        OutOfBoundsError, UsageError, FormatError, StoreError
            As `read`; nothing writes to `out` any more.
        """
        places = self._places(boxes)
        blocks: Sequence[NDArray[Any]]
        if out is None:
            blocks = [target(self.url, shape, self.dtype) for _, shape in places]
        else:
            blocks = targets(self.url, [shape for _, shape in places], self.dtype, out)
        self._fill([(start, block) for (start, _), block in zip(places, blocks, strict=True)])
        return list(blocks) if out is None else out

    def begin_many(self, boxes: Sequence[Box], out: NDArray[Any]) -> Finish:
        """As `read_many` into `out`, without waiting: what comes back waits, and raises what went wrong.

        Until it has been called `out` belongs to the reads.

        Raises
        ------
        OutOfBoundsError, UsageError
            As `read_many`, before any read is begun.
        """
        places = self._places(boxes)
        blocks = targets(self.url, [shape for _, shape in places], self.dtype, out)
        wanted = [(start, block) for (start, _), block in zip(places, blocks, strict=True)]
        return partial(apart.fill, self, wanted) if self._is_read_apart else begin(self.levels[self.level], wanted)

    def shape_at(self, voxel_size_zyx_nm: Sequence[float]) -> ZYX:
        """Whole voxels z, y, x that the volume holds in another voxel size: what `read` takes boxes of then.

        Raises
        ------
        EvidenceError
            This volume's own voxel size is unknown or disputed.
        """
        return self._in_voxels_of(checked_voxel_size(voxel_size_zyx_nm))[0]

    def get_block(
        self,
        start_xyz: Sequence[int],
        block_size: Sequence[int] = (128, 128, 128),
        *,
        padding: Padding = "error",
        fill_value: float = 0,
    ) -> NDArray[Any]:
        """A block whose start and size count x, y, z; the array's axes are z, y, x.

        Raises
        ------
        OutOfBoundsError, UsageError, FormatError, StoreError
            As `read`.
        """
        x, y, z = whole_numbers(start_xyz)
        width, height, depth = whole_numbers(block_size)
        return self.read((z, y, x), (depth, height, width), padding=padding, fill_value=fill_value)

    def get_metadata(self) -> dict[str, Any]:
        """What is known of this level, ready for JSON; None where nobody says it."""
        size = self.voxel_size_zyx_nm
        return {
            "dataset": self.dataset,
            "volume": self.name,
            "url": self.url,
            "generation": self.generation,
            "content": self.content,
            "axes": ["z", "y", "x"],
            "shape_zyx": list(self.shape),
            "dtype": self.dtype.name,
            "voxel_size_zyx_nm": list(size) if size else None,
            "offset_zyx_nm": list(self.offset_zyx_nm),
            "chunk_shape_zyx": list(self.chunk_shape) if self.chunk_shape else None,
            "level": self.level,
            "n_levels": len(self.levels),
            "statistics": self.statistics.model_dump() if self.statistics else None,
        }

    def to_dask(self, chunks: Any = None) -> "dask.array.Array":
        """The level as a lazy dask array, in chunks of the stored ones unless others are named.

        Raises
        ------
        UsageError
            dask is not installed.
        """
        try:
            import dask.array as da
        except ImportError as error:
            raise UsageError("to_dask needs dask: pip install 'em-assets[dask]'") from error
        chosen = chunks or self.chunk_shape or "auto"
        array: da.Array = da.from_array(self, chunks=chosen, asarray=False, fancy=False)  # type: ignore[no-untyped-call]
        return array

    def __getitem__(self, key: Any) -> NDArray[Any]:
        """Voxels as numpy's basic indexing means them, z first: whole numbers, slices with any step, `…`."""
        chosen = selection(key, self.shape)
        if 0 in chosen.result_shape:
            return np.empty(chosen.result_shape, self.dtype)
        taken: NDArray[Any] = self.read(chosen.start_zyx, chosen.shape_zyx)[chosen.within]
        return np.ascontiguousarray(taken) if taken.ndim else taken

    def __len__(self) -> int:
        """How many planes there are along z."""
        return self.shape[0]

    def __iter__(self) -> Iterator[NDArray[Any]]:
        """One plane (y, x) after the other."""
        return (self[z] for z in range(len(self)))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """All of it, for numpy."""
        if copy is False:
            raise ValueError("the voxels are not in memory: a copy cannot be avoided")
        return self[...] if dtype is None else self[...].astype(dtype)

    def _places(self, boxes: Sequence[Box]) -> list[tuple[ZYX, ZYX]]:
        places = [(whole_numbers(start), whole_numbers(shape)) for start, shape in boxes]
        for start, shape in places:
            check_box(self.url, start, shape, self.shape)
        return places

    def _fill(self, places: Sequence[Place]) -> None:
        if self._is_read_apart:
            apart.fill(self, places)
        else:
            fill(self.levels[self.level], places)

    @property
    def _is_read_apart(self) -> bool:
        return self.levels[self.level].begin_into is not None and is_forked_from_user()

    def _read_inside(self, start_zyx: ZYX, out: NDArray[Any]) -> None:
        self._fill([(start_zyx, out)])

    def _in_voxels_of(self, wanted_zyx_nm: FloatZYX) -> tuple[ZYX, ReadInside]:
        """Shape of the volume in that voxel size, and what reads boxes of it."""
        self.at_level(0).require_voxel_size()
        sizes = [self._voxel_size(level) for level in range(len(self.levels))]
        finer = self.at_level(finer_level(sizes, wanted_zyx_nm))
        seen = finer._resampled(wanted_zyx_nm)
        if seen.is_identity:
            return finer.shape, finer._read_inside
        return seen.shape_zyx, lambda start, out: seen.read(start, out, finer.read)

    def _resampled(self, wanted_zyx_nm: FloatZYX) -> Resampled:
        size, finest = self.require_voxel_size(), self.at_level(0).require_voxel_size()
        corners = zip(self.levels[0].offset_zyx_nm, finest, self.offset_zyx_nm, size, strict=True)
        z, y, x = (((fine - f / 2) - (own - s / 2)) / s for fine, f, own, s in corners)
        return resampled(self.shape, size, wanted_zyx_nm, first_zyx=(z, y, x), is_nearest=self.content == "labels")

    def _voxel_size(self, level: int) -> FloatZYX | None:
        return known([self._scaled(level, axis) for axis in range(3)])

    def _scaled(self, level: int, axis: int) -> float | None:
        """The finest voxel size times what a level is coarser by; None where the levels do not say it."""
        finest = self.finest_voxel_size_zyx_nm[axis]
        own, own_finest = (self.levels[index].voxel_size_zyx_nm[axis] for index in (level, 0))
        if finest is None or level == 0:
            return finest
        if own is None or own_finest is None:
            return None
        return own if finest == own_finest else finest * own / own_finest


def _opened_again(reopen: Callable[[], VolumeDataset], level: int) -> VolumeDataset:
    return reopen().at_level(level)
