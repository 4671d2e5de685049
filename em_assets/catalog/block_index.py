"""A dataset's block index: the statistics of every chunk of its committed volumes as one table."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from em_assets.catalog.schemas import BLOCK_INDEX
from em_assets.catalog.tables import write_parts
from em_assets.settings import Settings
from em_assets.volumes.quality import Blocks
from em_assets.volumes.store import CommittedVolume, committed_volumes

if TYPE_CHECKING:
    import pyarrow as pa


class WrittenIndex(NamedTuple):
    """Where a block index was written, its rows, and for each volume what share of its voxels shows something."""

    path: Path
    n_rows: int
    volumes: list[dict[str, object]]


def write_block_index(dataset: str, settings: Settings) -> WrittenIndex:
    """Write `metadata/<dataset>/block_index.parquet`; the index of one volume is in memory at a time.

    Raises
    ------
    StoreError
        A volume's index is not there, or not the one that was committed.
    """
    path = block_index_path(dataset, settings)
    seen: list[dict[str, object]] = []

    def parts() -> "Iterator[pa.Table]":
        for name, volume in committed_volumes(settings.volumes_dir(dataset)).items():
            index = volume.block_index()
            seen.append({"volume": name, "chunks": index.num_rows} | _shown(volume, Blocks.of(index)))
            yield _rows(dataset, name, index)

    n_rows = write_parts(parts(), path, BLOCK_INDEX)
    return WrittenIndex(path, n_rows, seen)


def block_index_path(dataset: str, settings: Settings) -> Path:
    """Where the block index of a dataset lies."""
    return settings.metadata_dir(dataset) / f"{BLOCK_INDEX.name}.parquet"


def _rows(dataset: str, volume: str, index: "pa.Table") -> "pa.Table":
    import pyarrow as pa

    names = {"dataset": dataset, "volume": volume}
    columns: dict[str, Any] = {name: pa.repeat(value, index.num_rows) for name, value in names.items()}
    columns |= {name: index[name] for name in index.column_names}
    return pa.table(columns).cast(BLOCK_INDEX.arrow)


def _shown(volume: CommittedVolume, blocks: Blocks) -> dict[str, object]:
    statistics = volume.commit.statistics
    return {
        "shown": f"{blocks.picture_fraction():.1%}",
        "zero": f"{statistics.zero_fraction:.1%}",
        "min": statistics.min,
        "max": statistics.max,
        "mean": statistics.mean,
        "std": statistics.std,
    }
