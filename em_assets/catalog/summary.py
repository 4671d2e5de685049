"""`METADATA_SUMMARY.md`: the catalog as the two tables that people of the field know, values and fields."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from em_assets.catalog.categories import categories
from em_assets.settings import PUBLIC, SAMPLE

if TYPE_CHECKING:
    import pyarrow as pa

UNKNOWN = "unknown"
ABSENT = "N/A"
MOST_FILES = 6
"""Files, or series of files, that one cell names before it counts the rest."""


def metadata_summary(tables: "Mapping[str, pa.Table]") -> str:
    """The summary as Markdown, from the catalog's tables `datasets`, `volumes` and `tags`."""
    datasets, volumes = tables["datasets"], tables["volumes"]
    origins = sorted({str(origin) for origin in datasets["origin"].to_pylist()})
    parts = [
        "# Metadata summary",
        *(_origin_note(origin) for origin in origins),
        f"{_count(datasets.num_rows, 'dataset')}, {_count(volumes.num_rows, 'volume')}, "
        f"{_count(tables['tags'].num_rows, 'original tag')}. Unknown stays unknown: "
        "no value here is a reader's default.",
        "## Values",
        "One row a volume. Chunks and compressor are the source's own; "
        f"{ABSENT}: the source has none, or does not say.",
        _values(volumes),
        "## Fields",
        "A category is the first name of a tag's path; a dataset counts once, however many of its files carry it. "
        "`*` stands for the digits in which the files of a series differ.",
        _fields(tables["tags"]),
    ]
    return "\n\n".join(parts) + "\n"


def collapse_series(names: Iterable[str]) -> list[str]:
    """File names, those that differ in digits alone as one: `slice_0000` … `slice_0015` are `slice_00**`."""
    series: dict[str, list[str]] = {}
    for name in sorted(set(names)):
        series.setdefault(re.sub(r"\d+", "0", name), []).append(name)
    return [_pattern(members) for members in series.values()]


def _origin_note(origin: str) -> str:
    if origin == SAMPLE:
        return (
            "> **Origin: sample.** The pixels, and every size that follows from them, are made up for trying the "
            "platform. They are not the published data."
        )
    return "Origin: what the datasets' own addresses hold." if origin == PUBLIC else f"Origin: the mirror {origin}"


def _values(volumes: "pa.Table") -> str:
    rows = volumes.to_pylist()
    n_volumes = Counter(row["dataset"] for row in rows)
    heading = ("Dataset", "Size [voxels, z×y×x]", "Resolution [nm, z×y×x]", "DataType", "Chunks", "Compressor")
    body = [
        (
            row["dataset"] if n_volumes[row["dataset"]] == 1 else f"{row['dataset']} / {row['volume']}",
            _triple([row[f"shape_{axis}"] for axis in "zyx"]),
            _triple([row[f"voxel_size_{axis}_nm"] for axis in "zyx"]),
            row["dtype"] or UNKNOWN,
            row["source_chunks"] or ABSENT,
            row["source_compressor"] or ABSENT,
        )
        for row in rows
    ]
    return _markdown(heading, body)


def _fields(tags: "pa.Table") -> str:
    body = []
    for category, in_datasets in categories(tags).items():
        files = "; ".join(f"{name}: {_named(files)}" for name, files in in_datasets.items())
        body.append((category, str(len(in_datasets)), files))
    return _markdown(("Category", "Datasets", "Present in"), body)


def _named(files: Sequence[str]) -> str:
    names = [f"`{name}`" for name in collapse_series(files)]
    further = len(names) - MOST_FILES
    return ", ".join(names) if further <= 0 else f"{', '.join(names[:MOST_FILES])} and {further} more"


def _pattern(members: Sequence[str]) -> str:
    """One name for names that are equal but for their digits: `*` for each digit that varies."""
    pieces = [re.split(r"(\d+)", name) for name in members]
    return "".join(_varying(column) for column in zip(*pieces, strict=True))


def _varying(column: Sequence[str]) -> str:
    if len(set(column)) == 1:
        return column[0]
    if len({len(piece) for piece in column}) > 1:
        return "*"
    return "".join(digits[0] if len(set(digits)) == 1 else "*" for digits in zip(*column, strict=True))


def _triple(values: Sequence[float | None]) -> str:
    if all(value is None for value in values):
        return UNKNOWN
    return "×".join("?" if value is None else f"{value:.7g}" for value in values)


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _markdown(heading: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    lines = [heading, ["---"] * len(heading), *rows]
    return "\n".join("| " + " | ".join(_cell(value) for value in line) + " |" for line in lines)


def _cell(value: Any) -> str:
    return " ".join(str(value).split()).replace("|", "\\|")
