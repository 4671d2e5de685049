"""The same voxels twice, whatever the order and direction of their axes."""

from collections.abc import Callable
from itertools import permutations, product
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from em_assets.formats.volume import SourceVolume
from em_assets.volumes.block_index import BlockIndex
from em_assets.volumes.statistics import moments
from em_assets.volumes.twins import Fingerprint, fingerprint, orientation

CUBE = np.random.default_rng(4).integers(0, 255, (20, 20, 20), dtype=np.uint8)
BOXES = [((1, 2, 3), (4, 5, 6)), ((10, 9, 8), (3, 3, 3))]
MakeSource = Callable[..., SourceVolume]


def print_of(voxels: NDArray[Any]) -> Fingerprint:
    index = BlockIndex.empty((1, 1, 1), voxels.dtype)
    index.put((0, 0, 0), moments(voxels))
    return fingerprint(voxels.shape, voxels.dtype.name, index.statistics())


@pytest.mark.parametrize("order", list(permutations(range(3))), ids=str)
def test_every_order_and_direction_of_axes_is_found(make_source: MakeSource, order: tuple[int, ...]) -> None:
    for turned in product((False, True), repeat=3):
        other = np.flip(CUBE.transpose(order), [axis for axis in range(3) if turned[axis]])
        found = orientation(make_source(CUBE), make_source(other), BOXES)
        assert found is not None
        assert (found.order, found.is_turned) == (order, turned)
        assert print_of(CUBE).may_equal(print_of(np.ascontiguousarray(other)))


def test_a_reslice_is_said_in_words(make_source: MakeSource) -> None:
    voxels = CUBE[:, :10, :15]
    resliced = np.flip(voxels.transpose(1, 0, 2), 0)
    boxes = [((0, 0, 0), (4, 4, 4))]
    assert str(orientation(make_source(voxels), make_source(resliced), boxes)) == "its z, y, x are y, -z, x of"
    assert str(orientation(make_source(voxels), make_source(voxels), boxes)) == "the same voxels as"


def test_other_voxels_are_no_twin(make_source: MakeSource) -> None:
    shuffled = np.random.default_rng(5).permutation(CUBE.reshape(-1)).reshape(CUBE.shape)
    assert print_of(CUBE).may_equal(print_of(shuffled))  # the same statistics: only blocks tell
    assert orientation(make_source(CUBE), make_source(shuffled), BOXES) is None
    assert not print_of(CUBE).may_equal(print_of(CUBE // 2))
    assert not print_of(CUBE).may_equal(print_of(CUBE[:10]))
