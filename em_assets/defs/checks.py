"""What must hold of the data, as asset checks.

Blocking ones stop the run: what they refuse must never look finished. The others are badges that people read.
"""

from collections.abc import Mapping, Sequence

import dagster as dg
import pyarrow as pa

from em_assets import checking
from em_assets.catalog.schemas import CONFLICTS
from em_assets.catalog.tables import read_table
from em_assets.defs import metadata
from em_assets.defs.assets import AnyPlatform, raw_files, record, volume
from em_assets.defs.partitions import each_dataset

CONFLICT_PAGE = (
    "volume",
    "field",
    "value",
    "unit",
    "said_by",
    "kind",
    "other_value",
    "other_said_by",
    "other_kind",
    "factor",
    "cause",
    "rule",
)
"""Columns of a conflict as the UI shows it."""


@dg.asset_check(asset=raw_files, blocking=True, partitions_def=each_dataset)
def raw_files_complete(context: dg.AssetCheckExecutionContext, platform: AnyPlatform) -> dg.AssetCheckResult:
    """Every file of the manifest is on the disk with its size."""
    dataset = platform.dataset(context.partition_key)
    return _judged(checking.incomplete_files(dataset, platform.settings), "every file is whole")


@dg.asset_check(asset=volume, blocking=True, partitions_def=each_dataset)
def volume_readable(context: dg.AssetCheckExecutionContext, platform: AnyPlatform) -> dg.AssetCheckResult:
    """An independent reader opens every level with the shape and type that were committed."""
    dataset = platform.dataset(context.partition_key)
    return _judged(checking.unreadable_volumes(dataset, platform.settings), "zarr-python opens every level")


@dg.asset_check(asset=volume, blocking=True, partitions_def=each_dataset)
def pixels_equal_source(context: dg.AssetCheckExecutionContext, platform: AnyPlatform) -> dg.AssetCheckResult:
    """Blocks drawn by a seed hold the same voxels in the written volume and, as another library reads it, the source.

    The libraries are tifffile, ncempy, mrcfile, zarr-python and cloud-volume. A file that its library does not take is
    compared with what our own reader says; the result names who read each volume.
    """
    dataset = platform.dataset(context.partition_key)
    compared = checking.unequal_blocks(dataset, platform.settings)
    return _judged(compared.unequal, f"seeded blocks are equal ({'; '.join(compared.read_by)})")


@dg.asset_check(asset=volume, blocking=True, partitions_def=each_dataset)
def volume_not_blank(context: dg.AssetCheckExecutionContext, platform: AnyPlatform) -> dg.AssetCheckResult:
    """No volume is all zero or of one value: what an empty crop and a missing chunk look like."""
    dataset = platform.dataset(context.partition_key)
    return _judged(checking.blank_volumes(dataset, platform.settings), "every volume has a picture in it")


@dg.asset_check(asset=record, partitions_def=each_dataset)
def conflicts_settled(context: dg.AssetCheckExecutionContext, platform: AnyPlatform) -> dg.AssetCheckResult:
    """Sources that disagree: a warning where a rule decides between them, an error where none does.

    The page shows both values with who says them, the factor between them, what likely went wrong, and the verdict.
    """
    folder = platform.settings.metadata_dir(context.partition_key)
    rows = read_table(folder / "conflicts.parquet", CONFLICTS).to_pylist()
    unsettled = [row for row in rows if not row["is_settled"]]
    found = [
        f"{row['field']}: {row['value']} ({row['said_by']}) or {row['other_value']} ({row['other_said_by']})"
        + (f": {row['cause']}" if row["cause"] else "")
        for row in rows
    ]
    severity = dg.AssetCheckSeverity.ERROR if unsettled else dg.AssetCheckSeverity.WARN
    page = {"conflicts": metadata.markdown_table(CONFLICT_PAGE, rows)} if rows else {}
    return _judged(found, "nobody contradicts anybody", severity, page)


@dg.asset_check(asset=record, partitions_def=each_dataset)
def plausible(context: dg.AssetCheckExecutionContext, platform: AnyPlatform) -> dg.AssetCheckResult:
    """Nothing in the record breaks a rule of physics: techniques and z steps, units lost, axes turned, defaults."""
    broken = checking.implausible_volumes(platform.dataset(context.partition_key), platform.settings)
    rows = [{"volume": one.volume, "rule": one.rule, "found": one.found, "reason": one.reason} for one in broken]
    page = {"rules": metadata.markdown_table(["volume", "rule", "found", "reason"], rows)} if rows else {}
    return _judged([str(one) for one in broken], "no rule of physics is broken", dg.AssetCheckSeverity.WARN, page)


@dg.asset_check(asset=record, partitions_def=each_dataset)
def claims_readable(context: dg.AssetCheckExecutionContext, platform: AnyPlatform) -> dg.AssetCheckResult:
    """Every claim of a field of the record can be read: its unit fits, its date is unambiguous, its number is one."""
    found = checking.unreadable_claims(platform.dataset(context.partition_key), platform.settings)
    return _judged(found, "every claim can be read", dg.AssetCheckSeverity.WARN)


@dg.asset_check(asset=record, partitions_def=each_dataset)
def archive_complete(context: dg.AssetCheckExecutionContext, platform: AnyPlatform) -> dg.AssetCheckResult:
    """What the archive declares is held: files, bytes, folders, and as many chunks as shape over chunk shape gives."""
    found = checking.incomplete_holding(platform.dataset(context.partition_key), platform.settings)
    return _judged(found, "all that is declared is held", dg.AssetCheckSeverity.WARN)


@dg.asset_check(asset=record, partitions_def=each_dataset)
def voxel_size_known(record: pa.Table) -> dg.AssetCheckResult:
    """Somebody witnessed the voxel size on all three axes."""
    found = [
        f"{row['volume']}: the voxel size along {axis} is unknown; say it in the dataset's TOML, with its source"
        for row in record.to_pylist()
        for axis in "zyx"
        if row[f"voxel_size_{axis}_nm"] is None
    ]
    return _judged(found, "known on every axis", dg.AssetCheckSeverity.WARN)


@dg.asset_check(asset=record, partitions_def=each_dataset)
def licence_known(record: pa.Table) -> dg.AssetCheckResult:
    """Somebody said under which licence the data may be used."""
    unknown = [row["volume"] for row in record.to_pylist() if not row["licence"]]
    found = [f"licence of {', '.join(unknown)} unknown; ask the publisher before you pass it on"] if unknown else []
    return _judged(found, "a licence is known for every volume", dg.AssetCheckSeverity.WARN)


def _judged(
    found: Sequence[str],
    good: str,
    severity: dg.AssetCheckSeverity = dg.AssetCheckSeverity.ERROR,
    page: Mapping[str, dg.MarkdownMetadataValue] | None = None,
) -> dg.AssetCheckResult:
    """Passed where nothing was found; what was found is the description, and a list in the metadata."""
    described = "; ".join(found[:3]) + (f"; and {len(found) - 3} more" if len(found) > 3 else "")
    return dg.AssetCheckResult(
        passed=not found,
        severity=severity,
        description=described or good,
        metadata={"found": len(found), **({"list": metadata.bullets(found)} if found else {}), **(page or {})},
    )


ALL = [
    raw_files_complete,
    volume_readable,
    pixels_equal_source,
    volume_not_blank,
    conflicts_settled,
    plausible,
    claims_readable,
    archive_complete,
    voxel_size_known,
    licence_known,
]
