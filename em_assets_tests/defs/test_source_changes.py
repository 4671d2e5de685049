"""The sensor's judgement on real sources and a real instance; the daemon itself runs in test_ui_and_daemon.py."""

import json
import os
import shutil
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import dagster as dg
import pytest

from em_assets import datasets, settings
from em_assets.defs import automation
from em_assets.defs.automation import (
    FINGERPRINT_TAG,
    MAX_ATTEMPTS,
    WATCHED_TAG,
    Watched,
    gone_runs,
    reason_to_run,
    source_changes,
)
from em_assets.defs.platform import Platform
from em_assets.defs.processes import PROCESS_TAG, this_process
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
        ({"fingerprint": "a", "loss": "its volumes are gone"}, "its volumes are gone"),
        ({"held_fingerprint": None, "loss": "its files are gone"}, "its files are gone"),
        ({"loss": "its files are gone", "failed_attempts": MAX_ATTEMPTS}, None),
    ],
    ids=[
        "changed",
        "unchanged",
        "running",
        "failed before",
        "failed too often",
        "never asked for",
        "auto",
        "lost in part",
        "lost",
        "lost and failed too often",
    ],
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
        toml = f'title = "{name}"\n[source]\nurl = "{tmp_path}/{name}/"\ncopy = true\n'
        (tmp_path / "datasets" / f"{name}.toml").write_text(toml)
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


def test_a_manifest_that_cannot_be_read_stops_no_other(
    platform: Platform, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    platform.settings.raw_dir("one").joinpath("manifest.parquet").write_bytes(b"half a manifest")
    change(tmp_path, "other")
    assert [request.partition_key for request in tick(platform, instance)] == ["other"]


def test_a_tick_that_has_no_time_left_goes_on_with_the_next_dataset(
    platform: Platform, instance: dg.DagsterInstance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Datasets whose archives are slow are not asked again before the others have had their turn."""
    change(tmp_path, "one")
    change(tmp_path, "other")
    monkeypatch.setattr(automation, "LOOK_S", -1.0)
    asked = [_asked(platform, instance, cursor) for cursor in ("", '{"next": "other", "seen": {}}')]
    assert [json.loads(cursor)["next"] for cursor in asked] == ["one", "other"]
    monkeypatch.undo()
    first = source_changes(
        dg.build_sensor_context(instance=instance, cursor=asked[1], resources={"platform": platform})
    )
    assert [request.partition_key for request in first.run_requests] == ["other", "one"]


def test_an_archive_is_asked_once_an_hour_and_a_folder_in_every_tick(
    platform: Platform, instance: dg.DagsterInstance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    class Archive(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            asked.append(self.path)

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Archive, directory=tmp_path / "other")) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}/"
        (tmp_path / "datasets/far.toml").write_text(f'title = "far"\nauto = true\n[source]\nurl = "{url}"\n')
        far = Platform(platform.settings, {**platform.datasets, "far": datasets.get("far", platform.settings)})
        cursor = _asked(far, instance, "")
        n_asked = len(asked)
        assert n_asked
        change(tmp_path, "one")
        context = dg.build_sensor_context(instance=instance, cursor=cursor, resources={"platform": far})
        again = source_changes(context)
        assert [request.partition_key for request in again.run_requests] == ["one"]
        assert len(asked) == n_asked
        monkeypatch.setattr(automation, "ARCHIVE_S", 0)
        _asked(far, instance, str(again.cursor))
        assert len(asked) == 2 * n_asked
        server.shutdown()


def _asked(platform: Platform, instance: dg.DagsterInstance, cursor: str) -> str:
    context = dg.build_sensor_context(instance=instance, cursor=cursor, resources={"platform": platform})
    return str(source_changes(context).cursor)


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


def _made(instance: dg.DagsterInstance, asset: str, name: str, folder: Path, **said: int) -> None:
    """The event of a materialization, as the run that made it left it."""
    told = {"folder": dg.MetadataValue.path(str(folder)), **said}
    instance.report_runless_asset_event(dg.AssetMaterialization(asset, partition=name, metadata=told))


def test_a_deleted_store_is_made_again_and_another_store_is_not_filled(
    platform: Platform, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    """What was fetched into a store is wanted there; a new store at another place begins empty."""
    _made(instance, "raw_files", "one", platform.settings.raw_dir("one"))
    _made(instance, "raw_files", "other", tmp_path / "another_store/raw/other")
    shutil.rmtree(platform.settings.store)
    (request,) = tick(platform, instance)
    assert (request.partition_key, request.tags["em_assets/reason"]) == ("one", "its files are gone from the store")


def test_a_lost_volume_is_made_again_and_one_that_was_never_made_is_not(
    platform: Platform, instance: dg.DagsterInstance
) -> None:
    _made(instance, "volume", "one", platform.settings.volumes_dir("one"), volumes=2)
    (request,) = tick(platform, instance)
    assert request.tags["em_assets/reason"] == "2 of its volumes are gone from the store"


def test_a_lost_raw_file_is_noticed_though_the_source_rests(platform: Platform, instance: dg.DagsterInstance) -> None:
    _made(instance, "raw_files", "one", platform.settings.raw_dir("one"))
    assert tick(platform, instance) == []
    platform.settings.raw_dir("one").joinpath("files/stack.tif").unlink()
    assert [request.partition_key for request in tick(platform, instance)] == ["one"]


def test_a_run_that_was_killed_does_not_keep_the_next_from_starting(
    platform: Platform, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    gone = this_process()._replace(began="1")
    killed = dg.DagsterRun(job_name="build_dataset", tags={"dagster/partition": "one", PROCESS_TAG: str(gone)})
    instance.add_run(killed)
    begun = dg.DagsterEvent(event_type_value=dg.DagsterEventType.RUN_START.value, job_name="build_dataset")
    instance.report_dagster_event(begun, killed.run_id)
    change(tmp_path, "one")
    assert tick(platform, instance) == []
    gone_runs(dg.build_sensor_context(instance=instance, resources={"platform": platform}))
    assert [request.partition_key for request in tick(platform, instance)] == ["one"]


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
