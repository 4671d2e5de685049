"""The small picture of a volume."""

from collections.abc import Callable
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from PIL import Image

from em_assets.formats.volume import SourceVolume
from em_assets.volumes.preview import preview_of, preview_png


def pixels(png: bytes) -> np.ndarray[Any, Any]:
    with Image.open(BytesIO(png)) as image:
        return np.asarray(image.convert("RGB"))


@pytest.mark.parametrize("shape", [(100, 300, 200), (16, 55, 55), (1, 300, 200), (1, 1, 1), (2, 5000, 3)], ids=str)
@pytest.mark.parametrize("content", ["em", "labels"])
def test_a_preview_is_small_whatever_the_shape(
    make_source: Callable[..., SourceVolume], shape: tuple[int, int, int], content: Any
) -> None:
    source = make_source(np.random.default_rng(0).integers(0, 60_000, shape, dtype=np.uint16), (50.0, 8.0, 8.0))
    png = preview_of(source, content)
    assert len(png) < 100_000
    assert max(pixels(png).shape) <= 256
    assert png == preview_of(source, content)


def test_planes_show_the_middle_with_true_proportions() -> None:
    """A bar along z: a dot in xy, a line down xz, a line across yz; z is five times as thick as drawn in voxels."""
    voxels = np.zeros((10, 51, 51), np.uint8)
    voxels[:, 23:28, 23:28] = 200
    voxels[0, 0, 0] = 1
    seen = pixels(
        preview_png(
            lambda start, shape: voxels[tuple(slice(s, s + n) for s, n in zip(start, shape, strict=True))],
            voxels.shape,
            voxel_size_zyx_nm=(40.0, 8.0, 8.0),
        )
    )[..., 0]
    side = int(51 * 8 * 254 / (51 * 8 + 400))
    assert seen[side // 2, side // 2] == 255
    assert seen[5, 5] == 0
    assert seen[-3, side // 2] == seen[side // 2, -3] == 255
    assert seen[-3, 5] == seen[5, -3] == 0


def test_labels_have_colours_and_the_background_is_black() -> None:
    plane = np.array([[[0, 5, 2**63 + 7]]], np.uint64)
    seen = pixels(preview_png(lambda start, shape: plane, (1, 1, 3), content="labels"))
    colours = [tuple(seen[seen.shape[0] // 2, x]) for x in (5, 128, 250)]
    assert colours[0] == (0, 0, 0)
    assert len(set(colours)) == 3


@pytest.mark.parametrize("value", [7.0, np.nan, np.inf])
def test_one_value_alone_is_drawn_without_complaint(value: float) -> None:
    plane = np.full((1, 8, 8), value, np.float32)
    assert pixels(preview_png(lambda start, shape: plane, (1, 8, 8))).shape == (256, 256, 3)
