"""Reads thousands of blocks of a volume and prints its private memory, MiB, after a tenth of them and after all.

python reading_blocks.py PATH [COUNT [EDGE [CACHE_FOLDER]]]
"""

import gc
import sys
from pathlib import Path

import numpy as np

from em_assets.blocks import open_volume
from em_assets.settings import BlockCache, Settings

AT_ONCE = 20


def private_mib() -> float:
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_Dirty")) / 1024


def main(path: str, count: int = 10_000, edge: int = 24, cache: str | None = None) -> None:
    """Fresh arrays for half of the blocks, a buffer that is used again for the others."""
    settings = Settings(store=Path(cache), block_cache=BlockCache(Path(cache), 1 << 30)) if cache else None
    volume = open_volume(path, settings=settings)
    shape = tuple(min(edge, size) for size in volume.shape)
    most = [size - extent + 1 for size, extent in zip(volume.shape, shape, strict=True)]
    out = np.empty((AT_ONCE, *shape), volume.dtype)
    generator = np.random.default_rng(0)
    for turn in range(count // AT_ONCE):
        boxes = [(tuple(map(int, start)), shape) for start in generator.integers(0, most, (AT_ONCE, 3))]
        volume.read_many(boxes, out=out if turn % 2 else None)
        if turn + 1 in (count // AT_ONCE // 10, count // AT_ONCE):
            gc.collect()
            sys.stdout.write(f"{private_mib():.1f} ")


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:4]), *sys.argv[4:])
