"""How a Dagster home is: its settings, its history, its daemon. Nothing is changed, and nothing is made.

A sqlite home without a history is not opened: opening makes one, and two processes that make it at once break it
(`home`). A database server is opened without the tables that it lacks, which Dagster would make.
"""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import yaml
from dagster._check import CheckError
from dagster._core.instance.ref import InstanceRef
from dagster._core.storage.runs.sql_run_storage import SqlRunStorage
from dagster._serdes import ConfigurableClassData
from sqlalchemy import inspect
from sqlalchemy.exc import SQLAlchemyError

from em_assets.defs.sweeping import gone_runs
from em_assets.errors import shown_url

CONFIG = "dagster.yaml"
_SQLITE = "DagsterSqliteStorage"
_SQLITE_RUNS = "history/runs.db"
_SERVERS = frozenset({"DagsterPostgresStorage", "DagsterMySQLStorage"})
_REFUSALS = (dg.DagsterError, CheckError, ImportError, OSError, SQLAlchemyError, yaml.YAMLError)


@dataclass(frozen=True)
class Config:
    """What `dagster.yaml` says of the history.

    Attributes
    ----------
    problem
        Why it cannot be used; None where it can.
    storage
        Where the history is, in words.
    is_sqlite, is_fresh
        Whether that is a file, and whether it is not there yet.
    """

    problem: str | None
    storage: str = ""
    is_sqlite: bool = False
    is_fresh: bool = False


@dataclass(frozen=True)
class History:
    """What the history says.

    Attributes
    ----------
    problem
        Why it cannot be read; None where it can.
    is_fresh
        Whether its database holds nothing of Dagster's yet.
    n_running, n_queued
        Runs that have begun, and runs that wait for the daemon.
    gone
        Runs that look alive and whose process is gone, in words.
    daemon_age_s, daemon_errors
        Since the daemon was last heard of, None for never; and what it had to say.
    """

    problem: str | None
    is_fresh: bool = False
    n_running: int = 0
    n_queued: int = 0
    gone: tuple[str, ...] = ()
    daemon_age_s: float | None = None
    daemon_errors: tuple[str, ...] = ()


def config_of(home: Path) -> Config:
    """How the history is kept; nothing is opened."""
    try:
        ref = InstanceRef.from_dir(str(home))
    except _REFUSALS as error:
        return Config(_words(error))
    storage = ref.storage_data
    if storage is None:  # of three parts, as older releases had it
        return Config(None, "three storages of its own")
    if storage.class_name != _SQLITE:
        return Config(None, storage.class_name.removeprefix("Dagster").removesuffix("Storage"))
    said: dict[str, Any] = yaml.safe_load(storage.config_yaml) or {}
    file = Path(str(said.get("base_dir", home))) / _SQLITE_RUNS
    return Config(None, f"sqlite, {file.parent}", is_sqlite=True, is_fresh=not file.is_file())


def history_of(home: Path, store: Path | None = None) -> History:
    """What a history says; with a store, runs of other containers that share it are known to be gone too."""
    try:
        with dg.DagsterInstance.from_ref(_making_no_tables(InstanceRef.from_dir(str(home)))) as instance:
            return _history(instance, store) if _has_tables(instance) else History(None, is_fresh=True)
    except ImportError as error:
        return History(f"the package {error.name} is not installed")
    except _REFUSALS as error:
        return History(_words(error))


def _making_no_tables(ref: InstanceRef) -> InstanceRef:
    storage = ref.storage_data
    if storage is None or storage.class_name not in _SERVERS:
        return ref
    said = {**(yaml.safe_load(storage.config_yaml) or {}), "should_autocreate_tables": False}
    looking = ConfigurableClassData(storage.module_name, storage.class_name, yaml.safe_dump(said))
    return ref._replace(storage_data=looking)


def _has_tables(instance: dg.DagsterInstance) -> bool:
    storage = instance.run_storage
    if not isinstance(storage, SqlRunStorage):
        return True
    with storage.connect() as connection:
        return bool(inspect(connection).has_table("runs"))


def _history(instance: dg.DagsterInstance, store: Path | None) -> History:
    begun = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]
    gone = tuple(
        f"{run.run_id[:8]} {run.tags.get('dagster/partition', '')}".strip() for run, _ in gone_runs(instance, store)
    )
    beats = instance.get_daemon_heartbeats().values()
    newest = max((beat.timestamp for beat in beats), default=None)
    errors = tuple(error.message.strip() for beat in beats for error in beat.errors or ())
    return History(
        problem=None,
        n_running=instance.get_runs_count(dg.RunsFilter(statuses=begun)) - len(gone),
        n_queued=instance.get_runs_count(dg.RunsFilter(statuses=[dg.DagsterRunStatus.QUEUED])),
        gone=gone,
        daemon_age_s=None if newest is None else max(time.time() - newest, 0.0),
        daemon_errors=errors,
    )


def _words(error: BaseException) -> str:
    """What an error says first, without a database's password, and without the whole schema that Dagster adds."""
    said = error.errors[0].message if isinstance(error, dg.DagsterInvalidConfigError) else str(error)
    lines = said.partition(" Expected: ")[0].strip().splitlines() or [type(error).__name__]
    return shown_url(" ".join(lines[:2] if lines[0].endswith(":") else lines[:1]))
