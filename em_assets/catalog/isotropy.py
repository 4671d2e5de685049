"""How far a volume's voxel is from a cube."""

from collections.abc import Sequence

from em_assets.evidence.fields import VOXEL_SIZE_TOLERANCE

ISOTROPY_TOLERANCE = VOXEL_SIZE_TOLERANCE
"""Relative: a calibration of 7.998 nm beside slices of 8 nm is a cube."""


def anisotropy(voxel_size_zyx_nm: Sequence[float | None]) -> float | None:
    """The longest side of the voxel over its shortest; None where a side is unknown."""
    sides_nm = [side for side in voxel_size_zyx_nm if side is not None]
    return max(sides_nm) / min(sides_nm) if len(sides_nm) == len(voxel_size_zyx_nm) == 3 else None


def is_isotropic(voxel_size_zyx_nm: Sequence[float | None]) -> bool | None:
    """Whether the voxel is a cube within `ISOTROPY_TOLERANCE`; None where a side is unknown."""
    ratio = anisotropy(voxel_size_zyx_nm)
    return None if ratio is None else ratio <= 1 + ISOTROPY_TOLERANCE
