"""A small picture of a volume: its three middle planes, for people who want to see that it is what it should be."""

from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from math import ceil, floor, log10
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from em_assets.formats.volume import ReadBox, SourceVolume
from em_assets.model import ZYX, Content, PartialFloatZYX

SIDE_PIXELS = 256
GAP_PIXELS = 2
PERCENTILES = (1.0, 99.0)
"""Voxels below the first are black, above the second white: a few dead pixels must not grey out a picture."""

THUMBNAIL_SIDES = (SIDE_PIXELS, 192, 128, 96, 64)
THUMBNAIL_GREYS = (256, 64, 32, 16)
"""What a thumbnail gives up to stay within its bytes: shades first, which a picture of noise hardly shows."""

BAR_SHARE = 0.45
"""Share of a picture's longer side that its scale bar takes at most."""

BAR_STEPS = (1, 2, 5)

NO_LABEL = np.uint64(0xFFFFFFFFFFFFFFFF)
"""What CREMI and others write where nothing is labelled, -1 in signed numbers. A 255 of 8 bits is a label like any."""

Picture = NDArray[np.uint8]


class Plane(NamedTuple):
    """Where a plane lies in a picture, in pixels from its top left corner."""

    name: str
    left: int
    top: int
    width: int
    height: int


class ScaleBar(NamedTuple):
    """A round length, and how many pixels of the picture it takes."""

    length_nm: float
    pixels: float


@dataclass(frozen=True)
class Thumbnail:
    """A picture of a volume's middle planes that says how large they are.

    Attributes
    ----------
    width, height
        Pixels of the PNG.
    planes
        Where each plane lies in it: xy, xz, yz; of a single image xy alone.
    bar
        The scale, the same along all axes; None where the width of a voxel is unknown.
    assumed_axes
        Axes of unknown voxel size, drawn as if they were as fine as the finest known one: `z`, say.
    """

    png: bytes
    width: int
    height: int
    planes: tuple[Plane, ...]
    bar: ScaleBar | None
    assumed_axes: str

    @property
    def longer_side(self) -> int:
        """Pixels: the room that there is for the bar."""
        return max(self.width, self.height)


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
    sizes = _pixels_zyx(shape_zyx, voxel_size_zyx_nm, is_single=len(planes) == 1)
    pictures = _pictures(planes, sizes, is_labels=content == "labels")
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


def thumbnail_of(
    volume: SourceVolume, *, content: Content | None = None, most_bytes: int = 64_000, side_pixels: int = SIDE_PIXELS
) -> Thumbnail:
    """The planes of `preview_png` with their scale, in at most `most_bytes` where 64 pixels in 16 greys can be.

    Three planes of the coarsest level that fills the picture are read.

    Raises
    ------
    FormatError
        The volume cannot be read.
    StoreError
        It is a committed one, and a part of it is gone.
    """
    enough = [level for level in volume.levels if max(level.shape_zyx) >= side_pixels]
    level = enough[-1] if enough else volume.levels[0]
    planes = _middle_planes(level.read_box, level.shape_zyx)
    is_labels = (content or volume.content) == "labels"
    for side, greys in _ways_to_save(side_pixels, is_labels=is_labels):
        sizes = _pixels_zyx(level.shape_zyx, level.voxel_size_zyx_nm, is_single=len(planes) == 1, side_pixels=side)
        pictures = _pictures(planes, sizes, is_labels=is_labels)
        mosaic = _mosaic([picture if is_labels else _in_greys(picture, greys) for picture in pictures], sizes)
        png = _png(mosaic, in_colour=is_labels, is_tight=True)
        if len(png) <= most_bytes:
            break
    nm_per_pixel = _nm_per_pixel(level.shape_zyx, level.voxel_size_zyx_nm, sizes)
    return Thumbnail(
        png=png,
        width=mosaic.shape[1],
        height=mosaic.shape[0],
        planes=_places(sizes, is_single=len(planes) == 1),
        bar=None if nm_per_pixel is None else scale_bar(nm_per_pixel, max(mosaic.shape) * BAR_SHARE),
        assumed_axes="".join(
            axis
            for axis, size, extent in zip("zyx", level.voxel_size_zyx_nm, level.shape_zyx, strict=True)
            if size is None and extent > 1
        ),
    )


def scale_bar(nm_per_pixel: float, room_pixels: float) -> ScaleBar:
    """The longest bar of 1, 2 or 5 times a power of ten nanometres that fits into so many pixels."""
    room_nm = nm_per_pixel * room_pixels
    power = 10.0 ** floor(log10(room_nm))
    # A length that fits by all but the last bit of a float fits.
    length_nm = max(step * power for step in BAR_STEPS if step * power <= room_nm * (1 + 1e-9) or step == 1)
    return ScaleBar(length_nm, length_nm / nm_per_pixel)


def _nm_per_pixel(shape_zyx: ZYX, voxel_size_zyx_nm: PartialFloatZYX, pixels_zyx: ZYX) -> float | None:
    """The scale, from the axis of known size that is drawn longest, since pixels are whole; None without a width."""
    if voxel_size_zyx_nm[2] is None:
        return None
    drawn = zip(pixels_zyx, shape_zyx, voxel_size_zyx_nm, strict=True)
    pixels, extent_nm = max((pixels, voxels * size) for pixels, voxels, size in drawn if size is not None)
    return extent_nm / pixels


def _ways_to_save(side_pixels: int, *, is_labels: bool) -> Iterator[tuple[int, int]]:
    """Sides and shades, the best picture first; the colours of labels are names, and none of them can be left out."""
    for side in THUMBNAIL_SIDES:
        if side <= side_pixels:
            yield from ((side, greys) for greys in (THUMBNAIL_GREYS[:1] if is_labels else THUMBNAIL_GREYS))


def _in_greys(picture: Picture, count: int) -> Picture:
    step = 255 / (count - 1)
    return np.rint(np.rint(picture / step) * step).astype(np.uint8)


def _middle_planes(read: ReadBox, shape_zyx: ZYX) -> list[NDArray[Any]]:
    """Planes xy, xz and (turned, so that y stays upright) yz; only xy of a single image."""
    depth, height, width = shape_zyx
    xy = read((depth // 2, 0, 0), (1, height, width))[0]
    if depth == 1:
        return [xy]
    xz = read((0, height // 2, 0), (depth, 1, width))[:, 0]
    yz = read((0, 0, width // 2), (depth, height, 1))[:, :, 0].T
    return [xy, xz, yz]


def _pictures(planes: list[NDArray[Any]], pixels_zyx: ZYX, *, is_labels: bool) -> list[Picture]:
    """The planes as they are drawn: made as small as the picture, so that nothing is computed at a plane's own size."""
    places = _places(pixels_zyx, is_single=len(planes) == 1)
    small = [_resized(plane, place.height, place.width) for plane, place in zip(planes, places, strict=True)]
    return [_label_picture(plane) for plane in small] if is_labels else _grey_pictures(small)


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
    is_background = (label == 0) | (label == NO_LABEL)
    return np.where(is_background, np.uint64(0), mixed % np.uint64(255) + np.uint64(1)).astype(np.uint8)


def _pixels_zyx(
    shape_zyx: ZYX, voxel_size_zyx_nm: PartialFloatZYX, *, is_single: bool, side_pixels: int = SIDE_PIXELS
) -> ZYX:
    finest = min((size for size in voxel_size_zyx_nm if size is not None), default=1.0)
    voxel = [finest if size is None else size for size in voxel_size_zyx_nm]
    depth, height, width = (extent * size for extent, size in zip(shape_zyx, voxel, strict=True))
    side = max(height, width)
    room, longest = (side_pixels, side) if is_single else (side_pixels - GAP_PIXELS, side + depth)
    scale = room / longest
    z, y, x = (max(1, int(length * scale)) for length in (depth, height, width))
    return (z, y, x)


def _mosaic(pictures: list[Picture], pixels_zyx: ZYX) -> Picture:
    places = _places(pixels_zyx, is_single=len(pictures) == 1)
    height, width = max(place.top + place.height for place in places), max(p.left + p.width for p in places)
    canvas = np.zeros((min(SIDE_PIXELS, height), min(SIDE_PIXELS, width)), np.uint8)
    for picture, place in zip(pictures, places, strict=True):
        target = canvas[place.top : place.top + place.height, place.left : place.left + place.width]
        target[...] = picture[: target.shape[0], : target.shape[1]]
    return canvas


def _places(pixels_zyx: ZYX, *, is_single: bool) -> tuple[Plane, ...]:
    """Where the planes of a picture lie, in the order in which they are read."""
    z, y, x = pixels_zyx
    xy = Plane("xy", 0, 0, x, y)
    return (xy,) if is_single else (xy, Plane("xz", 0, y + GAP_PIXELS, x, z), Plane("yz", x + GAP_PIXELS, 0, z, y))


def _resized(plane: NDArray[Any], height: int, width: int) -> NDArray[Any]:
    """Every pixel is the voxel that lies at its centre: no new labels, and the grain of the data stays visible."""
    rows = (np.arange(height) * 2 + 1) * plane.shape[0] // (2 * height)
    columns = (np.arange(width) * 2 + 1) * plane.shape[1] // (2 * width)
    return plane[np.ix_(rows, columns)]


def _png(picture: Picture, *, in_colour: bool, is_tight: bool = False) -> bytes:
    from PIL import Image

    image = Image.fromarray(picture)
    if in_colour:
        # Indexed colour: one byte a pixel, so that even noise stays below 100 kB.
        image = image.copy()
        image.putpalette(_palette())
    buffer = BytesIO()
    image.save(buffer, format="PNG", optimize=is_tight)
    return buffer.getvalue()


def _palette() -> list[int]:
    """Black, then 255 colours around the circle of hues at three brightnesses, neighbours far apart."""
    from colorsys import hsv_to_rgb

    colours = [(0.0, 0.0, 0.0)]
    colours += [hsv_to_rgb(i * 0.618033988749895 % 1.0, 0.7, 1.0 - 0.2 * (i % 3)) for i in range(255)]
    return [ceil(255 * channel) for colour in colours for channel in colour]
