"""Dark membranes and bright ones, told apart by how sheets bend."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from em_assets.sample.labels import cells, membranes_and_cytoplasm
from em_assets.sample.texture import texture
from em_assets.volumes.polarity import DECIDED, can_be_told, membrane_contrast, polarity_of


@pytest.fixture(scope="module")
def tissue() -> NDArray[Any]:
    """Cells with dark walls."""
    shape = (48, 64, 64)
    return membranes_and_cytoplasm(*cells(shape, 12, seed=7), texture(shape, 7))


def test_dark_walls_and_their_inverse_are_opposites(tissue: NDArray[Any]) -> None:
    dark, bright = membrane_contrast(tissue), membrane_contrast(255 - tissue)
    assert dark is not None
    assert dark > DECIDED
    assert bright == pytest.approx(-dark)


def test_noise_tells_nothing() -> None:
    found = membrane_contrast(np.random.default_rng(3).integers(0, 255, (48, 48, 48), dtype=np.uint8))
    assert found == pytest.approx(0, abs=0.1)


def test_blocks_that_contradict_each_other_tell_nothing() -> None:
    assert polarity_of([0.3, 0.2, 0.1, -0.1]) == pytest.approx(0.15)
    assert polarity_of([0.3, 0.2, -0.2, -0.1]) == 0.0
    assert polarity_of([-0.3]) == -0.3
    assert polarity_of([]) is None


def test_too_small_flat_or_unfinished_blocks_tell_nothing() -> None:
    assert membrane_contrast(np.zeros((32, 32, 32), np.uint8)) is None
    assert membrane_contrast(np.ones((8, 64, 64), np.uint8)) is None
    assert membrane_contrast(np.full((32, 32, 32), np.nan)) is None


@pytest.mark.parametrize(
    ("size", "expected"),
    [((8.0, 8.0, 8.0), True), ((2.96, 4.0, 4.0), True), ((50.0, 8.0, 8.0), False), ((40.0,) * 3, False),
     ((1.348,) * 3, False), ((None, 8.0, 8.0), False)],
)  # fmt: skip
def test_only_near_isotropic_voxels_as_fine_as_membranes_can_tell(size: Any, expected: bool) -> None:
    assert can_be_told(size) is expected


def test_membranes_of_a_real_fly_are_dark(shared: Path) -> None:
    """FIB-SEM of the medulla, 10 nm: dark though its thin neurites are bright lines."""
    from PIL import Image

    paths = sorted((shared / "data/em_fib25/png").glob("*.png"))[:48]
    voxels = np.stack([np.asarray(Image.open(path)) for path in paths])
    corners = [(y, x) for y in (0, 90, 180) for x in (0, 90, 180)]
    found = [membrane_contrast(voxels[:, y : y + 64, x : x + 64]) for y, x in corners]
    polarity = polarity_of([contrast for contrast in found if contrast is not None])
    assert polarity is not None
    assert polarity > DECIDED
