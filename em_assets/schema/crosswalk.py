"""Each field of the record beside its counterpart in the cryoET data portal's schema, in VISoR's, and in RO-Crate.

One row a field, tested to be complete; what has no counterpart says why. Terms of cryoET are paths from a class of
v1.1.0, those of VISoR keys of the documents of 2025.6.1, those of RO-Crate `Type.property` of the crates that we write.
"""

from typing import NamedTuple

CRYOET = "https://github.com/chanzuckerberg/cryoet-data-portal-backend/blob/87d1ca4a/schema/core/v1.1.0/metadata.yaml"
VISOR = "https://github.com/visor-tech/visor-data-schema/tree/1466e08"
RO_CRATE = "https://www.researchobject.org/ro-crate/specification/1.1/"
CHALLENGE = "https://github.com/ome/ome2024-ngff-challenge"

CHALLENGE_TERMS = ("biosample", "fbbi_id", "organism_classification", "resultOf", "specimen")
"""Terms that are the OME-Zarr challenge's; all others but one are schema.org's."""

ELSEWHERE = {"dateSubmitted": "http://purl.org/dc/terms/dateSubmitted"}


class Counterpart(NamedTuple):
    """What a field is called elsewhere: its terms, none where it has none, and how it differs or why there is none."""

    terms: tuple[str, ...]
    note: str = ""


class Row(NamedTuple):
    """One field of the record and its counterparts."""

    field: str
    cryoet: Counterpart
    visor: Counterpart
    ro_crate: Counterpart


def _as(*terms: str, note: str = "") -> Counterpart:
    return Counterpart(terms, note)


def _none(why: str) -> Counterpart:
    return Counterpart((), why)


def _values(*columns: str, note: str = "") -> Counterpart:
    return Counterpart(tuple(f"PropertyValue: {column}" for column in columns), note)


def _axes(name: str) -> tuple[str, ...]:
    return tuple(name.replace("zyx", axis) for axis in "zyx")


def _references(*names: str) -> tuple[str, ...]:
    return tuple(f"Dataset.cross_references.{name}" for name in names)


_PLACES_OF_SAMPLE = tuple(f"Dataset.{place}.name" for place in ("tissue", "cell_type", "cell_strain", "cell_component"))
_REGISTER = "in our exports the day of our register's entry"
_OWN_COPY = "of the archive's copy; exports have chunks and levels of their own"

CROSSWALK = (
    Row(
        "dataset",
        _as("Dataset.dataset_identifier", note="a number, from our register"),
        _as("info.json: animal_id", note="and the name of the .vsr folder"),
        _as("Dataset.alternateName", note="and the name of the .zarr folder"),
    ),
    Row(
        "volume",
        _none("the run's name, in run_metadata.json and the file names"),
        _as("visor_stacks: label", "channels: wavelength", note="with the image's name: slice, stack and channel"),
        _as("Dataset.alternateName", note="and its folder, where there are several"),
    ),
    Row(
        "origin",
        _as("Dataset.dataset_description", note="said there in words"),
        _none("no word for where the voxels come from"),
        _values("origin"),
    ),
    Row(
        "title",
        _as("Dataset.dataset_title"),
        _as("info.json: project_name"),
        _as("Dataset.name"),
    ),
    Row(
        "description",
        _as("Dataset.dataset_description"),
        _none("a sample has names, no description"),
        _as("Dataset.description"),
    ),
    Row(
        "authors",
        _as("Dataset.authors", "Tomogram.authors", "Annotation.authors"),
        _as("channels: personnel", note="initials of who imaged it, so never read as authors"),
        _as("Dataset.author", "Person.familyName", "Person.givenName"),
    ),
    Row(
        "technique",
        _none("everything is tomography"),
        _none("everything is light-sheet microscopy"),
        _as("image_acquisition.name"),
    ),
    Row(
        "technique_id",
        _none("everything is tomography"),
        _none("everything is light-sheet microscopy"),
        _as("image_acquisition.fbbi_id", note="where FBbi's id is known"),
    ),
    Row(
        "organism",
        _as("Dataset.organism.name"),
        _as("info.json: species"),
        _as("Taxon.name"),
    ),
    Row(
        "organism_taxon",
        _as("Dataset.organism.taxonomy_id"),
        _none("species by name alone"),
        _as("biosample.organism_classification", note="NCBI:txid and the number"),
    ),
    Row(
        "sample",
        _as(*_PLACES_OF_SAMPLE, note="which one sample_type decides"),
        _as("info.json: subproject_name", note="the lab's own name of it, so never read as the sample"),
        _as("biosample.name"),
    ),
    Row(
        "sample_type",
        _as("Dataset.sample_type", note="one of its own eight words"),
        _none("always a slice of tissue"),
        _values("sample_type"),
    ),
    Row(
        "content",
        _none("the folder says it: labels lie in Annotations/, all else is a tomogram"),
        _none("everything is fluorescence"),
        _values("content"),
    ),
    Row(
        "contrast_polarity",
        _none("no word for it"),
        _none("fluorescence has none"),
        _values("contrast_polarity"),
    ),
    Row(
        "labels_of",
        _none("the folder says it: an annotation lies below its tomogram's voxel spacing"),
        _none("no labels"),
        _as("Dataset.isBasedOn"),
    ),
    Row(
        "shape_zyx",
        _as("Tomogram.size", note="x, y and z by name"),
        _as("zarr.json: shape", note="the last three of five"),
        _values(*_axes("shape_zyx")),
    ),
    Row(
        "dtype",
        _none("MRC's mode and Zarr's dtype say it"),
        _as("zarr.json: data_type"),
        _values("dtype"),
    ),
    Row(
        "voxel_size_zyx_nm",
        _as("Tomogram.voxel_spacing", note="ångström, one number: cubes alone"),
        _as("multiscales: scale", note="micrometre"),
        _values(*_axes("voxel_size_zyx_nm")),
    ),
    Row(
        "extent_zyx_nm",
        _none("size times voxel_spacing"),
        _as("channels: roi", note="millimetre, of the slice on the stage, so never read as the extent"),
        _values(*_axes("extent_zyx_nm")),
    ),
    Row(
        "instrument",
        _as("TiltSeries.microscope.manufacturer", "TiltSeries.microscope.model", note="of a tilt series"),
        _as("channels: hardware_id"),
        _as("image_acquisition.instrument"),
    ),
    Row(
        "accelerating_voltage_kv",
        _as("TiltSeries.acceleration_voltage", note="volt, of a tilt series"),
        _none("no electrons"),
        _values("accelerating_voltage_kv"),
    ),
    Row(
        "working_distance_mm",
        _none("no word for it"),
        _none("no word for it"),
        _values("working_distance_mm"),
    ),
    Row(
        "acquired_at",
        _none("no word for it"),
        _as("channels: created_time"),
        _as("image_acquisition.endTime"),
    ),
    Row(
        "deposited_on",
        _as("Dataset.dates.deposition_date", note=_REGISTER),
        _none("no archive, so no day of deposition"),
        _as("Dataset.dateSubmitted"),
    ),
    Row(
        "released_on",
        _as("Dataset.dates.release_date", note=_REGISTER),
        _none("no archive, so no day of release"),
        _as("Dataset.datePublished"),
    ),
    Row(
        "licence",
        _as("Dataset.dataset_description", note="said there in words: the portal's data are all CC0"),
        _none("no word for it"),
        _as("Dataset.license", note="SPDX's address; #licence-unknown where nobody says one"),
    ),
    Row(
        "doi",
        _as(*_references("related_database_entries", "related_database_links")),
        _none("no archive, so no DOI"),
        _as("Dataset.identifier"),
    ),
    Row(
        "source_n_levels",
        _none(_OWN_COPY),
        _as("multiscales: datasets", note=_OWN_COPY),
        _values("source_n_levels"),
    ),
    Row(
        "source_chunks",
        _none(_OWN_COPY),
        _as("zarr.json: chunk_shape", note=_OWN_COPY),
        _values("source_chunks"),
    ),
    Row(
        "source_compressor",
        _none(_OWN_COPY),
        _as("zarr.json: codecs", note=_OWN_COPY),
        _values("source_compressor"),
    ),
    Row(
        "n_files",
        _as("TiltSeries.frames_count", note="of a tilt series' frames alone"),
        _none("no word for it"),
        _values("n_files"),
    ),
    Row(
        "source_bytes",
        _none("no word for it"),
        _none("no word for it"),
        _values("source_bytes"),
    ),
    Row(
        "citation",
        _as(*_references("dataset_citations", "publications")),
        _none("no word for it"),
        _as("Dataset.citation"),
    ),
)
"""In the order of the record's fields."""


def address_of_term(term: str) -> str:
    """The page that says what a term of RO-Crate means."""
    name = term.rpartition(".")[2].partition(":")[0]
    if name in CHALLENGE_TERMS:
        return CHALLENGE
    return ELSEWHERE.get(name, f"https://schema.org/{name}")
