"""A volume cut into parts for training, validation and testing that never touch: a gap in nm lies between them.

Blocks drawn at random and then sorted into parts overlap, and a network is tested on what it has seen. Here the space
is cut first, along the volume's longest side, and blocks are drawn inside a part (`within=split.regions["train"]`)::

    ├────── train ──────┤ gap ├─ validation ─┤ gap ├─ test ─┤        in the order that the seed decides
"""

import json
from collections.abc import Mapping
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import ValidationError

from em_assets.blocks.regions import Region
from em_assets.errors import UsageError
from em_assets.model import ZYX, FloatZYX, Frozen
from em_assets.volumes.staging import replace_bytes

if TYPE_CHECKING:
    from em_assets.blocks.volume import VolumeDataset


class Split(Frozen):
    """Regions by name, and everything that they follow from: the same arguments give the same split.

    Attributes
    ----------
    gap_voxels
        Voxels between two parts along `axis`: at least `gap_nm`.
    regions
        Name → boxes (first voxel, shape), z, y, x.
    """

    dataset: str | None
    volume: str
    generation: str | None
    level: int
    shape_zyx: ZYX
    voxel_size_zyx_nm: FloatZYX | None
    fractions: dict[str, float]
    gap_nm: float
    gap_voxels: int
    axis: str
    seed: int
    regions: dict[str, tuple[Region, ...]]

    def save(self, path: str | Path) -> None:
        """Write it as JSON, whole or not at all."""
        target = Path(path).absolute()
        target.parent.mkdir(parents=True, exist_ok=True)
        replace_bytes(target, (self.model_dump_json(indent=1) + "\n").encode())

    @classmethod
    def load(cls, path: str | Path) -> "Split":
        """The split that was saved there.

        Raises
        ------
        UsageError
            It is not there, or is none.
        """
        try:
            return cls.model_validate(json.loads(Path(path).read_bytes()))
        except (OSError, ValueError, ValidationError) as error:
            raise UsageError(f"{path}: a split that was saved expected: {error}") from error

    def check(self, volume: "VolumeDataset") -> None:
        """Refuse another volume than the one that was split.

        Raises
        ------
        UsageError
            It has another shape or generation, or is at another level; the message names both.
        """
        expected = (self.shape_zyx, self.level, self.generation)
        found = (volume.shape, volume.level, volume.generation)
        if found != expected:
            raise UsageError(
                f"{volume.url}: the split is of shape, level and generation {expected}, and this volume has {found}"
            )


def spatial_split(volume: "VolumeDataset", fractions: Mapping[str, float], gap_nm: float, seed: int) -> Split:
    """Cut a volume into one part a name, of these fractions of what the gaps leave, at least `gap_nm` apart.

    Raises
    ------
    UsageError
        No names, a fraction that is not above 0, more than all of it, a negative gap, or a part without a voxel.
    EvidenceError
        A gap in nm, and a voxel size that is unknown or disputed.
    """
    _check(fractions, gap_nm)
    size = volume.require_voxel_size() if gap_nm else volume.voxel_size_zyx_nm
    sides = [n * nm for n, nm in zip(volume.shape, size or (1.0, 1.0, 1.0), strict=True)]
    axis = int(np.argmax(sides))
    gap = ceil(gap_nm / size[axis]) if size and gap_nm else 0
    room = volume.shape[axis] - gap * (len(fractions) - 1)
    order = [sorted(fractions)[i] for i in np.random.default_rng(seed).permutation(len(fractions))]
    regions: dict[str, tuple[Region, ...]] = {}
    start = 0
    for name in order:
        extent = int(fractions[name] * room + 1e-9)
        if extent < 1:
            raise UsageError(
                f"the part {name!r} is empty: {fractions[name]} of {max(room, 0)} voxels along {'zyx'[axis]}, which "
                f"{len(fractions) - 1} gaps of {gap} voxels leave of {volume.shape[axis]}"
            )
        regions[name] = (_slab(volume.shape, axis, start, extent),)
        start += extent + gap
    return Split(
        dataset=volume.dataset,
        volume=volume.name,
        generation=volume.generation,
        level=volume.level,
        shape_zyx=volume.shape,
        voxel_size_zyx_nm=size,
        fractions=dict(fractions),
        gap_nm=gap_nm,
        gap_voxels=gap,
        axis="zyx"[axis],
        seed=seed,
        regions=regions,
    )


def _check(fractions: Mapping[str, float], gap_nm: float) -> None:
    if not fractions or not all(isinstance(name, str) and name for name in fractions):
        raise UsageError(f"fractions={dict(fractions)!r}: at least one name with its fraction expected")
    if not all(_is_number(part) and part > 0 for part in fractions.values()) or sum(fractions.values()) > 1 + 1e-9:
        raise UsageError(f"fractions={dict(fractions)!r}: each above 0, together at most 1, expected")
    if not _is_number(gap_nm) or gap_nm < 0:
        raise UsageError(f"gap_nm={gap_nm!r}: a length of 0 nm or more expected")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and bool(np.isfinite(value))


def _slab(shape_zyx: ZYX, axis: int, start: int, extent: int) -> Region:
    first, shape = [0, 0, 0], list(shape_zyx)
    first[axis], shape[axis] = start, extent
    return (first[0], first[1], first[2]), (shape[0], shape[1], shape[2])
