"""Whoever of a cluster is killed, and when: what was is served, the next run completes, and nothing is left behind."""

import random
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import cluster_commit
import cluster_sources
import numpy as np
import pytest
from dask_processes import Cluster, running

from em_assets.errors import SettingsError, StoreError
from em_assets.volumes.cluster import on_a_cluster
from em_assets.volumes.ledger import Ledger
from em_assets.volumes.pyramid import write_pyramid
from em_assets.volumes.store import CommittedVolume, commit_volume, resolve
from em_assets.volumes.validation import validate_volume

pytestmark = [pytest.mark.soak, pytest.mark.timeout(3600)]

SHAPE = (4, 2500, 2500)
OLD, NEW = "aaaa", "bbbb"


@pytest.fixture
def voxels(tmp_path: Path) -> Path:
    np.save(tmp_path / "voxels.npy", np.random.default_rng(3).integers(0, 256, SHAPE, dtype=np.uint8))
    return tmp_path / "voxels.npy"


def committed(folder: Path, generation: str, voxels: Path, **how: object) -> CommittedVolume:
    said = {"content": "em", "voxel_size_zyx_nm": cluster_sources.VOXEL_SIZE, "name": "v", "attributes": {}, **how}
    source = cluster_sources.opened(voxels)
    return commit_volume(folder, generation, lambda dest: write_pyramid(source, dest, ome_zarr="0.4", **said))


def served(folder: Path) -> tuple[str, Ledger]:
    found = resolve(folder)
    assert found is not None
    assert validate_volume(folder) == []
    return found.commit.generation, found.ledger()


def leftovers(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name.startswith(".staging-"))


@pytest.mark.parametrize("part", range(5))
def test_the_process_that_commits_is_killed(voxels: Path, tmp_path: Path, part: int) -> None:
    """SIGKILL at 20 moments; its workers may go on for a while, and the next run does not mind."""
    expected = committed(tmp_path / "one", NEW, voxels).ledger()
    with running(tmp_path, 2) as cluster:
        for moment in range(part, 20, 5):
            folder = tmp_path / f"em_{moment}"
            committed(folder, OLD, voxels)
            killed = _begun(cluster, voxels, folder)
            time.sleep(0.06 * moment)
            killed.kill()
            killed.communicate()
            assert served(folder)[0] in (OLD, NEW)
            assert _begun(cluster, voxels, folder).communicate()[0] == "committed\n"
            assert served(folder) == (NEW, expected)
            assert leftovers(folder) == []


@pytest.mark.parametrize("number", range(10))
def test_workers_are_killed_again_and_again(voxels: Path, tmp_path: Path, number: int) -> None:
    """Three in a run, one after another, each with another in its place."""
    expected = committed(tmp_path / "one", NEW, voxels).ledger()
    draw, folder = random.Random(number), tmp_path / "em"
    moments = sorted(draw.uniform(0.05, 0.9) for _ in range(3))
    with running(tmp_path, 3) as cluster:

        def progress(n_done: int, n_voxels: int) -> None:
            if moments and n_done / n_voxels >= moments[0]:
                moments.pop(0)
                cluster.kill_worker(next(n for n, worker in enumerate(cluster.workers) if worker.poll() is None))
                cluster.add_worker()

        where = on_a_cluster(cluster.address, partial(cluster_sources.opened, voxels))
        many = committed(folder, NEW, voxels, where=where, progress=progress)
    assert moments == []
    assert served(folder) == (NEW, expected) == (NEW, many.ledger())
    assert leftovers(folder) == []


def test_a_tile_that_ends_every_worker_is_given_up(voxels: Path, tmp_path: Path) -> None:
    """Memory that is too small looks like this: the fourth worker that dies of it is the last."""
    committed(tmp_path / "em", OLD, voxels)
    with running(tmp_path, 5) as cluster:
        where = on_a_cluster(cluster.address, partial(cluster_sources.killing_always, voxels))
        with pytest.raises(StoreError, match=r"one tile ended one worker after another.*nothing was committed"):
            committed(tmp_path / "em", NEW, voxels, where=where)
    assert served(tmp_path / "em")[0] == OLD
    assert leftovers(tmp_path / "em") == []


def test_a_cluster_that_all_workers_have_left_is_given_up(
    voxels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch system ended its only job: without a worker the scheduler would keep the task for ever."""
    monkeypatch.setattr("em_assets.volumes.cluster.WORKER_SECONDS", 2)
    monkeypatch.setattr("em_assets.volumes.cluster.LOOK_SECONDS", 1)
    committed(tmp_path / "em", OLD, voxels)
    with running(tmp_path, 1) as cluster:
        _until(lambda: _n_workers(cluster) == 1)
        where = on_a_cluster(cluster.address, partial(cluster_sources.killing_always, voxels))
        with pytest.raises(SettingsError, match="no worker has joined in 2 s"):
            committed(tmp_path / "em", NEW, voxels, where=where)
    assert served(tmp_path / "em")[0] == OLD
    assert leftovers(tmp_path / "em") == []


def _n_workers(cluster: Cluster) -> int:
    from distributed import Client

    with Client(cluster.address, set_as_default=False) as client:
        return len(client.nthreads())


def _until(is_so: Callable[[], bool]) -> None:
    while not is_so():
        time.sleep(0.1)


def _begun(cluster: Cluster, voxels: Path, folder: Path) -> "subprocess.Popen[str]":
    command = [sys.executable, cluster_commit.__file__, cluster.address, str(voxels), str(folder), NEW]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "begins\n"
    return process
