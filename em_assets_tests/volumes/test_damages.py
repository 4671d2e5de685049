"""Chunks removed, swapped, truncated or flipped, drawn at random: every one is found, and nothing else is named."""

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
import pytest

from em_assets.formats.volume import SourceVolume
from em_assets.volumes.encoding import ABSENT
from em_assets.volumes.pyramid import write_pyramid
from em_assets.volumes.store import CommittedVolume, commit_volume
from em_assets.volumes.validation import validate_volume

N_DAMAGES = 500
CHUNKS_A_SHARD = 8
INDEX_BYTES = 16 * CHUNKS_A_SHARD + 4

Damage = Callable[[Path, np.random.Generator], None]


def removed(path: Path, _: np.random.Generator) -> None:
    path.unlink()


def truncated(path: Path, draw: np.random.Generator) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: int(draw.integers(len(data)))])


def flipped(path: Path, draw: np.random.Generator) -> None:
    data = bytearray(path.read_bytes())
    data[int(draw.integers(len(data)))] ^= 1 << int(draw.integers(8))
    path.write_bytes(data)


def swapped(path: Path, draw: np.random.Generator) -> None:
    """With the next chunk's file: both are damaged."""
    other = path.with_name(str(int(path.name) + 1))
    first, second = path.read_bytes(), other.read_bytes()
    path.write_bytes(second)
    other.write_bytes(first)


def in_shard(change: Callable[[Any, np.random.Generator], None]) -> Damage:
    """A shard that is in order but for one of its chunks: its index says so under a checksum that fits."""

    def damage(path: Path, draw: np.random.Generator) -> None:
        data = path.read_bytes()
        index = np.frombuffer(data[-INDEX_BYTES:-4], "<u8").reshape(-1, 2).copy()
        change(index, draw)
        packed = index.tobytes()
        path.write_bytes(data[:-INDEX_BYTES] + packed + struct.pack("<I", google_crc32c.value(packed)))

    return damage


@in_shard
def chunk_removed(index: Any, draw: np.random.Generator) -> None:
    index[draw.integers(CHUNKS_A_SHARD)] = ABSENT


@in_shard
def chunk_truncated(index: Any, draw: np.random.Generator) -> None:
    index[draw.integers(CHUNKS_A_SHARD), 1] -= 1


@in_shard
def chunks_swapped(index: Any, draw: np.random.Generator) -> None:
    first, second = draw.permutation(CHUNKS_A_SHARD)[:2]
    index[[first, second]] = index[[second, first]]


def chunk_flipped(path: Path, draw: np.random.Generator) -> None:
    data = bytearray(path.read_bytes())
    data[int(draw.integers(len(data) - INDEX_BYTES))] ^= 1 << int(draw.integers(8))
    path.write_bytes(data)


DAMAGES = {
    "0.4": (removed, swapped, truncated, flipped),
    "0.5": (removed, truncated, chunk_removed, chunks_swapped, chunk_truncated, chunk_flipped),
}


def committed(folder: Path, source: SourceVolume, ome_zarr: Any) -> CommittedVolume:
    said = {"content": "em", "voxel_size_zyx_nm": source.voxel_size_zyx_nm, "name": "v", "attributes": {}}
    return commit_volume(folder, "aaaa", lambda dest: write_pyramid(source, dest, ome_zarr=ome_zarr, **said))


@pytest.mark.parametrize("ome_zarr", DAMAGES)
def test_every_one_of_500_damaged_chunks_is_found(
    tmp_path: Path, make_source: Callable[..., SourceVolume], ome_zarr: str
) -> None:
    draw = np.random.default_rng(7)
    n_voxels = 2 * N_DAMAGES * 64 * (CHUNKS_A_SHARD if ome_zarr == "0.5" else 1)
    source = make_source(draw.integers(1, 255, (1, 1, n_voxels), dtype=np.uint8))
    volume = committed(tmp_path / "em", source, ome_zarr)
    assert validate_volume(volume.folder) == []
    # Every other file, so that the neighbour that one is swapped with is damaged once.
    files = sorted(volume.path / key for key, _, _ in volume.ledger() if key[-1].isdigit() and key.startswith("s0"))
    victims = sorted(path for path in files if int(path.name) % 2 == 0)
    damaged: set[Path] = set()
    for number, victim in enumerate(draw.permutation(len(victims))[:N_DAMAGES]):
        path, damage = victims[victim], DAMAGES[ome_zarr][number % len(DAMAGES[ome_zarr])]
        damage(path, draw)
        damaged |= {path, path.with_name(str(int(path.name) + 1))} if damage is swapped else {path}
    found = validate_volume(volume.folder)
    assert {Path(line.split(": ")[0]) for line in found} == damaged
    assert len(found) == len(damaged) >= N_DAMAGES
