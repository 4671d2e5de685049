"""A record of which every field has a value, and the RO-Crate of records."""

from typing import Any

from em_assets.layouts.crate import CrateVolume, crate_document
from em_assets.layouts.licences import licences_of
from em_assets.layouts.people import people_of
from em_assets.layouts.works import Work
from em_assets.model import VolumeRecord

FULL = VolumeRecord(
    dataset="retina",
    volume="em",
    origin="public",
    title="Retina",
    description="Of a larva",
    authors="Miron E; Irene de Teresa Trueba",
    technique="SBF-SEM",
    technique_id="FBbi_00000585",
    organism="Danio rerio",
    organism_taxon=7955,
    sample="retina",
    sample_type="tissue",
    content="em",
    contrast_polarity="dark membranes",
    labels_of=None,
    shape_zyx=(16, 32, 48),
    dtype="uint8",
    voxel_size_zyx_nm=(50.0, 8.0, 9.0),
    extent_zyx_nm=(800.0, 256.0, 432.0),
    instrument="Quanta",
    accelerating_voltage_kv=1.9,
    working_distance_mm=5.5,
    acquired_at="2018-06-11",
    deposited_on="2023-11-01",
    released_on="2024-01-15",
    licence="CC0-1.0",
    doi="10.6019/EMPIAR-11759",
    source_n_levels=1,
    source_chunks="[1, 32, 48]",
    source_compressor="none",
    n_files=16,
    source_bytes=1234,
    citation="Miron, 2024",
)


def crate_of(*records: VolumeRecord) -> list[dict[str, Any]]:
    """The entities of a crate about volumes of one dataset; a single one is its root."""
    work = Work(
        dataset="retina",
        title="Retina",
        description="Of a larva",
        people=people_of([records[0].authors or ""]),
        released_on=records[0].released_on,
        doi=records[0].doi,
        url=None,
        licences=licences_of(records),
        citations=("Miron, 2024",),
        is_made_up=False,
    )
    volumes = [CrateVolume(one, f"{one.volume}/" if records[1:] else "./", "0.5") for one in records]
    graph: list[dict[str, Any]] = crate_document(work, volumes)["@graph"]
    return graph
