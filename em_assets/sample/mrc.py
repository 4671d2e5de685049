"""MRC2014 volumes: a header of 1024 bytes, then the voxels, x fastest."""

import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

_MODES = {np.dtype(np.int8): 0, np.dtype(np.int16): 1, np.dtype(np.float32): 2}


def mrc_bytes(volume: NDArray[Any], voxel_size_angstrom: float, label: str) -> bytes:
    """A volume with cubic voxels, little-endian, its statistics in the header."""
    nz, ny, nx = volume.shape
    cell = [size * voxel_size_angstrom for size in (nx, ny, nz)]
    mean = float(volume.mean(dtype=np.float64))
    deviation = float(volume.std(dtype=np.float64))
    header = struct.pack("<10i", nx, ny, nz, _MODES[volume.dtype], 0, 0, 0, nx, ny, nz)
    header += struct.pack("<6f", *cell, 90.0, 90.0, 90.0)
    header += struct.pack("<3i", 1, 2, 3)
    header += struct.pack("<3f", float(volume.min()), float(volume.max()), mean)
    header += struct.pack("<2i", 1, 0)  # one volume, no extended header
    header += bytes(12) + struct.pack("<i", 20141) + bytes(84)
    header += struct.pack("<3f", 0.0, 0.0, 0.0) + b"MAP \x44\x44\0\0"
    header += struct.pack("<fi", deviation, 1) + label.encode("ascii").ljust(800)
    return header + np.ascontiguousarray(volume).tobytes()
