"""The graph: source → raw_files → original_tags → claims → record → volume → catalog → metadata_summary.

Bodies fetch arguments, call plain functions and return; each docstring is what the scientist reads in the UI.
"""

import dagster as dg
import pyarrow as pa

from em_assets import building
from em_assets.building import VolumeToWrite
from em_assets.catalog.consolidate import consolidate
from em_assets.catalog.holdings import holdings
from em_assets.catalog.summary import metadata_summary as summary_of
from em_assets.catalog.tables import write_text
from em_assets.defs import metadata
from em_assets.defs.partitions import each_dataset
from em_assets.defs.platform import Platform
from em_assets.sources import acquire, observe

OWNERS = ["team:em_assets"]
SUMMARY_FILE = "METADATA_SUMMARY.md"

AnyPlatform = dg.ResourceParam[Platform]

follows_its_datasets = (
    dg.AutomationCondition.eager()
    # Without this the catalog would wait until every dataset of the registry exists.
    .without(~dg.AutomationCondition.any_deps_missing())
)


@dg.observable_source_asset(group_name="acquisition", partitions_def=each_dataset)
def source(context: dg.OpExecutionContext, platform: AnyPlatform) -> dg.DataVersionsByPartition:
    """What the archive holds now: a listing and its fingerprint. Nothing is downloaded to learn it."""
    name = context.partition_key
    with platform.serving() as origin:
        seen = observe(platform.dataset(name).sources, origin)
    context.log.info(f"{len(seen.files)} files, fingerprint {seen.fingerprint[:12]}")
    return dg.DataVersionsByPartition({name: seen.fingerprint})


@dg.asset(
    group_name="acquisition",
    kinds={"file"},
    owners=OWNERS,
    partitions_def=each_dataset,
    deps=[source],
)
def raw_files(context: dg.AssetExecutionContext, platform: AnyPlatform) -> dg.MaterializeResult[None]:
    """The archive's files as they are, each whole: size and SHA-256 stand in the manifest. What is held is kept."""
    dataset = platform.dataset(context.partition_key)
    folder = platform.settings.raw_dir(dataset.name)
    with platform.serving() as origin:
        held = acquire(dataset.sources, origin, folder, log=context.log.info)
    n_bytes = sum(file.size_bytes for file in held.files)
    context.log.info(
        f"{len(held.files)} files, {metadata.size(n_bytes)}: {held.fetched} fetched "
        f"({held.fetched_bytes} bytes), {held.kept} already held"
    )
    return dg.MaterializeResult(
        data_version=dg.DataVersion(held.fingerprint),
        metadata={
            "origin": metadata.origin_badge(platform.settings.origin),
            "files": len(held.files),
            "bytes": n_bytes,
            "size": metadata.size(n_bytes),
            "fetched_files": held.fetched,
            "fetched_bytes": held.fetched_bytes,
            "kept_files": held.kept,
            "folder": dg.MetadataValue.path(str(folder)),
            "from": dg.MetadataValue.url(dataset.sources[0].url),
        },
    )


@dg.asset(
    group_name="metadata",
    kinds={"parquet"},
    owners=OWNERS,
    partitions_def=each_dataset,
    deps=[raw_files],
    io_manager_key="parquet",
)
def original_tags(context: dg.AssetExecutionContext, platform: AnyPlatform) -> pa.Table:
    """Every tag that the dataset's files carry, one row a tag: file, container, path, value, type."""
    tags = building.original_tags(platform.dataset(context.partition_key), platform.settings)
    n_files = len(tags["file"].unique())
    context.log.info(f"{tags.num_rows} tags of {n_files} files")
    context.add_output_metadata(
        {
            "tags": tags.num_rows,
            "files": n_files,
            "first": metadata.markdown_table(tags.column_names, tags[:20].to_pylist()),
        }
    )
    return tags


@dg.asset(
    group_name="metadata",
    kinds={"parquet"},
    owners=OWNERS,
    partitions_def=each_dataset,
    deps=[original_tags],
    io_manager_key="parquet",
)
def claims(context: dg.AssetExecutionContext, platform: AnyPlatform) -> pa.Table:
    """What files, publisher and earlier looks say of each field, one row a claim, each with where it is said."""
    found = building.claims(platform.dataset(context.partition_key), platform.settings)
    context.log.info(f"{found.num_rows} claims")
    context.add_output_metadata(
        {
            "claims": found.num_rows,
            "all": metadata.markdown_table(
                ["volume", "field", "value", "unit", "kind", "said_by", "locator"], found[:100].to_pylist()
            ),
        }
    )
    return found


@dg.asset(
    group_name="metadata", kinds={"parquet"}, owners=OWNERS, partitions_def=each_dataset, io_manager_key="parquet"
)
def record(
    context: dg.AssetExecutionContext, platform: AnyPlatform, claims: pa.Table
) -> dg.Output[dict[str, pa.Table]]:
    """What is true of each volume, as far as anyone witnessed it, and the conflicts between those who claim."""
    records, conflicts = building.record(platform.dataset(context.partition_key), platform.settings, claims)
    context.log.info(f"{records.num_rows} volumes, {conflicts.num_rows} conflicts")
    return dg.Output(
        {"record": records, "conflicts": conflicts},
        metadata={
            "volumes": records.num_rows,
            "conflicts": conflicts.num_rows,
            "record": metadata.turned_table(records.to_pylist(), heading="volume"),
            "disagreements": metadata.markdown_table(conflicts.column_names, conflicts.to_pylist()),
        },
    )


@dg.asset(group_name="volumes", kinds={"zarr"}, owners=OWNERS, partitions_def=each_dataset, io_manager_key="zarr")
def volume(
    context: dg.AssetExecutionContext, platform: AnyPlatform, record: pa.Table
) -> dg.Output[list[VolumeToWrite]]:
    """The dataset's volumes as multiscale OME-Zarr: all levels made in one pass, each volume visible once whole."""
    return dg.Output(
        list(building.volumes_to_write(platform.dataset(context.partition_key), platform.settings, record))
    )


@dg.asset(
    group_name="catalog",
    kinds={"parquet"},
    owners=OWNERS,
    deps=[dg.AssetDep(asset, partition_mapping=dg.AllPartitionMapping()) for asset in (original_tags, record, volume)],
    io_manager_key="parquet",
    automation_condition=follows_its_datasets,
)
def catalog(context: dg.AssetExecutionContext, platform: AnyPlatform) -> dg.Output[dict[str, pa.Table]]:
    """One catalog over all datasets that exist: `datasets`, `volumes` and `tags`, ready for SQL (`em-assets query`)."""
    tables = consolidate(holdings(platform.datasets, platform.settings))
    counts = {name: table.num_rows for name, table in tables.items()}
    context.log.info(", ".join(f"{count} {name}" for name, count in counts.items()))
    columns = [
        "dataset",
        "volume",
        "technique",
        "organism",
        "dtype",
        "shape_z",
        "shape_y",
        "shape_x",
        "voxel_size_z_nm",
    ]
    return dg.Output(
        tables,
        metadata={
            "origin": metadata.origin_badge(platform.settings.origin),
            **counts,
            "catalogued_volumes": metadata.markdown_table(columns, tables["volumes"].to_pylist()),
        },
    )


@dg.asset(group_name="catalog", kinds={"markdown"}, owners=OWNERS, automation_condition=follows_its_datasets)
def metadata_summary(
    context: dg.AssetExecutionContext, platform: AnyPlatform, catalog: dict[str, pa.Table]
) -> dg.MaterializeResult[None]:
    """The two tables that EM people know: each dataset's values, and which fields occur in which datasets and files."""
    path = platform.settings.catalog_dir / SUMMARY_FILE
    text = summary_of(catalog)
    write_text(text, path)
    context.log.info(str(path))
    return dg.MaterializeResult(
        metadata={
            "file": dg.MetadataValue.path(str(path)),
            "bytes": len(text.encode()),
            "summary": dg.MetadataValue.md(text[:20_000]),
        }
    )
