"""Tables go through the Parquet IO manager as Arrow or as pandas."""

import dagster as dg
import pandas as pd
import pyarrow as pa
import pytest

from em_assets.catalog.tables import tags_table
from em_assets.defs.io_managers import ParquetTables
from em_assets.model import Tag
from em_assets.settings import Settings

TAGS = tags_table("a.tif", [Tag("page 0", "ImageWidth", 640, "SHORT"), Tag("page 0", "Software", "ImageJ", "ASCII")])


@dg.asset(io_manager_key="parquet", partitions_def=dg.StaticPartitionsDefinition(["one"]))
def original_tags() -> pd.DataFrame:
    return TAGS.to_pandas()


@dg.asset(io_manager_key="parquet", partitions_def=dg.StaticPartitionsDefinition(["one"]))
def frame(original_tags: pd.DataFrame) -> dg.MaterializeResult[None]:
    return dg.MaterializeResult(metadata={"type": type(original_tags).__name__, "rows": len(original_tags)})


@dg.asset(io_manager_key="parquet", partitions_def=dg.StaticPartitionsDefinition(["one"]))
def table(original_tags: pa.Table) -> dg.MaterializeResult[None]:
    return dg.MaterializeResult(metadata={"is_equal": original_tags.equals(TAGS)})


@pytest.mark.parametrize(
    ("asset", "seen"), [(frame, {"type": "DataFrame", "rows": 2}), (table, {"is_equal": True})], ids=["pandas", "arrow"]
)
def test_a_data_frame_is_kept_as_the_same_table(
    asset: dg.AssetsDefinition, seen: dict[str, object], tmp_path_factory: pytest.TempPathFactory
) -> None:
    settings = Settings(store=tmp_path_factory.mktemp("store"))
    with dg.DagsterInstance.ephemeral() as instance:
        result = dg.materialize(
            [original_tags, asset],
            resources={"parquet": ParquetTables(settings)},
            partition_key="one",
            instance=instance,
        )
        metadata = result.asset_materializations_for_node(asset.op.name)[0].metadata
    assert {key: metadata[key].value for key in seen} == seen
