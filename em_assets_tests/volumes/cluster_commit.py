"""A process that commits a volume through a Dask cluster, to be killed meanwhile.

usage: cluster_commit.py ADDRESS VOXELS.npy FOLDER GENERATION

Prints a line when it begins and another when it has committed.
"""

import sys
from functools import partial
from pathlib import Path

from cluster_sources import VOXEL_SIZE, opened

from em_assets.volumes.cluster import on_a_cluster
from em_assets.volumes.pyramid import write_pyramid
from em_assets.volumes.store import commit_volume


def main(address: str, voxels: Path, folder: Path, generation: str) -> None:
    where = on_a_cluster(address, partial(opened, voxels))
    said = {"content": "em", "voxel_size_zyx_nm": VOXEL_SIZE, "name": "v", "attributes": {}}
    print("begins", flush=True)  # noqa: T201 - read by the test
    commit_volume(
        folder, generation, lambda dest: write_pyramid(opened(voxels), dest, ome_zarr="0.4", where=where, **said)
    )
    print("committed")  # noqa: T201 - read by the test


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4])
