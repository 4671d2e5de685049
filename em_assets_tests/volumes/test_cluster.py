"""One volume, however many processes write it: the same ledger, the same block index, one commit."""

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from importlib import import_module
from math import prod
from pathlib import Path
from typing import Any

import cluster_sources
import numpy as np
import pytest
from click.testing import CliRunner
from dask_processes import Cluster, running

from em_assets import building
from em_assets.cli import main
from em_assets.datasets import Dataset
from em_assets.errors import FormatError, SettingsError, StoreError
from em_assets.formats.volume import SourceVolume
from em_assets.model import ZYX, Source
from em_assets.remote.path import RemotePath, remote_path
from em_assets.settings import Settings, dask_address
from em_assets.sources import acquire
from em_assets.sources.origins import PUBLIC_ORIGIN
from em_assets.volumes.cluster import on_a_cluster
from em_assets.volumes.codec import codec_of
from em_assets.volumes.cutting import cut, tasks_of
from em_assets.volumes.ledger import Entry, digest_of
from em_assets.volumes.levels import plan_grid, plan_levels, plan_tile, tile_counts, tiles_of
from em_assets.volumes.pyramid import Plan, WrittenVolume, in_this_process, write_pyramid
from em_assets.volumes.sinks import FolderSink, put, shared_by_machines
from em_assets.volumes.staging import PREFIX, staging_folder
from em_assets.volumes.store import CommittedVolume, commit_volume, resolve
from em_assets.volumes.validation import validate_volume

DEEP, FLAT = (10, 1100, 1030), (1, 5000, 1600)
OLD, NEW = "aaaa", "bbbb"


@pytest.fixture(scope="module")
def voxels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(tmp_path_factory.mktemp("voxels") / "voxels.npy", DEEP)


def saved(path: Path, shape: ZYX) -> Path:
    np.save(path, np.random.default_rng(3).integers(0, 256, shape, dtype=np.uint8) & 0xF0)
    return path


def write(source: SourceVolume, dest: Path, where: Any, **changed: Any) -> WrittenVolume:
    said: dict[str, Any] = {"ome_zarr": "0.5", "content": "em", "name": "v", "attributes": {}} | changed
    return write_pyramid(source, dest, voxel_size_zyx_nm=source.voxel_size_zyx_nm, where=where, **said)


def commit(folder: Path | RemotePath, generation: str, source: SourceVolume, where: Any) -> CommittedVolume:
    return commit_volume(folder, generation, lambda dest: write(source, dest, where))


def files_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(
    ("shape", "ome_zarr", "content"), [(DEEP, "0.5", "em"), (FLAT, "0.5", "labels"), (DEEP, "0.4", "em")], ids=str
)
def test_one_process_four_threads_and_a_cluster_with_a_killed_worker_write_the_same_bytes(
    cluster: Cluster, tmp_path: Path, shape: ZYX, ome_zarr: str, content: str
) -> None:
    voxels, how = saved(tmp_path / "voxels.npy", shape), {"ome_zarr": ome_zarr, "content": content}
    source = cluster_sources.opened(voxels)
    one = write(source, tmp_path / "one" / "v", partial(in_this_process, n_threads=1), **how)
    four = write(source, tmp_path / "four" / "v", partial(in_this_process, n_threads=4), **how)
    n_before = cluster.n_alive()
    reopen = partial(cluster_sources.killing_once, voxels, tmp_path / "reads", 5)
    many = write(source, tmp_path / "many" / "v", on_a_cluster(cluster.address, reopen), **how)
    assert one.ledger == four.ledger == many.ledger
    assert one.statistics == four.statistics == many.statistics
    assert one.block_index.table() == four.block_index.table() == many.block_index.table()
    assert many.ledger.problems(tmp_path / "many" / "v") == []
    assert files_in(tmp_path / "many") == ["v"]
    assert cluster.n_alive() == n_before - 1
    cluster.add_worker()


def test_a_worker_that_lives_on_reads_the_files_as_they_are_now(cluster: Cluster, tmp_path: Path) -> None:
    """A newer version has the old one's names: who kept the old file open would go on reading that."""
    path = saved(tmp_path / "voxels.npy", (10, 600, 600))
    where = on_a_cluster(cluster.address, partial(cluster_sources.opened, path))
    write(cluster_sources.opened(path), tmp_path / "first", where)
    newer = tmp_path / "newer.npy"
    np.save(newer, ~np.load(path))
    newer.replace(path)
    source = cluster_sources.opened(path)
    assert write(source, tmp_path / "many", where).ledger == write(source, tmp_path / "one", in_this_process).ledger


def test_what_fails_in_a_worker_is_said_here_and_commits_nothing(
    cluster: Cluster, voxels: Path, tmp_path: Path
) -> None:
    source, copy = cluster_sources.opened(voxels), tmp_path / "copy.npy"
    old = commit(tmp_path / "em", OLD, source, in_this_process)
    np.save(copy, np.zeros((3, 3, 3), np.uint8))
    with pytest.raises(FormatError, match=r"\(10, 1100, 1030\) expected, found .*same files.*on the worker tcp://"):
        commit(tmp_path / "em", NEW, source, on_a_cluster(cluster.address, partial(cluster_sources.opened, copy)))
    assert resolve(tmp_path / "em") == CommittedVolume(tmp_path / "em", old.commit)
    assert list((tmp_path / "em").glob(".staging-*")) == []


def test_a_worker_that_lacks_the_code_is_said_in_words(
    cluster: Cluster, voxels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "only_here.py").write_text(
        "from cluster_sources import opened\n\nclass Opened:\n    def __call__(self): return opened(self.path)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    reopen = import_module("only_here").Opened()
    reopen.path = voxels
    with pytest.raises(StoreError, match="a worker lacks only_here: install"):
        write(cluster_sources.opened(voxels), tmp_path / "v", on_a_cluster(cluster.address, reopen))


def acquired(source: Path, settings: Settings) -> tuple[Dataset, Any]:
    """A dataset of one file, fetched, and its record."""
    dataset = Dataset(name="mine", title="Mine", sources=(Source(url=str(source), copy=True),))
    acquire(dataset.sources, PUBLIC_ORIGIN, settings.raw_dir("mine"), log=lambda line: None)
    return dataset, building.record(dataset, settings, building.claims(dataset, settings))[0]


def test_the_platform_writes_through_the_cluster_that_the_settings_name(
    cluster: Cluster, small_tiff: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(store=tmp_path / "store")
    dataset, record = acquired(small_tiff, settings)
    (here,) = (volume.commit() for volume in building.volumes_to_write(dataset, settings, record))
    shutil.rmtree(here.folder)
    (there,) = (
        volume.commit()
        for volume in building.volumes_to_write(dataset, replace(settings, dask=cluster.address), record)
    )
    assert (there.commit, there.is_new) == (here.commit, True)
    shutil.rmtree(here.folder)
    monkeypatch.setattr("em_assets.volumes.cluster.ANSWER_SECONDS", 0.2)
    nowhere = replace(settings, dask="tcp://127.0.0.1:1")
    with pytest.raises(SettingsError, match=r"EM_ASSETS_DASK=tcp://127"):
        next(building.volumes_to_write(dataset, nowhere, record)).commit()


def test_ingest_writes_through_the_cluster_that_the_environment_names(
    cluster: Cluster, small_tiff: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(small_tiff.parent)
    for name, address in (("here", ""), ("there", cluster.address)):
        arguments = ["ingest", small_tiff.name, str(tmp_path / name), "--content", "em"]
        done = CliRunner().invoke(main, arguments, env={"EM_ASSETS_DASK": address})
        assert (done.exit_code, done.stderr) == (0, "")
    assert files_below(tmp_path / "here") == files_below(tmp_path / "there")


def files_below(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("value", ["8786", "host:8786", "tcp://host", "http://host:8787"])
def test_what_is_no_address_is_refused(value: str) -> None:
    with pytest.raises(SettingsError, match="such as tcp://host:8786"):
        dask_address({"EM_ASSETS_DASK": value})
    assert dask_address({}) is dask_address({"EM_ASSETS_DASK": ""}) is None
    assert dask_address({"EM_ASSETS_DASK": "tcp://host:8786"}) == "tcp://host:8786"


def test_a_cluster_writes_from_a_bucket_into_it(
    small_tiff: Path, tmp_path: Path, s3_environment: dict[str, str], new_bucket: Callable[[], str]
) -> None:
    """Raw files come to a worker's machine from the bucket: here they are gone when it begins."""
    settings = Settings(store=tmp_path / "copy", remote=remote_path(new_bucket(), os.environ))
    dataset, record = acquired(small_tiff, settings)
    settings.working_copy.push("raw/mine")
    (here,) = (volume.commit() for volume in building.volumes_to_write(dataset, replace(settings, remote=None), record))
    with running(tmp_path, 1) as cluster:
        volume = next(building.volumes_to_write(dataset, replace(settings, dask=cluster.address), record))
        shutil.rmtree(tmp_path / "copy")
        there = volume.commit()
    assert there.commit == here.commit
    assert str(there.folder).startswith("s3://")
    assert validate_volume(there.folder) == []


def test_an_address_where_nobody_answers_is_named_at_once(
    voxels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("em_assets.volumes.cluster.ANSWER_SECONDS", 0.2)
    reopen = partial(cluster_sources.opened, voxels)
    with pytest.raises(SettingsError, match=r"EM_ASSETS_DASK=tcp://127.0.0.1:1: a running Dask scheduler expected"):
        write(cluster_sources.opened(voxels), tmp_path / "v", on_a_cluster("tcp://127.0.0.1:1", reopen))


def test_a_writer_that_was_given_up_for_dead_changes_nothing(tmp_path: Path) -> None:
    """A worker that is cut off may go on writing when its tasks were done by another and all is committed."""
    sink = FolderSink(tmp_path / "v")
    with shared_by_machines(sink) as shared:
        entries = [put(shared, "s0/c/0", [b"ab", b"c"]) for _ in range(2)]
    assert entries == [Entry("s0/c/0", 3, digest_of(b"abc"))] * 2
    with pytest.raises(FileNotFoundError):
        put(shared, "s0/c/1", [b"late"])
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")] == [
        "v",
        "v/s0",
        "v/s0/c",
        "v/s0/c/0",
    ]


def test_what_machines_write_beside_is_swept_with_what_they_write(tmp_path: Path) -> None:
    """`ingest` sweeps what was staged for its own destination, and nothing else."""
    with staging_folder(tmp_path, "out.zarr") as staging, shared_by_machines(FolderSink(staging)):
        names = sorted(path.name for path in tmp_path.iterdir())
    assert len(names) == 2
    assert all(name.startswith(f"{PREFIX}out.zarr-") for name in names)


def plan_of(shape_zyx: ZYX) -> Plan:
    levels, grid = plan_levels(shape_zyx, (8.0, 8.0, 8.0)), plan_grid(shape_zyx)
    return Plan(
        "0.5", "em", np.dtype("uint8"), levels, grid, plan_tile(levels, grid, 1, 1 << 30), 1 << 30, codec_of("zstd-1")
    )


@pytest.mark.parametrize(
    "shape", [(256, 1536, 2048), (1, 60_000, 60_000), (300, 1000, 70), (3000, 4000, 5000)], ids=str
)
@pytest.mark.parametrize("n_threads", [1, 2, 64])
def test_tasks_are_every_tile_of_one_level_once(shape: ZYX, n_threads: int) -> None:
    plan, level = cut(plan_of(shape), n_threads)
    tasks = list(tasks_of(plan, level))
    assert sorted(tasks) == list(tiles_of(plan.levels[level], plan.tile))
    assert len(set(tasks)) == len(tasks)


@pytest.mark.parametrize(
    ("shape", "level", "n_tasks"), [((10_000,) * 3, 2, 500), ((50_000, 100_000, 200_000), 3, 60_025)]
)
def test_a_thousand_threads_wait_for_none(shape: ZYX, level: int, n_tasks: int) -> None:
    """1 TB and 1 PB: no task is above 16 GiB, and one process makes less than a thousandth of the whole."""
    plan, found = cut(plan_of(shape), 1000, 4)
    assert (found, prod(tile_counts(plan.levels[found], plan.tile))) == (level, n_tasks)
    assert prod(plan.tile) * prod(plan.levels[found].factor_zyx) <= 16 << 30
    assert prod(plan.levels[found + 1].shape_zyx) < prod(shape) / 500


def test_pages_that_are_unpacked_whole_are_not_cut() -> None:
    plan, _ = cut(plan_of((256, 1536, 2048)), 64, source_chunk_zyx=(1, 1536, 2048))
    strips, _ = cut(plan_of((256, 1536, 2048)), 64, source_chunk_zyx=(1, 16, 2048))
    assert (plan.tile, strips.tile) == ((128, 1536, 2048), (128, 512, 2048))
