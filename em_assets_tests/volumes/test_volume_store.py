"""A volume is there whole or not at all, whoever dies when, and however many write at once."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from em_assets.errors import FormatError, StoreError
from em_assets.formats.volume import SourceVolume
from em_assets.volumes.pyramid import WrittenVolume, write_pyramid
from em_assets.volumes.staging import sweep
from em_assets.volumes.store import CommittedVolume, commit_volume, committed_volumes, generation_name, resolve

WORKER = Path(__file__).parent / "commit_worker.py"
OLD, NEW = "aaaa", "bbbb"
Voxels = Callable[[Path], NDArray[Any]]


def writing(source: SourceVolume) -> Callable[[Path], WrittenVolume]:
    return lambda dest: write_pyramid(
        source, dest, ome_zarr="0.5", content="em", voxel_size_zyx_nm=(None, 8.0, 8.0), name="v", attributes={}
    )


def never(dest: Path) -> WrittenVolume:
    raise AssertionError(f"{dest}: nothing is to be written")


@pytest.fixture
def source(make_source: Callable[..., SourceVolume]) -> SourceVolume:
    return make_source(np.arange(5 * 70 * 7, dtype=np.uint16).reshape(5, 70, 7))


def worker(folder: Path, generation: str) -> "subprocess.Popen[str]":
    command = [sys.executable, str(WORKER), str(folder), generation]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def leftovers(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob(".staging-*"))


def test_a_commit_is_what_readers_resolve(tmp_path: Path, source: SourceVolume, voxels_of: Voxels) -> None:
    made = commit_volume(tmp_path / "em", OLD, writing(source), inputs=("a.tif 12",), labels_of="cells")
    found = resolve(tmp_path / "em")
    assert found == CommittedVolume(tmp_path / "em", made.commit)
    assert (made.is_new, found.path, found.commit.number) == (True, tmp_path / "em" / OLD, 1)
    assert np.array_equal(voxels_of(found.path / "s0"), source.read((0, 0, 0), (5, 70, 7)))
    assert (tmp_path / "em" / "latest").readlink() == Path(OLD)
    assert committed_volumes(tmp_path) == {"em": found}


def test_the_commit_says_what_was_written(tmp_path: Path, source: SourceVolume) -> None:
    commit_volume(tmp_path, OLD, writing(source), inputs=("a.tif 12",), labels_of="cells")
    said = json.loads((tmp_path / "commits" / "000001.json").read_text())
    assert {key: said[key] for key in ("generation", "number", "ome_zarr", "dtype", "shape_zyx", "chunk_shape")} == {
        "generation": OLD,
        "number": 1,
        "ome_zarr": "0.5",
        "dtype": "uint16",
        "shape_zyx": [5, 70, 7],
        "chunk_shape": [5, 64, 7],
    }
    assert (said["content"], said["labels_of"], said["inputs"]) == ("em", "cells", ["a.tif 12"])
    assert said["voxel_size_zyx_nm"] == [None, 8.0, 8.0]
    assert [level["path"] for level in said["levels"]] == ["s0", "s1"]
    assert said["statistics"]["max"] == 2449


@pytest.mark.parametrize("refused", ["generations/bbbb.ledger.parquet", "generations", "latest"])
def test_what_the_disk_refuses_outside_the_group_is_said_in_words(
    tmp_path: Path, source: SourceVolume, refused: str
) -> None:
    """A full disk may take the chunks and not the documents about them."""
    commit_volume(tmp_path, OLD, writing(source))
    place = tmp_path / refused
    if refused == "generations":
        place.rename(tmp_path / "elsewhere")
        place.write_text("a file where a folder is wanted")
    else:
        place.unlink(missing_ok=True)
        (place / "in the way").mkdir(parents=True)
    with pytest.raises(StoreError, match=f"{tmp_path}: cannot write the volume"):
        commit_volume(tmp_path, NEW, writing(source))


def test_no_commit_is_no_volume(tmp_path: Path) -> None:
    assert resolve(tmp_path / "nothing") is None
    assert committed_volumes(tmp_path / "nothing") == {}


def test_the_same_generation_again_does_no_work(tmp_path: Path, source: SourceVolume) -> None:
    first = commit_volume(tmp_path, OLD, writing(source))
    again = commit_volume(tmp_path, OLD, never)
    assert (again.commit, again.is_new) == (first.commit, False)


def test_a_revert_commits_the_old_generation_again_without_writing_it(tmp_path: Path, source: SourceVolume) -> None:
    for generation in (OLD, NEW):
        commit_volume(tmp_path, generation, writing(source))
    back = commit_volume(tmp_path, OLD, never)
    assert (back.commit.number, back.commit.generation, back.is_new) == (3, OLD, True)
    assert (tmp_path / "latest").readlink() == Path(OLD)


@pytest.mark.parametrize("number", range(5))
def test_of_two_that_commit_at_once_the_later_is_the_latest(tmp_path: Path, source: SourceVolume, number: int) -> None:
    with ThreadPoolExecutor(4) as threads:
        for generation in (OLD, NEW, f"cccc{number}", "dddd"):
            threads.submit(commit_volume, tmp_path, generation, writing(source))
    found = resolve(tmp_path)
    assert found is not None
    assert (found.commit.number, str((tmp_path / "latest").readlink())) == (4, found.commit.generation)


def test_a_failed_writer_leaves_the_last_commit_and_nothing_else(tmp_path: Path, source: SourceVolume) -> None:
    commit_volume(tmp_path, OLD, writing(source))

    def fails(dest: Path) -> WrittenVolume:
        writing(source)(dest)
        raise FormatError("page 3 is cut short")

    with pytest.raises(FormatError, match="page 3"):
        commit_volume(tmp_path, NEW, fails)
    assert resolve(tmp_path).commit.generation == OLD
    assert not (tmp_path / NEW).exists()
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("lost", ["zarr.json", "s1/zarr.json", "."])
def test_a_damaged_volume_is_an_error_and_is_made_anew(tmp_path: Path, source: SourceVolume, lost: str) -> None:
    commit_volume(tmp_path, OLD, writing(source))
    shutil.rmtree(tmp_path / OLD) if lost == "." else (tmp_path / OLD / lost).unlink()
    with pytest.raises(StoreError, match=r"000001\.json: names the volume .* lacks .*zarr\.json"):
        resolve(tmp_path)
    mended = commit_volume(tmp_path, OLD, writing(source))
    assert resolve(tmp_path) == mended
    assert leftovers(tmp_path) == []


def test_a_commit_that_is_no_json_is_an_error_that_names_it(tmp_path: Path, source: SourceVolume) -> None:
    commit_volume(tmp_path, OLD, writing(source))
    (tmp_path / "commits" / "000001.json").write_text('{"generation": ')
    with pytest.raises(StoreError, match=r"000001\.json: cannot be read as a commit"):
        resolve(tmp_path)


def test_a_writer_that_returns_without_a_group_is_not_committed(tmp_path: Path, source: SourceVolume) -> None:
    def forgets(dest: Path) -> WrittenVolume:
        written = writing(source)(dest)
        (dest / "zarr.json").unlink()
        return written

    with pytest.raises(StoreError, match=r"zarr\.json: in the ledger and not there.*nothing was committed"):
        commit_volume(tmp_path, OLD, forgets)
    assert resolve(tmp_path) is None


def test_a_writer_at_work_is_not_swept_away(tmp_path: Path, source: SourceVolume) -> None:
    def is_swept_by_another(dest: Path) -> WrittenVolume:
        code = "import sys, pathlib; from em_assets.volumes.staging import sweep; sweep(pathlib.Path(sys.argv[1]))"
        subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
        assert sweep(tmp_path) == 0
        return writing(source)(dest)

    (tmp_path / ".staging-dead-1").mkdir()
    assert commit_volume(tmp_path, OLD, is_swept_by_another).is_new
    assert leftovers(tmp_path) == []


def test_names_of_generations_depend_on_inputs_in_order_and_settings_alone() -> None:
    name = generation_name(["a 1", "b 2"], {"ome_zarr": "0.5", "content": "em"})
    assert name == generation_name(["a 1", "b 2"], {"content": "em", "ome_zarr": "0.5"})
    assert len({name, generation_name(["b 2", "a 1"], {"content": "em", "ome_zarr": "0.5"})}) == 2
    assert len({name, generation_name(["a 1", "b 2"], {"content": "em", "ome_zarr": "0.4"})}) == 2
    assert len(name) == 16


def test_of_processes_that_commit_at_once_one_makes_the_commit(tmp_path: Path) -> None:
    running = [worker(tmp_path / "em", NEW) for _ in range(4)]
    outputs = [process.communicate() for process in running]
    assert [process.returncode for process in running] == [0] * 4, outputs
    assert sorted(out.split()[1] for out, _ in outputs) == ["False", "False", "False", "True"]
    assert [path.name for path in (tmp_path / "em" / "commits").iterdir()] == ["000001.json"]
    assert leftovers(tmp_path) == []
