"""Several files of one kind: the slices of one volume, or a volume each."""

import math
import os
import re
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from em_assets.errors import FormatError
from em_assets.formats.binary import file_name
from em_assets.formats.volume import SourceLevel, SourceVolume
from em_assets.model import ZYX

MOST_NAMED = 3

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
    return with_distinct_names(volumes)


def with_distinct_names(volumes: Sequence[SourceVolume]) -> list[SourceVolume]:
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


def natural_key(name: str) -> tuple[tuple[int, int, str], ...]:
    """Sorts names as people count: `slice_2` before `slice_10`."""
    parts = re.findall(r"[0-9]+|[^0-9]+", name)
    return tuple((0, int(part), part) if part[0] in "0123456789" else (1, 0, part) for part in parts)


def hole_in_numbering(files: Sequence[str]) -> str | None:
    """What is wrong with slices whose numbers leave some out: nobody fetched them, or they never were; None if none."""
    missing = missing_numbers([file_name(file) for file in files])
    if not missing:
        return None
    more = f" and {len(missing) - MOST_NAMED} more" if len(missing) > MOST_NAMED else ""
    return (
        f"the numbers of its {len(files)} slices leave out {', '.join(missing[:MOST_NAMED])}{more}: the slices behind "
        "lie as many sections off; get what is missing, or keep it in mind where you measure along z"
    )


def missing_numbers(names: Sequence[str]) -> list[str]:
    """Names that the numbering of these names leaves out, in order; none where they are not numbered in equal steps.

    Only the one number that differs from name to name counts: `run2_z003` and `run2_z005` lack `run2_z004`. Numbers
    that leave out more than are there (times, coordinates) number nothing.
    """
    parts = [re.split(r"([0-9]+)", name) for name in names]
    if len({tuple(part[::2]) for part in parts}) != 1:
        return []
    places = [place for place in range(1, len(parts[0]), 2) if len({int(part[place]) for part in parts}) > 1]
    if len(places) != 1:
        return []
    (place,) = places
    held = {int(part[place]) for part in parts}
    first, last = min(held), max(held)
    step = math.gcd(*(number - first for number in held))
    if (last - first) // step + 1 > 2 * len(held):
        return []
    width = len(next(part[place] for part in parts if int(part[place]) == first))
    missing = [number for number in range(first, last, step) if number not in held]
    return ["".join([*parts[0][:place], f"{number:0{width}d}", *parts[0][place + 1 :]]) for number in missing]


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
        read_into=partial(_read_across_into, slices),
    )
    files = tuple(volume.files[0] for volume in slices)
    return replace(first, name=_common_name(files), levels=(level,), files=files)


def _read_across(slices: Sequence[SourceVolume], start: ZYX, shape: ZYX) -> NDArray[Any]:
    out = np.empty(shape, slices[0].dtype)
    _read_across_into(slices, start, out)
    return out


def _read_across_into(slices: Sequence[SourceVolume], start: ZYX, out: NDArray[Any]) -> None:
    for index in range(out.shape[0]):
        level = slices[start[0] + index].levels[0]
        corner, plane = (0, start[1], start[2]), out[index : index + 1]
        if level.read_into:
            level.read_into(corner, plane)
        else:
            plane[...] = level.read_box(corner, plane.shape)


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
