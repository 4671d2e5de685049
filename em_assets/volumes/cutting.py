"""Where a volume's tree of tiles is cut, so that many processes can write what is below. Arithmetic only."""

from collections.abc import Iterator
from dataclasses import replace
from math import prod

from em_assets.model import ZYX
from em_assets.volumes.levels import finer_tiles, plan_tile, tiles_of
from em_assets.volumes.pyramid import Plan

TASK_BYTES = 16 << 30
"""Voxels in a task at most: a minute's work, which is what a killed worker costs."""

ABOUT_AS_GOOD = 1.1
"""Larger tiles are worth so much: many sources are decoded page by page, and a task costs a message."""


def cut(plan: Plan, n_threads: int, n_threads_a_worker: int = 1, source_chunk_zyx: ZYX = (1, 1, 1)) -> tuple[Plan, int]:
    """The plan with tiles for a cluster, and the level at which each tile, with all that is below it, is a task.

    What counts is the time until the end, in voxels that a thread writes: an equal share for each, the task that may be
    alone at the end, and what is above the cut, which one process makes. Of cuts that are about as good the one with
    the largest tiles is taken, then the highest. The tasks of a worker share its memory. A tile is no narrower than
    what the source unpacks at once, which would be unpacked again for each.
    """
    tilings = list(_tilings(plan, plan.tile_bytes // n_threads_a_worker))
    cuts = [
        (_voxels_to_wait_for(tiled, level, n_threads), tiled, level)
        for tiled in [each for each in tilings if _is_wide(each, source_chunk_zyx)] or tilings[:1]
        for level in reversed(range(len(plan.levels)))
        if level == 0 or _task_voxels(tiled, level) * plan.dtype.itemsize <= TASK_BYTES
    ]
    least = min(voxels for voxels, _, _ in cuts)
    return next((tiled, level) for voxels, tiled, level in cuts if voxels <= ABOUT_AS_GOOD * least)


def tasks_of(plan: Plan, level: int) -> Iterator[ZYX]:
    """Indices of the tiles of a level in the order in which those above ask for them."""
    coarsest = len(plan.levels) - 1
    for tile in tiles_of(plan.levels[coarsest], plan.tile):
        yield from _descended(plan, coarsest, tile, level)


def _descended(plan: Plan, at: int, tile: ZYX, level: int) -> Iterator[ZYX]:
    if at == level:
        yield tile
        return
    for finer in finer_tiles(plan.levels[at], plan.levels[at - 1], plan.tile, tile):
        yield from _descended(plan, at - 1, finer, level)


def _tilings(plan: Plan, budget_bytes: int) -> Iterator[Plan]:
    """The plan with ever smaller tiles."""
    smallest = plan_tile(plan.levels, plan.grid, plan.dtype.itemsize, 0)
    while True:
        tile = plan_tile(plan.levels, plan.grid, plan.dtype.itemsize, budget_bytes)
        yield replace(plan, tile=tile, tile_bytes=budget_bytes)
        if tile == smallest:
            return
        budget_bytes //= 2


def _is_wide(plan: Plan, source_chunk_zyx: ZYX) -> bool:
    sizes = zip(plan.tile[1:], source_chunk_zyx[1:], plan.levels[0].shape_zyx[1:], strict=True)
    return all(edge >= min(chunk, extent) for edge, chunk, extent in sizes)


def _task_voxels(plan: Plan, level: int) -> int:
    """Voxels of the finest level below a tile."""
    shape = zip(plan.tile, plan.levels[level].factor_zyx, plan.levels[0].shape_zyx, strict=True)
    return prod(min(edge * factor, extent) for edge, factor, extent in shape)


def _voxels_to_wait_for(plan: Plan, level: int, n_threads: int) -> float:
    above = sum(prod(coarser.shape_zyx) for coarser in plan.levels[level + 1 :])
    return prod(plan.levels[0].shape_zyx) / n_threads + _task_voxels(plan, level) + above
