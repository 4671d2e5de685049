"""What each stage of a pyramid costs alone, on the same voxels: the limit that the whole is held against."""

import resource
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from os import cpu_count
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from em_assets.formats import open_path
from em_assets.volumes.downsample import halve_into, halve_mean
from em_assets.volumes.encoding import gather
from em_assets.volumes.statistics import moments_of

LIMITS = "limits"
CHUNK = 64
ROW = 8
"""Chunks that are gathered, and counted, by one call."""
DEPTH = 128
LEVELS = 8 / 7
"""Voxels of all levels over those of the first, each being an eighth of the one before."""

Pieces = Sequence[Any]


def limits_of(source: Path, work: Path) -> dict[str, float]:
    """User and system seconds of each stage for a stack of bytes, and their sum."""
    volume = open_path(source)[0]
    slab: NDArray[Any] = np.empty((DEPTH, *volume.shape_zyx[1:]), np.uint8)
    totals: dict[str, float] = {"user_s": 0.0, "system_s": 0.0, "wall_s": 0.0}
    with ThreadPoolExecutor(cpu_count()) as executor:
        for start in range(0, volume.shape_zyx[0], DEPTH):
            for stage, times, task in _stages(volume, start, slab, work, executor):
                user, system, wall = _measured(task)
                totals[f"{stage}_user_s"] = totals.get(f"{stage}_user_s", 0.0) + user * times
                totals["user_s"] += user * times
                totals["system_s"] += system * times
                totals["wall_s"] += wall * times
    return totals


def _stages(
    volume: Any, start: int, slab: NDArray[Any], work: Path, executor: ThreadPoolExecutor
) -> list[tuple[str, float, Callable[[], object]]]:
    from blake3 import blake3
    from imagecodecs import zstd_encode

    volume.levels[0].read_into((start, 0, 0), slab)
    corners = [
        (z, y, x)
        for z in range(0, DEPTH, CHUNK)
        for y in range(0, slab.shape[1], CHUNK)
        for x in range(0, slab.shape[2], CHUNK)
    ]
    rows = [corners[i : i + ROW] for i in range(0, len(corners), ROW)]
    parts = [[corner for row in rows[i::16] for corner in row] for i in range(16)]
    chunks = [np.stack([_chunk(slab, corner) for corner in part]) for part in parts]
    packed = [[bytes(zstd_encode(chunk, 1)) for chunk in part] for part in chunks]
    halved = np.zeros([n // 2 for n in slab.shape], np.uint8)

    def each(task: Callable[[Pieces], object], given: Sequence[Pieces]) -> Callable[[], object]:
        return lambda: list(executor.map(task, given))

    return [
        ("read", 1, lambda: volume.levels[0].read_into((start, 0, 0), slab)),
        ("gather", LEVELS, each(lambda part: _gather(slab, part), parts)),
        ("statistics", 1, each(lambda part: [moments_of(part[i : i + ROW]) for i in range(0, len(part), ROW)], chunks)),
        ("mean", LEVELS, lambda: halve_into(halved, slab, (2, 2, 2), halve_mean, executor)),
        ("zstd", LEVELS, each(_encode, chunks)),
        ("digest", LEVELS, each(lambda part: [blake3().update(data) for data in part], packed)),
        ("write", LEVELS, lambda: _write(work / "limit.bin", packed)),
    ]


def _chunk(slab: NDArray[Any], corner: tuple[int, int, int]) -> NDArray[Any]:
    return np.ascontiguousarray(slab[tuple(slice(first, first + CHUNK) for first in corner)])


def _gather(slab: NDArray[Any], corners: Pieces) -> None:
    buffer = np.empty((ROW, CHUNK, CHUNK, CHUNK), np.uint8)
    for z, y, x in corners[::ROW]:
        gather(buffer, slab[z : z + CHUNK, y : y + CHUNK, x : x + CHUNK * ROW])


def _encode(chunks: Pieces) -> None:
    from imagecodecs import zstd_encode

    out = bytearray(CHUNK**3 + 4096)
    for chunk in chunks:
        zstd_encode(chunk, 1, out=out)


def _write(path: Path, packed: Sequence[Pieces]) -> None:
    with path.open("wb", buffering=0) as file:
        for part in packed:
            for data in part:
                file.write(data)
    path.unlink()


def _measured(task: Callable[[], object]) -> tuple[float, float, float]:
    task()  # once to warm the caches
    before, began = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    task()
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF)
    return after.ru_utime - before.ru_utime, after.ru_stime - before.ru_stime, wall
