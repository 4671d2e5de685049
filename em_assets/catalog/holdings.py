"""What the store holds of each dataset, read from its manifests, tables and commits: never from a run's history."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from em_assets.catalog.consolidate import DatasetPart, Written, rows_of
from em_assets.catalog.schemas import CLAIMS, CONFLICTS, ORIGINAL_TAGS, RECORD, TableSchema
from em_assets.catalog.tables import read_table
from em_assets.datasets import Dataset
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
        written={name: _written(volume) for name, volume in committed.items()},
    )


def describe(dataset: Dataset, settings: Settings) -> dict[str, Any]:
    """A dataset and its volumes as `em-assets show` prints them; no volumes where nothing was fetched."""
    part = holding(dataset, settings)
    if part is None:
        return {"dataset": dataset.name, "title": dataset.title, "origin": settings.origin, "volumes": []}
    described, volumes = rows_of(dataset.name, part)
    return described | {"volumes": [described_volume(row) for row in volumes]}


def described_volume(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of `volumes` with its triples put together; `voxel_size_zyx_nm` is None where no axis is known."""
    shape = [row[f"shape_{axis}"] for axis in "zyx"]
    voxel_size = [row[f"voxel_size_{axis}_nm"] for axis in "zyx"]
    first = {
        "volume": row["volume"],
        "shape_zyx": None if None in shape else shape,
        "voxel_size_zyx_nm": None if voxel_size == [None] * 3 else voxel_size,
    }
    split = {f"{name}_{axis}{unit}" for name, unit in (("shape", ""), ("voxel_size", "_nm")) for axis in "zyx"}
    return first | {key: value for key, value in row.items() if key not in split and key not in ("dataset", "volume")}


def _table(folder: Path, schema: TableSchema) -> "pa.Table | None":
    path = folder / f"{schema.name}.parquet"
    return read_table(path, schema) if path.exists() else None


def _written(volume: CommittedVolume) -> Written:
    commit = volume.commit
    return Written(
        url=str(volume.path),
        generation=commit.generation,
        n_levels=commit.n_levels,
        chunk_shape=str(list(commit.chunk_shape)),
        shard_shape=str(list(commit.shard_shape)) if commit.shard_shape else None,
        compressor=commit.compressor,
    )
