"""The Dagster home: made once, by one process, before others open it.

Two processes that open a fresh sqlite home together break it for good ("alembic_version … more than one head"), so
`make ui` runs this module before the webserver and the daemon start. What killed runs left in it is swept up.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import dagster as dg
from filelock import FileLock

from em_assets.defs.sweeping import sweep
from em_assets.settings import Settings, load

LOCK_FILE = ".dagster_home.lock"


@contextmanager
def instance(settings: Settings, say: Callable[[str], None] | None = None) -> Iterator[dg.DagsterInstance]:
    """The instance of DAGSTER_HOME, swept; without one, an instance that is forgotten with the process.

    `say` is told of every run whose process is gone; by default it is written to stderr.
    """
    if settings.dagster_home is None:
        with dg.DagsterInstance.ephemeral() as forgotten:
            yield forgotten
        return
    with FileLock(settings.dagster_home / LOCK_FILE):
        kept = dg.DagsterInstance.get()
        # Each of the three storages makes its tables when it is first asked.
        kept.get_run_records(limit=1)
        kept.get_asset_keys()
        kept.all_instigator_state()
    with kept:
        sweep(kept, say or _on_stderr, settings.store)
        yield kept


def _on_stderr(line: str) -> None:
    sys.stderr.write(f"{line}\n")


if __name__ == "__main__":
    with instance(load()):
        pass
