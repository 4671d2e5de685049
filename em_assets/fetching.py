"""`em-assets fetch`: the graph for the named datasets, then the checks' results and the catalog as tables."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from em_assets.catalog.holdings import describe
from em_assets.datasets import load
from em_assets.settings import Settings
from em_assets.terminal import print_json, show_rows, size, voxel_size

if TYPE_CHECKING:
    from em_assets.defs.runs import CheckOutcome, RunOutcome


def fetch_datasets(names: Sequence[str], settings: Settings, *, is_json: bool) -> int:
    """Materialize each dataset and then the catalog; 0, or 1 where a run or a blocking check failed."""
    # Dagster takes seconds to import: only those who run it wait for it.
    from em_assets.definitions import defs
    from em_assets.defs.home import instance
    from em_assets.defs.runs import run_catalog, run_datasets

    outcomes = []
    with instance(settings) as dagster, _origin_served(settings):
        for name, outcome in zip(names, run_datasets(names, defs, dagster, before=_say), strict=True):
            outcomes.append(outcome)
            _say(f"{name}: {'FAILED: ' + str(outcome.error) if not outcome.is_success else 'done'}")
        _say("catalog")
        is_catalogued = run_catalog(defs, dagster)
    described = [describe(dataset, settings) for name, dataset in load(settings).items() if name in names]
    if is_json:
        print_json({"runs": [_run_row(outcome) for outcome in outcomes], "datasets": described})
    else:
        _show(outcomes, described, settings)
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


def _show(outcomes: Sequence["RunOutcome"], described: Sequence[dict[str, Any]], settings: Settings) -> None:
    show_rows([_check_row(check) for outcome in outcomes for check in outcome.checks], title="Checks")
    show_rows(volume_rows(described), title="Catalog")
    failed = [outcome for outcome in outcomes if outcome.is_failed]
    for outcome in failed:
        sys.stdout.write(f"FAILED {outcome.dataset}: {outcome.error or 'a blocking check failed'}\n")
    sys.stdout.write(f"{_fetched_in_words(outcomes)}\nStore: {settings.store} (origin: {settings.origin})\n")


def _fetched_in_words(outcomes: Sequence["RunOutcome"]) -> str:
    files = sum(outcome.fetched_files for outcome in outcomes)
    kept = sum(outcome.kept_files for outcome in outcomes)
    if not files:
        return f"Nothing fetched: all {kept} files were held already and their sources are unchanged."
    return (
        f"Fetched {files} files, {size(sum(outcome.fetched_bytes for outcome in outcomes))}; {kept} were held already."
    )


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
