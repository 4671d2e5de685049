"""A dataset's block index: one row a chunk, where SQL finds it."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from em_assets.catalog.block_index import block_index_path, write_block_index
from em_assets.catalog.consolidate import consolidate
from em_assets.catalog.query import query
from em_assets.catalog.schemas import BLOCK_INDEX, DATASETS
from em_assets.catalog.tables import write_table
from em_assets.errors import StoreError
from em_assets.formats.volume import SourceLevel, SourceVolume
from em_assets.settings import Settings
from em_assets.volumes.pyramid import write_pyramid
from em_assets.volumes.store import commit_volume


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A store with an empty catalog and two datasets of one volume each: 2 × 2 × 2 chunks, the first one blank."""
    settings = Settings(store=tmp_path)
    for dataset in ("one", "two"):
        commit(settings.volumes_dir(dataset) / "em")
    write_table(consolidate({})["datasets"], settings.catalog_dir / "datasets.parquet", DATASETS)
    return settings


def commit(folder: Path) -> None:
    voxels = np.random.default_rng(1).integers(1, 255, (70, 80, 90), dtype=np.uint8)
    voxels[:64, :64, :64] = 0

    def read_box(start: Any, shape: Any) -> NDArray[Any]:
        return voxels[tuple(slice(s, s + n) for s, n in zip(start, shape, strict=True))].copy()

    source = SourceVolume("em", "numpy", voxels.dtype, (SourceLevel(voxels.shape, (None,) * 3, read_box),), ("em.npy",))
    commit_volume(
        folder,
        "aaaa",
        lambda dest: write_pyramid(
            source, dest, ome_zarr="0.5", content="em", voxel_size_zyx_nm=(None,) * 3, name="em", attributes={}
        ),
    )


def test_every_chunk_of_every_volume_has_a_row(settings: Settings) -> None:
    written = write_block_index("one", settings)
    table = pq.read_table(written.path)
    assert (written.path, written.n_rows) == (block_index_path("one", settings), 8)
    assert table.schema.equals(BLOCK_INDEX.arrow)
    first = table.to_pylist()[0]
    assert (first["dataset"], first["volume"], first["z"], first["n_voxels"]) == ("one", "em", 0, 64**3)
    assert (first["max"], first["zero_fraction"]) == (0.0, 1.0)
    assert written.volumes[0]["shown"] == "48.0%"


def test_the_same_volumes_give_the_same_bytes(settings: Settings) -> None:
    first = write_block_index("one", settings).path.read_bytes()
    assert write_block_index("one", settings).path.read_bytes() == first


def test_questions_reach_the_chunks_of_all_datasets(settings: Settings) -> None:
    for dataset in ("one", "two"):
        write_block_index(dataset, settings)
    sql = "SELECT dataset, count(*) AS n FROM block_index WHERE max > min GROUP BY ALL ORDER BY ALL"
    assert query(sql, settings).to_pylist() == [{"dataset": "one", "n": 7}, {"dataset": "two", "n": 7}]


def test_an_index_that_is_not_the_committed_one_is_refused(settings: Settings) -> None:
    (index,) = settings.volumes_dir("one").glob("em/generations/*.block_index.parquet")
    index.write_bytes(b"PAR1")
    with pytest.raises(StoreError, match="not the bytes that were committed"):
        write_block_index("one", settings)
    assert not block_index_path("one", settings).exists()
