"""Which pages of a TIFF make which volume, and how large a voxel is: by ImageJ, by OME-XML, or by the pages alone."""

import math
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from em_assets.errors import FormatError
from em_assets.formats.tiff_makers import maker_sizes
from em_assets.model import Tag, Witness
from em_assets.units import is_length, to_nm

MAX_XML_DEPTH = 64

MAX_XML_PARTS = 2_000_000
"""Elements and attributes; OME-XML has some ten a plane. A tree of more would not fit in memory."""

MAX_INFO_LETTERS = 1_000_000
"""ImageJ's lines end long before."""

MAX_ITEMS = 10_000
"""Volumes of one file: channels × times."""

OME_LENGTH_UNIT = "µm"
"""What the OME schema says of a physical size without a unit."""

_COARSEST_NM = 1000
"""25,400 dots per inch are beyond every screen, printer and scanner, for which programs write a resolution."""

_RESOLUTION_UNITS = {2: "inch", 3: "cm"}
_PIXELS = "Image.{}.Pixels.0"


@dataclass(frozen=True)
class Stack:
    """The planes of one volume, in z order, as places in the chain of pages.

    `image` is its place in the OME-XML; `at` is what z, channel and time that gives the first plane.
    """

    suffix: str
    planes: Sequence[int]
    image: int = 0
    at: tuple[int, int, int] = (0, 0, 0)

    @property
    def last_plane(self) -> int:
        """The largest of the places; a range, which may be a mere claim of many, is not walked for it."""
        return self.planes[-1] if isinstance(self.planes, range) else max(self.planes)


def imagej_info(description: str | None) -> dict[str, str]:
    """ImageJ's key=value lines; empty for any other description."""
    if not description or not description.startswith("ImageJ="):
        return {}
    pairs = (line.partition("=") for line in description[:MAX_INFO_LETTERS].splitlines())
    return {key.strip(): value.strip() for key, equals, value in pairs if equals}


def imagej_stacks(path: str, info: Mapping[str, str], n_pages: int) -> list[Stack]:
    """The volumes of an ImageJ stack: one for each channel and time; channels run fastest, then z, then time.

    Raises
    ------
    FormatError
        Fewer pages than the description promises, or more volumes than any honest file has.
    """
    n_images = _whole(info.get("images"), 1)
    if 1 < n_pages < n_images:
        raise FormatError(
            f"{path}: {n_images} images expected by ImageJ's description, found {n_pages} pages: cut short; fetch again"
        )
    if n_pages > n_images:  # pages were added behind ImageJ's back: its description says nothing of them
        return [Stack("", range(n_pages))]
    c, t = _whole(info.get("channels"), 1), _whole(info.get("frames"), 1)
    z = _whole(info.get("slices"), n_images if c * t == 1 else 1)
    if c * z * t != n_images:
        return [Stack("", range(n_images))]
    if c * t > MAX_ITEMS:
        raise FormatError(f"{path}: at most {MAX_ITEMS} channels × times expected, found {c} × {t}")
    return [
        Stack(_suffix(c, ci, t, ti), range(ti * z * c + ci, (ti + 1) * z * c, c)) for ti in range(t) for ci in range(c)
    ]


def parse_ome(path: str, description: str | None) -> ET.Element | None:
    """The OME-XML of a description; None for any other text.

    Raises
    ------
    FormatError
        XML that is damaged, declares entities, or is nested without end.
    """
    text = (description or "").lstrip("\ufeff \t\r\n")
    if not text.startswith("<") or "<OME" not in text.replace("<ome:OME", "<OME"):
        return None
    n_parts = text.count("<") + text.count("=")
    if n_parts > MAX_XML_PARTS:
        raise FormatError(f"{path}: OME-XML of at most {MAX_XML_PARTS} parts expected, found {n_parts}")
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise FormatError(f"{path}: OME-XML without a DOCTYPE expected, found one: entities are not expanded")
    try:
        root = ET.fromstring(text.encode("utf-8") if not text.startswith("<?xml") else _without_declaration(text))
    except ET.ParseError as error:
        raise FormatError(f"{path}: the OME-XML is damaged: {error}") from error
    return root if _local(root.tag) == "OME" else None


def ome_tags(path: str, root: ET.Element) -> Iterator[Tag]:
    """Every attribute and text of the OME-XML: `Image.0.Pixels.0.SizeX`, elements counted among those of their name."""
    open_elements = [(root, "")]
    while open_elements:
        element, prefix = open_elements.pop()
        if prefix.count(".") > 2 * MAX_XML_DEPTH:
            raise FormatError(f"{path}: OME-XML of at most {MAX_XML_DEPTH} levels expected, found {prefix[:80]}…")
        dot = f"{prefix}." if prefix else ""
        for key, value in element.attrib.items():
            yield Tag("ome", dot + _local(key), value, "attribute")
        if element.text and element.text.strip():
            yield Tag("ome", prefix, element.text.strip(), "text")
        counts: dict[str, int] = {}
        children = []
        for child in element:
            name = _local(child.tag)
            children.append((child, f"{dot}{name}.{counts.get(name, 0)}"))
            counts[name] = counts.get(name, 0) + 1
        open_elements.extend(reversed(children))


def ome_stacks(path: str, name: str, root: ET.Element, n_pages: int) -> list[Stack]:
    """The volumes of an OME-TIFF: one for each image, channel and time. Planes in other files stay there.

    Raises
    ------
    FormatError
        A plane is missing or outside the file's pages, or the sizes are no whole numbers.
    """
    images = [element for element in root if _local(element.tag) == "Image"]
    stacks = []
    for number, image in enumerate(images):
        pixels = next((element for element in image if _local(element.tag) == "Pixels"), None)
        if pixels is None:
            continue
        prefix = f"_i{number}" if len(images) > 1 else ""
        stacks += [
            replace(stack, suffix=prefix + stack.suffix, image=number)
            for stack in _pixels_stacks(path, name, root, pixels, n_pages)
        ]
    return stacks


def voxel_witnesses(
    page: Mapping[str, Any], imagej: Mapping[str, str], ome: Mapping[str, Any], image: int = 0
) -> list[Witness]:
    """What a file says of its voxel size; `ome` are the OME-XML's tags by path.

    A resolution that a screen or printer could have says how large to show the image, and nothing of the specimen.
    """
    found = _ome_sizes(ome, image) or _imagej_sizes(page, imagej) or maker_sizes(page) or _resolution_sizes(page)
    return [witness for witness in found if to_nm(witness.value, witness.unit) is not None]


def _pixels_stacks(path: str, name: str, root: ET.Element, pixels: ET.Element, n_pages: int) -> list[Stack]:
    z, c, t = (_ome_size(path, pixels, f"Size{axis}") for axis in "ZCT")
    entries = [element for element in pixels if _local(element.tag) == "TiffData"]
    own = [entry for entry in entries if _is_own(entry, entries, root.get("UUID"), name)]
    if not entries and c * z * t > n_pages:
        raise FormatError(f"{path}: {c * z * t} planes (z × c × t) expected by the OME-XML, found {n_pages} pages")
    places = _plane_places(path, pixels, own, (z, c, t), n_pages) if entries else _in_order(pixels, (z, c, t))
    is_all_here = len(own) == len(entries)
    if is_all_here and len(places) < z * c * t:
        every = ((zi, ci, ti) for ti in range(t) for ci in range(c) for zi in range(z))
        zi, ci, ti = next(at for at in every if at not in places)
        raise FormatError(f"{path}: plane z {zi}, c {ci}, t {ti} expected by the OME-XML, found no page for it")
    items: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for (zi, ci, ti), place in sorted(places.items()):
        items.setdefault((ti, ci), []).append((zi, place))
    return [
        Stack(_suffix(c, ci, t, ti), tuple(place for _, place in here), at=(here[0][0], ci, ti))
        for (ti, ci), here in sorted(items.items())
    ]


def _plane_places(
    path: str, pixels: ET.Element, entries: list[ET.Element], sizes: tuple[int, int, int], n_pages: int
) -> dict[tuple[int, int, int], int]:
    order = pixels.get("DimensionOrder", "XYZCT")
    n_planes = math.prod(sizes)
    places: dict[tuple[int, int, int], int] = {}
    n_named = 0
    for entry in entries:
        first = tuple(_whole(entry.get(f"First{axis}"), 0) for axis in "ZCT")
        start = _rank(order, sizes, (first[0], first[1], first[2]))
        ifd = _whole(entry.get("IFD"), 0)
        whole = n_planes - start if entry.get("IFD") is None else 1
        count = _whole(entry.get("PlaneCount"), whole)
        if ifd + count > n_pages or start + count > n_planes:
            raise FormatError(
                f"{path}: the OME-XML expects {count} planes from page {ifd} on, of {n_planes}; found {n_pages} pages"
            )
        n_named += count
        if n_named > 4 * n_pages + MAX_ITEMS:
            raise FormatError(f"{path}: the OME-XML names the {n_pages} pages over and over")
        for step in range(count):
            places[_unrank(order, sizes, start + step)] = ifd + step
    return places


def _in_order(pixels: ET.Element, sizes: tuple[int, int, int]) -> dict[tuple[int, int, int], int]:
    order = pixels.get("DimensionOrder", "XYZCT")
    return {_unrank(order, sizes, place): place for place in range(math.prod(sizes))}


def _axes_by_speed(order: str) -> list[int]:
    """Places in (z, c, t) of the three axes, fastest first."""
    axes = ["ZCT".index(axis) for axis in order[2:] if axis in "ZCT"]
    return axes if sorted(axes) == [0, 1, 2] else [0, 1, 2]


def _rank(order: str, sizes: tuple[int, int, int], at: tuple[int, int, int]) -> int:
    rank, step = 0, 1
    for axis in _axes_by_speed(order):
        rank += at[axis] * step
        step *= sizes[axis]
    return rank


def _unrank(order: str, sizes: tuple[int, int, int], rank: int) -> tuple[int, int, int]:
    at = [0, 0, 0]
    for axis in _axes_by_speed(order):
        rank, at[axis] = divmod(rank, sizes[axis])
    return (at[0], at[1], at[2])


def _is_own(entry: ET.Element, entries: list[ET.Element], own_uuid: str | None, name: str) -> bool:
    """Whether a TiffData means this file: by UUID, by name, or because all mean one and the same file."""
    uuid = _uuid(entry)
    if uuid is None or (uuid.text or "").strip() == own_uuid or uuid.get("FileName") == name:
        return True
    others = {None if (other := _uuid(item)) is None else (other.text or "").strip() for item in entries}
    return len(others) == 1 and own_uuid is None


def _uuid(entry: ET.Element) -> ET.Element | None:
    return next((element for element in entry if _local(element.tag) == "UUID"), None)


def _ome_size(path: str, pixels: ET.Element, name: str) -> int:
    text = pixels.get(name)
    size = _whole(text, 0)
    if not 1 <= size <= 1 << 24:
        raise FormatError(f"{path}: {name} of 1 or more expected in the OME-XML, found {text!r}")
    return size


def _ome_sizes(ome: Mapping[str, Any], image: int) -> list[Witness]:
    prefix = _PIXELS.format(image)
    found = []
    for axis in "XYZ":
        path = f"{prefix}.PhysicalSize{axis}"
        size = _number(ome.get(path))
        if size is not None:
            unit = ome.get(f"{path}Unit", OME_LENGTH_UNIT)
            found.append(Witness(f"voxel_size_{axis.lower()}_nm", size, unit, f"ome: {path}", str(ome[path])))
    return found


def _imagej_sizes(page: Mapping[str, Any], info: Mapping[str, str]) -> list[Witness]:
    unit = info.get("unit", "")
    if not is_length(unit):
        return []
    found = []
    for axis, tag in (("x", "XResolution"), ("y", "YResolution")):
        size = _pixel_size(page.get(tag))
        if size is not None and unit in _RESOLUTION_UNITS.values() and _is_for_show(size, unit):
            return []  # ImageJ takes inch and cm over from a resolution, and its spacing is in the same unit
        if size is not None:
            raw = "/".join(str(part) for part in page[tag])
            found.append(Witness(f"voxel_size_{axis}_nm", size, info.get(f"{axis}unit", unit), f"page 0: {tag}", raw))
    spacing = _number(info.get("spacing"))
    if spacing is not None:
        zunit = info.get("zunit", unit)
        found.append(Witness("voxel_size_z_nm", spacing, zunit, "imagej: spacing", info["spacing"]))
    return found


def _resolution_sizes(page: Mapping[str, Any]) -> list[Witness]:
    number = page.get("ResolutionUnit", 2)
    unit = _RESOLUTION_UNITS.get(number) if isinstance(number, int) else None
    found = []
    for axis, tag in (("x", "XResolution"), ("y", "YResolution")):
        size = _pixel_size(page.get(tag))
        if size is None or _is_for_show(size, unit):
            continue
        raw = "/".join(str(part) for part in page[tag])
        found.append(Witness(f"voxel_size_{axis}_nm", size, unit, f"page 0: {tag}", raw))
    return found


def _is_for_show(size: float, unit: str | None) -> bool:
    """Whether a resolution's pixel is a screen's or a printer's, or nobody knows of what."""
    size_nm = to_nm(size, unit)
    return size_nm is None or size_nm > _COARSEST_NM


def _pixel_size(resolution: Any) -> float | None:
    """Units a pixel from pixels a unit, as [numerator, denominator]; None where either is 0."""
    if (
        not isinstance(resolution, list)
        or len(resolution) != 2
        or not all(isinstance(part, int) for part in resolution)
    ):
        return None
    numerator, denominator = resolution
    return denominator / numerator if numerator and denominator else None


def _suffix(c: int, ci: int, t: int, ti: int) -> str:
    return (f"_c{ci}" if c > 1 else "") + (f"_t{ti}" if t > 1 else "")


def _without_declaration(text: str) -> bytes:
    """The declared encoding was the file's; the text is decoded already."""
    return re.sub(r"^<\?xml.*?\?>", "", text, count=1, flags=re.DOTALL).encode("utf-8")


def _local(name: str) -> str:
    return name.rsplit("}", 1)[-1]


def _whole(text: str | None, default: int) -> int:
    return int(text) if text and re.fullmatch(r"[0-9]{1,9}", text.strip()) else default


def _number(text: Any) -> float | None:
    try:
        return float(text)
    except (TypeError, ValueError):
        return None
