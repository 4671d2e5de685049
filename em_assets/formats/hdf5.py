"""HDF5: every 3-D dataset of numbers in the file is a volume; CREMI's layout, and lengths that their names explain.

libhdf5 runs in a limited child (`hdf5_reading`), for it parses what anybody may have written. Nothing that a file
points to outside of itself is opened: a volume that lies elsewhere is an error, and no volume less.

CREMI's data format puts volumes below `volumes/` and says that their `resolution` and `offset` are nanometres, z first.
Elsewhere a `resolution` without a unit beside it is no voxel size.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from math import prod
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from em_assets.errors import FormatError, UnsupportedDataError, UsageError
from em_assets.formats.limited import Limits, call_limited, limits_for
from em_assets.formats.trees import is_url
from em_assets.formats.volume import SourceLevel, SourceVolume
from em_assets.formats.zarr_arrays import MAX_EXTENT, check_chunk_bytes
from em_assets.model import ZYX, FloatZYX, PartialFloatZYX, Tag, Witness
from em_assets.units import to_nm

NAME = "hdf5"
MARKERS: tuple[str, ...] = ()
SIGNATURE = b"\x89HDF\r\n\x1a\n"
USER_BLOCKS = (0, 512, 1024, 2048)
"""Where the signature may stand: behind a block of the user's own, as MATLAB writes it."""

_CHILD = "em_assets.formats.hdf5_reading:ask"
_LOOKING = Limits(memory_bytes=2**30, cpu_s=5, wall_s=12)
"""A file of ten thousand datasets takes two seconds; one with a ring in its own index would take for ever."""

MOST_ASKED_BYTES = 128 * 2**20
"""Of voxels that a child is asked for at once."""

_CREMI = "volumes"
_IMARIS = "ImarisDataSet"
_LAYOUT = "hdf5:layout"


def matches(head: bytes, name: str) -> bool:
    """Whether HDF5's signature stands where it may."""
    return any(head.startswith(SIGNATURE, at) for at in USER_BLOCKS)


def read_tags(path: str) -> Iterator[Tag]:
    """Every attribute of every group and dataset, what datasets are made of, and where links point.

    `container` is the object's name in the file, `/` for the root.
    """
    for thing in _objects(path):
        container = thing["name"] or "/"
        if "target" in thing:
            yield Tag(container, "link", thing["target"], f"hdf5:{thing['kind']} link")
            continue
        for key in ("shape", "dtype", "chunks", "filters", "elsewhere"):
            if thing.get(key) not in (None, []):
                yield Tag(container, f"dataset.{key}", thing[key], _LAYOUT)
        for name, (value, kind) in thing["attributes"].items():
            yield Tag(container, name, value, kind)


def witnesses(tags: Iterable[Tag]) -> list[Witness]:
    """Voxel size, shape, type, chunks and compression of the file's only volume; of several the voxel size they share.

    A resolution that has no unit, and that no layout explains, is no witness.
    """
    attributes: dict[str, dict[str, Any]] = {}
    layouts: dict[str, dict[str, Any]] = {}
    for tag in tags:
        of_kind = layouts if tag.type == _LAYOUT else attributes
        of_kind.setdefault(tag.container, {})[tag.path.removeprefix("dataset.")] = tag.value
    volumes = {name: said for name, said in layouts.items() if _is_volume(said, attributes.get(name, {}))}
    sizes = [(name, _spacing(name, attributes.get(name, {}))) for name in volumes]
    known = [(name, size) for name, size in sizes if size is not None]
    if not known or len({(size.zyx, size.unit) for _, size in known}) > 1:
        found = []
    else:
        name, size = known[0]
        found = [
            Witness(f"voxel_size_{axis}_nm", number, size.unit, f"{name} {size.at}", str(list(size.zyx)))
            for axis, number in zip("zyx", size.zyx, strict=True)
        ]
    return found + (_of_only(*next(iter(volumes.items()))) if len(volumes) == 1 else [])


def open_volumes(paths: Sequence[str], *, is_fill_allowed: bool = False) -> list[SourceVolume]:
    """One volume for each 3-D dataset of real numbers, named by its place in the file.

    A dataset that names its axes, and other than z, y, x, is none. Without `is_fill_allowed` a dataset of which parts
    were never written is an error when it is read, and not the fill value: in one file no list of files tells an absent
    chunk from a lost one.

    Raises
    ------
    FormatError
        A file is damaged, cut short, or holds no such dataset.
    UnsupportedDataError
        A volume's voxels are not in the file, or packed by a filter that is not known; or the file is Imaris'.
    """
    return [volume for path in paths for volume in _volumes_of(path, is_fill_allowed)]


def _volumes_of(path: str, is_fill_allowed: bool) -> Iterator[SourceVolume]:
    found = _objects(path)
    for thing in found:
        if thing.get("kind") == "external":
            raise UnsupportedDataError(
                f"{path}: {thing['name']} is a link to {thing['target']}: only what is in the file itself is read; "
                "name the other file"
            )
    if _IMARIS in found[0]["attributes"]:
        raise UnsupportedDataError(
            f"{path}: an Imaris file, whose arrays are larger than its image and filled up: save it as OME-TIFF"
        )
    datasets = [thing for thing in found if thing.get("kind") == "dataset" and _is_volume(thing, _values(thing))]
    if not datasets:
        seen = ", ".join(_listed(one) for one in found if one.get("kind") == "dataset")
        raise FormatError(f"{path}: a 3-D dataset of numbers (z, y, x) expected, found {seen[:300] or 'no dataset'}")
    for thing in datasets:
        yield _volume(path, thing, is_fill_allowed)


def _is_volume(layout: Mapping[str, Any], attributes: Mapping[str, Any]) -> bool:
    shape, dtype = layout.get("shape"), layout.get("dtype")
    if not isinstance(shape, list) or not isinstance(dtype, str) or dtype.startswith("other"):
        return False
    axes, names = _spatial(shape), _axis_names(attributes)
    return len(axes) == 3 and (len(names) != len(shape) or [names[axis] for axis in axes] == ["z", "y", "x"])


def _axis_names(attributes: Mapping[str, Any]) -> list[str]:
    """As ilastik's JSON or HDF5's own dimension labels have them, in lower case; empty where nobody says them all."""
    names = attributes.get("DIMENSION_LABELS")
    with suppress(KeyError, TypeError, ValueError):
        names = [axis["key"] for axis in json.loads(attributes["axistags"])["axes"]]
    is_each = isinstance(names, list) and all(isinstance(name, str) and name for name in names)
    return [name.lower() for name in names] if is_each and names else []


def _values(thing: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, (value, _) in thing["attributes"].items()}


def _listed(thing: Mapping[str, Any]) -> str:
    names = _axis_names(_values(thing))
    return f"{thing['name']} {thing['shape']}" + (f" ({', '.join(names)})" if names else "")


def _spatial(shape: Sequence[int]) -> list[int]:
    """Positions of z, y and x: the axes that are left when those of length 1 around them are put aside."""
    first, last = 0, len(shape)
    while last - first > 3 and shape[first] == 1:
        first += 1
    while last - first > 3 and shape[last - 1] == 1:
        last -= 1
    return list(range(first, last))


def _volume(path: str, thing: Mapping[str, Any], is_fill_allowed: bool) -> SourceVolume:
    name, where = thing["name"], f"{path}: {thing['name']}"
    if thing["elsewhere"]:
        raise UnsupportedDataError(f"{where}: {thing['elsewhere']}: only what is in the file itself is read")
    if min(thing["shape"]) < 1 or prod(thing["shape"]) > MAX_EXTENT:
        raise FormatError(f"{where}: voxels expected, found the shape {thing['shape']}")
    dtype = np.dtype(thing["dtype"]).newbyteorder("=")
    reader = _Reader(path, name, tuple(thing["shape"]), tuple(thing["chunks"] or ()), dtype, is_fill_allowed)
    if thing["chunks"]:
        check_chunk_bytes(where, thing["chunks"], dtype)
    z, y, x = _of_axes(thing["shape"], reader.axes)
    attributes = _values(thing)
    spacing = _spacing(name, attributes)
    level = SourceLevel(
        shape_zyx=(z, y, x),
        voxel_size_zyx_nm=_in_nm(spacing),
        read_box=reader.read_box,
        read_into=reader.read_into,
        offset_zyx_nm=_offset(name, attributes),
        chunk_shape_zyx=_of_axes(thing["chunks"], reader.axes) if thing["chunks"] else None,
    )
    is_mask = PurePosixPath(name).parent.name == "labels"
    return SourceVolume(
        name=name,
        format=NAME,
        dtype=dtype,
        levels=(level,),
        files=(path,),
        compressor=_compressor(thing["filters"]),
        content="labels" if is_mask else None,
    )


def _of_axes(numbers: Sequence[int], axes: Sequence[int]) -> ZYX:
    z, y, x = (numbers[axis] for axis in axes)
    return (z, y, x)


@dataclass(frozen=True)
class _Reader:
    """Boxes of one dataset, each asked of a child."""

    path: str
    name: str
    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    dtype: np.dtype[Any]
    is_fill_allowed: bool

    @property
    def axes(self) -> list[int]:
        return _spatial(self.shape)

    def read_box(self, start_zyx: ZYX, shape_zyx: ZYX) -> NDArray[Any]:
        """A box as a fresh array."""
        out = np.empty(shape_zyx, self.dtype)
        self.read_into(start_zyx, out)
        return out

    def read_into(self, start_zyx: ZYX, out: NDArray[Any]) -> None:
        """A box into memory that is there, part by part: a child gets so much memory and no more.

        Parts begin and end on the chunks' own grid, so no chunk is decoded for two of them.
        """
        self._check_written()
        first, block = start_zyx, self._part_zyx(out.shape)
        stop = [begin + extent for begin, extent in zip(first, out.shape, strict=True)]
        grids = [range(begin // edge, -(-end // edge)) for begin, end, edge in zip(first, stop, block, strict=True)]
        for cell in product(*grids):
            z, y, x = (max(begin, index * edge) for begin, index, edge in zip(first, cell, block, strict=True))
            shape = [
                min(end, (index + 1) * edge) - begin
                for end, index, edge, begin in zip(stop, cell, block, (z, y, x), strict=True)
            ]
            own = tuple(slice(at - begin, at - begin + n) for at, begin, n in zip((z, y, x), first, shape, strict=True))
            np.copyto(out[own], self._asked((z, y, x), shape))

    def _part_zyx(self, shape_zyx: Sequence[int]) -> ZYX:
        """What a child is asked for at once, in whole chunks: as much of x, then of y, then of z as may be."""
        part = list(self._chunk_zyx)
        for axis in (2, 1, 0):
            others = prod(part) // part[axis] * self.dtype.itemsize
            n = min(MOST_ASKED_BYTES // (others * part[axis]), -(-shape_zyx[axis] // part[axis]) + 1)
            part[axis] *= max(1, n)
        z, y, x = part
        return (z, y, x)

    @property
    def _chunk_zyx(self) -> ZYX:
        return _of_axes(self.chunks, self.axes) if self.chunks else (1, 1, min(self.shape[self.axes[2]], 2**16))

    def _check_written(self) -> None:
        if self.is_fill_allowed:
            return
        edges = self.chunks or self.shape
        n_chunks = prod(-(-extent // edge) for extent, edge in zip(self.shape, edges, strict=True))
        n_written = _written(*_state(self.path), self.name, n_chunks)
        if n_written < n_chunks:
            found = f"{n_chunks} chunks expected, {n_written} were" if self.chunks else "voxels expected, none was"
            raise FormatError(
                f"{self.path}: {self.name}: {found} ever written, and the rest would be read as a fill value: fetch it "
                "again, or write a file that has them all"
            )

    def _asked(self, start_zyx: ZYX, shape_zyx: Sequence[int]) -> NDArray[Any]:
        start, shape = [0] * len(self.shape), [1] * len(self.shape)
        for axis, first, extent in zip(self.axes, start_zyx, shape_zyx, strict=True):
            start[axis], shape[axis] = first, extent
        # Each chunk that the box touches is decoded whole.
        n_touched = prod(
            -(-(first + extent) // edge) - first // edge
            for first, extent, edge in zip(start_zyx, shape_zyx, self._chunk_zyx, strict=True)
        )
        n_bytes = (prod(shape_zyx) + n_touched * prod(self.chunks)) * self.dtype.itemsize
        limits = limits_for(n_bytes)
        found: NDArray[Any] = call_limited(self.path, _CHILD, self.path, "box", self.name, start, shape, limits=limits)
        if found.dtype != self.dtype or found.size != prod(shape_zyx):
            raise FormatError(f"{self.path}: {self.name}: {self.dtype} voxels expected, found {found.dtype}")
        return found.reshape(shape_zyx)


class _Spacing(NamedTuple):
    zyx: FloatZYX
    unit: str | None
    at: str


def _spacing(name: str, attributes: Mapping[str, Any]) -> _Spacing | None:
    """What a dataset says of its voxels' size, where it says of what, or its layout does."""
    micrometres = _triple(attributes.get("element_size_um"))  # ilastik's and Fiji's name for it
    if micrometres is not None:
        return _Spacing(micrometres, "um", "element_size_um")
    resolution = _triple(attributes.get("resolution"))
    unit = _unit(name, attributes)
    return None if resolution is None or unit is None else _Spacing(resolution, unit, "resolution")


def _unit(name: str, attributes: Mapping[str, Any]) -> str | None:
    said = attributes.get("units", attributes.get("unit"))
    if isinstance(said, list) and said and all(one == said[0] for one in said):
        said = said[0]
    if isinstance(said, str):
        return said
    return "nm" if name.startswith(f"{_CREMI}/") else None


def _in_nm(spacing: _Spacing | None) -> PartialFloatZYX:
    z, y, x = (None, None, None) if spacing is None else (to_nm(one, spacing.unit) for one in spacing.zyx)
    return (z, y, x)


def _offset(name: str, attributes: Mapping[str, Any]) -> FloatZYX:
    offset, factor = _triple(attributes.get("offset"), is_size=False), to_nm(1.0, _unit(name, attributes))
    if offset is None or factor is None:
        return (0.0, 0.0, 0.0)
    z, y, x = (one * factor for one in offset)
    return (z, y, x)


def _triple(value: Any, *, is_size: bool = True) -> FloatZYX | None:
    is_three = isinstance(value, list) and len(value) == 3
    if not is_three or not all(type(one) in (int, float) and abs(one) < 1e12 for one in value):
        return None
    z, y, x = (float(one) for one in value)
    return (z, y, x) if not is_size or min(z, y, x) > 0 else None


def _compressor(filters: Sequence[Sequence[Any]]) -> str | None:
    """In the words of numcodecs where it has any; what only rearranges or checks is named with it."""
    texts = [f"GZip(level={options[0]})" if name == "gzip" and options else name for _, name, options in filters]
    return ", ".join(texts) or None


def _of_only(name: str, said: Mapping[str, Any]) -> list[Witness]:
    axes = _spatial(said["shape"])
    dtype = np.dtype(said["dtype"]).name
    found = [
        Witness("shape_zyx", list(_of_axes(said["shape"], axes)), None, f"{name} shape", str(said["shape"])),
        Witness("dtype", dtype, None, f"{name} dtype", said["dtype"]),
    ]
    if said.get("chunks"):
        chunks = list(_of_axes(said["chunks"], axes))
        found.append(Witness("source_chunks", chunks, None, f"{name} chunks", str(said["chunks"])))
    compressor = _compressor(said.get("filters") or [])
    if compressor is not None:
        found.append(Witness("source_compressor", compressor, None, f"{name} filters", str(said["filters"])))
    return found


def _objects(path: str) -> list[dict[str, Any]]:
    return _asked(*_state(path))


def _state(path: str) -> tuple[str, int, int, int]:
    """A file and what tells that it is still the same: size, time of modification, inode."""
    if is_url(path):
        raise UsageError(f"{path}: an HDF5 file on this disk expected; add it to a dataset to fetch it whole")
    place = Path(path)
    try:
        stat = place.stat()
    except OSError as error:
        raise FormatError(f"{path}: cannot be read: {error.strerror}") from error
    return (path, stat.st_size, stat.st_mtime_ns, stat.st_ino)


@lru_cache(maxsize=64)
def _asked(path: str, size_bytes: int, modified_ns: int, inode: int) -> list[dict[str, Any]]:
    """What the file holds: asked once, as long as it is the same file. A failure may pass, so it is asked again."""
    document = call_limited(path, _CHILD, path, "objects", limits=_LOOKING)
    found: list[dict[str, Any]] = json.loads(document.tobytes())
    return found


@lru_cache(maxsize=256)
def _written(path: str, size_bytes: int, modified_ns: int, inode: int, name: str, n_chunks: int) -> int:
    """How many chunks of a dataset were ever written; of one without chunks how many bytes."""
    limits = limits_for(min(64 * n_chunks, 4 * size_bytes))  # the file says of each chunk where it lies
    return int(call_limited(path, _CHILD, path, "written", name, limits=limits)[0])
