"""What must hold of the data, as asset checks.

Blocking ones stop the run: what they refuse must never look finished. The others are badges that people read. Each says
what it promises, and what to do where that does not hold.
"""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence

import dagster as dg
import pyarrow as pa

from em_assets import checking, inspecting, judging
from em_assets.catalog.schemas import CONFLICTS
from em_assets.catalog.tables import read_table
from em_assets.defs import metadata
from em_assets.defs.assets import raw_files, record, volume
from em_assets.defs.partitions import each_dataset
from em_assets.defs.platform import AnyPlatform, Platform
from em_assets.inspecting import Judgement
from em_assets.retention import NOT_LOOKED_AT, is_dropped
from em_assets.sources.siblings import newer_versions
from em_assets.sources.wire import Patience

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


TO_DO: Mapping[str, str] = {
    "raw_files_complete": (
        "Run the dataset again: what is whole is kept, the rest is fetched anew. If a file was changed where it lies, "
        "ask its owner: put the old bytes back, or run again to take the new ones."
    ),
    "raw_files_are_data": (
        "Open the address of the file in a browser: it wants a login, moved, or its server is down. Mend `url`, "
        "`include` or `exclude` in the dataset's TOML file and run it again. A git-LFS pointer wants the address for "
        "downloads, not that of the repository."
    ),
    "source_is_newest": (
        "Read what changed between the two versions. To take the newer one, write its address into the dataset's TOML "
        "file and run it again. To keep the older one, do nothing: its data stay good."
    ),
    "volume_readable": (
        "`em-assets validate DATASET` names every damaged file. Materialize `volume` again: a damaged one is written "
        "anew from its raw files. If it happens again, look at the disk's log."
    ),
    "pixels_equal_source": (
        "Do not use the volume where voxels differ: materialize it again, and if they differ again one of the two "
        "readers is wrong, so keep the raw file and report the block that is named. Where nobody else reads the file, "
        "compare a slice with the program that wrote it."
    ),
    "volume_not_blank": (
        "Look at the preview, and at the same place at the source. A cut-out: move `start_zyx` in the dataset's TOML "
        "file, or take another level. A chunk that is missing: ask the archive. A volume that is meant to be blank: "
        "leave it out with `exclude`."
    ),
    "volume_well_filled": (
        "Look at the map of `block_index` where it is dark: padding is harmless, holes are not. A cut-out may be "
        "moved; whoever trains on it can ask `block_index` for chunks that show something."
    ),
    "grey_levels_whole": (
        "Look at the histogram of a slice at the source. If the archive has the data with more grey levels (16 bits, "
        "before its contrast was changed), take those; else tell users that bright or dark parts are cut."
    ),
    "slices_distinct": (
        "Look at the slices that are named, at the source too. A copy made by the microscope or by the archive stays, "
        "but say so to users; a copy made by a wrong order of files is mended in the dataset's TOML file."
    ),
    "levels_filled": (
        "Take another level: set `level` in the dataset's TOML file to one that shows something, and ask the archive "
        "about the blank one. `raw_bytes` drops nothing until then."
    ),
    "content_as_said": (
        "Look at the preview. Set `content` of the source to `em` or `labels` in the dataset's TOML file, and run it "
        "again: labels are made smaller by majority, grey values by their mean."
    ),
    "membranes_as_said": (
        "Look at the preview: are membranes dark or bright? Say which in the dataset's TOML file, as "
        "`contrast_polarity`, with who says so. It is a hint, not a measurement."
    ),
    "volume_unlike_others": (
        "Compare the two datasets' records: one may be a copy of the other, or one address stands twice. Leave one of "
        "them out of training and testing, or a model is tested on what it was trained on."
    ),
    "conflicts_settled": (
        "Read who says what in the table. If you know which is true, say so in the dataset's TOML file with your "
        "source (`[[says]]`) and materialize `claims` again; tell the archive about its error. `em-assets conflicts "
        "DATASET` shows the same."
    ),
    "plausible": (
        "Read the rule and the value in the table, and look where the value is said. Say the true one in the "
        "dataset's TOML file, with its source (`[[says]]`), and materialize `claims` again."
    ),
    "claims_readable": (
        "Look at the claim where it is said. A statement of the dataset's TOML file: mend its unit, date or number. "
        "One of a file: say the value in the TOML file, with its source (`[[says]]`)."
    ),
    "archive_complete": (
        "Run the dataset again, since an archive may have been busy. If the same is missing, compare with the "
        "archive's own page, mend `include` and `exclude` in the dataset's TOML file, or ask the archive."
    ),
    "voxel_size_known": (
        "Look into the paper, or ask whoever took the images. Say it in the dataset's TOML file, with its source "
        "(`[[says]]`, field `voxel_size_zyx_nm`), and materialize `claims` again. It is never guessed."
    ),
    "licence_known": (
        "Ask the publisher under which licence the data may be used, say it in the dataset's TOML file with that "
        "answer as its source (`[[says]]`, field `licence`), and pass nothing on until then."
    ),
}
"""Check → what to do where it does not hold: its page says so, and so does the result of every one that fails."""

Body = Callable[..., dg.AssetCheckResult]


def checked(asset: dg.AssetsDefinition, *, blocking: bool = False) -> Callable[[Body], dg.AssetChecksDefinition]:
    """A check of one dataset's asset: the function's docstring promises, `TO_DO` says what else."""

    def check(body: Body) -> dg.AssetChecksDefinition:
        described = _described(body.__name__, inspect.getdoc(body) or "")
        return dg.asset_check(asset=asset, blocking=blocking, partitions_def=each_dataset, description=described)(body)

    return check


def _described(name: str, promise: str) -> str:
    return f"{promise}\n\nIf it fails: {TO_DO[name]}"


@checked(raw_files, blocking=True)
def raw_files_complete(context: dg.AssetCheckExecutionContext, platform: AnyPlatform) -> dg.AssetCheckResult:
    """Every file of the manifest is on the disk with its size and its SHA-256."""
    dataset = platform.dataset(context.partition_key)
    problems = checking.incomplete_files(dataset, platform.settings)
    problems = problems or checking.damaged_files(dataset, platform.settings)
    return _judged("raw_files_complete", problems, _said_of_raw(context, platform, "every file is whole"))


@checked(raw_files, blocking=True)
def raw_files_are_data(context: dg.AssetCheckExecutionContext, platform: AnyPlatform) -> dg.AssetCheckResult:
    """No file holds a web page, a server's refusal, a pointer or text where voxels belong."""
    dataset = platform.dataset(context.partition_key)
    good = _said_of_raw(context, platform, "no page or text lies where voxels belong")
    return _judged("raw_files_are_data", judging.pages_saved_as_data(dataset, platform.settings), good)


@checked(raw_files)
def source_is_newest(context: dg.AssetCheckExecutionContext, platform: AnyPlatform) -> dg.AssetCheckResult:
    """No newer version lies beside the one that is taken, as `v1.2` beside `v1.0`; its folder is listed to see."""
    with platform.serving() as origin:
        patience = Patience.within_limits(platform.settings.transfer)
        looked = newer_versions(platform.dataset(context.partition_key).sources, origin, patience=patience)
    good = "; ".join(looked.unlisted) or "no newer version lies beside it"
    return _judged("source_is_newest", [str(one) for one in looked.newer], good, dg.AssetCheckSeverity.WARN)


@checked(volume, blocking=True)
def volume_readable(context: dg.AssetCheckExecutionContext, platform: AnyPlatform) -> dg.AssetCheckResult:
    """An independent reader opens every level with the shape and type that were committed."""
    dataset = platform.dataset(context.partition_key)
    return _judged(
        "volume_readable", checking.unreadable_volumes(dataset, platform.settings), "zarr-python opens every level"
    )


@checked(volume, blocking=True)
def pixels_equal_source(context: dg.AssetCheckExecutionContext, platform: AnyPlatform) -> dg.AssetCheckResult:
    """Blocks drawn by a seed hold the same voxels in the written volume and, as another library reads it, the source.

    The libraries are tifffile, ncempy, mrcfile, zarr-python and cloud-volume; the result names who read each volume.
    Where only our own reader takes a file, its pixels are proved by nobody else: a warning says so.
    """
    dataset = platform.dataset(context.partition_key)
    compared = checking.unequal_blocks(dataset, platform.settings)
    severity = dg.AssetCheckSeverity.ERROR if compared.unequal else dg.AssetCheckSeverity.WARN
    equal = f"seeded blocks are equal ({'; '.join(compared.read_by)})"
    return _judged("pixels_equal_source", compared.unequal + compared.unproved, equal, severity)


@checked(volume, blocking=True)
def volume_not_blank(context: dg.AssetCheckExecutionContext, platform: AnyPlatform) -> dg.AssetCheckResult:
    """No volume is all zero or of one value: what an empty crop and a missing chunk look like."""
    dataset = platform.dataset(context.partition_key)
    return _judged(
        "volume_not_blank", judging.blank_volumes(dataset, platform.settings), "every volume has a picture in it"
    )


QUESTIONS: Mapping[str, str] = {
    "volume_well_filled": "At least half of the voxels show something: few are zero, or in chunks of one value.",
    "grey_levels_whole": "Few voxels pile up at the darkest or the brightest value: nothing was cut off.",
    "slices_distinct": "No slice holds the picture of an earlier one, in the columns of chunks that show most.",
    "levels_filled": "No level of the source is blank where another level shows something.",
    "content_as_said": "EM looks like grey values, labels look like labels.",
    "membranes_as_said": "Membranes, where they can be told, are dark, or as the record says.",
    "volume_unlike_others": "No other volume of the store holds the same voxels, as they are, transposed or turned.",
}
"""Check → what it promises. They are warnings, and asked together, since they look at the same chunks."""

NEEDS_RAW_BYTES = "levels_filled"
"""The one of them that reads the source: `raw_bytes`, which may drop it, waits for it, as for a blocking check."""


@dg.multi_asset_check(
    name="content_quality",
    specs=[
        dg.AssetCheckSpec(
            name,
            asset=volume,
            description=_described(name, promise),
            partitions_def=each_dataset,
            blocking=name == NEEDS_RAW_BYTES,
        )
        for name, promise in QUESTIONS.items()
    ],
)
def content_quality(context: dg.AssetCheckExecutionContext, platform: AnyPlatform) -> Iterator[dg.AssetCheckResult]:
    """What the voxels look like, from the block index and a few chunks drawn by a seed."""
    dataset, settings = platform.dataset(context.partition_key), platform.settings
    volumes = inspecting.seen_volumes(dataset, settings)
    answers: Mapping[str, Judgement] = {
        "volume_well_filled": inspecting.near_blank(volumes),
        "grey_levels_whole": inspecting.saturated(volumes),
        "slices_distinct": inspecting.repeated(volumes),
        "levels_filled": inspecting.placeholder_levels(dataset, settings),
        "content_as_said": inspecting.mistaken_content(volumes),
        "membranes_as_said": inspecting.polarity(volumes),
        "volume_unlike_others": inspecting.alike(
            volumes, inspecting.other_volumes(dataset, platform.datasets, settings)
        ),
    }
    for name, answer in answers.items():
        result = _judged(name, answer.found, answer.good, dg.AssetCheckSeverity.WARN)
        yield result._replace(check_name=name, asset_key=volume.key)


@checked(record)
def conflicts_settled(context: dg.AssetCheckExecutionContext, platform: AnyPlatform) -> dg.AssetCheckResult:
    """Sources that disagree: a warning where a rule decides between them, an error where none does.

    The page shows both values with who says them, the factor between them, what likely went wrong, and the verdict.
    """
    folder = platform.settings.metadata_dir(platform.dataset(context.partition_key).name)
    rows = read_table(folder / "conflicts.parquet", CONFLICTS).to_pylist()
    unsettled = [row for row in rows if not row["is_settled"]]
    found = [
        f"{row['field']}: {row['value']} ({row['said_by']}) or {row['other_value']} ({row['other_said_by']})"
        + (f": {row['cause']}" if row["cause"] else "")
        for row in rows
    ]
    severity = dg.AssetCheckSeverity.ERROR if unsettled else dg.AssetCheckSeverity.WARN
    page = {"conflicts": metadata.markdown_table(CONFLICT_PAGE, rows)} if rows else {}
    return _judged("conflicts_settled", found, "nobody contradicts anybody", severity, page)


@checked(record)
def plausible(context: dg.AssetCheckExecutionContext, platform: AnyPlatform) -> dg.AssetCheckResult:
    """Nothing in the record breaks a rule of physics: techniques and z steps, units lost, axes turned, defaults."""
    broken = checking.implausible_volumes(platform.dataset(context.partition_key), platform.settings)
    rows = [{"volume": one.volume, "rule": one.rule, "found": one.found, "reason": one.reason} for one in broken]
    page = {"rules": metadata.markdown_table(["volume", "rule", "found", "reason"], rows)} if rows else {}
    return _judged(
        "plausible", [str(one) for one in broken], "no rule of physics is broken", dg.AssetCheckSeverity.WARN, page
    )


@checked(record)
def claims_readable(context: dg.AssetCheckExecutionContext, platform: AnyPlatform) -> dg.AssetCheckResult:
    """Every claim of a field of the record can be read: its unit fits, its date is unambiguous, its number is one."""
    found = checking.unreadable_claims(platform.dataset(context.partition_key), platform.settings)
    return _judged("claims_readable", found, "every claim can be read", dg.AssetCheckSeverity.WARN)


@checked(record, blocking=True)
def archive_complete(context: dg.AssetCheckExecutionContext, platform: AnyPlatform) -> dg.AssetCheckResult:
    """What the archive declares is held: files, folders, bytes, chunks by arithmetic, and slices without a gap.

    Files, folders or whole levels that are missing are an error; fewer bytes or chunks, and numbers left out, may be
    meant so and are a warning.
    """
    found = judging.incomplete_holding(platform.dataset(context.partition_key), platform.settings)
    severity = dg.AssetCheckSeverity.ERROR if found.lacking else dg.AssetCheckSeverity.WARN
    good = _said_of_raw(context, platform, "all that is declared is held")
    return _judged("archive_complete", found.lacking + found.doubtful, good, severity)


@checked(record)
def voxel_size_known(record: pa.Table) -> dg.AssetCheckResult:
    """Somebody witnessed the voxel size on all three axes."""
    found = [
        f"{row['volume']}: the voxel size along {axis} is unknown; say it in the dataset's TOML, with its source"
        for row in record.to_pylist()
        for axis in "zyx"
        if row[f"voxel_size_{axis}_nm"] is None
    ]
    return _judged("voxel_size_known", found, "known on every axis", dg.AssetCheckSeverity.WARN)


@checked(record)
def licence_known(record: pa.Table) -> dg.AssetCheckResult:
    """Somebody said under which licence the data may be used."""
    unknown = [row["volume"] for row in record.to_pylist() if not row["licence"]]
    found = [f"licence of {', '.join(unknown)} unknown; ask the publisher before you pass it on"] if unknown else []
    return _judged("licence_known", found, "a licence is known for every volume", dg.AssetCheckSeverity.WARN)


def _said_of_raw(context: dg.AssetCheckExecutionContext, platform: Platform, good: str) -> str:
    """What a check of raw files says where it found nothing: it looks at no bytes that were dropped."""
    dropped = is_dropped(platform.dataset(context.partition_key), platform.settings)
    return f"{good}, of what is kept; the volumes' own files were {NOT_LOOKED_AT}" if dropped else good


def _judged(
    name: str,
    found: Sequence[str],
    good: str,
    severity: dg.AssetCheckSeverity = dg.AssetCheckSeverity.ERROR,
    page: Mapping[str, dg.MarkdownMetadataValue] | None = None,
) -> dg.AssetCheckResult:
    """Passed where nothing was found; what was found is the description, and what to do stands in the metadata."""
    described = "; ".join(found[:3]) + (f"; and {len(found) - 3} more" if len(found) > 3 else "")
    return dg.AssetCheckResult(
        passed=not found,
        severity=severity,
        description=described or good,
        metadata={"found": len(found), **(_found(name, found) if found else {}), **(page or {})},
    )


def _found(name: str, found: Sequence[str]) -> Mapping[str, dg.MetadataValue]:
    return {"what_to_do": dg.MetadataValue.text(TO_DO[name]), "list": metadata.bullets(found)}


ALL = [
    raw_files_complete,
    raw_files_are_data,
    source_is_newest,
    volume_readable,
    pixels_equal_source,
    volume_not_blank,
    content_quality,
    conflicts_settled,
    plausible,
    claims_readable,
    archive_complete,
    voxel_size_known,
    licence_known,
]
