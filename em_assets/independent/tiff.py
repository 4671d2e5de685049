"""TIFF by tifffile."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from em_assets.independent.voxels import Voxels, items


@contextmanager
def open_voxels(path: str) -> Iterator[list[Voxels]]:
    """The series that tifffile finds, read through its zarr view: strip by strip, tile by tile, never a stack."""
    import tifffile
    import zarr

    with tifffile.TiffFile(path) as file, ExitStack() as stores:
        found: list[Voxels] = []
        for series in file.series:
            store = stores.enter_context(series.aszarr(level=0))
            array = zarr.open_array(store, mode="r")
            found += items(array, _axes(series.axes), counted="tc")
        yield found


def _axes(axes: str) -> str:
    """Pages that tifffile has no name for (I, Q) are slices."""
    return axes if "Z" in axes else axes.replace("I", "Z", 1) if "I" in axes else axes.replace("Q", "Z", 1)
