"""A dataset as the store holds it, for those who write it down in another layout."""

import json
import warnings
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from em_assets.blocks import VolumeDataset, open_volume
from em_assets.catalog.schemas import CLAIMS, CONFLICTS, ORIGINAL_TAGS, RECORD, TableSchema
from em_assets.catalog.tables import claims_of_table, conflicts_of_table, read_table, records_of_table
from em_assets.datasets import Dataset
from em_assets.errors import NotBuiltError
from em_assets.formats.json_tags import unflatten
from em_assets.keeping import bring, bring_raw
from em_assets.model import Claim, Conflict, RawFile, Tag, VolumeRecord
from em_assets.settings import Settings
from em_assets.sources import read_fingerprint, read_manifest
from em_assets.sources.manifest import FILES
from em_assets.volumes.store import committed_volumes

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Held:
    """A dataset, its records and its committed volumes, in the order of the records."""

    dataset: Dataset
    settings: Settings
    records: tuple[VolumeRecord, ...]

    @property
    def name(self) -> str:
        """The dataset's name."""
        return self.dataset.name

    def volume(self, name: str) -> VolumeDataset:
        """A committed volume, opened lazily; `dispute` says why its voxel size may be unknown."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of the dispute: a layout refuses, with these words
            return open_volume(self.name, volume=name, settings=self.settings)

    @cached_property
    def claims(self) -> tuple[Claim, ...]:
        """Who says what of which field."""
        return tuple(claims_of_table(self._table(CLAIMS)))

    @cached_property
    def conflicts(self) -> tuple[Conflict, ...]:
        """Where they disagree."""
        return tuple(conflicts_of_table(self._table(CONFLICTS)))

    @cached_property
    def tags(self) -> "pa.Table":
        """Every original tag of every file."""
        return self._table(ORIGINAL_TAGS)

    def json_documents(self, file: str) -> dict[str, Any]:
        """The JSON documents of a Zarr tree, or of another file that keeps its tags as JSON, by their name in it."""
        import pyarrow.compute as pc

        rows = self.tags.filter(pc.field("file") == file).to_pylist()
        return unflatten(
            Tag(row["container"], row["path"], _value(row["value"], row["type"]), row["type"])
            for row in rows
            if row["type"].startswith("json:")
        )

    @cached_property
    def tagged_files(self) -> tuple[str, ...]:
        """The files that carry tags, as the tags' rows name them."""
        return tuple(str(file) for file in self.tags["file"].unique().to_pylist())

    @cached_property
    def files(self) -> tuple[RawFile, ...]:
        """The manifest of the raw files."""
        return read_manifest(self.settings.raw_dir(self.name)) or ()

    @property
    def fingerprint(self) -> str | None:
        """What the source held when the raw files came."""
        return read_fingerprint(self.settings.raw_dir(self.name))

    def raw_folder(self) -> Path:
        """The folder of the raw files, all of them on this disk."""
        bring_raw(self.settings, self.name)
        return self.settings.raw_dir(self.name) / FILES

    def _table(self, schema: TableSchema) -> "pa.Table":
        return read_table(self.settings.metadata_dir(self.name) / f"{schema.name}.parquet", schema)


def _value(text: str, kind: str) -> Any:
    return text if kind == "json:string" else json.loads(text)


def held(dataset: Dataset, settings: Settings) -> Held:
    """The dataset as the store holds it.

    Raises
    ------
    NotBuiltError
        It was not fetched, or not all of its volumes are written.
    """
    bring(settings, dataset.name)
    folder = settings.metadata_dir(dataset.name)
    try:
        records = tuple(records_of_table(read_table(folder / f"{RECORD.name}.parquet", RECORD)))
    except NotBuiltError as error:
        raise NotBuiltError(f"{dataset.name} is not fetched yet: em-assets fetch {dataset.name}") from error
    written = committed_volumes(settings.volumes_dir(dataset.name))
    missing = [record.volume for record in records if record.volume not in written]
    if missing:
        raise NotBuiltError(
            f"{dataset.name}: {', '.join(missing)}: not written yet: em-assets fetch {dataset.name} first"
        )
    return Held(dataset, settings, records)
