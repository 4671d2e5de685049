"""What killed runs leave in the instance: runs that look alive, and the pool slots that they hold.

Whoever starts work sweeps first, and whoever waits for a slot sweeps while it waits, so that nobody ever waits for a
process that is gone. Files are no matter here: their locks end with the process, and writers sweep their own leftovers.
"""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import dagster as dg

from em_assets.defs.processes import PROCESS_TAG, Worker, sweep_locks, worker_of

OURS = frozenset({"build_dataset", "observe_sources", "build_catalog"})
"""Jobs of ours; a run of Dagster's own asset job is known by the assets that it makes."""

UNTAGGED_S = 60.0
"""A run says within its first second which process works on it; one that never did was killed in that second."""

_BEFORE_ITS_END = [
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def sweep(instance: dg.DagsterInstance, say: Callable[[str], None], store: Path | None = None) -> int:
    """Mark the runs whose process is gone as failed, and free the pool slots of runs that are over; how many runs.

    With a store, processes of other containers that share it are known to be gone too.
    """
    gone = list(gone_runs(instance, store))
    for run, why in gone:
        partition = run.tags.get("dagster/partition", "")
        say(f"run {run.run_id[:8]} {partition}: {why}")
        _end(instance, run, why)
    _free_slots(instance)
    if store:
        sweep_locks(store)
    return len(gone)


def gone_runs(instance: dg.DagsterInstance, store: Path | None = None) -> Iterator[tuple[dg.DagsterRun, str]]:
    """The runs that look alive and whose process is gone, and why one knows."""
    for record in instance.get_run_records(dg.RunsFilter(statuses=_BEFORE_ITS_END)):
        run = record.dagster_run
        tag = run.tags.get(PROCESS_TAG)
        worker = worker_of(tag) if tag else None
        if worker and (worker.is_gone or (store and worker.has_let_go(store))):
            yield run, _in_words(worker)
        elif tag is None and _is_ours(run) and record.start_time and time.time() - record.start_time > UNTAGGED_S:
            yield run, "its process was killed before it said which one it is"


def _in_words(worker: Worker) -> str:
    return f"its process {worker.pid} is gone: killed, out of memory, or the machine was restarted"


def _is_ours(run: dg.DagsterRun) -> bool:
    """Whether this platform's code makes the run: another code location may share the instance."""
    made = run.asset_selection or frozenset()
    return run.job_name in OURS or any(key in made for key in (dg.AssetKey("raw_files"), dg.AssetKey("catalog")))


def _end(instance: dg.DagsterInstance, run: dg.DagsterRun, why: str) -> None:
    now = instance.get_run_by_id(run.run_id)
    if now is None or now.is_finished:  # another process swept as well
        return
    if now.status == dg.DagsterRunStatus.CANCELING:
        instance.report_run_canceled(now, f"Canceled: {why}.")
    else:
        instance.report_run_failed(now, f"Failed: {why}. What it finished is kept; a new run goes on from there.")


def _free_slots(instance: dg.DagsterInstance) -> None:
    storage = instance.event_log_storage
    if not storage.supports_global_concurrency_limits:
        return
    for run_id in sorted(storage.get_concurrency_run_ids()):
        run = instance.get_run_by_id(run_id)
        if run is None or run.is_finished:
            storage.free_concurrency_slots_for_run(run_id)
