"""What is made over all datasets: catalog → metadata_summary, catalog_page."""

import dagster as dg

from em_assets.catalog.report import as_json, consolidated_metadata, consolidated_report
from em_assets.catalog.summary import metadata_summary as summary_of
from em_assets.catalog.tables import write_text
from em_assets.catalog.writing import TURN, read_catalog, write_catalog
from em_assets.defs import metadata
from em_assets.defs.assets import original_tags, record, volume
from em_assets.defs.platform import OWNERS, AnyPlatform
from em_assets.defs.retrying import retried
from em_assets.keeping import changing, send_folder, turn
from em_assets.page.writing import write_page

SUMMARY_FILE = "METADATA_SUMMARY.md"
CATEGORIES_FILE = "consolidated_metadata.json"
REPORT_FILE = "metadata_consolidated_report.json"

follows_its_datasets = (
    dg.AutomationCondition.eager()
    # Without this the catalog would wait until every dataset of the registry exists.
    .without(~dg.AutomationCondition.any_deps_missing())
)


@dg.asset(
    group_name="catalog",
    kinds={"parquet"},
    owners=OWNERS,
    deps=[dg.AssetDep(asset, partition_mapping=dg.AllPartitionMapping()) for asset in (original_tags, record, volume)],
    io_manager_key="parquet",
    automation_condition=follows_its_datasets,
)
@retried()
def catalog(context: dg.AssetExecutionContext, platform: AnyPlatform) -> dg.MaterializeResult[None]:
    """One catalog over all datasets that exist, from their volumes to every tag and claim, ready for SQL.

    Its tables are `datasets`, `volumes`, `files`, `tags`, `claims`, `conflicts` and `fields`: `em-assets query`.
    """
    # Not left to the IO manager, which would write what was read before another run's turn, and after it.
    tables = write_catalog(platform.datasets, platform.settings, context.log.info)
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
    return dg.MaterializeResult(
        metadata={
            "origin": metadata.origin_badge(platform.settings.origin),
            "folder": dg.MetadataValue.path(str(platform.settings.catalog_dir)),
            **counts,
            "catalogued_volumes": metadata.markdown_table(columns, tables["volumes"].to_pylist()),
        },
    )


@dg.asset(
    group_name="catalog", kinds={"markdown"}, owners=OWNERS, deps=[catalog], automation_condition=follows_its_datasets
)
@retried()
def metadata_summary(context: dg.AssetExecutionContext, platform: AnyPlatform) -> dg.MaterializeResult[None]:
    """The catalog to read: values and fields as two tables, and as JSON which tags occur where and what was found.

    METADATA_SUMMARY.md has the tables that EM people know; consolidated_metadata.json counts the datasets, and names
    the files, that carry each category of tags; metadata_consolidated_report.json compares resolutions and techniques.
    """
    settings, folder = platform.settings, platform.settings.catalog_dir
    with turn(settings, TURN, context.log.info):
        tables = read_catalog(settings)
        report, categories = consolidated_report(tables), consolidated_metadata(tables)
        texts = {SUMMARY_FILE: summary_of(tables), CATEGORIES_FILE: as_json(categories), REPORT_FILE: as_json(report)}
        with changing(settings, folder):
            for name, text in texts.items():
                write_text(text, folder / name)
                context.log.info(str(folder / name))
            send_folder(settings, folder)
    return dg.MaterializeResult(
        metadata={
            "folder": dg.MetadataValue.path(str(folder)),
            "bytes": sum(len(text.encode()) for text in texts.values()),
            "key_findings": metadata.bullets(report["summary"]["key_findings"]),
            "summary": dg.MetadataValue.md(texts[SUMMARY_FILE][:20_000]),
            "categories": dg.MetadataValue.json(categories["summary"]),
            "report": dg.MetadataValue.json(report["summary"]),
        }
    )


@dg.asset(
    group_name="catalog", kinds={"html"}, owners=OWNERS, deps=[catalog], automation_condition=follows_its_datasets
)
@retried()
def catalog_page(context: dg.AssetExecutionContext, platform: AnyPlatform) -> dg.MaterializeResult[None]:
    """The catalog as one HTML page to look at, a card a volume: picture with its scale, record, who says it, conflicts.

    `catalog/index.html` in the store opens in any browser, from the disk as well, and asks for nothing else.
    """
    page = write_page(platform.datasets, platform.settings, context.log.info)
    cards = page.catalogue.cards
    context.log.info(f"{len(cards)} volumes: {page.address}")
    return dg.MaterializeResult(
        metadata={
            "page": dg.MetadataValue.path(page.address),
            "url": dg.MetadataValue.url(page.path.as_uri()),
            "volumes": len(cards),
            "without_picture": sum(card.picture is None for card in cards),
            "bytes": page.size_bytes,
        }
    )
