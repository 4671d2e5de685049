"""The look-alikes as libraries read them that had no part in writing them."""

import json
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest

from em_assets import sample
from em_assets.sample.cryoet import SPACING_PATH
from em_assets.sample.sizes import (
    CRYOET_N_POINTS,
    CRYOET_SHAPE_ZYX,
    EMPIAR_SHAPE_ZYX,
    EPFL_SHAPE_ZYX,
    HEMIBRAIN_BLANK_MARGIN_X,
    HEMIBRAIN_SHAPE_ZYX,
    JRC_SHAPE_ZYX,
    LABELS_SHAPE_ZYX,
    U2OS_SHAPE_ZYX,
    VISOR_SHAPE_ZYX,
)
from em_assets.settings import Settings
from em_assets.sources.origins import locate

EMPIAR = "http/ftp.ebi.ac.uk/empiar/world_availability/11759/data"
EPFL = "http/documents.epfl.ch/groups/c/cv/cvlab-unit/www/data/%20ElectronMicroscopy_Hippocampus/volumedata.tif"
U2OS = (
    "http/ftp.ebi.ac.uk/pub/databases/IDR/idr0086-miron-micrographs/20200610-ftp/experimentD/Miron_FIB-SEM/"
    "Miron_FIB-SEM_processed/Figure_S3B_FIB-SEM_U2OS_20x20x20nm_{}.tif"
)
JRC = "s3/janelia-cosem-datasets/jrc_mus-nacc-2/jrc_mus-nacc-2.zarr/recon-2/em/fibsem-int16"
CRYOET = f"s3/cryoet-data-portal-public/{SPACING_PATH}"
VISOR = "http/sample.em-assets.invalid/visor_bb001/visor_raw_image.zarr"
LABELS = "http/sample.em-assets.invalid/em_labels_sample"


def test_empiar_has_16_dm3_slices_an_xml_file_and_a_folder(look_alikes: Path) -> None:
    names = {path.name for path in (look_alikes / EMPIAR).iterdir()}
    slices = {f"F57-8_test1_3VBSED_slice_{number:04d}.dm3" for number in range(16)}
    assert names == slices | {"F57-8_test1.xml", "trakem2"}
    assert [path for path in (look_alikes / EMPIAR / "trakem2").iterdir() if path.is_file()]


def test_ncempy_reads_a_slice_and_its_witnesses_of_the_z_step(look_alikes: Path) -> None:
    from ncempy.io import dm

    with dm.fileDM(look_alikes / EMPIAR / "F57-8_test1_3VBSED_slice_0003.dm3") as file:
        image = file.getDataset(0)
        tags = file.allTags
    assert image["data"].shape == EMPIAR_SHAPE_ZYX[1:]
    assert image["data"].dtype == np.uint8
    assert (image["data"] >= 55).all()  # between the slice's EstimatedMax and EstimatedMin, which stand swapped
    assert (image["data"] <= 123).all()
    assert image["data"].std() > 3
    assert tags[".ImageList.2.ImageTags.Meta Data.Dimension info.2.Scale"] == 50.0
    assert tags[".ImageList.2.ImageTags.SBFSEM.Record.Slice thickness"] == 50.0


def test_the_archives_record_says_the_sizes_of_the_sample(look_alikes: Path) -> None:
    record = json.loads((look_alikes / "http/www.ebi.ac.uk/empiar/api/entry/11759/index.json").read_text())
    imageset = record["EMPIAR-11759"]["imagesets"][0]
    assert (imageset["image_height"], imageset["image_width"]) == ("275", "274")
    assert record["EMPIAR-11759"]["experiment_type"] == "SBF-SEM"


def test_tifffile_reads_the_epfl_stack_and_finds_no_resolution(look_alikes: Path) -> None:
    import tifffile

    with tifffile.TiffFile(look_alikes / unquote(EPFL)) as tiff:
        assert tiff.asarray().shape == EPFL_SHAPE_ZYX
        assert len(tiff.pages) == EPFL_SHAPE_ZYX[0]
        page = tiff.pages[7]
        assert isinstance(page, tifffile.TiffPage)
        assert "XResolution" not in page.tags
        assert page.tags["PageNumber"].value == (7, EPFL_SHAPE_ZYX[0])
        assert page.tags["RowsPerStrip"].value == 4


def test_the_two_u2os_stacks_are_one_volume_cut_two_ways(look_alikes: Path) -> None:
    import tifffile

    with (
        tifffile.TiffFile(look_alikes / U2OS.format("xy")) as xy,
        tifffile.TiffFile(look_alikes / U2OS.format("xz")) as xz,
    ):
        assert xy.byteorder == ">"
        assert xy.imagej_metadata is not None
        assert xy.imagej_metadata["spacing"] == 0.02
        assert "unit=\\u00B5m" in xy.pages[0].aspage().description
        assert xy.pages[0].aspage().resolution == (50.0, 50.0)
        assert xy.asarray().shape == U2OS_SHAPE_ZYX
        assert np.array_equal(xz.asarray(), xy.asarray().transpose(1, 0, 2))


def test_zarr_reads_nine_levels_of_jrc_with_all_their_chunks(look_alikes: Path) -> None:
    import zarr

    group = zarr.open_group(look_alikes / JRC, mode="r", zarr_format=2)
    levels = [array for _, array in sorted(group.arrays())]
    assert [array.name for array in levels] == [f"/s{number}" for number in range(9)]
    assert levels[0].shape == JRC_SHAPE_ZYX
    assert {str(array.dtype) for array in levels} == {"int16"}
    assert all(array.nchunks_initialized == array.nchunks for array in levels)
    fine = np.asarray(levels[0][:2, :2, :2]).astype(int)
    assert np.asarray(levels[1][0, 0, 0]) == fine.sum() // 8


def test_mrcfile_and_zarr_agree_on_the_tomogram_and_the_mask(look_alikes: Path) -> None:
    import mrcfile
    import zarr

    stems = [look_alikes / CRYOET / "CanonicalTomogram/TS_0001"]
    stems.append(look_alikes / CRYOET / "Annotations/102-cytoplasm-1.0_segmentationmask")
    for stem in stems:
        with mrcfile.open(stem.with_name(stem.name + ".mrc")) as mrc:
            assert mrc.data.shape == CRYOET_SHAPE_ZYX
            assert mrc.voxel_size.z == pytest.approx(13.48)
            assert mrc.header.rms == pytest.approx(mrc.data.std(dtype=np.float64))
            level = zarr.open_array(stem.with_name(stem.name + ".zarr") / "0", mode="r", zarr_format=2)
            assert np.array_equal(np.asarray(level), mrc.data)
        assert mrcfile.validate(stem.with_name(stem.name + ".mrc"))


def test_the_points_lie_in_the_tomogram_and_are_as_many_as_their_record_says(look_alikes: Path) -> None:
    folder = look_alikes / CRYOET / "Annotations"
    lines = (folder / "101-cytosolic_ribosome-1.0_point.ndjson").read_text().splitlines()
    record = json.loads((folder / "101-cytosolic_ribosome-1.0.json").read_text())
    assert len(lines) == record["object_count"] == CRYOET_N_POINTS
    for place in (json.loads(line)["location"] for line in lines):
        assert all(0 < place[axis] < size for axis, size in zip("zyx", CRYOET_SHAPE_ZYX, strict=True))


def test_visor_holds_other_pixels_in_every_stack_and_channel(look_alikes: Path) -> None:
    import zarr

    level = np.asarray(zarr.open_array(look_alikes / VISOR / "0", mode="r", zarr_format=2))
    assert level.shape == (2, 2, *VISOR_SHAPE_ZYX)
    assert level.dtype == np.uint16
    assert len({level[stack, channel].tobytes() for stack in range(2) for channel in range(2)}) == 4


def test_the_made_up_em_is_dark_where_two_labels_meet(look_alikes: Path) -> None:
    import tifffile

    em, labels = (tifffile.imread(look_alikes / LABELS / name) for name in ("em.tif", "labels.tif"))
    assert em.shape == labels.shape == LABELS_SHAPE_ZYX
    meets = labels[:, :, 1:] != labels[:, :, :-1]
    assert em[:, :, 1:][meets].mean() < em[:, :, 1:][~meets].mean() - 40
    assert len(np.unique(labels)) > 30


class TestHemibrain:
    """The jpeg volume over HTTP, as the bucket answers it."""

    URL = "gs://neuroglancer-janelia-flyem-hemibrain/emdata/clahe_yz/jpeg"

    def test_tensorstore_reads_texture_beside_a_blank_margin(self, sample_settings: Settings) -> None:
        import tensorstore as ts

        with sample.serving(sample_settings) as origin:
            kvstore = {"driver": "http", "base_url": locate(self.URL, origin).url + "/"}
            spec: dict[str, Any] = {"driver": "neuroglancer_precomputed", "kvstore": kvstore}
            volume = ts.open(spec, read=True).result()
            assert volume.shape == (*reversed(HEMIBRAIN_SHAPE_ZYX), 1)
            box = volume[:64, 100:164, 100:164, 0].read().result()
        assert box[:HEMIBRAIN_BLANK_MARGIN_X].max() == 0
        assert box[HEMIBRAIN_BLANK_MARGIN_X:].std() > 10

    # What cloud-volume imports warns of what it would like to find installed beside it.
    @pytest.mark.filterwarnings("ignore::ImportWarning", "ignore::DeprecationWarning", "ignore::FutureWarning")
    def test_cloud_volume_reads_the_same_and_knows_three_scales_of_8_nm(self, sample_settings: Settings) -> None:
        from cloudvolume import CloudVolume

        with sample.serving(sample_settings) as origin:
            volume = CloudVolume("precomputed://" + locate(self.URL, origin).url, progress=False, parallel=1)
            assert [list(scale["resolution"]) for scale in volume.info["scales"]] == [3 * [8], 3 * [16], 3 * [32]]
            assert volume.info["scales"][0]["encoding"] == "jpeg"
            box = np.asarray(volume[64:128, 64:128, 64:128])
        assert box.dtype == np.uint8
        assert box.std() > 10
