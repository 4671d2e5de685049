"""Gatan Digital Micrograph files, DM3 and DM4: their tags, and their images as volumes.

Calibrations are under `ImageList.N.ImageData.Calibrations.Dimension`, fastest axis first, each axis with a unit of its
own. Thumbnails are images of the same list, named by `Thumbnails.*.ImageIndex`; their scale 1.0 is no calibration.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from em_assets.errors import FormatError, UnsupportedDataError
from em_assets.formats.binary import file_name, open_binary, read_box, read_box_into
from em_assets.formats.dm_tags import DMTag, read_header, walk_tags
from em_assets.formats.slices import stack_or_separate
from em_assets.formats.volume import SourceLevel, SourceVolume
from em_assets.model import ZYX, PartialFloatZYX, Tag, Witness
from em_assets.units import to_nm

NAME = "dm"
MARKERS: tuple[str, ...] = ()
CONTAINER = "tags"

Z_TOLERANCE = 1e-3
"""Relative; two tags of one file that give z steps further apart than this are in dispute."""

_DTYPES = {
    1: "int16",
    2: "float32",
    6: "uint8",
    7: "int32",
    9: "int8",
    10: "uint16",
    11: "uint32",
    12: "float64",
    14: "uint8",  # a mask of 0 and 1, a byte each
    39: "int64",
    40: "uint64",
}

_REFUSED = {
    3: "complex (2 × float32)",
    5: "packed complex",
    8: "RGB colour",
    13: "complex (2 × float64)",
    23: "RGB colour",
    27: "packed complex (float32)",
    28: "packed complex (float64)",
}

_RGB = 23
_ENERGY_UNITS = ("ev", "kev", "mev")

_IMAGE_PATH = re.compile(r"ImageList\.(\d+)\.ImageData\.(.+)")
_THUMBNAIL_PATH = re.compile(r"Thumbnails\.\d+\.ImageIndex")
_Z_STEPS = ("ImageTags.Meta Data.Dimension info.2.Scale", "ImageTags.SBFSEM.Record.Slice thickness")
"""Of a slice. `SBFSEM.Approach.Slice thickness` is how thick the block face was trimmed before the run, no z step."""

_FILETIME_EPOCH = datetime(1601, 1, 1, tzinfo=UTC)


def matches(head: bytes, name: str) -> bool:
    """Whether a file that begins so is DM3 or DM4: version, then a size, then byte order 0 or 1."""
    version = int.from_bytes(head[:4])
    order_at = {3: 8, 4: 12}.get(version)
    return (
        order_at is not None and len(head) >= order_at + 4 and int.from_bytes(head[order_at : order_at + 4]) in (0, 1)
    )


def read_tags(path: str) -> Iterator[Tag]:
    """Every tag of one file, in its order; pixels are stepped over.

    An array that is no text gives `<path>.Size` (bytes) and `<path>.Offset`, and its values as well while they are few.

    Raises
    ------
    FormatError
        The file is cut short or contradicts itself: the message names the byte.
    """
    new_tag = tuple.__new__  # Tag(…) goes through one more Python call, which is half of a tag's price here
    with open_binary(path) as file:
        header = read_header(file)
        yield Tag("header", "version", header.version, "int32")
        yield Tag("header", "byte_order", int(header.byte_order == "<"), "int32")
        for path, value, kind, offset, size_bytes, is_array in walk_tags(file):
            if is_array:
                yield Tag(CONTAINER, f"{path}.Size", size_bytes, kind)
                yield Tag(CONTAINER, f"{path}.Offset", offset, kind)
            if value is not None or not is_array:
                yield new_tag(Tag, (CONTAINER, path, value, kind))


def open_volumes(paths: Sequence[str]) -> list[SourceVolume]:
    """The images of these files; several files with one 2-D image each are one volume of slices, in the order given.

    Thumbnails are left out. A file with images and spectra gives its images.

    Raises
    ------
    UnsupportedDataError
        A file holds spectra, complex or colour data only.
    FormatError
        A file is cut short, its image's size contradicts its shape, or the slices differ in shape or data type.
    """
    return stack_or_separate([volume for path in paths for volume in _open_file(path)])


def witnesses(tags: Iterable[Tag]) -> Iterator[Witness]:
    """What one file's tags say: of its first image where it holds several."""
    values = {tag.path: tag.value for tag in tags}
    indices = _data_indices(values)
    if not indices:
        return
    image = f"ImageList.{indices[0]}"
    n_axes = sum(1 for axis in range(3) if f"{image}.ImageData.Dimensions.{axis}" in values)
    for axis, name in enumerate("xyz"[:n_axes]):
        yield from _scale_witness(
            values, f"{image}.ImageData.Calibrations.Dimension.{axis}.Scale", f"voxel_size_{name}_nm"
        )
    if n_axes == 2:
        for tail in _Z_STEPS:
            yield from _scale_witness(values, f"{image}.{tail}", "voxel_size_z_nm")
    yield from _array_witnesses(values, image, n_axes)
    yield from _microscope_witnesses(values, f"{image}.ImageTags")


@dataclass(frozen=True)
class _Image:
    """One image of the list, as its tags describe it."""

    path: str
    index: int
    shape: tuple[int, ...]
    data_type: int
    data: DMTag
    units: tuple[str | None, ...]


def _open_file(path: str) -> list[SourceVolume]:
    with open_binary(path) as file:
        order = read_header(file).byte_order
        tags = {tag[0]: DMTag(*tag) for tag in walk_tags(file)}
    values = {name: tag.value for name, tag in tags.items()}
    indices = _data_indices(values)
    if not indices:
        raise FormatError(f"{path}: an image with data and dimensions expected in ImageList, found none")
    images = [_image(path, tags, index) for index in indices]
    reasons = [_refusal(image) for image in images]
    kept = [image for image, reason in zip(images, reasons, strict=True) if reason is None]
    if not kept:
        raise UnsupportedDataError(f"{path}: {reasons[0]}; only real-valued 2-D and 3-D images become volumes")
    stem = file_name(path).rsplit(".", 1)[0]
    names = [stem] if len(kept) == 1 else [f"{stem}_{image.index}" for image in kept]
    return [_volume(image, name, order, values) for image, name in zip(kept, names, strict=True)]


def _data_indices(values: Mapping[str, Any]) -> list[int]:
    """Places in ImageList that hold data rather than a thumbnail, ascending."""
    listed = {
        int(match[1])
        for path in values
        if (match := _IMAGE_PATH.fullmatch(path)) and match[2] in ("DataType", "Data", "Data.Size")
    }
    thumbnails = {value for path, value in values.items() if _THUMBNAIL_PATH.fullmatch(path)}
    if not thumbnails and values.get("ImageList.0.ImageData.DataType") == _RGB:
        thumbnails = {0}
    # A list of one image is the data, whatever the thumbnails claim.
    return sorted(listed - thumbnails) or sorted(listed)


def _image(path: str, tags: Mapping[str, DMTag], index: int) -> _Image:
    prefix = f"ImageList.{index}.ImageData"
    data, data_type = tags.get(f"{prefix}.Data"), tags.get(f"{prefix}.DataType")
    if data is None or data_type is None or not isinstance(data_type.value, int):
        raise FormatError(f"{path}: {prefix}.Data and {prefix}.DataType expected, found only one of them")
    shape: list[int] = []
    while (size := tags.get(f"{prefix}.Dimensions.{len(shape)}")) is not None:
        if not isinstance(size.value, int) or size.value < 1:
            raise FormatError(
                f"{path}: a size of 1 or more expected at byte {size.offset} for {size.path}, found {size.value}"
            )
        shape.append(size.value)
    units = tuple(
        unit.value if (unit := tags.get(f"{prefix}.Calibrations.Dimension.{axis}.Units")) else None
        for axis in range(len(shape))
    )
    texts = tuple(unit if isinstance(unit, str) else None for unit in units)
    return _Image(path, index, tuple(shape), data_type.value, data, texts)


def _refusal(image: _Image) -> str | None:
    """Why an image is no volume; None where it is one."""
    where = f"ImageList.{image.index}"
    if image.data_type in _REFUSED:
        return f"{where} is {_REFUSED[image.data_type]} data"
    if image.data_type not in _DTYPES:
        return f"{where} has the unknown data type {image.data_type}"
    if any((unit or "").strip().casefold() in _ENERGY_UNITS for unit in image.units):
        return f"{where} is a spectrum or a spectrum image (an axis in {'/'.join(str(unit) for unit in image.units)})"
    if len(image.shape) < 2:
        return f"{where} is a spectrum (1-D data)"
    if len(image.shape) > 3:
        return f"{where} has {len(image.shape)} axes"
    return None


def _volume(image: _Image, name: str, order: str, values: Mapping[str, Any]) -> SourceVolume:
    dtype = np.dtype(_DTYPES[image.data_type]).newbyteorder(order)  # type: ignore[arg-type]
    z, y, x = (1, *image.shape[::-1])[-3:]
    declared = z * y * x * dtype.itemsize
    if declared != image.data.size_bytes:
        raise FormatError(
            f"{image.path}: {declared} bytes expected at byte {image.data.offset} for {z} × {y} × {x} (z, y, x) "
            f"{dtype.name}, found {image.data.size_bytes}"
        )

    def read(start_zyx: ZYX, shape_zyx: ZYX) -> np.ndarray[Any, np.dtype[Any]]:
        with open_binary(image.path) as file:
            return read_box(file, image.data.offset, dtype, (z, y, x), start_zyx, shape_zyx)

    def read_into(start_zyx: ZYX, out: np.ndarray[Any, np.dtype[Any]]) -> None:
        with open_binary(image.path) as file:
            read_box_into(file, image.data.offset, dtype, (z, y, x), start_zyx, out)

    level = SourceLevel((z, y, x), _voxel_size_zyx_nm(image, values), read, read_into=read_into)
    return SourceVolume(name, NAME, dtype.newbyteorder("="), (level,), (image.path,))


def _voxel_size_zyx_nm(image: _Image, values: Mapping[str, Any]) -> PartialFloatZYX:
    prefix = f"ImageList.{image.index}"
    sizes = [
        _length_nm(values, f"{prefix}.ImageData.Calibrations.Dimension.{axis}.Scale")
        for axis in range(len(image.shape))
    ]
    if len(sizes) == 3:
        return (sizes[2], sizes[1], sizes[0])
    steps = [step for tail in _Z_STEPS if (step := _length_nm(values, f"{prefix}.{tail}")) is not None]
    disputed = bool(steps) and max(steps) - min(steps) > Z_TOLERANCE * max(steps)
    return (steps[0] if steps and not disputed else None, sizes[1], sizes[0])


def _length_nm(values: Mapping[str, Any], path: str) -> float | None:
    value = values.get(path)
    return to_nm(float(value), _unit(values, path)) if isinstance(value, (int, float)) else None


def _unit(values: Mapping[str, Any], path: str) -> str | None:
    if not path.endswith(".Scale"):
        return "nm"  # a slice thickness has no unit of its own; 3View records nanometres
    unit = values.get(path.removesuffix("Scale") + "Units")
    return unit if isinstance(unit, str) else None


def _scale_witness(values: Mapping[str, Any], path: str, field: str) -> Iterator[Witness]:
    """A scale with a unit; one of a unit that is no length (1/nm, none) witnesses no voxel size."""
    if _length_nm(values, path) is not None:
        yield Witness(field, values[path], _unit(values, path), path, str(values[path]))


def _array_witnesses(values: Mapping[str, Any], image: str, n_axes: int) -> Iterator[Witness]:
    data_type = values.get(f"{image}.ImageData.DataType")
    if data_type in _DTYPES:
        yield Witness("dtype", _DTYPES[data_type], None, f"{image}.ImageData.DataType", str(data_type))
    if n_axes == 3:  # a slice does not know how many there are
        shape = [values[f"{image}.ImageData.Dimensions.{axis}"] for axis in (2, 1, 0)]
        yield Witness("shape_zyx", shape, None, f"{image}.ImageData.Dimensions", str(shape[::-1]))


def _microscope_witnesses(values: Mapping[str, Any], tags: str) -> Iterator[Witness]:
    name = f"{tags}.Microscope Info.Name"
    if isinstance(values.get(name), str) and values[name].strip():
        yield Witness("instrument", values[name].strip(), None, name, values[name])
    voltage = f"{tags}.Microscope Info.Voltage"
    if isinstance(values.get(voltage), (int, float)) and values[voltage] > 0:
        yield Witness("accelerating_voltage_kv", values[voltage] / 1000, "kV", voltage, str(values[voltage]))
    for path in (f"{tags}.Microscope Info.WD (mm)", f"{tags}.Session Info.WD (mm)"):
        if values.get(path):  # a number, or a number as text
            yield Witness("working_distance_mm", values[path], "mm", path, str(values[path]))
    stage = f"{tags}.Microscope Info.Stage Position.Stage Z"
    if isinstance(values.get(stage), (int, float)):
        yield Witness("stage_z_um", values[stage], "µm", stage, str(values[stage]))
    yield from _time_witness(values, f"{tags}.DataBar")


def _time_witness(values: Mapping[str, Any], bar: str) -> Iterator[Witness]:
    """The operating system's time (100 ns since 1601, UTC), and the written date in the locale's order."""
    path = f"{bar}.Acquisition Time (OS)"
    ticks = values.get(path)
    if isinstance(ticks, (int, float)) and 1e17 < ticks < 3e17:
        moment = _FILETIME_EPOCH + timedelta(seconds=round(ticks / 1e7))
        yield Witness("acquired_at", moment.isoformat(), None, path, str(ticks))
    path = f"{bar}.Acquisition Date"
    text = f"{values.get(path) or ''} {values.get(f'{bar}.Acquisition Time') or ''}".strip()
    if text:
        yield Witness("acquired_at", text, None, path, text)
