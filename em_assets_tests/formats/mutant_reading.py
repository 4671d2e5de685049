"""What our readers make of a damaged file, told as a few words: run in a child with hard limits."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from em_assets.errors import EMAssetsError
from em_assets.formats import FORMATS, open_path
from em_assets.formats.volume import SourceVolume
from em_assets.model import ZYX

EDGE = 64


def read(path: str, format: str) -> dict[str, Any]:
    """Digests of the tags, the witnesses and the voxels, or the error in the place of each; peak memory in bytes.

    `into` are the voxels once more, as a writer reads them, into memory that is there.
    """
    _forget_peak()
    answer = {
        "tags": _told(lambda: list(FORMATS[format].read_tags(path))),
        "witnesses": _told(lambda: list(FORMATS[format].witnesses(list(FORMATS[format].read_tags(path))))),
        "voxels": _told(lambda: [_voxels(volume, _read) for volume in open_path(path, format=format)]),
        "into": _told(lambda: [_voxels(volume, _read_into) for volume in open_path(path, format=format)]),
    }
    return {**answer, "peak_bytes": _peak_bytes()}


def _told(work: Any) -> str:
    try:
        found = work()
    except EMAssetsError as error:
        return f"error: {type(error).__name__}: {error}"
    return "read: " + hashlib.sha256(json.dumps(found, default=str).encode()).hexdigest()


def _voxels(volume: SourceVolume, read_box: Callable[[SourceVolume, ZYX, ZYX, int], NDArray[Any]]) -> list[Any]:
    """Every level whole; of one that claims more than a small file has, the first and the last corner."""
    said: list[Any] = [volume.name, volume.dtype.name, volume.voxel_size_zyx_nm]
    for index, level in enumerate(volume.levels[:4]):
        z, y, x = level.shape_zyx
        shape = (min(EDGE, z), min(EDGE, y), min(EDGE, x))
        said.append(level.shape_zyx)
        starts = {(0, 0, 0), (z - shape[0], y - shape[1], x - shape[2])}
        said += [hashlib.sha256(read_box(volume, start, shape, index)).hexdigest() for start in sorted(starts)]
    return said


def _read(volume: SourceVolume, start: ZYX, shape: ZYX, level: int) -> NDArray[Any]:
    return volume.read(start, shape, level)


def _read_into(volume: SourceVolume, start: ZYX, shape: ZYX, index: int) -> NDArray[Any]:
    level, out = volume.levels[index], np.empty(shape, volume.dtype)
    if level.begin_into is not None:
        level.begin_into(start, out)()
    elif level.read_into is not None:
        level.read_into(start, out)
    else:
        return volume.read(start, shape, index)
    return out


def _forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def _peak_bytes() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
