"""Which levels, chunks, shards and tiles a volume gets."""

from math import prod

import pytest

from em_assets.errors import UsageError
from em_assets.volumes.levels import finer_tiles, plan_grid, plan_levels, plan_tile, tile_box, tiles_of


def factors(shape: tuple[int, int, int], voxel: tuple[float | None, ...]) -> list[tuple[int, int, int]]:
    return [level.factor_zyx for level in plan_levels(shape, voxel)]


def test_an_anisotropic_axis_waits_until_the_voxel_is_near_isotropic() -> None:
    assert factors((16, 1000, 1000), (50, 8, 8)) == [(1, 1, 1), (1, 2, 2), (1, 4, 4), (1, 8, 8), (2, 16, 16)]


def test_a_nearly_isotropic_voxel_is_halved_along_all_axes_at_once() -> None:
    assert factors((100, 130, 120), (2.96, 4, 4)) == [(1, 1, 1), (2, 2, 2), (4, 4, 4)]


def test_an_unknown_axis_counts_as_fine_as_the_finest_known_one() -> None:
    assert factors((100, 100, 100), (None, 8, 8)) == [(1, 1, 1), (2, 2, 2)]
    assert factors((100, 100, 100), (None, None, None)) == [(1, 1, 1), (2, 2, 2)]


def test_a_single_plane_stays_a_plane_however_thick() -> None:
    assert factors((1, 300, 200), (50, 8, 8)) == [(1, 1, 1), (1, 2, 2), (1, 4, 4), (1, 8, 8)]
    assert factors((1, 300, 200), (1, 8, 8))[-1] == (1, 8, 8)


def test_every_level_rounds_odd_sizes_up_and_differs_from_the_one_before() -> None:
    shapes = [level.shape_zyx for level in plan_levels((129, 65, 7), (4, 4, 4))]
    assert shapes == [(129, 65, 7), (65, 33, 4), (33, 17, 2)]


def test_a_small_volume_has_one_level_and_one_chunk() -> None:
    assert len(plan_levels((64, 64, 64), (8, 8, 8))) == 1
    assert plan_grid((64, 64, 64)).chunk_shape == (64, 64, 64) == plan_grid((64, 64, 64)).shard_shape


def test_a_shard_is_a_whole_number_of_chunks_and_no_larger_than_it_must_be() -> None:
    grid = plan_grid((300, 100, 5000))
    assert grid.chunk_shape == (64, 64, 64)
    assert grid.shard_shape == (128, 128, 512)
    assert plan_grid((16, 100, 5)).chunk_shape == (16, 64, 5)


@pytest.mark.parametrize("size", [0.0, -4.0, float("nan"), float("inf")])
def test_a_voxel_size_that_is_no_length_is_refused(size: float) -> None:
    with pytest.raises(UsageError, match="y must be above zero"):
        plan_levels((4, 4, 4), (8.0, size, 8.0))


@pytest.mark.parametrize(("itemsize", "shard"), [(1, (128, 512, 512)), (2, (128, 512, 512)), (4, (128, 256, 512))])
def test_a_shard_of_wide_numbers_has_fewer_chunks(itemsize: int, shard: tuple[int, int, int]) -> None:
    assert plan_grid((4096,) * 3, itemsize).shard_shape == shard
    assert plan_grid((4096,) * 3, 8).shard_shape == (128, 256, 256)


@pytest.mark.parametrize("itemsize", [1, 2, 4, 8])
@pytest.mark.parametrize("edge", [2_000, 20_000, 100_000])
def test_the_least_that_is_held_stays_below_half_of_two_gibibytes(edge: int, itemsize: int) -> None:
    """A petabyte of labels too: one shard of each level is made while one of each is written."""
    levels, grid = plan_levels((edge,) * 3, (8, 8, 8)), plan_grid((edge,) * 3, itemsize)
    tile = plan_tile(levels, grid, itemsize, 3 << 28)
    assert sum(prod(tile_box(level, tile, (0, 0, 0))[1]) for level in levels) * itemsize <= 3 << 28


@pytest.mark.parametrize("shape", [(2048, 1536, 2048), (16, 5500, 5500), (1, 60_000, 60_000), (20_000, 20_000, 20_000)])
def test_the_tiles_that_are_held_fit_the_budget_whatever_the_shape(shape: tuple[int, int, int]) -> None:
    levels, grid = plan_levels(shape, (8, 8, 8)), plan_grid(shape)
    tile = plan_tile(levels, grid, 2, 1 << 30)
    held = sum(z * y * x for z, y, x in (tile_box(level, tile, (0, 0, 0))[1] for level in levels)) * 2
    assert held <= 1 << 30
    assert all(extent % unit == 0 for extent, unit in zip(tile, grid.shard_shape, strict=True))


def test_whole_planes_are_read_where_they_fit() -> None:
    levels, grid = plan_levels((256, 1536, 2048), (5, 5, 5)), plan_grid((256, 1536, 2048))
    assert plan_tile(levels, grid, 1, 1 << 30) == (128, 1536, 2048)


def test_the_tiles_of_a_level_are_made_of_all_tiles_of_the_one_before() -> None:
    levels = plan_levels((300, 1100, 90), (8, 8, 8))
    tile = (128, 512, 128)
    children = [
        child for index in tiles_of(levels[1], tile) for child in finer_tiles(levels[1], levels[0], tile, index)
    ]
    assert sorted(children) == sorted(tiles_of(levels[0], tile))
