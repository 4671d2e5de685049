"""The JSON-LD of an RO-Crate about a dataset, from records; nothing is read or written here.

::

    ./ ─resultOf─▶ image_acquisition ─specimen─▶ specimen ─biosample─▶ biosample ─organism_classification─▶ taxon
     └─hasPart─▶ a volume, where there are several                └─fbbi_id─▶ imaging method

What has a word in schema.org or the challenge's vocabulary gets it; every other field of the record is a PropertyValue
of its volume, called as the catalog's column is.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from em_assets.catalog.schemas import RECORD, unit_in_name
from em_assets.catalog.tables import record_table
from em_assets.layouts.licences import UNKNOWN, licence_url
from em_assets.layouts.people import Person
from em_assets.layouts.works import MADE_UP, Work
from em_assets.model import VolumeRecord
from em_assets.settings import OMEZarrVersion

CONTEXT = [
    "https://w3id.org/ro/crate/1.1/context",
    {
        "obo": "http://purl.obolibrary.org/obo/",
        "biosample": "http://purl.obolibrary.org/obo/OBI_0002648",
        "specimen": "http://purl.obolibrary.org/obo/HSO_0000308",
        "organism_classification": "https://schema.org/taxonomicRange",
        "Taxon": "https://schema.org/Taxon",
        "image_acquisition": "https://schema.org/CreateAction",
        "fbbi_id": "https://schema.org/measurementTechnique",
        "resultOf": {"@reverse": "https://schema.org/result", "@type": "@id"},
        "dateSubmitted": "http://purl.org/dc/terms/dateSubmitted",
    },
]
"""RO-Crate's own terms, the challenge's, and two that neither has."""

UNKNOWN_LICENCE = "#licence-unknown"

SAID_OTHERWISE = frozenset(
    (
        *("dataset", "volume", "title", "description", "authors", "citation", "doi", "licence"),
        *("technique", "technique_id", "organism", "organism_taxon", "sample", "labels_of", "instrument"),
        *("acquired_at", "deposited_on", "released_on"),
    )
)
"""Columns of the record that a term of the vocabularies carries."""

ACQUISITION = ("technique", "technique_id", "instrument", "acquired_at", "sample", "organism", "organism_taxon")
"""Fields of which volumes of one acquisition say the same."""

Entity = dict[str, Any]


class CrateVolume(NamedTuple):
    """A volume in the crate: its record, its folder below the root (`./` for the root itself), and its version."""

    record: VolumeRecord
    path: str
    ome_zarr: OMEZarrVersion


def crate_document(work: Work, volumes: Sequence[CrateVolume], sources: Sequence[str] = ()) -> dict[str, Any]:
    """`ro-crate-metadata.json` of a dataset whose volumes lie as `volumes` says; `sources` are where it came from."""
    graph = _Graph()
    acquisitions = _acquisitions(graph, [volume.record for volume in volumes])
    entities = [_volume(graph, volume, acquisitions.get(volume.record.volume), volumes) for volume in volumes]
    root = _root(graph, work, sources)
    if len(volumes) == 1:
        root = entities[0] | root | {"alternateName": [work.dataset, volumes[0].record.volume]}
    else:
        root["hasPart"] = [graph.add(entity) for entity in entities]
        root["resultOf"] = _one_or_all(set(acquisitions.values()))
    descriptor = {
        "@id": "ro-crate-metadata.json",
        "@type": "CreativeWork",
        "conformsTo": {"@id": "https://w3id.org/ro/crate/1.1"},
        "about": {"@id": "./"},
    }
    return {"@context": CONTEXT, "@graph": [descriptor, _known(root), *graph.entities.values()]}


class _Graph:
    """Entities by id, each once."""

    def __init__(self) -> None:
        self.entities: dict[str, Entity] = {}

    def add(self, entity: Mapping[str, Any]) -> dict[str, str]:
        """Keep an entity, without what is unknown; the link to it."""
        self.entities.setdefault(entity["@id"], _known(entity))
        return {"@id": entity["@id"]}


def _root(graph: _Graph, work: Work, sources: Sequence[str]) -> Entity:
    made_up = MADE_UP if work.is_made_up else None
    said = " ".join(text for text in (work.description, made_up) if text)
    return {
        "@id": "./",
        "@type": "Dataset",
        "name": work.title,
        "alternateName": work.dataset,
        "description": said or f"Volumes of the dataset {work.dataset}. Nobody describes them.",
        "license": _one_or_all(_licences(graph, work)),
        "datePublished": work.released_on,
        "author": [graph.add(_person(person)) for person in work.people.persons],
        "identifier": f"https://doi.org/{work.doi}" if work.doi else None,
        "url": work.url,
        "citation": list(work.citations),
        "isBasedOn": [
            graph.add({"@id": url, "@type": "CreativeWork", "name": "where the raw files came from"}) for url in sources
        ],
    }


def _source(url: str) -> Entity:
    return {"@id": url, "@type": "CreativeWork", "name": "where the raw files came from"}


def _licences(graph: _Graph, work: Work) -> list[str]:
    """Ids of the licences; that one is unknown is said by an entity of its own."""
    links = [graph.add(_licence(licence))["@id"] for licence in work.licences.known]
    if work.licences.unlicensed:
        volumes = ", ".join(work.licences.unlicensed)
        entity = {"@type": "CreativeWork", "name": "Licence unknown", "description": f"{UNKNOWN} Volumes: {volumes}."}
        links.append(graph.add({"@id": UNKNOWN_LICENCE} | entity)["@id"])
    return links


def _licence(licence: str) -> Entity:
    return {"@id": licence_url(licence) or f"#licence-{_slug(licence)}", "@type": "CreativeWork", "name": licence}


def _person(person: Person) -> Entity:
    return {
        "@id": f"#person-{_slug(person.in_full)}",
        "@type": "Person",
        "name": person.in_full,
        "familyName": person.family if person.given else None,
        "givenName": person.given,
    }


def _acquisitions(graph: _Graph, records: Sequence[VolumeRecord]) -> dict[str, str]:
    """Volume → id of how it was imaged and what was imaged; labels, which nobody imaged, have none."""
    imaged = [record for record in records if record.content != "labels"]
    numbers: dict[tuple[Any, ...], int] = {}
    for record in imaged:
        numbers.setdefault(_facts(record), len(numbers) + 1)
    return {record.volume: _acquisition(graph, record, numbers[_facts(record)]) for record in imaged}


def _facts(record: VolumeRecord) -> tuple[Any, ...]:
    return tuple(getattr(record, field) for field in ACQUISITION)


def _acquisition(graph: _Graph, record: VolumeRecord, number: int) -> str:
    entity = {
        "@id": f"#acquisition-{number}",
        "@type": "image_acquisition",
        "name": record.technique,
        "fbbi_id": _method(graph, record),
        "instrument": _instrument(graph, record.instrument),
        "endTime": record.acquired_at,
        "specimen": _specimen(graph, record, number),
    }
    return graph.add(entity)["@id"]


def _method(graph: _Graph, record: VolumeRecord) -> dict[str, str] | None:
    if record.technique_id is None:
        return None
    return graph.add({"@id": f"obo:{record.technique_id}", "@type": "DefinedTerm", "name": record.technique})


def _instrument(graph: _Graph, instrument: str | None) -> dict[str, str] | None:
    if instrument is None:
        return None
    return graph.add({"@id": f"#instrument-{_slug(instrument)}", "@type": "IndividualProduct", "name": instrument})


def _specimen(graph: _Graph, record: VolumeRecord, number: int) -> dict[str, str] | None:
    taxon = _taxon(graph, record)
    if record.sample is None and taxon is None:
        return None
    biosample = {"@type": "biosample", "name": record.sample, "organism_classification": taxon}
    link = graph.add({"@id": f"#biosample-{number}"} | biosample)
    return graph.add({"@id": f"#specimen-{number}", "@type": "specimen", "biosample": link})


def _taxon(graph: _Graph, record: VolumeRecord) -> dict[str, str] | None:
    if record.organism_taxon is not None:
        known = f"NCBI:txid{record.organism_taxon}"
        same = f"http://purl.obolibrary.org/obo/NCBITaxon_{record.organism_taxon}"
        return graph.add({"@id": known, "@type": "Taxon", "name": record.organism, "sameAs": {"@id": same}})
    if record.organism is None:
        return None
    return graph.add({"@id": f"#taxon-{_slug(record.organism)}", "@type": "Taxon", "name": record.organism})


def _volume(graph: _Graph, volume: CrateVolume, acquisition: str | None, others: Sequence[CrateVolume]) -> Entity:
    record = volume.record
    standard = {"@type": "CreativeWork", "name": f"OME-Zarr {volume.ome_zarr}"}
    places = {other.record.volume: other.path for other in others}
    return {
        "@id": volume.path,
        "@type": "Dataset",
        "name": record.title if record.title == record.volume else f"{record.title or record.dataset}: {record.volume}",
        "alternateName": record.volume,
        "description": record.description,
        "datePublished": record.released_on,
        "dateSubmitted": record.deposited_on,
        "license": {"@id": _licence(record.licence)["@id"] if record.licence else UNKNOWN_LICENCE},
        "conformsTo": graph.add({"@id": f"https://ngff.openmicroscopy.org/{volume.ome_zarr}/"} | standard),
        "resultOf": {"@id": acquisition} if acquisition else None,
        "isBasedOn": {"@id": places[record.labels_of]} if record.labels_of in places else None,
        "additionalProperty": [graph.add(entity) for entity in _properties(record)],
    }


def _properties(record: VolumeRecord) -> list[Entity]:
    """Every column of the record that has a value and no word elsewhere."""
    (row,) = record_table([record]).to_pylist()
    return [
        {
            "@id": f"#{record.volume}-{column.name}",
            "@type": "PropertyValue",
            "name": column.name,
            "description": column.meaning,
            "value": row[column.name],
            "unitText": unit_in_name(column.name),
        }
        for column in RECORD.columns
        if column.name not in SAID_OTHERWISE and row[column.name] is not None
    ]


def _one_or_all(ids: Sequence[str] | set[str]) -> Any:
    links = [{"@id": each} for each in sorted(ids)]
    return links[0] if len(links) == 1 else links


def _known(entity: Mapping[str, Any]) -> Entity:
    return {key: value for key, value in entity.items() if value not in (None, [], "")}


def _slug(text: str) -> str:
    """Text as a part of an id."""
    return "-".join("".join(letter if letter.isalnum() else " " for letter in text).split())
