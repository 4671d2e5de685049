"""What the `attributes.json` of an N5 dataset or group says, checked before any library sees it. Pure: nothing is read.

N5 counts x first: the first of its dimensions is the one that varies fastest. Four kinds of scale metadata are in use::

    transform            {"axes": ["z", "y", "x"], "scale": […], "translate": […], "units": […]}   OpenOrganelle
    pixelResolution      {"dimensions": [x, y, z], "unit": "nm"}                                   N5 viewers, Paintera
    resolution, units    [x, y, z], ["nm", "nm", "nm"]                                             neuroglancer
    resolution           [x, y, z], nobody says of what: no voxel size                             BigDataViewer
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from em_assets.errors import FormatError, UnsupportedDataError
from em_assets.formats.zarr_arrays import (
    MAX_DIMENSIONS,
    MAX_EXTENT,
    ArrayInfo,
    check_chunk_bytes,
    codec_text,
    whole_numbers,
)

MAX_LEVELS = 32
_TYPES = {f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)} | {"float32", "float64"}
_DECODERS: Mapping[str, Mapping[str, Any]] = {
    "raw": {"type": "raw"},
    "gzip": {"type": "gzip"},
    "bzip2": {"type": "bzip2"},
    "xz": {"type": "xz"},
    "zstd": {"type": "zstd"},
    # How it was packed stands in each chunk; tensorstore wants to be told all the same.
    "blosc": {"type": "blosc", "cname": "lz4", "clevel": 5, "shuffle": 0},
    "lz4": {"type": "raw"},  # unpacked here (`n5_chunks`): tensorstore has no such codec
}


class Spacing(NamedTuple):
    """Steps and position along the dimensions, x first, as somebody wrote them; None where they did not.

    `at` finds them in the attributes, `raw` is their text.
    """

    step: tuple[float | None, ...]
    unit: tuple[str | None, ...]
    position: tuple[float | None, ...]
    at: str
    raw: str


def is_dataset(attributes: Any) -> bool:
    """Whether these are the attributes of an array, and not of a group."""
    return isinstance(attributes, dict) and "dimensions" in attributes and "dataType" in attributes


def dataset_info(where: str, attributes: Mapping[str, Any]) -> ArrayInfo:
    """What a dataset's attributes say of its array; shape and chunk x first, as N5 counts.

    Raises
    ------
    FormatError
        They contradict themselves or exceed every honest size.
    UnsupportedDataError
        Its values are no real numbers, or it is packed in a way that is not known.
    """
    shape = whole_numbers(where, "dimensions", attributes.get("dimensions"), least=1, most=MAX_EXTENT)
    if not 1 <= len(shape) <= MAX_DIMENSIONS:
        raise UnsupportedDataError(f"{where}: 1 to {MAX_DIMENSIONS} dimensions expected, found {len(shape)}")
    block = whole_numbers(where, "blockSize", attributes.get("blockSize"), least=1, most=2**32 - 1, count=len(shape))
    data_type = attributes["dataType"]
    if not isinstance(data_type, str) or data_type not in _TYPES:
        raise UnsupportedDataError(f"{where}: a real number type expected, found dataType {data_type!r:.60}")
    check_chunk_bytes(where, block, np.dtype(data_type))
    compression = compression_of(where, attributes)
    kind = compression["type"]
    said = {key: value for key, value in compression.items() if key != "type"}
    decoder = dict(_DECODERS[kind])
    if kind == "gzip":
        decoder["useZlib"] = said.get("useZlib") is True
    return ArrayInfo(
        shape=shape,
        chunk_shape=block,
        dtype=np.dtype(data_type),
        dimension_names=_names(attributes.get("axes"), len(shape)),
        compressor=None if kind == "raw" else codec_text(where, kind, said),
        driver="n5",
        metadata={"dimensions": list(shape), "blockSize": list(block), "dataType": data_type, "compression": decoder},
    )


def compression_of(where: str, attributes: Mapping[str, Any]) -> Mapping[str, Any]:
    """A dataset's compression as written, or as the first version of N5 wrote it.

    Raises
    ------
    UnsupportedDataError
        It is none of those that are known.
    """
    compression = attributes.get("compression", {"type": attributes.get("compressionType")})
    kind = compression.get("type") if isinstance(compression, dict) else None
    if not isinstance(compression, dict) or not isinstance(kind, str) or kind not in _DECODERS:
        raise UnsupportedDataError(f"{where}: compression {', '.join(_DECODERS)} expected, found {compression!r:.80}")
    return compression


def level_paths(where: str, attributes: Any) -> list[str] | None:
    """The arrays that a group names as the levels of one image, finest first; None where it names none.

    Raises
    ------
    FormatError
        There are more than any pyramid has.
    """
    entry = _multiscale(attributes)
    if entry is not None:
        paths = [level.get("path") for level in entry["datasets"] if isinstance(level, dict)]
        named = [path.strip("/") for path in paths if isinstance(path, str)]
        if not named or len(named) != len(entry["datasets"]):
            raise FormatError(
                f"{where}: multiscales.0.datasets: a path of each expected, found {entry['datasets']!r:.80}"
            )
    elif isinstance(attributes, dict) and isinstance(attributes.get("scales"), list) and attributes["scales"]:
        named = [f"s{number}" for number in range(len(attributes["scales"]))]
    else:
        return None
    if len(named) > MAX_LEVELS:
        raise FormatError(f"{where}: at most {MAX_LEVELS} levels expected, found {len(named)}")
    return named


def spacings(
    where: str, n_dimensions: int, group: Any, level: int, own: Mapping[str, Any]
) -> Iterator[tuple[bool, Spacing]]:
    """Everybody who says how far a level's voxels are apart, and whether it is the array itself; the surest first.

    Parameters
    ----------
    group
        Attributes of the group that the level belongs to; None for an array on its own.
    level
        Its number, 0 the finest.
    own
        The array's attributes.

    Raises
    ------
    FormatError
        A step of zero: all voxels would be in one place.
    """
    found = _transform(where, own.get("transform"), n_dimensions, "transform")
    if found is not None:
        yield True, found
    entry = _multiscale(group)
    if entry is not None and level < len(entry["datasets"]):
        at = f"multiscales.0.datasets.{level}.transform"
        found = _transform(where, entry["datasets"][level].get("transform"), n_dimensions, at)
        if found is not None:
            yield False, found
    for is_own, attributes in ((True, own), (False, group if isinstance(group, dict) else {})):
        factors = _numbers(own.get("downsamplingFactors"), n_dimensions) or _factors(group, level, n_dimensions)
        found = _resolution(attributes, n_dimensions)
        # Of a coarser array nobody knows whether it says its own resolution or the finest one's; and an array on its
        # own that says by what it was reduced is a coarser one.
        if found is not None and level == 0 and (factors is None or set(factors) == {1.0}):
            yield is_own, found
        elif found is not None and not is_own and factors is not None:
            steps = tuple(None if one is None else one * by for one, by in zip(found.step, factors, strict=True))
            yield False, found._replace(step=steps)


def _transform(where: str, transform: Any, n: int, at: str) -> Spacing | None:
    """OpenOrganelle names its axes, slowest first; they are turned to N5's order here.

    In an order in which x is neither first nor last nobody can tell what is meant.
    """
    if not isinstance(transform, dict):
        return None
    axes, scale = transform.get("axes"), _numbers(transform.get("scale"), n)
    if scale is None or not isinstance(axes, list) or len(axes) != n or "x" not in (axes[0], axes[-1]):
        return None
    position = _numbers(transform.get("translate"), n) or (None,) * n
    order = range(n - 1, -1, -1) if axes[-1] == "x" else range(n)
    if 0 in scale:
        raise FormatError(
            f"{where}: {at}.scale: numbers other than zero expected, found {list(scale)}: mend the metadata"
        )
    return Spacing(
        step=tuple(abs(scale[index]) for index in order),  # a flipped axis has its length all the same
        unit=tuple(_units(transform.get("units"), n)[index] for index in order),
        position=tuple(position[index] for index in order),
        at=f"{at}.scale",
        raw=str(list(scale)),
    )


def _resolution(attributes: Mapping[str, Any], n: int) -> Spacing | None:
    resolution = attributes.get("pixelResolution")
    if isinstance(resolution, dict):
        step, unit = _numbers(resolution.get("dimensions"), n), resolution.get("unit")
        units: Sequence[str | None] = (unit if isinstance(unit, str) else None,) * n
        at = "pixelResolution.dimensions"
    else:
        step, units, at = _numbers(attributes.get("resolution"), n), _units(attributes.get("units"), n), "resolution"
    if step is None or min(step) <= 0:
        return None
    return Spacing(step, tuple(units), (None,) * n, at, str(list(step)))


def _factors(group: Any, level: int, n: int) -> tuple[float, ...] | None:
    if not isinstance(group, dict):
        return None
    for key in ("scales", "downsamplingFactors"):
        found = group.get(key)
        if isinstance(found, list) and level < len(found):
            return _numbers(found[level], n)
    return None


def _multiscale(attributes: Any) -> dict[str, Any] | None:
    entries = attributes.get("multiscales") if isinstance(attributes, dict) else None
    entry = entries[0] if isinstance(entries, list) and entries else None
    datasets = entry.get("datasets") if isinstance(entry, dict) else None
    is_one = isinstance(datasets, list) and datasets and all(isinstance(level, dict) for level in datasets)
    return entry if is_one else None


def _numbers(values: Any, n: int) -> tuple[float, ...] | None:
    is_list = isinstance(values, list) and len(values) == n
    if not is_list or not all(type(value) in (int, float) and abs(value) < 1e300 for value in values):
        return None
    return tuple(float(value) for value in values) if all(map(math.isfinite, values)) else None


def _units(units: Any, n: int) -> tuple[str | None, ...]:
    if isinstance(units, str):
        return (units,) * n
    if not isinstance(units, list) or len(units) != n:
        return (None,) * n
    return tuple(unit if isinstance(unit, str) else None for unit in units)


def _names(axes: Any, n: int) -> tuple[str | None, ...] | None:
    if not isinstance(axes, list) or len(axes) != n or not all(isinstance(axis, str) for axis in axes):
        return None
    return tuple(axes) if len(set(axes)) == n and {"x", "y"} <= set(axes) else None
