"""A dataset's annotated points as one table."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from em_assets.catalog.schemas import POINTS
from em_assets.catalog.tables import table_of_rows, write_parts
from em_assets.formats.documents import points
from em_assets.model import RawFile
from em_assets.settings import Settings
from em_assets.sources.manifest import FILES

if TYPE_CHECKING:
    import pyarrow as pa

SUFFIX = ".ndjson"


def write_points(dataset: str, files: Sequence[RawFile], settings: Settings) -> int:
    """Write `metadata/<dataset>/points.parquet` and count its rows; no table for a dataset without files of points.

    Raises
    ------
    FormatError
        A line of a file is no point.
    """
    path = points_path(dataset, settings)
    named = [file.path for file in files if file.path.casefold().endswith(SUFFIX)]
    if not named:
        path.unlink(missing_ok=True)
        return 0
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = settings.raw_dir(dataset) / FILES
    return write_parts((_table(dataset, folder, file) for file in sorted(named)), path, POINTS)


def points_path(dataset: str, settings: Settings) -> Path:
    """Where the points of a dataset lie."""
    return settings.metadata_dir(dataset) / f"{POINTS.name}.parquet"


def _table(dataset: str, folder: Path, file: str) -> "pa.Table":
    return table_of_rows(POINTS, list(_rows(dataset, file, points(str(folder / file)))))


def _rows(dataset: str, file: str, found: Iterator[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    for point in found:
        kind, instance, rotation = (point.get(key) for key in ("type", "instance_id", "xyz_rotation_matrix"))
        yield {
            "dataset": dataset,
            "file": file,
            "type": None if kind is None else str(kind),
            **{axis: float(point["location"][axis]) for axis in "zyx"},
            "instance_id": instance if type(instance) is int else None,
            "rotation_xyz": None if rotation is None else json.dumps(rotation),
        }
