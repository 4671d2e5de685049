"""Real pixels through the whole graph: FIB-SEM in ten formats, and DM3/DM4 files from microscopes."""

import json
import os
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import pytest

from em_assets import open_volume, settings

# name of the dataset → its file or folder below the shared data, and the level of expected.json that is the finest.
LOSSLESS = {
    "fib25_imagej": ("derived/fib25_imagej.tif", ""),
    "fib25_big": ("derived/fib25_big.tif", ""),
    "fib25_ome": ("derived/fib25.ome.tif", ""),
    "fib25_mrc": ("derived/fib25.mrc", ""),
    "fib25_v04": ("derived/fib25_v04.ome.zarr", "s0:"),
    "fib25_v05": ("derived/fib25_v05.ome.zarr", "s0:"),
    "precomputed_raw": ("derived/precomputed_raw", "10_10_10 "),
    "precomputed_raw_sharded": ("derived/precomputed_raw_sharded", "10_10_10 "),
    "precomputed_seg": ("derived/precomputed_seg_cseg", "10_10_10 "),
    "precomputed_seg_sharded": ("derived/precomputed_seg_cseg_sharded", "10_10_10 "),
    "dm3_three_units": ("dm3/dmTest_3D_int16_64,65,66.dm3", ""),
    "dm3_stem": ("dm3/test_STEM_image.dm3", ""),
    "dm3_um": ("dm3/test_dm_image_um_unit.dm3", ""),
    "dm3_uint8": ("dm3/test-6.dm3", ""),
    "dm4_uint16": ("dm4/test-10.dm4", ""),
    "dm4_float32": ("dm4/dmTest_float32_nonSquare_diffPixelSize.dm4", ""),
}
LOSSY = {"precomputed_jpeg": ("derived/precomputed_jpeg", "10_10_10 ")}
ALL = LOSSLESS | LOSSY


@pytest.fixture(scope="module")
def store(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store in which every one of them went through the graph."""
    folder = tmp_path_factory.mktemp("real_files")
    registry = folder / "datasets"
    registry.mkdir()
    for name, (path, _) in ALL.items():
        url = json.dumps(str(shared / "data" / path) + ("" if Path(path).suffix in FILE_SUFFIXES else "/"))
        (registry / f"{name}.toml").write_text(f'title = "{name}"\n[source]\nurl = {url}\n')
    named = {"EM_ASSETS_STORE": str(folder / "store"), "EM_ASSETS_DATASETS": str(registry)}
    done = subprocess.run(
        [Path(sys.executable).parent / "em-assets", "fetch", *ALL],
        env={key: value for key, value in os.environ.items() if not key.startswith(("EM_ASSETS", "DAGSTER"))} | named,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    return folder


FILE_SUFFIXES = (".tif", ".mrc", ".dm3", ".dm4")


@pytest.fixture(scope="module")
def expected(shared: Path) -> dict[str, Any]:
    """What independent readers agree on."""
    return json.loads((shared / "data" / "expected.json").read_text())


@pytest.mark.parametrize("name", ALL)
def test_a_real_file_has_the_shape_that_independent_readers_see(
    name: str, store: Path, expected: dict[str, Any]
) -> None:
    agreed = _agreed(expected, *ALL[name])
    assert _squeezed(_volume(store, name).shape) == _squeezed(agreed["shape"])


@pytest.mark.parametrize("name", LOSSLESS)
def test_a_real_file_keeps_every_voxel(name: str, store: Path, expected: dict[str, Any]) -> None:
    volume = _volume(store, name)
    voxels = volume.read((0, 0, 0), volume.shape)
    little = voxels.astype(voxels.dtype.newbyteorder("<"), copy=False)
    assert f"{zlib.crc32(little.tobytes()):08x}" == _agreed(expected, *LOSSLESS[name])["crc32"]


def _volume(store: Path, name: str) -> Any:
    return open_volume(
        name, settings=settings.Settings(store=store / "store", datasets=store / "datasets", origin="public")
    )


def _agreed(expected: dict[str, Any], path: str, level: str) -> dict[str, Any]:
    """Shape and checksum that readers agree on, whatever expected.json calls them for this format."""
    found = {}
    for key, value in expected[path]["agreed"].items():
        if key.startswith(level) and key.removeprefix(level).split(" (")[0] in ("shape", "crc32"):
            found[key.removeprefix(level).split(" (")[0]] = value
    return found


def _squeezed(shape: Any) -> list[int]:
    return [size for size in shape if size != 1]
