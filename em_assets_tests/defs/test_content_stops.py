"""Three ways in which nothing once passed for data: each is stopped by a failed check that says what happened."""

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorstore as ts
import zarr
from running_dagster import REPOSITORY, Home

from em_assets.sample.empiar import DATA_FOLDER, RECORD_FOLDER, write_empiar

ERROR_PAGE = '<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>AccessDenied</Code></Error>'
SHAPE = (96, 96, 128)


def label_volume(folder: Path, shape_zyx: tuple[int, int, int]) -> None:
    """Labels in the last planes of a precomputed volume: a box at its origin is all zero, and every chunk is there."""
    width, height, depth = shape_zyx[::-1]
    spec = {
        "driver": "neuroglancer_precomputed",
        "kvstore": {"driver": "file", "path": f"{folder}/"},
        "multiscale_metadata": {"type": "segmentation", "data_type": "uint64", "num_channels": 1},
        "scale_metadata": {
            "size": [width, height, depth],
            "resolution": [8, 8, 8],
            "chunk_size": [64, 64, 64],
            "encoding": "compressed_segmentation",
            "compressed_segmentation_block_size": [8, 8, 8],
        },
        "store_data_equal_to_fill_value": True,
    }
    volume = ts.open(spec, create=True).result()
    for z in range(0, depth, 64):
        slab = np.zeros((width, height, min(64, depth - z)), np.uint64)
        slab[:, :, max(0, depth - 8 - z) :] = 7
        volume[:, :, z : z + slab.shape[2], 0].write(slab).result()


def chunks_that_are_pages(folder: Path) -> None:
    """A zarr array as a mirror kept it that was not allowed to read some of its chunks."""
    array = zarr.create_array(folder, shape=SHAPE, chunks=(48, 48, 64), dtype="uint8", zarr_format=2, compressors=None)
    array[:] = np.random.default_rng(3).integers(20, 230, SHAPE, dtype=np.uint8)
    for chunk in ("0.0.1", "1.1.1"):
        (folder / chunk).write_text(ERROR_PAGE)


def write_toml(folder: Path, name: str, source: str, more: str = "") -> None:
    (folder / f"{name}.toml").write_text(f'title = "{name}"\n{more}\n[source]\n{source}\n')


def box_at_the_origin(shape_zyx: tuple[int, int, int]) -> str:
    url = "https://flyem.example.org/v1.0/segmentation"
    return f'kind = "cutout"\nurl = "{url}"\nstart_zyx = [0, 0, 0]\nshape_zyx = {list(shape_zyx)}\n'


def fetched(home: Home, mirror: Path, datasets: Path, *names: str) -> dict[str, dict[str, Any]]:
    """Dataset → what `em-assets fetch --json` says of its run, which is forgotten then."""
    done = subprocess.run(
        ["env", "-u", "DAGSTER_HOME", "em-assets", "fetch", *names, "--json"],
        cwd=REPOSITORY,
        env=home.environment | {"EM_ASSETS_ORIGIN": str(mirror), "EM_ASSETS_DATASETS": str(datasets)},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 1, done.stderr[-3000:]
    return {run["dataset"]: run for run in json.loads(done.stdout)["runs"]}


@pytest.fixture(scope="module")
def runs(home: Home) -> dict[str, dict[str, Any]]:
    """What is said of the three runs; all come from one mirror."""
    mirror, datasets = home.folder / "mirror", home.folder / "datasets"
    datasets.mkdir()
    label_volume(mirror / "flyem.example.org/v1.0/segmentation", (2 * SHAPE[0], *SHAPE[1:]))
    chunks_that_are_pages(mirror / "zarr.example.org/em.zarr")
    write_empiar(mirror, seed=11759)
    (mirror / RECORD_FOLDER / "index.json").rename(mirror / f"{RECORD_FOLDER}.json")
    (mirror / RECORD_FOLDER).rmdir()
    (mirror / f"{RECORD_FOLDER}.json").rename(mirror / RECORD_FOLDER)
    (mirror / DATA_FOLDER / "trakem2/project.properties").unlink()
    (mirror / DATA_FOLDER / "trakem2").rmdir()
    write_toml(datasets, "zeros", box_at_the_origin(SHAPE))
    write_toml(datasets, "pages", 'url = "https://zarr.example.org/em.zarr/"\ncontent = "em"')
    return fetched(home, mirror, datasets, "zeros", "pages", "empiar_11759")


def failed(run: dict[str, Any]) -> dict[str, str]:
    """Check → what it found, of the checks that failed a run."""
    assert run["is_failed"]
    return {check["check"]: check["found"] for check in run["checks"] if check["result"] == "FAILED"}


def committed(home: Home, dataset: str) -> list[Path]:
    return list(home.store.glob(f"volumes/{dataset}/*/commits/*"))


def test_a_box_of_zeros_at_the_origin_is_stopped(runs: dict[str, dict[str, Any]], home: Home) -> None:
    """Another project took 8 GB of them for the hemibrain: the box at the origin of a label volume."""
    found = failed(runs["zeros"])["volume_not_blank"]
    assert f"all {np.prod(SHAPE)} voxels are zero" in found
    assert "the box from (0, 0, 0)" in found
    assert "start_zyx" in found


def test_pages_saved_as_chunks_are_stopped_before_anything_is_read(runs: dict[str, dict[str, Any]], home: Home) -> None:
    found = failed(runs["pages"])["raw_files_are_data"]
    assert found == runs["pages"]["error"]  # and not that some check failed
    assert "2 of " in found
    assert "0.0.1" in found
    assert "an error page" in found
    assert "AccessDenied" in found
    assert committed(home, "pages") == []


def test_a_mirror_without_its_sub_folder_is_stopped(runs: dict[str, dict[str, Any]], home: Home) -> None:
    found = failed(runs["empiar_11759"])["archive_complete"]
    assert "folder trakem2/ declared" in found
    assert "mirror" in found
    assert committed(home, "empiar_11759") == []


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_eight_gigabytes_of_zeros_are_stopped(tmp_path: Path) -> None:
    """The very case: a box of 1000³ 64-bit labels at the origin, 8 GB."""
    mirror, datasets, home = tmp_path / "mirror", tmp_path / "datasets", Home(tmp_path)
    datasets.mkdir()
    label_volume(mirror / "flyem.example.org/v1.0/segmentation", (1064, 1000, 1000))
    write_toml(datasets, "zeros", box_at_the_origin((1000, 1000, 1000)))
    found = failed(fetched(home, mirror, datasets, "zeros")["zeros"])["volume_not_blank"]
    assert "all 1000000000 voxels are zero" in found
