"""The cryoET data portal: the JSON beside each dataset, run, tilt series, tomogram and annotation (schema v1.1.0).

Spacings are ångström, voltages volt; the schema says so, the documents do not.
"""

from collections.abc import Iterator
from pathlib import PurePosixPath

from em_assets.errors import FormatError
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

_MASKS = ("SegmentationMask", "InstanceSegmentationMask", "InstanceSegmentation")
_SAMPLE_KEYS = ("tissue", "cell_type", "cell_strain", "cell_component")


def witnesses(path: str, document: bytes) -> Iterator[ArchiveWitness]:
    """What a document says: of the dataset, or of the folder or file in the portal's tree that it describes.

    Documents of other names (configurations of viewers, alignments, points) say nothing of our fields.

    Raises
    ------
    FormatError
        No JSON, or not what its name promises.
    """
    name = PurePosixPath(path).name.casefold()
    if not name.endswith(".json"):
        return
    record = load_json(path, document)
    of_name = {
        "dataset_metadata.json": ("dataset_title", _dataset),
        "run_metadata.json": ("run_name", _run),
        "tomogram_metadata.json": ("voxel_spacing", _tomogram),
        "tiltseries_metadata.json": ("microscope", _tilt_series),
        "frames_metadata.json": ("frames", _frames),
    }.get(name)
    if of_name is not None:
        key, read = of_name
        if record.get(key).is_empty:
            raise FormatError(f"{path}: an object with {key!r} expected, found {shortened(record.raw, 120)}")
        yield from read(record)
    elif not record.get("annotation_object").is_empty:
        yield from _annotation(record)


def _dataset(record: Node) -> Iterator[ArchiveWitness]:
    yield from said_text("title", record.get("dataset_title"))
    yield from said_text("description", record.get("dataset_description"))
    yield from _authors(record, None)
    yield from _dates(record, None)
    yield from said_text("organism", record.get("organism", "name"))
    yield from said(
        "organism_taxon", record.get("organism", "taxonomy_id"), record.get("organism", "taxonomy_id").whole()
    )
    yield from said_text("sample_type", record.get("sample_type"))
    names = [record.get(key, "name") for key in _SAMPLE_KEYS]
    for name in [name for name in names if not name.is_empty][:1]:
        yield from said_text("sample", name)
    yield from said_text("citation", record.get("cross_references", "publications"))
    yield from said_text("citation", record.get("cross_references", "dataset_citations"))


def _run(record: Node) -> Iterator[ArchiveWitness]:
    yield from said_text("run_name", record.get("run_name"))


def _tomogram(record: Node) -> Iterator[ArchiveWitness]:
    place = record.get("omezarr_dir").text() or record.get("mrc_files", 0).text() or record.get("mrc_file").text()
    spacing = record.get("voxel_spacing")
    for axis in "zyx":
        yield from said(f"voxel_size_{axis}_nm", spacing, spacing.number(), "angstrom", volume=place)
    yield from _shape(record.get("size"), place)
    scales = record.get("scales").nodes()
    if scales and record.get("omezarr_dir").text():
        yield from said("source_n_levels", record.get("scales"), len(scales), volume=place)
    yield from _authors(record, place)
    yield from _dates(record, place)


def _tilt_series(record: Node) -> Iterator[ArchiveWitness]:
    """The microscope is that of everything in the run; size and spacing are the tilt series' own."""
    place = record.get("omezarr_dir").text() or record.get("mrc_file").text()
    run = place.split("/TiltSeries", 1)[0] if place and "/TiltSeries" in place else place
    microscope = record.get("microscope")
    words = [microscope.get(key).text() for key in ("manufacturer", "model")]
    yield from said("instrument", microscope, " ".join(word for word in words if word) or None, volume=run)
    voltage = record.get("acceleration_voltage")
    volts = voltage.number()
    kilovolts = volts / 1000 if volts and volts > 0 else None
    yield from said("accelerating_voltage_kv", voltage, kilovolts, "kV", volume=run)
    spacing = record.get("pixel_spacing")
    for axis in "yx":
        yield from said(f"voxel_size_{axis}_nm", spacing, spacing.number(), "angstrom", volume=place)
    yield from _shape(record.get("size"), place)


def _frames(record: Node) -> Iterator[ArchiveWitness]:
    frames = record.get("frames")
    paths = [path for node in frames.nodes() if (path := node.get("path").text())]
    folders = {PurePosixPath(path).parent.as_posix() for path in paths}
    if len(folders) == 1:
        yield from said("n_files", frames, len(paths), volume=folders.pop())


def _annotation(record: Node) -> Iterator[ArchiveWitness]:
    files = [node for node in record.get("files").nodes() if node.get("shape").text() in _MASKS]
    for node in files:
        place = node.get("path").text()
        if place is None:
            continue
        yield from said("content", node.get("shape"), "labels", volume=place)
        yield from said_text("title", record.get("annotation_object", "name"), volume=place)
        yield from said_text("description", record.get("annotation_method"), volume=place)
        yield from _authors(record, place)
        yield from _dates(record, place)


def _authors(record: Node, place: str | None) -> Iterator[ArchiveWitness]:
    authors = record.get("authors")
    yield from said_names("authors", [node.get("name") for node in authors.nodes()], authors, volume=place)


def _dates(record: Node, place: str | None) -> Iterator[ArchiveWitness]:
    yield from said_date("deposited_on", record.get("dates", "deposition_date"), volume=place)
    yield from said_date("released_on", record.get("dates", "release_date"), volume=place)


def _shape(node: Node, place: str | None) -> Iterator[ArchiveWitness]:
    if not node.is_empty:
        sizes = [node.get(axis).whole() for axis in "zyx"]
        yield from said("shape_zyx", node, sizes if all(sizes) else None, volume=place)
