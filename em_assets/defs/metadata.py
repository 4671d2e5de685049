"""How facts are shown in the Dagster UI: pictures, byte counts, paths, small tables."""

import base64
from collections.abc import Mapping, Sequence

import dagster as dg

ORIGIN_NOTE = {"sample": "SAMPLE: made-up pixels, for trying the platform only", "public": "public"}


def picture(png: bytes) -> dg.MarkdownMetadataValue:
    """A PNG that the UI shows inside the event; it strips plain `<img>`, so this is Markdown with a data URL."""
    return dg.MetadataValue.md(f"![preview](data:image/png;base64,{base64.b64encode(png).decode()})")


def origin_badge(origin: str) -> str:
    """What the UI says of where the data come from, so that nobody takes made-up pixels for a brain."""
    return ORIGIN_NOTE.get(origin, f"mirror: {origin}")


def size(n_bytes: int) -> str:
    """Bytes for a reader: `3.35 GB (3353674357 bytes)`; decimal units, as archives use them."""
    value, unit = float(n_bytes), "bytes"
    for larger in ("kB", "MB", "GB", "TB"):
        if value < 1000:
            break
        value, unit = value / 1000, larger
    return f"{n_bytes} bytes" if unit == "bytes" else f"{value:.3g} {unit} ({n_bytes} bytes)"


def markdown_table(heading: Sequence[str], rows: Sequence[Mapping[str, object]]) -> dg.MarkdownMetadataValue:
    """A small table; `|` inside a cell is escaped."""
    lines = [" | ".join(heading), " | ".join("---" for _ in heading)]
    lines += [" | ".join(_cell(row.get(name)) for name in heading) for row in rows]
    return dg.MetadataValue.md("\n".join(f"| {line} |" for line in lines))


def turned_table(rows: Sequence[Mapping[str, object]], heading: str) -> dg.MarkdownMetadataValue:
    """The same turned round: a line a field, a column a row; `heading` names the columns."""
    if not rows:
        return dg.MetadataValue.md("none")
    names = [str(row[heading]) for row in rows]
    fields = [field for field in rows[0] if field != heading]
    turned = [{"field": field} | {name: row[field] for name, row in zip(names, rows, strict=True)} for field in fields]
    return markdown_table(["field", *names], turned)


def _cell(value: object) -> str:
    return "" if value is None else str(value).replace("|", "\\|").replace("\n", " ")


def bullets(lines: Sequence[str]) -> dg.MarkdownMetadataValue:
    """A list, one line each."""
    return dg.MetadataValue.md("\n".join(f"- {_cell(line)}" for line in lines))
