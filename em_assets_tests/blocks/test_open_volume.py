"""`open_volume`: a dataset before and after conversion, a path, and everything that can be meant by mistake."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import em_assets
from em_assets import datasets
from em_assets.catalog.schemas import CONFLICTS, RECORD
from em_assets.catalog.tables import conflicts_table, record_table, write_table
from em_assets.datasets.opening import open_raw
from em_assets.errors import (
    NotBuiltError,
    OutOfBoundsError,
    StoreError,
    UnknownDatasetError,
    UsageError,
    VolumeChoiceError,
)
from em_assets.model import Conflict, PartialFloatZYX, VolumeRecord
from em_assets.settings import Settings
from em_assets.sources import acquire
from em_assets.sources.origins import PUBLIC_ORIGIN
from em_assets.volumes.ingest import ingest
from em_assets.volumes.pyramid import write_pyramid
from em_assets.volumes.store import CommittedVolume, commit_volume

VOXELS = np.random.default_rng(3).integers(0, 60_000, (9, 80, 70), dtype=np.uint16)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A store, and a registry with `mine`: one stack, of which nothing says the voxel size."""
    import tifffile

    folder = tmp_path / "registry"
    folder.mkdir()
    tifffile.imwrite(tmp_path / "stack.tif", VOXELS, photometric="minisblack")
    (folder / "mine.toml").write_text(f'title = "Mine"\n[source]\nurl = "{tmp_path / "stack.tif"}"\n')
    return Settings(store=tmp_path / "store", datasets=folder)


def fetch(settings: Settings) -> None:
    acquire(datasets.get("mine", settings).sources, PUBLIC_ORIGIN, settings.raw_dir("mine"), log=lambda line: None)


def convert(settings: Settings, size: PartialFloatZYX, volume: str = "em") -> CommittedVolume:
    files = acquire(
        datasets.get("mine", settings).sources, PUBLIC_ORIGIN, settings.raw_dir("mine"), log=lambda line: None
    ).files
    raw = open_raw(datasets.get("mine", settings), settings.raw_dir("mine"), files)[0]
    return commit_volume(
        settings.volumes_dir("mine") / volume,
        "aaaa",
        lambda dest: write_pyramid(
            raw.source, dest, ome_zarr="0.5", content="em", voxel_size_zyx_nm=size, name=volume, attributes={}
        ),
    )


def record(settings: Settings, size: PartialFloatZYX) -> None:
    folder = settings.metadata_dir("mine")
    rows = [VolumeRecord(dataset="mine", volume="em", origin="public", voxel_size_zyx_nm=size)]
    write_table(record_table(rows), folder / "record.parquet", RECORD)


def dispute(settings: Settings, field: str) -> None:
    conflict = Conflict(
        dataset="mine",
        volume="em",
        field=field,
        value=50,
        said_by="https://example.org/a",
        other_value=40,
        other_said_by="https://example.org/b",
        is_settled=False,
        rule="one rank",
    )
    path = settings.metadata_dir("mine") / "conflicts.parquet"
    write_table(conflicts_table([conflict]), path, CONFLICTS)


@pytest.mark.parametrize("nothing", ["", None, 5, b"stack.tif"])
def test_what_is_no_name_path_or_url_is_a_usage_error(nothing: object) -> None:
    with pytest.raises(UsageError, match="a dataset's name, a path or a URL expected"):
        em_assets.open_volume(nothing)  # type: ignore[arg-type]


def test_a_dataset_reads_the_same_before_and_after_its_conversion(settings: Settings) -> None:
    fetch(settings)
    record(settings, (50.0, 8.0, 8.0))
    raw = em_assets.open_volume("mine", settings=settings)
    convert(settings, (50.0, 8.0, 8.0))
    kept = em_assets.open_volume("mine", settings=settings)
    for volume in (raw, kept):
        assert (volume.name, volume.shape, volume.dtype) == ("em", VOXELS.shape, VOXELS.dtype)
        assert volume.voxel_size_zyx_nm == (50.0, 8.0, 8.0)
        assert np.array_equal(volume.read((2, 30, 40), (5, 40, 30)), VOXELS[2:7, 30:70, 40:70])
    assert raw.url.endswith("stack.tif")
    assert kept.url.endswith("volumes/mine/em/aaaa")


def test_an_unknown_voxel_size_is_none_and_stops_nothing(settings: Settings) -> None:
    fetch(settings)
    assert em_assets.open_volume("mine", settings=settings).voxel_size_zyx_nm is None
    convert(settings, (None, 8.0, 8.0))
    kept = em_assets.open_volume("mine", settings=settings)
    assert kept.voxel_size_zyx_nm is None
    assert kept.finest_voxel_size_zyx_nm == (None, 8.0, 8.0)
    assert np.array_equal(kept.read((0, 0, 0), kept.shape), VOXELS)


def test_a_disputed_voxel_size_is_none_with_a_warning_that_names_both(settings: Settings) -> None:
    convert(settings, (None, 8.0, 8.0))
    dispute(settings, "voxel_size_z_nm")
    with pytest.warns(UserWarning, match=r"voxel_size_z_nm is 50 according to .*/a and 40 according to .*/b"):
        volume = em_assets.open_volume("mine", settings=settings)
    assert volume.voxel_size_zyx_nm is None


def test_a_dispute_over_something_else_warns_nobody(settings: Settings) -> None:
    convert(settings, (50.0, 8.0, 8.0))
    dispute(settings, "technique")
    assert em_assets.open_volume("mine", settings=settings).voxel_size_zyx_nm == (50.0, 8.0, 8.0)


@pytest.mark.parametrize("ome_zarr", ["0.5", "0.4"])
def test_a_path_opens_with_all_its_levels(settings: Settings, tmp_path: Path, ome_zarr: Any) -> None:
    group = tmp_path / "out.zarr"
    ingest(tmp_path / "stack.tif", group, ome_zarr=ome_zarr, voxel_size_zyx_nm=(50.0, 8.0, 8.0))
    coarse = em_assets.open_volume(group, level=1)
    assert [level.shape_zyx for level in coarse.levels] == [(9, 80, 70), (9, 40, 35)]
    assert (coarse.shape, coarse.voxel_size_zyx_nm, coarse.offset_zyx_nm) == (
        (9, 40, 35),
        (50.0, 16.0, 16.0),
        (0.0, 4.0, 4.0),
    )
    window = VOXELS[:, :2, :2].astype(int).sum(axis=(1, 2))
    assert coarse.read((0, 0, 0), (9, 1, 1)).ravel().tolist() == ((window + 2) // 4).tolist()
    with pytest.raises(OutOfBoundsError, match="no level 2; there are 2"):
        em_assets.open_volume(str(group), level=2)


def test_the_folder_of_a_committed_volume_opens_as_its_last_commit(settings: Settings) -> None:
    made = convert(settings, (50.0, 8.0, 8.0))
    assert em_assets.open_volume(made.folder).url == str(made.path)
    assert em_assets.open_volume(made.folder / "latest").voxel_size_zyx_nm == (50.0, 8.0, 8.0)


def test_boxes_outside_or_without_extent_are_refused(settings: Settings, tmp_path: Path) -> None:
    volume = em_assets.open_volume(tmp_path / "stack.tif")
    for start, shape in (((0, 0, 0), (10, 1, 1)), ((-1, 0, 0), (1, 1, 1)), ((0, 0, 0), (0, 1, 1)), ((0, 0), (1, 1))):
        with pytest.raises(OutOfBoundsError):
            volume.read(start, shape)
    with pytest.raises(OutOfBoundsError, match="whole numbers"):
        volume.read((0.5, 0, 0), (1, 1, 1))
    assert volume.read(np.array([1, 2, 3]), (1, 1, 1)).item() == VOXELS[1, 2, 3]


def test_a_dataset_that_was_not_fetched_says_how_to_fetch_it(settings: Settings) -> None:
    with pytest.raises(NotBuiltError, match="em-assets fetch mine"):
        em_assets.open_volume("mine", settings=settings)


def test_a_name_that_is_nothing_lists_the_datasets(settings: Settings) -> None:
    with pytest.raises(UnknownDatasetError, match=r"'mein' is no dataset and no path here; datasets: .*mine"):
        em_assets.open_volume("mein", settings=settings)


def test_several_volumes_are_listed_and_one_can_be_chosen(settings: Settings) -> None:
    for name in ("xy", "xz"):
        convert(settings, (8.0, 8.0, 8.0), name)
    with pytest.raises(VolumeChoiceError, match="2 volumes, choose one with `volume`: xy, xz"):
        em_assets.open_volume("mine", settings=settings)
    assert em_assets.open_volume("mine", volume="xz", settings=settings).name == "xz"
    with pytest.raises(VolumeChoiceError, match="no volume 'yz'; there are"):
        em_assets.open_volume("mine", volume="yz", settings=settings)


def test_a_half_made_volume_is_never_opened(settings: Settings) -> None:
    made = convert(settings, (8.0, 8.0, 8.0))
    (made.path / "s1" / "zarr.json").unlink()
    with pytest.raises(StoreError, match=r"lacks s1/zarr\.json"):
        em_assets.open_volume("mine", settings=settings)


def test_opening_a_volume_imports_neither_dagster_nor_pandas(settings: Settings, tmp_path: Path) -> None:
    code = (
        "import sys, em_assets; volume = em_assets.open_volume(sys.argv[1]); volume.read((0, 0, 0), (1, 2, 3));"
        "print(sorted({'dagster', 'pandas', 'zarr', 'duckdb'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "stack.tif")]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == "[]"
