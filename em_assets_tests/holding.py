"""The graph's steps over a dataset, as plain calls: what it takes to hold one."""

from em_assets import building, datasets, sample
from em_assets.catalog.schemas import CLAIMS, CONFLICTS, FIELDS, FILES, ORIGINAL_TAGS, RECORD
from em_assets.catalog.tables import write_table
from em_assets.datasets import Dataset
from em_assets.settings import Settings, claim_store
from em_assets.sources import acquire

HELD = ("cryoet_10001", "empiar_11759", "epfl_hippocampus", "u2os_chromatin", "visor_bb001")
"""Datasets of the sample that tests of exports hold."""


def hold(name: str, settings: Settings) -> Dataset:
    """Fetch a registered dataset and write its tables and volumes."""
    dataset = datasets.get(name, settings)
    claim_store(settings)
    with sample.serving(settings) as origin:
        acquire(dataset.sources, origin, settings.raw_dir(name), log=lambda line: None)
    claims = building.claims(dataset, settings)
    record, conflicts = building.record(dataset, settings, claims)
    tables = {
        ORIGINAL_TAGS: building.original_tags(dataset, settings),
        CLAIMS: claims,
        RECORD: record,
        CONFLICTS: conflicts,
        FIELDS: building.fields(dataset, settings, claims),
        FILES: building.files(dataset, settings),
    }
    settings.metadata_dir(name).mkdir(parents=True, exist_ok=True)
    for schema, table in tables.items():
        write_table(table, settings.metadata_dir(name) / f"{schema.name}.parquet", schema)
    for volume in building.volumes_to_write(dataset, settings, record):
        volume.commit()
    return dataset
