"""The sensor's judgement on real sources and a real instance; the daemon itself runs in test_ui_and_daemon.py."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from em_assets import datasets, settings
from em_assets.defs.automation import FINGERPRINT_TAG, MAX_ATTEMPTS, WATCHED_TAG, Watched, reason_to_run, source_changes
from em_assets.defs.platform import Platform
from em_assets.sources import acquire
from em_assets.sources.origins import PUBLIC_ORIGIN

HELD = {"fingerprint": "b", "held_fingerprint": "a", "is_auto": False, "is_running": False, "failed_attempts": 0}


@pytest.mark.parametrize(
    ("known", "reason"),
    [
        ({}, "its source changed"),
        ({"fingerprint": "a"}, None),
        ({"is_running": True}, None),
        ({"failed_attempts": MAX_ATTEMPTS - 1}, "its source changed"),
        ({"failed_attempts": MAX_ATTEMPTS}, None),
        ({"held_fingerprint": None}, None),
        ({"held_fingerprint": None, "is_auto": True}, "never fetched"),
    ],
    ids=["changed", "unchanged", "running", "failed before", "failed too often", "never asked for", "auto"],
)
def test_a_run_is_due_only_for_a_change_that_nobody_works_on(known: dict[str, object], reason: str | None) -> None:
    assert reason_to_run(Watched(**(HELD | known))) == reason  # type: ignore[arg-type]


@pytest.fixture
def platform(tmp_path: Path, small_tiff: Path) -> Platform:
    """Two datasets of local files, `one` and `other`, both fetched."""
    (tmp_path / "datasets").mkdir()
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        shutil.copy(small_tiff, tmp_path / name / "stack.tif")
        (tmp_path / "datasets" / f"{name}.toml").write_text(f'title = "{name}"\n[source]\nurl = "{tmp_path}/{name}/"\n')
    known = settings.Settings(store=tmp_path / "store", datasets=tmp_path / "datasets")
    registered = {name: datasets.get(name, known) for name in ("one", "other")}
    for name, dataset in registered.items():
        acquire(dataset.sources, PUBLIC_ORIGIN, known.raw_dir(name), log=lambda line: None)
    return Platform(known, registered)


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as made:
        yield made


def tick(platform: Platform, instance: dg.DagsterInstance) -> list[dg.RunRequest]:
    result = source_changes(dg.build_sensor_context(instance=instance, resources={"platform": platform}))
    return list(result.run_requests)


def change(tmp_path: Path, name: str) -> None:
    path = tmp_path / name / "stack.tif"
    path.write_bytes(path.read_bytes())
    os.utime(path, ns=(1, path.stat().st_mtime_ns + 1_000_000_000))


def test_only_the_dataset_whose_source_changed_is_asked_for(
    platform: Platform, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    assert tick(platform, instance) == []
    change(tmp_path, "one")
    assert [request.partition_key for request in tick(platform, instance)] == ["one"]


def test_a_source_that_is_down_stops_no_other(platform: Platform, instance: dg.DagsterInstance, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "one")
    change(tmp_path, "other")
    assert [request.partition_key for request in tick(platform, instance)] == ["other"]


def test_failed_runs_for_one_version_are_bounded_and_another_version_starts_anew(
    platform: Platform, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    change(tmp_path, "one")
    (request,) = tick(platform, instance)
    for attempt in range(MAX_ATTEMPTS):
        assert [again.partition_key for again in tick(platform, instance)] == ["one"], attempt
        _failed_run(instance, request)
    assert tick(platform, instance) == []
    change(tmp_path, "one")
    assert [again.partition_key for again in tick(platform, instance)] == ["one"]


def test_a_change_taken_back_is_a_new_run(platform: Platform, instance: dg.DagsterInstance, tmp_path: Path) -> None:
    """The daemon starts no second run for a key that it has seen: v1, v2, v1 needs three keys."""
    change(tmp_path, "one")
    (first,) = tick(platform, instance)
    _failed_run(instance, first)
    (second,) = tick(platform, instance)
    assert first.tags[FINGERPRINT_TAG] == second.tags[FINGERPRINT_TAG]
    assert first.run_key != second.run_key


def _failed_run(instance: dg.DagsterInstance, request: dg.RunRequest) -> None:
    """A run as the daemon starts it for this request, which then fails."""

    @dg.op
    def broken() -> None:
        raise ValueError("the source is broken")

    @dg.job
    def build() -> None:
        broken()

    tags = {key: request.tags[key] for key in (FINGERPRINT_TAG, WATCHED_TAG)}
    assert not build.execute_in_process(instance=instance, raise_on_error=False, tags=tags).success
