"""Annotated points become a table."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from em_assets.catalog.points import points_path, write_points
from em_assets.catalog.schemas import POINTS
from em_assets.errors import FormatError
from em_assets.model import RawFile
from em_assets.settings import Settings

LINES = """\
{"type": "point", "location": {"x": 1, "y": 2, "z": 3}}

{"location": {"x": 4.5, "y": 5, "z": 6}, "xyz_rotation_matrix": [[1, 0, 0], [0, 1, 0], [0, 0, 1]]}
{"type": "instancePoint", "location": {"x": 7, "y": 8, "z": 9}, "instance_id": 12}
"""


def hold_points(tmp_path: Path, lines: str) -> tuple[Settings, list[RawFile]]:
    settings = Settings(store=tmp_path)
    files = settings.raw_dir("dataset") / "files"
    files.mkdir(parents=True)
    (files / "a_point.ndjson").write_text(lines)
    row = RawFile(path="a_point.ndjson", url="a", size_bytes=1, sha256="0", validator=None, source=0)
    return settings, [row]


def test_each_line_is_a_row(tmp_path: Path) -> None:
    settings, files = hold_points(tmp_path, LINES)
    assert write_points("dataset", files, settings) == 3
    table = pq.read_table(points_path("dataset", settings))
    assert table.schema.equals(POINTS.arrow)
    assert table.select(["z", "y", "x"]).to_pylist()[1] == {"z": 6.0, "y": 5.0, "x": 4.5}
    assert table["instance_id"].to_pylist() == [None, None, 12]
    assert table["rotation_xyz"].to_pylist()[1] == "[[1, 0, 0], [0, 1, 0], [0, 0, 1]]"


@pytest.mark.parametrize("line", ["{", "[]", '{"location": {"x": 1}}', '{"location": {"x": 1, "y": 2, "z": NaN}}'])
def test_a_line_that_is_no_point_is_named(tmp_path: Path, line: str) -> None:
    settings, files = hold_points(tmp_path, LINES + line + "\n")
    with pytest.raises(FormatError, match="line 5"):
        write_points("dataset", files, settings)
    assert not points_path("dataset", settings).exists()


def test_a_dataset_without_points_has_no_table(tmp_path: Path) -> None:
    settings, files = hold_points(tmp_path, LINES)
    write_points("dataset", files, settings)
    assert write_points("dataset", [], settings) == 0
    assert not points_path("dataset", settings).exists()
