"""Runs of the graph in children of one warm process: imports are paid once, and every child is a real process.

Run as `python forking.py DATASET kills:N[:FIRST:STEP] crowd:N[:TIMES]`, with DAGSTER_HOME and EM_ASSETS_STORE in the
environment; what was found is printed as JSON.
"""

import hashlib
import importlib
import json
import os
import shutil
import signal
import sys
import threading
import tomllib
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from dagster import AssetKey, AssetRecordsFilter

from em_assets.definitions import defs
from em_assets.defs.home import instance
from em_assets.defs.runs import run_catalog, run_datasets
from em_assets.sample import serving
from em_assets.settings import load
from em_assets.sources import read_manifest
from em_assets.sources.manifest import FILES
from em_assets.sources.transfer import file_sha256

SETTINGS = load()
KEPT = "sample_sources"
SKIPPED = {KEPT, ".hosts", ".workers"}
WATCHED = {"open", "os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.link", "os.symlink", "sqlite3.connect"}
UNFINISHED = ("NOT_STARTED", "STARTING", "STARTED", "CANCELING")


def fetch(name: str) -> dict[str, Any]:
    """What `em-assets fetch` runs, and how it ended."""
    with instance(SETTINGS, say=lambda line: None) as dagster, serving(SETTINGS):
        (outcome,) = run_datasets([name], defs, dagster, before=lambda name: None)
        return {"is_failed": outcome.is_failed, "error": outcome.error, "is_catalogued": run_catalog(defs, dagster)}


def counted(name: str, die_at: int | None) -> int:
    """How many file operations below the home a fetch makes; at number `die_at` the process is killed."""
    count, home = 0, str(SETTINGS.dagster_home)

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal count
        if event in WATCHED and isinstance(arguments[0], str | Path) and str(arguments[0]).startswith(home):
            count += 1
            if count == die_at:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)
    fetch(name)
    return count


def in_child(work: Callable[[], Any]) -> Any:
    """What `work` returns in a child; None where the child was killed."""
    reading, writing = os.pipe()
    child = start(work, writing)
    os.close(writing)
    with os.fdopen(reading) as answer:
        text = answer.read()
    _, status = os.waitpid(child, 0)
    assert status in (0, signal.SIGKILL), f"a child ended with {status}"
    return json.loads(text) if text else None


def start(work: Callable[[], Any], writing: int) -> int:
    """A child that works and writes what came of it; its number."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        with os.fdopen(writing, "w") as answer:
            answer.write(json.dumps(work()))
        status = 0
    except BaseException:  # noqa: BLE001 - whatever it is, a child must not go on with its parent's work
        traceback.print_exc()
    finally:
        os._exit(status)


def warm(name: str) -> None:
    """Import whatever a fetch imports on its way, so that no child has to.

    Not tensorstore, which ends a process that forks with it.
    """
    for module in in_child(lambda: (fetch(name), sorted(sys.modules))[1]):
        if module not in sys.modules and module.split(".")[0] != "tensorstore":
            with suppress(ImportError, AttributeError):
                importlib.import_module(module)
    assert threading.active_count() == 1, "a fork copies one thread only"


def forget() -> None:
    """Delete the store, all but the look-alikes that are its source."""
    for path in SETTINGS.store.iterdir():
        if path.is_dir() and path.name != KEPT:
            shutil.rmtree(path)
        elif path.is_file() and KEPT not in path.name:
            path.unlink()


def tree() -> dict[str, str]:
    """Digest of every file of the store, and its folders; but for lock files, which are made as they are needed."""
    paths = (path for path in SETTINGS.store.rglob("*") if not SKIPPED & {*path.relative_to(SETTINGS.store).parts})
    return {
        str(path.relative_to(SETTINGS.store)): "folder"
        if path.is_dir()
        else hashlib.sha256(path.read_bytes()).hexdigest()
        for path in paths
    }


def torn(name: str) -> list[str]:
    """What stands at a final name and is not whole."""
    return [f"{path}: {error}" for path, error in _torn(name)]


def _torn(name: str) -> Iterator[tuple[Path, object]]:
    import pyarrow.parquet as pq

    from em_assets.volumes.validation import validate_volumes

    raw = SETTINGS.raw_dir(name)
    for row in read_manifest(raw) or ():
        if file_sha256(raw / FILES / row.path) != row.sha256:
            yield raw / FILES / row.path, "not what the manifest says"
    readers: dict[str, Callable[[Path], object]] = {
        ".parquet": pq.read_table,
        ".json": lambda path: json.loads(path.read_text()),
        ".toml": lambda path: tomllib.loads(path.read_text()),
    }
    for path in sorted(SETTINGS.store.rglob("*")):
        below = path.relative_to(SETTINGS.store)
        if KEPT in below.parts or any(part.startswith(".") for part in below.parts) or path.suffix not in readers:
            continue
        try:
            readers[path.suffix](path)
        except (ValueError, OSError) as error:  # Arrow's own are among them
            yield path, error
    volumes = SETTINGS.volumes_dir(name)
    for volume, problems in validate_volumes(volumes).items():
        if any(volumes.glob(f"{volume}/commits/*.json")):  # without a commit nobody sees it
            yield from ((volumes / volume, problem) for problem in problems)


def left_in_instance() -> list[str]:
    """Runs that look alive, and pool slots that are held."""
    with instance(SETTINGS, say=lambda line: None) as dagster:
        runs = [f"run {run.run_id} {run.status.value}" for run in dagster.get_runs() if run.status.value in UNFINISHED]
        return runs + [f"slot of {run_id}" for run_id in dagster.event_log_storage.get_concurrency_run_ids()]


def kills(name: str, n_points: int, first: int = 0, step: int = 1) -> dict[str, Any]:
    """Kill a fetch at so many points, spread over its file operations; each time look, fetch again, and look.

    With `first` and `step` only every so manieth of the points, so that a campaign can be cut in parts.
    """
    forget()
    total = in_child(lambda: counted(name, None))
    whole = tree()
    found: dict[str, Any] = {
        "operations": total,
        "killed": 0,
        "torn": [],
        "unfinished": [],
        "differing": [],
        "left": [],
    }
    for number in range(first, n_points, step):
        point = 1 + (2 * number + 1) * total // (2 * n_points)
        forget()
        found["killed"] += in_child(lambda point=point: counted(name, point)) is None
        seen = in_child(lambda: {"torn": torn(name), "again": fetch(name), "left": left_in_instance()})
        found["torn"] += seen["torn"]
        found["left"] += seen["left"]
        if seen["again"]["is_failed"] or not seen["again"]["is_catalogued"]:
            found["unfinished"].append({"point": point, **seen["again"]})
        now = tree()
        found["differing"] += [
            f"{point}: {path}" for path in sorted(whole.keys() | now.keys()) if whole.get(path) != now.get(path)
        ]
    return found


def crowd(name: str, n_processes: int, n_times: int = 1) -> dict[str, Any]:
    """Let so many processes fetch one dataset at once into an empty store, each so many times."""
    forget()
    pipes = [os.pipe() for _ in range(n_processes)]
    children = [start(lambda: [fetch(name) for _ in range(n_times)], writing) for _, writing in pipes]
    for _, writing in pipes:
        os.close(writing)
    answers = []
    for reading, _ in pipes:
        with os.fdopen(reading) as answer:
            answers.append(answer.read())
    statuses = [os.waitpid(child, 0)[1] for child in children]
    commits = sorted(path.name for path in SETTINGS.store.glob(f"volumes/{name}/*/commits/*"))
    return {
        "outcomes": [outcome for text in answers if text for outcome in json.loads(text)],
        "statuses": statuses,
        "commits": commits,
        "torn": in_child(lambda: torn(name)),
        "left": in_child(left_in_instance),
        "written": in_child(lambda: written_by_the_last(n_processes * n_times)),
    }


def written_by_the_last(n_runs: int) -> list[int]:
    """Of each of the last runs, how many volumes it wrote itself."""
    with instance(SETTINGS, say=lambda line: None) as dagster:
        asked = AssetRecordsFilter(asset_key=AssetKey("volume"))
        records = dagster.fetch_materializations(asked, limit=n_runs).records
        made = [record.asset_materialization for record in records if record.asset_materialization]
        return [int(str(one.metadata["written"].value)) for one in made]


if __name__ == "__main__":
    _, dataset, *campaigns = sys.argv
    warm(dataset)
    results = {}
    for campaign in campaigns:
        what, *numbers = campaign.split(":")
        results[what] = {"kills": kills, "crowd": crowd}[what](dataset, *map(int, numbers))
    json.dump(results, sys.stdout)
