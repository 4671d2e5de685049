"""epfl_hippocampus, epfl_mitochondria and u2os_chromatin: TIFF stacks at their published addresses."""

from pathlib import Path

import numpy as np

from em_assets.sample.labels import cells, membranes_and_cytoplasm
from em_assets.sample.sizes import (
    EPFL_SHAPE_ZYX,
    MITOCHONDRIA_N_CELLS,
    MITOCHONDRIA_SHAPE_ZYX,
    U2OS_SHAPE_ZYX,
)
from em_assets.sample.texture import texture, within
from em_assets.sample.tiff import imagej_stack, itk_stack

EPFL_FOLDER = "documents.epfl.ch/groups/c/cv/cvlab-unit/www/data/ ElectronMicroscopy_Hippocampus"
EPFL_FILE = f"{EPFL_FOLDER}/volumedata.tif"
U2OS_FOLDER = (
    "ftp.ebi.ac.uk/pub/databases/IDR/idr0086-miron-micrographs/20200610-ftp/experimentD/Miron_FIB-SEM/"
    "Miron_FIB-SEM_processed"
)
U2OS_NAME = "Figure_S3B_FIB-SEM_U2OS_20x20x20nm_{}.tif"

_LITERAL_MICROMETRE = "\\u00B5m"  # six characters and an m: so ImageJ writes µm into a TIFF
_U2OS_DISPLAY_RANGE = (36.0, 199.0)
_U2OS_MICROMETRES = 0.02
_CYTOPLASM_VOXELS = 4.0


def write_epfl(http_root: Path, seed: int) -> None:
    """The stack of the web page: no resolution tags, strips of four rows; the folder's name begins with a space."""
    path = http_root / EPFL_FILE
    path.parent.mkdir(parents=True)
    path.write_bytes(itk_stack(texture(EPFL_SHAPE_ZYX, seed)))


def write_mitochondria(http_root: Path, seed: int) -> None:
    """The page's other stacks: two parts of the volume, and where their mitochondria are (255, elsewhere 0)."""
    folder = http_root / EPFL_FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    for number, part in enumerate(("training", "testing")):
        owner, to_membrane = cells(MITOCHONDRIA_SHAPE_ZYX, MITOCHONDRIA_N_CELLS, seed + number)
        is_inside = (owner % 3 == 1) & (to_membrane > _CYTOPLASM_VOXELS)
        em = membranes_and_cytoplasm(owner, to_membrane, texture(MITOCHONDRIA_SHAPE_ZYX, seed + number))
        em[is_inside] = em[is_inside] // 3 + 10  # darker than what is around them
        (folder / f"{part}.tif").write_bytes(itk_stack(em))
        (folder / f"{part}_groundtruth.tif").write_bytes(itk_stack(np.where(is_inside, 255, 0).astype(np.uint8)))


def write_u2os(http_root: Path, seed: int) -> None:
    """The same volume twice, cut along xy and along xz."""
    folder = http_root / U2OS_FOLDER
    folder.mkdir(parents=True)
    low, high = _U2OS_DISPLAY_RANGE
    volume = within(texture(U2OS_SHAPE_ZYX, seed), int(low), int(high))
    resliced = np.ascontiguousarray(volume.transpose(1, 0, 2))
    for name, stack in (("xy", volume), ("xz", resliced)):
        content = imagej_stack(stack, _U2OS_MICROMETRES, _U2OS_MICROMETRES, _LITERAL_MICROMETRE, _U2OS_DISPLAY_RANGE)
        (folder / U2OS_NAME.format(name)).write_bytes(content)
