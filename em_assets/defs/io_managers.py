"""How tables and volumes are stored and loaded; they decide nothing.

Tables go to Parquet under `metadata/<dataset>/` or `catalog/`, with the schema of their name. Volumes are written slab
by slab from an iterator and loaded as handles: an array is never held whole.
"""

from collections.abc import Mapping
from pathlib import Path

import dagster as dg
import pandas as pd
import pyarrow as pa

from em_assets.building import VolumeToWrite
from em_assets.catalog import schemas, tables
from em_assets.catalog.dumps import write_dumps
from em_assets.catalog.schemas import TableSchema
from em_assets.catalog.writing import read_catalog
from em_assets.defs import metadata
from em_assets.defs.pictures import of_volume
from em_assets.defs.retrying import retried
from em_assets.keeping import bring_folder, changing, send_folder, turn
from em_assets.settings import Settings
from em_assets.volumes.staging import sweep
from em_assets.volumes.store import CommittedVolume, committed_volumes

SCHEMAS: Mapping[str, TableSchema] = {schema.name: schema for schema in (*schemas.OF_A_DATASET, *schemas.CATALOG)}

Tables = Mapping[str, pa.Table]


class ParquetTables(dg.IOManager):
    """An asset's table, or its several tables by name, as Parquet; each is replaced in one step.

    Who annotates an input or hands an output as `pandas.DataFrame` gets and gives that.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def handle_output(self, context: dg.OutputContext, obj: pa.Table | pd.DataFrame | Tables) -> None:
        """Write the table or tables; a mapping's keys are the tables' names."""
        folder, name = self._folder(context), context.asset_key.path[-1]
        if isinstance(obj, pd.DataFrame):
            obj = pa.Table.from_pandas(obj, schema=SCHEMAS[name].arrow, preserve_index=False)
        by_name = {name: obj} if isinstance(obj, pa.Table) else obj
        with (
            retried(),
            turn(self._settings, _work(context), context.log.info),
            changing(self._settings, folder),
        ):
            folder.mkdir(parents=True, exist_ok=True)
            sweep(folder)
            for table_name, table in by_name.items():
                tables.write_table(table, folder / f"{table_name}.parquet", SCHEMAS[table_name])
            if context.has_partition_key:
                write_dumps(folder, by_name)
            send_folder(self._settings, folder)
        context.add_output_metadata(
            {"folder": dg.MetadataValue.path(str(folder)), "rows": sum(table.num_rows for table in by_name.values())}
        )

    def load_input(self, context: dg.InputContext) -> pa.Table | pd.DataFrame | dict[str, pa.Table]:
        """The asset's table; of the catalog all tables by name."""
        folder, name = self._folder(context), context.asset_key.path[-1]
        if name not in SCHEMAS:
            return read_catalog(self._settings)
        bring_folder(self._settings, folder)
        table = tables.read_table(folder / f"{name}.parquet", SCHEMAS[name])
        return table.to_pandas() if context.dagster_type.typing_type is pd.DataFrame else table

    def _folder(self, context: dg.InputContext | dg.OutputContext) -> Path:
        if context.has_partition_key:
            return self._settings.metadata_dir(context.partition_key)
        return self._settings.catalog_dir


class ZarrVolumes(dg.IOManager):
    """A dataset's volumes as OME-Zarr, each committed whole."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def handle_output(self, context: dg.OutputContext, obj: list[VolumeToWrite]) -> None:
        """Write and commit each volume in turn; one that is committed already costs nothing."""
        with retried(), turn(self._settings, _work(context), context.log.info):
            committed = {volume.name: self._commit(context, volume) for volume in obj}
        if not obj:  # their raw bytes were dropped after they were written
            committed = committed_volumes(self._settings.volumes_dir(context.partition_key))
        pictures = {f"preview_{name}": of_volume(volume) for name, volume in committed.items()}
        context.add_output_metadata(
            {
                **metadata.pictured(pictures),
                "origin": metadata.origin_badge(self._settings.origin),
                "folder": dg.MetadataValue.path(str(self._settings.volumes_dir(context.partition_key))),
                "volumes": len(committed),
                "written": sum(volume.is_new for volume in committed.values()),
                "bytes": sum(volume.commit.size_bytes for volume in committed.values()),
                "levels": metadata.markdown_table(_COLUMNS, [_row(name, volume) for name, volume in committed.items()]),
            }
        )

    def _commit(self, context: dg.OutputContext, volume: VolumeToWrite) -> CommittedVolume:
        committed = volume.commit()
        shape = " × ".join(str(voxels) for voxels in committed.commit.shape_zyx)
        done = "written" if committed.is_new else "already written"
        context.log.info(f"{volume.name}: {shape} voxels, {committed.commit.n_levels} levels, {done}")
        return committed

    def load_input(self, context: dg.InputContext) -> dict[str, CommittedVolume]:
        """The committed volumes by name, as handles."""
        return committed_volumes(self._settings.volumes_dir(context.partition_key))


_COLUMNS = ("volume", "shape_zyx", "dtype", "n_levels", "chunk_shape", "shard_shape", "compressor", "generation")


def _work(context: dg.OutputContext) -> str:
    """Name of what is being written, for the turn: an asset, and the partition where it has any."""
    return ".".join([*context.asset_key.path, *([context.partition_key] if context.has_partition_key else [])])


def _row(name: str, volume: CommittedVolume) -> dict[str, object]:
    return {key: getattr(volume.commit, key) for key in _COLUMNS[1:]} | {"volume": name}
