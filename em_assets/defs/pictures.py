"""Small pictures for the pages of assets, as PNG under 100 kB: planes of volumes, bars of counts, maps of chunks.

Committed volumes are drawn from themselves. What was not written yet is drawn from its raw files, one slice of them and
only where that costs little: a picture is never worth a transfer, nor a failed run.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from io import BytesIO
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from em_assets.building import held_files, inputs_of, raw_volumes
from em_assets.datasets import Dataset
from em_assets.datasets.opening import RawVolume
from em_assets.errors import EMAssetsError
from em_assets.formats.volume import SourceLevel
from em_assets.model import ZYX, Content
from em_assets.retention import is_dropped
from em_assets.settings import Settings
from em_assets.volumes.preview import SIDE_PIXELS, Thumbnail, preview_png, thumbnail_of
from em_assets.volumes.reading import open_committed
from em_assets.volumes.store import CommittedVolume, committed_volumes

if TYPE_CHECKING:
    import pyarrow as pa
    from PIL.Image import Image

MOST_VOLUMES = 4
"""Volumes of a dataset that are drawn: a page of a hundred pictures shows none."""

MOST_BYTES_READ = 256 << 20
"""A slice of raw files that needs more than these, decoded, is not drawn."""

MOST_BARS = 8

MOST_PREVIEW_BYTES = 90_000

MOST_GLANCE_BYTES = 700
"""The UI shows Markdown of less than 1000 characters on the page itself, and what is longer after a click."""

GLANCE_SIDES = (300, 256, 192, 128, 96, 80, 64, 48, 32, 16)
GLANCE_QUALITIES = (60, 40, 25, 15, 8)

PAPER, INK, BAR, FAINT = (255, 255, 255), (32, 33, 36), (66, 103, 178), (120, 124, 130)
WIDTH, ROW, MARGIN = 460, 24, 12

Count = Callable[[int], str]

Picture = bytes | Thumbnail
"""A PNG, of volumes with the places of their planes in it."""


def of_dataset(dataset: Dataset, settings: Settings) -> dict[str, Picture]:
    """A picture of each volume, by its name: of the committed one, else a slice of its raw files, if that is cheap.

    A volume that was made of other files than the manifest names now shows what was, and is not drawn.
    """
    try:
        committed = committed_volumes(settings.volumes_dir(dataset.name))
        inputs = inputs_of(held_files(dataset, settings))
        current = [(name, volume) for name, volume in committed.items() if volume.commit.inputs == inputs]
        if current:
            return {name: of_volume(volume) for name, volume in current[:MOST_VOLUMES]}
        if is_dropped(dataset, settings):
            return {}
        return dict(_slices(raw_volumes(dataset, settings)[:MOST_VOLUMES]))
    except (EMAssetsError, OSError, MemoryError):  # who reads or checks these files says so; no picture then
        return {}


def of_volume(volume: CommittedVolume) -> Thumbnail:
    """A committed volume's middle planes."""
    return thumbnail_of(open_committed(volume), content=volume.commit.content, most_bytes=MOST_PREVIEW_BYTES)


def bars(counts: Mapping[str, int], shown: Count = "{:,}".format) -> bytes:
    """A bar for each count, the largest first, the small ones together; `shown` writes the number beside it."""
    from PIL import Image, ImageDraw, ImageFont

    rows = _largest(counts)
    image = Image.new("RGB", (WIDTH, 2 * MARGIN + ROW * max(len(rows), 1)), PAPER)
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(13)
    left, right = WIDTH * 2 // 5, WIDTH - 110
    most = max((count for _, count in rows), default=0) or 1
    for number, (name, count) in enumerate(rows or [("nothing", 0)]):
        top = MARGIN + ROW * number
        middle = top + ROW // 2
        draw.text((left - 8, middle), _cut(name, lambda text: draw.textlength(text, font), left - 16), INK, font, "rm")
        end = left + round((right - left) * count / most)
        draw.rectangle((left, top + 5, max(end, left + 1), top + ROW - 6), BAR)
        draw.text((end + 6, middle), shown(count), FAINT, font, "lm")
    return _png(image)


def glance(picture: Picture) -> bytes:
    """A picture as WebP, as large and as good as it can be in `MOST_GLANCE_BYTES`: some 80 pixels of EM, bars whole.

    Of a volume's planes only the first one has room.
    """
    from PIL import Image

    whole = Image.open(BytesIO(png_of(picture))).convert("RGB")
    if isinstance(picture, Thumbnail):
        xy = picture.planes[0]
        whole = whole.crop((xy.left, xy.top, xy.left + xy.width, xy.top + xy.height))
    for side in GLANCE_SIDES:
        small = whole.copy()
        small.thumbnail((side, side), Image.Resampling.LANCZOS)
        if len(worst := _webp(small, GLANCE_QUALITIES[-1])) <= MOST_GLANCE_BYTES:
            better = (_webp(small, quality) for quality in GLANCE_QUALITIES)
            return next((webp for webp in better if len(webp) <= MOST_GLANCE_BYTES), worst)
    return worst


def png_of(picture: Picture) -> bytes:
    """The picture's bytes."""
    return picture.png if isinstance(picture, Thumbnail) else picture


def _webp(image: "Image", quality: int) -> bytes:
    buffer = BytesIO()
    image.save(buffer, format="WEBP", quality=quality, method=4)
    return buffer.getvalue()


def of_kinds(sizes: Iterable[tuple[str, int]], shown: Count) -> bytes:
    """Bars of bytes by the kind of file, from paths and sizes."""
    by_kind: Counter[str] = Counter()
    for path, size_bytes in sizes:
        by_kind[_kind(path)] += size_bytes
    return bars(by_kind, shown)


def of_chunks(index: "pa.Table") -> bytes:
    """A volume's block index seen from above, two maps: the mean of each column of chunks, and how much it varies.

    What is black in the right one shows nothing: padding, a hole, an empty crop.
    """
    from PIL import Image, ImageDraw, ImageFont

    y, x = (np.asarray(index[axis].to_numpy(), np.int64) for axis in "yx")
    maps = [_from_above(np.asarray(index[name].to_numpy(), np.float64), y, x) for name in ("mean", "std")]
    height, width = _pixels(maps[0].shape)
    canvas = Image.new("RGB", (2 * width + MARGIN, height + ROW), PAPER)
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(13)
    for number, (caption, values) in enumerate(zip(("mean", "standard deviation"), maps, strict=True)):
        left = number * (width + MARGIN)
        picture = Image.fromarray(_heat(values)).resize((width, height), Image.Resampling.NEAREST)
        canvas.paste(picture, (left, ROW))
        draw.text((left, ROW // 2), f"{caption}, {_span(values)}", INK, font, "lm")
    return _png(canvas)


def _slices(raws: Iterable[RawVolume]) -> Iterator[tuple[str, bytes]]:
    """The middle slice of each volume's coarsest level that fills the picture, where reading it is cheap."""
    for raw in raws:
        enough = [level for level in raw.source.levels if max(level.shape_zyx[1:]) >= SIDE_PIXELS]
        level = enough[-1] if enough else raw.source.levels[0]
        n_slices = level.chunk_shape_zyx[0] if level.chunk_shape_zyx else 1  # that are decoded for one
        if n_slices * level.shape_zyx[1] * level.shape_zyx[2] * raw.source.dtype.itemsize <= MOST_BYTES_READ:
            yield raw.name, _middle_slice(level, raw.content)


def _middle_slice(level: SourceLevel, content: Content) -> bytes:
    depth, height, width = level.shape_zyx

    def read(start: ZYX, shape: ZYX) -> NDArray[Any]:
        return level.read_box((depth // 2, *start[1:]), shape)

    return preview_png(read, (1, height, width), content=content, voxel_size_zyx_nm=level.voxel_size_zyx_nm)


def _kind(path: str) -> str:
    """`.tif`; of Zarr, whose chunks have no such ending, `Zarr chunks`; of others `no ending`."""
    name = PurePosixPath(path)
    if name.suffix and not name.suffix[1:].isdigit():
        return name.suffix.lower()
    return "chunks" if name.name.replace(".", "").replace("_", "").replace("-", "").isdigit() else "no ending"


def _largest(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    ordered = sorted(counts.items(), key=lambda row: (-row[1], row[0]))
    if len(ordered) <= MOST_BARS:
        return ordered
    rest = ordered[MOST_BARS - 1 :]
    return [*ordered[: MOST_BARS - 1], (f"{len(rest)} others", sum(count for _, count in rest))]


def _cut(name: str, length: Callable[[str], float], most_pixels: int) -> str:
    """The end of a long name, which tells it from its neighbours."""
    if length(name) <= most_pixels:
        return name
    while name and length(f"…{name}") > most_pixels:
        name = name[1:]
    return f"…{name}"


def _from_above(values: NDArray[np.float64], y: NDArray[np.int64], x: NDArray[np.int64]) -> NDArray[np.float64]:
    """Mean of the values of each column of chunks; NaN where none is finite."""
    shape = (int(y.max()) + 1, int(x.max()) + 1) if len(y) else (1, 1)
    is_known = np.isfinite(values)
    total, count = np.zeros(shape), np.zeros(shape)
    np.add.at(total, (y[is_known], x[is_known]), values[is_known])
    np.add.at(count, (y[is_known], x[is_known]), 1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _pixels(shape: Sequence[int]) -> tuple[int, int]:
    """Height and width of a map whose chunks are whole squares where there is room."""
    scale = SIDE_PIXELS / max(shape)
    height, width = (max(round(extent * scale), 1) for extent in shape)
    return height, max(width, 150)  # room for the caption


def _heat(values: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Dark blue to yellow, as dark as it is small; zero and unknown are black."""
    most = np.nanmax(np.abs(values), initial=0.0) if np.isfinite(values).any() else 0.0
    share = np.nan_to_num(np.abs(values) / most) if most else np.zeros_like(values)
    stops = np.array([0.0, 0.25, 0.5, 0.75, 1.0])
    colours = np.array([(0, 0, 0), (59, 82, 139), (33, 145, 140), (94, 201, 98), (253, 231, 37)], np.float64)
    return np.stack([np.interp(share, stops, colours[:, channel]) for channel in range(3)], axis=-1).astype(np.uint8)


def _span(values: NDArray[np.float64]) -> str:
    known = values[np.isfinite(values)]
    return f"{known.min():.3g} to {known.max():.3g}" if known.size else "none known"


def _png(image: "Image") -> bytes:
    buffer = BytesIO()
    image.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()
