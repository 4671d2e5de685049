"""`em-assets fetch`: the graph for the named datasets, then the checks' results and the catalog as tables."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from em_assets.catalog.holdings import describe
from em_assets.datasets import load
from em_assets.errors import shown_url
from em_assets.page.writing import page_address
from em_assets.settings import Settings
from em_assets.sources.progress import Progress, watched_by
from em_assets.terminal import print_json, show_rows, size, voxel_size

if TYPE_CHECKING:
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

    from em_assets.defs.runs import CheckOutcome, RunOutcome


def fetch_datasets(
    names: Sequence[str],
    settings: Settings,
    *,
    is_json: bool,
    locked: bool = False,
    adopt_from: Path | None = None,
    accept_gone: bool = False,
) -> int:
    """Materialize each dataset and then the catalog; 0, or 1 where a run or a blocking check failed.

    `locked`, `adopt_from` and `accept_gone` are as for `sources.acquire`.
    """
    # Dagster takes seconds to import: only those who run it wait for it.
    from em_assets.definitions import defs
    from em_assets.defs.home import instance
    from em_assets.defs.runs import run_catalog, run_datasets

    outcomes = []
    with instance(settings) as dagster, _origin_served(settings), transfers_shown():
        runs = run_datasets(
            names, defs, dagster, before=_say, locked=locked, adopt_from=adopt_from, accept_gone=accept_gone
        )
        for name, outcome in zip(names, runs, strict=True):
            outcomes.append(outcome)
            _say(f"{name}: {'FAILED: ' + str(outcome.error) if not outcome.is_success else 'done'}")
        _say("catalog")
        is_catalogued = run_catalog(defs, dagster)
    if is_catalogued:
        _say(f"page: {page_address(settings)}")
    described = [describe(dataset, settings) for name, dataset in load(settings).items() if name in names]
    if is_json:
        print_json({"runs": [_run_row(outcome) for outcome in outcomes], "datasets": described})
    else:
        _show(outcomes, described, settings, is_locked=locked)
    return 1 if any(outcome.is_failed for outcome in outcomes) or not is_catalogued else 0


def volume_rows(described: Sequence[dict[str, Any]]) -> list[dict[str, object]]:
    """One row a volume, with what one looks for first."""
    return [
        {
            "dataset": dataset["dataset"],
            "volume": volume["volume"],
            "technique": volume["technique"] or "unknown",
            "content": volume["content"],
            "voxels (z × y × x)": volume["shape_zyx"],
            "voxel size (z × y × x)": voxel_size(volume["voxel_size_zyx_nm"]),
            "dtype": volume["dtype"],
            "levels": volume["n_levels"],
            "files": volume["n_files"],
            "source": size(volume["source_bytes"]),
            "origin": volume["origin"],
        }
        for dataset in described
        for volume in dataset["volumes"]
    ]


@contextmanager
def transfers_shown() -> Iterator[None]:
    """Show transfers as bars on stderr: bytes, rate, time left. Where that is no terminal the log's lines say it."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn
    from rich.progress import Progress as Bars

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Bars(*columns, console=Console(stderr=True), transient=True) as bars, watched_by(_Bars(bars)):
        yield


class _Bars:
    """A bar for each transfer."""

    def __init__(self, bars: "Bars") -> None:
        self._bars = bars
        self._tasks: dict[int, TaskID] = {}

    def began(self, progress: Progress) -> None:
        """Draw a bar."""
        self._tasks[id(progress)] = self._bars.add_task(_transfer(progress), total=progress.total_bytes or None)

    def moved(self, progress: Progress) -> None:
        """Move it."""
        task = self._tasks[id(progress)]
        self._bars.update(task, completed=progress.done_bytes, description=_transfer(progress))

    def ended(self, progress: Progress) -> None:
        """Take it away, as it was in the end."""
        self._bars.refresh()
        self._bars.remove_task(self._tasks.pop(id(progress)))


def _transfer(progress: Progress) -> str:
    from rich.markup import escape

    return f"{escape(shown_url(progress.what))}, {progress.done_files} of {progress.n_files} files"


def _show(
    outcomes: Sequence["RunOutcome"], described: Sequence[dict[str, Any]], settings: Settings, *, is_locked: bool
) -> None:
    checks = sorted((check for outcome in outcomes for check in outcome.checks), key=lambda check: check.is_passed)
    show_rows([_check_row(check) for check in checks], title="Checks")  # what warns or fails stands first
    show_rows(volume_rows(described), title="Catalog")
    failed = [outcome for outcome in outcomes if outcome.is_failed]
    for outcome in failed:
        sys.stdout.write(f"FAILED {outcome.dataset}: {outcome.error or 'a blocking check failed'}\n")
    fetched = _fetched_in_words(outcomes, is_locked=is_locked)
    sys.stdout.write(f"{fetched}\nStore: {settings.address} (origin: {settings.origin})\n")


def _fetched_in_words(outcomes: Sequence["RunOutcome"], *, is_locked: bool) -> str:
    files = sum(outcome.fetched_files for outcome in outcomes)
    kept = sum(outcome.kept_files for outcome in outcomes)
    otherwise = [
        f"{count} {how}"
        for how, count in (
            ("adopted", sum(outcome.adopted_files for outcome in outcomes)),
            ("referenced where they lie", sum(outcome.referenced_files for outcome in outcomes)),
        )
        if count
    ]
    n_failed = sum(outcome.is_failed for outcome in outcomes)
    if not files and not otherwise and n_failed:
        return f"Nothing fetched: {n_failed} of {len(outcomes)} datasets failed; {kept} files were held already."
    if not files and not otherwise:
        unchanged = "are what the lock names" if is_locked else "their sources are unchanged"  # which nobody has asked
        return f"Nothing fetched: all {kept} files were held already and {unchanged}."
    fetched = f"Fetched {files} files, {size(sum(outcome.fetched_bytes for outcome in outcomes))}"
    return f"{', '.join([fetched, *otherwise])}; {kept} were held already."


def _check_row(check: "CheckOutcome") -> dict[str, object]:
    state = "passed" if check.is_passed else "warning" if check.is_warning else "FAILED"
    return {"dataset": check.dataset, "check": check.check, "result": state, "found": check.found}


def _run_row(outcome: "RunOutcome") -> dict[str, object]:
    return {
        "dataset": outcome.dataset,
        "is_failed": outcome.is_failed,
        "error": outcome.error,
        "fetched_files": outcome.fetched_files,
        "fetched_bytes": outcome.fetched_bytes,
        "kept_files": outcome.kept_files,
        "checks": [_check_row(check) for check in outcome.checks],
    }


def _origin_served(settings: Settings) -> Any:
    """The sample's servers, held up over all runs instead of once a step."""
    from em_assets.sample import serving

    return serving(settings)


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()
