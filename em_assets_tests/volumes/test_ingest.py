"""Any file becomes a group at a place of one's own."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

from em_assets.errors import FormatError, UnknownFormatError, UsageError, VolumeChoiceError
from em_assets.volumes.ingest import ingest

VOXELS = np.random.default_rng(9).integers(0, 255, (6, 80, 70), dtype=np.uint8)


@pytest.fixture
def stack(tmp_path: Path) -> Path:
    import tifffile

    tifffile.imwrite(tmp_path / "stack.tif", VOXELS, photometric="minisblack")
    return tmp_path / "stack.tif"


def attributes(group: Path) -> dict[str, Any]:
    return json.loads((group / "zarr.json").read_text())["attributes"]["em_assets"]


@pytest.mark.parametrize("ome_zarr", ["0.5", "0.4"])
def test_a_file_becomes_a_valid_group_at_the_place_named(
    stack: Path,
    tmp_path: Path,
    findings: Callable[[Path], str],
    voxels_of: Callable[[Path], NDArray[Any]],
    ome_zarr: Any,
) -> None:
    done = ingest(
        stack, tmp_path / "new" / "out.zarr", ome_zarr=ome_zarr, voxel_size_zyx_nm=(50.0, 8.0, 8.0), content="em"
    )
    assert (done.path, done.written.n_levels, done.warnings) == (tmp_path / "new" / "out.zarr", 2, ())
    assert np.array_equal(voxels_of(done.path / "s0"), VOXELS)
    assert findings(done.path) == ""
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["out.zarr"]


def test_an_unknown_voxel_size_is_said_and_stops_nothing(stack: Path, tmp_path: Path) -> None:
    done = ingest(str(stack), tmp_path / "out.zarr")
    assert attributes(done.path)["voxel_size_zyx_nm"] == [None, None, None]
    assert "voxel size along z, y, x is unknown" in done.warnings[0]
    assert "content not said" in done.warnings[1]


def test_a_given_voxel_size_wins_and_the_files_own_is_kept(stack: Path, tmp_path: Path) -> None:
    first = ingest(stack, tmp_path / "first.zarr", voxel_size_zyx_nm=(50.0, 8.0, 8.0))
    second = ingest(first.path, tmp_path / "second.zarr", voxel_size_zyx_nm=(5.0, 8.0, 8.0))
    assert attributes(second.path)["voxel_size_zyx_nm"] == [5.0, 8.0, 8.0]
    assert attributes(second.path)["source_voxel_size_zyx_nm"] == [50.0, 8.0, 8.0]
    assert "the file says (50.0, 8.0, 8.0)" in second.warnings[0]


def test_a_hole_in_the_numbers_of_slices_is_said_and_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    for number in (0, 1, 3):
        plane = np.arange(600, dtype=np.uint16).reshape(20, 30) + number
        tifffile.imwrite(tmp_path / "run" / f"z{number:02d}.tif", plane)
    said = ingest(tmp_path / "run", tmp_path / "run.zarr", content="em", voxel_size_zyx_nm=(50.0, 8.0, 8.0)).warnings
    assert [line.partition(":")[2][:53] for line in said] == [" the numbers of its 3 slices leave out z02.tif: the s"]


def test_a_blank_file_is_said_to_be_so(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "blank.tif", np.zeros((20, 30), np.uint8))
    said = ingest(tmp_path / "blank.tif", tmp_path / "blank.zarr", content="em", voxel_size_zyx_nm=(50.0, 8.0, 8.0))
    assert said.warnings == ("all 600 voxels are zero: is this the box, or the file, that you meant?",)


def test_an_existing_place_is_refused_and_untouched(stack: Path, tmp_path: Path) -> None:
    (tmp_path / "out.zarr").mkdir()
    with pytest.raises(UsageError, match="exists already"):
        ingest(stack, tmp_path / "out.zarr")
    assert list((tmp_path / "out.zarr").iterdir()) == []


def test_several_volumes_are_listed_and_one_can_be_chosen(tmp_path: Path) -> None:
    import tifffile

    folder = tmp_path / "stacks"
    folder.mkdir()
    for name in ("one", "two"):
        tifffile.imwrite(folder / f"{name}.tif", VOXELS, photometric="minisblack")
    with pytest.raises(VolumeChoiceError, match="one, two"):
        ingest(folder, tmp_path / "out.zarr")
    assert ingest(folder, tmp_path / "out.zarr", volume="two").volume == "two"


def test_bad_input_leaves_nothing_behind(stack: Path, tmp_path: Path) -> None:
    (tmp_path / "page.tif").write_text("<!DOCTYPE html><html>not found</html>")
    cut = tmp_path / "cut.tif"
    cut.write_bytes(stack.read_bytes()[:-20_000])
    for source, error in ((tmp_path / "page.tif", UnknownFormatError), (cut, FormatError), ("/no/such", UsageError)):
        with pytest.raises(error):
            ingest(source, tmp_path / "out.zarr")
    with pytest.raises(UsageError, match="above zero"):
        ingest(stack, tmp_path / "out.zarr", voxel_size_zyx_nm=(0.0, 1.0, 1.0))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cut.tif", "page.tif", "stack.tif"]
