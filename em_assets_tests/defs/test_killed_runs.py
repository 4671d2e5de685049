"""Whole dataset runs that are killed, and many at once: real processes, one Dagster home, one store."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from running_dagster import Home

FORKING = Path(__file__).with_name("forking.py")


def campaign(home: Home, dataset: str, *campaigns: str) -> dict[str, Any]:
    # Longer than any: what ends a campaign that hangs is the time limit of its test.
    done = home.run(sys.executable, str(FORKING), dataset, *campaigns, timeout_s=3600)
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def assert_nothing_is_lost(found: dict[str, Any], n_kills: int) -> None:
    """Nothing torn is visible; the next run finishes by itself, and what is held then is what it always would be."""
    assert found["torn"] == []
    assert found["unfinished"] == []
    assert found["differing"] == []
    assert found["left"] == []
    assert found["killed"] == n_kills


def assert_one_commit(found: dict[str, Any], n_processes: int, n_times: int = 1) -> None:
    """All succeed and one of them wrote the volume."""
    assert found["statuses"] == [0] * n_processes
    assert len(found["outcomes"]) == n_processes * n_times
    assert [outcome for outcome in found["outcomes"] if outcome["is_failed"] or not outcome["is_catalogued"]] == []
    assert found["commits"] == ["000001.json"]
    assert sorted(found["written"]) == [0] * (n_processes * n_times - 1) + [1]
    assert found["torn"] == found["left"] == []


def test_a_killed_run_is_finished_by_the_next_and_runs_at_once_commit_once(home: Home) -> None:
    found = campaign(home, "epfl_hippocampus", "kills:2", "crowd:2")
    assert_nothing_is_lost(found["kills"], 2)
    assert_one_commit(found["crowd"], 2)


@pytest.mark.soak
@pytest.mark.timeout(900)
@pytest.mark.parametrize("part", range(5))
@pytest.mark.parametrize("dataset", ["epfl_hippocampus", "empiar_11759"])
def test_a_run_killed_at_one_of_200_points_is_finished_by_the_next(home: Home, dataset: str, part: int) -> None:
    """100 points of each dataset, in five parts."""
    found = campaign(home, dataset, f"kills:100:{part}:5")
    assert_nothing_is_lost(found["kills"], 20)


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_of_16_runs_at_once_one_commits(home: Home) -> None:
    assert_one_commit(campaign(home, "epfl_hippocampus", "crowd:16")["crowd"], 16)


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_8_processes_with_500_events_each_share_one_sqlite_home(home: Home) -> None:
    """A fetch tells the instance over a hundred events; a lock that is not waited for would fail its run."""
    assert_one_commit(campaign(home, "epfl_hippocampus", "crowd:8:5")["crowd"], 8, 5)
