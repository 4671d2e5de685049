"""Boxes of precomputed volumes that only cloud-volume decodes: compresso, and brotli-packed chunk files."""

import warnings
import zlib
from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from em_assets.errors import FormatError, UnsupportedDataError
from em_assets.formats.limited import call_limited, limits_for

MARGIN_BYTES = 64 * 2**20
"""Of chunks that a box touches and does not hold whole."""


def read_with_cloud_volume(
    where: str, path: str, info: Any, scale: int, start_xyz: Sequence[int], shape_xyz: Sequence[int]
) -> NDArray[Any]:
    """Voxels of a box as x, y, z, channel, decoded in a limited child: these decoders were not made for foreign bytes.

    Raises
    ------
    FormatError
        A chunk is missing or broken.
    UnsupportedDataError
        The decoder is an option that is not installed; the message says how to get it.
    """
    limits = limits_for(16 * prod(shape_xyz) + MARGIN_BYTES)
    function = f"{__name__}:decode_box"
    box: NDArray[Any] = call_limited(
        where, function, where, path, info, scale, list(start_xyz), list(shape_xyz), limits=limits
    )
    return box


def decode_box(where: str, path: str, info: Any, scale: int, start_xyz: list[int], shape_xyz: list[int]) -> Any:
    """`read_with_cloud_volume`, here and now."""
    with warnings.catch_warnings():  # google's client warns on import of an optional package that nobody needs here
        warnings.simplefilter("ignore")
        import brotli  # type: ignore[import-untyped]
        import cloudvolume
        import deflate
    failures: tuple[type[Exception], ...] = (
        *(kind for kind in vars(cloudvolume.exceptions).values() if isinstance(kind, type)),
        *(deflate.DeflateError, brotli.error, zlib.error, MemoryError),
        *(ValueError, OSError, RuntimeError, KeyError, IndexError, TypeError, EOFError),
    )
    box = tuple(slice(start, start + extent) for start, extent in zip(start_xyz, shape_xyz, strict=True))
    try:
        volume = cloudvolume.CloudVolume(
            path, mip=scale, info=info, provenance={}, fill_missing=False, bounded=True, progress=False
        )
        return np.asarray(volume[box])
    except ImportError as error:
        raise UnsupportedDataError(f"{where}: {error}") from error
    except failures as error:
        raise FormatError(f"{where}: cannot be read: {error!s:.300}") from error
