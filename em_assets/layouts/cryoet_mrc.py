"""Voxels as an MRC2014 file: a header of 1024 bytes, then the voxels, x fastest, written box by box.

MRC keeps int8, int16, uint16, float16 and float32. Of whole numbers only what every reader takes for the same is
written: uint8 widens to int16, since bytes had no sign in older programs.
"""

import struct
from collections.abc import Callable, Iterator
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from em_assets.errors import UnsupportedDataError
from em_assets.model import ZYX
from em_assets.volumes.statistics import Statistics

HEADER_BYTES = 1024
LABEL = "Written by em_assets"
BOX_BYTES = 64 << 20

_MODES = {"int8": 0, "int16": 1, "float32": 2, "uint16": 6, "float16": 12}
_WIDENED = {"uint8": "int16"}

Read = Callable[[ZYX, ZYX], NDArray[Any]]
"""Voxels of a box: start and shape, z, y, x."""


def mrc_dtype(dtype: np.dtype[Any], statistics: Statistics | None) -> np.dtype[Any]:
    """The type that keeps every voxel's value in an MRC file.

    Raises
    ------
    UnsupportedDataError
        None does.
    """
    name = _WIDENED.get(dtype.name, dtype.name)
    if name in _MODES:
        return np.dtype(name)
    if dtype.kind in "iu" and statistics and statistics.min is not None and statistics.max is not None:
        for wide in ("int16", "uint16"):
            if np.iinfo(wide).min <= statistics.min and statistics.max <= np.iinfo(wide).max:
                return np.dtype(wide)
        raise UnsupportedDataError(
            f"{dtype.name} voxels from {statistics.min} to {statistics.max}: MRC keeps whole numbers of 16 bits at most"
        )
    raise UnsupportedDataError(f"{dtype.name} voxels: MRC keeps {', '.join(_MODES)}")


def write_mrc(path: Path, read: Read, shape_zyx: ZYX, dtype: np.dtype[Any], voxel_angstrom: float, depth: int) -> None:
    """Write all voxels, in boxes `depth` planes deep; one box is held in memory."""
    stored, density = dtype.newbyteorder("<"), _Density()
    with path.open("xb") as file:
        for start, shape in _boxes(shape_zyx, depth, dtype.itemsize):
            box = read(start, shape)
            density.add(box)
            for z, rows in enumerate(box.astype(stored, copy=False), start[0]):
                file.seek(HEADER_BYTES + (z * shape_zyx[1] + start[1]) * shape_zyx[2] * dtype.itemsize)
                file.write(np.ascontiguousarray(rows).data)
        file.seek(0)
        file.write(_header(shape_zyx, dtype, voxel_angstrom, density))


class _Density:
    """Least, greatest, mean value and deviation of the finite voxels, box by box."""

    def __init__(self) -> None:
        self.count, self.total, self.squares, self.least, self.greatest = 0, 0.0, 0.0, np.inf, -np.inf

    def add(self, box: NDArray[Any]) -> None:
        """Count a box."""
        finite = box[np.isfinite(box)] if box.dtype.kind == "f" else box
        if finite.size:
            self.count += finite.size
            self.total += float(finite.sum(dtype=np.float64))
            self.squares += float(np.square(finite, dtype=np.float64).sum())
            self.least = min(self.least, float(finite.min()))
            self.greatest = max(self.greatest, float(finite.max()))

    def fields(self) -> tuple[float, float, float, float]:
        """Least, greatest, mean, deviation; without a finite voxel what MRC2014 writes for unknown ones."""
        if not self.count:
            return (0.0, -1.0, -2.0, -1.0)
        mean = self.total / self.count
        return (self.least, self.greatest, mean, sqrt(max(self.squares / self.count - mean * mean, 0.0)))


def _boxes(shape_zyx: ZYX, depth: int, itemsize: int) -> Iterator[tuple[ZYX, ZYX]]:
    nz, ny, nx = shape_zyx
    rows = max(BOX_BYTES // (min(depth, nz) * nx * itemsize) // 64 * 64, 64)
    for z in range(0, nz, depth):
        for y in range(0, ny, rows):
            yield (z, y, 0), (min(depth, nz - z), min(rows, ny - y), nx)


def _header(shape_zyx: ZYX, dtype: np.dtype[Any], voxel_angstrom: float, density: _Density) -> bytes:
    nz, ny, nx = shape_zyx
    least, most, mean, deviation = density.fields()
    counts = struct.pack("<10i", nx, ny, nz, _MODES[dtype.name], 0, 0, 0, nx, ny, nz)
    cell = struct.pack("<6f", nx * voxel_angstrom, ny * voxel_angstrom, nz * voxel_angstrom, 90, 90, 90)
    axes = struct.pack("<3i3f2i", 1, 2, 3, least, most, mean, 1, 0)  # one volume, no extended header
    further = bytes(8) + b"    " + struct.pack("<i", 20141) + bytes(84) + struct.pack("<3f", 0, 0, 0)
    end = b"MAP DD\0\0" + struct.pack("<fi", deviation, 1) + LABEL.encode("ascii").ljust(80) + bytes(720)
    return counts + cell + axes + further + end
