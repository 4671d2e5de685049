"""What a command's JSON is, without what differs from machine to machine."""

import json
import re
from pathlib import Path
from typing import Any

MOST_ITEMS = 2

VARYING = (
    "free_bytes",  # of this disk
    "size_bytes",  # of a page that others design
    "script",  # click's
)


def shortened(value: Any, folders: dict[str, Path]) -> Any:
    """A JSON value without what differs from machine to machine, long lists cut."""
    if isinstance(value, dict):
        return {key: "…" if key in VARYING else shortened(one, folders) for key, one in value.items()}
    if isinstance(value, list):
        kept = [shortened(one, folders) for one in value[:MOST_ITEMS]]
        is_row_of_numbers = all(isinstance(one, int | float | None) for one in value)
        if is_row_of_numbers or len(value) <= MOST_ITEMS:
            return value if is_row_of_numbers else kept
        return [*kept, f"… and {len(value) - MOST_ITEMS} more"]
    if isinstance(value, str):
        for name, folder in folders.items():
            value = value.replace(str(folder), name)
        value = re.sub(r"\b[0-9a-f]{16}\b", "GENERATION", value)  # changes with the writer of volumes
        return re.sub(r"127\.0\.0\.1:\d+[^\"' ]*", "127.0.0.1:PORT/…", value)
    return value


def as_snapshot(output: str, folders: dict[str, Path]) -> str:
    """A command's `--json` as a snapshot keeps it."""
    return json.dumps(shortened(json.loads(output), folders), indent=1, ensure_ascii=False) + "\n"
