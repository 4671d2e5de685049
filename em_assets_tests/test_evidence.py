"""Claims of every kind become one record, and what disagrees is shown."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from em_assets.datasets import Dataset
from em_assets.datasets.opening import RawVolume
from em_assets.errors import EvidenceError
from em_assets.evidence import Resolution, claims_of, resolutions, resolve
from em_assets.evidence.fields import FIELDS
from em_assets.evidence.findings import findings
from em_assets.formats.volume import UNKNOWN_VOXEL_SIZE, SourceLevel, SourceVolume
from em_assets.model import FIELD_NAMES, ZYX, Claim, PartialFloatZYX, RawFile, Source, Statement, Witness

SLICES = tuple(f"slice_{number:04}.dm3" for number in range(16))


def says(field: str, value: Any, **further: Any) -> Statement:
    return Statement(field=field, value=value, at="https://example.org/about.html", **further)


def a_dataset(*, source: Source | None = None, **further: Any) -> Dataset:
    return Dataset(
        name="stack", title="A stack", sources=(source or Source(url="https://example.org/data/"),), **further
    )


def a_volume(
    name: str = "em",
    files: Sequence[str] = SLICES,
    shape_zyx: ZYX = (16, 275, 276),
    voxel_size_zyx_nm: PartialFloatZYX = UNKNOWN_VOXEL_SIZE,
) -> RawVolume:
    level = SourceLevel(shape_zyx, voxel_size_zyx_nm, read_box=lambda _, shape: np.ones(shape, np.uint8))
    source = SourceVolume(name, "dm", np.dtype("uint8"), (level,), tuple(files))
    return RawVolume(name, "em", None, source, (1, 275, 276), None, 1)


def a_witness(field: str, value: Any, unit: str | None = None, locator: str = "Dimension.0.Scale") -> Witness:
    return Witness(field, value, unit, locator, str(value))


def calibrated(z: float = 50.0) -> list[Witness]:
    """What each slice says of its voxels, in the units that DM3 files mix."""
    return [
        a_witness("voxel_size_z_nm", z, "nm"),
        a_witness("voxel_size_y_nm", 0.007998250424861908, "µm"),
        a_witness("voxel_size_x_nm", 7.998250424861908, "nm"),
    ]


def decided(dataset: Dataset, claims: list[Claim], field: str, volume: str = "em") -> Resolution:
    (found,) = [
        one for one in resolutions(dataset, [volume], claims, "public") if one.field == field and one.volume == volume
    ]
    return found


def test_the_file_goes_before_the_publisher_and_the_conflict_shows_both() -> None:
    dataset = a_dataset(says=(says("voxel_size_zyx_nm", [8, 8, 8]),))
    claims = claims_of(dataset, [(name, calibrated()) for name in SLICES], [a_volume()], "public")
    (record,), conflicts = resolve(dataset, [a_volume()], claims, "public")
    assert record.voxel_size_zyx_nm == pytest.approx((50, 7.998250424861908, 7.998250424861908))
    assert [(c.field, c.value, c.other_value, c.is_settled) for c in conflicts] == [("voxel_size_z_nm", 50, 8, True)]
    assert (conflicts[0].said_by, conflicts[0].other_said_by) == ("slice_0000.dm3", "https://example.org/about.html")


def test_every_number_has_its_witness_and_those_who_agree_are_counted() -> None:
    dataset = a_dataset(says=(says("voxel_size_zyx_nm", [50, 8, 8]),))
    claims = claims_of(dataset, [(name, calibrated()) for name in SLICES], [a_volume()], "public")
    found = decided(dataset, claims, "voxel_size_x_nm")
    assert found.claim is not None
    assert (found.claim.said_by, found.claim.locator) == ("slice_0000.dm3", "Dimension.0.Scale")
    assert (found.n_agree, found.conflicts) == (17, ())
    assert found.rule.startswith("file > ")


def test_two_files_that_disagree_leave_the_field_unknown() -> None:
    dataset = a_dataset()
    witnesses = [(name, calibrated(z=8.0 if name == SLICES[3] else 50.0)) for name in SLICES]
    claims = claims_of(dataset, witnesses, [a_volume()], "public")
    (record,), conflicts = resolve(dataset, [a_volume()], claims, "public")
    assert record.voxel_size_zyx_nm[0] is None
    assert record.voxel_size_zyx_nm[1] == pytest.approx(7.998250424861908)
    assert [(c.is_settled, c.other_said_by) for c in conflicts] == [(False, "slice_0003.dm3")]


def test_many_wrong_slices_are_one_conflict() -> None:
    dataset = a_dataset()
    witnesses = [(name, calibrated(z=8.0 if name > SLICES[7] else 50.0)) for name in SLICES]
    claims = claims_of(dataset, witnesses, [a_volume()], "public")
    _, conflicts = resolve(dataset, [a_volume()], claims, "public")
    assert [conflict.other_said_by for conflict in conflicts] == ["slice_0008.dm3 and 7 more"]


def test_the_publisher_alone_is_enough_where_the_file_is_silent() -> None:
    dataset = a_dataset(says=(says("voxel_size_zyx_nm", [5, 5, 5]), says("technique", "fib sem")))
    claims = claims_of(dataset, [], [a_volume()], "public")
    (record,), conflicts = resolve(dataset, [a_volume()], claims, "public")
    assert record.voxel_size_zyx_nm == (5.0, 5.0, 5.0)
    assert (record.technique, record.title, conflicts) == ("FIB-SEM", "A stack", [])


def test_what_nobody_says_stays_unknown() -> None:
    dataset = a_dataset()
    (record,), conflicts = resolve(dataset, [a_volume()], claims_of(dataset, [], [a_volume()], "public"), "public")
    assert record.voxel_size_zyx_nm == (None, None, None)
    assert (record.technique, record.organism, record.licence, record.doi) == (None, None, None, None)
    assert (record.shape_zyx, record.dtype, record.source_chunks) == ((16, 275, 276), "uint8", "[1, 275, 276]")
    assert conflicts == []


@pytest.mark.parametrize(
    ("value", "unit", "expected_nm"),
    [
        (8, None, 8.0),
        (13.48, "angstrom", 1.348),
        (0.05, "µm", 50.0),
        (5e-6, "mm", 5.0),
        (8, "1/nm", None),
        (0, "nm", None),
    ],
    ids=str,
)
def test_a_statements_unit_goes_before_the_fields_name(
    value: float, unit: str | None, expected_nm: float | None
) -> None:
    dataset = a_dataset(says=(says("voxel_size_z_nm", value, unit=unit),))
    (record,), _ = resolve(dataset, [a_volume()], claims_of(dataset, [], [a_volume()], "public"), "public")
    assert record.voxel_size_zyx_nm[0] == pytest.approx(expected_nm)


def test_a_files_number_without_a_unit_is_no_calibration() -> None:
    """A DM3 thumbnail says 1.0 and no unit."""
    dataset = a_dataset()
    claims = claims_of(dataset, [(SLICES[0], [a_witness("voxel_size_x_nm", 1.0)])], [a_volume()], "public")
    (record,), _ = resolve(dataset, [a_volume()], claims, "public")
    assert record.voxel_size_zyx_nm == (None, None, None)


def test_a_null_axis_says_nothing_and_a_text_of_two_numbers_is_an_error() -> None:
    dataset = a_dataset(says=(says("voxel_size_zyx_nm", [None, 4, 4]),))
    (record,), _ = resolve(dataset, [a_volume()], claims_of(dataset, [], [a_volume()], "public"), "public")
    assert record.voxel_size_zyx_nm == (None, 4.0, 4.0)
    with pytest.raises(
        EvidenceError, match=r"stack: https://example.org/about.html: .* needs 3 numbers.*: mend stack.toml: "
    ):
        claims_of(a_dataset(says=(says("voxel_size_zyx_nm", "4 x 4 nm"),)), [], [a_volume()], "public")


def test_one_slices_shape_is_not_its_volumes() -> None:
    dataset = a_dataset()
    witnesses = [(name, [a_witness("shape_zyx", [1, 275, 276])]) for name in SLICES]
    (record,), conflicts = resolve(
        dataset, [a_volume()], claims_of(dataset, witnesses, [a_volume()], "public"), "public"
    )
    assert (record.shape_zyx, conflicts) == ((16, 275, 276), [])


def test_each_file_speaks_of_its_own_volume() -> None:
    volumes = [a_volume("xy", ["xy.tif"]), a_volume("xz", ["xz.tif"])]
    witnesses = [
        ("xy.tif", [a_witness("voxel_size_z_nm", 0.02, "\\u00B5m")]),
        ("xz.tif", [a_witness("voxel_size_z_nm", 30, "nm")]),
    ]
    dataset = a_dataset()
    records, conflicts = resolve(dataset, volumes, claims_of(dataset, witnesses, volumes, "public"), "public")
    assert [(record.volume, record.voxel_size_zyx_nm[0]) for record in records] == [("xy", 20.0), ("xz", 30.0)]
    assert conflicts == []


def test_a_file_that_belongs_to_no_volume_decides_nothing() -> None:
    """A cut-out keeps the `info` of the whole volume beside it."""
    dataset = a_dataset()
    witnesses = [("source", [a_witness("voxel_size_z_nm", 16, "nm"), a_witness("dtype", "uint64")])]
    claims = claims_of(dataset, witnesses, [a_volume(files=["crop.zarr"])], "public")
    (record,), conflicts = resolve(dataset, [a_volume(files=["crop.zarr"])], claims, "public")
    assert (record.voxel_size_zyx_nm[0], record.dtype, conflicts) == (None, "uint8", [])
    assert [claim.volume for claim in claims if claim.said_by == "source"] == [None, None]


@pytest.mark.parametrize(
    ("origin", "n_conflicts"), [("public", 2), ("sample", 0), ("/a/mirror", 2)], ids=["public", "sample", "mirror"]
)
def test_the_samples_own_size_is_not_held_against_what_is_said_of_the_real_one(origin: str, n_conflicts: int) -> None:
    dataset = a_dataset(
        says=(says("shape_zyx", [16, 5632, 5628]),),
        recorded=(says("shape_zyx", [16, 5500, 5496]), says("dtype", "|u1")),
    )
    claims = claims_of(dataset, [], [a_volume()], origin)
    (record,), conflicts = resolve(dataset, [a_volume()], claims, origin)
    assert (record.shape_zyx, record.origin, len(conflicts)) == ((16, 275, 276), origin, n_conflicts)


def test_a_cut_out_is_not_held_against_the_whole_nor_against_how_it_is_kept_here() -> None:
    dataset = a_dataset(
        source=Source(kind="cutout", url="gs://b/em", shape_zyx=(16, 275, 276)),
        says=(says("shape_zyx", [41408, 39552, 34432]),),
    )
    volume = a_volume(files=["crop.zarr"])
    claims = claims_of(dataset, [("crop.zarr", [a_witness("source_chunks", [64, 64, 64])])], [volume], "public")
    (record,), conflicts = resolve(dataset, [volume], claims, "public")
    assert (record.shape_zyx, record.source_chunks, conflicts) == ((16, 275, 276), "[1, 275, 276]", [])


def test_files_and_bytes_are_counted_for_the_dataset_and_for_each_volume(tmp_path: Path) -> None:
    """One XML file lies beside the sixteen slices: 17 are held, 16 are the volume."""
    files = [
        RawFile(path=name, url="u", size_bytes=100, sha256="0" * 64, validator=None, source=0)
        for name in (*SLICES, "notes.xml")
    ]
    dataset = a_dataset(recorded=(says("n_files", 16),))
    volume = a_volume(files=[str(tmp_path / name) for name in SLICES])
    claims = claims_of(dataset, [], [volume], "public", files=files, files_dir=tmp_path)
    (record,), conflicts = resolve(dataset, [volume], claims, "public")
    assert (record.n_files, record.source_bytes) == (16, 1600)
    assert [(c.volume, c.field, c.value, c.other_value) for c in conflicts] == [(None, "n_files", 17, 16)]


def test_a_group_that_is_the_whole_tree_owns_every_file(tmp_path: Path) -> None:
    files = [
        RawFile(path=path, url="u", size_bytes=10, sha256="0" * 64, validator=None, source=0)
        for path in (".zattrs", "s0/.zarray", "s0/0/0/0")
    ]
    volume = a_volume(files=[str(tmp_path)])
    witnesses = [("fibsem-int16", [a_witness("voxel_size_z_nm", 2.96, "nanometer")])]
    dataset = a_dataset()
    claims = claims_of(dataset, witnesses, [volume], "public", files=files, files_dir=tmp_path)
    (record,), _ = resolve(dataset, [volume], claims, "public")
    assert (record.n_files, record.source_bytes, record.voxel_size_zyx_nm[0]) == (3, 30, 2.96)


def test_a_conflict_about_the_whole_dataset_is_listed_once() -> None:
    dataset = a_dataset(says=(says("technique", "TEM"),), recorded=(says("technique", "FIB-SEM"),))
    volumes = [a_volume("xy", ["xy.tif"]), a_volume("xz", ["xz.tif"])]
    records, conflicts = resolve(dataset, volumes, claims_of(dataset, [], volumes, "public"), "public")
    assert [record.technique for record in records] == ["TEM", "TEM"]
    assert [(c.volume, c.value, c.other_value) for c in conflicts] == [(None, "TEM", "FIB-SEM")]


@pytest.mark.parametrize(
    ("field", "one", "other"),
    [
        ("doi", "10.6019/EMPIAR-11759", "https://doi.org/10.6019/empiar-11759"),
        ("technique", "SBF-SEM", "SBFSEM"),
        ("organism", "Danio rerio", "danio  rerio"),
        ("dtype", "uint8", ">u1"),
        ("title", "A stack", "Another title of it"),
        ("voxel_size_x_nm", 7.998250424861908, 8),
    ],
    ids=lambda value: str(value)[:16],
)
def test_the_same_thing_in_other_words_is_no_conflict(field: str, one: Any, other: Any) -> None:
    dataset = a_dataset(says=(says(field, one),), recorded=(says(field, other),))
    _, conflicts = resolve(dataset, [a_volume()], claims_of(dataset, [], [a_volume()], "public"), "public")
    assert conflicts == []


def test_a_field_that_no_record_has_is_kept_as_a_claim() -> None:
    dataset = a_dataset(says=(says("instrument", "FEI Magellan400"),))
    claims = claims_of(dataset, [], [a_volume()], "sample")
    assert [(c.value, c.kind, c.locator, c.origin) for c in claims if c.field == "instrument"] == [
        ("FEI Magellan400", "publisher", "stack.toml: says.0", "sample")
    ]


def test_the_order_of_the_files_does_not_show() -> None:
    dataset = a_dataset(says=(says("voxel_size_zyx_nm", [8, 8, 8]),))
    witnesses = [(name, calibrated()) for name in SLICES]
    one = claims_of(dataset, witnesses, [a_volume()], "public")
    other = claims_of(dataset, witnesses[::-1], [a_volume()], "public")
    assert one == other
    assert resolve(dataset, [a_volume()], one, "public") == resolve(dataset, [a_volume()], other[::-1], "public")


def test_the_names_of_the_fields_are_those_that_have_a_rule() -> None:
    assert tuple(sorted(FIELD_NAMES)) == tuple(sorted(FIELDS))


def test_an_assumed_content_contradicts_nobody_and_says_that_it_is_assumed() -> None:
    volume = replace(a_volume(), is_content_witnessed=False)
    said = a_dataset(says=(says("content", "labels"),))
    (record,), conflicts = resolve(said, [volume], claims_of(said, [], [volume], "public"), "public")
    assert (record.content, conflicts) == ("labels", [])
    assumed = decided(a_dataset(), claims_of(a_dataset(), [], [volume], "public"), "content")
    assert assumed.claim is not None
    assert (assumed.value, assumed.claim.locator) == ("em", "no source says; em is assumed")


def test_a_taxon_follows_from_the_organism_with_a_witness() -> None:
    dataset = a_dataset(says=(says("organism", "mouse"),))
    found = decided(dataset, claims_of(dataset, [], [a_volume()], "public"), "organism_taxon")
    assert found.claim is not None
    assert (found.value, found.claim.kind) == (10090, "derived")


@pytest.mark.parametrize(("field", "value"), [("technique", "telepathy"), ("favourite_colour", "blue")])
def test_a_statement_that_decides_nothing_is_found(field: str, value: str) -> None:
    claims = claims_of(a_dataset(says=(says(field, value),)), [], [a_volume()], "public")
    assert [one.claim.field for one in findings(claims)] == [field]
