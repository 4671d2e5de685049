"""What is written, against an independent pyramid of the whole array, through three readers and the validator."""

from collections import Counter
from collections.abc import Callable
from hashlib import sha256
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from em_assets.errors import FormatError, StoreError, UnsupportedDataError, UsageError
from em_assets.formats.volume import SourceLevel, SourceVolume
from em_assets.volumes.pyramid import WrittenVolume, write_pyramid

Source = Callable[..., SourceVolume]
Voxels = Callable[[Path], NDArray[Any]]
VERSIONS = ["0.5", "0.4"]


def write(source: SourceVolume, dest: Path, **changed: Any) -> WrittenVolume:
    said: dict[str, Any] = {
        "ome_zarr": "0.5",
        "content": "em",
        "voxel_size_zyx_nm": source.voxel_size_zyx_nm,
        "name": "volume",
        "attributes": {"origin": "sample"},
    }
    return write_pyramid(source, dest, **(said | changed))


def noise(shape: tuple[int, int, int], dtype: str = "uint8") -> NDArray[Any]:
    values = np.random.default_rng(11).integers(0, 256, shape)
    return (values - (128 if np.dtype(dtype).kind == "i" else 0)).astype(dtype)


def mean_reference(voxels: NDArray[Any], step: tuple[int, ...]) -> NDArray[Any]:
    total, count = voxels.astype(np.int64), np.ones(voxels.shape, np.int64)
    for axis in range(3):
        starts = range(0, voxels.shape[axis], step[axis])
        total, count = (np.add.reduceat(array, starts, axis) for array in (total, count))
    return ((2 * total + count) // (2 * count)).astype(voxels.dtype)


def majority_reference(voxels: NDArray[Any], step: tuple[int, ...]) -> NDArray[Any]:
    result = np.empty([-(-n // s) for n, s in zip(voxels.shape, step, strict=True)], voxels.dtype)
    for at in product(*map(range, result.shape)):
        window = voxels[tuple(slice(i * s, i * s + s) for i, s in zip(at, step, strict=True))]
        result[at] = min(Counter(window.ravel().tolist()).items(), key=lambda item: (-item[1], item[0]))[0]
    return result


def assert_levels_equal(dest: Path, written: WrittenVolume, voxels: NDArray[Any], halve: Any, read: Voxels) -> None:
    factor = (1, 1, 1)
    for level in written.levels:
        if level.factor_zyx != factor:
            voxels = halve(voxels, tuple(b // a for a, b in zip(factor, level.factor_zyx, strict=True)))
        assert np.array_equal(read(dest / level.path), voxels), level.path
        factor = level.factor_zyx


def tree_digest(folder: Path) -> str:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return sha256(b"".join(f"{path.relative_to(folder)}".encode() + path.read_bytes() for path in files)).hexdigest()


@pytest.mark.parametrize("ome_zarr", VERSIONS)
@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64"])
def test_every_level_is_bit_exact_for_all_whole_numbers(
    tmp_path: Path, make_source: Source, voxels_of: Voxels, dtype: str, ome_zarr: str
) -> None:
    voxels = noise((67, 130, 71), dtype)
    written = write(make_source(voxels, (8.0, 8.0, 8.0)), tmp_path / "v", ome_zarr=ome_zarr)
    assert (written.n_levels, written.dtype) == (3, dtype)
    assert_levels_equal(tmp_path / "v", written, voxels, mean_reference, voxels_of)


@pytest.mark.parametrize("shape", [(1, 200, 67), (16, 129, 300), (200, 5, 3), (65, 65, 65), (1, 1, 1)], ids=str)
def test_every_level_is_bit_exact_for_anisotropic_and_flat_volumes(
    tmp_path: Path, make_source: Source, voxels_of: Voxels, shape: tuple[int, int, int]
) -> None:
    voxels = noise(shape)
    written = write(make_source(voxels, (50.0, 8.0, 8.0)), tmp_path / "v")
    assert max(written.levels[-1].shape_zyx) <= 64
    assert_levels_equal(tmp_path / "v", written, voxels, mean_reference, voxels_of)


@pytest.mark.parametrize("ome_zarr", VERSIONS)
def test_labels_are_halved_by_majority(
    tmp_path: Path, make_source: Source, voxels_of: Voxels, ome_zarr: str, findings: Callable[[Path], str]
) -> None:
    voxels = np.random.default_rng(4).integers(0, 4, (33, 70, 35)).astype(np.uint64) << np.uint64(40)
    written = write(make_source(voxels, (8.0, 8.0, 8.0)), tmp_path / "v", content="labels", ome_zarr=ome_zarr)
    assert_levels_equal(tmp_path / "v", written, voxels, majority_reference, voxels_of)
    assert findings(tmp_path / "v") == ""


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("ome_zarr", VERSIONS)
def test_floating_point_keeps_its_type(
    tmp_path: Path, make_source: Source, voxels_of: Voxels, dtype: str, ome_zarr: str
) -> None:
    voxels = np.random.default_rng(8).normal(0, 1, (5, 66, 7)).astype(dtype)
    written = write(make_source(voxels), tmp_path / "v", ome_zarr=ome_zarr)
    assert np.array_equal(voxels_of(tmp_path / "v" / "s0"), voxels)
    assert voxels_of(tmp_path / "v" / "s1").dtype == np.dtype(written.dtype) == np.dtype(dtype)


@pytest.mark.parametrize("ome_zarr", VERSIONS)
@pytest.mark.parametrize("shape", [(140, 530, 65), (130, 65, 530)], ids=str)
def test_the_memory_budget_changes_the_order_of_work_and_not_one_byte(
    tmp_path: Path, make_source: Source, shape: tuple[int, int, int], ome_zarr: str
) -> None:
    source = make_source(noise(shape), (8.0, 8.0, 8.0))
    whole = write(source, tmp_path / "whole", ome_zarr=ome_zarr)
    tiled = write(source, tmp_path / "tiled", ome_zarr=ome_zarr, memory_budget_bytes=1)
    assert tree_digest(tmp_path / "whole") == tree_digest(tmp_path / "tiled")
    assert whole.statistics.mean == pytest.approx(tiled.statistics.mean, rel=1e-14)


def test_the_source_is_read_once_slab_by_slab(tmp_path: Path) -> None:
    voxels, read = noise((300, 40, 50)), []

    def read_box(start: Any, shape: Any) -> NDArray[Any]:
        read.append((start, shape))
        return voxels[start[0] : start[0] + shape[0]]

    level = SourceLevel(voxels.shape, (8.0, 8.0, 8.0), read_box)
    done: list[int] = []
    source = SourceVolume("v", "numpy", voxels.dtype, (level,), ())
    write(source, tmp_path / "v", progress=lambda n, total: done.append(n * 100 // total))
    assert read == [((z, 0, 0), (min(64, 300 - z), 40, 50)) for z in range(0, 300, 64)]
    assert done == [21, 42, 64, 85, 100]


@pytest.mark.parametrize("ome_zarr", VERSIONS)
def test_zeros_are_stored_like_any_other_voxel(tmp_path: Path, make_source: Source, ome_zarr: str) -> None:
    """An absent chunk must mean a loss: libraries read it as zeros without a word."""
    write(make_source(np.zeros((70, 70, 70), np.uint8)), tmp_path / "v", ome_zarr=ome_zarr)
    if ome_zarr == "0.4":
        assert len([path for path in (tmp_path / "v" / "s0").rglob("*") if path.name.isdigit() and path.is_file()]) == 8
    else:
        index = np.frombuffer((tmp_path / "v" / "s0" / "c" / "0" / "0" / "0").read_bytes()[-132:-4], "<u8")
        assert not (index == 2**64 - 1).any()


def test_statistics_are_those_of_the_finest_level(tmp_path: Path, make_source: Source) -> None:
    voxels = noise((70, 80, 90), "int16")
    statistics = write(make_source(voxels), tmp_path / "v").statistics
    assert (statistics.min, statistics.max, statistics.n_zero) == (-128, 127, (voxels == 0).sum())
    assert (statistics.mean, statistics.std) == pytest.approx((voxels.mean(), voxels.std()))


@pytest.mark.parametrize("ome_zarr", VERSIONS)
def test_validator_and_readers_take_what_is_written(
    tmp_path: Path, make_source: Source, findings: Callable[[Path], str], ome_zarr: str
) -> None:
    import zarr
    from ome_zarr_models import open_ome_zarr

    voxels = noise((20, 150, 131), "int16")
    write(make_source(voxels, (50.0, 8.0, 8.0), (100.0, 4.0, 4.0)), tmp_path / "v", ome_zarr=ome_zarr)
    assert findings(tmp_path / "v") == ""
    group = zarr.open_group(tmp_path / "v", mode="r")
    assert np.array_equal(group["s0"][:], voxels)
    image = open_ome_zarr(group, version=ome_zarr)
    assert type(image).__name__ == "Image"


def test_an_early_end_of_the_source_passes_through_and_leaves_no_group(tmp_path: Path) -> None:
    def read_box(start: Any, shape: Any) -> NDArray[Any]:
        if start[0] >= 128:
            raise FormatError("stack.tif: page 128 of 300 expected, found the end of the file")
        return np.zeros(shape, np.uint8)

    level = SourceLevel((300, 10, 10), (None, None, None), read_box)
    with pytest.raises(FormatError, match="page 128"):
        write(SourceVolume("v", "numpy", np.dtype("uint8"), (level,), ()), tmp_path / "v")
    assert not (tmp_path / "v" / "zarr.json").exists()


def test_a_source_that_gives_less_than_it_said_is_refused(tmp_path: Path) -> None:
    level = SourceLevel((8, 8, 8), (None, None, None), lambda start, shape: np.zeros((4, 8, 8), np.uint8))
    with pytest.raises(FormatError, match=r"shape \(8, 8, 8\) expected"):
        write(SourceVolume("v", "numpy", np.dtype("uint8"), (level,), ()), tmp_path / "v")


def test_impossible_voxel_sizes_and_types_are_refused_before_anything_is_written(
    tmp_path: Path, make_source: Source
) -> None:
    with pytest.raises(UsageError, match="z must be above zero"):
        write(make_source(noise((4, 4, 4))), tmp_path / "v", voxel_size_zyx_nm=(0.0, 1.0, 1.0))
    with pytest.raises(UnsupportedDataError, match="complex64"):
        write(make_source(np.zeros((4, 4, 4), np.complex64)), tmp_path / "v")
    assert not (tmp_path / "v").exists()


@pytest.mark.parametrize(("ome_zarr", "key"), [("0.4", "s0/0/0/0"), ("0.4", "s0/1/1/1"), ("0.5", "s0/c/0/0/0")])
def test_a_file_that_cannot_be_written_is_told_whenever_that_is_noticed(
    tmp_path: Path, make_source: Source, ome_zarr: str, key: str
) -> None:
    """Ever again: none keeps memory that the next ones write from."""
    source = make_source(noise((65, 65, 65)))
    for number in range(20):
        in_the_way = tmp_path / str(number) / key
        in_the_way.mkdir(parents=True)
        with pytest.raises(StoreError, match=f"{number}: cannot write the volume"):
            write(source, tmp_path / str(number), ome_zarr=ome_zarr)
        assert not (tmp_path / str(number) / ".zattrs").exists()
        assert not (tmp_path / str(number) / "zarr.json").exists()


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, make_source: Source) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match="cannot write the volume"):
        write(make_source(noise((4, 4, 4))), tmp_path / "file" / "v")
