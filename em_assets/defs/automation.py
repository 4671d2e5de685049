"""What runs by itself: the sensors that watch the sources and the runs, and the two schedules.

The sensor of the sources compares fingerprints and asks for runs; it downloads nothing. Its memory is the store (what
is held) and the instance's history (what was asked for and tried), so it can be stopped, reset or moved without asking
for anything twice; and a store that was deleted is made again.
"""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import dagster as dg

from em_assets.defs import metadata
from em_assets.defs.losses import losses
from em_assets.defs.partitions import SETTINGS
from em_assets.defs.platform import AnyPlatform, Platform
from em_assets.defs.sweeping import sweep
from em_assets.errors import EMAssetsError
from em_assets.keeping import bring
from em_assets.settings import PUBLIC, SAMPLE
from em_assets.sources import Observation, observe, read_fingerprint
from em_assets.sources.origins import Origin, url_scheme
from em_assets.sources.wire import Patience

MAX_ATTEMPTS = 3
"""Failed runs for one fingerprint before the sensor waits for another change."""

LOOK_S = 25.0
"""Of a tick for all datasets, in seconds: the daemon ends a tick after 60, and then nothing of it counts."""

ANSWER_S = 10.0
"""For one archive to answer; who is slower is asked again in the next tick."""

FINGERPRINT_TAG = "em_assets/source_fingerprint"
WATCHED_TAG = "em_assets/watched"

# The loopback look-alikes can be asked often, so that a change is seen while one looks on.
TICK_S = {SAMPLE: 10}.get(SETTINGS.origin, 60)

ARCHIVE_S = 3600
"""Between two looks at a public archive; one's own folders are looked at in every tick."""

IN_PROGRESS = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def _at_most(hours: float) -> dict[str, str]:
    """The run's longest time: the daemon ends what takes longer, `run_monitoring` in dagster.yaml has the rest."""
    return {"dagster/max_runtime": str(round(hours * 3600))}


CATALOG_TAGS = _at_most(hours=1)

OF_ALL_DATASETS = ("catalog", "metadata_summary", "catalog_page")

dataset_job = dg.define_asset_job(
    "build_dataset",
    selection=dg.AssetSelection.all() - dg.AssetSelection.assets("source", *OF_ALL_DATASETS, "export"),
    description="Everything that belongs to one dataset: raw files, tags, claims, record, volumes and their checks.",
    tags=_at_most(hours=24),
)
observe_job = dg.define_asset_job(
    "observe_sources",
    selection=dg.AssetSelection.assets("source"),
    description="Ask a dataset's source what it holds now; nothing is downloaded.",
    tags=_at_most(hours=0.25),
)
catalog_job = dg.define_asset_job(
    "build_catalog",
    selection=dg.AssetSelection.assets(*OF_ALL_DATASETS),
    description="The consolidated tables, from whatever datasets exist.",
    tags=CATALOG_TAGS,
)


@dataclass(frozen=True)
class Watched:
    """What is known of one dataset at a tick: what the source says, what is held, what was tried.

    `loss` says what was made here once and is gone from the store.
    """

    fingerprint: str
    held_fingerprint: str | None
    is_auto: bool
    is_running: bool
    failed_attempts: int
    loss: str | None = None


def reason_to_run(watched: Watched) -> str | None:
    """Why this dataset needs a run now; None where it does not.

    A dataset that was never fetched is left alone unless its TOML says `auto = true`: nothing is downloaded unasked.
    """
    if watched.is_running or watched.failed_attempts >= MAX_ATTEMPTS:
        return None
    if watched.held_fingerprint not in (None, watched.fingerprint):
        return "its source changed"
    if watched.loss:
        return watched.loss
    return "never fetched" if watched.held_fingerprint is None and watched.is_auto else None


@dg.sensor(
    job=dataset_job,
    minimum_interval_seconds=TICK_S,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Asks for a run of each dataset whose source changed since it was fetched; none stops another.",
)
def source_changes(context: dg.SensorEvaluationContext, platform: AnyPlatform) -> dg.SensorResult:
    """Compare every fetched dataset's source with what is held, and ask for exactly the runs that are due."""
    kept = json.loads(context.cursor or "{}")
    seen: dict[str, str] = kept.get("seen", {})
    asked: dict[str, float] = kept.get("asked", {})
    now = time.time()
    requests: list[dg.RunRequest] = []
    events: list[dg.AssetObservation] = []
    with platform.serving() as origin:
        names, ends_at = _in_turn(platform, kept.get("next", "")), time.monotonic() + LOOK_S
        for name in names:
            if time.monotonic() > ends_at:
                context.log.warning(f"{name} and those after it are looked at in the next tick: the archives are slow")
                break
            if not _is_due(platform, name, now - asked.get(name, 0.0)):
                continue
            if _asks_an_archive(platform, name):
                asked[name] = now
            found = _observed(context, platform, name, origin)
            if found is None:
                continue
            if seen.get(name) != found.fingerprint:
                events.append(_event(platform, name, found))
                seen[name] = found.fingerprint
            request = _request(context.instance, platform, name, found.fingerprint)
            requests.extend([request] if request else [])
        else:
            name = ""
    cursor = json.dumps({"next": name, "seen": seen, "asked": asked}, sort_keys=True)
    return dg.SensorResult(run_requests=requests, asset_events=events, cursor=cursor)


@dg.sensor(
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Marks runs whose process is gone as failed, and frees their pool slots; it asks for no run.",
)
def gone_runs(context: dg.SensorEvaluationContext, platform: AnyPlatform) -> dg.SkipReason:
    """Look whether every run that has begun still has its process: a dead one keeps others in the queue."""
    n_gone = sweep(context.instance, context.log.warning, platform.settings.store)
    return dg.SkipReason(f"{n_gone} runs were gone" if n_gone else "every run that has begun has its process")


def _event(platform: Platform, name: str, found: Observation) -> dg.AssetObservation:
    """The event that shows a source's version in the UI, as a run of `source` leaves it."""
    said = metadata.of_listing(platform.datasets[name], platform.settings, found)
    tags = {"dagster/data_version": found.fingerprint}
    return dg.AssetObservation(asset_key="source", partition=name, tags=tags, metadata=said)


daily_catalog = dg.ScheduleDefinition(
    name="daily_catalog",
    job=catalog_job,
    cron_schedule="0 4 * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Consolidates the catalog once a day, whatever else happened.",
)


@dg.schedule(
    name="weekly_observation",
    job=observe_job,
    cron_schedule="0 3 * * 0",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Asks every source once a week what it holds; one run a dataset, so that none stops another.",
)
def weekly_observation(context: dg.ScheduleEvaluationContext, platform: AnyPlatform) -> Sequence[dg.RunRequest]:
    """One observation run for each dataset that has a source under this origin."""
    week = context.scheduled_execution_time.date().isoformat()
    return [dg.RunRequest(run_key=f"{name}:{week}", partition_key=name) for name in _names_with_source(platform)]


catalog_follows = dg.AutomationConditionSensorDefinition(
    "catalog_follows",
    target=dg.AssetSelection.assets(*OF_ALL_DATASETS),
    default_status=dg.DefaultSensorStatus.RUNNING,
    minimum_interval_seconds=min(TICK_S, 30),
    description="Consolidates the catalog when one of its datasets was made again.",
    run_tags=CATALOG_TAGS,
)


def _names_with_source(platform: Platform) -> list[str]:
    return [name for name in sorted(platform.datasets) if platform.has_source(name)]


def _in_turn(platform: Platform, first: str) -> list[str]:
    """Every dataset with a source, beginning where the last tick ended."""
    names = _names_with_source(platform)
    return [name for name in names if name >= first] + [name for name in names if name < first]


def _asks_an_archive(platform: Platform, name: str) -> bool:
    """Whether somebody else's server is asked for what a dataset's sources hold."""
    urls = [url for source in platform.datasets[name].sources for url in (source.url, *source.fallback_urls)]
    return platform.settings.origin == PUBLIC and any(url_scheme(url) != "file" for url in urls)


def _is_due(platform: Platform, name: str, since_s: float) -> bool:
    """Whether a tick looks at a dataset that was looked at so long ago; ticks come a little early or late."""
    return since_s > ARCHIVE_S - TICK_S / 2 or not _asks_an_archive(platform, name)


def _is_watched(instance: dg.DagsterInstance, platform: Platform, name: str) -> bool:
    """Whether a dataset is held, was once, or is to be fetched unasked."""
    return (
        platform.datasets[name].auto
        or read_fingerprint(platform.settings.raw_dir(name)) is not None
        or any(losses(instance, platform, name))
    )


def _observed(context: dg.SensorEvaluationContext, platform: Platform, name: str, origin: Origin) -> Observation | None:
    """What a watched source says now; None, and a line in the tick's log, where it or what is held cannot be asked."""
    patience = Patience.within_limits(platform.settings.transfer)
    patience = replace(patience, tries=2, listing_s=min(patience.listing_s, ANSWER_S)).within(ANSWER_S)
    try:
        bring(platform.settings, name)
        if not _is_watched(context.instance, platform, name):
            return None
        return observe(platform.datasets[name].sources, origin, patience=patience)
    except (EMAssetsError, OSError) as error:
        context.log.warning(f"{name}: not observed: {error}")
        return None


def _request(instance: dg.DagsterInstance, platform: Platform, name: str, fingerprint: str) -> dg.RunRequest | None:
    runs = instance.get_runs(dg.RunsFilter(tags={WATCHED_TAG: name}))
    watched = Watched(
        fingerprint=fingerprint,
        held_fingerprint=read_fingerprint(platform.settings.raw_dir(name)),
        is_auto=platform.datasets[name].auto,
        is_running=_is_running(instance, name),
        failed_attempts=_failed_attempts([(run.status, run.tags) for run in runs], fingerprint),
        loss=next(losses(instance, platform, name), None),
    )
    reason = reason_to_run(watched)
    if reason is None:
        return None
    return dg.RunRequest(
        # The count makes a change back to an earlier version (v1, v2, v1) a new key.
        run_key=f"{name}:{fingerprint}:{len(runs)}",
        partition_key=name,
        tags={FINGERPRINT_TAG: fingerprint, WATCHED_TAG: name, "em_assets/reason": reason},
    )


def _is_running(instance: dg.DagsterInstance, name: str) -> bool:
    tags = {"dagster/partition": name}
    return instance.get_runs_count(dg.RunsFilter(tags=tags, statuses=IN_PROGRESS)) > 0


def _failed_attempts(runs: Sequence[tuple[dg.DagsterRunStatus, Mapping[str, str]]], fingerprint: str) -> int:
    """How many runs for this fingerprint failed since anything else happened; `runs` are newest first."""
    count = 0
    for status, tags in runs:
        if status != dg.DagsterRunStatus.FAILURE or tags.get(FINGERPRINT_TAG) != fingerprint:
            break
        count += 1
    return count
