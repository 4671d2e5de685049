"""Pictures and names of a FIB-SEM volume (the FlyEM project's em_fib25) as a dataset that the platform can fetch.

They come as 64 PNGs and one HDF5 of 250 planes, which say no voxel size; the README beside them says 10 nm. The HDF5's
planes hold pieces of cells, and its `transforms` says of each piece which cell it is of.
"""

import gzip
from io import BytesIO
from pathlib import Path

import h5py
import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

NAME = "fib25"

TOML = """\
title = "FIB-SEM of the distal medulla of Drosophila, with proofread cells"

[[source]]
url = "em.tif"
volume = "em"
content = "em"

[[source]]
url = "labels.tif"
volume = "labels"
content = "labels"
labels_of = "em"

[[says]]
field = "voxel_size_zyx_nm"
value = [10, 10, 10]
at = "README.txt beside the data: isotropic resolution of 10nm"
"""


def write_dataset(data: Path, folder: Path) -> None:
    """`em.tif`, `labels.tif` and the TOML that names them."""
    folder.mkdir(parents=True, exist_ok=True)
    pictures = [np.asarray(Image.open(path)) for path in sorted((data / "png").glob("*.png"))]
    tifffile.imwrite(folder / "em.tif", np.stack(pictures), photometric="minisblack")
    tifffile.imwrite(folder / "labels.tif", cells(data)[: len(pictures)], photometric="minisblack")
    (folder / f"{NAME}.toml").write_text(TOML)


def cells(data: Path) -> NDArray[np.uint32]:
    """Name of the cell that each voxel is of."""
    with h5py.File(BytesIO(gzip.decompress((data / "groundtruth.h5.gz").read_bytes()))) as file:
        pieces, of_cell = file["stack"][:], file["transforms"][:]
    names = np.zeros(int(of_cell[:, 0].max()) + 1, np.uint32)
    names[of_cell[:, 0]] = of_cell[:, 1]
    return names[pieces]
