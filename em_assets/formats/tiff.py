"""TIFF files, classic and BigTIFF: plain stacks, ImageJ's, OME-TIFF. A page is a slice; alike pages are a volume."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from em_assets.errors import EMAssetsError, FormatError, UnsupportedDataError
from em_assets.formats.binary import BinaryFile, file_name, open_binary
from em_assets.formats.slices import stack_or_separate, with_distinct_names
from em_assets.formats.tiff_axes import (
    Stack,
    imagej_info,
    imagej_stacks,
    ome_stacks,
    ome_tags,
    parse_ome,
    voxel_witnesses,
)
from em_assets.formats.tiff_decoding import DecodedPages
from em_assets.formats.tiff_names import compression_name
from em_assets.formats.tiff_pages import Page, is_tiff, read_pages
from em_assets.formats.tiff_pixels import PagePixels, page_pixels, read_plain_box
from em_assets.formats.volume import SourceLevel, SourceVolume
from em_assets.model import ZYX, PartialFloatZYX, Tag, Witness
from em_assets.units import to_nm

NAME = "tiff"
MARKERS: tuple[str, ...] = ()

MAX_PLANES = 1_000_000
"""Of an ImageJ stack with one page."""

_DESCRIPTION, _SUBFILE_TYPE, _COMPRESSION = 270, 254, 259
_REDUCED, _MASK = 1, 4
_MAKERS = {"lsm": {34412}, "fei": {34680, 34682}}
"""Tags by which a maker's files are told."""

_SAMPLE_KINDS = {1: "uint", 2: "int", 3: "float"}


def matches(head: bytes, name: str) -> bool:
    """Whether a file begins as a TIFF does."""
    return is_tiff(head)


def read_tags(path: str) -> Iterator[Tag]:
    """Every tag of every page (`page 0`, …) and of those inside of pages (`SubIFD 0 of page 0`, `Exif 0 of page 0`).

    Then what ImageJ (`imagej`) or OME-XML (`ome`) wrote into the description, and what follows from all (`derived`).

    Raises
    ------
    FormatError
        No TIFF, pages in a loop, a tag outside the file, or damaged OME-XML.
    """
    pages: list[Page] = []
    new_tag = tuple.__new__  # Tag(…) goes through one more Python call, half of a tag's price
    with open_binary(path) as file:
        is_big = 43 in file.read(0, 4, "a TIFF header")
        for page in read_pages(file, with_inner=True):
            pages[1:] = [page]  # the first and the last will do
            container, fields = str(page), page.fields
            for slot in page.slots:
                field, decode = fields[slot.place], slot.decode
                value = field if decode is None else decode(field)
                yield new_tag(Tag, (container, slot.name, value, slot.type))
    description = _text(pages[0], _DESCRIPTION)
    imagej, root = imagej_info(description), parse_ome(path, description)
    yield from (Tag("imagej", key, value, "text") for key, value in imagej.items())
    if root is not None:
        yield from ome_tags(path, root)
    facts = {
        "byteorder": pages[0].byte_order,
        "pages_count": 1 + pages[-1].index,
        "is_bigtiff": is_big,
        "is_imagej": bool(imagej),
        "is_ome": root is not None,
    }
    facts |= {f"is_{maker}": not pages[0].entries.keys().isdisjoint(own) for maker, own in _MAKERS.items()}
    yield from (Tag("derived", name, fact, "derived") for name, fact in facts.items())


def open_volumes(paths: Sequence[str]) -> list[SourceVolume]:
    """The volumes of these files: one each, or one for each channel, time and OME image, named `<stem>_c0_t0`.

    Several files with one 2-D image each are one volume of slices, in the order given; where OME-XML gives each its z,
    in that one, and a volume for each channel and time. Thumbnails and masks among the pages are left out. Uncompressed
    strips are read row by row; of other pages the strips and tiles that are asked for are decoded, the last 256 MB
    kept.

    Raises
    ------
    UnsupportedDataError
        Colour, complex or 1-bit pixels.
    FormatError
        No TIFF; a page or strip that is missing or outside the file; pages that differ in shape or data type.
    """
    opened = [one for path in paths for one in _open_file(path)]
    items: dict[tuple[int, int], list[tuple[Stack, SourceVolume]]] = {}
    for stack, volume in opened:
        items.setdefault(stack.at[1:], []).append((stack, volume))
    if len(opened) > len(paths):  # a file of several volumes holds no slices of another's
        return stack_or_separate([volume for _, volume in opened])
    in_order = [sorted(item, key=lambda one: one[0].at[0]) for item in items.values()]
    return with_distinct_names(
        [volume for item in in_order for volume in stack_or_separate([volume for _, volume in item])]
    )


def witnesses(tags: Iterable[Tag]) -> Iterator[Witness]:
    """What one file's tags say, of its first volume where it holds several."""
    pages: dict[str, dict[str, Any]] = {}
    described: dict[str, dict[str, Any]] = {"imagej": {}, "ome": {}}
    for tag in tags:
        if tag.container in described:
            described[tag.container][tag.path] = tag.value
        elif tag.container.startswith("page "):
            pages.setdefault(tag.container, {})[tag.path] = tag.value
    first = pages.get("page 0")
    if first is None:
        return
    yield from voxel_witnesses(first, described["imagej"], described["ome"])
    yield from _page_witnesses(first)
    depth, locator = _depth(pages, described["imagej"], described["ome"])
    if depth > 1:
        shape = [depth, first.get("ImageLength"), first.get("ImageWidth")]
        yield Witness("shape_zyx", shape, None, f"{locator}; page 0: ImageLength, ImageWidth", str(shape))
    date = described["ome"].get("Image.0.AcquisitionDate.0")
    if date:
        yield Witness("acquired_at", date, None, "ome: Image.0.AcquisitionDate.0", date)


@dataclass(frozen=True)
class _File:
    """One file's pages and descriptions, checked and closed."""

    path: str
    pages: list[Page]
    pixels: dict[int, PagePixels]
    imagej: dict[str, str]
    ome: dict[str, Any]
    stacks: list[Stack]


def _open_file(path: str) -> list[tuple[Stack, SourceVolume]]:
    with open_binary(path) as file:
        pages = list(read_pages(file))
        opened = _described(path, pages)
        pixels = _checked_pixels(file, opened)
    decoded = DecodedPages(path)
    stem = file_name(path).rsplit(".", 1)[0].removesuffix(".ome")
    opened = replace(opened, pixels=pixels)
    return [(stack, _volume(opened, stack, stem + stack.suffix, decoded)) for stack in opened.stacks]


def _described(path: str, pages: list[Page]) -> _File:
    description = _text(pages[0], _DESCRIPTION)
    imagej = imagej_info(description)
    root = parse_ome(path, description)
    ome = {} if root is None else {tag.path: tag.value for tag in ome_tags(path, root)}
    stacks = [] if root is None else ome_stacks(path, file_name(path), root, len(pages))
    if not stacks and imagej:
        stacks = imagej_stacks(path, imagej, len(pages))
    return _File(path, pages, {}, imagej, ome, stacks or [Stack("", _ordinary_pages(pages))])


def _ordinary_pages(pages: list[Page]) -> tuple[int, ...]:
    """All but reduced images and masks; a file of nothing else is taken as it is."""
    kept = tuple(page.index for page in pages if not _subfile_type(page) & (_REDUCED | _MASK))
    return kept or tuple(page.index for page in pages)


def _checked_pixels(file: BinaryFile, opened: _File) -> dict[int, PagePixels]:
    """Pixels of every page that a volume uses, alike within a volume and inside the file."""
    if len(opened.pages) == 1 and max(stack.last_plane for stack in opened.stacks) > 0:
        return _planes_behind_one_page(file, opened)
    pixels: dict[int, PagePixels] = {}
    for stack in opened.stacks:
        for place in stack.planes:
            page = opened.pages[place]
            pixels[place] = page_pixels(file, page)
            first = pixels[stack.planes[0]]
            if (pixels[place].shape_yx, pixels[place].dtype) != (first.shape_yx, first.dtype):
                raise FormatError(
                    f"{file.path}: pages of one volume must agree: page {first.index} is {first.shape_yx} (y, x) "
                    f"{first.dtype.name}, {page} is {pixels[place].shape_yx} {pixels[place].dtype.name}"
                )
    return pixels


def _planes_behind_one_page(file: BinaryFile, opened: _File) -> dict[int, PagePixels]:
    """ImageJ writes stacks above 4 GB with one page, and the planes one behind the other from its first strip."""
    first = page_pixels(file, opened.pages[0])
    n_planes = 1 + max(stack.last_plane for stack in opened.stacks)
    if not first.is_contiguous:
        raise UnsupportedDataError(f"{file.path}: {n_planes} planes behind one page can be read only if uncompressed")
    end = int(first.offsets[0]) + n_planes * first.size_bytes
    if end > file.size:
        raise FormatError(
            f"{file.path}: {n_planes} planes up to byte {end} expected by the description, the file has {file.size}: "
            "it is cut short; fetch it again"
        )
    if n_planes > MAX_PLANES:
        raise UnsupportedDataError(
            f"{file.path}: at most {MAX_PLANES} planes behind one page expected, found {n_planes}"
        )
    return {
        plane: replace(first, index=plane, offsets=first.offsets + plane * first.size_bytes)
        for plane in range(n_planes)
    }


def _volume(opened: _File, stack: Stack, name: str, decoded: DecodedPages) -> SourceVolume:
    planes = [opened.pixels[place] for place in stack.planes]
    height, width = planes[0].shape_yx
    dtype = planes[0].dtype.newbyteorder("=")

    def read(start_zyx: ZYX, shape_zyx: ZYX) -> NDArray[Any]:
        out = np.empty(shape_zyx, dtype)
        read_into(start_zyx, out)
        return out

    def read_into(start_zyx: ZYX, out: NDArray[Any]) -> None:
        chosen = planes[start_zyx[0] : start_zyx[0] + out.shape[0]]
        _read_planes(opened.path, chosen, start_zyx[1:], out, decoded)

    size = _voxel_size_zyx_nm(voxel_witnesses(opened.pages[0].values, opened.imagej, opened.ome, stack.image))
    chunks = (1, *planes[0].segment_yx)
    level = SourceLevel((len(planes), height, width), size, read, chunk_shape_zyx=chunks, read_into=read_into)
    compressor = compression_name(planes[0].compression)
    return SourceVolume(name, NAME, dtype, (level,), (opened.path,), compressor=compressor)


def _read_planes(
    path: str,
    planes: Sequence[PagePixels],
    start_yx: tuple[int, int],
    out: NDArray[Any],
    decoded: DecodedPages,
) -> None:
    with open_binary(path) as file:
        for plane, pixels in zip(out, planes, strict=True):
            if pixels.is_plain:
                read_plain_box(file, pixels, start_yx, plane)
            else:
                plane[...] = decoded.read_box(pixels, start_yx, (plane.shape[0], plane.shape[1]))


def _voxel_size_zyx_nm(found: Sequence[Witness]) -> PartialFloatZYX:
    sizes = {witness.field: to_nm(witness.value, witness.unit) for witness in found}
    return (sizes.get("voxel_size_z_nm"), sizes.get("voxel_size_y_nm"), sizes.get("voxel_size_x_nm"))


def _page_witnesses(page: Mapping[str, Any]) -> Iterator[Witness]:
    numbers = {name: value for name, value in page.items() if isinstance(value, int)}
    kind, bits = _SAMPLE_KINDS.get(numbers.get("SampleFormat", 1)), numbers.get("BitsPerSample")
    if kind and bits:
        yield Witness("dtype", f"{kind}{bits}", None, "page 0: BitsPerSample, SampleFormat", str(bits))
    yield from _chunk_witness(numbers)
    compressor = compression_name(numbers.get("Compression", 1))
    if compressor:
        yield Witness("source_compressor", compressor, None, "page 0: Compression", str(numbers["Compression"]))
    model = page.get("Model")
    if isinstance(model, str) and model:
        yield Witness("instrument", model, None, "page 0: Model", model)


def _chunk_witness(numbers: Mapping[str, int]) -> Iterator[Witness]:
    width, length = numbers.get("ImageWidth"), numbers.get("ImageLength")
    if "TileWidth" in numbers and "TileLength" in numbers:
        chunk = [1, numbers["TileLength"], numbers["TileWidth"]]
        yield Witness("source_chunks", chunk, None, "page 0: TileLength, TileWidth", str(chunk))
    elif width is not None and length is not None:
        chunk = [1, min(numbers.get("RowsPerStrip", length), length), width]
        yield Witness("source_chunks", chunk, None, "page 0: RowsPerStrip, ImageWidth", str(chunk))


def _depth(
    pages: Mapping[str, Mapping[str, Any]], imagej: Mapping[str, Any], ome: Mapping[str, Any]
) -> tuple[int, str]:
    """Number of slices of the first volume, and where it stands."""
    stated = ome.get("Image.0.Pixels.0.SizeZ")
    if isinstance(stated, str) and stated.isdecimal():
        return int(stated), "ome: Image.0.Pixels.0.SizeZ"
    try:
        stacks = imagej_stacks("", imagej, len(pages)) if imagej else []
    except EMAssetsError:
        return 0, ""  # pages are missing: opening the file says so
    if stacks:
        return len(stacks[0].planes), "imagej: slices"
    kinds = [page.get("NewSubfileType", 0) for page in pages.values()]
    kept = [kind for kind in kinds if not (isinstance(kind, int) and kind & (_REDUCED | _MASK))]
    return len(kept or kinds), "pages"


def _text(page: Page, number: int) -> str | None:
    value = page.value(number)
    return value if isinstance(value, str) else None


def _subfile_type(page: Page) -> int:
    value = page.value(_SUBFILE_TYPE)
    return value if isinstance(value, int) else 0
