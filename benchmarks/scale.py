"""What a terabyte, 100 terabytes and a petabyte would take: the tables of `docs/scale.md`.

    make bench-scale    or    python benchmarks/scale.py [--threads 64,1000] [--deaths-per-hour 0.1] [--seed 1]

Measured here: seconds of a thread, how voxels pack, what ledger and index take, what a task costs beside its work.
Assumed, and to be given: prices, and how often a worker is lost. Nothing is extrapolated but by counting: levels,
chunks, shards and tasks are those that `plan_levels`, `plan_grid` and `cut` make for the shape.
"""

import argparse
import heapq
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from em_assets.formats.volume import SourceLevel, SourceVolume
from em_assets.model import ZYX
from em_assets.sample.texture import texture
from em_assets.volumes.cluster import TASKS_AHEAD
from em_assets.volumes.codec import codec_of
from em_assets.volumes.cutting import cut
from em_assets.volumes.ledger import Entry, Ledger, digest_of
from em_assets.volumes.levels import plan_grid, plan_levels, plan_tile, tile_counts
from em_assets.volumes.pyramid import Plan, WrittenVolume, in_this_process, write_pyramid

VOLUMES: dict[str, ZYX] = {
    "1 TB": (10_000, 10_000, 10_000),
    "100 TB": (20_000, 50_000, 100_000),
    "1 PB": (50_000, 100_000, 200_000),
}
THREADS: dict[str, Sequence[int]] = {"1 TB": (16, 64), "100 TB": (64, 1000), "1 PB": (1000, 10_000)}
VOXEL_SIZE = (8.0, 8.0, 8.0)
SAMPLE: ZYX = (128, 1536, 2048)
TILE_BYTES = 512 << 20
THREADS_A_WORKER = 4
JITTER = 0.2
"""Spread of a task's duration: machines and neighbours differ."""
RESTART_S = 120.0
"""Until a lost worker has another in its place."""


@dataclass(frozen=True)
class Constants:
    """What was measured on this machine."""

    cpu_s_a_gb: float
    packed_share: float
    check_cpu_s_a_gb: float
    ledger_bytes_an_entry: float
    index_bytes_a_chunk: float
    index_memory_a_chunk: float
    message_s_a_task: float


@dataclass(frozen=True)
class Prices:
    """Assumed: what a public cloud asks, in dollars."""

    core_hour: float
    million_puts: float
    tb_month: float


@dataclass(frozen=True)
class Needs:
    """What one volume takes."""

    levels: int
    objects: int
    chunks: int
    stored_bytes: float
    ledger_bytes: float
    index_bytes: float
    temporary_bytes: float
    cpu_hours: float
    check_hours: float


def measured(folder: Path, reps: int) -> Constants:
    """Medians of a few runs of one thread over 400 MB of made-up tissue."""
    voxels = np.tile(texture((64, 1536, 2048), 7), (2, 1, 1))
    runs = [_write_once(voxels, folder / f"run_{rep}") for rep in range(reps)]
    written = runs[-1][1]
    gb, s0_chunks = voxels.nbytes / 1e9, written.block_index.n_voxels.size
    checks = [_cpu_s(lambda: written.ledger.problems(folder / "run_0", 1)) for _ in range(reps)]
    entries = _entries(200_000)
    return Constants(
        cpu_s_a_gb=statistics.median(cpu_s for cpu_s, _ in runs) / gb,
        packed_share=written.ledger.size_bytes / voxels.nbytes,
        check_cpu_s_a_gb=statistics.median(checks) / (written.ledger.size_bytes / 1e9),
        ledger_bytes_an_entry=Ledger.of(entries).file.size_bytes / len(entries),
        index_bytes_a_chunk=written.block_index.parquet().size_bytes / s0_chunks,
        index_memory_a_chunk=sum(column.nbytes for column in _columns(written)) / s0_chunks,
        message_s_a_task=_message_s(),
    )


def needs_of(shape: ZYX, constants: Constants) -> Needs:
    """What a volume of 8-bit voxels of this shape takes."""
    levels, grid = plan_levels(shape, VOXEL_SIZE), plan_grid(shape, 1)
    shards = sum(prod(tile_counts(level, grid.shard_shape)) for level in levels)
    chunks = prod(tile_counts(levels[0], grid.chunk_shape))
    gb, stored = prod(shape) / 1e9, prod(shape) * constants.packed_share
    return Needs(
        levels=len(levels),
        objects=shards + len(levels) + 1,
        chunks=chunks,
        stored_bytes=stored,
        ledger_bytes=shards * constants.ledger_bytes_an_entry,
        index_bytes=chunks * constants.index_bytes_a_chunk,
        temporary_bytes=shards * constants.ledger_bytes_an_entry + chunks * constants.index_memory_a_chunk,
        cpu_hours=gb * constants.cpu_s_a_gb / 3600,
        check_hours=stored / 1e9 * constants.check_cpu_s_a_gb / 3600,
    )


@dataclass(frozen=True)
class Run:
    """One simulated run."""

    tasks: int
    task_s: float
    wall_s: float
    lost_s: float
    deaths: int
    efficiency: float


def simulated(shape: ZYX, n_threads: int, deaths_per_hour: float, constants: Constants, seed: int) -> Run:
    """A cluster that writes a volume: tasks in order, so many asked for ahead, workers lost and put back.

    One process takes in the parts in their order and makes the levels above the cut; a part that is late holds back
    what is asked for next, as it does in `volumes.cluster`.
    """
    plan, level = cut(_plan(shape), n_threads, THREADS_A_WORKER)
    n_tasks = prod(tile_counts(plan.levels[level], plan.tile))
    cpu_s_a_voxel, voxels = constants.cpu_s_a_gb / 1e9, prod(shape)
    task_s = voxels * cpu_s_a_voxel / n_tasks
    above = sum(prod(coarser.shape_zyx) for coarser in plan.levels[level + 1 :])
    taken_in_s = constants.message_s_a_task + above * cpu_s_a_voxel / THREADS_A_WORKER / n_tasks
    draw, lost_s, deaths = random.Random(seed), 0.0, 0
    threads, taken_in = [0.0] * n_threads, [0.0] * n_tasks
    for number in range(n_tasks):
        asked = taken_in[number - TASKS_AHEAD * n_threads] if number >= TASKS_AHEAD * n_threads else 0.0
        while True:
            begins = max(heapq.heappop(threads), asked)
            lasts = task_s * draw.lognormvariate(0.0, JITTER)
            dies = draw.expovariate(deaths_per_hour / 3600) if deaths_per_hour else float("inf")
            if dies >= lasts:
                break
            lost_s, deaths, asked = lost_s + dies, deaths + 1, begins + dies
            heapq.heappush(threads, begins + dies + RESTART_S)
        heapq.heappush(threads, begins + lasts)
        before = taken_in[number - 1] if number else 0.0
        taken_in[number] = max(begins + lasts, before) + taken_in_s
    wall_s = taken_in[-1]
    return Run(n_tasks, task_s, wall_s, lost_s, deaths, voxels * cpu_s_a_voxel / (wall_s * n_threads))


def _columns(written: WrittenVolume) -> list[Any]:
    return [column for column in vars(written.block_index).values() if isinstance(column, np.ndarray)]


def _plan(shape: ZYX) -> Plan:
    levels, grid = plan_levels(shape, VOXEL_SIZE), plan_grid(shape, 1)
    tile = plan_tile(levels, grid, 1, TILE_BYTES)
    return Plan("0.5", "em", np.dtype("uint8"), levels, grid, tile, TILE_BYTES, codec_of("zstd-1"))


def _write_once(voxels: Any, dest: Path) -> tuple[float, WrittenVolume]:
    def read_box(start: ZYX, shape: ZYX) -> Any:
        return voxels[tuple(slice(s, s + n) for s, n in zip(start, shape, strict=True))]

    level = SourceLevel(voxels.shape, VOXEL_SIZE, read_box)
    source = SourceVolume("v", "numpy", voxels.dtype, (level,), ())
    made: list[WrittenVolume] = []
    cpu_s = _cpu_s(
        lambda: made.append(
            write_pyramid(
                source,
                dest,
                ome_zarr="0.5",
                content="em",
                voxel_size_zyx_nm=VOXEL_SIZE,
                name="v",
                attributes={},
                where=partial(in_this_process, n_threads=1),
            )
        )
    )
    return cpu_s, made[0]


def _cpu_s(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def _entries(count: int) -> list[Entry]:
    return [
        Entry(
            f"s0/c/{i // 4000}/{i // 60 % 60}/{i % 60}", 20_000_000 + i * 7919 % 9_000_000, digest_of(str(i).encode())
        )
        for i in range(count)
    ]


def _message_s() -> float:
    """What a task costs the scheduler, the worker and this process, beside its work."""
    from distributed import Client

    with Client(n_workers=1, threads_per_worker=1, processes=True, dashboard_address=":0") as client:
        client.gather(client.map(int, range(100), pure=False))
        began = time.perf_counter()
        client.gather(client.map(int, range(1000), pure=False))
        return (time.perf_counter() - began) / 1000


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _si(value: float, unit: str = "B") -> str:
    for prefix in ("", "k", "M", "G", "T", "P"):
        if value < 1000:
            return f"{value:.3g} {prefix}{unit}"
        value /= 1000
    raise ValueError(value)


def _needs_rows(constants: Constants, prices: Prices) -> Iterator[list[str]]:
    every = {name: needs_of(shape, constants) for name, shape in VOLUMES.items()}
    rows: dict[str, Callable[[Needs], str]] = {
        "levels": lambda n: str(n.levels),
        "objects (shards)": lambda n: f"{n.objects:,}",
        "chunks of s0": lambda n: f"{n.chunks:,}",
        "bytes stored": lambda n: _si(n.stored_bytes),
        "ledger": lambda n: _si(n.ledger_bytes),
        "block index": lambda n: _si(n.index_bytes),
        "disk for temporary files where the commit is made": lambda n: _si(n.temporary_bytes),
        "CPU hours to write": lambda n: f"{n.cpu_hours:,.3g}",
        "CPU hours to check every byte": lambda n: f"{n.check_hours:,.3g}",
        "dollars to write": lambda n: f"{n.cpu_hours * prices.core_hour + n.objects / 1e6 * prices.million_puts:,.3g}",
        "dollars a month to keep": lambda n: f"{n.stored_bytes / 1e12 * prices.tb_month:,.3g}",
    }
    for name, said in rows.items():
        yield [name, *(said(needs) for needs in every.values())]
    yield ["voxels (z × y × x)", *(" × ".join(f"{n:,}" for n in shape) for shape in VOLUMES.values())]


def _run_rows(args: argparse.Namespace, constants: Constants) -> Iterator[list[str]]:
    for name, shape in VOLUMES.items():
        for threads in args.threads or THREADS[name]:
            for rate in (0.0, args.deaths_per_hour):
                run = simulated(shape, threads, rate, constants, args.seed)
                yield [
                    name,
                    f"{threads:,}",
                    f"{rate:g}",
                    f"{run.tasks:,}",
                    f"{run.task_s:.0f} s",
                    f"{run.wall_s / 3600:,.3g} h",
                    _si(prod(shape) / run.wall_s, "B/s"),
                    f"{run.efficiency:.0%}",
                    f"{run.deaths:,}",
                    f"{run.lost_s / 3600:,.3g} h",
                ]


def main() -> int:
    """Measure, count, simulate, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--threads", type=lambda text: [int(n) for n in text.split(",")], help="instead of some for each volume"
    )
    parser.add_argument("--deaths-per-hour", type=float, default=0.1, help="of a thread's worker")
    parser.add_argument("--core-hour", type=float, default=0.04)
    parser.add_argument("--million-puts", type=float, default=5.0)
    parser.add_argument("--tb-month", type=float, default=23.0)
    parser.add_argument("--reps", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        constants = measured(Path(folder), args.reps)
    print(_table(["measured here", ""], [[name, f"{value:.3g}"] for name, value in vars(constants).items()]))
    prices = Prices(args.core_hour, args.million_puts, args.tb_month)
    print(_table(["", *VOLUMES], list(_needs_rows(constants, prices))))
    header = ["volume", "threads", "lost an hour", "tasks", "each", "wall", "reads", "efficiency", "lost", "work lost"]
    print(_table(header, list(_run_rows(args, constants))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
