"""Small documents beside a volume: their values as tags, and words for what is none."""

from pathlib import Path

import pytest

from em_assets.errors import FormatError, UnknownFormatError
from em_assets.formats import detect, detect_tagged, documents, read_tags

MDOC = """\
PixelSpacing = 3.3702
Voltage = 300
ImageSize = 3708 3838

[T = SerialEM: Digitized on a Krios]

[ZValue = 0]
TiltAngle = -0.005
DateTime = 28-Apr-18  11:38:54
"""


def written(folder: Path, name: str, text: str) -> str:
    (folder / name).write_text(text)
    return str(folder / name)


def test_serialems_notes_are_tags_and_witnesses(tmp_path: Path) -> None:
    tags = list(read_tags(written(tmp_path, "a.mdoc", MDOC)))
    values = {(tag.container, tag.path): tag.value for tag in tags}
    assert values["ZValue 0", "TiltAngle"] == -0.005
    assert values["header", "ImageSize"] == "3708 3838"
    assert values["titles", "5"] == "SerialEM: Digitized on a Krios"
    said = {(one.field, one.value, one.unit) for one in documents.witnesses(tags)}
    assert {("accelerating_voltage_kv", 300, "kV"), ("voxel_size_x_nm", 3.3702, "Å")} <= said


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("a.rawtlt", "-4.38\n0\n", -4.38),
        ("a.xf", "  0.029  1.0 -1.0 0.029 55.43 25.56\n", [0.029, 1.0, -1.0, 0.029, 55.43, 25.56]),
        ("a.aln", "# AreTomo\n 0 88.3\n", "AreTomo"),
        ("a_ctffind4.txt", "1 72249.28\n", [1, 72249.28]),
        ("a.csv", "run,name\nR1,actin\n", "R1"),
        ("a.json", '{"a": {"b": [1, 2]}}', [1, 2]),
        ("a.ndjson", '{"location": {"x": 1, "y": 2, "z": 3}}\n', 1),
    ],
)
def test_what_tilt_series_bring_along_becomes_tags(tmp_path: Path, name: str, text: str, value: object) -> None:
    path = written(tmp_path, name, text)
    assert next(iter(read_tags(path))).value == value
    assert detect_tagged(path) is documents
    with pytest.raises(UnknownFormatError):
        detect(path)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.mdoc", ""),
        ("a.mdoc", "no pairs here\n"),
        ("a.mdoc", "[ZValue = 0]\n"),
        ("a.tlt", "<html>\n"),
        ("a.xf", "1 2 nan\n"),
        ("a.json", "{"),
        ("a.json", "[" * 5000),
        ("a.ndjson", "[]\n"),
        ("a.rawtlt", " \n"),
    ],
)
def test_what_is_no_such_document_is_an_error_in_words_and_stops_no_dataset(
    tmp_path: Path, name: str, text: str
) -> None:
    path = written(tmp_path, name, text)
    with pytest.raises(FormatError, match=name):
        list(read_tags(path))
    assert not documents.is_whole(path)
