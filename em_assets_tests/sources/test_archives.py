"""What archives say of their datasets: every claim of the real records, and nothing made up from odd ones."""

import json
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from em_assets.errors import FormatError
from em_assets.sources.archives import ARCHIVES, MOST_RECORD_BYTES, ArchiveWitness, assigned
from em_assets.sources.archives.places import depth_in

ENTRY = {"title": "A stack", "imagesets": [{"details": "", "voxel_type": "UNSIGNED BYTE"}]}
STUDY = b"Study Title\tA study\nExperiment Number\t1\nExperiment Organism\tHomo sapiens\n"
ANNOTATION = "idr0001-experimentA-annotation.csv"


def said(archive: str, path: str, document: bytes | str | dict[str, Any] | list[Any]) -> list[ArchiveWitness]:
    if isinstance(document, dict | list):
        document = json.dumps(document)
    return list(ARCHIVES[archive].witnesses(path, document.encode() if isinstance(document, str) else document))


def of_file(archive: str, path: Path) -> list[ArchiveWitness]:
    return said(archive, path.name, path.read_bytes())


def values(witnesses: list[ArchiveWitness], volume: str | None = None) -> dict[str, Any]:
    return {one.field: one.value for one in witnesses if one.volume == volume}


def entry(**changed: object) -> list[ArchiveWitness]:
    return said("empiar", "entry.json", {"EMPIAR-1": ENTRY | changed})


def image_set(**keys: object) -> list[ArchiveWitness]:
    return entry(imagesets=[keys])


def test_the_empiar_entry_says_everything_with_a_pointer(shared: Path) -> None:
    found = of_file("empiar", shared / "data/archives/empiar/EMPIAR-11759.json")
    by_pointer = {(one.field, one.locator.rpartition("/")[2]): one for one in found}
    assert by_pointer[("shape_zyx", "0")].value == [16, 5632, 5628]
    assert by_pointer[("dtype", "voxel_type")][2:6] == (
        "uint8",
        None,
        "/EMPIAR-11759/imagesets/0/voxel_type",
        "UNSIGNED BYTE",
    )
    assert by_pointer[("source_bytes", "dataset_size")][2:6] == (
        1.2,
        "GB",
        "/EMPIAR-11759/dataset_size",
        "1.2 GB",
    )
    plain = values(found)
    assert (plain["deposited_on"], plain["released_on"]) == ("2023-11-01", "2024-01-15")
    assert (plain["technique"], plain["doi"], plain["sample_type"]) == ("SBF-SEM", "10.6019/EMPIAR-11759", "tissue")
    assert "organism" not in plain
    assert not any(one.is_unconfirmed for one in found)


def test_a_pixel_without_a_unit_stays_without_one_and_the_prose_beside_it_is_read(shared: Path) -> None:
    """80 is ångström in truth: the record does not say so, its own free text says 8 nm."""
    found = of_file("empiar", shared / "data/archives/empiar/EMPIAR-11759.json")
    sizes = {(one.field[11], one.value, one.unit) for one in found if one.field.startswith("voxel_size")}
    assert sizes == {("y", 80.0, None), ("x", 80.0, None), ("z", 50.0, "nm"), ("y", 8.0, "nm"), ("x", 8.0, "nm")}
    prose = {one.field: one for one in found if one.raw in ("1.9kV", "FEI Magellan400")}
    assert prose["instrument"].value == "FEI Magellan400"
    assert (prose["accelerating_voltage_kv"].value, prose["accelerating_voltage_kv"].unit) == (1.9, "kV")


def test_the_idr_study_says_the_finer_technique_and_each_experiment_its_own_doi(shared: Path) -> None:
    found = of_file("idr", shared / "data/archives/idr/idr0086-study.txt")
    study, last = values(found), values(found, "idr0086-miron-micrographs/experimentD")
    assert (study["licence"], study["released_on"]) == ("CC BY 4.0", "2020-07-22")
    assert study["authors"][-1] == "Schermelleh L"
    assert (last["technique"], last["organism"], last["organism_taxon"]) == ("FIB-SEM", "Homo sapiens", 9606)
    assert last["doi"].endswith("10000141d")
    assert values(found, "idr0086-miron-micrographs/experimentA")["organism"] is None  # two: whose image is whose?


def test_the_idr_tables_speak_of_each_image(shared: Path) -> None:
    folder = shared / "data/archives/idr"
    found = of_file("idr", folder / "idr0086-experimentD-annotation.csv")
    cube = values(found, "Figure_S3B_FIB-SEM_U2OS_20x20x20nm_xy.tif")
    assert (cube["sample"], cube["organism_taxon"], cube["voxel_size_z_nm"]) == ("U2OS", 9606, 20.0)
    flat = values(found, "Figure_1E_inset_FIB-SEM_HeLa_G1_4x4x3nm_xz.tif")
    assert flat["voxel_size_z_nm"] is None  # which of 4, 4 and 3 is z is not written
    assert found[0].locator == "row 2, column 3 (Characteristics [Organism])"
    files = of_file("idr", folder / "idr0086-experimentD-filePaths.tsv")
    assert len(files) == 11
    assert of_file("idr", folder / "idr0086-experimentD-bulk.yml")[0].value == "idr0086-experimentD-filePaths.tsv"


@pytest.mark.parametrize(("name", "spacing"), [("jrc_hela-2", 5.24), ("jrc_mus-liver", 8.0)])
def test_openorganelle_says_spacing_extent_and_the_images_doi(shared: Path, name: str, spacing: float) -> None:
    folder = shared / "data/archives/openorganelle"
    metadata = of_file("openorganelle", folder / f"{name}.metadata.json")
    by_field = {one.field: one for one in metadata}
    assert (by_field["voxel_size_z_nm"].value, by_field["voxel_size_z_nm"].unit) == (spacing, "nm")
    assert by_field["extent_zyx_nm"].unit == "µm"
    assert by_field["accelerating_voltage_kv"].is_unconfirmed
    assert sum(one.field == "doi" for one in metadata) == 1
    manifest = of_file("openorganelle", folder / f"{name}.manifest.json")
    assert {one[:4] for one in metadata if one.field != "extent_zyx_nm" and not isinstance(one.value, list)} <= {
        one[:4] for one in manifest if not isinstance(one.value, list)
    }
    assert all(one.value > 0 for one in manifest if one.field.startswith("voxel_size"))  # flipped axes too


def test_the_cryoet_tree_speaks_in_angstrom_and_volt(shared: Path) -> None:
    tree = shared / "data/cryoet/30001"
    found = {path: of_file("cryoet", path) for path in sorted(tree.rglob("*.json"))}
    tomogram = found[tree / "RUN1/Reconstructions/VoxelSpacing12.300/Tomograms/100/tomogram_metadata.json"]
    place = "30001/RUN1/Reconstructions/VoxelSpacing12.300/Tomograms/100/RUN1.zarr"
    assert values(tomogram, place)["shape_zyx"] == [500, 1016, 980]
    assert {one.unit for one in tomogram if one.field.startswith("voxel")} == {"angstrom"}
    tilts = found[tree / "RUN1/TiltSeries/100/tiltseries_metadata.json"]
    assert values(tilts, "30001/RUN1") == {"instrument": "TFS Krios", "accelerating_voltage_kv": 300.0}
    assert values(found[tree / "dataset_metadata.json"])["organism_taxon"] == 1111


def test_a_second_image_set_speaks_of_its_folder_and_not_of_the_dataset() -> None:
    found = entry(imagesets=[{"directory": f"data/{name}", "pixel_width": 4} for name in ("raw", "bin")])
    assert {one.volume for one in found if one.field == "voxel_size_x_nm"} == {"data/raw", "data/bin"}


def test_two_readings_in_one_text_are_none() -> None:
    found = image_set(
        details="8 nm/px in xy; the overview 40 nm/px in xy. 1.9 kV, later 2.5 kV. Zeiss Merlin, FEI Teneo."
    )
    assert {one.field for one in found} == {"title", "description"}


def test_a_number_of_images_is_no_z_unless_they_are_slices() -> None:
    sizes = {"image_height": "100", "image_width": 200, "num_images_or_tilt_series": 9}
    assert "shape_zyx" not in values(image_set(category="tilt series", **sizes))
    assert values(image_set(category="reconstructed volumes", **sizes))["shape_zyx"] == [9, 100, 200]


def test_other_types_than_usual_are_findings_without_a_value() -> None:
    found = {
        one.field: one
        for one in entry(title=["a"], authors="Wilsch", release_date="15/01/2024", dataset_size={"GB": 1})
    }
    assert (found["title"].value, found["title"].raw, found["title"].is_unconfirmed) == (None, '["a"]', True)
    assert found["authors"].value is None
    assert found["source_bytes"].value is None
    assert (found["released_on"].value, found["released_on"].is_unconfirmed) == ("15/01/2024", True)
    odd = values(image_set(pixel_width="1e999", pixel_height=True, image_width=-1, voxel_type=8))
    assert set(odd.values()) <= {None, "A stack"}
    assert values(image_set(voxel_type="12 BIT THING"))["dtype"] == "12 BIT THING"


def test_every_key_of_a_record_may_be_missing_or_of_another_type(shared: Path) -> None:
    """No record of odd values raises anything but our own error."""
    folder = shared / "data"
    records = {
        "empiar": json.loads((folder / "archives/empiar/EMPIAR-11759.json").read_text()),
        "openorganelle": json.loads((folder / "archives/openorganelle/jrc_mus-liver.manifest.json").read_text()),
        "cryoet": json.loads((folder / "cryoet/30001/dataset_metadata.json").read_text()),
    }
    n_tried = 0
    for archive, record in records.items():
        for spoilt in _spoilt(record):
            with suppress(FormatError):
                said(archive, "dataset_metadata.json", spoilt)
            n_tried += 1
    assert n_tried > 1000


def _spoilt(record: Any) -> list[Any]:
    found = []
    for keys in list(_places(record))[:400]:
        for odd in (None, 7, "text", [], [[1]], {"x": None}):
            copy = json.loads(json.dumps(record))
            node = copy
            for key in keys[:-1]:
                node = node[key]
            node[keys[-1]] = odd
            found.append(copy)
    return found


def _places(node: Any, at: tuple[Any, ...] = ()) -> Any:
    for key in range(len(node)) if isinstance(node, list) else list(node) if isinstance(node, dict) else []:
        yield (*at, key)
        yield from _places(node[key], (*at, key))


@pytest.mark.parametrize(
    ("archive", "path", "document", "reason"),
    [
        ("empiar", "e.json", b'{"EMPIAR-1": {"title": "\xe9"}}', "JSON expected"),
        ("empiar", "e.json", b"[" * 200_000, "nested too deeply"),
        ("empiar", "e.json", b"<html>not found</html>", "JSON expected"),
        ("empiar", "e.json", b'{"detail": "Not found."}', "one entry"),
        ("empiar", "e.json", b"[]", "one entry"),
        ("empiar", "e.json", b"1" * 10_000, "JSON expected"),
        ("empiar", "e.json", b" " * (MOST_RECORD_BYTES + 1), "at most"),
        ("openorganelle", "metadata.json", b'{"title": 1}', "`imaging` and `sample` expected"),
        ("cryoet", "tomogram_metadata.json", b'"text"', "'voxel_spacing' expected"),
        ("idr", "idr0001-study.txt", b"Study Title\t\xff\xfe", "at byte 12"),
        ("idr", "idr0001-study.txt", b"<html></html>", "lines of a study"),
        ("idr", ANNOTATION, b"a,b\n1,2\n", "'Image Name' expected"),
        ("idr", ANNOTATION, b"", "found nothing"),
        ("idr", ANNOTATION, b'Image Name\n"' + b"x" * 300_000, "no table"),
        ("idr", "idr0001-experimentA-bulk.yml", b"[" * 60_000, "no YAML"),
        ("idr", "idr0001-experimentA-bulk.yml", b"a: !!python/object/apply:os.getcwd []", "no YAML"),
        ("idr", "idr0001-experimentA-bulk.yml", b"a: 1\n" * 20_000, "at most"),
    ],
    ids=lambda value: value[:20] if isinstance(value, str) else "document",
)
def test_what_is_no_record_is_an_error_that_names_the_file(
    archive: str, path: str, document: bytes, reason: str
) -> None:
    begun = time.monotonic()
    with pytest.raises(FormatError, match=rf"^{path}: .*") as raised:
        said(archive, path, document)
    assert reason in str(raised.value)
    assert time.monotonic() - begun < 60


def test_a_yaml_that_multiplies_itself_stays_small() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 60)]
    assert said("idr", "idr0001-experimentA-bulk.yml", "\n".join([*lines, "path: files.tsv"]))[0].value == "files.tsv"


def test_a_huge_but_allowed_record_is_read_at_once() -> None:
    rows = "".join(f"image{n}_8x8x8nm.tif,Homo sapiens\n" for n in range(50_000))
    begun = time.monotonic()
    assert len(said("idr", ANNOTATION, f"Image Name,Characteristics [Organism]\n{rows}")) == 200_000
    text = "8 nm/px in x " * 100_000 + "9" * 100_000
    assert "voxel_size_x_nm" not in values(image_set(details=text))
    assert time.monotonic() - begun < 60


def test_raw_texts_are_cut_and_files_of_other_names_say_nothing() -> None:
    (title,) = (one for one in entry(title="x" * 100_000) if one.field == "title")
    assert len(title.raw) == 2000
    assert said("idr", "README.md", b"\xff") == said("cryoet", "points.ndjson", b"\xff") == []
    assert said("cryoet", "neuroglancer_config.json", {"layers": []}) == []


def test_the_nearest_record_speaks_of_a_volume() -> None:
    url = "ftp://archive.org/study1/2020/experimentB/a.tif"
    study = [witness(None, "s"), witness("study1/experimentA", "a"), witness("study1/experimentB", "b")]
    images = [witness("a.tif", "b"), witness("other.tif", "c")]
    kept = assigned([("study", study), ("images", images)], {"em": [url], "more": ["ftp://archive.org/study1/b.tif"]})
    assert [(address, [(one.volume, one.value) for one in said]) for address, said in kept] == [
        ("study", [("more", "s"), ("em", "b")]),
        ("images", [("em", "b")]),
    ]


def witness(place: str | None, value: str) -> ArchiveWitness:
    return ArchiveWitness(place, "doi", value, None, "/doi", value)


@pytest.mark.parametrize(
    ("place", "url", "depth"),
    [
        ("s3://bucket/data.n5/em/", "s3://bucket/data.n5/em/attributes.json", 3),
        ("10001/TS/a.zarr", "s3://bucket/10001/TS/a.zarr/.zattrs", 4),
        ("a b.tif", "https://host/a%20b.tif", 2),
        ("TS/10001", "s3://bucket/10001/TS/a.zarr", None),
        ("xy", "https://host/a_xy.tif", None),
        ("", "https://host/a.tif", None),
    ],
)
def test_a_place_is_found_by_whole_names_in_their_order(place: str, url: str, depth: int | None) -> None:
    assert depth_in(place, url) == depth
