"""`volume[…]` as numpy means it: which box to read, and what to make of it."""

from dataclasses import dataclass
from operator import index
from typing import Any

from em_assets.errors import OutOfBoundsError, UsageError
from em_assets.model import ZYX

AXES = ("z", "y", "x")


@dataclass(frozen=True)
class Selection:
    """A box of at least one voxel, and the index that turns it into what was asked for.

    Attributes
    ----------
    result_shape
        Of what was asked for; with a 0 where nothing was, and then there is no box to read.
    """

    start_zyx: ZYX
    shape_zyx: ZYX
    within: tuple[int | slice, ...]
    result_shape: tuple[int, ...]


def selection(key: Any, shape_zyx: ZYX) -> Selection:
    """What numpy's basic indexing with `key` means: whole numbers, slices (any step) and one `…`.

    Raises
    ------
    OutOfBoundsError
        An index outside, or more of them than axes. It is an IndexError too.
    UsageError
        Another kind of index: masks and lists of places would read everything; `read_many` takes boxes.
    """
    parts = [_part(part, size, axis) for part, size, axis in zip(_expanded(key), shape_zyx, AXES, strict=True)]
    z, y, x = ((first, extent) for first, extent, _, _ in parts)
    return Selection(
        start_zyx=(z[0], y[0], x[0]),
        shape_zyx=(z[1], y[1], x[1]),
        within=tuple(within for _, _, within, _ in parts),
        result_shape=tuple(n for _, _, _, n in parts if n is not None),
    )


def _expanded(key: Any) -> list[Any]:
    parts = list(key) if isinstance(key, tuple) else [key]
    n_dots = sum(part is Ellipsis for part in parts)
    if n_dots > 1 or len(parts) - n_dots > len(AXES):
        raise OutOfBoundsError(f"[{key!r}]: at most three indices z, y, x and one … expected")
    at = next((i for i, part in enumerate(parts) if part is Ellipsis), len(parts))
    rest = parts[at + 1 :]
    return parts[:at] + [slice(None)] * (len(AXES) - at - len(rest)) + rest


def _part(part: Any, size: int, axis: str) -> tuple[int, int, int | slice, int | None]:
    """First voxel and extent of the box, what to take from it, and how many voxels that are (None: the axis goes)."""
    if isinstance(part, slice):
        chosen = range(*part.indices(size))
        if not chosen:
            return 0, 1, slice(0, 0), 0
        low, high = min(chosen[0], chosen[-1]), max(chosen[0], chosen[-1])
        return low, high - low + 1, slice(None, None, chosen.step), len(chosen)
    try:
        place = index(part)
    except TypeError as error:
        raise UsageError(f"[…{part!r}…]: whole numbers, slices and … expected; for many boxes: read_many") from error
    if isinstance(part, bool) or not -size <= place < size:
        raise OutOfBoundsError(f"no voxel {part!r} along {axis}, which has {size}")
    return place % size, 1, 0, None
