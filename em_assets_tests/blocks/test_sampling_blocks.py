"""Which blocks are drawn: by (seed, epoch, index) alone, inside their region, and where there is something."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from committing import committed
from hypothesis import given, settings
from hypothesis import strategies as st

from em_assets.blocks import VolumeDataset, sampling
from em_assets.errors import OutOfBoundsError, UsageError

quickly = settings(max_examples=40, deadline=None)
sides = st.tuples(*[st.integers(1, 40)] * 3)


class TestGrid:
    @quickly
    @given(shape=sides, block=sides, overlap=st.tuples(*[st.integers(0, 10)] * 3))
    def test_a_grid_covers_every_voxel_with_whole_blocks(self, shape: Any, block: Any, overlap: Any) -> None:
        block = tuple(min(n, size) for n, size in zip(block, shape, strict=True))
        overlap = tuple(min(n, edge - 1) for n, edge in zip(overlap, block, strict=True))
        seen = np.zeros(shape, bool)
        blocks = sampling.grid(shape, block, overlap)
        for index in range(len(blocks)):
            start, size = blocks.box(0, index)
            assert size == block
            seen[tuple(slice(a, a + n) for a, n in zip(start, size, strict=True))] = True
        assert seen.all()

    def test_a_seed_shuffles_each_epoch_anew_and_loses_no_block(self) -> None:
        blocks = sampling.grid((40, 40, 40), (10, 10, 10), seed=3)
        epochs = [[blocks.box(epoch, index)[0] for index in range(len(blocks))] for epoch in (0, 1, 0)]
        assert epochs[0] == epochs[2] != epochs[1]
        assert len(set(epochs[0])) == 64 == len(set(epochs[1]))

    def test_an_overlap_as_large_as_the_block_is_refused(self) -> None:
        with pytest.raises(UsageError, match="overlap_zyx"):
            sampling.grid((40, 40, 40), (10, 10, 10), (0, 10, 0))


class TestRandom:
    @quickly
    @given(seed=st.integers(0, 2**40), epoch=st.integers(0, 1000), index=st.integers(0, 99))
    def test_a_block_follows_from_seed_epoch_and_index_alone(self, seed: int, epoch: int, index: int) -> None:
        first, second = (sampling.random((90, 80, 70), (9, 8, 7), 100, seed) for _ in range(2))
        for _ in range(3):
            second.box(1, 2)  # what was drawn before makes no difference
        start, shape = first.box(epoch, index)
        assert (start, shape) == second.box(epoch, index)
        assert all(0 <= a <= size - n for a, n, size in zip(start, shape, (90, 80, 70), strict=True))

    def test_every_place_is_drawn_and_none_more_than_others(self) -> None:
        blocks = sampling.random((3, 4, 9), (2, 2, 2), 6000, 1, within=[((0, 0, 0), (2, 3, 4)), ((1, 0, 5), (2, 4, 4))])
        starts, counts = np.unique([blocks.box(0, i)[0] for i in range(6000)], axis=0, return_counts=True)
        assert len(starts) == 1 * 2 * 3 + 1 * 3 * 3
        assert counts.min() > 400 * 0.8
        assert counts.max() < 400 * 1.2

    def test_aligned_blocks_start_at_chunks_also_inside_a_region(self) -> None:
        region, edge = ((10, 70, 0), (190, 130, 200)), (64, 64, 64)
        blocks = sampling.random((200, 200, 200), edge, 50, 5, aligned_to=edge, within=[region])
        starts = {blocks.box(2, index)[0] for index in range(50)}
        assert starts == {(z, 128, x) for z in (64, 128) for x in (0, 64, 128)}

    def test_what_cannot_be_drawn_is_said(self) -> None:
        with pytest.raises(OutOfBoundsError, match="fits into none"):
            sampling.random((10, 10, 10), (11, 1, 1), 5, 0)
        with pytest.raises(OutOfBoundsError, match="multiples of"):
            sampling.random(
                (100, 100, 100), (64, 64, 64), 5, 0, aligned_to=(64,) * 3, within=[((1, 1, 1), (70, 70, 70))]
            )
        with pytest.raises(OutOfBoundsError, match="inside"):
            sampling.random((10, 10, 10), (1, 1, 1), 5, 0, within=[((5, 0, 0), (6, 1, 1))])
        for bad in ({"n": 0}, {"seed": -1}, {"seed": "x"}):
            with pytest.raises(UsageError):
                sampling.random((10, 10, 10), (1, 1, 1), **{"n": 5, "seed": 0, **bad})


class TestForeground:
    def test_only_blocks_with_something_are_read_and_none_twice(self, tmp_path: Path) -> None:
        voxels = np.zeros((128, 192, 256), np.uint8)
        voxels[0:64, 64:128, 0:64] = 7
        voxels[64:70, 130:140, 200:210] = np.random.default_rng(0).integers(1, 255, (6, 10, 10), dtype=np.uint8)
        em = committed(tmp_path / "em", voxels)
        blocks = sampling.foreground(em, (64, 64, 64), seed=1)
        starts = [blocks.box(0, index)[0] for index in range(len(blocks))]
        assert sorted(starts) == [(0, 64, 0), (64, 128, 192)]
        assert all(em.read(start, (64, 64, 64)).any() for start in starts)
        assert len(sampling.foreground(em, (64, 64, 64), seed=1, min_foreground=0.5)) == 1
        textured = sampling.foreground(em, (64, 64, 64), seed=1, min_std=0.5)
        assert textured.starts_zyx == ((64, 128, 192),)

    def test_the_share_of_a_block_is_the_voxels_own(self, tmp_path: Path) -> None:
        """Blocks of 2 × 2 × 2 chunks: the index knows exactly how much of each is not zero."""
        voxels = (np.random.default_rng(1).random((128, 128, 256)) < 0.3).astype(np.uint8)
        voxels[:, :, 128:] *= np.random.default_rng(2).random((128, 128, 128)) < 0.5
        em = committed(tmp_path / "em", voxels)
        shares = [voxels[..., :128].mean(), voxels[..., 128:].mean()]
        assert len(sampling.foreground(em, (128, 128, 128), seed=0, min_foreground=max(shares) - 1e-6)) == 1
        assert len(sampling.foreground(em, (128, 128, 128), seed=0, min_foreground=min(shares) - 1e-6)) == 2

    def test_no_block_that_is_left_and_no_index_are_said(self, tmp_path: Path, zarr_volume: VolumeDataset) -> None:
        em = committed(tmp_path / "em", np.full((64, 64, 64), 3, np.uint8))
        with pytest.raises(UsageError, match="the most there is: 1 and 0"):
            sampling.foreground(em, (32, 32, 32), seed=0, min_std=1)
        with pytest.raises(UsageError, match="committed volume"):
            sampling.foreground(zarr_volume, (2, 2, 2), seed=0)
