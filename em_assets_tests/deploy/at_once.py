"""Runs of several datasets at once, in children of one warm process: `python at_once.py NAME,NAME NAME …`.

Each child is a process of its own and fetches the datasets of one argument in turn, as `em-assets fetch` does; imports
are paid once. DAGSTER_HOME and EM_ASSETS_STORE come from the environment; how each ended is printed as JSON.
"""

import contextlib
import io
import json
import os
import sys
import traceback
from typing import Any

# What a fetch imports on its way, once for all children: none of these begins a thread.
import alembic.command  # noqa: F401
import dagster_postgres  # noqa: F401
import h5py  # noqa: F401
import imagecodecs  # noqa: F401
import zarr  # noqa: F401

from em_assets.definitions import defs
from em_assets.fetching import fetch_datasets
from em_assets.settings import load


def fetched(names: list[str]) -> dict[str, Any]:
    """Exit code of `em-assets fetch`, and what it wrote."""
    settings, written = load(), io.StringIO()
    with contextlib.redirect_stdout(written), contextlib.redirect_stderr(written):
        try:
            code = fetch_datasets(names, settings, is_json=False)
        except Exception:  # noqa: BLE001 - whatever it was, the test shows it
            code = 70
            traceback.print_exc()
    return {"datasets": names, "code": code, "said": written.getvalue()}


def child(names: list[str]) -> tuple[int, int]:
    """A child that fetches datasets: its number, and where it says how that ended."""
    reading, writing = os.pipe()
    number = os.fork()
    if number:
        os.close(writing)
        return number, reading
    os.close(reading)
    with os.fdopen(writing, "w") as answer:
        json.dump(fetched(names), answer)
    os._exit(0)


if __name__ == "__main__":
    assert defs  # loaded before the children are made, so that each has it already
    ends = []
    for number, reading in [child(names.split(",")) for names in sys.argv[1:]]:
        with os.fdopen(reading) as answer:
            ends.append(json.load(answer))
        os.waitpid(number, 0)
    sys.stdout.write(json.dumps(ends))
