"""Boxes of precomputed volumes that only cloud-volume decodes: compresso, and brotli-packed chunk files."""

import warnings
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from em_assets.errors import FormatError, UnsupportedDataError


def read_with_cloud_volume(where: str, path: str, info: Any, scale: int, box_xyz: tuple[slice, ...]) -> NDArray[Any]:
    """Voxels of a box as x, y, z, channel; `info` must have been checked, for a hostile one ends the process.

    Raises
    ------
    FormatError
        A chunk is missing or broken.
    UnsupportedDataError
        The decoder is an option that is not installed; the message says how to get it.
    """
    with warnings.catch_warnings():  # google's client warns on import of an optional package that nobody needs here
        warnings.simplefilter("ignore")
        import cloudvolume
        import deflate
    failures: tuple[type[Exception], ...] = (
        *(kind for kind in vars(cloudvolume.exceptions).values() if isinstance(kind, type)),
        *(deflate.DeflateError, zlib.error, MemoryError),
        *(ValueError, OSError, RuntimeError, KeyError, IndexError, TypeError, EOFError),
    )
    try:
        volume = cloudvolume.CloudVolume(
            path, mip=scale, info=info, provenance={}, fill_missing=False, bounded=True, progress=False
        )
        return np.asarray(volume[box_xyz])
    except ImportError as error:
        raise UnsupportedDataError(f"{where}: {error}") from error
    except failures as error:
        raise FormatError(f"{where}: cannot be read: {error!s:.300}") from error
