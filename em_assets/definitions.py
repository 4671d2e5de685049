"""Everything wired, once: what Dagster loads."""

import warnings

import dagster as dg

# Partitioned asset checks and observable source assets are previews in this release; both are pinned and tested here.
warnings.filterwarnings("ignore", category=dg.PreviewWarning)
warnings.filterwarnings("ignore", category=dg.BetaWarning)

# The filters must stand before these are declared.
from em_assets.defs import assets, automation, catalog_assets, checks  # noqa: E402
from em_assets.defs.io_managers import ParquetTables, ZarrVolumes  # noqa: E402
from em_assets.defs.partitions import DATASETS, SETTINGS  # noqa: E402
from em_assets.defs.platform import Platform, platform_resource  # noqa: E402
from em_assets.defs.runs import progress_logger  # noqa: E402
from em_assets.settings import Settings  # noqa: E402


def build_defs(settings: Settings = SETTINGS) -> dg.Definitions:
    """The whole platform on a store; a test gives it a store of its own."""
    return dg.Definitions(
        assets=[
            assets.source,
            assets.raw_files,
            assets.original_tags,
            assets.claims,
            assets.record,
            assets.volume,
            assets.block_index,
            assets.raw_bytes,
            assets.export,
            catalog_assets.catalog,
            catalog_assets.metadata_summary,
            catalog_assets.catalog_page,
        ],
        asset_checks=checks.ALL,
        jobs=[automation.dataset_job, automation.observe_job, automation.catalog_job],
        schedules=[automation.daily_catalog, automation.weekly_observation],
        sensors=[automation.source_changes, automation.gone_runs, automation.catalog_follows],
        resources={
            "platform": platform_resource(Platform(settings, DATASETS)),
            "parquet": ParquetTables(settings),
            "zarr": ZarrVolumes(settings),
        },
        loggers={"console": dg.colored_console_logger, "progress": progress_logger},
        # A step in a process of its own costs five to six seconds of imports.
        executor=dg.in_process_executor,
    )


defs = build_defs()
