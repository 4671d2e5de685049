"""MRC by mrcfile."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from em_assets.independent.library import NotIndependentError
from em_assets.independent.voxels import Voxels, of_array


@contextmanager
def open_voxels(path: str) -> Iterator[list[Voxels]]:
    """The map or the maps of a stack of them; those of mode 0 in both of the types that it may mean."""
    import mrcfile

    if path.casefold().endswith((".gz", ".bz2")):
        raise NotIndependentError("mrcfile would unpack it whole into memory")
    with mrcfile.mmap(path, mode="r", permissive=True) as file:
        data = file.data
        header = [int(file.header[name]) for name in ("maps", "mapr", "mapc")]
        axes = "".join("?xyz"[axis] for axis in header) if sorted(header) == [1, 2, 3] else "zyx"
        volumes = list(data) if data.ndim == 4 else [data.reshape((-1, *data.shape[-2:]))]
        turned = [volume.transpose([axes.index(axis) for axis in "zyx"]) for volume in volumes]
        # Mode 0 is signed, or unsigned for older programs: the volume's own type decides which of the two is meant.
        unsigned = [volume.view(np.uint8) for volume in turned if volume.dtype == np.int8]
        yield [of_array(volume) for volume in (*turned, *unsigned)]
