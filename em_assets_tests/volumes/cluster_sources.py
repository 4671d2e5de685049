"""Sources that a worker of a test's cluster opens: the voxels of a `.npy` file, and one that ends its process once."""

import os
import signal
from pathlib import Path
from typing import Any

import numpy as np

from em_assets.formats.volume import SourceLevel, SourceVolume

VOXEL_SIZE = (8.0, 8.0, 8.0)


def opened(path: Path) -> SourceVolume:
    """The voxels of a `.npy` file."""
    return _source(path, lambda: None)


def killing_once(path: Path, marker: Path, n_reads: int) -> SourceVolume:
    """The same; the process that is the `n_reads`th to read a box is ended by SIGKILL before it has it."""

    def read() -> None:
        with marker.open("ab", buffering=0) as file:  # appending is one step: every read of any process has its number
            file.write(b".")
            number = file.tell()
        if number == n_reads:
            os.kill(os.getpid(), signal.SIGKILL)

    return _source(path, read)


def killing_always(path: Path) -> SourceVolume:
    """The same; whoever reads from it is ended."""
    return _source(path, lambda: os.kill(os.getpid(), signal.SIGKILL))


def _source(path: Path, before: Any) -> SourceVolume:
    voxels = np.load(path, mmap_mode="r")

    def read_box(start: Any, shape: Any) -> Any:
        before()
        return voxels[tuple(slice(s, s + n) for s, n in zip(start, shape, strict=True))].copy()

    level = SourceLevel(voxels.shape, VOXEL_SIZE, read_box, chunk_shape_zyx=(32, 32, 32))
    return SourceVolume("array", "numpy", voxels.dtype, (level,), (str(path),))
