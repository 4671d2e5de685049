"""What the attributes of an OME-Zarr image say, versions 0.1 to 0.5: axes, levels, scales. Pure: nothing is read."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from operator import add, mul
from typing import Any

from em_assets.errors import FormatError, UnsupportedDataError
from em_assets.model import FloatZYX, PartialFloatZYX
from em_assets.units import to_nm

VERSIONS = ("0.1", "0.2", "0.3", "0.4", "0.5")
OLD_AXES = "tczyx"
"""Versions 0.1 and 0.2 write no axes: they are these five, or the last of them."""


@dataclass(frozen=True)
class Axis:
    """One axis as written; `type` and `unit` are None where it does not say."""

    name: str
    type: str | None = None
    unit: str | None = None


@dataclass(frozen=True)
class Level:
    """One entry of `datasets` that names an array; scale and translation are per axis, in the axes' units.

    `scale_at` finds the scales, whose product it is, in the attributes, for whoever asks where a number came from.
    """

    path: str
    scale: tuple[float, ...] | None
    translation: tuple[float, ...]
    scale_at: tuple[str, ...]


@dataclass(frozen=True)
class Multiscale:
    """One image.

    Attributes
    ----------
    at
        Where it is in the attributes: `multiscales.0`.
    axes
        In array order; empty for versions that write none (see `axes_of`).
    levels
        Finest first, as written.
    items
        VISoR 2024.11.0: names and translations of the items along t, from the entries that are no arrays.
    """

    at: str
    version: str
    axes: tuple[Axis, ...]
    levels: tuple[Level, ...]
    items: tuple[tuple[str, tuple[float, ...]], ...]

    def axes_of(self, n_dimensions: int) -> tuple[Axis, ...]:
        """The axes of an array of so many dimensions."""
        return self.axes or tuple(Axis(name) for name in OLD_AXES[-n_dimensions:])


def image_attributes(attributes: Any) -> tuple[str, dict[str, Any]]:
    """The part of a node's attributes that OME-Zarr is written in, and the path to it (`ome` since 0.5, else "")."""
    if not isinstance(attributes, dict):
        return "", {}
    ome = attributes.get("ome")
    return ("ome", ome) if isinstance(ome, dict) else ("", attributes)


def is_labels(attributes: Any) -> bool:
    """Whether an image's attributes call it a label image."""
    return "image-label" in image_attributes(attributes)[1]


def multiscale(where: str, attributes: Any) -> Multiscale | None:
    """The first image in a node's attributes; None where there is none.

    Raises
    ------
    UnsupportedDataError
        A plate, a version that is not known, or axes without y and x.
    FormatError
        The attributes contradict themselves.
    """
    prefix, ome = image_attributes(attributes)
    for key in ("plate", "well"):
        if key in ome:
            raise UnsupportedDataError(f"{where}: a {key} of many images: open one of its images, such as A/1/0")
    if "multiscales" not in ome:
        return None
    entries = ome["multiscales"]
    if not isinstance(entries, list) or not entries or not isinstance(entries[0], dict):
        raise FormatError(f"{where}: multiscales: a list of objects expected, found {entries!r:.80}")
    entry = entries[0]
    axes = _axes(where, entry.get("axes"))
    version = _version(where, ome.get("version", entry.get("version")), axes)
    at = f"{prefix}.multiscales.0" if prefix else "multiscales.0"
    return _with_levels(where, Multiscale(at, version, axes, (), ()), entry)


def spatial_axes(where: str, axes: Sequence[Axis]) -> tuple[int | None, int, int]:
    """Positions of z, y and x among the axes; z is None for a flat image.

    Raises
    ------
    UnsupportedDataError
        y or x is missing, or an axis is there twice; the message lists the axes.
    """
    names = [axis.name.lower() for axis in axes]
    if len(set(names)) != len(names) or not {"y", "x"} <= set(names):
        raise UnsupportedDataError(f"{where}: axes z, y, x (or y, x) expected, found {', '.join(names) or 'none'}")
    return (names.index("z") if "z" in names else None), names.index("y"), names.index("x")


def voxel_size_nm(where: str, level: Level, axes: Sequence[Axis], zyx: Sequence[int | None]) -> PartialFloatZYX:
    """Nanometres along z, y, x; None where scale or unit is missing.

    Raises
    ------
    FormatError
        A scale of zero: all voxels would be in one place.
    """
    scale = level.scale
    if scale is not None and any(i is not None and scale[i] == 0 for i in zyx):
        raise FormatError(
            f"{where}: {level.scale_at[0]}: numbers above zero expected along z, y, x, found {list(scale)}: "
            "mend the metadata"
        )
    z, y, x = (None if scale is None or i is None else to_nm(scale[i], axes[i].unit) for i in zyx)
    return (z, y, x)


def offset_nm(translation: Sequence[float], axes: Sequence[Axis], zyx: Sequence[int | None]) -> FloatZYX:
    """Nanometres along z, y, x; 0 where the unit is missing, for then the position is not known in any frame."""
    z, y, x = (0.0 if i is None else translation[i] * (to_nm(1.0, axes[i].unit) or 0.0) for i in zyx)
    return (z, y, x)


def _axes(where: str, axes: Any) -> tuple[Axis, ...]:
    if axes is None:
        return ()
    if not isinstance(axes, list) or not axes:
        raise FormatError(f"{where}: axes: a list expected, found {axes!r:.80}")
    return tuple(_axis(where, axis) for axis in axes)


def _axis(where: str, axis: Any) -> Axis:
    if isinstance(axis, str):  # version 0.3
        return Axis(axis)
    if not isinstance(axis, dict) or not isinstance(axis.get("name"), str):
        raise FormatError(f"{where}: axes: a name on every axis expected, found {axis!r:.80}")
    kind, unit = axis.get("type"), axis.get("unit")
    return Axis(axis["name"], kind if isinstance(kind, str) else None, unit if isinstance(unit, str) else None)


def _version(where: str, version: Any, axes: tuple[Axis, ...]) -> str:
    """The version without a suffix such as `-dev-spatialdata`; where none is written, the oldest with such axes."""
    if version is None:
        return "0.4" if axes else "0.1"
    base = str(version).partition("-")[0]
    if base not in VERSIONS:
        raise UnsupportedDataError(
            f"{where}: OME-Zarr {VERSIONS[0]} to {VERSIONS[-1]} are read, found {version!r:.40}: convert it to one of "
            "these, or name one of its arrays to read that without its metadata"
        )
    return base


def _with_levels(where: str, image: Multiscale, entry: dict[str, Any]) -> Multiscale:
    datasets = entry.get("datasets")
    if not isinstance(datasets, list) or not datasets:
        raise FormatError(f"{where}: {image.at}.datasets: at least one level expected, found {datasets!r:.80}")
    levels: list[Level] = []
    items: list[tuple[str, tuple[float, ...]]] = []
    for index, dataset in enumerate(datasets):
        at = f"{image.at}.datasets.{index}"
        path = dataset.get("path") if isinstance(dataset, dict) else None
        if not isinstance(path, str):
            raise FormatError(f"{where}: {at}: a path expected, found {dataset!r:.80}")
        path = path.strip("/")
        level = _level(where, image, entry, dataset, path, at)
        if level.scale is None and levels and path.startswith(f"{levels[0].path}/"):
            items.append((path.rpartition("/")[2], level.translation))
        elif not any(path.startswith(f"{known.path}/") for known in levels):
            levels.append(level)
    return Multiscale(image.at, image.version, image.axes, tuple(levels), tuple(items))


def _level(where: str, image: Multiscale, entry: dict[str, Any], dataset: dict[str, Any], path: str, at: str) -> Level:
    """A level's transformation, the image's own applied after it: p = image_scale · (scale · i + translation) + …."""
    n = len(image.axes) or len(OLD_AXES)
    own = _transformation(where, dataset.get("coordinateTransformations"), n, f"{at}.coordinateTransformations")
    every = _transformation(where, entry.get("coordinateTransformations"), n, f"{image.at}.coordinateTransformations")
    ones, zeros = (1.0,) * n, (0.0,) * n
    after = every.scale or ones
    scale = None if own.scale is None else tuple(a * b for a, b in zip(own.scale, after, strict=True))
    translation = tuple(
        t * a + u for t, a, u in zip(own.translation or zeros, after, every.translation or zeros, strict=True)
    )
    is_scaled = every.scale is not None and set(every.scale) != {1.0}
    return Level(path, scale, translation, (*own.scale_at, *every.scale_at) if is_scaled else own.scale_at)


@dataclass(frozen=True)
class _Transformation:
    scale: tuple[float, ...] | None = None
    translation: tuple[float, ...] | None = None
    scale_at: tuple[str, ...] = ()


def _transformation(where: str, steps: Any, n: int, at: str) -> _Transformation:
    """What the steps do one after the other: a scale multiplies the translations before it as well."""
    found = _Transformation()
    if not isinstance(steps, (list, type(None))):
        raise FormatError(f"{where}: {at}: a list expected, found {steps!r:.80}")
    for index, step in enumerate(steps or ()):
        kind = step.get("type") if isinstance(step, dict) else None
        if kind == "identity" or (isinstance(step, dict) and "output" in step):
            continue  # spatialdata names coordinate systems of its own here: not the microscope's
        if kind == "scale" and "scale" in step:
            by = _numbers(where, f"{at}.{index}.scale", step["scale"], n)
            found = _Transformation(
                _by_axis(mul, found.scale, by) or by,
                _by_axis(mul, found.translation, by),
                (*found.scale_at, f"{at}.{index}.scale"),
            )
        elif kind == "translation" and "translation" in step:
            by = _numbers(where, f"{at}.{index}.translation", step["translation"], n)
            found = replace(found, translation=_by_axis(add, found.translation, by) or by)
        else:
            raise UnsupportedDataError(f"{where}: {at}.{index}: scale and translation are read, found {step!r:.80}")
    return found


def _by_axis(
    join: Callable[[float, float], float], values: tuple[float, ...] | None, others: tuple[float, ...]
) -> tuple[float, ...] | None:
    return None if values is None else tuple(map(join, values, others))


def _numbers(where: str, at: str, values: Any, n: int) -> tuple[float, ...]:
    is_list = isinstance(values, list) and len(values) == n
    if not is_list or not all(type(v) in (int, float) and abs(v) < 1e300 and math.isfinite(v) for v in values):
        raise FormatError(f"{where}: {at}: {n} finite numbers expected, found {values!r:.80}")
    return tuple(float(value) for value in values)
