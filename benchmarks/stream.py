"""How much of the reader's rate is left when blocks arrive as batches for torch: `make bench-torch`.

Four readers take the same blocks of a uint8 OME-Zarr 0.5 in turn, in batches of 8, and every round is another epoch;
nobody keeps decoded chunks (`CACHE_BYTES` is 0). `read_many, out=` into one buffer for all is the raw reader at its
best; `BlockStream` comes through `make_loader` without workers, as one would use it.
"""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from functools import partial
from itertools import product
from pathlib import Path
from resource import RUSAGE_SELF, getrusage
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter

import numpy as np
from ingest_data import tiff_stack

from em_assets.blocks import VolumeDataset, open_volume, sampling
from em_assets.blocks.torch import BlockDataset, BlockStream, Source, make_loader
from em_assets.formats import open_path, tensorstores
from em_assets.volumes.pyramid import write_pyramid
from em_assets.volumes.store import commit_volume

EDGE = 512
BATCH = 8
LEAST = 0.95
RAW = "read_many, out="
STREAM = "BlockStream"

Run = Callable[[int], object]
"""Reads all blocks of an epoch."""


def runs(volume: VolumeDataset, size: int, aligned: bool, n: int) -> dict[str, Run]:
    """Name → reader."""
    block = (size, size, size)
    places = sampling.random(volume.shape, block, n, 1, aligned_to=volume.chunk_shape if aligned else None)
    source = Source(volume, sampler=places)
    stream = BlockStream([source], block, n, batch_size=BATCH, is_normalised=False)
    by_index = BlockDataset([source], block, n, is_normalised=False)
    normalised = BlockStream([source], block, n, batch_size=BATCH)
    buffer = np.empty((n, *block), volume.dtype)

    def loaded(blocks: BlockDataset | BlockStream, epoch: int) -> None:
        blocks.set_epoch(epoch)
        for batch in make_loader(blocks, BATCH):
            assert len(batch["raw"]) == BATCH

    def boxes(epoch: int) -> list[tuple[Sequence[int], Sequence[int]]]:
        return [places.box(epoch, index) for index in range(n)]

    return {
        RAW: lambda epoch: volume.read_many(boxes(epoch), out=buffer),
        "read_many": lambda epoch: volume.read_many(boxes(epoch)),
        STREAM: partial(loaded, stream),
        "BlockStream, normalised": partial(loaded, normalised),
        "BlockDataset, no workers": partial(loaded, by_index),
    }


def measure(volume: VolumeDataset, rounds: int) -> list[dict[str, object]]:
    """A row for each size, alignment and reader: medians over rounds, in which they take turns."""
    rows: list[dict[str, object]] = []
    for size, aligned in product((64, 128), (True, False)):
        n = {64: 768, 128: 144}[size]
        readers = runs(volume, size, aligned, n)
        taken: dict[str, list[tuple[float, float]]] = {name: [] for name in readers}
        for turn in range(rounds + 1):
            for name in [*list(readers)[turn % len(readers) :], *list(readers)[: turn % len(readers)]]:
                took = _timed(partial(readers[name], turn))
                if turn:
                    taken[name].append(took)
        raw = median(wall for wall, _ in taken[RAW])
        for name, took in taken.items():
            wall, cpu = (median(column) for column in zip(*took, strict=True))
            ratios = [reference[0] / own[0] for reference, own in zip(taken[RAW], took, strict=True)]
            rows.append(
                {
                    "block": f"{size}³ {'aligned' if aligned else 'unaligned'}",
                    "reader": name,
                    "blocks_per_s": n / wall,
                    "cpu_ms": cpu / n * 1e3,
                    "of_raw": raw / wall,
                    "of_raw_by_round": median(ratios),
                }
            )
    return rows


def committed(folder: Path) -> VolumeDataset:
    """The volume, with the statistics that blocks are normalised by."""
    source = open_path(str(tiff_stack(folder, (EDGE, EDGE, EDGE))))[0]
    size = (8.0, 8.0, 8.0)
    commit_volume(
        folder / "em",
        "0123456789abcdef",
        lambda dest: write_pyramid(
            source, dest, ome_zarr="0.5", content="em", voxel_size_zyx_nm=size, name="em", attributes={}
        ),
    )
    return open_volume(folder / "em")


def _timed(run: Callable[[], object]) -> tuple[float, float]:
    before, start = getrusage(RUSAGE_SELF), perf_counter()
    run()
    wall, after = perf_counter() - start, getrusage(RUSAGE_SELF)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Measure, print a table and the line; with --strict fail where it does not hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--data", type=Path, help="keep the volume here, for another time")
    parser.add_argument("--strict", action="store_true")
    given = parser.parse_args()
    tensorstores.CACHE_BYTES = 0
    with TemporaryDirectory() as temporary:
        folder = given.data or Path(temporary)
        folder.mkdir(exist_ok=True)
        rows = measure(committed(folder), given.rounds)
    print("| block | reader | blocks/s | CPU ms a block | of the raw reader |\n| --- | --- | --- | --- | --- |")
    for row in rows:
        print("| {block} | {reader} | {blocks_per_s:.0f} | {cpu_ms:.2f} | {of_raw:.2f} |".format(**row))
    failed = [row for row in rows if row["reader"] == STREAM and row["of_raw"] < LEAST]  # type: ignore[operator]
    for row in rows:
        if row["reader"] == STREAM:
            print(f"{'FAILS' if row in failed else 'holds'}  {row['block']}: {row['of_raw']:.2f} (>= {LEAST})")
    print(json.dumps(rows), file=sys.stderr) if given.strict else None
    sys.exit(1 if failed and given.strict else 0)


if __name__ == "__main__":
    main()
