"""Tables go through the Parquet IO manager as Arrow or as pandas."""

import dagster as dg
import pandas as pd
import pyarrow as pa
import pytest

from em_assets.catalog.tables import tags_table
from em_assets.catalog.writing import read_catalog
from em_assets.definitions import build_defs
from em_assets.defs.io_managers import ParquetTables
from em_assets.defs.platform import Platform, platform_resource
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


@dg.asset(io_manager_key="parquet")
def own(catalog: dict[str, pa.Table]) -> dg.MaterializeResult[None]:
    return dg.MaterializeResult(metadata={"tables": sorted(catalog), "rows": catalog["datasets"].num_rows})


def test_an_asset_of_a_user_s_own_gets_the_catalog_s_tables(tmp_path_factory: pytest.TempPathFactory) -> None:
    """`catalog` writes them itself; who asks for it gets what is written."""
    settings = Settings(store=tmp_path_factory.mktemp("store"))
    with dg.DagsterInstance.ephemeral() as instance:
        result = dg.materialize(
            [build_defs(settings).get_assets_def("catalog"), own],
            resources={"parquet": ParquetTables(settings), "platform": platform_resource(Platform(settings, {}))},
            instance=instance,
        )
        metadata = result.asset_materializations_for_node("own")[0].metadata
    assert metadata["tables"].value == sorted(read_catalog(settings))
    assert metadata["rows"].value == 0
