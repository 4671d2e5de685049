"""Blocks by index: what an item holds, where it comes from, and what is refused."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from committing import GENERATION, committed
from numpy.typing import NDArray

from em_assets.blocks import VolumeDataset, open_volume, sampling, spatial_split
from em_assets.blocks.torch import BlockDataset, BlockStream, Source, make_loader
from em_assets.errors import EvidenceError, OutOfBoundsError, UsageError

BLOCK_ZYX = (8, 16, 24)


def box(item: dict[str, Any]) -> tuple[slice, ...]:
    return tuple(slice(a, a + n) for a, n in zip(item["start_zyx"].tolist(), BLOCK_ZYX, strict=True))


def test_an_item_is_the_block_its_labels_and_where_they_come_from(
    fine: VolumeDataset, fine_labels: VolumeDataset, fine_voxels: NDArray[Any], fine_ids: NDArray[Any]
) -> None:
    item = BlockDataset([Source(fine, fine_labels)], BLOCK_ZYX, 50, seed=1, is_normalised=False)[7]
    assert np.array_equal(item["raw"].numpy(), fine_voxels[box(item)])
    assert np.array_equal(item["labels"].numpy(), fine_ids[box(item)])
    assert (item["raw"].dtype, item["labels"].dtype) == (torch.uint8, torch.int64)
    assert (item["dataset"], item["volume"], item["generation"]) == (fine.url, "em", GENERATION)
    assert item["voxel_size_zyx_nm"].tolist() == [8, 4, 4]


def test_blocks_are_normalised_by_the_whole_volumes_statistics(fine: VolumeDataset, fine_voxels: NDArray[Any]) -> None:
    item = BlockDataset([fine], BLOCK_ZYX, 50, seed=1)[7]
    expected = (fine_voxels[box(item)] - fine_voxels.mean()) / fine_voxels.std()
    assert item["raw"].dtype == torch.float32
    assert np.allclose(item["raw"].numpy(), expected, atol=1e-5)


def test_several_volumes_are_drawn_by_weight_and_read_in_one_voxel_size(
    fine: VolumeDataset, coarse: VolumeDataset
) -> None:
    sources = [Source(fine, weight=3.0), Source(coarse)]
    blocks = BlockDataset(sources, (4, 8, 8), 2000, seed=2, voxel_size_zyx_nm=(16, 8, 8))
    draws = [blocks.plan.draw(0, index) for index in range(2000)]
    assert 0.72 < sum(draw.source == 0 for draw in draws) / 2000 < 0.78
    first = next(index for index, draw in enumerate(draws) if draw.source == 1)
    item, draw = blocks[first], draws[first]
    values = coarse.read(draw.start_zyx, draw.shape_zyx, voxel_size_zyx_nm=(16, 8, 8))
    assert coarse.statistics is not None
    assert np.allclose(item["raw"] * coarse.statistics.std + coarse.statistics.mean, values, atol=0.01)
    assert item["voxel_size_zyx_nm"].tolist() == [16, 8, 8]


def test_labels_in_another_voxel_size_are_none_that_were_not_there(
    fine: VolumeDataset, fine_labels: VolumeDataset, fine_ids: NDArray[Any]
) -> None:
    blocks = BlockDataset([Source(fine, fine_labels)], (4, 8, 8), 20, voxel_size_zyx_nm=(10, 7, 7))
    found = np.unique(np.stack([blocks[index]["labels"].numpy() for index in range(20)]))
    assert set(found) <= set(np.unique(fine_ids))


def test_foreground_gives_no_block_twice_also_among_several_sources(tmp_path: Path, fine: VolumeDataset) -> None:
    voxels = np.zeros((64, 128, 128), np.uint8)
    voxels[:, 64:] = np.random.default_rng(0).integers(1, 99, (64, 64, 128), dtype=np.uint8)
    places = sampling.foreground(committed(tmp_path / "half", voxels), (16, 16, 16), seed=1)
    half = Source(open_volume(tmp_path / "half"), sampler=places)
    alone = BlockDataset([half], (16, 16, 16))
    assert len(alone) == len(places) == 4 * 4 * 8
    assert len({tuple(alone[index]["start_zyx"].tolist()) for index in range(len(alone))}) == len(places)
    mixed = BlockDataset([half, fine], (16, 16, 16), 150)
    starts = [draw.start_zyx for draw in (mixed.plan.draw(4, index) for index in range(150)) if draw.source == 0]
    assert len(set(starts)) == len(starts) > 50
    with pytest.raises(UsageError, match="128 blocks an epoch"):
        BlockDataset([half], (16, 16, 16), 129)


def test_a_split_keeps_blocks_in_its_part(fine: VolumeDataset) -> None:
    split = spatial_split(fine, {"train": 0.6, "validation": 0.4}, gap_nm=40, seed=3)
    ends = {}
    for name, regions in split.regions.items():
        blocks = BlockDataset([Source(fine, within=regions)], (8, 8, 8), 200)
        along = [blocks.plan.draw(0, index).start_zyx["zyx".index(split.axis)] for index in range(200)]
        ends[name] = (min(along), max(along) + 8)
    low, high = sorted(ends.values())
    assert (high[0] - low[1]) * fine.require_voxel_size()["zyx".index(split.axis)] >= 40


def test_a_loader_collates_a_transformed_batch(fine: VolumeDataset, fine_labels: VolumeDataset) -> None:
    def flipped(item: dict[str, Any]) -> dict[str, Any]:
        return item | {"raw": item["raw"].flip(0)}

    blocks = BlockDataset([Source(fine, fine_labels)], BLOCK_ZYX, 12, transform=flipped)
    plain = BlockDataset([fine], BLOCK_ZYX, 12)
    loader = make_loader(blocks, batch_size=5)
    assert type(loader) is torch.utils.data.DataLoader
    batches = list(loader)
    assert [len(batch["raw"]) for batch in batches] == [5, 5, 2]
    assert torch.equal(batches[1]["raw"][2], plain[7]["raw"].flip(0))
    assert batches[0]["generation"] == [GENERATION] * 5


def test_unknown_voxel_sizes_are_nan_and_no_obstacle_to_reading_by_voxels(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "plain.tif", np.arange(20**3, dtype=">u2").reshape(20, 20, 20), byteorder=">")
    volume = open_volume(tmp_path / "plain.tif")
    item = BlockDataset([volume], (5, 5, 5), 4, is_normalised=False)[0]
    assert all(math.isnan(nm) for nm in item["voxel_size_zyx_nm"].tolist())
    assert item["generation"] == ""
    assert int(item["raw"][0, 0, 1]) - int(item["raw"][0, 0, 0]) == 1
    batch = next(iter(BlockStream([volume], (5, 5, 5), 4, batch_size=4, is_normalised=False)))
    assert torch.equal(batch["raw"][0], item["raw"])
    with pytest.raises(EvidenceError, match=r"\(None, None, None\)"):
        BlockDataset([volume], (5, 5, 5), 4, voxel_size_zyx_nm=(8, 8, 8), is_normalised=False)


def test_what_cannot_be_drawn_or_read_is_said(
    fine: VolumeDataset, fine_labels: VolumeDataset, coarse: VolumeDataset, tmp_path: Path
) -> None:
    tifffile.imwrite(tmp_path / "plain.tif", np.zeros((70, 130, 90), np.uint8))
    plain = open_volume(tmp_path / "plain.tif")
    refused: list[tuple[Any, type[Exception], str]] = [
        ({"sources": [], "n": 5}, UsageError, "at least one volume"),
        ({"sources": [fine]}, UsageError, "n: blocks in an epoch"),
        ({"sources": [fine], "n": 0}, UsageError, "n=0"),
        ({"sources": [Source(fine, weight=0)], "n": 5}, UsageError, "weight above 0"),
        ({"sources": [Source(fine, coarse)], "n": 5}, UsageError, r"labels of shape \(70, 130, 90\).*\(64, 66, 68\)"),
        ({"sources": [Source(fine, fine_labels), coarse], "n": 5}, UsageError, "of every source or of none"),
        ({"sources": [Source(fine, fine)], "n": 5, "voxel_size_zyx_nm": (8, 8, 8)}, UsageError, "content is em"),
        ({"sources": [plain], "n": 5}, UsageError, "no statistics"),
        ({"sources": [fine], "n": 5, "voxel_size_zyx_nm": (8, 0, 8)}, UsageError, "above 0"),
        ({"sources": [fine], "n": 5, "block_zyx": (8, 8, 91)}, OutOfBoundsError, "fits into none"),
        ({"sources": [fine], "n": 5, "block_zyx": (8, -8, 9)}, OutOfBoundsError, "above 0"),
        ({"sources": [Source(fine, sampler=sampling.grid(fine.shape, (9, 9, 9)))]}, UsageError, "sampler of blocks"),
    ]
    for arguments, error, words in refused:
        with pytest.raises(error, match=words):
            BlockDataset(**{"block_zyx": (8, 8, 8), **arguments})
    with pytest.raises(UsageError, match="one type"):
        BlockStream([fine, coarse], (8, 8, 8), 5, is_normalised=False)
    blocks = BlockDataset([fine], (8, 8, 8), 5)
    with pytest.raises(UsageError, match="at most 5 items"):
        blocks.set_epoch(0, 6)
    with pytest.raises(UsageError, match="shuffle"):
        make_loader(blocks, shuffle=True)
    with pytest.raises(IndexError, match="no item 5"):
        blocks[5]
