"""A dataset's raw files become its volumes, named, with labels that fit."""

from pathlib import Path

import numpy as np
import pytest

from em_assets.datasets import Dataset
from em_assets.datasets.opening import open_raw, raw_units, safe_volume_name
from em_assets.errors import FormatError, UnknownFormatError
from em_assets.model import RawFile, Source, Statement
from em_assets.sources import acquire
from em_assets.sources.origins import PUBLIC_ORIGIN


def dataset(*sources: Source, format: str | None = None) -> Dataset:
    return Dataset(name="mine", title="Mine", sources=sources, format=format)


def acquired(of: Dataset, raw_dir: Path) -> tuple[RawFile, ...]:
    return acquire(of.sources, PUBLIC_ORIGIN, raw_dir, log=lambda line: None).files


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A zarr group of one level, a TIFF stack with the same shape, a text file."""
    import tifffile
    import zarr

    folder = tmp_path / "data"
    voxels = np.random.default_rng(1).integers(0, 255, (4, 6, 8), dtype=np.uint8)
    group = zarr.open_group(folder / "em.zarr", mode="w", zarr_format=2)
    group.create_array("s0", shape=voxels.shape, chunks=(4, 4, 4), dtype="uint8")[:] = voxels
    axes = [{"name": name, "type": "space", "unit": "nanometer"} for name in "zyx"]
    scale = [{"type": "scale", "scale": [40.0, 4.0, 4.0]}]
    levels = [{"path": "s0", "coordinateTransformations": scale}]
    group.attrs["multiscales"] = [{"version": "0.4", "name": "em", "axes": axes, "datasets": levels}]
    tifffile.imwrite(folder / "labels.tif", voxels % 3, photometric="minisblack")
    (folder / "notes.txt").write_text("what is known of it")
    return folder


def test_each_source_gives_a_volume_named_by_it(tmp_path: Path, data: Path) -> None:
    of = dataset(
        Source(url=f"{data}/", include=("em.zarr/**",), content="em"),
        Source(url=f"{data}/", include=("*.tif", "*.txt"), volume="cells", content="labels", labels_of="em"),
    )
    em, cells = open_raw(of, tmp_path / "raw", acquired(of, tmp_path / "raw"))
    assert (em.name, em.content, em.source.shape_zyx, em.source_chunks) == ("em", "em", (4, 6, 8), (4, 4, 4))
    assert (cells.name, cells.content, cells.labels_of, cells.source_n_levels) == ("cells", "labels", "em", 1)


def test_what_carries_tags_is_each_known_file_and_each_marked_folder(tmp_path: Path, data: Path) -> None:
    of = dataset(Source(url=f"{data}/"))
    units = raw_units(of, tmp_path / "raw", acquired(of, tmp_path / "raw"))
    assert [label for label, _ in units] == ["em.zarr", "labels.tif"]
    assert all(path.exists() for _, path in units)


def test_an_address_that_is_the_group_itself_gives_its_name_to_the_unit(tmp_path: Path, data: Path) -> None:
    of = dataset(Source(url=f"{data}/em.zarr/"))
    files = acquired(of, tmp_path / "raw")
    assert [label for label, _ in raw_units(of, tmp_path / "raw", files)] == ["em.zarr"]
    assert [volume.name for volume in open_raw(of, tmp_path / "raw", files)] == ["em"]


def test_files_that_are_no_volume_are_kept_and_not_opened(tmp_path: Path, data: Path) -> None:
    of = dataset(
        Source(url=f"{data}/", include=("em.zarr/**",)),
        Source(url=f"{data}/", include=("*.tif", "*.txt"), is_volume=False),
    )
    files = acquired(of, tmp_path / "raw")
    assert [volume.name for volume in open_raw(of, tmp_path / "raw", files)] == ["em"]
    assert [label for label, _ in raw_units(of, tmp_path / "raw", files)] == ["0/em.zarr", "1/labels.tif"]


def test_two_formats_in_one_source_ask_for_include(tmp_path: Path, data: Path) -> None:
    of = dataset(Source(url=f"{data}/"))
    with pytest.raises(FormatError, match=r"two formats.*ome_zarr.*tiff.*include"):
        open_raw(of, tmp_path / "raw", acquired(of, tmp_path / "raw"))


def test_another_format_than_said_is_refused_with_both(tmp_path: Path, data: Path) -> None:
    of = dataset(Source(url=f"{data}/", include=("*.tif",)), format="mrc")
    with pytest.raises(FormatError, match=r"labels\.tif: mrc expected.*found tiff"):
        open_raw(of, tmp_path / "raw", acquired(of, tmp_path / "raw"))


def test_a_slice_that_is_a_pointer_is_no_text_file_to_be_left_out(tmp_path: Path, data: Path) -> None:
    (data / "labels_2.tif").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    of = dataset(Source(url=f"{data}/", include=("*.tif",)))
    with pytest.raises(UnknownFormatError, match=r"labels_2\.tif.*git-LFS"):
        open_raw(of, tmp_path / "raw", acquired(of, tmp_path / "raw"))


def test_files_of_which_no_format_is_known_are_refused(tmp_path: Path, data: Path) -> None:
    of = dataset(Source(url=f"{data}/", include=("*.txt",)), format="tiff")
    with pytest.raises(UnknownFormatError, match=r"notes\.txt.*tiff expected"):
        open_raw(of, tmp_path / "raw", acquired(of, tmp_path / "raw"))


def test_labels_of_another_shape_are_refused(tmp_path: Path, data: Path) -> None:
    import tifffile

    tifffile.imwrite(data / "small.tif", np.zeros((4, 6, 7), np.uint8), photometric="minisblack")
    of = dataset(
        Source(url=f"{data}/", include=("em.zarr/**",)),
        Source(url=f"{data}/small.tif", volume="cells", content="labels", labels_of="em"),
    )
    with pytest.raises(FormatError, match=r"cells have shape \(4, 6, 7\).*\(4, 6, 8\)"):
        open_raw(of, tmp_path / "raw", acquired(of, tmp_path / "raw"))


@pytest.mark.parametrize(
    ("name", "safe"), [("a b/c", "a_b_c"), ("_x", "v_x"), ("slice_1_405nm_10X", "slice_1_405nm_10X")]
)
def test_a_volume_is_named_as_a_folder_may_be(name: str, safe: str) -> None:
    assert safe_volume_name(name) == safe


def test_what_the_publisher_says_of_the_content_goes_before_an_assumption(tmp_path: Path, data: Path) -> None:
    of = dataset(Source(url=f"{data}/labels.tif", volume="cells"))
    files = acquired(of, tmp_path / "raw")
    said = of.model_copy(update={"says": (Statement(field="content", value="labels", at="its page"),)})
    found = [open_raw(one, tmp_path / "raw", files)[0] for one in (of, said)]
    assert [(one.content, one.is_content_witnessed) for one in found] == [("em", False), ("labels", False)]
