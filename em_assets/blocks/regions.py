"""Boxes of a volume that blocks are drawn from, and how many places a block has in them."""

from collections.abc import Sequence
from math import prod

from em_assets.errors import OutOfBoundsError, UsageError
from em_assets.formats.volume import check_box, whole_numbers
from em_assets.model import ZYX

Region = tuple[ZYX, ZYX]
"""First voxel and shape, both z, y, x."""


def checked_regions(
    shape_zyx: Sequence[int], within: Sequence[tuple[Sequence[int], Sequence[int]]] | None
) -> list[Region]:
    """The regions as triples; the whole volume where none are given.

    Raises
    ------
    OutOfBoundsError
        A region is not inside the volume.
    UsageError
        There are none.
    """
    whole = positive(shape_zyx, "shape_zyx")
    if within is None:
        return [((0, 0, 0), whole)]
    regions = [(whole_numbers(start), whole_numbers(shape)) for start, shape in within]
    if not regions:
        raise UsageError("within: at least one region expected, found none")
    for start, shape in regions:
        check_box("within", start, shape, whole)
    return regions


def positive(values: Sequence[int], name: str) -> ZYX:
    """Three whole numbers above 0.

    Raises
    ------
    OutOfBoundsError
        They are anything else.
    """
    z, y, x = whole_numbers(values)
    if min(z, y, x) < 1:
        raise OutOfBoundsError(f"{name}: three whole numbers z, y, x above 0 expected, found {(z, y, x)}")
    return (z, y, x)


def that_hold(regions: Sequence[Region], block_zyx: ZYX) -> list[Region]:
    """The regions that a block fits into.

    Raises
    ------
    OutOfBoundsError
        It fits into none.
    """
    fitting = [region for region in regions if all(n <= size for n, size in zip(block_zyx, region[1], strict=True))]
    if not fitting:
        raise OutOfBoundsError(
            f"a block of {block_zyx} (z, y, x) fits into none of the regions {[shape for _, shape in regions]}"
        )
    return fitting


def n_places(counts: Sequence[Sequence[int]]) -> int:
    """How many combinations of one place along each axis there are."""
    return prod(len(along) for along in counts)
