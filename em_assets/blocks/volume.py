"""A volume to read blocks from, whatever keeps it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from em_assets.errors import FormatError
from em_assets.formats.volume import SourceLevel, SourceVolume, whole_numbers
from em_assets.model import ZYX, FloatZYX, PartialFloatZYX, known


@dataclass(frozen=True)
class VolumeDataset:
    """One level of one volume. Axes are z, y, x, lengths nanometres.

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
    """

    name: str
    url: str
    source: SourceVolume
    level: int
    finest_voxel_size_zyx_nm: PartialFloatZYX

    def __repr__(self) -> str:
        """What one looks for first in a notebook; the source's readers are left out."""
        return (
            f"<VolumeDataset {self.name}: shape_zyx={self.shape}, dtype={self.dtype}, "
            f"voxel_size_zyx_nm={self.voxel_size_zyx_nm}, level {self.level} of {len(self.levels)}, {self.url}>"
        )

    @property
    def levels(self) -> tuple[SourceLevel, ...]:
        """All levels that there are, finest first."""
        return self.source.levels

    @property
    def shape(self) -> ZYX:
        """Voxels along z, y, x."""
        return self.levels[self.level].shape_zyx

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of a voxel."""
        return self.source.dtype

    @property
    def voxel_size_zyx_nm(self) -> FloatZYX | None:
        """Size of this level's voxels; None where any axis is unknown or disputed."""
        return known([self._scaled(axis) for axis in range(3)])

    @property
    def offset_zyx_nm(self) -> FloatZYX:
        """Position of the first voxel's centre."""
        return self.levels[self.level].offset_zyx_nm

    def read(self, start_zyx: Sequence[int], shape_zyx: Sequence[int]) -> NDArray[Any]:
        """Voxels of a box as a new C-ordered array of `shape_zyx`.

        Raises
        ------
        OutOfBoundsError
            The box reaches outside the volume, an axis is below 1, or these are not three whole numbers each.
        FormatError
            The file breaks off or contradicts itself.
        """
        start, shape = whole_numbers(start_zyx), whole_numbers(shape_zyx)
        block = self.source.read(start, shape, self.level)
        if block.shape != shape:
            raise FormatError(f"{self.url}: {shape} voxels expected from {start} (z, y, x), found {block.shape}")
        return block

    def _scaled(self, axis: int) -> float | None:
        """The finest voxel size times what this level is coarser by; None where the levels do not say it."""
        finest = self.finest_voxel_size_zyx_nm[axis]
        own, own_finest = (self.levels[level].voxel_size_zyx_nm[axis] for level in (self.level, 0))
        if finest is None or self.level == 0:
            return finest
        if own is None or own_finest is None:
            return None
        return own if finest == own_finest else finest * own / own_finest
