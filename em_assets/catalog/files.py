"""The table `files`: every raw file that is held, which format reads it, and which volume it is part of."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from em_assets.catalog.schemas import FILES
from em_assets.catalog.tables import table_of_rows
from em_assets.model import RawFile

if TYPE_CHECKING:
    import pyarrow as pa


def files_table(
    dataset: str,
    origin: str,
    files: Iterable[RawFile],
    *,
    formats: Mapping[str, str],
    volumes: Mapping[str, Sequence[str]],
) -> "pa.Table":
    """Rows of `FILES`, sorted by path.

    Parameters
    ----------
    dataset, origin, files
        The manifest and whose it is.
    formats
        Path of each file or marked folder that a format reads, below the raw files → the format's name.
    volumes
        Name of each volume → the paths of the files or marked folders that it is made of.
    """
    owners: dict[str, list[str]] = {}
    for volume in sorted(volumes):
        for path in volumes[volume]:
            owners.setdefault(path, []).append(volume)
    rows = []
    for row in file_rows(dataset, origin, files):
        places = list(_places(row["path"]))
        row["format"] = next((formats[place] for place in places if place in formats), None)
        row["volume"] = "; ".join(volume for place in places for volume in owners.get(place, ())) or None
        rows.append(row)
    return table_of_rows(FILES, rows)


def file_rows(dataset: str, origin: str, files: Iterable[RawFile]) -> list[dict[str, Any]]:
    """The manifest as rows of `FILES`, sorted by path; format and volume are not there yet."""
    return [
        {"dataset": dataset, "origin": origin, **file.model_dump()}
        for file in sorted(files, key=lambda file: (file.path, file.source))
    ]


def _places(path: str) -> Iterator[str]:
    """The file itself, then the folders that it lies in, the nearest first."""
    pure = PurePosixPath(path)
    yield from map(str, (pure, *pure.parents))
