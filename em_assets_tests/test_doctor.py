"""`em-assets doctor`: every illness is made for real, and must be found, named, and come with what mends it."""

import fcntl
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread

import pytest

from em_assets.doctor import Finding, examine
from em_assets.doctor.findings import Question, ok
from em_assets.doctor.stores import findings as of_the_store
from em_assets.settings import Settings, claim_store
from em_assets.sources.manifest import write_manifest

REPOSITORY = Path(__file__).parents[1]

Examine = Callable[..., dict[tuple[str, str], Finding]]


@pytest.fixture
def nothing_outside(tmp_path: Path) -> Path:
    """A mirror that holds one dataset: no other machine is asked."""
    file = "documents.epfl.ch/groups/c/cv/cvlab-unit/www/data/ ElectronMicroscopy_Hippocampus/volumedata.tif"
    path = tmp_path / "mirror" / file
    path.parent.mkdir(parents=True)
    path.touch()
    return tmp_path / "mirror"


@pytest.fixture
def examined(tmp_path: Path, nothing_outside: Path) -> Examine:
    """Variables → findings by area and what; a store, and no Dagster home, unless they say otherwise."""

    def examined(**variables: object) -> dict[tuple[str, str], Finding]:
        environ = {"EM_ASSETS_STORE": tmp_path / "store", "EM_ASSETS_ORIGIN": nothing_outside, **variables}
        found = examine({name: str(value) for name, value in environ.items()}, patience_s=60)
        return {(finding.area, finding.what): finding for finding in found}

    return examined


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A Dagster home with the project's dagster.yaml and no history yet."""
    folder = tmp_path / "home"
    folder.mkdir()
    shutil.copy(REPOSITORY / "dagster.yaml", folder)
    return folder


def to_mend(found: Mapping[tuple[str, str], Finding]) -> list[tuple[str, str]]:
    return [where for where, finding in found.items() if finding.state == "mend"]


def test_a_sound_machine_has_nothing_to_mend(examined: Examine, home: Path) -> None:
    found = examined(DAGSTER_HOME=home)
    assert {finding.state for finding in found.values()} == {"ok"}
    assert {area for area, _ in found} == {"machine", "store", "home", "archives"}
    assert not (home / "history").exists()  # a doctor makes nothing
    assert not (home.parent / "store").exists()


def test_a_wrong_variable_is_what_is_to_mend(examined: Examine) -> None:
    found = examined(EM_ASSETS_OME_ZARR="0.6")
    assert to_mend(found) == [("settings", "environment")]
    assert "0.5 or 0.4 expected" in found["settings", "environment"].found


def test_packages_that_must_pair_and_do_not_are_named(
    examined: Examine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two packages of two releases import well and fail when the UI is opened."""
    other = tmp_path / "packages" / "dagster_webserver-1.12.0.dist-info"
    other.mkdir(parents=True)
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: dagster-webserver\nVersion: 1.12.0\n")
    monkeypatch.syspath_prepend(str(tmp_path / "packages"))
    finding = examined()["machine", "packages"]
    assert finding.state == "mend"
    assert "dagster-webserver 1.12.0; em-assets needs ==" in finding.found
    assert (finding.to_do or "").startswith("pip install 'dagster-webserver==")


def test_more_memory_than_there_is_can_be_asked_for(examined: Examine) -> None:
    finding = examined(EM_ASSETS_MEMORY_GIB=1e6)["machine", "memory"]
    assert finding.state == "mend"
    assert (finding.to_do or "").startswith("EM_ASSETS_MEMORY_GIB=")


def test_a_store_that_is_a_file_is_named(examined: Examine, tmp_path: Path) -> None:
    (tmp_path / "a file").touch()
    found = examined(EM_ASSETS_STORE=tmp_path / "a file" / "store")
    assert to_mend(found) == [("settings", "environment")]
    assert "a folder expected" in found["settings", "environment"].found


def test_a_store_that_cannot_be_written_is_named(examined: Examine) -> None:
    """Nobody makes a folder in /proc, not even root, for whom no permission holds."""
    found = examined(EM_ASSETS_STORE="/proc/store")
    assert ("store", "place") in to_mend(found)
    assert "EM_ASSETS_STORE" in (found["store", "place"].to_do or "")


def test_a_store_of_another_origin_is_named(examined: Examine, tmp_path: Path) -> None:
    claim_store(Settings(store=tmp_path / "store", origin="sample"))
    finding = examined()["store", "origin"]
    assert finding.state == "mend"
    assert "EM_ASSETS_ORIGIN=sample" in (finding.to_do or "")


def test_only_what_was_fetched_counts_as_in_the_store(examined: Examine, tmp_path: Path) -> None:
    """A fetch that failed leaves the file that it locked, and no manifest."""
    raw = tmp_path / "store" / "raw"
    for name in ("epfl_hippocampus", "cremi_a", "left_over"):
        (raw / name).mkdir(parents=True)
        (raw / name / ".lock").touch()
    assert ", 0 of them in the store" in examined()["store", "datasets"].found
    write_manifest(raw / "cremi_a", [], "f")
    write_manifest(raw / "left_over", [], "f")
    assert examined()["store", "datasets"].found.endswith(
        " registered, 1 of them in the store; not registered any more: left_over"
    )


def test_a_dataset_file_that_is_wrong_is_named(examined: Examine, tmp_path: Path) -> None:
    (tmp_path / "datasets").mkdir()
    (tmp_path / "datasets" / "mine.toml").write_text('titel = "x"\n[source]\nurl = "s3://a/b"\n')
    found = examined(EM_ASSETS_DATASETS=tmp_path / "datasets")
    assert ("store", "datasets") in to_mend(found)
    assert "mine.toml: titel: unknown key" in found["store", "datasets"].found


def test_a_disk_that_is_not_mounted_is_named(examined: Examine, tmp_path: Path) -> None:
    folder = tmp_path / "datasets"
    folder.mkdir()
    (folder / "stack.tif").touch()
    (folder / "here.toml").write_text('title = "here"\n[source]\nurl = "stack.tif"\n')
    assert ("disks", "sources") not in to_mend(examined(EM_ASSETS_DATASETS=folder))
    (folder / "mine.toml").write_text('title = "mine"\n[source]\nurl = "/not/mounted/run_7/"\n')
    found = examined(EM_ASSETS_DATASETS=folder)
    assert to_mend(found) == [("disks", "mine")]
    assert "/not/mounted/run_7 is not there" in found["disks", "mine"].found


def test_a_commit_whose_volume_was_removed_is_to_be_mended_and_litter_is_not(examined: Examine, tmp_path: Path) -> None:
    volumes = tmp_path / "store" / "volumes"
    (volumes / "lost" / "em" / "commits").mkdir(parents=True)
    (volumes / "lost" / "em" / "commits" / "000001.json").write_text("{}")
    (volumes / "littered" / "em" / "commits").mkdir(parents=True)
    (volumes / "littered" / "em" / "feedfacefeedface").mkdir()
    (volumes / "littered" / "em" / "feedfacefeedface" / "zarr.json").write_bytes(bytes(1000))
    found = examined()
    assert "lost/em/commits/000001.json" in str([finding.found for finding in found.values()])
    assert ("store", "volumes of lost") in to_mend(found)
    assert found["store", "volumes of lost"].to_do == "em-assets fetch lost"
    leftovers = found["store", "leftovers"]
    assert (leftovers.state, leftovers.to_do) == ("ok", "em-assets gc --remove")
    assert "1 kB" in leftovers.found


def test_a_home_without_dagster_yaml_or_with_a_wrong_one_is_named(examined: Examine, home: Path) -> None:
    (home / "dagster.yaml").write_text("concurency:\n  pools: 1\n")
    assert to_mend(examined(DAGSTER_HOME=home)) == [("home", "dagster.yaml")]
    (home / "dagster.yaml").unlink()
    found = examined(DAGSTER_HOME=home)
    assert to_mend(found) == [("home", "dagster.yaml")]
    assert "em-assets init" in (found["home", "dagster.yaml"].to_do or "")


def test_a_history_that_is_no_database_is_named(examined: Examine, home: Path) -> None:
    (home / "history").mkdir()
    (home / "history" / "runs.db").write_bytes(b"no sqlite" * 200)
    found = examined(DAGSTER_HOME=home)
    assert to_mend(found) == [("home", "history")]
    assert "not a database" in found["home", "history"].found


def test_runs_whose_process_is_gone_and_a_daemon_that_is_away_are_named(examined: Examine, home: Path) -> None:
    """What a killed run leaves: a run that looks alive. What is queued waits for a daemon that nobody started."""
    import dagster as dg
    from dagster._core.instance.ref import InstanceRef
    from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin
    from dagster._daemon.types import DaemonHeartbeat

    from em_assets.defs.processes import PROCESS_TAG, this_process

    with dg.DagsterInstance.from_ref(InstanceRef.from_dir(str(home))) as instance:
        where = RemoteJobOrigin(RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("here"), "all"), "build_dataset")
        gone = this_process()._replace(pid=2**22 + 1)  # above the largest number that Linux gives
        instance.add_run(
            dg.DagsterRun("build_dataset", status=dg.DagsterRunStatus.STARTED, tags={PROCESS_TAG: str(gone)})
        )
        instance.add_run(dg.DagsterRun("build_dataset", status=dg.DagsterRunStatus.QUEUED, remote_job_origin=where))
        found = examined(DAGSTER_HOME=home)
        assert to_mend(found) == [("home", "runs"), ("home", "daemon")]
        assert found["home", "runs"].found.startswith("1 whose process is gone")
        assert found["home", "daemon"].found == "never seen, and 1 runs wait for it"

        instance.add_daemon_heartbeat(DaemonHeartbeat(time.time() - 10, "SENSOR", "a"))
        assert examined(DAGSTER_HOME=home)["home", "daemon"].state == "ok"
        instance.add_daemon_heartbeat(DaemonHeartbeat(time.time() - 86400 * 3, "SENSOR", "a"))
        assert examined(DAGSTER_HOME=home)["home", "daemon"].found.startswith("last seen 3 days ago")


def test_a_run_of_an_earlier_container_is_seen_by_the_lock_that_it_let_go(
    examined: Examine, home: Path, tmp_path: Path
) -> None:
    import dagster as dg
    from dagster._core.instance.ref import InstanceRef

    from em_assets.defs.processes import FOLDER, PROCESS_TAG, this_process

    container = this_process()._replace(namespace="pid:[1]", pid=7)
    lock = tmp_path / "store" / FOLDER / container.file_name
    lock.parent.mkdir(parents=True)
    lock.touch()
    container = container._replace(proof=str(lock.stat().st_ino))
    with dg.DagsterInstance.from_ref(InstanceRef.from_dir(str(home))) as instance:
        tags = {PROCESS_TAG: str(container)}
        instance.add_run(dg.DagsterRun("build_dataset", status=dg.DagsterRunStatus.STARTED, tags=tags))
        assert ("home", "runs") in to_mend(examined(DAGSTER_HOME=home))
        with lock.open() as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            assert ("home", "runs") not in examined(DAGSTER_HOME=home)


def test_a_mirror_says_what_it_holds(examined: Examine, nothing_outside: Path, tmp_path: Path) -> None:
    found = examined()["archives", "mirror"]
    assert found.state == "ok"
    assert f"{nothing_outside} holds epfl_hippocampus; not in it: " in found.found
    (tmp_path / "empty").mkdir()
    assert to_mend(examined(EM_ASSETS_ORIGIN=tmp_path / "empty")) == [("archives", "mirror")]


def test_the_sample_origin_is_started_and_asked(examined: Examine, tmp_path: Path) -> None:
    found = examined(EM_ASSETS_ORIGIN="sample")
    states = {what: finding.state for (area, what), finding in found.items() if area == "archives"}
    assert states == {"sample, ftp": "ok", "sample, http": "ok", "sample, s3": "ok"}
    assert not (tmp_path / "store").exists()


class _Archive(BaseHTTPRequestHandler):
    """An archive that answers by the host it is asked for."""

    def do_HEAD(self) -> None:
        self.send_response(503 if "busy" in self.path else 403)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def archives(tmp_path: Path) -> Iterator[dict[str, str]]:
    """One that answers, one that says 503, one that takes connections and says nothing, one that nobody serves."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Archive)
    Thread(target=server.serve_forever, daemon=True).start()
    with socket.socket() as silent, socket.socket() as closed:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        closed.bind(("127.0.0.1", 0))
        yield {
            "well": f"http://127.0.0.1:{server.server_address[1]}",
            "silent": f"http://127.0.0.1:{silent.getsockname()[1]}",
            "closed": f"ftp://127.0.0.1:{closed.getsockname()[1]}",
        }
    server.shutdown()
    server.server_close()


def test_of_archives_each_is_asked_and_named_with_its_datasets(archives: dict[str, str]) -> None:
    from em_assets.datasets import Dataset
    from em_assets.doctor.archives import archive, servers_of
    from em_assets.model import Source

    def dataset(name: str, *urls: str) -> Dataset:
        return Dataset(name=name, title=name, sources=tuple(Source(url=url) for url in urls))

    registered = {
        "one": dataset("one", f"{archives['well']}/a.tif"),
        "two": dataset("two", f"{archives['well']}/b.tif", f"{archives['silent']}/c.tif"),
        "three": dataset("three", f"{archives['closed']}/d.tif", "/a/disk/e.tif"),
    }
    servers = servers_of(registered)
    assert servers == {
        archives["closed"]: ["three"],
        archives["well"]: ["one", "two"],
        archives["silent"]: ["two"],
    }
    found = {server: next(iter(archive(server, names, answer_s=0.5))) for server, names in servers.items()}
    assert {server: finding.state for server, finding in found.items()} == {
        archives["closed"]: "unknown",
        archives["well"]: "ok",
        archives["silent"]: "unknown",
    }
    assert found[archives["well"]].found.endswith("for one, two")
    assert "timed out" in found[archives["silent"]].found
    assert "refused" in found[archives["closed"]].found


def test_what_never_answers_does_not_keep_the_others_waiting() -> None:
    from em_assets.doctor.examining import answers

    never = Event()

    def stuck() -> Iterator[Finding]:
        yield ok("store", "origin", "sample")
        yield ok("store", "bucket", str(never.wait()))

    quick = Question("machine", "cores", lambda: [ok("machine", "cores", "2")])
    found = list(answers([quick, Question("store", "bucket", stuck)], patience_s=2))
    assert [(finding.what, finding.state) for finding in found] == [
        ("cores", "ok"),
        ("origin", "ok"),
        ("bucket", "unknown"),
    ]
    assert found[-1].found == "no answer within 2 s"
    never.set()


def test_a_bucket_that_never_answers_for_its_origin_is_unknown_and_the_machine_is_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):  # which the library reads itself
        monkeypatch.setenv(name, "a key")
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        environ = {
            "EM_ASSETS_STORE": "s3://bucket/store",
            "EM_ASSETS_CACHE": str(tmp_path),
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{silent.getsockname()[1]}",
            "AWS_ACCESS_KEY_ID": "a key",
            "AWS_REGION": "us-east-1",
        }
        found = examine(environ, patience_s=0.5)
    assert {finding.area for finding in found} == {"machine", "settings"}
    (settings,) = [finding for finding in found if finding.area == "settings"]
    assert (settings.what, settings.state, settings.found) == ("store", "unknown", "no answer within 0.5 s")


def test_a_bucket_that_is_not_there_is_to_be_mended(
    s3_environment: dict[str, str], new_bucket: Callable[[], str], tmp_path: Path
) -> None:
    from em_assets.doctor.examining import answers
    from em_assets.remote.path import remote_path

    found = []
    for url in (new_bucket(), "s3://there-is-no-such-bucket"):
        known = Settings(store=tmp_path / "copy", origin="sample", remote=remote_path(f"{url}/store", s3_environment))
        found.append(list(answers([Question("store", "place", partial(of_the_store, known))], patience_s=30)))
    well, lost = found
    assert {finding.state for finding in well} == {"ok"}
    assert [(finding.what, finding.state) for finding in lost] == [("place", "mend")]
    assert "no such bucket" in lost[0].found


@pytest.mark.parametrize(
    ("is_offline", "is_ill", "code"),
    [(False, False, 0), (True, False, 3), (True, True, 1)],
    ids=["sound", "offline", "offline and ill"],
)
def test_the_exit_code_tells_what_is_to_be_done(
    nothing_outside: Path, tmp_path: Path, is_offline: bool, is_ill: bool, code: int
) -> None:
    """Offline every archive is `unknown`: 3, as where a source cannot be reached, but only if nothing is to mend."""
    if is_ill:
        claim_store(Settings(store=tmp_path / "store", origin="sample"))
    environment = {name: value for name, value in os.environ.items() if name != "DAGSTER_HOME"}
    environment |= {"EM_ASSETS_STORE": str(tmp_path / "store")}
    environment |= {"EM_ASSETS_ORIGIN": "public" if is_offline else str(nothing_outside)}
    # Whatever network this machine has: a proxy that nobody serves is none.
    environment |= {"HTTPS_PROXY": "http://127.0.0.1:1", "HTTP_PROXY": "http://127.0.0.1:1"}
    command = [str(Path(sys.executable).with_name("em-assets")), "doctor"]
    done = subprocess.run([*command, "--json"], env=environment, capture_output=True, text=True, timeout=60)
    findings = [Finding(**finding) for finding in json.loads(done.stdout)]
    assert done.returncode == code, done.stdout + done.stderr
    states = {finding.state for finding in findings if finding.area == "archives"}
    assert states == ({"unknown"} if is_offline else {"ok"})
    assert ("this machine has no way out" in done.stdout) == is_offline
    assert all(finding.to_do for finding in findings if finding.state == "mend")
