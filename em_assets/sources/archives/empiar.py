"""EMPIAR: the answer of its REST API for one entry, `{"EMPIAR-<number>": {…}}`."""

import re
from collections.abc import Iterator

from em_assets.errors import FormatError
from em_assets.sources.archives.prose import witnesses_of_prose
from em_assets.sources.archives.record import (
    ArchiveWitness,
    Node,
    load_json,
    said,
    said_date,
    said_names,
    said_text,
    shortened,
)

_ENTRY = re.compile(r"EMPIAR-\d+")
_BYTES = re.compile(r"\s*(\d{1,15}(?:\.\d{1,6})?)\s*([A-Za-z]{1,9})\s*")
_STACKS = ("reconstructed volumes",)
"""Categories whose images are the slices of a volume: of others the number of images is no z."""

_TYPES = {
    "UNSIGNED BYTE": "uint8",
    "SIGNED BYTE": "int8",
    "UNSIGNED 16 BIT INTEGER": "uint16",
    "SIGNED 16 BIT INTEGER": "int16",
    "UNSIGNED 32 BIT INTEGER": "uint32",
    "SIGNED 32 BIT INTEGER": "int32",
    "32 BIT FLOAT": "float32",
    "64 BIT FLOAT": "float64",
}
_SEEN_TYPES = ("UNSIGNED BYTE",)


def witnesses(path: str, document: bytes) -> Iterator[ArchiveWitness]:
    """What the entry says of the dataset; where it has several image sets, each speaks of its folder.

    Raises
    ------
    FormatError
        No JSON, or no entry of EMPIAR.
    """
    entry = _entry(path, load_json(path, document))
    yield from said_text("title", entry.get("title"))
    authors = entry.get("authors")
    yield from said_names("authors", [_author_name(node) for node in authors.nodes()], authors)
    yield from said_text("technique", entry.get("experiment_type"))
    yield from said_text("sample_type", entry.get("scale"))
    yield from said_text("doi", entry.get("entry_doi"))
    yield from said_date("deposited_on", entry.get("deposition_date"))
    yield from said_date("released_on", entry.get("release_date"))
    yield from _size(entry.get("dataset_size"))
    for citation in entry.get("citation").nodes():
        yield from said("citation", citation, _citation(citation))
    image_sets = entry.get("imagesets").nodes()
    for image_set in image_sets:
        folder = image_set.get("directory").text() or image_set.get("name").text() or image_set.pointer
        yield from _of_image_set(image_set, folder if len(image_sets) > 1 else None)


def _entry(path: str, record: Node) -> Node:
    entries = [node for key, node in record.items() if _ENTRY.fullmatch(key) and isinstance(node.value, dict)]
    if len(entries) != 1:
        found = shortened(record.raw, 120)
        raise FormatError(f'{path}: one entry {{"EMPIAR-<number>": {{…}}}} expected, found {len(entries)} in {found}')
    return entries[0]


def _author_name(node: Node) -> Node:
    inner = node.get("author")
    return (inner if not inner.is_empty else node).get("name")


def _size(node: Node) -> Iterator[ArchiveWitness]:
    """`1.2 GB` is rounded, and the unit is the archive's own: both are kept as written."""
    match = _BYTES.fullmatch(node.text() or "")
    if match is None:
        yield from said("source_bytes", node, node.whole(), "B" if node.whole() else None, is_unconfirmed=True)
        return
    yield from said("source_bytes", node, float(match[1]), match[2])


def _citation(node: Node) -> str | None:
    """Authors, title, journal, year and DOI in one line; the paper's DOI is not the data's."""
    authors = ", ".join(name for author in node.get("authors").nodes() if (name := _author_name(author).text()))
    year = node.get("year").whole()
    parts = [authors, node.get("title").text(), node.get("journal").text(), str(year) if year else None]
    doi = node.get("doi").text()
    written = [part.rstrip(".") for part in (*parts, f"doi:{doi}" if doi else None) if part]
    return ". ".join(written) or None


def _of_image_set(node: Node, volume: str | None) -> Iterator[ArchiveWitness]:
    details = node.get("details")
    yield from said_text("description", details, volume=volume)
    yield from _shape(node, volume)
    for axis, key in (("y", "pixel_height"), ("x", "pixel_width")):
        # The API gives no unit beside them: what 80 means is for the evidence to say.
        yield from said(f"voxel_size_{axis}_nm", node.get(key), node.get(key).number(), volume=volume)
    word = node.get("voxel_type").text()
    yield from said(
        "dtype",
        node.get("voxel_type"),
        _TYPES.get((word or "").upper(), word),
        volume=volume,
        is_unconfirmed=word not in _SEEN_TYPES,
    )
    yield from witnesses_of_prose(details, volume)


def _shape(node: Node, volume: str | None) -> Iterator[ArchiveWitness]:
    keys = ("num_images_or_tilt_series", "image_height", "image_width")
    parts = {key: node.get(key) for key in keys}
    sizes = [part.whole() for part in parts.values()]
    together = Node({key: part.value for key, part in parts.items()}, node.pointer)
    if all(part.is_empty for part in parts.values()):
        return
    is_stack = node.get("category").text() in _STACKS
    if not all(sizes):
        yield from said("shape_zyx", together, None, volume=volume)
    elif is_stack and sizes[0] != 1:
        yield from said("shape_zyx", together, sizes, volume=volume)
