"""The look-alikes beside the demo's, as libraries read them that had no part in writing them."""

import json
from pathlib import Path

import numpy as np
import pytest

from em_assets.sample.cremi import FILE
from em_assets.sample.neuroglancer import _LOOK_ALIKES
from em_assets.sample.openorganelle import BUCKET, HELA_GROUP, LIVER_GROUP, RECORDS
from em_assets.sample.platynereis import CONTAINER
from em_assets.sample.sizes import CREMI_SHAPE_ZYX, CUTOUT_SHAPE_ZYX, MITOCHONDRIA_SHAPE_ZYX
from em_assets.sample.stacks import EPFL_FOLDER


def test_the_bytes_of_an_n5_block_are_as_its_specification_says(look_alikes: Path) -> None:
    """Mode 0, three dimensions, x first; values big-endian and packed by gzip: read without any library for N5."""
    import gzip
    import struct

    block = (look_alikes / "s3" / BUCKET / HELA_GROUP / "s0" / "1" / "0" / "0").read_bytes()
    assert struct.unpack(">HH3I", block[:16]) == (0, 3, 64, 64, 64)
    values = np.frombuffer(gzip.decompress(block[16:]), ">u2").reshape(64, 64, 64)
    depth = CUTOUT_SHAPE_ZYX[0]
    assert values[:depth].std() > 100
    assert not values[depth:].any()  # behind the volume's end


def test_openorganelles_groups_say_their_scales_in_every_way_that_its_readers_know(look_alikes: Path) -> None:
    group = json.loads((look_alikes / "s3" / BUCKET / HELA_GROUP / "attributes.json").read_text())
    assert group["pixelResolution"] == {"dimensions": [4.0, 4.0, 5.24], "unit": "nm"}
    levels = group["multiscales"][0]["datasets"]
    assert [level["path"] for level in levels] == ["s0", "s1", "s2"]
    assert levels[1]["transform"]["scale"] == [10.48, 8.0, 8.0]
    array = json.loads((look_alikes / "s3" / BUCKET / LIVER_GROUP / "s0" / "attributes.json").read_text())
    assert array["dimensions"] == list(CUTOUT_SHAPE_ZYX[::-1])
    assert (array["dataType"], array["transform"]["scale"]) == ("uint8", [8.0, 8.0, 8.0])


def test_openorganelles_records_equal_the_real_ones_but_for_what_is_the_samples_own(
    look_alikes: Path, shared: Path
) -> None:
    for name in ("jrc_hela-2", "jrc_mus-liver"):
        ours = json.loads((look_alikes / "http" / RECORDS / name / "manifest.json").read_text())
        real = json.loads((shared / "data/archives/openorganelle" / f"{name}.manifest.json").read_text())
        for key in ("title", "id", "DOI", "publications", "institution"):
            assert ours["metadata"][key] == real["metadata"][key]
        for part in ("imaging", "sample"):
            said = {key: value for key, value in ours["metadata"][part].items() if key != "description"}
            assert said == {key: real["metadata"][part][key] for key in said}
        for source, said in ours["sources"].items():
            assert said["url"] == real["sources"][source]["url"]
            assert said["transform"] == real["sources"][source]["transform"]
            assert said["contentType"] == real["sources"][source]["contentType"]
            assert said["displaySettings"]["invertLUT"] == real["sources"][source]["displaySettings"]["invertLUT"]


def test_the_larva_is_laid_out_as_bigdataviewer_does_it(look_alikes: Path) -> None:
    container = look_alikes / "http" / CONTAINER
    group = json.loads((container / "setup0/timepoint0/attributes.json").read_text())
    assert group["multiScale"] is True
    level = json.loads((container / "setup0/timepoint0/s1/attributes.json").read_text())
    assert level["downsamplingFactors"] == [2, 2, 1]


# What cloud-volume imports warns of what it would like to find installed beside it.
@pytest.mark.filterwarnings("ignore::ImportWarning", "ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("one", _LOOK_ALIKES, ids=lambda one: one.folder.split("/")[1])
def test_cloud_volume_reads_texture_at_the_finest_scale_that_holds_anything(look_alikes: Path, one) -> None:
    from cloudvolume import CloudVolume

    folder = look_alikes / "http" / one.folder
    volume = CloudVolume(f"precomputed://file://{folder}", mip=one.n_placeholders, progress=False, parallel=1)
    assert tuple(reversed([int(size) for size in volume.volume_size])) == CUTOUT_SHAPE_ZYX
    assert tuple(volume.scales[0]["resolution"]) == one.voxel_xyz_nm
    assert ("sharding" in volume.scales[0]) == one.is_sharded
    assert np.asarray(volume[:64, :64, :16]).std() > 10
    empty = [scale["key"] for scale in volume.scales[: one.n_placeholders]]
    assert [key for key in empty if (folder / key).exists()] == []


def test_cremis_file_has_its_three_volumes_and_membranes_where_neurons_meet(look_alikes: Path) -> None:
    import pyfive

    with pyfive.File(look_alikes / "http" / FILE) as file:
        raw, neurons, clefts = (file[f"volumes/{name}"] for name in ("raw", "labels/neuron_ids", "labels/clefts"))
        assert raw.shape == neurons.shape == clefts.shape == CREMI_SHAPE_ZYX
        assert [list(one.attrs["resolution"]) for one in (raw, neurons, clefts)] == [[40.0, 4.0, 4.0]] * 3
        meets = neurons[:][:, :, 1:] != neurons[:][:, :, :-1]
        assert raw[:][:, :, 1:][meets].mean() < raw[:][:, :, 1:][~meets].mean() - 20
        share = (clefts[:] != np.iinfo(np.uint64).max).mean()
        assert 0.001 < share < 0.2


def test_mitochondria_are_darker_than_what_is_around_them(look_alikes: Path) -> None:
    import tifffile

    folder = look_alikes / "http" / EPFL_FOLDER
    for part in ("training", "testing"):
        em, truth = (tifffile.imread(folder / f"{part}{end}.tif") for end in ("", "_groundtruth"))
        assert em.shape == truth.shape == MITOCHONDRIA_SHAPE_ZYX
        assert set(np.unique(truth)) == {0, 255}
        assert em[truth == 255].mean() < em[truth == 0].mean() - 20
