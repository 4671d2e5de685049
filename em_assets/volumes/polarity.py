"""Whether membranes are dark or bright, measured: a membrane is a sheet, and a sheet bends in one direction only.

The sign of that bend tells dark from bright. Bright lumens of thin neurites are tubes, which bend in two directions, so
they count little; grey levels and their histogram are not asked, since nuclei and mitochondria are dark as well.

Measured on 16 blocks of 64³ of a fly's medulla (FIB-SEM, 10 nm): median +0.22, 15 of them above 0, none below; the
opposite when it is inverted; 0.00 (± 0.03) in noise. Other tissues were not measured: a reason to look, and no proof.
"""

from collections.abc import Sequence
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from em_assets.model import PartialFloatZYX

DECIDED = 0.1
"""A contrast beyond this, either way, tells; below it nobody knows."""

LEAST_AGREEMENT = 0.75
"""So many of a volume's blocks must bend the same way."""

SMALLEST_SIDE = 24
"""Voxels along the shortest side of a block in which sheets can be told from tubes."""

MOST_ANISOTROPIC = 2.0
FINEST_NM, COARSEST_NM = 2.0, 20.0
"""Voxels at which a membrane, some 10 nm thick with its stain, is between half a voxel and a few voxels wide."""

_SIGMA_VOXELS = 1.5
_STRIDE = 2
_SHEET = 0.3
"""In a sheet the second bend is less than this share of the first."""


def can_be_told(voxel_size_zyx_nm: PartialFloatZYX) -> bool:
    """Whether voxels are such that membranes are sheets in them: near isotropic, and as fine as membranes."""
    sizes = [size for size in voxel_size_zyx_nm if size is not None]
    if len(sizes) < 3:
        return False
    return min(sizes) >= FINEST_NM and max(sizes) <= COARSEST_NM and max(sizes) <= MOST_ANISOTROPIC * min(sizes)


def polarity_of(contrasts: Sequence[float]) -> float | None:
    """What several blocks say together, their median; None where there is none, 0 where they contradict each other."""
    if not contrasts:
        return None
    middle = median(contrasts)
    n_agreeing = sum(contrast * middle > 0 for contrast in contrasts)
    return middle if n_agreeing >= LEAST_AGREEMENT * len(contrasts) else 0.0


def membrane_contrast(block: NDArray[Any]) -> float | None:
    """From -1 (all sheets bright) to +1 (all dark); None where the block is too small, or without any bend.

    Takes a tenth of a second and 100 bytes a voxel for 64³.
    """
    if min(block.shape) < SMALLEST_SIDE or not np.isfinite(block).all():
        return None
    bends = np.linalg.eigvalsh(_hessian(_smooth(block.astype(np.float64))))
    order = np.argsort(-np.abs(bends), axis=1)
    strongest, second = np.take_along_axis(bends, order[:, :2], axis=1).T
    sheets = strongest[np.abs(second) < _SHEET * np.abs(strongest)]
    total = float(np.abs(sheets).sum())
    return float(sheets.sum()) / total if total > 0 else None


def _smooth(block: NDArray[np.float64]) -> NDArray[np.float64]:
    reach = round(3 * _SIGMA_VOXELS)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / _SIGMA_VOXELS) ** 2)
    kernel /= kernel.sum()
    for axis in range(3):
        size = block.shape[axis] - 2 * reach
        parts = (weight * block.take(range(at, at + size), axis) for at, weight in enumerate(kernel))
        block = np.add.reduce(list(parts))
    return block


def _hessian(smooth: NDArray[np.float64]) -> NDArray[np.float64]:
    """Second differences, a 3 × 3 matrix at every second voxel along each axis."""

    def shifted(*shift: int) -> NDArray[np.float64]:
        box = tuple(slice(1 + by, size - 1 + by, _STRIDE) for by, size in zip(shift, smooth.shape, strict=True))
        return smooth[box].reshape(-1)

    unit = np.eye(3, dtype=int)
    centre = shifted(0, 0, 0)
    matrix = np.empty((centre.size, 3, 3))
    for i in range(3):
        matrix[:, i, i] = shifted(*unit[i]) - 2 * centre + shifted(*-unit[i])
        for j in range(i):
            both, other = unit[i] + unit[j], unit[i] - unit[j]
            mixed = (shifted(*both) + shifted(*-both) - shifted(*other) - shifted(*-other)) / 4
            matrix[:, i, j] = matrix[:, j, i] = mixed
    return matrix
