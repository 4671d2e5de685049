"""A process that commits a small volume, and may be killed at the nth thing it does to the disk.

usage: commit_worker.py FOLDER GENERATION [KILL_AT [OME_ZARR [SHAPE]]]

Prints a line when it begins; then whether it made the commit, and how many such things there were. What it does to the
disk is seen through Python's audit events, so nothing of the store is replaced.
"""

import os
import signal
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from em_assets.formats.volume import SourceLevel, SourceVolume
from em_assets.volumes.pyramid import WrittenVolume, write_pyramid
from em_assets.volumes.store import commit_volume

DISK_EVENTS = ("open", "os.mkdir", "os.rename", "os.link", "os.symlink", "os.remove", "os.rmdir")


SHAPE = (20, 70, 70)


def voxels_of(generation: str, shape: Any = SHAPE) -> Any:
    return np.random.default_rng(int(generation, 16)).integers(1, 255, shape, dtype=np.uint8)


def write_generation(voxels: Any, ome_zarr: Any, dest: Any) -> WrittenVolume:

    def read_box(start: Any, shape: Any) -> Any:
        return voxels[tuple(slice(s, s + n) for s, n in zip(start, shape, strict=True))]

    level = SourceLevel(voxels.shape, (8.0, 8.0, 8.0), read_box)
    source = SourceVolume("v", "numpy", voxels.dtype, (level,), ())
    return write_pyramid(
        source, dest, ome_zarr=ome_zarr, content="em", voxel_size_zyx_nm=(8.0, 8.0, 8.0), name="v", attributes={}
    )


def main(folder: Path, generation: str, kill_at: int, ome_zarr: str, shape: Any) -> None:
    n_events = 0

    def count(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal n_events
        if event in DISK_EVENTS and str(folder) in str(arguments[0]):
            n_events += 1
            if n_events == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)

    voxels = voxels_of(generation, shape)
    print("begins", flush=True)  # noqa: T201 - read by the test
    sys.addaudithook(count)
    committed = commit_volume(folder, generation, partial(write_generation, voxels, ome_zarr), inputs=("a", "b"))
    print(committed.is_new, n_events)  # noqa: T201 - read by the test


if __name__ == "__main__":
    said = dict(enumerate(sys.argv))
    shape = tuple(map(int, said[5].split(","))) if 5 in said else SHAPE
    main(Path(said[1]), said[2], int(said.get(3, 0)), said.get(4, "0.5"), shape)
