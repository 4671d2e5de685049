"""What archives say reaches the volume that is meant, and the registry's own records agree with its files."""

import json
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest

from em_assets.datasets import Dataset, read_toml
from em_assets.datasets.opening import RawVolume, raw_units
from em_assets.datasets.records import archive_witnesses
from em_assets.errors import FormatError
from em_assets.formats import open_path
from em_assets.model import RawFile, Source
from em_assets.sources import source_prefixes

REPOSITORY = "https://archive.org/idr0001-someone/"


@pytest.fixture
def dataset() -> Dataset:
    """Two stacks of one experiment, and the archive's study file and annotation."""
    stacks = [Source(url=f"{REPOSITORY}experimentB/{plane}.tif", volume=plane) for plane in ("xy", "xz")]
    records = [Source(url=f"{REPOSITORY}{name}", archive="idr") for name in RECORDS]
    return Dataset(name="mine", title="Mine", sources=(*stacks, *records))


RECORDS = {
    "idr0001-study.txt": "Study Title\tA study\nStudy License\tCC BY 4.0\nExperiment Number\t1\n"
    "Comment[IDR Experiment Name]\tidr0001-someone/experimentA\nExperiment Data DOI\t10.1/a\nExperiment Number\t2\n"
    "Comment[IDR Experiment Name]\tidr0001-someone/experimentB\nExperiment Data DOI\t10.1/b\n",
    "idr0001-experimentB-annotation.csv": "Image Name,Characteristics [Organism]\nxy.tif,Homo sapiens\n"
    "z.tif,Mus musculus\n",
}


@pytest.fixture
def held(dataset: Dataset, tmp_path: Path) -> tuple[RawFile, ...]:
    """Both stacks and both records, as a fetch leaves them."""
    import tifffile

    rows = []
    for index, (source, prefix) in enumerate(zip(dataset.sources, source_prefixes(dataset.sources), strict=True)):
        name = unquote(source.url.rsplit("/", 1)[1])
        path = tmp_path / "files" / prefix / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if source.archive:
            path.write_text(RECORDS[name])
        else:
            tifffile.imwrite(path, np.zeros((3, 4, 5), np.uint8), photometric="minisblack")
        size = path.stat().st_size
        rows.append(
            RawFile(path=prefix + name, url=source.url, size_bytes=size, sha256="", validator=None, source=index)
        )
    return tuple(rows)


def volumes(tmp_path: Path) -> list[RawVolume]:
    return [
        RawVolume(plane, "em", None, open_path(tmp_path / f"files/{plane}/{plane}.tif")[0], None, None, 1)
        for plane in ("xy", "xz")
    ]


def test_each_statement_reaches_the_volume_that_it_is_about(
    dataset: Dataset, held: tuple[RawFile, ...], tmp_path: Path
) -> None:
    study, annotation = archive_witnesses(dataset, tmp_path, held, volumes(tmp_path))
    assert study[0] == f"{REPOSITORY}idr0001-study.txt"
    assert {(one.volume, one.field, one.value) for one in study[1]} == {
        (None, "title", "A study"),
        (None, "licence", "CC BY 4.0"),
        (None, "doi", "10.1/b"),
    }
    assert [(one.volume, one.value) for one in annotation[1]] == [("xy", "Homo sapiens")]


def test_a_record_is_no_file_with_tags(dataset: Dataset, held: tuple[RawFile, ...], tmp_path: Path) -> None:
    assert [label for label, _ in raw_units(dataset, tmp_path, held)] == ["xy/xy.tif", "xz/xz.tif"]


def test_a_record_that_is_gone_or_broken_is_named(dataset: Dataset, held: tuple[RawFile, ...], tmp_path: Path) -> None:
    record = tmp_path / "files/archive_idr/idr0001-study.txt"
    record.write_bytes(b"Study Title\t\xff")
    with pytest.raises(FormatError, match=r"archive_idr/idr0001-study\.txt: UTF-8 text expected"):
        archive_witnesses(dataset, tmp_path, held, [])
    record.unlink()
    with pytest.raises(FormatError, match=r"idr0001-study\.txt: in the manifest and not on the disk"):
        archive_witnesses(dataset, tmp_path, held, [])


def test_the_real_entry_of_empiar_differs_from_what_its_slices_were_seen_to_say(shared: Path) -> None:
    from em_assets.sources.archives import ARCHIVES

    document = (shared / "data/archives/empiar/EMPIAR-11759.json").read_bytes()
    assert json.loads(document)
    said = {one.field: one.value for one in ARCHIVES["empiar"].witnesses("EMPIAR-11759.json", document)}
    toml = Path(__file__).parents[2] / "em_assets/datasets/empiar_11759.toml"
    recorded = {one.field: one.value for one in read_toml(toml).recorded}
    assert (said["shape_zyx"], recorded["shape_zyx"]) == ([16, 5632, 5628], [16, 5500, 5496])
    assert (said["instrument"], recorded["instrument"]) == ("FEI Magellan400", "FEI Quanta")
    assert said["dtype"] == recorded["dtype"]
