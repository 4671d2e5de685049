"""Runs of the graph in this process, one dataset after the other: what `em-assets fetch` and `make demo` do.

They are the same assets and jobs that the UI runs, on the same instance, so that they show there too.
"""

import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from em_assets.defs.automation import catalog_job, dataset_job
from em_assets.defs.processes import PROCESS_TAG, this_process

if TYPE_CHECKING:
    from dagster_shared.error import SerializableErrorInfo

OWN_ERRORS = "em_assets.errors."

CODE_LOCATION = {".dagster/repository": "__repository__@em_assets.definitions"}
"""The tag of runs that Dagster launches itself: the pages of jobs show a code location's own alone.

The name is that of a local home's workspace.yaml and of `deploy/docker/workspace.yaml`.
"""

QUIET: dict[str, Any] = {"loggers": {"progress": {}}}


@dataclass(frozen=True)
class CheckOutcome:
    """What one asset check of one dataset found."""

    dataset: str
    asset: str
    check: str
    is_passed: bool
    is_warning: bool
    is_blocking: bool
    found: str

    @property
    def is_stopping(self) -> bool:
        """Whether it stopped the run: it must hold, and what it found is no mere warning."""
        return self.is_blocking and not self.is_passed and not self.is_warning


@dataclass(frozen=True)
class RunOutcome:
    """How one dataset's run ended; `error` is the first failure in words."""

    dataset: str
    is_success: bool
    error: str | None
    checks: tuple[CheckOutcome, ...]
    fetched_files: int
    fetched_bytes: int
    kept_files: int
    adopted_files: int = 0
    referenced_files: int = 0

    @property
    def is_failed(self) -> bool:
        """Whether the run, or a check that must hold, failed; warnings do not count."""
        return not self.is_success or any(check.is_stopping for check in self.checks)


@dg.logger
def progress_logger(_: dg.InitLoggerContext) -> logging.Logger:
    """Messages of the assets themselves; Dagster's own events are in the UI."""
    logger = logging.Logger("em_assets.progress", logging.INFO)
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(_said_by_an_asset)
    handler.setFormatter(_Line())
    logger.addHandler(handler)
    return logger


def run_datasets(
    names: Sequence[str],
    defs: dg.Definitions,
    instance: dg.DagsterInstance,
    before: Callable[[str], None],
    *,
    locked: bool = False,
    adopt_from: Path | None = None,
    accept_gone: bool = False,
) -> Iterator[RunOutcome]:
    """Materialize each dataset in turn, announced through `before`; one that fails stops no other.

    `locked`, `adopt_from` and `accept_gone` are as for `acquire`.
    """
    folder = str(adopt_from) if adopt_from else None
    acquisition = {"locked": locked, "from_folder": folder, "accept_gone": accept_gone}
    config = QUIET | {"ops": {"raw_files": {"config": acquisition}}}
    job = defs.resolve_job_def(dataset_job.name)
    for name in names:
        before(name)
        result = job.execute_in_process(
            partition_key=name, instance=instance, raise_on_error=False, run_config=config, tags=_tags()
        )
        _go_on_unless_interrupted(result)
        yield _outcome(name, result)


def run_catalog(defs: dg.Definitions, instance: dg.DagsterInstance) -> bool:
    """Consolidate the catalog from whatever datasets exist; whether that worked."""
    job = defs.resolve_job_def(catalog_job.name)
    result = job.execute_in_process(instance=instance, raise_on_error=False, run_config=QUIET, tags=_tags())
    _go_on_unless_interrupted(result)
    return result.success


def _go_on_unless_interrupted(result: dg.ExecuteInProcessResult) -> None:
    """Hand a Ctrl-C on: Dagster takes it for a step or run that failed, and the next datasets would still be fetched.

    Raises
    ------
    KeyboardInterrupt
        A step was interrupted, or the run between two of them.
    """
    interruptions = (dg.DagsterExecutionInterruptedError.__name__, KeyboardInterrupt.__name__)
    errors = [event.step_failure_data.error for event in result.all_events if event.is_step_failure]
    errors += [event.job_failure_data.error for event in result.all_events if event.is_job_failure]
    if any(error is not None and error.cls_name in interruptions for error in errors):
        raise KeyboardInterrupt


def _tags() -> dict[str, str]:
    """Known from the run's first moment on, before any step says it."""
    return {PROCESS_TAG: str(this_process()), **CODE_LOCATION}


def _outcome(name: str, result: dg.ExecuteInProcessResult) -> RunOutcome:
    fetched = next(
        (
            event.materialization.metadata
            for event in result.get_asset_materialization_events()
            if event.asset_key == dg.AssetKey("raw_files")
        ),
        {},
    )
    number = {key: int(value.value) for key, value in fetched.items() if isinstance(value.value, int)}
    checks = tuple(_checks(name, result))  # what a check found says more than that it stopped the run
    return RunOutcome(
        dataset=name,
        is_success=result.success,
        error=next((check.found for check in checks if check.is_stopping), None) or _first_error(result),
        checks=checks,
        fetched_files=number.get("fetched_files", 0),
        fetched_bytes=number.get("fetched_bytes", 0),
        kept_files=number.get("kept_files", 0),
        adopted_files=number.get("adopted_files", 0),
        referenced_files=number.get("referenced_files", 0),
    )


def _checks(name: str, result: dg.ExecuteInProcessResult) -> Iterator[CheckOutcome]:
    for evaluation in result.get_asset_check_evaluations():
        yield CheckOutcome(
            dataset=name,
            asset=evaluation.asset_key.to_user_string(),
            check=evaluation.check_name,
            is_passed=evaluation.passed,
            is_warning=evaluation.severity == dg.AssetCheckSeverity.WARN,
            is_blocking=bool(evaluation.blocking),
            found=evaluation.description or "",
        )


def _first_error(result: dg.ExecuteInProcessResult) -> str | None:
    for event in result.all_events:
        if not event.is_step_failure:
            continue
        error = event.step_failure_data.error
        if error is not None:
            return _in_words(error)
    return None if result.success else "the run failed before any step began"


def _in_words(error: "SerializableErrorInfo") -> str:
    """The platform's own words where it has any for this failure, else the last cause: what a library stumbled over.

    The class stands before a library's words, which may say nothing without it (`KeyError: 'x'`); ours are for people.
    """
    while error.cause is not None and not error.message.startswith(OWN_ERRORS):
        error = error.cause
    name, _, words = error.message.strip().partition(": ")
    return words if words and name.startswith(OWN_ERRORS) else error.message.strip()


def _said_by_an_asset(record: logging.LogRecord) -> bool:
    meta = getattr(record, "dagster_meta", {})
    # Dagster's word on steps that were skipped is no event and names a step all the same.
    is_skipping = str(meta.get("orig_message")).startswith("Dependencies for step")
    return bool(meta.get("step_key")) and not meta.get("dagster_event") and not is_skipping


class _Line(logging.Formatter):
    """`raw_files: 16 files fetched`: the step and what it says."""

    def format(self, record: logging.LogRecord) -> str:
        meta = getattr(record, "dagster_meta", {})
        return f"  {meta.get('step_key')}: {meta.get('orig_message')}"
