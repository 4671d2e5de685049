"""The catalog in the store: who writes it reads what is held in the same turn, so the later one has the newer data.

Tables, what they are told as, and the page are written in one and the same turn.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from em_assets.catalog.consolidate import consolidate
from em_assets.catalog.holdings import holdings
from em_assets.catalog.schemas import CATALOG
from em_assets.catalog.tables import read_table, write_table
from em_assets.datasets import Dataset
from em_assets.keeping import bring_folder, changing, send_folder, turn
from em_assets.settings import Settings
from em_assets.volumes.staging import sweep

if TYPE_CHECKING:
    import pyarrow as pa

TURN = "catalog"
"""Name of the turn in which anything of the catalog is written."""


def write_catalog(
    datasets: Mapping[str, Dataset], settings: Settings, log: Callable[[str], None] = lambda line: None
) -> "dict[str, pa.Table]":
    """Write the tables of `schemas.CATALOG` from what the store holds now, each in one step; the same by name.

    Raises
    ------
    StoreError
        What is held is damaged, or the disk or the bucket refuses.
    """
    folder = settings.catalog_dir
    with turn(settings, TURN, log):
        tables = consolidate(holdings(datasets, settings))
        with changing(settings, folder):
            folder.mkdir(parents=True, exist_ok=True)
            sweep(folder)
            for schema in CATALOG:
                write_table(tables[schema.name], folder / f"{schema.name}.parquet", schema)
            send_folder(settings, folder)
    return tables


def read_catalog(settings: Settings) -> "dict[str, pa.Table]":
    """The tables that `write_catalog` wrote.

    Raises
    ------
    NotBuiltError
        They were not written yet.
    StoreError
        One of them cannot be read.
    """
    folder = settings.catalog_dir
    bring_folder(settings, folder)
    return {schema.name: read_table(folder / f"{schema.name}.parquet", schema) for schema in CATALOG}
