"""Exports as the cryoET portal's tree: clean, honest about what nobody witnessed, and back again without a loss."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
import pytest
from holding import hold

from em_assets import layouts, open_volume
from em_assets.errors import FormatError
from em_assets.layouts.cryoet_places import place_of
from em_assets.layouts.cryoet_register import entry_of
from em_assets.layouts.cryoet_schema import CLASSES, known
from em_assets.layouts.interface import Exported, Options
from em_assets.sample.mrc import mrc_bytes
from em_assets.sample.zarr_v2 import BLOSC_LZ4, pyramid, space_axes, write_array, write_group
from em_assets.settings import Settings

PORTAL_DOCUMENTS = {
    "dataset_metadata.json": "Dataset",
    "tomogram_metadata.json": "Tomogram",
    "102_cytoplasm_1.0.json": "Annotation",
    "101_cytosolic_ribosome_1.0.json": "Annotation",
}


@pytest.fixture(scope="module")
def exported(held_settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., tuple[Path, Exported]]:
    """Name of a dataset, options → the folder of its export and what was said; once each."""
    done: dict[tuple[str, Options], tuple[Path, Exported]] = {}

    def run(name: str, **options: bool) -> tuple[Path, Exported]:
        key = (name, Options(**options))
        if key not in done:
            place = tmp_path_factory.mktemp("cryoet")
            (said,) = layouts.export([name], held_settings, "cryoet", place, key[1])
            done[key] = (place / said.entries[0] if said.entries else place, said)
        return done[key]

    return run


def document(tree: Path, name: str) -> dict[str, Any]:
    (path,) = tree.rglob(name)
    found: dict[str, Any] = json.loads(path.read_text())
    return found


@pytest.mark.parametrize("name", ["epfl_hippocampus", "u2os_chromatin", "cryoet_10001"])
def test_the_validator_finds_nothing(
    name: str, exported: Callable[..., tuple[Path, Exported]], validate: Callable[..., list[str]]
) -> None:
    tree, said = exported(name)
    assert said.refused == ()
    assert validate("cryoet", str(tree)) == []


def test_voxels_that_are_no_cubes_are_refused_with_the_reason(exported: Callable[..., tuple[Path, Exported]]) -> None:
    place, said = exported("empiar_11759")
    assert list(place.iterdir()) == []
    assert "50 × 7.99825 × 7.99825 nm" in said.refused[0]
    assert "--resample-isotropic" in said.refused[0]


def test_on_request_they_are_resampled_and_the_documents_say_so(
    exported: Callable[..., tuple[Path, Exported]], validate: Callable[..., list[str]], held_settings: Settings
) -> None:
    tree, said = exported("empiar_11759", resample_isotropic=True)
    assert validate("cryoet", str(tree)) == []
    tomogram = document(tree, "tomogram_metadata.json")
    assert tomogram["voxel_spacing"] == pytest.approx(79.98250424861908)
    assert tomogram["processing"] == "filtered"
    assert "linear interpolation" in tomogram["processing_software"]
    assert "resampled from 50" in document(tree, "dataset_metadata.json")["dataset_description"]
    assert tomogram["size"]["z"] == int(open_volume("empiar_11759", settings=held_settings).shape[0] * 50 / 7.9982505)
    assert "resampled" in said.notes[0]


def test_both_files_hold_the_voxels_and_coarser_levels_their_means(
    exported: Callable[..., tuple[Path, Exported]], held_settings: Settings
) -> None:
    tree, _ = exported("epfl_hippocampus")
    expected = open_volume("epfl_hippocampus", settings=held_settings)[...]
    with mrcfile.open(next(tree.rglob("em.mrc")), permissive=False) as map_:
        assert map_.data.dtype == np.int16
        np.testing.assert_array_equal(map_.data, expected)
        assert float(map_.header.dmean) == pytest.approx(float(expected.mean()), rel=1e-6)
    written = open_volume(next(tree.rglob("em.zarr")))
    assert written.voxel_size_zyx_nm == pytest.approx((5, 5, 5))
    np.testing.assert_array_equal(written[...], expected)
    assert [level.shape_zyx[0] for level in written.levels] == [-(-len(expected) // 2**level) for level in range(3)]


def test_what_nobody_witnessed_is_said_in_the_description(exported: Callable[..., tuple[Path, Exported]]) -> None:
    tree, _ = exported("epfl_hippocampus")
    dataset = document(tree, "dataset_metadata.json")
    assert [author["name"] for author in dataset["authors"]] == ["A. Lucchi", "Y. Li", "P. Fua"]
    assert dataset["dates"]["release_date"] in dataset["dataset_description"]
    for said in ("Unknown", "NON_FIDUCIAL", "raw", "tomogram_version is 1", "offset is 0", "Licence: unknown"):
        assert said in dataset["dataset_description"]
    assert not list(tree.rglob("TiltSeries"))
    assert not list(tree.rglob("Frames"))


def test_an_identifier_is_given_once_and_to_what_is_written_only(
    exported: Callable[..., tuple[Path, Exported]], held_settings: Settings, tmp_path: Path
) -> None:
    tree, _ = exported("u2os_chromatin")
    assert entry_of("u2os_chromatin", held_settings).identifier == int(tree.name) < 10_000
    other = Settings(store=tmp_path / "store")
    assert [entry_of(name, other).identifier for name in ("b", "a", "b")] == [1, 2, 1]


@pytest.fixture(scope="module")
def returned(
    exported: Callable[..., tuple[Path, Exported]], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Settings, Path]:
    """Settings of a store that holds what went out, and its tree."""
    tree, folder = exported("cryoet_10001")[0], tmp_path_factory.mktemp("returned")
    described = layouts.describe_tree(str(tree), "cryoet", "returned")
    (folder / "returned.toml").write_text(described.toml)
    settings = Settings(store=folder / "store", datasets=folder)
    hold("returned", settings)
    return settings, tree


def test_the_round_trip_keeps_every_voxel(returned: tuple[Settings, Path], held_settings: Settings) -> None:
    for before, after in (("tomogram", "TS_0001"), ("cytoplasm", "TS_0001_cytoplasm")):
        one = open_volume("cryoet_10001", volume=before, settings=held_settings)
        other = open_volume("returned", volume=after, settings=returned[0])
        assert (one.dtype, one.voxel_size_zyx_nm, one.content) == (other.dtype, other.voxel_size_zyx_nm, other.content)
        np.testing.assert_array_equal(one[...], other[...])


@pytest.mark.parametrize("name", PORTAL_DOCUMENTS)
def test_the_round_trip_keeps_all_that_the_schema_knows_and_names_the_rest(
    name: str,
    returned: tuple[Settings, Path],
    held_settings: Settings,
    exported: Callable[..., tuple[Path, Exported]],
    tmp_path: Path,
) -> None:
    raw = held_settings.raw_dir("cryoet_10001") / "files"
    (before,) = raw.rglob(name.replace("102_cytoplasm_", "102-cytoplasm-").replace("101_cytosolic_ribosome_", "101-*-"))
    came = json.loads(before.read_text())
    expected = known(CLASSES[PORTAL_DOCUMENTS[name]], came)
    layouts.export(["returned"], returned[0], "cryoet", tmp_path)
    assert document(tmp_path / "10001", name) == expected.document
    notes = "\n".join(exported("cryoet_10001")[1].notes)
    assert all(key in notes for key in expected.dropped)
    tags = held_settings.metadata_dir("cryoet_10001") / "original_tags.parquet"
    kept = set(_column(tags, "path"))
    assert all(any(path == key or path.startswith(f"{key}.") for path in kept) for key in expected.dropped)


def test_points_and_the_viewers_state_go_out_as_they_came(
    exported: Callable[..., tuple[Path, Exported]], held_settings: Settings
) -> None:
    tree, raw = exported("cryoet_10001")[0], held_settings.raw_dir("cryoet_10001") / "files"
    for name, before in (("101_*_point.ndjson", "101-*_point.ndjson"), ("neuroglancer_config.json",) * 2):
        assert next(tree.rglob(name)).read_bytes() == next(raw.rglob(before)).read_bytes()


def test_a_tilt_series_that_came_in_goes_out_unchanged(
    exported: Callable[..., tuple[Path, Exported]], tmp_path: Path, validate: Callable[..., list[str]]
) -> None:
    tree = tmp_path / "10001"
    shutil.copytree(exported("cryoet_10001")[0], tree)
    add_tilt_series(tree / "TS_0001")
    (tmp_path / "back.toml").write_text(layouts.describe_tree(str(tree), "cryoet", "back").toml)
    settings = Settings(store=tmp_path / "store", datasets=tmp_path)
    hold("back", settings)
    (said,) = layouts.export(["back"], settings, "cryoet", tmp_path / "out")
    assert said.refused == ()
    assert validate("cryoet", str(tmp_path / "out" / "10001")) == []
    files = [path for name in ("TiltSeries", "Frames") for path in (tree / "TS_0001" / name).rglob("*")]
    for path in (path for path in files if path.is_file()):
        out = tmp_path / "out" / "10001" / path.relative_to(tree)
        assert out.read_bytes() == path.read_bytes()


def add_tilt_series(run: Path) -> None:
    """Give a run a tilt series of three tilts and two frames, made up for this test."""
    series, spacing = run / "TiltSeries", 13.48
    tilts = np.arange(3 * 16 * 16, dtype=np.int16).reshape(3, 16, 16)
    datasets = []
    for number, level in enumerate(pyramid(tilts, 3, (1, 2))):
        write_array(series / "TS_0001.zarr" / str(number), level, level.shape, BLOSC_LZ4)
        scale = [spacing, spacing * 2**number, spacing * 2**number]
        transformation = {"type": "scale", "scale": scale}
        datasets.append({"path": str(number), "coordinateTransformations": [transformation]})
    multiscale = {"version": "0.4", "name": "/", "axes": space_axes("angstrom"), "datasets": datasets}
    write_group(series / "TS_0001.zarr", {"multiscales": [multiscale]})
    (series / "TS_0001.mrc").write_bytes(mrc_bytes(tilts, spacing, "made up"))
    (series / "TS_0001.rawtlt").write_text("-3\n0\n3\n")
    (series / "tiltseries_metadata.json").write_text(json.dumps(TILT_SERIES, indent=2))
    frames = run / "Frames"
    frames.mkdir()
    shutil.copy(series / "TS_0001.mrc", frames / "TS_0001_000.mrc")
    shutil.copy(series / "TS_0001.mrc", frames / "Gain_reference.mrc")
    (frames / "frame_acquisition_order.json").write_text('[{"acquisition_order": 0}]')


TILT_SERIES = {
    "acceleration_voltage": 300000,
    "camera": {"manufacturer": "Gatan", "model": "K2 Summit"},
    "data_acquisition_software": "SerialEM",
    "is_aligned": False,
    "microscope": {"manufacturer": "TFS", "model": "Krios"},
    "microscope_optical_setup": {"energy_filter": "GIF Quantum LS"},
    "pixel_spacing": 13.48,
    "spherical_aberration_constant": 2.7,
    "tilt_axis": 84.7,
    "tilt_range": {"min": -3, "max": 3},
    "tilt_series_quality": 4,
    "tilt_step": 3,
    "tilting_scheme": "Dose symmetric from 0.0 degrees",
    "total_flux": 122,
}


@pytest.mark.parametrize(
    ("path", "section", "number"),
    [
        ("R/Tomograms/VoxelSpacing13.480/CanonicalTomogram/R.zarr/0/0/0/0", "tomogram", None),
        ("R/Reconstructions/VoxelSpacing3.456/Tomograms/100/R.mrc", "tomogram", "100"),
        ("R/Reconstructions/VoxelSpacing3.456/Annotations/7/foo-1.0.json", "annotation", "7"),
        ("R/Gains/run1_gain.mrc", "frames", None),
        ("R/Images/photo.png", "other", None),
    ],
)
def test_a_path_says_what_a_file_is(path: str, section: str, number: str | None) -> None:
    place = place_of(path)
    assert (place.section, place.number, place.run) == (section, number, "R")


def test_a_document_is_cut_down_to_its_class() -> None:
    named = {"name": "actin", "id": "GO:0005884"}
    given = {
        "annotation_object": named | {"ontology": "GO"},
        "annotation_method": "by hand",
        "method_type": "manual",
        "authors": [{"name": "A. B.", "ORCID": "none"}, {"email": "a@b.c"}],
        "dates": {"deposition_date": "2023-04-01", "release_date": "2023-04-01", "last_modified_date": "2023-04-01"},
        "files": [{"format": "mrc", "path": "a.mrc"}],
        "version": "not a number",
    }
    found = known(CLASSES["Annotation"], given)
    assert found.missing == ()
    assert found.document["authors"] == [{"name": "A. B."}]
    assert found.document["annotation_object"] == named
    assert found.dropped == ("annotation_object.ontology", "authors.0.ORCID", "authors.1", "files.0", "version")
    assert "annotation_object" in known(CLASSES["Annotation"], {"version": 1}).missing[0]


def test_points_outside_their_tomogram_write_nothing(held_settings: Settings, tmp_path: Path) -> None:
    settings = Settings(store=tmp_path / "store", origin="sample")
    shutil.copytree(held_settings.store / "raw/cryoet_10001", settings.store / "raw/cryoet_10001")
    for folder in ("metadata", "volumes"):
        shutil.copytree(
            held_settings.store / folder / "cryoet_10001", settings.store / folder / "cryoet_10001", symlinks=True
        )
    (points,) = settings.raw_dir("cryoet_10001").rglob("*_point.ndjson")
    points.write_text('{"type": "point", "location": {"x": 1, "y": 2, "z": 99999}}\n')
    with pytest.raises(FormatError, match=r"line 1: the point .* lies outside its tomogram"):
        layouts.export(["cryoet_10001"], settings, "cryoet", tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def _column(path: Path, name: str) -> list[str]:
    import pyarrow.parquet as pq

    return [str(value) for value in pq.read_table(path, columns=[name])[name].to_pylist()]
