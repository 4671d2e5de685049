"""One anisotropic volume in every format that keeps it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from visor_images import write_2024, write_2025

from em_assets.blocks import VolumeDataset, open_volume
from em_assets.sample.dm3 import dm3_bytes
from em_assets.sample.empiar import tag_table
from em_assets.volumes.ingest import ingest

SHAPE_ZYX = (7, 48, 83)
VOXEL_SIZE_ZYX_NM = (30.0, 4.0, 8.0)
VOXELS = np.random.default_rng(11).integers(110, 130, SHAPE_ZYX, dtype=np.uint8)


def _tiff(folder: Path) -> Path:
    import tifffile

    tifffile.imwrite(folder / "stack.tif", VOXELS, photometric="minisblack")
    return folder / "stack.tif"


def _compressed_tiff(folder: Path) -> Path:
    import tifffile

    tifffile.imwrite(folder / "packed.tif", VOXELS, photometric="minisblack", compression="zlib", rowsperstrip=16)
    return folder / "packed.tif"


def _mrc(folder: Path) -> Path:
    import mrcfile

    with mrcfile.new(folder / "stack.mrc", VOXELS.astype(np.int16)) as file:
        file.voxel_size = (80.0, 40.0, 300.0)
    return folder / "stack.mrc"


def _dm3(folder: Path) -> Path:
    slices = folder / "slices"
    slices.mkdir()
    for index, plane in enumerate(VOXELS):
        images = {"ImageList.#0.ImageData.Data": np.zeros((2, 2), np.uint32), "ImageList.#1.ImageData.Data": plane}
        (slices / f"slice_{index:04d}.dm3").write_bytes(dm3_bytes(tag_table(), index, images))
    return slices


def _precomputed(folder: Path) -> Path:
    import tensorstore as ts

    scale = {"size": SHAPE_ZYX[::-1], "resolution": (8, 4, 30), "chunk_size": (32, 16, 4), "encoding": "raw"}
    spec = {
        "driver": "neuroglancer_precomputed",
        "kvstore": {"driver": "file", "path": f"{folder / 'precomputed'}/"},
        "multiscale_metadata": {"type": "image", "data_type": "uint8", "num_channels": 1},
        "scale_metadata": scale,
    }
    ts.open(spec, create=True).result()[..., 0].write(VOXELS.transpose(2, 1, 0)).result()
    return folder / "precomputed"


def _ome_zarr(version: str) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        dest = folder / f"volume-{version}.zarr"
        ingest(str(_tiff(folder)), dest, ome_zarr=version, voxel_size_zyx_nm=VOXEL_SIZE_ZYX_NM)
        return dest

    return write


WRITERS: dict[str, Callable[[Path], Path]] = {
    "tiff": _tiff,
    "compressed_tiff": _compressed_tiff,
    "mrc": _mrc,
    "dm3": _dm3,
    "precomputed": _precomputed,
    "ome_zarr_0.4": _ome_zarr("0.4"),
    "ome_zarr_0.5": _ome_zarr("0.5"),
    "visor_2024": lambda folder: write_2024(folder, VOXELS, VOXEL_SIZE_ZYX_NM),
    "visor_2025": lambda folder: write_2025(folder, VOXELS, VOXEL_SIZE_ZYX_NM),
}
CHOSEN = {"visor_2024": "slice_1_stack_2.488nm_10X", "visor_2025": "stack_2.561"}
"""Which volume, where there are several."""


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Path of the volume in each format."""
    return {name: write(tmp_path_factory.mktemp(name)) for name, write in WRITERS.items()}


@pytest.fixture(params=sorted(WRITERS))
def volume(request: pytest.FixtureRequest, written: dict[str, Path]) -> VolumeDataset:
    return open_volume(written[request.param], volume=CHOSEN.get(request.param))


@pytest.fixture
def zarr_volume(written: dict[str, Path]) -> VolumeDataset:
    return open_volume(written["ome_zarr_0.5"])


@pytest.fixture(scope="session")
def voxels() -> NDArray[Any]:
    return VOXELS
