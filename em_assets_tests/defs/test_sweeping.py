"""Runs whose process is gone are told from those that work; their pool slots are freed."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import dagster as dg
import pytest
from running_dagster import REPOSITORY

from em_assets.defs.automation import catalog_job, dataset_job, observe_job
from em_assets.defs.pools import hosts_of, slots
from em_assets.defs.processes import (
    FOLDER,
    OF_ONE_MACHINE,
    PROCESS_TAG,
    Worker,
    holding,
    sweep_locks,
    this_process,
    worker_of,
)
from em_assets.defs.sweeping import sweep
from em_assets.model import Source

HOST = "ftp.ebi.ac.uk"
OF_THE_MACHINE = "pid:[4026531836]"


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """A kept instance, whose pools have one slot each."""
    pools = {"concurrency": {"pools": {"default_limit": 1}}, "telemetry": {"enabled": False}}
    with dg.DagsterInstance.local_temp(str(tmp_path), overrides=pools) as made:
        yield made


def dead() -> Worker:
    """A process of this machine that has ended."""
    ended = subprocess.run(
        [sys.executable, "-S", "-c", "import os; print(os.getpid())"], capture_output=True, check=True
    )
    return this_process()._replace(pid=int(ended.stdout), began="1")


def started(instance: dg.DagsterInstance, worker: Worker | None, job: str = "build_dataset") -> str:
    """A run that has begun, on that process, and holds a slot or waits for one; its number."""
    run = dg.DagsterRun(job_name=job, tags={PROCESS_TAG: str(worker)} if worker else {})
    instance.add_run(run)
    instance.report_dagster_event(_begun(job), run.run_id)
    instance.event_log_storage.initialize_concurrency_limit_to_default(HOST)
    instance.event_log_storage.claim_concurrency_slot(HOST, run.run_id, "raw_files")
    return run.run_id


def _begun(job: str) -> dg.DagsterEvent:
    return dg.DagsterEvent(event_type_value=dg.DagsterEventType.RUN_START.value, job_name=job)


def status(instance: dg.DagsterInstance, run_id: str) -> dg.DagsterRunStatus:
    run = instance.get_run_by_id(run_id)
    assert run is not None
    return run.status


@pytest.mark.parametrize(
    ("change", "is_gone"),
    [
        ({}, False),
        ({"began": "1"}, True),
        ({"boot": "another", "namespace": OF_THE_MACHINE}, this_process().namespace == OF_THE_MACHINE),
        ({"machine": "another", "boot": "another"}, False),
        ({"namespace": "pid:[1]", "began": "1"}, False),
    ],
    ids=[
        "this very process",
        "its number used again",
        "before a restart",
        "on another machine",
        "in another container",
    ],
)
def test_only_a_process_that_could_be_seen_is_called_gone(change: dict[str, str], is_gone: bool) -> None:
    worker = worker_of(str(this_process()))
    assert worker is not None
    assert worker._replace(**change).is_gone is is_gone  # type: ignore[arg-type]


def test_a_killed_child_is_gone_before_anybody_asked_for_its_end() -> None:
    """A code server does not ask at once: its killed child is still in the table of processes."""
    child = os.fork()
    if child == 0:
        os.execv(sys.executable, [sys.executable, "-S", "-c", "import time; time.sleep(60)"])
    began = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[19]
    worker = this_process()._replace(pid=child, began=began)
    assert not worker.is_gone
    os.kill(child, 9)
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    assert worker.is_gone
    os.waitpid(child, 0)


def test_a_tag_of_an_unknown_kind_is_no_process() -> None:
    assert worker_of("17") is None


def test_a_run_whose_process_is_gone_is_failed_and_its_slot_is_free(instance: dg.DagsterInstance) -> None:
    gone, said = started(instance, dead()), []
    assert sweep(instance, said.append) == 1
    assert status(instance, gone) == dg.DagsterRunStatus.FAILURE
    assert instance.event_log_storage.get_concurrency_run_ids() == set()
    assert "is gone" in said[0]


def test_a_run_that_works_and_a_run_of_other_code_are_left_alone(instance: dg.DagsterInstance) -> None:
    ours, others = started(instance, this_process()), started(instance, None, job="somebody_elses")
    assert sweep(instance, print) == 0
    assert {status(instance, ours), status(instance, others)} == {dg.DagsterRunStatus.STARTED}
    assert ours in instance.event_log_storage.get_concurrency_run_ids()


@dg.asset
def raw_files(context: dg.AssetExecutionContext) -> None:
    with slots(context, [HOST, "another.host"]):
        pool = context.instance.event_log_storage.get_concurrency_info(HOST)
        context.add_output_metadata({"by_me": pool.active_run_ids == {context.run.run_id}, "limit": pool.limit or 0})


def test_who_waits_for_a_slot_does_not_wait_for_a_process_that_is_gone(instance: dg.DagsterInstance) -> None:
    gone = started(instance, dead())
    done = dg.materialize([raw_files], instance=instance)
    assert done.asset_materializations_for_node("raw_files")[0].metadata["by_me"].value is True
    assert status(instance, gone) == dg.DagsterRunStatus.FAILURE
    assert instance.event_log_storage.get_concurrency_run_ids() == set()


HOLDER = """
import sys
from pathlib import Path
from em_assets.defs.processes import holding
print(holding(Path(sys.argv[1])), flush=True)
sys.stdin.read()
"""


@contextmanager
def in_a_container(store: Path) -> Iterator[tuple[subprocess.Popen[str], Worker]]:
    """A process that works on runs in a namespace of processes of its own, and shares the store."""
    unshare = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]
    if subprocess.run([*unshare, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this system lets nobody here make a process namespace")
    with subprocess.Popen(
        [*unshare, sys.executable, "-c", HOLDER, str(store)],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as container:
        assert container.stdout is not None
        worker = worker_of(container.stdout.readline().strip())
        assert worker is not None
        yield container, worker
        container.kill()


def test_a_run_of_a_container_that_is_gone_is_swept_through_the_store(
    instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    """A code location that was started anew is another container, with other processes: only the store tells."""
    store = tmp_path / "store"
    with in_a_container(store) as (container, worker):
        run = started(instance, worker)
        assert worker.namespace != this_process().namespace
        assert sweep(instance, print, store) == 0
        container.kill()
        container.wait()
        assert not worker.is_gone  # which nobody can see from here
        assert sweep(instance, print) == 0
        assert sweep(instance, print, tmp_path / "another_store") == 0
        assert sweep(instance, print, store) == 1
    assert status(instance, run) == dg.DagsterRunStatus.FAILURE


def test_a_copy_of_a_store_says_nothing_of_who_works_on_it(tmp_path: Path) -> None:
    mine = holding(tmp_path / "store")
    shutil.copytree(tmp_path / "store", tmp_path / "copy")
    assert not mine.has_let_go(tmp_path / "store")
    assert not mine.has_let_go(tmp_path / "copy")


@pytest.mark.parametrize("disk", [None, "/dev/shm"], ids=["a disk", "memory"])
def test_after_a_restart_only_a_disk_of_one_machine_proves_an_end(disk: str | None) -> None:
    """The file as a process of the boot before would have left it."""
    with TemporaryDirectory(dir=disk) as name:
        store = Path(name)
        before = holding(store)._replace(boot="0" * 36)
        path = store / FOLDER / before.file_name
        path.touch()
        kind = subprocess.run(
            ["df", "--output=fstype", name], capture_output=True, text=True, check=True
        ).stdout.split()
        before = before._replace(proof=str(path.stat().st_ino))
        assert before.has_let_go(store) is (kind[-1] in OF_ONE_MACHINE)


def test_files_of_the_dead_are_removed_in_time_and_of_the_living_never(tmp_path: Path) -> None:
    mine = holding(tmp_path)
    folder = tmp_path / FOLDER
    for name in ("old", "new"):
        (folder / name).touch()
    for name in ("old", mine.file_name):
        os.utime(folder / name, (0, 0))
    sweep_locks(tmp_path)
    assert {path.name for path in folder.iterdir()} == {"new", mine.file_name}


def test_a_limit_that_a_person_has_set_stays(instance: dg.DagsterInstance) -> None:
    instance.event_log_storage.set_concurrency_slots(HOST, 7)
    done = dg.materialize([raw_files], instance=instance)
    assert done.asset_materializations_for_node("raw_files")[0].metadata["limit"].value == 7


def test_every_job_has_a_longest_time() -> None:
    jobs = {job.name: job.tags.get("dagster/max_runtime") for job in (dataset_job, observe_job, catalog_job)}
    assert jobs == {"build_dataset": "86400", "observe_sources": "900", "build_catalog": "3600"}


def test_a_pool_has_two_slots_unless_told_otherwise(tmp_path: Path) -> None:
    shutil.copy(REPOSITORY / "dagster.yaml", tmp_path)
    with dg.DagsterInstance.from_config(str(tmp_path)) as kept:
        kept.event_log_storage.initialize_concurrency_limit_to_default(HOST)
        assert kept.event_log_storage.get_concurrency_info(HOST).limit == 2


def test_pools_are_named_after_hosts_and_buckets() -> None:
    sources = [
        Source(url="https://ftp.ebi.ac.uk/empiar/1", fallback_urls=("ftp://ftp.ebi.ac.uk/empiar/1",)),
        Source(url="s3://janelia-cosem-datasets/jrc"),
        Source(url="/data/microscope"),
    ]
    assert hosts_of(sources) == ["ftp.ebi.ac.uk", "janelia-cosem-datasets"]
