"""The Dagster home, as `defs.health` finds it, in words."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from em_assets.doctor.findings import Finding, mend, ok
from em_assets.settings import Settings

if TYPE_CHECKING:
    from em_assets.defs.health import History

AREA = "home"
ALIVE_S = 300.0
"""A daemon says every half minute that it lives; Dagster's own UI waits as long before it doubts it."""


def findings(known: Settings) -> Iterator[Finding]:
    """Whether DAGSTER_HOME is set and sound, its history answers, its daemon lives and its runs have processes."""
    if known.dagster_home is None:
        yield ok(
            AREA,
            "DAGSTER_HOME",
            "not set: the history of runs is forgotten with each command",
            "export DAGSTER_HOME=<folder with dagster.yaml> to keep it, and for the UI",
        )
        return
    # Dagster takes seconds to import.
    from em_assets.defs.health import CONFIG, config_of, history_of

    if not (known.dagster_home / CONFIG).is_file():
        yield mend(
            AREA,
            CONFIG,
            f"not in {known.dagster_home}: runs would have no limits and no monitoring",
            f"em-assets init makes one; copy it to {known.dagster_home}",
        )
        return
    config = config_of(known.dagster_home)
    if config.problem:
        yield mend(AREA, CONFIG, config.problem, f"mend {known.dagster_home / CONFIG}")
        return
    yield ok(AREA, CONFIG, f"{known.dagster_home / CONFIG}; the history is in {config.storage}")
    if config.is_fresh:
        yield ok(AREA, "history", "none yet", "the first `em-assets fetch` or `make ui` makes it")
        return
    history = history_of(known.dagster_home, known.store)
    if history.problem:
        yield mend(AREA, "history", history.problem, _to_mend_history(config.is_sqlite))
        return
    if history.is_fresh:
        yield ok(AREA, "history", "no runs yet", "the first `em-assets fetch`, or the daemon, makes its tables")
        return
    yield from _history(history)


def _to_mend_history(is_sqlite: bool) -> str:
    if is_sqlite:
        return "dagster instance migrate; where that fails, move the folders history and schedules away: data are safe"
    return (
        "start the database, or mend `storage` in dagster.yaml; after an upgrade: dagster instance migrate; what is "
        "missing comes with pip install 'em-assets[deploy]'"
    )


def _history(history: "History") -> Iterator[Finding]:
    yield ok(AREA, "history", f"{history.n_running} runs going on, {history.n_queued} waiting")
    if history.gone:
        yield mend(
            AREA,
            "runs",
            f"{len(history.gone)} whose process is gone: {'; '.join(history.gone)}",
            "em-assets fetch or `make ui` marks them as failed; what they finished is kept",
        )
    yield _daemon(history)


def _daemon(history: "History") -> Finding:
    start = "dagster dev -w workspace.yaml, or make ui"
    if history.daemon_errors:
        return mend(AREA, "daemon", f"it reports: {history.daemon_errors[0]}", "see the Deployment page of the UI")
    if history.daemon_age_s is not None and history.daemon_age_s < ALIVE_S:
        return ok(AREA, "daemon", f"alive {history.daemon_age_s:.0f} s ago")
    seen = "never seen" if history.daemon_age_s is None else f"last seen {_ago(history.daemon_age_s)} ago"
    if history.n_queued:
        return mend(AREA, "daemon", f"{seen}, and {history.n_queued} runs wait for it", start)
    return ok(AREA, "daemon", f"{seen}: sources are not watched while it is away", start)


def _ago(seconds: float) -> str:
    for unit, length in (("days", 86400.0), ("hours", 3600.0)):
        if seconds > 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds / 60:.0f} minutes"
