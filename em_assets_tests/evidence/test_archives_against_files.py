"""Every archive record at hand against the files that it speaks of: what contradicts them is found, what agrees is not.

The files' side is the golden dumps of the real ones: U2OS TIFF tags, the Zarr attributes of a bucket, DM3 slices.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from em_assets.datasets import Dataset
from em_assets.datasets.opening import RawVolume
from em_assets.evidence import claims_of, findings, resolve
from em_assets.formats import FORMATS, detect, read_tags
from em_assets.formats.volume import UNKNOWN_VOXEL_SIZE, SourceLevel, SourceVolume
from em_assets.model import ZYX, Claim, Conflict, PartialFloatZYX, Source, Witness
from em_assets.sample.tiff import imagej_parts
from em_assets.sources.archives import ARCHIVES, ArchiveWitness, assigned

IDR = "ftp://ftp.ebi.ac.uk/pub/databases/IDR/idr0086-miron-micrographs/20200610-ftp/experimentD/Miron_FIB-SEM/"
U2OS = "Figure_S3B_FIB-SEM_U2OS_20x20x20nm_{}.tif"
U2OS_SHAPES = {"xy": (184, 775, 1121), "xz": (775, 184, 1121)}
BUCKET = "s3://janelia-cosem-datasets/"

Record = tuple[str, Sequence[ArchiveWitness]]
Heard = tuple[list[Claim], list[Conflict]]


def a_dataset() -> Dataset:
    return Dataset(name="stack", title="A stack", sources=(Source(url="https://example.org/data/"),))


def a_volume(
    name: str, file: str, shape_zyx: ZYX, dtype: str, sizes: PartialFloatZYX = UNKNOWN_VOXEL_SIZE
) -> RawVolume:
    level = SourceLevel(shape_zyx, sizes, read_box=lambda _, shape: np.ones(shape, np.dtype(dtype)))
    source = SourceVolume(name, "tiff", np.dtype(dtype), (level,), (file,))
    return RawVolume(name, "em", None, source, None, None, 1)


def heard(
    volumes: Sequence[RawVolume], urls: dict[str, str], of_files: list[tuple[str, list[Witness]]], records: list[Record]
) -> Heard:
    """Claims and conflicts of files and records together."""
    said = assigned(records, {name: [url] for name, url in urls.items()})
    claims = claims_of(a_dataset(), of_files, volumes, "public", archive_witnesses=said)
    return claims, resolve(a_dataset(), volumes, claims, "public")[1]


def records_of(folder: Path, archive: str, names: Sequence[str]) -> list[Record]:
    return [(name, list(ARCHIVES[archive].witnesses(name, (folder / archive / name).read_bytes()))) for name in names]


def agreeing(claims: list[Claim], conflicts: list[Conflict]) -> set[str]:
    """Fields that the archive speaks of in a way that is read, and that nobody disputes."""
    unread = {one.claim.field for one in findings(claims)}
    return {one.field for one in claims if one.kind == "archive"} - {one.field for one in conflicts} - unread


@pytest.fixture(scope="module")
def archives(shared: Path) -> Path:
    return shared / "data" / "archives"


@pytest.fixture(scope="module")
def u2os(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, list[Witness]]]:
    """Both stacks at full size, with holes for pixels, and the tags that the golden dumps have."""
    folder, said = tmp_path_factory.mktemp("u2os"), []
    for cut, shape in U2OS_SHAPES.items():
        path = folder / U2OS.format(cut)
        with path.open("wb") as file:
            for offset, data in imagej_parts(shape, 1, 0.02, 0.02, "\\u00B5m", (36.0, 199.0)):
                file.seek(offset)
                file.write(data)
        said.append((path.name, list(detect(path).witnesses(list(read_tags(path))))))
    return said


@pytest.fixture(scope="module")
def idr(archives: Path, u2os: list[tuple[str, list[Witness]]]) -> Heard:
    names = [
        "idr0086-study.txt",
        *(f"idr0086-experimentD-{end}" for end in ("annotation.csv", "filePaths.tsv", "bulk.yml")),
    ]
    volumes = [a_volume(cut, U2OS.format(cut), shape, "uint8") for cut, shape in U2OS_SHAPES.items()]
    urls = {cut: f"{IDR}Miron_FIB-SEM_processed/{U2OS.format(cut)}" for cut in U2OS_SHAPES}
    return heard(volumes, urls, u2os, records_of(archives, "idr", names))


def test_what_idr_says_of_the_two_stacks_is_what_their_tags_say(idr: Heard) -> None:
    """20 nm in a name, 50 pixels a micrometre and a spacing of 0.02 in the file: one voxel size in three spellings."""
    claims, conflicts = idr
    assert conflicts == []
    assert agreeing(*idr) >= {
        "title", "description", "authors", "licence", "released_on", "doi", "citation", "sample_type", "technique",
        "organism", "organism_taxon", "sample", "voxel_size_z_nm", "voxel_size_y_nm", "voxel_size_x_nm",
    }  # fmt: skip
    assert [str(one) for one in findings(claims)] == []


def test_idrs_other_images_and_experiments_say_nothing_of_these(idr: Heard) -> None:
    """Eleven images of experiment D, HeLa cells and 4 nm among them, and three experiments of light microscopy."""
    of_archive = [claim for claim in idr[0] if claim.kind == "archive"]
    values = {(claim.field, str(claim.value)) for claim in of_archive}
    assert {value for field, value in values if field == "sample"} == {"U2OS"}
    assert {value for field, value in values if field == "technique"} == {"FIB-SEM"}
    assert {value for field, value in values if field == "doi"} == {"https://doi.org/10.17867/10000141d"}


def test_an_idr_name_of_another_size_is_a_conflict_with_the_tags(
    archives: Path, u2os: list[tuple[str, list[Witness]]]
) -> None:
    """The same record, read as if the name of the 4 nm image were this one's."""
    (name, said), *_ = records_of(archives, "idr", ["idr0086-experimentD-annotation.csv"])
    other = [one for one in said if one.volume is not None and "4x4x4nm" in one.volume]
    renamed = [one._replace(volume=U2OS.format("xy")) for one in other]
    volume = a_volume("xy", U2OS.format("xy"), U2OS_SHAPES["xy"], "uint8")
    _, conflicts = heard([volume], {"xy": f"{IDR}{U2OS.format('xy')}"}, u2os[:1], [(name, renamed)])
    assert {(one.field, one.value, one.other_value) for one in conflicts} == {
        (f"voxel_size_{axis}_nm", 20.0, 4.0) for axis in "zyx"
    }


ORGANELLES = {
    # Place in the bucket, voxel size z, y, x as the facts have it, and shape: the record's extent over that.
    "jrc_mus-liver": ("jrc_mus-liver/jrc_mus-liver.n5/em/fibsem-uint8", "uint8", (8.0, 8.0, 8.0), (8938, 12725, 12750)),
    "jrc_hela-2": ("jrc_hela-2/jrc_hela-2.n5/em/fibsem-uint16", "uint16", (5.24, 4.0, 4.0), (6298, 1500, 12000)),
}


def of_organelle(archives: Path, name: str, sizes: PartialFloatZYX | None = None) -> Heard:
    place, dtype, own, shape = ORGANELLES[name]
    volume = a_volume("em", place.rpartition("/")[2], shape, dtype, sizes or own)
    records = records_of(archives, "openorganelle", [f"{name}.metadata.json", f"{name}.manifest.json"])
    return heard([volume], {"em": BUCKET + place}, [], records)


@pytest.mark.parametrize("name", ORGANELLES)
def test_an_openorganelle_record_agrees_with_its_own_volume(name: str, archives: Path) -> None:
    claims, conflicts = of_organelle(archives, name)
    assert [(one.field, one.value, one.other_value) for one in conflicts] == []
    assert agreeing(claims, conflicts) >= {
        "title", "doi", "description", "organism", "sample", "sample_type", "content", "extent_zyx_nm", "acquired_at",
        "accelerating_voltage_kv", "voxel_size_z_nm", "voxel_size_y_nm", "voxel_size_x_nm",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "sizes", "fields"),
    [
        ("jrc_hela-2", (4.0, 4.0, 4.0), {"voxel_size_z_nm", "extent_zyx_nm"}),
        ("jrc_hela-2", (3.24, 4.0, 4.0), {"voxel_size_z_nm", "extent_zyx_nm"}),
        ("jrc_mus-liver", (4.0, 4.0, 4.0), {*(f"voxel_size_{axis}_nm" for axis in "zyx"), "extent_zyx_nm"}),
    ],
    ids=["z copied from xy", "another z", "half of the voxel"],
)
def test_an_openorganelle_record_contradicts_a_volume_of_another_size(
    name: str, sizes: PartialFloatZYX, fields: set[str], archives: Path
) -> None:
    _, conflicts = of_organelle(archives, name, sizes)
    assert {one.field for one in conflicts} == fields
    assert all(one.kind == "derived" and one.other_kind == "archive" and one.is_settled for one in conflicts)


def test_a_record_of_another_dataset_of_the_bucket_contradicts_the_zarr_that_it_is_held_against(
    archives: Path, shared: Path, tmp_path: Path
) -> None:
    """Somebody took the liver's record for the nucleus accumbens: species and tissue agree, the voxel does not."""
    dump: dict[str, Any] = json.loads((shared / "golden" / "jrc_mus_nacc_zarr_metadata.json").read_text())
    group = tmp_path / "fibsem-int16"
    for name, array in dump["children"].items():
        (group / name).mkdir(parents=True)
        sizes = {"shape": array["shape"], "chunks": array["chunks"], "dtype": "<i2", "zarr_format": 2}
        further = {"compressor": None, "fill_value": 0, "filters": None, "order": "C"}
        (group / name / ".zarray").write_text(json.dumps(sizes | further))
    (group / ".zgroup").write_text('{"zarr_format": 2}')
    (group / ".zattrs").write_text(json.dumps(dump["attrs"]))
    (source,) = FORMATS["ome_zarr"].open_volumes([str(group)])
    volume = RawVolume("em", "em", None, source, None, None, len(source.levels))
    said = list(FORMATS["ome_zarr"].witnesses(list(FORMATS["ome_zarr"].read_tags(str(group)))))
    records = records_of(archives, "openorganelle", ["jrc_mus-liver.metadata.json"])
    claims = claims_of(
        a_dataset(), [(group.name, said)], [volume], "public", files_dir=tmp_path, archive_witnesses=records
    )
    (record,), conflicts = resolve(a_dataset(), [volume], claims, "public")
    assert (record.shape_zyx, record.voxel_size_zyx_nm, record.source_n_levels) == (
        (564, 2520, 2596),
        (2.96, 4.0, 4.0),
        9,
    )
    assert {(one.field, one.value, one.other_value) for one in conflicts if one.field.startswith("voxel")} == {
        ("voxel_size_z_nm", 2.96, 8.0), ("voxel_size_y_nm", 4.0, 8.0), ("voxel_size_x_nm", 4.0, 8.0),
    }  # fmt: skip
    assert {one.field for one in conflicts if not one.field.startswith("voxel")} == {"extent_zyx_nm"}
    assert {"organism", "sample_type"} <= agreeing(claims, conflicts)


def test_what_empiar_has_right_is_no_conflict(archives: Path, shared: Path) -> None:
    """Of 19 statements 15 are true or free words; the rest is in `test_archive_records`."""
    paths = sorted((shared / "data/mirror_s005/empiar").rglob("*.dm3"))
    slices = [(path.name, list(detect(path).witnesses(list(read_tags(path))))) for path in paths]
    volume = a_volume("em", paths[0].name, (16, 5500, 5496), "uint8")
    claims, conflicts = heard(
        [volume], {"em": "https://x/em"}, slices[:1], records_of(archives, "empiar", ["EMPIAR-11759.json"])
    )
    assert agreeing(claims, conflicts) == {
        "title", "authors", "technique", "sample_type", "doi", "deposited_on", "released_on", "source_bytes",
        "citation", "description", "dtype", "voxel_size_z_nm", "accelerating_voltage_kv",
    }  # fmt: skip
