"""What the page is made of, read from the store: manifests, tables and commits; of voxels three planes a volume.

One dataset or volume that is damaged hides no other: what is wrong with it is kept in words.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from em_assets.catalog.holdings import is_held
from em_assets.catalog.schemas import CONFLICTS, FIELDS, ORIGINAL_TAGS, RECORD, TableSchema
from em_assets.catalog.tables import read_table, records_of_table
from em_assets.datasets import Dataset
from em_assets.errors import EMAssetsError, NotBuiltError, StoreError
from em_assets.keeping import bring
from em_assets.model import RawFile, VolumeRecord
from em_assets.settings import Settings
from em_assets.sources import read_manifest
from em_assets.volumes.store import CommittedVolume, resolve, volume_names

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Holding:
    """A dataset as the store holds it.

    Attributes
    ----------
    files
        Its manifest.
    records
        One a volume; none where no record was made yet.
    fields, conflicts
        Rows of its tables `fields` and `conflicts`.
    n_tags
        Original tags of its files.
    committed
        Its volumes by name; of one that is damaged what is wrong with it.
    """

    dataset: Dataset
    files: tuple[RawFile, ...]
    records: tuple[VolumeRecord, ...]
    fields: tuple[Row, ...]
    conflicts: tuple[Row, ...]
    n_tags: int
    committed: Mapping[str, CommittedVolume | str]


def read_holding(dataset: Dataset, settings: Settings) -> Holding | None:
    """The dataset as the store holds it; None where nothing was fetched.

    Raises
    ------
    StoreError
        A table of it cannot be read.
    """
    if not is_held(dataset.name, settings):
        return None
    bring(settings, dataset.name)
    return Holding(
        dataset=dataset,
        files=read_manifest(settings.raw_dir(dataset.name)) or (),
        records=_records(dataset, settings),
        fields=_rows(FIELDS, dataset, settings),
        conflicts=_rows(CONFLICTS, dataset, settings),
        n_tags=_n_rows(ORIGINAL_TAGS, dataset, settings),
        committed=dict(_committed(dataset, settings)),
    )


def in_words(error: Exception, settings: Settings) -> str:
    """What went wrong, without where the store lies: the page is the same wherever that is, and may be mailed."""
    text = str(error) or type(error).__name__
    for place in (settings.store, settings.remote):
        if place is not None:
            text = re.sub(rf"(?<![\w.:/-]){re.escape(str(place))}(?![\w.-])", "the store", text)
    return text


def _committed(dataset: Dataset, settings: Settings) -> Iterator[tuple[str, CommittedVolume | str]]:
    folder = settings.volumes_dir(dataset.name)
    for name in volume_names(folder):
        try:
            volume = resolve(folder / name)
        except (EMAssetsError, OSError) as error:
            yield name, in_words(error, settings)
            continue
        if volume is not None:
            yield name, volume


def _records(dataset: Dataset, settings: Settings) -> tuple[VolumeRecord, ...]:
    try:
        table = read_table(settings.metadata_dir(dataset.name) / f"{RECORD.name}.parquet", RECORD)
    except NotBuiltError:
        return ()
    return tuple(sorted(records_of_table(table), key=lambda record: record.volume))


def _rows(schema: TableSchema, dataset: Dataset, settings: Settings) -> tuple[Row, ...]:
    try:
        table = read_table(settings.metadata_dir(dataset.name) / f"{schema.name}.parquet", schema)
    except NotBuiltError:
        return ()
    return tuple(table.to_pylist())


def _n_rows(schema: TableSchema, dataset: Dataset, settings: Settings) -> int:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = settings.metadata_dir(dataset.name) / f"{schema.name}.parquet"
    if not path.is_file():
        return 0
    try:
        return int(pq.read_metadata(path).num_rows)  # the footer alone: a dataset may have millions of tags
    except (pa.ArrowException, OSError) as error:
        raise StoreError(f"{path}: not a readable Parquet file ({error}); remove it and fetch again") from error
