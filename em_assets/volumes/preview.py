"""A small picture of a volume: its three middle planes, for people who want to see that it is what it should be."""

from io import BytesIO
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray

from em_assets.formats.volume import ReadBox, SourceVolume
from em_assets.model import ZYX, Content, PartialFloatZYX

SIDE_PIXELS = 256
GAP_PIXELS = 2
PERCENTILES = (1.0, 99.0)
"""Voxels below the first are black, above the second white: a few dead pixels must not grey out a picture."""

Picture = NDArray[np.uint8]


def preview_png(
    read: ReadBox,
    shape_zyx: ZYX,
    *,
    content: Content | None = None,
    voxel_size_zyx_nm: PartialFloatZYX = (None, None, None),
) -> bytes:
    """The middle planes as a PNG of at most 256 x 256 pixels and under 100 kB.

    They are laid out as::

        xy yz
        xz

    Anisotropic voxels are drawn with their true proportions, labels in colours that depend on the label alone. A
    single image is drawn as itself. Reads three planes of `shape_zyx`: give it a coarse level.
    """
    planes = _middle_planes(read, shape_zyx)
    pictures = [_label_picture(p) for p in planes] if content == "labels" else _grey_pictures(planes)
    sizes = _pixels_zyx(shape_zyx, voxel_size_zyx_nm, is_single=len(planes) == 1)
    return _png(_mosaic(pictures, sizes), in_colour=content == "labels")


def preview_of(volume: SourceVolume, content: Content | None = None) -> bytes:
    """Preview of the coarsest level that still fills the picture.

    Raises
    ------
    FormatError
        The volume cannot be read.
    """
    enough = [level for level in volume.levels if max(level.shape_zyx) >= SIDE_PIXELS // 2]
    level = enough[-1] if enough else volume.levels[0]
    return preview_png(
        level.read_box,
        level.shape_zyx,
        content=content or volume.content,
        voxel_size_zyx_nm=level.voxel_size_zyx_nm,
    )


def _middle_planes(read: ReadBox, shape_zyx: ZYX) -> list[NDArray[Any]]:
    """Planes xy, xz and (turned, so that y stays upright) yz; only xy of a single image."""
    depth, height, width = shape_zyx
    xy = read((depth // 2, 0, 0), (1, height, width))[0]
    if depth == 1:
        return [xy]
    xz = read((0, height // 2, 0), (depth, 1, width))[:, 0]
    yz = read((0, 0, width // 2), (depth, height, 1))[:, :, 0].T
    return [xy, xz, yz]


def _grey_pictures(planes: list[NDArray[Any]]) -> list[Picture]:
    values = [np.asarray(plane, np.float64) for plane in planes]
    finite = np.concatenate([value[np.isfinite(value)] for value in values])
    low, high = np.percentile(finite, PERCENTILES) if finite.size else (0.0, 0.0)
    span = high - low if high > low else 1.0
    clean = [np.nan_to_num((value - low) / span, nan=0.0, posinf=1.0, neginf=0.0) for value in values]
    return [np.rint(np.clip(value, 0.0, 1.0) * 255).astype(np.uint8) for value in clean]


def _label_picture(plane: NDArray[Any]) -> Picture:
    """Each label's place in the palette: 0 for the background, 1 to 255 by a multiplicative hash for the others."""
    label = plane.astype(np.int64).view(np.uint64) if plane.dtype.kind != "u" else plane.astype(np.uint64)
    mixed = (label * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(32)
    return np.where(label == 0, np.uint64(0), mixed % np.uint64(255) + np.uint64(1)).astype(np.uint8)


def _pixels_zyx(shape_zyx: ZYX, voxel_size_zyx_nm: PartialFloatZYX, *, is_single: bool) -> ZYX:
    finest = min((size for size in voxel_size_zyx_nm if size is not None), default=1.0)
    voxel = [finest if size is None else size for size in voxel_size_zyx_nm]
    depth, height, width = (extent * size for extent, size in zip(shape_zyx, voxel, strict=True))
    side = max(height, width)
    room, longest = (SIDE_PIXELS, side) if is_single else (SIDE_PIXELS - GAP_PIXELS, side + depth)
    scale = room / longest
    z, y, x = (max(1, int(length * scale)) for length in (depth, height, width))
    return (z, y, x)


def _mosaic(pictures: list[Picture], pixels_zyx: ZYX) -> Picture:
    z, y, x = pixels_zyx
    if len(pictures) == 1:
        return _resized(pictures[0], y, x)
    xy, xz, yz = (_resized(p, *size) for p, size in zip(pictures, ((y, x), (z, x), (y, z)), strict=True))
    canvas = np.zeros((min(SIDE_PIXELS, y + GAP_PIXELS + z), min(SIDE_PIXELS, x + GAP_PIXELS + z)), np.uint8)
    _paste(canvas, xy, 0, 0)
    _paste(canvas, xz, y + GAP_PIXELS, 0)
    _paste(canvas, yz, 0, x + GAP_PIXELS)
    return canvas


def _paste(canvas: Picture, picture: Picture, row: int, column: int) -> None:
    target = canvas[row : row + picture.shape[0], column : column + picture.shape[1]]
    target[...] = picture[: target.shape[0], : target.shape[1]]


def _resized(picture: Picture, height: int, width: int) -> Picture:
    """Every pixel is the voxel that lies at its centre: no new labels, and the grain of the data stays visible."""
    rows = (np.arange(height) * 2 + 1) * picture.shape[0] // (2 * height)
    columns = (np.arange(width) * 2 + 1) * picture.shape[1] // (2 * width)
    return picture[np.ix_(rows, columns)]


def _png(picture: Picture, *, in_colour: bool) -> bytes:
    from PIL import Image

    image = Image.fromarray(picture)
    if in_colour:
        # Indexed colour: one byte a pixel, so that even noise stays below 100 kB.
        image = image.copy()
        image.putpalette(_palette())
    buffer = BytesIO()
    image.save(buffer, format="PNG", optimize=False)
    return buffer.getvalue()


def _palette() -> list[int]:
    """Black, then 255 colours around the circle of hues at three brightnesses, neighbours far apart."""
    from colorsys import hsv_to_rgb

    colours = [(0.0, 0.0, 0.0)]
    colours += [hsv_to_rgb(i * 0.618033988749895 % 1.0, 0.7, 1.0 - 0.2 * (i % 3)) for i in range(255)]
    return [ceil(255 * channel) for colour in colours for channel in colour]
