"""The instance of a deployment: its history in a real PostgreSQL, runs at once, and the same tables as with sqlite."""

import hashlib
import json
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import dagster as dg
import holding_a_slot
import pytest
from postgres import DATABASE, PASSWORD, USER, Postgres
from running_dagster import REPOSITORY, Home
from sqlalchemy import URL, create_engine, text
from sqlalchemy.exc import SQLAlchemyError

from em_assets import settings
from em_assets.defs import health
from em_assets.defs.retrying import may_pass
from em_assets.doctor.home import findings

AT_ONCE = Path(__file__).with_name("at_once.py")
HOLDING = Path(holding_a_slot.__file__)
SMALL = ["epfl_hippocampus", "visor_bb001"]
LARGE = ["cryoet_10001", "empiar_11759", "hemibrain_ng", "jrc_mus_nacc_2", "u2os_chromatin"]
LOCK_ERRORS = ("database is locked", "deadlock", "could not serialize", "too many clients", "canceling statement")

History = Counter[tuple[str, str, str]]


def fetched_at_once(home: Home, runs: Sequence[str]) -> list[dict[str, Any]]:
    done = home.run(sys.executable, str(AT_ONCE), *runs)
    assert done.returncode == 0, done.stderr[-3000:]
    ends: list[dict[str, Any]] = json.loads(done.stdout)
    return ends


def made(store: Path) -> dict[str, str]:
    """Digest of every table of a store, and of its volumes the generations, which are named after what is in them."""
    found = [*(store / "metadata").rglob("*.parquet"), *(store / "catalog").glob("*.parquet")]
    kept = {str(path.relative_to(store)): hashlib.sha256(path.read_bytes()).hexdigest() for path in found}
    volumes = {str(path.relative_to(store)): str(path.readlink()) for path in (store / "volumes").rglob("latest")}
    assert kept
    assert volumes
    return kept | volumes


def history(instance: dg.DagsterInstance) -> History:
    """How often each event of assets and runs stands in an instance, by kind, asset or job, and partition."""
    kinds = {
        dg.DagsterEventType.ASSET_MATERIALIZATION,
        dg.DagsterEventType.ASSET_CHECK_EVALUATION,
        dg.DagsterEventType.RUN_SUCCESS,
    }
    found: History = Counter()
    for run in instance.get_runs():
        for entry in instance.all_logs(run.run_id, of_type=kinds):
            assert entry.dagster_event is not None
            event = entry.dagster_event
            about = event.asset_key.to_user_string() if event.asset_key else run.job_name
            found[event.event_type_value, about, run.tags.get("dagster/partition", "")] += 1
    return found


@pytest.fixture
def sqlite_home(tmp_path: Path, with_sources: Callable[[Path], Path]) -> Home:
    shutil.copy(REPOSITORY / "dagster.yaml", tmp_path)
    with_sources(tmp_path / "store")
    return Home(tmp_path)


def opened(home: Home, monkeypatch: pytest.MonkeyPatch) -> dg.DagsterInstance:
    """The home's instance in this process, which gets the environment that its configuration asks for."""
    for name, value in home.environment.items():
        monkeypatch.setenv(name, value)
    return dg.DagsterInstance.from_config(str(home.folder))


def assert_the_same_as_with_sqlite(
    runs: Sequence[str], home: Home, sqlite_home: Home, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All succeed without a lock error; records are complete; tables and volumes are those of the sqlite home."""
    for end in fetched_at_once(home, runs):
        assert end["code"] == 0, end["said"]
        assert not any(error in end["said"] for error in LOCK_ERRORS)
    assert not any(error in postgres.log for error in LOCK_ERRORS)
    assert "ERROR" not in postgres.log

    # The reference: the same datasets one after the other. Whoever was last has seen all that the others made.
    names = sorted(set(runs))
    (end,) = fetched_at_once(sqlite_home, [",".join(names)])
    assert end["code"] == 0, end["said"]
    again = fetched_at_once(home, [names[0]])
    assert again[0]["code"] == 0
    assert made(home.store) == made(sqlite_home.store)

    n_runs = Counter({name: runs.count(name) for name in names})
    n_runs[names[0]] += 1
    with opened(sqlite_home, monkeypatch) as instance:
        once = history(instance)
    expected = Counter({event: n * (n_runs[event[2]] if event[2] else len(runs) + 1) for event, n in once.items()})
    with opened(home, monkeypatch) as instance:
        assert {run.status for run in instance.get_runs()} == {dg.DagsterRunStatus.SUCCESS}
        assert history(instance) == expected
    assert postgres.ask("SELECT count(*) FROM runs") == [(str(2 * (len(runs) + 1)),)]


@pytest.mark.timeout(280)
def test_eight_runs_at_once_leave_whole_records_and_the_tables_that_sqlite_has(
    new_home: Callable[[], Home], sqlite_home: Home, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = [*SMALL * 4]
    assert_the_same_as_with_sqlite(runs, new_home(), sqlite_home, postgres, monkeypatch)


def test_who_only_looks_makes_no_tables(
    new_home: Callable[[], Home], empty_postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = new_home()
    for name, value in home.environment.items():
        monkeypatch.setenv(name, value)
    assert health.history_of(home.folder) == health.History(None, is_fresh=True)
    found = list(findings(settings.load()))
    assert [(one.what, one.state, one.found) for one in found[1:]] == [("history", "ok", "no runs yet")]
    tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"
    assert empty_postgres.ask(tables) == [("0",)]
    with opened(home, monkeypatch) as instance:  # who works makes them
        instance.add_run(dg.DagsterRun("build_dataset", status=dg.DagsterRunStatus.STARTED))
    assert empty_postgres.ask(tables) != [("0",)]
    assert health.history_of(home.folder) == health.History(None, n_running=1)


def test_a_killed_run_is_failed_by_who_waits_for_its_slot(
    new_home: Callable[[], Home], empty_postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = new_home()
    with (
        opened(home, monkeypatch) as instance,
        subprocess.Popen(
            [sys.executable, HOLDING], env=home.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as holder,
    ):
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        holder.kill()
        (begun,) = instance.get_runs()
        assert begun.status == dg.DagsterRunStatus.STARTED
        assert dg.materialize([holding_a_slot.raw_files], instance=instance).success
        ends = {run.run_id == begun.run_id: run.status for run in instance.get_runs()}
        assert ends == {True: dg.DagsterRunStatus.FAILURE, False: dg.DagsterRunStatus.SUCCESS}
        assert instance.event_log_storage.get_concurrency_run_ids() == set()


def test_a_database_that_was_restarted_is_asked_again(postgres: Postgres) -> None:
    """Its connections break, and for a moment it takes no new ones: what a step tries again."""
    url = URL.create("postgresql+psycopg2", USER, PASSWORD, "127.0.0.1", postgres.port, DATABASE)
    with create_engine(url).connect() as connection:
        postgres.ask("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name <> 'psql'")
        with pytest.raises(SQLAlchemyError) as broken:
            connection.execute(text("SELECT 1"))
        connection.invalidate()
    assert may_pass(broken.value)
    with pytest.raises(SQLAlchemyError) as refused:
        create_engine(url.set(port=1)).connect()
    assert may_pass(refused.value)
    with create_engine(url).connect() as connection, pytest.raises(SQLAlchemyError) as wrong:
        connection.execute(text("SELECT no_such_column"))
    assert not may_pass(wrong.value)


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_sixteen_runs_of_every_sample_dataset_at_once_do_too(
    new_home: Callable[[], Home], sqlite_home: Home, empty_postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = [*(SMALL + LARGE) * 2, *SMALL]
    assert_the_same_as_with_sqlite(runs, new_home(), sqlite_home, empty_postgres, monkeypatch)
