"""What every test may use."""

from pathlib import Path

import numpy as np
import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real files and validators beside the project; the test skips where it is absent."""
    if not (SHARED / "data" / "expected.json").exists():
        pytest.skip(f"needs the shared data folder, which is not at {SHARED}")
    return SHARED


@pytest.fixture(scope="session")
def small_tiff(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ImageJ stack of 6 × 40 × 50 textured voxels, 30 × 10 × 10 nm."""
    import tifffile

    voxels = np.random.default_rng(7).integers(20, 230, (6, 40, 50), dtype=np.uint8)
    path = tmp_path_factory.mktemp("tiff") / "small.tif"
    tifffile.imwrite(
        path, voxels, imagej=True, resolution=(100, 100), metadata={"axes": "ZYX", "spacing": 0.03, "unit": "um"}
    )
    return path
