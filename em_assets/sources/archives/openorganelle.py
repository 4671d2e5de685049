"""OpenOrganelle: a dataset's `metadata.json`, and its `manifest.json`, which holds that and its sources' addresses."""

from collections.abc import Iterator

from em_assets.errors import FormatError
from em_assets.sources.archives.record import (
    ArchiveWitness,
    Node,
    load_json,
    said,
    said_axes,
    said_date,
    said_text,
    shortened,
)

_CONTENTS = {"em": "em", "segmentation": "labels"}
"""Predictions and analyses are neither images nor labels: nothing is said of them."""


def witnesses(path: str, document: bytes) -> Iterator[ArchiveWitness]:
    """What the record says of the dataset and, in a manifest, of each source under its address.

    Raises
    ------
    FormatError
        No JSON, or none of the two records.
    """
    record = load_json(path, document)
    inner = record.get("metadata")
    metadata = inner if isinstance(inner.value, dict) else record
    if not any(isinstance(metadata.get(key).value, dict) for key in ("imaging", "sample")):
        raise FormatError(
            f"{path}: a dataset's record with `imaging` and `sample` expected, found {shortened(record.raw, 120)}"
        )
    yield from _of_dataset(metadata)
    yield from _of_sample(metadata.get("sample"))
    yield from _of_imaging(metadata.get("imaging"))
    for _, source in record.get("sources").items():
        yield from _of_source(source)


def _of_dataset(node: Node) -> Iterator[ArchiveWitness]:
    yield from said_text("title", node.get("title"))
    dois = node.get("DOI").nodes()
    of_images = [doi for doi in dois if doi.get("title").text() == "EM"] or (dois if len(dois) == 1 else [])
    for doi in of_images:
        yield from said_text("doi", doi.get("href"))
    publications = node.get("publications")
    papers = [f"{one.get('title').text() or ''} {one.get('href').text() or ''}".strip() for one in publications.nodes()]
    yield from said("citation", publications, "; ".join(paper for paper in papers if paper) or None)


def _of_sample(node: Node) -> Iterator[ArchiveWitness]:
    yield from said_text("description", node.get("description"))
    yield from said("organism", node.get("organism"), _only(node.get("organism")))
    yield from said("sample", node.get("subtype"), _only(node.get("subtype")))
    yield from said("sample_type", node.get("type"), _only(node.get("type")))


def _of_imaging(node: Node) -> Iterator[ArchiveWitness]:
    spacing = node.get("gridSpacing")
    yield from said_axes(spacing.get("values"), spacing.get("unit").text())
    dimensions = node.get("dimensions")
    sizes = [dimensions.get("values", axis).number() for axis in "zyx"]
    if not dimensions.is_empty:
        extent = sizes if all(size is not None for size in sizes) else None
        yield from said("extent_zyx_nm", dimensions, extent, dimensions.get("unit").text())
    yield from said_date("acquired_at", node.get("startDate"))
    energy = node.get("primaryEnergy")
    number = energy.number()
    # No unit stands beside it: 900 and 1200 can only be electronvolts, so it is read as such and marked.
    volts = number / 1000 if number and number > 0 else None
    yield from said("accelerating_voltage_kv", energy, volts, "kV", is_unconfirmed=True)


def _of_source(node: Node) -> Iterator[ArchiveWitness]:
    place = node.get("url").text()
    if place is None:
        return
    transform = node.get("transform")
    axes, units, scale = (transform.get(key) for key in ("axes", "units", "scale"))
    for index, axis in enumerate(axes.nodes_of_text()):
        if axis in ("z", "y", "x"):
            number = scale.get(index).number()
            size = None if number is None else abs(number)  # a flipped axis has its length all the same
            unit = units.get(index).text()
            yield from said(f"voxel_size_{axis}_nm", scale.get(index), size, unit, volume=place)
    content = node.get("contentType")
    if content.text() in _CONTENTS:
        yield from said("content", content, _CONTENTS[content.text() or ""], volume=place)
    inverted = node.get("displaySettings", "invertLUT")
    if content.text() == "em" and inverted.value is True:
        # The viewer is told to invert: what that says of the stored voxels is not written.
        yield from said("contrast_polarity", inverted, None, volume=place)


def _only(node: Node) -> str | None:
    """The one word of a list of one; of several none is the dataset's."""
    words = (
        {word for one in node.value if (word := Node(one).text())} if isinstance(node.value, list) else {node.text()}
    )
    return words.pop() if len(words) == 1 else None
