"""Tables and numbers as people read them in a terminal; whole and unwrapped where the output is no terminal."""

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any


def show_rows(rows: Sequence[Mapping[str, Any]], *, is_json: bool = False, title: str | None = None) -> None:
    """Print rows on stdout: a table, which is never wrapped or cut where that is no terminal, or a JSON list."""
    if is_json:
        print_json(list(rows))
    elif sys.stdout.isatty():
        _show_in_colour(rows, title)
    else:
        sys.stdout.write(_as_text(rows, title))


def _show_in_colour(rows: Sequence[Mapping[str, Any]], title: str | None) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for name in rows[0] if rows else ():
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell(value)) for value in row.values()))
    Console().print(table)


def _as_text(rows: Sequence[Mapping[str, Any]], title: str | None) -> str:
    """Columns that line up, two spaces between them, one line a row."""
    cells = [list(rows[0]), *([cell(value) for value in row.values()] for row in rows)] if rows else []
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ["  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip() for line in cells]
    rule = ["  ".join("-" * width for width in widths)] if rows else ["none"]
    return "\n".join([*([title] if title else []), *lines[:1], *rule, *lines[1:], "", ""])


def print_json(value: object) -> None:
    """Print a value on stdout as JSON; paths and dates as their text."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False, default=str) + "\n")


def cell(value: object) -> str:
    """One value: nothing for None, four figures for a float or all before its point, ` × ` between those of a shape."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.0f}" if 1e4 <= abs(value) < 1e15 else f"{value:.4g}"
    if isinstance(value, list | tuple) and value and all(isinstance(item, int | float | None) for item in value):
        return " × ".join("?" if item is None else cell(item) for item in value)
    return str(value)


def voxel_size(voxel_size_zyx_nm: Sequence[float | None] | None) -> str:
    """`50 × 7.998 × 7.998 nm`; an axis that nobody witnessed is `?`."""
    return "unknown" if not voxel_size_zyx_nm or not any(voxel_size_zyx_nm) else f"{cell(list(voxel_size_zyx_nm))} nm"


def size(n_bytes: int | None) -> str:
    """`3.35 GB`: decimal units, as the archives use them."""
    if n_bytes is None:
        return ""
    value = float(n_bytes)
    for unit in ("bytes", "kB", "MB", "GB", "TB"):
        if value < 1000:
            return f"{value:.3g} {unit}" if unit != "bytes" else f"{n_bytes} bytes"
        value /= 1000
    return f"{value:.3g} PB"


def voxels_shown() -> Callable[[int, int], None] | None:
    """What shows done and all voxels as a line on stderr that grows; None where that is no terminal."""
    if not sys.stderr.isatty():
        return None

    def show(done: int, total: int) -> None:
        sys.stderr.write(f"\r{done / total:4.0%} of {total} voxels{chr(10) if done == total else ''}")
        sys.stderr.flush()

    return show


@contextmanager
def working(on: str) -> Iterator[Callable[[str], None]]:
    """A turning line on stderr for as long as something takes, where that is a terminal; what is given changes it."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task(escape(on))
        yield lambda what: bars.update(task, description=escape(what))
