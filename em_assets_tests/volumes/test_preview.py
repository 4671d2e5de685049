"""The small picture of a volume."""

import tracemalloc
from collections.abc import Callable
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from PIL import Image

from em_assets.formats.volume import SourceLevel, SourceVolume
from em_assets.volumes.preview import Thumbnail, preview_of, preview_png, scale_bar, thumbnail_of


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


@pytest.mark.parametrize("content", ["em", "labels"])
def test_a_large_slice_is_made_small_before_anything_is_computed(content: Any) -> None:
    """16,384 x 16,384 voxels, which no memory holds here: every one is the same row."""
    slice_ = np.broadcast_to(np.arange(16_384, dtype=np.uint16), (1, 16_384, 16_384))
    tracemalloc.start()
    try:
        png = preview_png(lambda start, shape: slice_, slice_.shape, content=content)
        _, most_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert pixels(png).shape == (256, 256, 3)
    assert most_bytes < 64 << 20


def test_labels_have_colours_and_the_background_is_black() -> None:
    plane = np.array([[[0, 5, 2**63 + 7]]], np.uint64)
    seen = pixels(preview_png(lambda start, shape: plane, (1, 1, 3), content="labels"))
    colours = [tuple(seen[seen.shape[0] // 2, x]) for x in (5, 128, 250)]
    assert colours[0] == (0, 0, 0)
    assert len(set(colours)) == 3


@pytest.mark.parametrize(
    ("dtype", "value", "is_black"), [("uint64", 2**64 - 1, True), ("int32", -1, True), ("uint8", 255, False)], ids=str
)
def test_where_all_bits_say_that_nothing_is_labelled_it_is_black(dtype: str, value: int, is_black: bool) -> None:
    plane = np.full((1, 4, 4), value, dtype)
    seen = pixels(preview_png(lambda start, shape: plane, plane.shape, content="labels"))
    assert (int(seen.max()) == 0) is is_black


@pytest.mark.parametrize("value", [7.0, np.nan, np.inf])
def test_one_value_alone_is_drawn_without_complaint(value: float) -> None:
    plane = np.full((1, 8, 8), value, np.float32)
    assert pixels(preview_png(lambda start, shape: plane, (1, 8, 8))).shape == (256, 256, 3)


def thumbnail(
    make_source: Callable[..., SourceVolume], shape: tuple[int, int, int], size: Any, **options: Any
) -> Thumbnail:
    noise = np.random.default_rng(0).integers(0, 255, shape, dtype=np.uint8)
    return thumbnail_of(make_source(noise, size), **options)


@pytest.mark.parametrize(
    ("shape", "size", "bar_nm", "pixels"),
    [
        ((100, 100, 100), (8.0, 8.0, 8.0), 500, 500 * 254 / 1600),
        ((1, 256, 256), (50.0, 4.0, 4.0), 200, 50),
        ((10, 300, 300), (30.0, 10.0, 10.0), 1000, 1000 * 254 / 3300),
        ((2, 5000, 3), (8.0, 8.0, 8.0), 10_000, 10_000 * 254 / 40_016),
        ((20, 40, 60), (None, 4.0, 4.0), 100, 100 * 254 / 320),
    ],
    ids=["cube", "one image", "thick slices", "a needle", "unknown depth"],
)
def test_the_scale_bar_is_as_long_as_it_says(
    make_source: Callable[..., SourceVolume], shape: tuple[int, int, int], size: Any, bar_nm: float, pixels: float
) -> None:
    made = thumbnail(make_source, shape, size)
    assert made.bar is not None
    assert made.bar.length_nm == bar_nm
    assert made.bar.pixels == pytest.approx(pixels, rel=0.02)
    assert (made.height, made.width) == pixels_shape(made.png)


def test_nothing_is_measured_where_the_width_of_a_voxel_is_unknown(make_source: Callable[..., SourceVolume]) -> None:
    made = thumbnail(make_source, (20, 40, 60), (None, None, None))
    assert (made.bar, made.assumed_axes) == (None, "zyx")
    assert thumbnail(make_source, (20, 40, 60), (None, 4.0, 4.0)).assumed_axes == "z"
    assert thumbnail(make_source, (1, 40, 60), (None, 4.0, 4.0)).assumed_axes == ""


@pytest.mark.parametrize("content", ["em", "labels"])
@pytest.mark.parametrize("most_bytes", [64_000, 24_000, 6_000])
def test_a_thumbnail_of_noise_keeps_within_its_bytes(
    make_source: Callable[..., SourceVolume], content: Any, most_bytes: int
) -> None:
    made = thumbnail(make_source, (64, 300, 300), (8.0, 8.0, 8.0), content=content, most_bytes=most_bytes)
    assert len(made.png) <= most_bytes
    assert pixels(made.png).std() > 20


def test_planes_lie_where_they_are_said_to_lie() -> None:
    """Each plane is darker than the one before it, and so are their places in the picture."""
    voxels = np.zeros((20, 40, 60), np.uint8)
    voxels[:, :, 30], voxels[:, 20, :], voxels[10] = 60, 130, 220
    source = SourceVolume("a", "tiff", voxels.dtype, (SourceLevel(voxels.shape, (4.0, 4.0, 4.0), reader(voxels)),), ())
    made = thumbnail_of(source)
    seen = pixels(made.png)[..., 0]
    shown = {
        plane.name: np.median(seen[plane.top :, plane.left :][: plane.height, : plane.width]) for plane in made.planes
    }
    assert shown["xy"] > shown["xz"] > shown["yz"]


@pytest.mark.parametrize(
    ("nm_per_pixel", "room", "length_nm"),
    [(1, 100, 100), (1, 99, 50), (1, 49.9, 20), (0.003, 100, 0.2), (2e4, 60, 1e6)],
)
def test_a_bar_is_the_longest_round_length_that_fits(nm_per_pixel: float, room: float, length_nm: float) -> None:
    bar = scale_bar(nm_per_pixel, room)
    assert bar.length_nm == pytest.approx(length_nm)
    assert bar.pixels <= room * (1 + 1e-9)


def pixels_shape(png: bytes) -> tuple[int, ...]:
    return pixels(png).shape[:2]


def reader(voxels: np.ndarray[Any, Any]) -> Any:
    return lambda start, shape: voxels[tuple(slice(s, s + n) for s, n in zip(start, shape, strict=True))]
