"""Several files of one kind: the slices of one volume, or a volume each."""

import os
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from em_assets.errors import FormatError
from em_assets.formats.binary import file_name
from em_assets.formats.volume import SourceLevel, SourceVolume
from em_assets.model import ZYX

VOXEL_SIZE_TOLERANCE = 1e-6
"""Relative; slices of one run repeat the same number, so this only forgives rounding."""


def stack_or_separate(volumes: Sequence[SourceVolume]) -> list[SourceVolume]:
    """2-D images of several files as one volume, in the order given; anything else as it is, under distinct names.

    Images are slices of one volume when each file holds exactly one, (1, y, x). The voxel size of the stack is what all
    its slices say: None on an axis on which they differ. Its name is what the files' names begin with in common,
    without a trailing number and separator, or else their folder's. A list of one, or one that was grouped already,
    comes back unchanged.

    Raises
    ------
    FormatError
        The images differ in shape or data type: the message names the first two that do.
    """
    files = [volume.files for volume in volumes]
    are_slices = all(volume.shape_zyx[0] == 1 and len(volume.files) == 1 for volume in volumes)
    if len(volumes) > 1 and are_slices and len(set(files)) == len(files):
        return [_stacked(volumes)]
    return _with_distinct_names(volumes)


def natural_key(name: str) -> tuple[tuple[int, int, str], ...]:
    """Sorts names as people count: `slice_2` before `slice_10`."""
    parts = re.findall(r"[0-9]+|[^0-9]+", name)
    return tuple((0, int(part), part) if part[0] in "0123456789" else (1, 0, part) for part in parts)


def _stacked(slices: Sequence[SourceVolume]) -> SourceVolume:
    first = slices[0]
    for other in slices[1:]:
        if (other.shape_zyx, other.dtype) != (first.shape_zyx, first.dtype):
            raise FormatError(
                f"slices of one volume must agree: {first.files[0]} is {_described(first)}, {other.files[0]} is "
                f"{_described(other)}; open them apart, or name the files of one volume with `include`"
            )
    _, height, width = first.shape_zyx
    sizes = [volume.voxel_size_zyx_nm for volume in slices]
    level = SourceLevel(
        shape_zyx=(len(slices), height, width),
        voxel_size_zyx_nm=(
            _agreed([size[0] for size in sizes]),
            _agreed([size[1] for size in sizes]),
            _agreed([size[2] for size in sizes]),
        ),
        read_box=lambda start, shape: _read_across(slices, start, shape),
        chunk_shape_zyx=first.levels[0].chunk_shape_zyx,
    )
    files = tuple(volume.files[0] for volume in slices)
    return replace(first, name=_common_name(files), levels=(level,), files=files)


def _read_across(slices: Sequence[SourceVolume], start: ZYX, shape: ZYX) -> NDArray[Any]:
    out = np.empty(shape, slices[0].dtype)
    for index in range(shape[0]):
        level = slices[start[0] + index].levels[0]
        out[index] = level.read_box((0, start[1], start[2]), (1, shape[1], shape[2]))[0]
    return out


def _agreed(values: Sequence[float | None]) -> float | None:
    first = values[0]
    if first is None or any(value is None or abs(value - first) > VOXEL_SIZE_TOLERANCE * first for value in values):
        return None
    return first


def _described(volume: SourceVolume) -> str:
    return f"{volume.shape_zyx[1]} × {volume.shape_zyx[2]} (y, x) {volume.dtype}"


def _common_name(files: Sequence[str]) -> str:
    stems = [file_name(file).split(".")[0] for file in files]
    common = os.path.commonprefix(stems)  # noqa: RUF071  # letters in common is what is meant
    name = common.rstrip("0123456789").rstrip("_-. ")
    return name or _folder_name(files[0]) or "slices"


def _folder_name(file: str) -> str:
    return file_name(file[: -len(file_name(file))].rstrip("/\\"))


def _with_distinct_names(volumes: Sequence[SourceVolume]) -> list[SourceVolume]:
    """Files of the same name in several folders take their folder's name in front, then a number behind."""
    names = [volume.name for volume in volumes]
    named = [
        volume.named(f"{_folder_name(volume.files[0])}_{volume.name}") if names.count(volume.name) > 1 else volume
        for volume in volumes
    ]
    seen: dict[str, int] = {}
    distinct = []
    for volume in named:
        seen[volume.name] = seen.get(volume.name, 0) + 1
        count = seen[volume.name]
        distinct.append(volume if count == 1 else volume.named(f"{volume.name}_{count}"))
    return distinct
