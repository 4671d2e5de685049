"""`em-assets plan`: bytes, objects and blank risk before anything is fetched."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from em_assets.cli import main
from em_assets.datasets import Dataset
from em_assets.model import Source
from em_assets.planning import plan
from em_assets.settings import Settings
from em_assets.sources import acquire
from em_assets.sources.origins import Origin

SHAPE = (96, 128, 160)


@pytest.fixture
def mirror(tmp_path: Path) -> Path:
    """A mirror of a web folder of sixteen files."""
    root = tmp_path / "mirror"
    for number in range(16):
        file = root / "a.org" / "v1.0" / f"slice_{number:02}.tif"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"II*\0" + bytes(1000))
    (root / "a.org" / "v1.2").mkdir()
    return root


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A mirror of a bucket with a volume whose lower half of x is blank."""
    root = tmp_path_factory.mktemp("mirror")
    voxels = np.random.default_rng(3).integers(1, 255, SHAPE, dtype=np.uint8)
    voxels[:, :, :80] = 0
    write_precomputed(root / "bucket" / "em", voxels)
    return root


def write_precomputed(folder: Path, voxels: np.ndarray) -> None:
    import tensorstore as ts

    for scale in (1, 2):
        xyz = np.ascontiguousarray(voxels[::scale, ::scale, ::scale].transpose(2, 1, 0))
        spec = {
            "driver": "neuroglancer_precomputed",
            "kvstore": {"driver": "file", "path": f"{folder}/"},
            "store_data_equal_to_fill_value": True,
            "multiscale_metadata": {"type": "image", "data_type": "uint8", "num_channels": 1},
            "scale_metadata": {
                "size": list(xyz.shape),
                "resolution": [8 * scale] * 3,
                "chunk_size": [16, 16, 16],
                "encoding": "raw",
            },
        }
        ts.open(spec, create=True, open=True).result()[..., 0].write(xyz).result()


@pytest.fixture
def settings(tmp_path: Path, mirror: Path) -> Settings:
    return Settings(store=tmp_path / "store", origin=str(mirror))


@pytest.fixture
def boxing(tmp_path: Path, bucket: Path) -> Settings:
    return Settings(store=tmp_path / "store", origin=str(bucket))


def dataset(**keys: object) -> Dataset:
    return Dataset(name="mine", title="Mine", sources=(Source(**keys),))


SLICES = dataset(url="https://a.org/v1.0/")


def test_a_plan_tells_objects_and_bytes_and_fetches_nothing(settings: Settings) -> None:
    planned = plan(SLICES, settings)
    assert (planned.objects_to_fetch, planned.bytes_to_fetch) == (16, 16 * 1004)
    assert planned.obstacles == []
    assert planned.free_bytes > 0
    assert not settings.raw_dir("mine").exists()


def test_only_what_is_not_held_is_to_be_fetched(settings: Settings, mirror: Path) -> None:
    acquire(SLICES.sources, Origin(str(mirror), mirror), settings.raw_dir("mine"), log=str)
    assert plan(SLICES, settings).objects_to_fetch == 0
    (mirror / "a.org" / "v1.0" / "slice_03.tif").write_bytes(b"II*\0" + bytes(5))
    assert (plan(SLICES, settings).objects_to_fetch, plan(SLICES, settings).bytes_to_fetch) == (1, 9)


def test_a_newer_version_beside_it_is_reported(settings: Settings) -> None:
    assert plan(SLICES, settings).sources[0].newer_version == "https://a.org/v1.2/"


def test_a_plan_over_max_bytes_says_so(settings: Settings) -> None:
    planned = plan(dataset(url="https://a.org/v1.0/", max_bytes=1000), settings)
    assert planned.obstacles == ["https://a.org/v1.0/: 16,064 bytes, more than max_bytes = 1,000"]


def test_files_of_this_machine_need_no_bytes(settings: Settings, mirror: Path) -> None:
    (one,) = plan(dataset(url=f"{mirror}/a.org/v1.0/"), settings).sources
    assert (one.how, one.objects, one.bytes, one.bytes_to_fetch) == ("referenced", 16, 16 * 1004, 0)


@pytest.mark.parametrize(
    ("start", "risk"), [((0, 0, 0), 1.0), ((0, 0, 80), 0.0)], ids=["the blank origin", "where something is"]
)
def test_a_given_box_is_looked_at_in_a_coarse_level(boxing: Settings, start: tuple[int, int, int], risk: float) -> None:
    (one,) = plan(dataset(kind="cutout", url="gs://bucket/em", shape_zyx=(32, 32, 32), start_zyx=start), boxing).sources
    assert (one.start_zyx, one.blank_risk) == (start, risk)


def test_a_drawn_box_has_the_risk_of_all_that_could_be_drawn_and_the_chunks_that_it_touches(boxing: Settings) -> None:
    (one,) = plan(dataset(kind="cutout", url="gs://bucket/em", shape_zyx=(32, 40, 48), seed=2), boxing).sources
    assert one.blank_risk is not None
    assert 0.2 < one.blank_risk < 0.6  # of eight starts along x the first three are blank
    assert one.start_zyx is not None
    assert one.start_zyx[2] >= 48
    assert (one.objects, one.bytes) == (2 * 3 * 3 + 1, 2 * 3 * 3 * 16**3)
    assert (one.objects_to_fetch, one.bytes_to_fetch) == (one.objects, one.bytes)


def test_a_box_that_is_held_needs_nothing(boxing: Settings, bucket: Path) -> None:
    boxed = dataset(kind="cutout", url="gs://bucket/em", shape_zyx=(32, 32, 32), start_zyx=(0, 0, 96))
    acquire(boxed.sources, Origin(str(bucket), bucket), boxing.raw_dir("mine"), log=str)
    assert plan(boxed, boxing).objects_to_fetch == 0


def test_the_command_prints_the_plan_and_its_exit_code_says_whether_it_is_possible(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "datasets"
    folder.mkdir()
    (folder / "mine.toml").write_text('title = "Mine"\n[source]\nurl = "https://a.org/v1.0/"\nmax_bytes = 1000\n')
    for name, value in {"STORE": settings.store, "ORIGIN": settings.origin, "DATASETS": folder}.items():
        monkeypatch.setenv(f"EM_ASSETS_{name}", str(value))
    done = CliRunner().invoke(main, ["plan", "mine", "--json"])
    assert done.exit_code == 1
    assert json.loads(done.stdout)["bytes_to_fetch"] == 16 * 1004
    assert "NOT POSSIBLE: https://a.org/v1.0/: 16,064 bytes" in CliRunner().invoke(main, ["plan", "mine"]).stdout


def test_a_box_that_no_coarse_level_shows_has_no_risk_that_looks_measured(boxing: Settings) -> None:
    tiny = dataset(kind="cutout", url="gs://bucket/em", shape_zyx=(4, 4, 4), start_zyx=(0, 0, 0))
    assert plan(tiny, boxing).sources[0].blank_risk is None


def test_room_is_needed_for_the_box_and_not_for_the_chunks_that_it_touches(boxing: Settings) -> None:
    """A box of eight voxels a side in chunks of sixteen was refused for want of room for sixty-four times its bytes."""
    boxed = dataset(kind="cutout", url="gs://bucket/em", shape_zyx=(8, 8, 8), start_zyx=(12, 12, 92))
    planned = plan(boxed, boxing)
    assert (planned.bytes_to_fetch, planned.room_bytes) == (8 * 16**3, 8**3)
    assert replace(planned, free_bytes=8**3).obstacles == []
    assert "room for 512 bytes needed, 511 free" in replace(planned, free_bytes=8**3 - 1).obstacles[0]
