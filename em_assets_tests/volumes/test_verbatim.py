"""A Zarr whose chunks are stored just so: its bytes are kept, its voxels still counted, halved and checked."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from em_assets.errors import FormatError
from em_assets.volumes.ingest import ingest

SIZE = (8.0, 8.0, 8.0)


@pytest.fixture
def group(tmp_path: Path) -> Path:
    """An OME-Zarr 0.4 of 70 x 130 x 100 voxels, a chunk a file."""
    import tifffile

    voxels = np.random.default_rng(3).integers(-99, 99, (70, 130, 100)).astype(np.int16)
    tifffile.imwrite(tmp_path / "v.tif", voxels, photometric="minisblack")
    ingest(tmp_path / "v.tif", tmp_path / "v.zarr", ome_zarr="0.4", voxel_size_zyx_nm=SIZE)
    return tmp_path / "v.zarr"


def tree(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_chunks_are_kept_byte_for_byte_and_all_that_is_made_of_them_is_the_same(group: Path, tmp_path: Path) -> None:
    # Bytes that this writer would not make: kept all the same.
    from imagecodecs import zstd_decode, zstd_encode

    chunk = group / "s0" / "0" / "1" / "0"
    chunk.write_bytes(zstd_encode(zstd_decode(chunk.read_bytes()), 9))
    again = ingest(group, tmp_path / "again.zarr", ome_zarr="0.4")
    before, after = tree(group), tree(tmp_path / "again.zarr")
    assert {key: data for key, data in after.items() if key != ".zattrs"} == {
        key: data for key, data in before.items() if key != ".zattrs"
    }
    assert again.written.statistics.n_voxels == 70 * 130 * 100


@pytest.mark.parametrize("ome_zarr", ["0.5", "0.4"])
@pytest.mark.parametrize("codec", ["zstd-1", "zstd-3"], ids=["kept", "encoded anew"])
def test_every_level_and_the_statistics_are_those_of_the_source(
    group: Path, tmp_path: Path, voxels_of: Callable[[Path], NDArray[Any]], ome_zarr: Any, codec: str
) -> None:
    made = ingest(group, tmp_path / "made", ome_zarr=ome_zarr, codec=codec)
    for level in ("s0", "s1", "s2"):
        assert np.array_equal(voxels_of(tmp_path / "made" / level), voxels_of(group / level))
    voxels = voxels_of(group / "s0")
    assert (made.written.statistics.min, made.written.statistics.n_zero) == (voxels.min(), (voxels == 0).sum())
    assert made.written.statistics.std == pytest.approx(voxels.std())
    assert made.written.block_index.n_finite.sum() == voxels.size


def test_an_absent_chunk_is_the_fill_value_as_zarr_says(
    group: Path, tmp_path: Path, voxels_of: Callable[[Path], NDArray[Any]]
) -> None:
    (group / "s0" / "0" / "0" / "0").unlink()
    ingest(group, tmp_path / "made")
    assert not voxels_of(tmp_path / "made" / "s0")[:64, :64, :64].any()
    assert voxels_of(tmp_path / "made" / "s0")[:, 64:].any()


@pytest.mark.parametrize("damage", ["cut", "flipped", "short", "empty", "twice"])
def test_a_damaged_chunk_is_an_error_that_names_it(group: Path, tmp_path: Path, damage: str) -> None:
    from imagecodecs import zstd_encode

    chunk = group / "s0" / "1" / "2" / "1"
    data = chunk.read_bytes()
    chunk.write_bytes(
        {
            "cut": data[:-9],
            "flipped": bytes([data[0] ^ 1]) + data[1:],
            "short": zstd_encode(bytes(64**3), 1),
            "empty": b"",
            "twice": data + data,
        }[damage]
    )
    with pytest.raises(FormatError, match="s0/1/2/1"):
        ingest(group, tmp_path / "made")
    assert not (tmp_path / "made").exists()
