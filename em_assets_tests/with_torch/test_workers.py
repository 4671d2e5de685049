"""The same blocks in the same order, however many workers there are, however they were started, and after resuming."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch

from em_assets.blocks import VolumeDataset, open_volume
from em_assets.blocks.torch import BlockDataset, BlockStream, Source, make_loader
from em_assets.errors import OutOfBoundsError

BLOCK_ZYX = (8, 16, 24)
N = 48
FIRST = 20
START_METHODS = ("fork", "forkserver", "spawn")
QUIET_FORK = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")

Made = BlockDataset | BlockStream
Seen = list[tuple[str, list[int], int, int]]


def dataset(sources: list[Source]) -> Made:
    return BlockDataset(sources, BLOCK_ZYX, N, seed=9, is_normalised=False)


def stream(sources: list[Source]) -> Made:
    return BlockStream(sources, BLOCK_ZYX, N, seed=9, batch_size=4, is_normalised=False)


def seen(batch: dict[str, Any]) -> Seen:
    """Which blocks a batch holds, and what is in them."""
    sums = (batch[key].to(torch.int64).sum((1, 2, 3)).tolist() for key in ("raw", "labels"))
    return list(zip(batch["dataset"], batch["start_zyx"].tolist(), *sums, strict=True))


def three_passes(blocks: Made, workers: int, start_method: str) -> list[Seen]:
    """Epoch 0, epoch 3, and what is left of epoch 3 from its item FIRST: by one loader, whose workers live on."""
    loader = make_loader(blocks, 4, workers, multiprocessing_context=start_method)
    passes = []
    for epoch, first in ((0, 0), (3, 0), (3, FIRST)):
        blocks.set_epoch(epoch, first)
        passes.append([item for batch in loader for item in seen(batch)])
    return passes


@pytest.fixture(scope="module")
def expected(fine: VolumeDataset, fine_labels: VolumeDataset) -> list[Seen]:
    """By numpy: what the plan draws, read block by block in this process."""
    source = Source(fine, fine_labels)
    plan = dataset([source]).plan
    passes = []
    for epoch, first in ((0, 0), (3, 0), (3, FIRST)):
        draws = [plan.draw(epoch, index) for index in range(first, N)]
        sums = [[int(each.read(*draw[1:]).sum()) for each in (fine, fine_labels)] for draw in draws]
        passes.append([(fine.url, list(draw.start_zyx), *both) for draw, both in zip(draws, sums, strict=True)])
    return passes


@QUIET_FORK
@pytest.mark.filterwarnings("ignore:This DataLoader will create 4 worker processes:UserWarning")
@pytest.mark.parametrize("start_method", START_METHODS)
@pytest.mark.parametrize("workers", [0, 1, 2, 4])
@pytest.mark.parametrize("make", [dataset, stream])
def test_the_same_blocks_come_in_the_same_order(
    make: Callable[..., Made],
    workers: int,
    start_method: str,
    fine: VolumeDataset,
    fine_labels: VolumeDataset,
    expected: list[Seen],
) -> None:
    if workers == 0 and start_method != START_METHODS[0]:
        pytest.skip("nothing is started")
    assert three_passes(make([Source(fine, fine_labels)]), workers, start_method) == expected
    assert expected[1][FIRST:] == expected[2] != expected[0][FIRST:]


def test_a_stream_of_several_volumes_has_the_datasets_items(fine: VolumeDataset, fine_labels: VolumeDataset) -> None:
    sources = [Source(fine, fine_labels, weight=2.0), Source(fine, fine_labels)]
    by_index, in_batches = (three_passes(make(sources), 0, "spawn") for make in (dataset, stream))
    assert by_index == in_batches


@QUIET_FORK
def test_a_plain_loader_that_forks_reads_what_its_parent_reads(
    fine: VolumeDataset, fine_labels: VolumeDataset, expected: list[Seen]
) -> None:
    """Tensorstore aborts a forked process; torch forks where nobody says otherwise."""
    blocks = dataset([Source(fine, fine_labels)])
    assert blocks[0]["raw"].any()  # the parent has used tensorstore
    loader = torch.utils.data.DataLoader(blocks, batch_size=4, num_workers=2, multiprocessing_context="fork")
    assert [item for batch in loader for item in seen(batch)] == expected[0]


@QUIET_FORK
@pytest.mark.parametrize("start_method", START_METHODS)
def test_files_before_their_conversion_are_read_by_workers_too(tmp_path: Path, start_method: str) -> None:
    """TIFF is read by threads of ours, which a forked process does not have."""
    voxels = np.random.default_rng(3).integers(0, 255, (20, 30, 40), dtype=np.uint8)
    tifffile.imwrite(tmp_path / "stack.tif", voxels)
    blocks = BlockStream([open_volume(tmp_path / "stack.tif")], (4, 5, 6), 16, batch_size=4, is_normalised=False)
    here = [batch["raw"].clone() for batch in blocks]
    there = [batch["raw"] for batch in make_loader(blocks, num_workers=2, multiprocessing_context=start_method)]
    assert torch.equal(torch.stack(here), torch.stack(there))


def test_a_batch_that_cannot_be_read_ends_in_words_and_in_no_other(fine: VolumeDataset, tmp_path: Path) -> None:
    from committing import committed

    copy = committed(tmp_path / "em", fine[...])
    shard = next(path for path in sorted(Path(copy.url).rglob("*")) if path.is_file() and "/c/" in str(path))
    blocks = BlockStream([copy], BLOCK_ZYX, N, is_normalised=False)
    shard.unlink()
    with pytest.raises(Exception, match=shard.name) as raised:
        list(blocks)
    assert type(raised.value).__module__ == "em_assets.errors"


def test_a_loop_that_is_left_early_leaves_no_read_behind(fine: VolumeDataset) -> None:
    blocks = BlockStream([fine], BLOCK_ZYX, N, is_normalised=False)
    kept = []
    for batch in blocks:
        kept.append(batch["raw"].clone())
        if len(kept) == 2:
            break
    again = [batch["raw"].clone() for batch in blocks]
    assert torch.equal(torch.stack(kept), torch.stack(again[:2]))
    assert len(again) == len(blocks) == N // 8


class Outside:
    """A sampler that leaves the volume."""

    def __len__(self) -> int:
        return 8

    def box(self, epoch: int, index: int) -> Any:
        return (0, 0, index * 20), BLOCK_ZYX


@pytest.mark.parametrize("workers", [0, 1])
def test_an_error_of_a_worker_comes_as_itself(fine: VolumeDataset, workers: int) -> None:
    blocks = BlockDataset([Source(fine, sampler=Outside())], BLOCK_ZYX, is_normalised=False)
    with pytest.raises(OutOfBoundsError, match="not inside"):
        list(make_loader(blocks, 8, workers))
