"""cremi_a: one HDF5 file with raw, neurons and clefts, laid out as cremi.org/data specifies.

Places, attributes and units are as specified there; filters, chunks, the number of a voxel without a cleft and all
annotations are the sample's own.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from em_assets.sample.labels import cells, membranes_and_cytoplasm
from em_assets.sample.sizes import CREMI_N_CELLS, CREMI_SHAPE_ZYX
from em_assets.sample.texture import texture

FILE = "cremi.org/static/data/sample_A_20160501.hdf"

_VOXEL_ZYX_NM = (40.0, 4.0, 4.0)
_NO_CLEFT = np.iinfo(np.uint64).max


def write_cremi(http_root: Path, seed: int) -> None:
    """The file."""
    import h5py

    path = http_root / FILE
    path.parent.mkdir(parents=True)
    owner, to_membrane = cells(CREMI_SHAPE_ZYX, CREMI_N_CELLS, seed)
    neurons = owner.astype(np.uint64)
    volumes = {
        "raw": membranes_and_cytoplasm(owner, to_membrane, texture(CREMI_SHAPE_ZYX, seed)),
        "labels/neuron_ids": neurons,
        "labels/clefts": _clefts(neurons, to_membrane),
    }
    with h5py.File(path, "w") as file:
        file.attrs["file_format"] = "0.2"
        for name, voxels in volumes.items():
            of_volume = file.create_dataset(f"volumes/{name}", data=voxels, chunks=(8, 60, 64), compression="gzip")
            of_volume.attrs["resolution"] = _VOXEL_ZYX_NM
        _annotate(file)


def _clefts(neurons: NDArray[np.uint64], to_membrane: NDArray[np.float64]) -> NDArray[np.uint64]:
    """A patch of wall of every fourth cell."""
    is_cleft = (to_membrane < 1.5) & (neurons % 4 == 1)
    return np.where(is_cleft, neurons, _NO_CLEFT).astype(np.uint64)


def _annotate(file: Any) -> None:
    sites = np.arange(1, 9, dtype=np.uint64)
    kinds = [b"presynaptic_site", b"postsynaptic_site"] * 4
    places = np.stack([sites * 40.0, sites * 50.0, sites * 55.0], axis=1)
    file.create_dataset("annotations/ids", data=sites)
    file.create_dataset("annotations/types", data=np.array(kinds))
    file.create_dataset("annotations/locations", data=places)
    file.create_dataset("annotations/presynaptic_site/partners", data=sites.reshape(4, 2))
