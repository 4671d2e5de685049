"""Sources that several threads read at once, straight into a tile's memory: every voxel comes to its place."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from em_assets.volumes.cascade import READ_VOXELS
from em_assets.volumes.ingest import ingest

SHAPE = (9, 1100, 1024)
"""More than one thread reads at once, and the last piece is a short one."""

WAYS: dict[str, dict[str, Any]] = {
    "strips": {},
    "short strips": {"rowsperstrip": 7},
    "big-endian": {"byteorder": ">"},
    "deflated strips": {"compression": "zlib", "rowsperstrip": 100},
    "tiles": {"tile": (256, 256)},
    "deflated tiles": {"compression": "zlib", "tile": (256, 512)},
}


def voxels() -> NDArray[np.uint16]:
    z, y, x = np.ogrid[: SHAPE[0], : SHAPE[1], : SHAPE[2]]
    return (z * 7000 + y * 5 + x // 16).astype(np.uint16)


@pytest.mark.parametrize("way", WAYS)
def test_a_tiff_of_any_make_is_read_in_pieces(
    tmp_path: Path, voxels_of: Callable[[Path], NDArray[Any]], way: str
) -> None:
    import tifffile

    assert np.prod(SHAPE) > 2 * READ_VOXELS
    tifffile.imwrite(tmp_path / "v.tif", voxels(), photometric="minisblack", **WAYS[way])
    ingest(tmp_path / "v.tif", tmp_path / "v.zarr", voxel_size_zyx_nm=(8.0, 8.0, 8.0))
    assert np.array_equal(voxels_of(tmp_path / "v.zarr" / "s0"), voxels())


def test_an_mrc_and_slices_are_read_in_pieces(tmp_path: Path, voxels_of: Callable[[Path], NDArray[Any]]) -> None:
    import mrcfile
    import tifffile

    mrcfile.write(tmp_path / "v.mrc", voxels())
    (tmp_path / "slices").mkdir()
    for number, plane in enumerate(voxels()):
        tifffile.imwrite(tmp_path / "slices" / f"s_{number}.tif", plane, photometric="minisblack")
    for name in ("v.mrc", "slices"):
        ingest(tmp_path / name, tmp_path / f"{name}.zarr", voxel_size_zyx_nm=(8.0, 8.0, 8.0))
        assert np.array_equal(voxels_of(tmp_path / f"{name}.zarr" / "s0"), voxels())
