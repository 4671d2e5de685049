"""Codecs as settings: what is written under each is read by tensorstore and zarr-python alike."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from em_assets.errors import SettingsError
from em_assets.formats.volume import SourceVolume
from em_assets.settings import codec, memory_budget_bytes
from em_assets.volumes.pyramid import write_pyramid


@pytest.mark.parametrize("name", ["zstd-1", "zstd-5", "blosc-zstd-1"])
@pytest.mark.parametrize("ome_zarr", ["0.5", "0.4"])
@pytest.mark.parametrize("dtype", ["uint8", "int16"])
def test_every_codec_is_read_by_every_reader(
    tmp_path: Path, make_source: Callable[..., SourceVolume], voxels_of: Any, name: str, ome_zarr: Any, dtype: str
) -> None:
    import zarr

    voxels = np.random.default_rng(5).integers(0, 99, (66, 70, 64)).astype(dtype)
    written = write_pyramid(
        make_source(voxels),
        tmp_path,
        ome_zarr=ome_zarr,
        content="em",
        voxel_size_zyx_nm=(8.0, 8.0, 8.0),
        name="v",
        attributes={},
        codec=name,
    )
    assert np.array_equal(voxels_of(tmp_path / "s0"), voxels)
    assert np.array_equal(zarr.open_array(tmp_path / "s0", mode="r")[:], voxels)
    assert written.compressor == f"{name[:-2]}(level={name[-1]})"


@pytest.mark.parametrize("value", ["gzip-1", "zstd", "zstd-0", "zstd-20", "blosc-zstd-10", "zstd-1 "])
def test_an_unknown_codec_is_refused_with_those_there_are(value: str) -> None:
    with pytest.raises(SettingsError, match="zstd-1 to zstd-19"):
        codec({"EM_ASSETS_CODEC": value})


@pytest.mark.parametrize("value", ["much", "0.1", "-2", "nan", "inf"])
def test_an_impossible_memory_budget_is_refused(value: str) -> None:
    with pytest.raises(SettingsError, match=r"at least 0\.5"):
        memory_budget_bytes({"EM_ASSETS_MEMORY_GIB": value})


def test_codec_and_memory_have_defaults() -> None:
    assert (codec({}), memory_budget_bytes({})) == ("zstd-1", 2 << 30)
    assert memory_budget_bytes({"EM_ASSETS_MEMORY_GIB": "1.5"}) == 3 << 29
