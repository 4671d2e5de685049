"""Blocks of every format as another library reads them, and a store whose voxels are no longer the source's."""

import gzip
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from em_assets import building
from em_assets.checking import seeded_boxes, unequal_blocks
from em_assets.datasets import Dataset, get
from em_assets.datasets.opening import RawVolume
from em_assets.errors import FormatError
from em_assets.formats import open_path
from em_assets.formats.volume import SourceLevel, SourceVolume
from em_assets.independent import LIBRARIES, NotIndependentError, blocks_in_a_row, read_blocks
from em_assets.model import ZYX, Source
from em_assets.sample import serving
from em_assets.settings import SAMPLE, Settings
from em_assets.sources import acquire
from em_assets.sources.origins import PUBLIC_ORIGIN
from em_assets.volumes.store import committed_volumes
from em_assets_tests.formats.mutant_seeds import write_hdf5, write_n5_group, write_precomputed


def textured(*shape: int, dtype: str = "uint8") -> NDArray[Any]:
    return np.random.default_rng(5).integers(1, 120, shape).astype(dtype)


def blind(volume: SourceVolume) -> SourceVolume:
    """The same volume with a reader of ours that must not be asked."""

    def refuse(start_zyx: ZYX, shape_zyx: ZYX) -> NDArray[Any]:
        raise AssertionError("our own reader was asked")

    return replace(volume, levels=tuple(replace(level, read_box=refuse) for level in volume.levels))


def assert_read_alike(volumes: list[SourceVolume]) -> None:
    """Every volume's seeded blocks are the same by our reader and, without it, by the library."""
    unread = [blind(volume) for volume in volumes]
    for volume, other in zip(volumes, unread, strict=True):
        boxes = list(seeded_boxes(volume.shape_zyx, seed=3))
        for box, block in zip(boxes, read_blocks(other, unread, boxes), strict=True):
            assert block.dtype == volume.dtype
            assert np.array_equal(block, volume.read(*box), equal_nan=volume.dtype.kind == "f"), (volume.name, box)


REAL = [
    "derived/fib25.mrc",
    "derived/fib25.ome.tif",
    "derived/fib25_big.tif",
    "derived/fib25_imagej.tif",
    "derived/fib25_v04.ome.zarr",
    "derived/fib25_v05.ome.zarr",
    "derived/precomputed_cv_offset",
    "derived/precomputed_jpeg",
    "derived/precomputed_raw",
    "derived/precomputed_raw_sharded",
    "derived/precomputed_seg_cseg",
    "derived/precomputed_seg_cseg_sharded",
    "dm3/dmTest_3D_int16_64,65,66.dm3",
    "dm3/multi_signal.dm3",
    "dm3/test_STEM_image.dm3",
    "dm4/dmTest_float32_nonSquare_diffPixelSize.dm4",
    "dm4/test-10.dm4",
    "mrc/EMD-3001.map",
    "tiff/multi-channel-z-series.ome.tif",
    "tiff/predictor-3-gray-f32.tif",
    "zarr/ome_v01",
    "zarr/v2_3d_F",
    "zarr/wk_simple_zarr3",
]


@pytest.mark.parametrize("path", REAL)
def test_a_real_file_is_read_alike_by_an_independent_library(path: str, shared: Path) -> None:
    assert_read_alike(open_path(shared / "data" / path))


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory, with_sources: Callable[[Path], Path]) -> Iterator[Settings]:
    """A store of the sample origin, its servers up."""
    settings = Settings(store=with_sources(tmp_path_factory.mktemp("independent")), origin=SAMPLE)
    with serving(settings) as origin:
        for name in SAMPLES:
            acquire(get(name, settings).sources, origin, settings.raw_dir(name), log=lambda line: None)
        yield settings


# dataset → number of volumes: slices of 16 DM3 files; a box cut out of precomputed; 5-D items; labels in a zarr
SAMPLES = {"empiar_11759": 1, "hemibrain_ng": 1, "u2os_chromatin": 2, "visor_bb001": 4, "cryoet_10001": 2, "cremi_a": 3}


@pytest.mark.parametrize("name", SAMPLES)
def test_a_sample_dataset_is_read_alike_by_an_independent_library(name: str, sample: Settings) -> None:
    raws = building.raw_volumes(get(name, sample), sample)
    assert len(raws) == SAMPLES[name]
    assert_read_alike([raw.source for raw in raws])


def test_of_several_slice_files_only_those_that_a_box_touches_are_opened(sample: Settings) -> None:
    (raw,) = building.raw_volumes(get("empiar_11759", sample), sample)
    absent = tuple(file if z in (3, 4) else "/nowhere.dm3" for z, file in enumerate(raw.source.files))
    (block,) = read_blocks(replace(raw.source, files=absent), [raw.source], [((3, 5, 7), (2, 8, 8))])
    assert np.array_equal(block, raw.source.read((3, 5, 7), (2, 8, 8)))


@pytest.mark.parametrize("axes", ["zyx", "xyz", "yzx", "czyx", "xyzc", "tzcyx"])
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_axes_in_any_order_are_told_by_name(axes: str, zarr_format: int, tmp_path: Path) -> None:
    import zarr

    sizes = {"z": 6, "y": 7, "x": 8, "c": 2, "t": 3}
    voxels = textured(*(sizes[axis] for axis in axes), dtype="int16")
    group = zarr.open_group(tmp_path / "em.zarr", mode="w", zarr_format=zarr_format)
    group.create_array("s0", shape=voxels.shape, chunks=(3,) * voxels.ndim, dtype="int16")[:] = voxels
    types = {"c": "channel", "t": "time"}
    image = {
        "version": "0.4",
        "axes": [{"name": axis, "type": types.get(axis, "space")} for axis in axes],
        "datasets": [{"path": "s0", "coordinateTransformations": [{"type": "scale", "scale": [1] * len(axes)}]}],
    }
    group.attrs["multiscales"] = [image]
    assert_read_alike(open_path(tmp_path / "em.zarr"))


@pytest.mark.parametrize("shape", [(4, 5, 6), (1, 1, 4, 5, 6), (4, 5, 6, 1), (1, 5, 6), (5, 6)])
def test_a_bare_array_is_taken_by_position(shape: tuple[int, ...], tmp_path: Path) -> None:
    import zarr

    voxels = textured(*shape)
    zarr.open_array(tmp_path / "bare.zarr", mode="w", shape=shape, chunks=shape, dtype="uint8")[:] = voxels
    assert_read_alike(open_path(tmp_path / "bare.zarr"))


@pytest.mark.parametrize("axes", ["ZYX", "TZCYX", "TZYX", "CYX"])
def test_an_imagej_stack_has_a_volume_for_each_time_and_channel(axes: str, tmp_path: Path) -> None:
    import tifffile

    sizes = {"T": 2, "Z": 5, "C": 3, "Y": 40, "X": 50}
    voxels = textured(*(sizes[axis] for axis in axes))
    tifffile.imwrite(tmp_path / "stack.tif", voxels, imagej=True, metadata={"axes": axes})
    assert_read_alike(open_path(tmp_path / "stack.tif"))


def test_planes_behind_the_single_page_of_a_large_imagej_stack_are_found(tmp_path: Path) -> None:
    import tifffile

    voxels = textured(6, 40, 50)
    description = "ImageJ=1.53\nimages=6\nslices=6\n"
    tifffile.imwrite(tmp_path / "one.tif", voxels[0], description=description, metadata=None)
    with (tmp_path / "one.tif").open("ab") as file:
        file.write(voxels[1:].tobytes())
    (volume,) = open_path(tmp_path / "one.tif")
    assert volume.shape_zyx == (6, 40, 50)
    assert_read_alike([volume])


@pytest.mark.parametrize("how", [{"compression": "zlib"}, {"tile": (16, 16)}, {"rowsperstrip": 3}, {"bigtiff": True}])
def test_pages_of_a_plain_tiff_are_slices(how: dict[str, Any], tmp_path: Path) -> None:
    import tifffile

    with tifffile.TiffWriter(tmp_path / "plain.tif", bigtiff=how.pop("bigtiff", False)) as file:
        for page in textured(5, 40, 50, dtype="uint16"):
            file.write(page, contiguous=False, metadata=None, **how)
    assert_read_alike(open_path(tmp_path / "plain.tif"))


def test_an_mrc_map_of_swapped_axes_is_turned(tmp_path: Path) -> None:
    import mrcfile

    with mrcfile.new(tmp_path / "map.mrc") as file:
        file.set_data(textured(5, 6, 7, dtype="float32"))
        file.header.mapc, file.header.mapr, file.header.maps = 3, 1, 2
    (volume,) = open_path(tmp_path / "map.mrc")
    assert volume.shape_zyx == (7, 5, 6)
    assert_read_alike([volume])


def test_every_array_of_an_n5_container_is_found_and_read_alike(tmp_path: Path) -> None:
    write_n5_group(tmp_path / "all.n5" / "em" / "fibsem", textured(6, 40, 48), {"type": "gzip"})
    write_n5_group(tmp_path / "all.n5" / "labels" / "cells", textured(6, 40, 48) % 4, {"type": "raw"})
    (tmp_path / "all.n5" / "attributes.json").write_text('{"n5": "2.0.0"}')
    volumes = open_path(tmp_path / "all.n5")
    assert [volume.name for volume in volumes] == ["em/fibsem", "labels/cells"]
    assert_read_alike(volumes)
    assert_read_alike(open_path(tmp_path / "all.n5" / "em" / "fibsem" / "s1"))


def test_numbers_of_several_bytes_in_n5_are_nobodys_but_ours(tmp_path: Path) -> None:
    """cloud-volume takes their bytes as they come, and they come in the other order."""
    write_n5_group(tmp_path / "em", textured(6, 40, 48, dtype="uint16"), {"type": "raw"})
    (volume,) = open_path(tmp_path / "em")
    assert refusal(volume) == "cloud-volume does not turn N5's big-endian numbers"


@pytest.mark.parametrize("name", ["contiguous.h5", "gzip.h5"])
def test_volumes_of_an_hdf5_file_are_told_apart_by_their_names(name: str, tmp_path: Path) -> None:
    import h5py

    write_hdf5(tmp_path)
    with h5py.File(tmp_path / name, "a") as file:
        file.create_dataset("volumes/raw_again", data=file["volumes/raw"][:] + 1)
    volumes = open_path(tmp_path / name)
    assert len(volumes) == 3
    assert_read_alike(volumes[::-1])


@pytest.mark.parametrize("name", ["lzf.h5", "latest.h5"])
def test_an_hdf5_file_that_pyfive_does_not_take_is_said(name: str, tmp_path: Path) -> None:
    write_hdf5(tmp_path)
    assert refusal(open_path(tmp_path / name)[0]).startswith(("pyfive refuses it (", "pyfive lacks something: "))


def refusal(volume: SourceVolume) -> str:
    with pytest.raises(NotIndependentError) as caught:
        read_blocks(volume, [volume], list(seeded_boxes(volume.shape_zyx, seed=0)))
    return str(caught.value)


@pytest.fixture
def mrc(tmp_path: Path) -> Path:
    """A map of 5 × 6 × 7 voxels."""
    import mrcfile

    with mrcfile.new(tmp_path / "map.mrc") as file:
        file.set_data(textured(5, 6, 7, dtype="int16"))
    return tmp_path / "map.mrc"


def test_a_dm3_type_that_ncempy_does_not_know_is_said(sample: Settings, tmp_path: Path) -> None:
    (raw,) = building.raw_volumes(get("empiar_11759", sample), sample)
    content = Path(raw.source.files[0]).read_bytes()
    value_at = content.rindex(b"DataType%%%%") + len("DataType%%%%") + 8
    mask = (14).to_bytes(4, "little")
    (tmp_path / "mask.dm3").write_bytes(content[:value_at] + mask + content[value_at + 4 :])
    (volume,) = open_path(tmp_path / "mask.dm3")
    assert refusal(volume).startswith("ncempy sees no volume where 1 × (1, ")


def test_without_mrcfile_that_is_said(mrc: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked in this process: a child would find it."""
    monkeypatch.setitem(sys.modules, "mrcfile", None)  # what Python does for a package that is not there
    with pytest.raises(NotIndependentError, match="mrcfile is not installed"):
        blocks_in_a_row(str(mrc), ("mrc", [str(mrc)], (5, 6, 7), "<i2", 0, 1), [((0, 0, 0), (1, 1, 1))])


def test_a_volume_that_kills_cloud_volume_is_said_and_ends_no_run(tmp_path: Path) -> None:
    """A block size of 0 is a division by it, in C++."""
    write_precomputed(tmp_path)
    (volume,) = open_path(tmp_path / "cseg")
    info = tmp_path / "cseg" / "info"
    info.write_text(re.sub(r'(block_size": *)\[8, *8, *8\]', r"\1[0, 0, 0]", info.read_text()))
    assert "[0, 0, 0]" in info.read_text()
    assert refusal(volume).startswith("cloud-volume fails: ")
    with pytest.raises(FormatError, match="compressed_segmentation_block_size"):
        open_path(tmp_path / "cseg")


def test_a_packed_map_is_not_unpacked_for_a_few_blocks(mrc: Path) -> None:
    packed = mrc.with_name("map.mrc.gz")
    packed.write_bytes(gzip.compress(mrc.read_bytes()))
    (volume,) = open_path(packed)
    assert refusal(volume) == "mrcfile would unpack it whole into memory"


def test_what_the_library_refuses_is_said_with_its_reason(small_tiff: Path, tmp_path: Path) -> None:
    (volume,) = open_path(small_tiff)
    (tmp_path / "other.tif").write_bytes(b"II*\0" + bytes(4))
    assert refusal(replace(volume, files=(str(tmp_path / "other.tif"),))).startswith("tifffile ")


def test_a_file_that_the_library_takes_for_another_shape_is_said(small_tiff: Path) -> None:
    (volume,) = open_path(small_tiff)
    taller = replace(volume, levels=(replace(volume.levels[0], shape_zyx=(7, 40, 50)),))
    assert refusal(taller) == "tifffile sees (6, 40, 50) uint8 where 1 × (7, 40, 50) uint8 were expected"


def test_a_format_without_a_library_is_said(small_tiff: Path) -> None:
    (volume,) = open_path(small_tiff)
    assert refusal(replace(volume, format="novel")) == "no library but our own reads novel"


def test_every_format_has_its_library() -> None:
    from em_assets.formats import FORMATS

    assert set(LIBRARIES) == set(FORMATS)


def built(source: Path, settings: Settings) -> Dataset:
    """A dataset of one file or folder, fetched and written as the graph does it."""
    dataset = Dataset(name="mine", title="Mine", sources=(Source(url=str(source)),))
    acquire(dataset.sources, PUBLIC_ORIGIN, settings.raw_dir("mine"), log=lambda line: None)
    record, _ = building.record(dataset, settings, building.claims(dataset, settings))
    for volume in building.volumes_to_write(dataset, settings, record):
        volume.commit()
    return dataset


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(store=tmp_path / "store")


def test_a_store_equal_to_its_source_passes_and_says_who_read_it(small_tiff: Path, settings: Settings) -> None:
    dataset = built(small_tiff, settings)
    assert unequal_blocks(dataset, settings) == ([], ["em: read by tifffile"], [])


def test_voxels_changed_after_the_commit_are_caught(small_tiff: Path, settings: Settings) -> None:
    import zarr

    dataset = built(small_tiff, settings)
    committed = committed_volumes(settings.volumes_dir("mine"))["em"]
    array = zarr.open_array(committed.path / "s0", mode="r+")
    array[:, 20:, :] += 1
    found = unequal_blocks(dataset, settings).unequal
    assert found
    assert all(problem.startswith("em: the block at (0, ") for problem in found)


def test_what_our_own_reader_made_up_is_caught(
    small_tiff: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def upside_down(dataset: Dataset, settings: Settings) -> list[RawVolume]:
        return [replace(raw, source=_upside_down(raw.source)) for raw in honest(dataset, settings)]

    honest = building.raw_volumes
    monkeypatch.setattr(building, "raw_volumes", upside_down)
    dataset = built(small_tiff, settings)
    monkeypatch.undo()
    assert len(unequal_blocks(dataset, settings).unequal) == 4


def _upside_down(volume: SourceVolume) -> SourceVolume:
    level = volume.levels[0]

    def read(start_zyx: ZYX, shape_zyx: ZYX) -> NDArray[Any]:
        return level.read_box((0, 0, 0), level.shape_zyx)[::-1][
            tuple(slice(a, a + n) for a, n in zip(start_zyx, shape_zyx, strict=True))
        ]

    return replace(volume, levels=(SourceLevel(level.shape_zyx, level.voxel_size_zyx_nm, read),))


def test_what_no_library_reads_is_compared_with_our_own_reader_and_said(mrc: Path, settings: Settings) -> None:
    packed = mrc.with_name("map.mrc.gz")
    packed.write_bytes(gzip.compress(mrc.read_bytes()))
    compared = unequal_blocks(built(packed, settings), settings)
    said = "em: read by our own reader alone: mrcfile would unpack it whole into memory"
    assert compared == ([], [said], [f"{said}; compare a slice with another program before you rely on it"])
