"""Which pages of a TIFF make which volume by the description that tifffile writes where nobody asks for another."""

import json
import math
import re
from collections.abc import Mapping
from itertools import product
from typing import Any

from em_assets.errors import FormatError
from em_assets.formats.tiff_axes import MAX_INFO_LETTERS, MAX_ITEMS, Stack

MAX_AXES = 8


def shaped_stacks(path: str, description: str | None, shape_yx: tuple[Any, Any], n_pages: int) -> list[Stack]:
    """The volumes of a stack that tifffile wrote with its shape, `{"shape": [2, 9, 40, 50], "axes": "TZYX"}`.

    One for each time and channel (or what else is named); without names planes are slices, as pages are. Empty for any
    other description, for colour, and where pages were added.

    Raises
    ------
    FormatError
        Fewer pages than the description promises, or more volumes than any honest file has.
    """
    shape, axes = _shaped(description)
    n_planes = math.prod(shape[:-2])
    if tuple(shape[-2:]) != shape_yx or n_pages > n_planes:
        return []
    if 1 < n_pages < n_planes:
        raise FormatError(
            f"{path}: {n_planes} pages expected by tifffile's description, found {n_pages}: cut short; fetch again"
        )
    if not axes.endswith("YX"):
        return [Stack("", range(n_planes))]
    names = axes[:-2] if "Z" in axes else re.sub("[IQ]", "Z", axes[:-2], count=1)
    return _stacks_along(path, dict(zip(names, shape[:-2], strict=True)))


def _stacks_along(path: str, sizes: Mapping[str, int]) -> list[Stack]:
    """A volume for each item along the axes but z; the last axis runs fastest, times come before channels."""
    others = [axis for axis in "TC" if axis in sizes] + sorted(sizes.keys() - set("ZTC"))
    if math.prod(sizes[axis] for axis in others) > MAX_ITEMS:
        raise FormatError(f"{path}: at most {MAX_ITEMS} volumes expected, found the axes {dict(sizes)}")
    extents = list(sizes.values())
    steps = {axis: math.prod(extents[place + 1 :]) for place, axis in enumerate(sizes)}
    n, step = sizes.get("Z", 1), steps.get("Z", 1)
    stacks = []
    for item in product(*(range(sizes[axis]) for axis in others)):
        at = dict(zip(others, item, strict=True))
        suffix = "".join(f"_{axis.lower()}{at[axis]}" for axis in sorted(others) if sizes[axis] > 1)
        first = sum(steps[axis] * index for axis, index in at.items())
        stacks.append(Stack(suffix, range(first, first + n * step, step)))
    return stacks


def _shaped(description: str | None) -> tuple[list[int], str]:
    """Shape and axes as tifffile writes them; an empty shape for any other text, no axes for those that do not fit."""
    if not description or not description.startswith('{"shape":'):
        return [], ""
    try:
        said = json.loads(description[:MAX_INFO_LETTERS])
    except (ValueError, RecursionError):
        return [], ""
    shape, axes = said["shape"], said.get("axes")
    if not isinstance(shape, list) or len(shape) > MAX_AXES:
        return [], ""
    if not all(type(size) is int and 0 < size <= 1 << 24 for size in shape) or math.prod(shape) > 1 << 60:
        return [], ""
    fits = isinstance(axes, str) and len(axes) == len(shape) == len(set(axes))
    return shape, axes.upper() if fits else ""
