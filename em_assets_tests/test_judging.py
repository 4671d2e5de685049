"""Whether what a dataset holds is the data that it should be."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr

from em_assets import building
from em_assets.catalog.schemas import CLAIMS
from em_assets.catalog.tables import write_table
from em_assets.datasets import Dataset
from em_assets.judging import Shortfall, blank_volumes, incomplete_holding, pages_saved_as_data
from em_assets.model import Source, Statement
from em_assets.settings import Settings
from em_assets.sources import acquire
from em_assets.sources.origins import PUBLIC_ORIGIN

Build = Callable[..., Dataset]
VOXELS = np.random.default_rng(11).integers(20, 230, (6, 40, 50), dtype=np.uint8)
ERROR = "<?xml version='1.0'?><Error><Code>SlowDown</Code></Error>"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(store=tmp_path / "store")


@pytest.fixture
def acquired(settings: Settings) -> Build:
    """A path or source, and what is said of it → the dataset, its raw files held and its claims written."""

    def build(source: Path | Source, **said: Any) -> Dataset:
        wanted = source if isinstance(source, Source) else Source(url=str(source), content="em")
        recorded = tuple(Statement(field=field, value=value, at="a listing") for field, value in said.items())
        dataset = Dataset(name="mine", title="Mine", sources=(wanted,), recorded=recorded)
        acquire(dataset.sources, PUBLIC_ORIGIN, settings.raw_dir("mine"), log=lambda line: None)
        return dataset

    return build


def claimed(dataset: Dataset, settings: Settings) -> Dataset:
    write_table(building.claims(dataset, settings), settings.metadata_dir("mine") / "claims.parquet", CLAIMS)
    return dataset


def written(dataset: Dataset, settings: Settings) -> Dataset:
    record, _ = building.record(dataset, settings, building.claims(dataset, settings))
    for volume in building.volumes_to_write(dataset, settings, record):
        volume.commit()
    return dataset


def slices(folder: Path, numbers: list[int]) -> Path:
    folder.mkdir()
    for number in numbers:
        tifffile.imwrite(folder / f"slice_{number:03d}.tif", VOXELS[0] + np.uint8(number))
    return folder


def zarr_array(path: Path, version: Any) -> Path:
    array = zarr.create_array(path, shape=(6, 40, 50), chunks=(3, 20, 25), dtype="uint8", zarr_format=version)
    array[:] = VOXELS
    return path


@pytest.mark.parametrize("version", [2, 3])
def test_refusals_among_the_chunks_are_counted_and_quoted(
    acquired: Build, settings: Settings, tmp_path: Path, version: int
) -> None:
    folder = zarr_array(tmp_path / "em.zarr", version)
    chunk = folder / ("1.1.1" if version == 2 else "c/1/1/1")
    chunk.write_text(ERROR)
    (found,) = pages_saved_as_data(acquired(folder), settings)
    assert found.startswith(f"1 of {10 if version == 2 else 9} files hold no data: ")
    assert f"{chunk.relative_to(folder)} is an error page ('SlowDown'); see what" in found


def test_words_that_belong_there_are_no_finding(acquired: Build, settings: Settings, tmp_path: Path) -> None:
    folder = slices(tmp_path / "slices", [0, 1])
    (folder / "README").write_text("Slices of a sample, taken in two runs.\n")
    (folder / "notes.txt").write_text("Slices of a sample, taken in two runs.\n")
    (folder / "index.html").write_text("<html><body>All slices of the run</body></html>")
    (folder / "run.xml").write_text("<?xml version='1.0'?><run/>")
    assert pages_saved_as_data(acquired(folder), settings) == []


def test_text_under_the_name_of_an_image_and_a_pointer_are_findings(
    acquired: Build, settings: Settings, tmp_path: Path
) -> None:
    folder = slices(tmp_path / "slices", [0, 1])
    (folder / "slice_002.tif").write_text("Access denied. Ask the owner.\n")
    (folder / "model.bin").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0a1b\n")
    (found,) = pages_saved_as_data(acquired(folder), settings)
    assert "2 of 4 files hold no data: model.bin is a git-LFS pointer" in found
    assert "slice_002.tif is text ('Access denied. Ask the owner.')" in found


def test_a_folder_that_is_declared_and_not_held_is_certain(acquired: Build, settings: Settings, tmp_path: Path) -> None:
    folder = slices(tmp_path / "slices", [0, 1])
    dataset = acquired(folder, folders=["trakem2"], n_files={"tif": 2, "xml": 1}, source_bytes=10**9)
    found = incomplete_holding(claimed(dataset, settings), settings)
    assert [problem.split(" (")[0] for problem in found.lacking] == [
        "folder trakem2/ declared, nothing in it held",
        "1 .xml files declared, 0 held",
    ]
    assert all("exclude" in problem for problem in found.lacking)
    assert found.doubtful[0].startswith("1000000000 declared, ")


def test_what_is_left_out_on_purpose_is_a_doubt(acquired: Build, settings: Settings, tmp_path: Path) -> None:
    source = Source(url=str(slices(tmp_path / "slices", [0, 1])), content="em", exclude=("trakem2/**",))
    found = incomplete_holding(claimed(acquired(source, folders=["trakem2"]), settings), settings)
    assert (found.lacking, len(found.doubtful)) == ([], 1)


def test_a_hole_in_the_numbers_of_the_slices_is_said(acquired: Build, settings: Settings, tmp_path: Path) -> None:
    dataset = acquired(slices(tmp_path / "slices", [0, 1, 2, 5, 6]))
    found = incomplete_holding(claimed(dataset, settings), settings)
    assert found.lacking == []
    assert found.doubtful[0].startswith("em: the numbers of its 5 slices leave out slice_003.tif, slice_004.tif: ")


@pytest.mark.parametrize("version", [2, 3])
def test_a_level_without_some_of_its_chunks_is_a_doubt_and_without_all_certain(
    acquired: Build, settings: Settings, tmp_path: Path, version: int
) -> None:
    folder = zarr_array(tmp_path / "em.zarr", version)
    (folder / ("1.1.1" if version == 2 else "c/1/1/1")).unlink()
    dataset = claimed(acquired(folder), settings)
    assert incomplete_holding(dataset, settings) == Shortfall([], ["em .: 8 chunks by arithmetic, 7 held"])
    held = [path for path in (settings.raw_dir("mine") / "files").rglob("*") if path.is_symlink()]
    for path in held:
        if path.name[-1].isdecimal():
            path.unlink()
    (found,) = incomplete_holding(dataset, settings).lacking
    assert found.startswith("em .: 8 chunks by arithmetic, 0 held: does the mirror")


def test_a_blank_volume_with_a_filled_coarser_level_is_a_placeholder(
    acquired: Build, settings: Settings, tmp_path: Path
) -> None:
    folder = tmp_path / "em.zarr"
    levels = [
        {"path": f"s{n}", "coordinateTransformations": [{"type": "scale", "scale": [2.0**n] * 3}]} for n in (0, 1)
    ]
    axes = [{"name": axis, "type": "space", "unit": "nanometer"} for axis in "zyx"]
    image = {"version": "0.4", "axes": axes, "datasets": levels}
    group = zarr.open_group(folder, mode="w", zarr_format=2, attributes={"multiscales": [image]})
    for n, voxels in enumerate((np.zeros((32, 32, 32), np.uint8), np.tile(VOXELS[0, :16, :16], (16, 1, 1)))):
        array = group.create_array(f"s{n}", shape=voxels.shape, chunks=(16, 16, 16), dtype="uint8")
        array[:] = voxels
    (found,) = blank_volumes(written(acquired(folder), settings), settings)
    assert found.startswith("em: all 32768 voxels are zero: the source's finest level is a placeholder")


def test_a_blank_file_is_said_to_be_so(acquired: Build, settings: Settings, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "flat.tif", np.full((4, 20, 20), 7, np.uint8), photometric="minisblack")
    (found,) = blank_volumes(written(acquired(tmp_path / "flat.tif"), settings), settings)
    assert found == "em: every voxel is 7: the source itself is empty, or the wrong file: look at its preview"
