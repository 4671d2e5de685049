"""Whatever happens to a committed file is found, and what is lost is never read as zeros."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from blake3 import blake3
from click.testing import CliRunner
from numpy.typing import NDArray

from em_assets import open_volume
from em_assets.cli import main
from em_assets.errors import StoreError
from em_assets.formats.volume import SourceVolume
from em_assets.volumes.pyramid import write_pyramid
from em_assets.volumes.reading import open_committed
from em_assets.volumes.store import CommittedVolume, commit_volume, resolve
from em_assets.volumes.validation import validate_volume

VOXELS = np.random.default_rng(5).integers(1, 255, (70, 140, 600), dtype=np.uint8)

Commit = Callable[..., CommittedVolume]


@pytest.fixture
def commit(tmp_path: Path, make_source: Callable[..., SourceVolume]) -> Commit:
    """Version, voxels → a committed volume."""

    def commit(ome_zarr: Any, voxels: NDArray[Any] = VOXELS, name: str = "em") -> CommittedVolume:
        return commit_volume(
            tmp_path / name,
            "aaaa",
            lambda dest: write_pyramid(
                make_source(voxels, (8.0, 8.0, 8.0)),
                dest,
                ome_zarr=ome_zarr,
                content="em",
                voxel_size_zyx_nm=(8.0, 8.0, 8.0),
                name=name,
                attributes={},
            ),
        )

    return commit


def chunk_files(volume: CommittedVolume) -> list[Path]:
    return sorted(volume.path / key for key, _, _ in volume.ledger() if key[-1].isdigit())


def removed(path: Path, _: Path) -> None:
    path.unlink()


def truncated(path: Path, _: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def flipped(path: Path, _: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def swapped(path: Path, other: Path) -> None:
    first, second = path.read_bytes(), other.read_bytes()
    assert first != second
    path.write_bytes(second)
    other.write_bytes(first)


def grown(path: Path, _: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\0")


def emptied(path: Path, _: Path) -> None:
    path.write_bytes(b"")


DAMAGES = [removed, truncated, flipped, swapped, grown, emptied]


@pytest.mark.parametrize("ome_zarr", ["0.5", "0.4"])
def test_the_ledger_holds_every_file_and_a_whole_volume_has_no_findings(commit: Commit, ome_zarr: str) -> None:
    volume = commit(ome_zarr)
    files = {p.relative_to(volume.path).as_posix(): p.read_bytes() for p in volume.path.rglob("*") if p.is_file()}
    assert {key: said for key, *said in volume.ledger()} == {
        key: [len(data), blake3(data).hexdigest()] for key, data in files.items()
    }
    assert (volume.commit.n_files, volume.commit.size_bytes) == (len(files), sum(map(len, files.values())))
    assert validate_volume(volume.folder) == []


@pytest.mark.parametrize("ome_zarr", ["0.5", "0.4"])
@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_every_damaged_file_is_found_and_named(commit: Commit, damage: Any, ome_zarr: str) -> None:
    volume = commit(ome_zarr)
    chosen = chunk_files(volume)[::2]
    for path, other in zip(chosen, chunk_files(volume)[1::2], strict=False):
        damage(path, other)
    found = "\n".join(validate_volume(volume.folder))
    assert all(f"{path}: " in found for path in chosen[: len(chunk_files(volume)) // 2])


def test_a_changed_ledger_block_index_or_document_is_found(commit: Commit) -> None:
    volume = commit("0.5")
    flipped(volume.block_index_path, volume.folder)
    flipped(volume.path / "s0" / "zarr.json", volume.folder)
    (volume.path / "s0" / "c" / "9").write_text("a guest")
    found = "\n".join(validate_volume(volume.folder))
    assert "block_index.parquet: not the bytes" in found
    assert "s0/zarr.json: other bytes" in found
    assert "c/9: not in the ledger" in found
    flipped(volume.ledger_path, volume.folder)
    assert "ledger.parquet: not the bytes that were committed" in validate_volume(volume.folder)[0]


def test_a_folder_without_a_commit_is_a_finding(tmp_path: Path) -> None:
    assert validate_volume(tmp_path) == [f"{tmp_path}: no commit, so no volume"]


@pytest.mark.parametrize("ome_zarr", ["0.5", "0.4"])
@pytest.mark.parametrize("damage", [removed, truncated, grown, emptied], ids=lambda damage: damage.__name__)
def test_a_lost_or_cut_file_is_an_error_to_read_and_its_neighbours_are_not(
    commit: Commit, damage: Any, ome_zarr: str
) -> None:
    volume = commit(ome_zarr)
    path = volume.path / ("s0/c/0/0/1" if ome_zarr == "0.5" else "s0/0/0/8")
    damage(path, path)
    opened = open_committed(resolve(volume.folder))
    with pytest.raises(StoreError, match=rf"{path}: .*(not there|bytes expected)"):
        opened.read((0, 0, 500), (10, 10, 100))
    assert np.array_equal(opened.read((0, 0, 0), (70, 64, 512)), VOXELS[:, :64, :512])


def test_a_file_lost_after_the_first_look_is_an_error_too(commit: Commit) -> None:
    volume = commit("0.4")
    opened = open_committed(volume)
    assert np.array_equal(opened.read((0, 0, 0), (64, 64, 64)), VOXELS[:64, :64, :64])
    (volume.path / "s0" / "0" / "0" / "0").unlink()
    with pytest.raises(StoreError, match="em-assets validate"):
        opened.read((0, 0, 0), (64, 64, 64))


@pytest.mark.parametrize("lost", ["ledger", "one chunk"])
def test_open_volume_never_gives_zeros_for_what_the_ledger_names(commit: Commit, lost: str) -> None:
    volume = commit("0.4")
    (volume.ledger_path if lost == "ledger" else volume.path / "s1" / "0" / "0" / "0").unlink()
    with pytest.raises(StoreError, match=r"ledger\.parquet|s1/0/0/0: in the ledger and not there"):
        open_volume(volume.folder, level=1).read((0, 0, 0), (1, 1, 1))


def test_the_command_names_what_changed_and_exits_1(
    commit: Commit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "registry").mkdir()
    (tmp_path / "registry" / "mine.toml").write_text(
        'title = "Mine"\n[source]\nurl = "https://example.org/stack.tif"\n'
    )
    monkeypatch.setenv("EM_ASSETS_DATASETS", str(tmp_path / "registry"))
    monkeypatch.setenv("EM_ASSETS_STORE", str(tmp_path / "store"))
    volume = commit("0.5", name="store/volumes/mine/em")
    whole = CliRunner().invoke(main, ["validate", "mine"])
    assert (whole.exit_code, whole.stderr) == (0, "1 volume checked, 0 problems\n")
    path = volume.path / "s0/c/0/0/1"
    flipped(path, path)
    changed = CliRunner().invoke(main, ["validate", "--json"])
    problem = f"{path}: other bytes than were written: remove it and materialize the dataset again"
    assert (changed.exit_code, json.loads(changed.stdout)) == (
        1,
        [{"dataset": "mine", "volume": "em", "problem": problem}],
    )


def test_a_volume_that_lost_a_chunk_is_made_anew_by_the_next_commit(commit: Commit) -> None:
    volume = commit("0.5")
    shutil.rmtree(volume.path / "s1" / "c")
    assert len(validate_volume(volume.folder)) == len([key for key, _, _ in volume.ledger() if key.startswith("s1/c")])
    mended = commit("0.5")
    assert mended.commit == volume.commit
    assert validate_volume(volume.folder) == []
