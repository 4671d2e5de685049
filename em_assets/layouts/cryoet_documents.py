"""The portal's documents for datasets that came from elsewhere: what is witnessed, and what an export says of itself.

A required value that nobody witnessed is a refusal, with three exceptions, which `dataset_description` names: days are
those of our register's entry; what only a tomographic reconstruction has is `Unknown`; and what is true of the export
because we make it (version 1, offset 0, raw, shown by default).
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from em_assets import __version__
from em_assets.layouts.cryoet_register import Entry, entry_of
from em_assets.layouts.cryoet_schema import PROCESSINGS, SAMPLE_TYPES
from em_assets.layouts.cryoet_voxels import Voxels
from em_assets.layouts.held import Held
from em_assets.layouts.people import cited_people
from em_assets.model import VolumeRecord
from em_assets.settings import PUBLIC

_DOI = re.compile(r"10\.\d{4,9}/[-._;()/:a-zA-Z0-9]+")
_EMPIAR = re.compile(r"EMPIAR-\d{5}", re.IGNORECASE)
_PLACES = {"tissue": "tissue", "cell": "cell_strain", "organelle": "cell_component"}
"""Of a sample's name among the schema's words, by the type of the sample: U2OS is a cell line, so a strain."""


@dataclass(frozen=True)
class Own:
    """Makes the documents of one dataset."""

    held: Held

    @cached_property
    def entry(self) -> Entry:
        """The register's entry, made when it is first asked for: what is refused takes no identifier."""
        return entry_of(self.held.name, self.held.settings)

    @property
    def dates(self) -> dict[str, str]:
        """The day of the register's entry, three times."""
        return dict.fromkeys(("deposition_date", "last_modified_date", "release_date"), self.entry.registered_on)

    def unsaid(self) -> list[str]:
        """What every document, or the dataset's own, needs and nobody says; and where it can be said."""
        lacking = []
        if not self.authors():
            lacking.append('authors: no archive names them; give `citation`, or [[says]] field = "authors"')
        if self._sample_type() is None:
            lacking.append(f'sample_type: [[says]] field = "sample_type" with one of {", ".join(SAMPLE_TYPES)}')
        return lacking

    def dataset(self, exported: Sequence[Voxels]) -> dict[str, Any]:
        """`dataset_metadata.json`."""
        record, sample_type = self.held.records[0], self._sample_type()
        document: dict[str, Any] = {
            "dataset_identifier": self.entry.identifier,
            "dataset_title": record.title or self.held.dataset.title,
            "dataset_description": self._description(record, exported),
            "authors": self.authors(),
            "dates": self.dates,
            "sample_type": sample_type,
            "cross_references": self._references(record),
        }
        if record.organism:
            taxon = {"taxonomy_id": record.organism_taxon} if record.organism_taxon else {}
            document["organism"] = {"name": record.organism, **taxon}
        if record.sample and sample_type in _PLACES:
            document[_PLACES[sample_type]] = {"name": record.sample}
        return {key: value for key, value in document.items() if value}

    def tomogram(self, voxels: Voxels) -> dict[str, Any]:
        """`tomogram_metadata.json`."""
        document: dict[str, Any] = {
            "voxel_spacing": voxels.voxel_angstrom,
            "tomogram_version": 1,
            "reconstruction_method": "Unknown",
            "reconstruction_software": "Unknown",
            "fiducial_alignment_status": "NON_FIDUCIAL",
            "processing": self._processing(voxels),
            "is_visualization_default": True,
            "offset": dict.fromkeys("xyz", 0),
            "size": dict(zip("zyx", voxels.shape_zyx, strict=True)),
            "authors": self.authors(),
            "dates": self.dates,
        }
        if voxels.is_resampled:
            document["processing_software"] = f"em_assets {__version__}: {resampling(voxels)}"
        return document

    def annotation(self, voxels: Voxels) -> tuple[dict[str, Any], list[str]]:
        """The JSON of a mask, and what it lacks because nobody says it."""
        name = voxels.volume.name
        said = {field: self._said(field, name) for field in _OF_ANNOTATIONS}
        unsaid = [f'{field}: [[says]] field = "{field}", volume = "{name}"' for field in said if not said[field]]
        return {
            "annotation_object": {"id": said["annotation_object_id"], "name": said["annotation_object_name"]},
            "annotation_method": said["annotation_method"],
            "method_type": said["annotation_method_type"],
            "authors": self.authors(),
            "dates": self.dates,
            "version": 1,
        }, unsaid

    def authors(self) -> list[dict[str, Any]]:
        """As the archive names them; else those that the citation begins with."""
        named = next((record.authors for record in self.held.records if record.authors), None)
        citation = self.held.dataset.citation or self.held.records[0].citation or ""
        cited = [person.in_full for person in cited_people(citation).persons]
        names = named.split("; ") if named else cited
        return [{"name": name} for name in names]

    def _sample_type(self) -> str | None:
        """The schema's word: the record's, else the first that anybody says."""
        said = [self.held.records[0].sample_type, self._said("sample_type", None, SAMPLE_TYPES)]
        return next((word for word in said if word in SAMPLE_TYPES), None)

    def _processing(self, voxels: Voxels) -> str:
        said = self._said("processing", voxels.volume.name, PROCESSINGS)
        return said or ("filtered" if voxels.is_resampled else "raw")

    def _said(self, field: str, volume: str | None, words: Sequence[str] | None = None) -> str | None:
        """What a claim of the volume, or of the whole dataset, says; of several the first that can be used."""
        claims = [claim for claim in self.held.claims if claim.field == field]
        for scope in dict.fromkeys((volume, None)):
            for claim in claims:
                is_word = isinstance(claim.value, str) and (words is None or claim.value in words)
                if is_word and (volume is None or claim.volume == scope):
                    return str(claim.value)
        return None

    def _references(self, record: VolumeRecord) -> dict[str, str]:
        citation = self.held.dataset.citation or record.citation
        papers = [doi.rstrip(".);") for doi in _DOI.findall(record.citation or "")]
        entries = _EMPIAR.findall(record.doi or "")
        links = [f"https://doi.org/{record.doi}"] if record.doi else list(self.held.dataset.links)
        found = {
            "dataset_citations": citation,
            "publications": ", ".join(dict.fromkeys(papers)),
            "related_database_entries": ", ".join(entry.upper() for entry in dict.fromkeys(entries)),
            "related_database_links": ", ".join(links),
        }
        return {key: value for key, value in found.items() if value}

    def _description(self, record: VolumeRecord, exported: Sequence[Voxels]) -> str:
        said = [(record.description or record.title or self.held.dataset.title).rstrip(". ") + "."]
        if self.held.settings.origin != PUBLIC:
            said.append(f"The data are of the origin {self.held.settings.origin!r} and not the archive's own.")
        licence = record.licence or "unknown: nobody says it"
        said.append(f"Licence: {licence}.")
        return " ".join([*said, *_of_ourselves(self.held, self.entry, exported)])


_OF_ANNOTATIONS = ("annotation_object_id", "annotation_object_name", "annotation_method", "annotation_method_type")


def resampling(voxels: Voxels) -> str:
    """What was done to the voxels, in words."""
    size = ", ".join("?" if nm is None else f"{nm:g}" for nm in voxels.volume.finest_voxel_size_zyx_nm)
    how = "nearest voxel" if voxels.content == "labels" else "linear interpolation"
    return f"resampled from {size} nm (z, y, x) to cubes of {voxels.voxel_nm:g} nm by {how}"


def _of_ourselves(held: Held, entry: Entry, exported: Sequence[Voxels]) -> Iterator[str]:
    yield f"Written by em_assets {__version__} from its dataset {held.name}. Stated by this export and by nobody else:"
    yield (
        f"dates are {entry.registered_on}, the day on which our register gave the identifier {entry.identifier}; "
        "no tomographic reconstruction is known, so reconstruction_method and reconstruction_software are Unknown and "
        "fiducial_alignment_status is NON_FIDUCIAL; processing is raw unless a claim or the resampling says otherwise; "
        "tomogram_version is 1, offset is 0, is_visualization_default is true."
    )
    for voxels in exported:
        if voxels.is_resampled:
            yield f"{voxels.volume.name} was {resampling(voxels)}."
