"""How fast metadata becomes tables, beside what people use for it: medians and ratios, wall and CPU, in one paired run.

    make bench            or    python benchmarks/metadata.py [--reps 7] [--strict]

Every way is run in turn (A B C A B C …), so that a busy machine is unfair to all alike; on one, trust the CPU ratio.
`--strict` exits 1 where a line does not hold: TIFF 4×, DM3 10×, consolidation 4× and linear in the datasets.
"""

import argparse
import gc
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from em_assets.catalog.consolidate import DatasetPart, consolidate
from em_assets.catalog.schemas import ORIGINAL_TAGS, TAGS
from em_assets.catalog.tables import claims_table, conflicts_table, read_table, record_table, tags_table, write_table
from em_assets.formats import read_tags
from em_assets.model import Tag, VolumeRecord
from em_assets.sample.empiar import DATA_FOLDER, write_empiar

N_PAGES = 1065
N_FILES = 2000
N_ROWS = 100_000
DATASETS = (1_000, 10_000, 100_000)
LINEAR_WITHIN = 2.0
"""The price of one dataset among 100,000 over that among 1,000: caches and the collector count, squares do not."""

Ways = Mapping[str, Callable[[], object]]


class Timed(NamedTuple):
    """Medians of one way, in seconds."""

    wall_s: float
    cpu_s: float


def paired(ways: Ways, reps: int) -> dict[str, Timed]:
    """Medians of each way after one run that does not count; the collector runs between them, not in them."""
    wall: dict[str, list[float]] = {name: [] for name in ways}
    cpu: dict[str, list[float]] = {name: [] for name in ways}
    for rep in range(reps + 1):
        for name, work in ways.items():
            gc.collect()
            began, cpu_began = time.perf_counter(), time.process_time()
            made = work()
            took, cpu_took = time.perf_counter() - began, time.process_time() - cpu_began
            del made
            if rep:
                wall[name].append(took)
                cpu[name].append(cpu_took)
    return {name: Timed(statistics.median(wall[name]), statistics.median(cpu[name])) for name in ways}


def compare(title: str, ways: Ways, reps: int, least: float) -> bool:
    """Print a table of the ways, the first being ours, and whether the second takes `least` times as long."""
    timed = paired(ways, reps)
    ours, other = list(timed.values())[:2]
    ratio, cpu_ratio = other.wall_s / ours.wall_s, other.cpu_s / ours.cpu_s
    print(f"\n### {title}\n| way | median s | CPU s | × ours | CPU × ours |\n|---|---|---|---|---|")
    for name, one in timed.items():
        print(
            f"| {name} | {one.wall_s:.4f} | {one.cpu_s:.4f} | {one.wall_s / ours.wall_s:.1f} "
            f"| {one.cpu_s / ours.cpu_s:.1f} |"
        )
    holds = max(ratio, cpu_ratio) >= least
    print(f"{'holds' if holds else 'FAILS'}: {ratio:.1f}× (CPU {cpu_ratio:.1f}×), at least {least:.0f}× wanted")
    return holds


def tiff(folder: Path, reps: int) -> bool:
    """Every tag of 1,065 pages, each with its own description and resolution."""
    import tifffile

    path = folder / "pages.tif"
    with tifffile.TiffWriter(path) as writer:
        for page in range(N_PAGES):
            writer.write(
                np.full((64, 64), page % 251, np.uint8),
                contiguous=False,
                description=f"slice={page};stagez={page * 5.0:.1f}nm;hv=1.5kV",
                resolution=(2e6, 2e6),
                resolutionunit="CENTIMETER",
                software="benchmark",
                datetime="2020:01:01 00:00:00",
                metadata=None,
                extratags=[(65000, "d", 1, page * 5.0, False), (65001, "s", 0, f"dwell=3us z={page}", False)],
            )

    def page_by_page() -> list[dict[str, Any]]:
        with tifffile.TiffFile(path) as file:
            return [{tag.name: tag.value for tag in page.tags.values()} for page in file.pages]

    n_ours = sum(1 for tag in read_tags(path) if tag.container.startswith("page "))
    assert n_ours == sum(map(len, page_by_page()))
    ways: Ways = {"em_assets": lambda: list(read_tags(path)), "tifffile page by page": page_by_page}
    return compare(f"TIFF: {n_ours} tags of {N_PAGES} pages", ways, reps, least=4)


def dm3(folder: Path, reps: int) -> bool:
    """Every tag of 16 slices as DigitalMicrograph wrote them."""
    from ncempy.io.dm import fileDM

    write_empiar(folder / "http", seed=1)
    files = sorted((folder / "http" / DATA_FOLDER).glob("*.dm3"))

    def all_tags() -> list[dict[str, Any]]:
        found = []
        for path in files:
            with fileDM(path) as file:
                found.append(dict(file.allTags))
        return found

    n_ours = sum(1 for path in files for _ in read_tags(path))
    ways: Ways = {"em_assets": lambda: [list(read_tags(path)) for path in files], "ncempy allTags": all_tags}
    return compare(f"DM3: {n_ours} tags of {len(files)} files", ways, reps, least=10)


def consolidation(folder: Path, reps: int) -> bool:
    """A table of 100,000 rows from 2,000 datasets' own, from disk to disk."""
    import pandas as pd

    paths: dict[str, Path] = {}
    for number in range(N_FILES):
        tags = [Tag("tags", f"Group.{tag}.Value", number * tag / 7, "float64") for tag in range(N_ROWS // N_FILES)]
        paths[f"ds_{number:06d}"] = path = folder / "parts" / f"{number:06d}.parquet"
        write_table(tags_table(f"slice_{number:04d}.dm3", tags), path, ORIGINAL_TAGS)

    def ours() -> None:
        parts = {
            name: DatasetPart(origin="public", original_tags=read_table(path, ORIGINAL_TAGS))
            for name, path in paths.items()
        }
        write_table(consolidate(parts)[TAGS.name], folder / "tags.parquet", TAGS)

    def pandas() -> None:
        frames = [pd.read_parquet(path).assign(dataset=name) for name, path in paths.items()]
        pd.concat(frames, ignore_index=True).to_parquet(folder / "pandas.parquet", index=False)

    ways: Ways = {"em_assets": ours, "pandas concat": pandas}
    return compare(f"Consolidation: {N_ROWS} rows of {N_FILES} datasets", ways, min(reps, 3), least=4)


def linearity() -> bool:
    """The price of one dataset, among 1,000 to 100,000 of them."""
    prices = []
    print("\n### Consolidation, in memory\n| datasets | s | µs each |\n|---|---|---|")
    for count in DATASETS:
        parts = dict(_part(number) for number in range(count))
        gc.collect()
        began = time.process_time()
        consolidate(parts)
        took = time.process_time() - began
        prices.append(took / count)
        print(f"| {count} | {took:.2f} | {took / count * 1e6:.0f} |")
    growth = prices[-1] / prices[0]
    holds = growth <= LINEAR_WITHIN
    print(f"{'holds' if holds else 'FAILS'}: one of the most costs {growth:.2f} of one of the fewest")
    return holds


def _part(number: int) -> tuple[str, DatasetPart]:
    name = f"ds_{number:06d}"
    return name, DatasetPart(
        origin="public",
        original_tags=tags_table("a.dm3", [Tag("tags", "Scale", number / 7, "float64")]),
        claims=claims_table([]),
        record=record_table([VolumeRecord(dataset=name, volume="em", origin="public")]),
        conflicts=conflicts_table([]),
    )


def main(arguments: Sequence[str]) -> int:
    """Run all of it; 1 where a line does not hold and that matters."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reps", type=int, default=7)
    parser.add_argument("--strict", action="store_true")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        held = [tiff(folder, options.reps), dm3(folder, options.reps), consolidation(folder, options.reps), linearity()]
    return int(options.strict and not all(held))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
