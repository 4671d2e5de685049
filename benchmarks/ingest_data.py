"""Volumes to measure with: made-up tissue as a TIFF stack, DM3 slices and a Zarr group; made once, then kept."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from em_assets.model import ZYX
from em_assets.sample.labels import cells
from em_assets.sample.texture import texture
from em_assets.volumes.ingest import ingest

SLAB = 16


def tiff_stack(folder: Path, shape_zyx: ZYX, seed: int = 7) -> Path:
    """An uncompressed stack; beyond 256 planes they come again."""
    import tifffile

    path = folder / ("x".join(map(str, shape_zyx)) + ".tif")
    if not path.exists():
        part = path.with_suffix(".part")
        planes = (plane for slab in _slabs(shape_zyx, seed) for plane in slab)
        tifffile.imwrite(part, planes, shape=shape_zyx, dtype=np.uint8, bigtiff=True, photometric="minisblack")
        part.rename(path)
    return path


def dm3_slices(folder: Path, shape_zyx: ZYX, seed: int = 7) -> Path:
    """A folder of slices as Digital Micrograph writes them."""
    from em_assets.sample.empiar import slice_bytes, tag_table

    path = folder / "dm3"
    if not path.exists():
        rows, part = tag_table(), folder / "dm3.part"
        part.mkdir(parents=True)
        planes = (plane for slab in _slabs(shape_zyx, seed) for plane in slab)
        for number, plane in enumerate(planes):
            (part / f"slice_{number:04d}.dm3").write_bytes(slice_bytes(rows, number % 16, plane))
        part.rename(path)
    return path


def int16_stack(folder: Path, edge: int = 512, seed: int = 7) -> Path:
    """A TIFF stack of int16 as OpenOrganelle's volumes are: twelve bits of grey, a little jitter."""
    import tifffile

    path = folder / "jrc.tif"
    if not path.exists():
        values = texture((edge, edge, edge), seed).astype(np.int16) * 9
        values += np.random.default_rng(seed).integers(-2, 3, (edge, edge), dtype=np.int16)
        tifffile.imwrite(path, values, photometric="minisblack")
    return path


def zarr_group(folder: Path) -> Path:
    """The same as an OME-Zarr 0.4 group, as they publish it: 64³ chunks of zstd, a file each."""
    path = folder / "jrc.zarr"
    if not path.exists():
        ingest(int16_stack(folder), path, ome_zarr="0.4", voxel_size_zyx_nm=(2.96, 4.0, 4.0))
    return path


def label_stack(folder: Path, seed: int = 7) -> Path:
    """A TIFF stack of 256 x 512 x 512 labels of 64 bits, as segmentations of whole brains number their segments."""
    import tifffile

    path = folder / "labels.tif"
    if not path.exists():
        owner = cells((128, 128, 256), 96, seed)[0].astype(np.uint64)
        tiles = [owner + np.uint64(1000 * place) * (owner > 0) for place in range(16)]
        blocks = [[[tiles[8 * z + 2 * y + x] for x in range(2)] for y in range(4)] for z in range(2)]
        labels = np.block(blocks) * np.uint64(0x9E3779B1)
        tifffile.imwrite(path, labels, photometric="minisblack")
    return path


def _slabs(shape_zyx: ZYX, seed: int) -> Iterator[NDArray[Any]]:
    """Tissue of a fresh seed every few planes up to 256, then the same again."""
    depth, height, width = shape_zyx
    for first in range(0, depth, SLAB):
        made = (min(SLAB, depth - first), min(height, 2048), min(width, 2048))
        slab = texture(made, seed + first % 256)
        times = (1, -(-height // made[1]), -(-width // made[2]))
        yield np.tile(slab, times)[:, :height, :width]
