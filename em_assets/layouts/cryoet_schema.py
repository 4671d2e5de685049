"""The classes of the cryoET data portal's schema v1.1.0 (its last word), and a document cut down to what they know.

Lengths are ångström. Keys that a class does not declare are forbidden. The schema's templates for its own ingestion
(`float {name}`) stand in no finished document, so they are not known here.
"""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from datetime import date
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError
from pydantic_core import ErrorDetails

SAMPLE_TYPES = ("cell", "tissue", "organism", "organelle", "virus", "in_vitro", "in_silico", "other")
PROCESSINGS = ("denoised", "filtered", "raw")

_DOI = r"(doi:)?10\.[0-9]{4,9}/[-._;()/:a-zA-Z0-9]+"
_ENTRY = r"(EMPIAR-[0-9]{5}|EMD-[0-9]{4,5}|PDB-[0-9a-zA-Z]{4,8})"


def _list_of(item: str) -> str:
    return rf"^{item}(\s*,\s*{item})*$"


_Text = Annotated[str, StringConstraints(min_length=1)]
_Dois = Annotated[str, StringConstraints(pattern=_list_of(_DOI))]
_Entries = Annotated[str, StringConstraints(pattern=_list_of(_ENTRY))]
_Publications = Annotated[str, StringConstraints(pattern=_list_of(f"({_ENTRY}|{_DOI})"))]
_ObjectId = Annotated[
    str,
    StringConstraints(
        pattern=r"^(GO:[0-9]{7}|UniProtKB:([OPQ][0-9][A-Z0-9]{3}[0-9]|[A-NR-Z][0-9]([A-Z][A-Z0-9]{2}[0-9]){1,2}))$"
    ),
]
_Angle = Annotated[float, Field(ge=-90, le=90)]
_Row = Annotated[list[float], Field(min_length=4, max_length=4)]


class _Class(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class DateStamp(_Class):
    """Three days in a document's life."""

    deposition_date: date
    last_modified_date: date
    release_date: date


class Author(_Class):
    """Who made it."""

    name: _Text
    ORCID: Annotated[str, StringConstraints(pattern=r"^[0-9]{4}-[0-9]{4}-[0-9]{4}-[0-9]{3}[0-9X]$")] | None = None
    affiliation_name: str | None = None
    affiliation_address: str | None = None
    affiliation_identifier: str | None = None
    email: str | None = None
    corresponding_author_status: bool | None = None
    primary_author_status: bool | None = None


_Authors = Annotated[list[Author], Field(min_length=1)]


class Funding(_Class):
    """Who paid for it."""

    funding_agency_name: str | None = None
    grant_id: str | None = None


class CrossReferences(_Class):
    """Papers and entries of other archives, with commas between."""

    dataset_citations: str | None = None
    publications: _Dois | None = None
    related_database_entries: _Entries | None = None
    related_database_links: str | None = None


class Organism(_Class):
    """Species."""

    name: _Text
    taxonomy_id: Annotated[int, Field(ge=1)] | None = None


class Tissue(_Class):
    """Tissue, by its BRENDA number."""

    name: _Text
    id: Annotated[str, StringConstraints(pattern=r"^BTO:[0-9]{7}$")] | None = None


class CellType(_Class):
    """Cell type, by its Cell Ontology number."""

    name: _Text
    id: Annotated[str, StringConstraints(pattern=r"^CL:[0-9]{7}$")] | None = None


class CellStrain(_Class):
    """Strain or cell line."""

    name: _Text
    id: Annotated[str, StringConstraints(pattern=r"^(WBStrain[0-9]{8}|[a-zA-Z]+:[0-9]+)$")] | None = None


class CellComponent(_Class):
    """Part of a cell, by its Gene Ontology number."""

    name: _Text
    id: Annotated[str, StringConstraints(pattern=r"^GO:[0-9]{7}$")] | None = None


class Dataset(_Class):
    """`dataset_metadata.json`."""

    dataset_identifier: int
    dataset_title: _Text
    dataset_description: _Text
    authors: _Authors
    dates: DateStamp
    sample_type: Literal["cell", "tissue", "organism", "organelle", "virus", "in_vitro", "in_silico", "other"]
    organism: Organism | None = None
    tissue: Tissue | None = None
    cell_type: CellType | None = None
    cell_strain: CellStrain | None = None
    cell_component: CellComponent | None = None
    funding: list[Funding] | None = None
    cross_references: CrossReferences | None = None
    sample_preparation: str | None = None
    grid_preparation: str | None = None
    other_setup: str | None = None


class Size(_Class):
    """Voxels along each axis."""

    x: Annotated[int, Field(ge=0)]
    y: Annotated[int, Field(ge=0)]
    z: Annotated[int, Field(ge=0)]


class Offset(_Class):
    """Where a tomogram begins, in voxels of the canonical one."""

    x: int
    y: int
    z: int


class Tomogram(_Class):
    """`tomogram_metadata.json`."""

    voxel_spacing: Annotated[float, Field(ge=0.001)]
    tomogram_version: Annotated[float, Field(ge=0)]
    reconstruction_method: Literal["SART", "Fourier Space", "SIRT", "WBP", "Unknown"]
    reconstruction_software: str
    fiducial_alignment_status: Literal["FIDUCIAL", "NON_FIDUCIAL"]
    processing: Literal["denoised", "filtered", "raw"]
    is_visualization_default: bool
    offset: Offset
    authors: _Authors
    dates: DateStamp
    size: Size | None = None
    affine_transformation_matrix: Annotated[list[_Row], Field(min_length=4, max_length=4)] | None = None
    align_software: str | None = None
    ctf_corrected: bool | None = None
    processing_software: str | None = None
    cross_references: CrossReferences | None = None


class AnnotationObject(_Class):
    """What was annotated."""

    id: _ObjectId
    name: _Text
    description: str | None = None
    state: str | None = None


class Confidence(_Class):
    """How far an annotation can be trusted, in percent."""

    ground_truth_used: str | None = None
    precision: Annotated[float, Field(ge=0, le=100)] | None = None
    recall: Annotated[float, Field(ge=0, le=100)] | None = None


class SourceFile(_Class):
    """A file that an annotation was made from."""

    file_format: str
    glob_string: str | None = None
    glob_strings: list[str] | None = None
    is_portal_standard: bool | None = None
    is_visualization_default: bool | None = None


class MethodLink(_Class):
    """A page about how an annotation was made."""

    link: str
    link_type: Literal["documentation", "models_weights", "other", "source_code", "website"]
    custom_name: str | None = None


class Annotation(_Class):
    """The JSON beside points or a mask."""

    annotation_object: AnnotationObject
    annotation_method: _Text
    method_type: Literal["manual", "automated", "hybrid", "simulated"]
    authors: _Authors
    dates: DateStamp
    version: Annotated[float, Field(ge=0)] | None = None
    object_count: int | None = None
    annotation_software: str | None = None
    annotation_publications: _Publications | None = None
    confidence: Confidence | None = None
    ground_truth_status: bool | None = None
    is_curator_recommended: bool | None = None
    method_links: list[MethodLink] | None = None
    files: list[SourceFile] | None = None


class Camera(_Class):
    """Of a tilt series."""

    manufacturer: Literal["Gatan", "FEI", "TFS", "simulated"]
    model: str
    acquire_mode: Literal["counting", "superresolution", "linear", "cds"] | None = None


class Microscope(_Class):
    """Of a tilt series."""

    manufacturer: Literal["FEI", "TFS", "JEOL", "SIMULATED"]
    model: str
    additional_info: str | None = None


class OpticalSetup(_Class):
    """Of a microscope."""

    energy_filter: str
    phase_plate: str | None = None
    image_corrector: str | None = None


class TiltRange(_Class):
    """In degrees."""

    min: _Angle
    max: _Angle


class TiltSeries(_Class):
    """`tiltseries_metadata.json`."""

    acceleration_voltage: Annotated[float, Field(ge=20000)]
    camera: Camera
    data_acquisition_software: str
    is_aligned: bool
    microscope: Microscope
    microscope_optical_setup: OpticalSetup
    pixel_spacing: Annotated[float, Field(ge=0.001)]
    spherical_aberration_constant: Annotated[float, Field(ge=0)]
    tilt_axis: Annotated[float, Field(ge=-360, le=360)]
    tilt_range: TiltRange
    tilt_series_quality: Annotated[int, Field(ge=1, le=5)]
    tilt_step: Annotated[float, Field(ge=0, le=90)]
    tilting_scheme: str
    total_flux: Annotated[float, Field(ge=0)]
    aligned_tiltseries_binning: Annotated[float, Field(ge=0)] | None = None
    binning_from_frames: Annotated[float, Field(ge=0)] | None = None
    frames_count: int | None = None
    related_empiar_entry: Annotated[str, StringConstraints(pattern=r"^EMPIAR-[0-9]+$")] | None = None
    tilt_alignment_software: str | None = None


CLASSES: Mapping[str, type[BaseModel]] = {
    "Dataset": Dataset,
    "TiltSeries": TiltSeries,
    "Tomogram": Tomogram,
    "Annotation": Annotation,
}


class Known(NamedTuple):
    """A document cut down to its class: `dropped` keys the class does not know or take, `missing` ones it demands."""

    document: dict[str, Any]
    dropped: tuple[str, ...]
    missing: tuple[str, ...]


def known(model: type[BaseModel], document: Mapping[str, Any]) -> Known:
    """What of a document a class knows, optional values that it does not take left out with the unknown keys."""
    left, dropped = deepcopy(dict(document)), list[str]()
    while True:
        try:
            model.model_validate(left)
        except ValidationError as error:
            removed = {_removable(model, left, detail) for detail in error.errors()}
            for location in sorted(removed - {()}, key=_from_the_end, reverse=True):
                _remove(left, location)
                dropped.append(".".join(map(str, location)))
            if removed <= {()}:
                return Known(left, _outermost(dropped), _described(error))
        else:
            return Known(left, _outermost(dropped), ())


def _outermost(dropped: Sequence[str]) -> tuple[str, ...]:
    """Sorted, without what lies inside another that was dropped."""
    inside = {path for path in dropped for other in dropped if path.startswith(f"{other}.")}
    return tuple(sorted({*dropped} - inside))


def _removable(model: type[BaseModel], document: Any, detail: ErrorDetails) -> tuple[Any, ...]:
    """Where to cut so that this error goes away: the value itself, or what lacks it; () where the document needs it."""
    location = tuple(detail["loc"])
    while location and not _is_there(document, location):
        location = location[:-1]
    is_needed = len(location) == 1 and model.model_fields.get(str(location[0])) is not None
    return () if is_needed and model.model_fields[str(location[0])].is_required() else location


def _is_there(document: Any, location: Sequence[Any]) -> bool:
    for part in location:
        is_key = isinstance(document, dict) and part in document
        if not is_key and not (isinstance(document, list) and isinstance(part, int) and part < len(document)):
            return False
        document = document[part]
    return True


def _remove(document: Any, location: Sequence[Any]) -> None:
    if not _is_there(document, location):
        return  # it went with what holds it
    *parents, last = location
    for part in parents:
        document = document[part]
    del document[last]


def _from_the_end(location: Sequence[Any]) -> tuple[Any, ...]:
    """Later items of a list go first, so that the places of the others stay."""
    return tuple((isinstance(part, int), part if isinstance(part, int) else 0, str(part)) for part in location)


def _described(error: ValidationError) -> tuple[str, ...]:
    return tuple(f"{'.'.join(map(str, detail['loc']))}: {detail['msg']}" for detail in error.errors())
