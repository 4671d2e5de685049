"""em_labels_sample: EM made from labels, and the labels that made it, so that both are known to belong together."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from em_assets.model import ZYX
from em_assets.sample.sizes import LABELS_N_CELLS, LABELS_SHAPE_ZYX
from em_assets.sample.texture import texture
from em_assets.sample.tiff import imagej_stack

FOLDER = "sample.em-assets.invalid/em_labels_sample"
VOXEL_NM = 8.0

_MEMBRANE_NM = 40.0


def write_labels(http_root: Path, seed: int) -> None:
    """`em.tif` and `labels.tif`, as ImageJ would save them."""
    folder = http_root / FOLDER
    folder.mkdir(parents=True)
    labels, to_membrane = cells(LABELS_SHAPE_ZYX, LABELS_N_CELLS, seed)
    em = membranes_and_cytoplasm(labels, to_membrane, texture(LABELS_SHAPE_ZYX, seed))
    (folder / "em.tif").write_bytes(imagej_stack(em, VOXEL_NM, VOXEL_NM, "nm", (0, 255)))
    (folder / "labels.tif").write_bytes(imagej_stack(labels, VOXEL_NM, VOXEL_NM, "nm", (0, LABELS_N_CELLS)))


def cells(shape_zyx: ZYX, n_cells: int, seed: int) -> tuple[NDArray[np.uint16], NDArray[np.float64]]:
    """Voronoi cells numbered from 1, every eighth background 0, and the distance to the nearest wall in voxels."""
    random = np.random.default_rng(seed)
    centres = np.stack([random.integers(0, size, n_cells) for size in shape_zyx], axis=1)
    nearest = np.full(shape_zyx, np.iinfo(np.int32).max, np.int32)
    second = nearest.copy()
    owner = np.zeros(shape_zyx, np.uint16)
    for number, centre in enumerate(centres, start=1):
        distance = _squared_distance(shape_zyx, centre)
        is_nearest = distance < nearest
        np.minimum(second, np.maximum(distance, nearest), out=second)
        np.minimum(nearest, distance, out=nearest)
        owner[is_nearest] = number
    owner[owner % 8 == 0] = 0
    return owner, (np.sqrt(second) - np.sqrt(nearest)) / 2


def membranes_and_cytoplasm(
    labels: NDArray[np.uint16], to_membrane: NDArray[np.float64], grain: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    """Dark walls between cells, textured cytoplasm whose grey differs from cell to cell, pale background."""
    cytoplasm = 110 + labels.astype(np.int16) * 37 % 60
    em = np.where(labels == 0, 215, cytoplasm) + (grain.astype(np.int16) - 150) // 4
    em[to_membrane * VOXEL_NM < _MEMBRANE_NM / 2] -= 90
    return np.clip(em, 1, 254).astype(np.uint8)


def _squared_distance(shape_zyx: ZYX, centre: NDArray[np.int64]) -> NDArray[np.int32]:
    z, y, x = (np.square(np.arange(size, dtype=np.int32) - int(at)) for size, at in zip(shape_zyx, centre, strict=True))
    distance: NDArray[np.int32] = z[:, None, None] + y[:, None] + x
    return distance
