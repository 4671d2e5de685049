"""The Dagster home: made once, by one process, before others open it.

Two processes that open a fresh sqlite home together break it for good ("alembic_version … more than one head"), so
`make ui` runs this module before the webserver and the daemon start. What killed runs left in it is swept up.
"""

import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

import dagster as dg
from dagster._core.storage.compute_log_manager import CapturedLogContext
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
        _mirror_apart(kept)
        yield kept


def _mirror_apart(kept: dg.DagsterInstance) -> None:
    """Have Dagster start the processes that mirror what steps print with Ctrl-C blocked.

    A terminal sends it to them too: each would print a trace, and what is said of the interruption would be lost.
    """
    manager = kept.compute_log_manager
    capture_logs = manager.capture_logs

    @contextmanager
    def captured(log_key: Sequence[str]) -> Iterator[CapturedLogContext]:
        with ExitStack() as capture:
            before = signal.pthread_sigmask(
                signal.SIG_BLOCK, {signal.SIGINT}
            )  # a process is born with its parent's mask
            try:
                context = capture.enter_context(capture_logs(log_key))
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, before)
            yield context

    manager.capture_logs = captured  # type: ignore[method-assign]


def _on_stderr(line: str) -> None:
    sys.stderr.write(f"{line}\n")


if __name__ == "__main__":
    with instance(load()):
        pass
