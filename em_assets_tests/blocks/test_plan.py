"""What an epoch is drawn from; torch is not needed for that, nor is it imported."""

import subprocess
import sys
from collections import Counter
from typing import Any

import pytest

from em_assets.blocks import VolumeDataset, sampling
from em_assets.blocks.plan import Plan, Source, make_plan
from em_assets.errors import UsageError


def planned(sources: Any, n: int | None = None, seed: int = 1, **options: Any) -> Plan:
    return make_plan(sources, (2, 8, 8), n, seed, **{"voxel_size_zyx_nm": None, "is_normalised": False, **options})


def test_one_source_follows_its_sampler(zarr_volume: VolumeDataset) -> None:
    plan = planned([zarr_volume], 100, seed=4)
    blocks = sampling.random(zarr_volume.shape, (2, 8, 8), 100, 4)
    assert [plan.draw(2, index)[1:] for index in range(100)] == [blocks.box(2, index) for index in range(100)]


def test_several_sources_are_drawn_by_weight_and_in_turn(zarr_volume: VolumeDataset) -> None:
    places = sampling.grid(zarr_volume.shape, (2, 8, 8), seed=2)
    plan = planned([Source(zarr_volume, weight=1, sampler=places), Source(zarr_volume, weight=4)], 1000)
    draws = [plan.draw(5, index) for index in range(1000)]
    counts = Counter(draw.source for draw in draws)
    assert 150 < counts[0] < 250
    first_pass = [draw.start_zyx for draw in draws if draw.source == 0][: len(places)]
    assert first_pass == [places.box(5, index)[0] for index in range(len(first_pass))]


def test_an_item_depends_on_no_other(zarr_volume: VolumeDataset) -> None:
    sources = [Source(zarr_volume), Source(zarr_volume, weight=0.5)]
    forwards = [planned(sources, 50).draw(1, index) for index in range(50)]
    backwards = [planned(sources, 50).draw(1, index) for index in reversed(range(50))]
    assert forwards == backwards[::-1] != [planned(sources, 50).draw(2, index) for index in range(50)]


def test_a_sampler_of_ones_own_says_how_many_blocks_there_are(zarr_volume: VolumeDataset) -> None:
    places = sampling.grid(zarr_volume.shape, (2, 8, 8))
    assert planned([Source(zarr_volume, sampler=places)]).n == len(places)
    with pytest.raises(UsageError, match=f"{len(places)} blocks an epoch"):
        planned([Source(zarr_volume, sampler=places)], len(places) + 1)
    with pytest.raises(UsageError, match="belongs to the sampler"):
        planned([Source(zarr_volume, sampler=places, within=[((0, 0, 0), (4, 8, 8))])])


def test_without_statistics_nothing_is_normalised(zarr_volume: VolumeDataset) -> None:
    with pytest.raises(UsageError, match="is_normalised=False"):
        planned([zarr_volume], 5, is_normalised=True)


def test_without_torch_the_extra_is_named() -> None:
    code = "import sys; sys.modules['torch'] = None; import em_assets.blocks.torch"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert "pip install 'em-assets[torch]'" in done.stderr
