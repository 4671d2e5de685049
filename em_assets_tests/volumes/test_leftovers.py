"""What writers that died left of a volume on a disk is told with its bytes, and removed when that is asked for."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from em_assets.formats.volume import SourceVolume
from em_assets.volumes.leftovers import collect_generations
from em_assets.volumes.pyramid import write_pyramid
from em_assets.volumes.staging import in_use
from em_assets.volumes.store import commit_volume, resolve

VOXELS = np.random.default_rng(5).integers(1, 255, (4, 70, 70), dtype=np.uint8)


@pytest.fixture
def folder(tmp_path: Path, make_source: Callable[..., SourceVolume]) -> Path:
    """A volume that was committed twice, and a third time was not."""
    said: dict[str, Any] = {"ome_zarr": "0.5", "content": "em", "voxel_size_zyx_nm": (8.0,) * 3, "attributes": {}}
    for generation in ("aaaa", "bbbb", "cccc"):
        commit_volume(
            tmp_path / "em", generation, lambda dest: write_pyramid(make_source(VOXELS), dest, name="em", **said)
        )
    (tmp_path / "em/commits/000003.json").unlink()
    return tmp_path / "em"


def test_a_dry_run_tells_of_leftovers_and_removes_nothing(folder: Path) -> None:
    dead = folder / ".staging-dddd-1"
    dead.mkdir()
    (dead / "s0").write_bytes(b"12345")
    found = dict(collect_generations(folder, dry_run=True))
    assert found[dead] == 5
    assert {path.name.partition(".")[0] for path in found if isinstance(path, Path) and path != dead} == {"cccc"}
    assert all(isinstance(path, Path) and path.exists() for path in found)


def test_leftovers_are_removed_and_every_committed_generation_stays(folder: Path) -> None:
    (folder / ".staging-dddd-1").mkdir()
    assert len(collect_generations(folder, dry_run=False)) == 5
    assert collect_generations(folder, dry_run=True) == []
    found = resolve(folder)
    assert found is not None
    assert found.commit.generation == "bbbb"
    assert {path.name for path in folder.iterdir()} == {"aaaa", "bbbb", "commits", "generations", "latest"}


def test_a_volume_that_somebody_is_writing_is_left_alone(folder: Path) -> None:
    with in_use(folder):
        assert collect_generations(folder, dry_run=False) == []
    assert collect_generations(folder, dry_run=False) != []
