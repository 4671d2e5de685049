"""Many boxes at once: reads that are begun before the first is done, each straight into the memory it is for."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial
from os import cpu_count
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from em_assets.formats.volume import BeginInto, Finish, SourceLevel
from em_assets.model import ZYX

T = TypeVar("T")

MAX_IN_FLIGHT = 64
"""Enough to keep every core decoding; each one that is in flight holds what its chunks decode to."""

Place = tuple[ZYX, NDArray[Any]]
"""First voxel of a box that lies inside a level, and the array, C-ordered and of the level's type, that it fills."""


def fill(level: SourceLevel, places: Iterable[Place]) -> None:
    """Fill each array with its box; no array is written to any more when this returns, or raises what went wrong."""
    if level.begin_into is not None:
        _fill_begun(level.begin_into, places)
        return
    with ThreadPoolExecutor(cpu_count() or 1) as executor:
        for done in [executor.submit(_fill_one, level, *place) for place in places]:
            done.result()


def begin(level: SourceLevel, places: Sequence[Place]) -> Finish:
    """Begin to fill each array; what comes back waits for all of them, and raises what went wrong first."""
    flying: deque[Finish] = deque()
    try:
        for place in places:
            flying.append(level.begin_into(*place) if level.begin_into else in_a_thread(_fill_one, level, *place))
    except BaseException:
        land(flying)
        raise
    return partial(_finish, flying)


def in_a_thread(function: Callable[..., T], *arguments: Any) -> Callable[[], T]:
    """Begin a call in one of as many threads as there are cores; what comes back waits, and raises what went wrong."""
    return _threads(os.getpid()).submit(function, *arguments).result


@lru_cache(maxsize=1)
def _threads(_: int) -> ThreadPoolExecutor:
    """For reads of formats that begin none themselves; a process that was forked has none of its parent's threads."""
    return ThreadPoolExecutor(cpu_count() or 1, "em_assets-blocks")


def _finish(flying: deque[Finish]) -> None:
    try:
        while flying:
            flying.popleft()()
    except BaseException:
        land(flying)
        raise


def _fill_begun(begin_into: BeginInto, places: Iterable[Place]) -> None:
    flying: deque[Finish] = deque()
    try:
        for start, out in places:
            if len(flying) == MAX_IN_FLIGHT:
                flying.popleft()()
            flying.append(begin_into(start, out))
    except BaseException:
        land(flying)
        raise
    _finish(flying)


def land(flying: deque[Finish]) -> None:
    """Wait for the reads behind one that failed: what they find no longer matters, what they write to does."""
    while flying:
        try:
            flying.popleft()()
        except Exception:  # noqa: BLE001, the first failure is the one that is raised
            continue


def _fill_one(level: SourceLevel, start_zyx: ZYX, out: NDArray[Any]) -> None:
    if level.read_into is not None:
        level.read_into(start_zyx, out)
        return
    z, y, x = out.shape
    np.copyto(out, level.read_box(start_zyx, (z, y, x)))
