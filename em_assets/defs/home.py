"""The Dagster home: made once, by one process, before others open it.

Two processes that open a fresh sqlite home together break it for good ("alembic_version … more than one head"), so
`make ui` runs this module before the webserver and the daemon start.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg
from filelock import FileLock

from em_assets.settings import Settings, load

LOCK_FILE = ".dagster_home.lock"


@contextmanager
def instance(settings: Settings) -> Iterator[dg.DagsterInstance]:
    """The instance of DAGSTER_HOME; without one, an instance that is forgotten with the process."""
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
        yield kept


if __name__ == "__main__":
    with instance(load()):
        pass
