"""What the store holds of each dataset, read from its manifests, tables and commits: never from a run's history."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from em_assets.catalog.categories import category_names
from em_assets.catalog.consolidate import DatasetPart, Written, rows_of
from em_assets.catalog.schemas import CLAIMS, CONFLICTS, FIELDS, FILES, ORIGINAL_TAGS, RECORD, TableSchema
from em_assets.catalog.tables import claims_of_table, read_table
from em_assets.datasets import Dataset
from em_assets.errors import NotBuiltError
from em_assets.keeping import bring, bring_folder, bring_manifest
from em_assets.model import Claim
from em_assets.settings import Settings
from em_assets.sources import read_fingerprint, read_manifest
from em_assets.volumes.store import CommittedVolume, committed_volumes

if TYPE_CHECKING:
    import pyarrow as pa


def holdings(datasets: Mapping[str, Dataset], settings: Settings) -> dict[str, DatasetPart]:
    """What each dataset brings to the catalog; datasets of which nothing was fetched are left out."""
    return {name: part for name, dataset in datasets.items() if (part := holding(dataset, settings)) is not None}


def holding(dataset: Dataset, settings: Settings) -> DatasetPart | None:
    """What one dataset brings to the catalog; None where nothing was fetched.

    Raises
    ------
    StoreError
        What is held is damaged.
    """
    bring(settings, dataset.name)
    files = read_manifest(settings.raw_dir(dataset.name))
    if files is None:
        return None
    folder = settings.metadata_dir(dataset.name)
    committed = committed_volumes(settings.volumes_dir(dataset.name))
    return DatasetPart(
        origin=settings.origin,
        title=dataset.title,
        source_url=dataset.sources[0].url,
        source_fingerprint=read_fingerprint(settings.raw_dir(dataset.name)),
        files=files,
        original_tags=_table(folder, ORIGINAL_TAGS),
        claims=_table(folder, CLAIMS),
        record=_table(folder, RECORD),
        conflicts=_table(folder, CONFLICTS),
        fields=_table(folder, FIELDS),
        described_files=_table(folder, FILES),
        written={name: _written(dataset.name, volume) for name, volume in committed.items()},
    )


def is_held(name: str, settings: Settings) -> bool:
    """Whether anything of a dataset was fetched."""
    bring_manifest(settings, name)
    return read_manifest(settings.raw_dir(name)) is not None


def describe(dataset: Dataset, settings: Settings) -> dict[str, Any]:
    """A dataset and its volumes as `em-assets show` prints them; no volumes where nothing was fetched.

    `fields` of a volume are its rows of the table `fields`; those of the whole dataset stand beside `volumes`, and so
    do all `conflicts`. Values are as they were before they became JSON.
    """
    part = holding(dataset, settings)
    if part is None:
        return {"dataset": dataset.name, "title": dataset.title, "origin": settings.origin, "volumes": []}
    described, volumes = rows_of(dataset.name, part)
    fields = _decoded(part.fields, ("value",))
    return described | {
        "volumes": [described_volume(row) | {"fields": _of_volume(row["volume"], fields)} for row in volumes],
        "fields": _of_volume(None, fields),
        "conflicts": _decoded(part.conflicts, ("value", "other_value")),
    }


def conflicts_held(datasets: Mapping[str, Dataset], settings: Settings) -> list[dict[str, Any]]:
    """The conflicts of these datasets, values as they were before they became JSON, in the catalog's order.

    Raises
    ------
    NotBuiltError
        None of the datasets has a record yet.
    """
    held = {name: _table_held(name, CONFLICTS, settings) for name in sorted(datasets)}
    if all(table is None for table in held.values()):
        names = next(iter(held)) if len(held) == 1 else "DATASET"
        raise NotBuiltError(f"{settings.address}: nothing is recorded yet; em-assets fetch {names}")
    return [row for table in held.values() for row in _decoded(table, ("value", "other_value"))]


def claims_held(datasets: Mapping[str, Dataset], settings: Settings) -> dict[str, list[Claim]]:
    """The claims that the store has about each dataset; datasets without any are left out."""
    held = {name: _table_held(name, CLAIMS, settings) for name in sorted(datasets)}
    return {name: claims_of_table(table) for name, table in held.items() if table is not None}


def categories_held(datasets: Mapping[str, Dataset], settings: Settings) -> dict[str, list[str]]:
    """The categories of each dataset's original tags; datasets without any are left out."""
    held = {name: _table_held(name, ORIGINAL_TAGS, settings) for name in sorted(datasets)}
    return {name: category_names(table) for name, table in held.items() if table is not None}


def described_volume(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of `volumes` with its triples put together; `voxel_size_zyx_nm` is None where no axis is known."""
    triples = {name: [row[_axis(name, axis)] for axis in "zyx"] for name in _TRIPLES}
    single = {key: value for key, value in row.items() if key not in _AXES and key not in ("dataset", "volume")}
    return {
        "volume": row["volume"],
        "shape_zyx": None if None in triples["shape_zyx"] else triples["shape_zyx"],
        "voxel_size_zyx_nm": None if triples["voxel_size_zyx_nm"] == [None] * 3 else triples["voxel_size_zyx_nm"],
        "extent_zyx_nm": None if None in triples["extent_zyx_nm"] else triples["extent_zyx_nm"],
    } | single


def _axis(triple: str, axis: str) -> str:
    return triple.replace("zyx", axis)


_TRIPLES = ("shape_zyx", "voxel_size_zyx_nm", "extent_zyx_nm")
_AXES = frozenset(_axis(triple, axis) for triple in _TRIPLES for axis in "zyx")


def _decoded(table: "pa.Table | None", keys: Sequence[str]) -> list[dict[str, Any]]:
    """Rows of a table with the values of these columns decoded."""
    rows = [] if table is None else table.to_pylist()
    return [row | {key: None if row[key] is None else json.loads(row[key]) for key in keys} for row in rows]


def _of_volume(volume: str | None, fields: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {key: value for key, value in row.items() if key not in ("dataset", "volume")}
        for row in fields
        if row["volume"] == volume
    ]


def _table_held(name: str, schema: TableSchema, settings: Settings) -> "pa.Table | None":
    bring_folder(settings, settings.metadata_dir(name))
    return _table(settings.metadata_dir(name), schema)


def _table(folder: Path, schema: TableSchema) -> "pa.Table | None":
    path = folder / f"{schema.name}.parquet"
    return read_table(path, schema) if path.exists() else None


def _written(dataset: str, volume: CommittedVolume) -> Written:
    commit = volume.commit
    return Written(
        # From the store's root on, so that two stores with the same volumes have the same catalog.
        url=f"volumes/{dataset}/{volume.folder.name}/{commit.generation}",
        generation=commit.generation,
        n_levels=commit.n_levels,
        chunk_shape=str(list(commit.chunk_shape)),
        shard_shape=str(list(commit.shard_shape)) if commit.shard_shape else None,
        compressor=commit.compressor,
    )
