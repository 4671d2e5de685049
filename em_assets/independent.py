"""Blocks of a source as other people's libraries read it, to hold against what our own readers made of it.

Nothing of `formats` is used here but the description of a volume: what is independent is which bytes are voxels, in
which order, and which item of a file they belong to. Volumes of one file that look alike are paired by their order.
"""

import json
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import product
from math import prod
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple
from warnings import catch_warnings, simplefilter

import numpy as np
from numpy.typing import NDArray

from em_assets.errors import EMAssetsError, FormatError
from em_assets.formats.limited import Limits, call_limited
from em_assets.formats.volume import ReadBox, SourceVolume
from em_assets.model import ZYX

Box = tuple[ZYX, ZYX]
"""Start and shape, z, y, x."""

LIMITS = Limits(memory_bytes=2**31, cpu_s=60, wall_s=120)
"""Of the blocks of one volume: ncempy takes half a minute for a file of 720 kB that was made for it."""


class NotIndependentError(EMAssetsError):
    """No library but our own reads the volume; the message says why."""


@dataclass(frozen=True)
class Voxels:
    """A 3-D array as a library sees it; `read` gives a box of it, and good only while its file is open.

    `name` is its place in a file that gives its arrays names; None where it gives none.
    """

    shape_zyx: ZYX
    dtype: np.dtype[Any]
    read: ReadBox
    name: str | None = None

    def __str__(self) -> str:
        return f"{self.shape_zyx} {self.dtype}"


class Library(NamedTuple):
    """A library, and how it opens one file or folder: a list of everything there that could be a volume.

    `own_errors` are those that it raises besides `REFUSALS`.
    """

    name: str
    open_voxels: Callable[[str], AbstractContextManager[list[Voxels]]]
    own_errors: Callable[[], tuple[type[Exception], ...]] = tuple


REFUSALS: tuple[type[Exception], ...] = (
    OSError,
    EOFError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    RuntimeError,
    MemoryError,
    struct.error,
    zlib.error,
)
"""What the libraries were seen to raise on account of a file that they do not take, from `struct` to `imagecodecs`."""


def read_blocks(volume: SourceVolume, siblings: Sequence[SourceVolume], boxes: Sequence[Box]) -> list[NDArray[Any]]:
    """The boxes' voxels; of several files only those that a box touches are opened, one after the other.

    Parameters
    ----------
    siblings
        The volumes that were opened together with this one, itself among them, in their order.

    Raises
    ------
    NotIndependentError
        The library is not installed, refuses the file, or sees other volumes in it.
    """
    library = LIBRARIES.get(volume.format)
    if library is None:
        raise NotIndependentError(f"no library but our own reads {volume.format}")
    alike = [other for other in siblings if _identity(other) == _identity(volume)]
    place = next((index for index, other in enumerate(alike) if other is volume), 0)
    told = (volume.format, volume.files, volume.shape_zyx, volume.dtype.str, place, len(alike), volume.name)
    try:
        flat = call_limited(volume.files[0], f"{__name__}:blocks_in_a_row", volume.files[0], told, boxes, limits=LIMITS)
    except FormatError as error:
        raise NotIndependentError(f"{library.name} fails: {error}") from error
    ends = np.cumsum([prod(shape) for _, shape in boxes])
    return [part.reshape(shape) for part, (_, shape) in zip(np.split(flat, ends[:-1]), boxes, strict=True)]


def blocks_in_a_row(where: str, told: Sequence[Any], boxes: Sequence[Box]) -> NDArray[Any]:
    """The boxes' voxels one behind the other; to be called in a limited child, for these libraries trust files.

    Raises
    ------
    NotIndependentError
        As `read_blocks`.
    """
    asked = _Asked(told[0], tuple(told[1]), _three(told[2]), np.dtype(told[3]), *told[4:])
    library = LIBRARIES[asked.format]
    corners = [(_three(start), _three(shape)) for start, shape in boxes]
    try:
        with catch_warnings():  # other people's opinions of a file are no news here
            simplefilter("ignore")
            read = _read_slices if len(asked.files) > 1 else _read_file
            return np.concatenate([block.reshape(-1) for block in read(library, asked, corners)])
    except ImportError as error:
        missing = f"{error.name} is not installed" if error.name else f"{library.name} lacks something: {error}"
        raise NotIndependentError(missing) from error
    except REFUSALS + library.own_errors() as error:
        raise NotIndependentError(f"{library.name} refuses it ({type(error).__name__}: {error!s:.200})") from error


class _Asked(NamedTuple):
    """A volume; it is number `place` of the `n_alike` volumes of its files that look alike."""

    format: str
    files: tuple[str, ...]
    shape_zyx: ZYX
    dtype: np.dtype[Any]
    place: int
    n_alike: int
    name: str | None = None


def _read_file(library: Library, asked: _Asked, boxes: Sequence[Box]) -> list[NDArray[Any]]:
    with library.open_voxels(asked.files[0]) as found:
        named = [one for one in found if one.name is not None and one.name == asked.name]
        if named:
            (voxels,) = _matching(library, named, asked.shape_zyx, asked.dtype, 1)
        else:
            voxels = _matching(library, found, asked.shape_zyx, asked.dtype, asked.n_alike)[asked.place]
        return [np.array(voxels.read(start, shape)) for start, shape in boxes]


def _read_slices(library: Library, asked: _Asked, boxes: Sequence[Box]) -> list[NDArray[Any]]:
    """A volume of one slice a file: each file that is touched is opened once, for all boxes."""
    blocks = [np.empty(shape, asked.dtype) for _, shape in boxes]
    _, height, width = asked.shape_zyx
    for z in sorted({z for (start, _, _), (depth, _, _) in boxes for z in range(start, start + depth)}):
        with library.open_voxels(asked.files[z]) as found:
            (plane,) = _matching(library, found, (1, height, width), asked.dtype, 1)
            for block, (start, shape) in zip(blocks, boxes, strict=True):
                if start[0] <= z < start[0] + shape[0]:
                    block[z - start[0]] = plane.read((0, *start[1:]), (1, *shape[1:]))[0]
    return blocks


def _identity(volume: SourceVolume) -> tuple[object, ...]:
    return (volume.format, volume.files, volume.shape_zyx, volume.dtype)


def _matching(
    library: Library, found: Sequence[Voxels], shape_zyx: ZYX, dtype: np.dtype[Any], count: int
) -> list[Voxels]:
    """What has the volume's shape and type; as many must, as our own reader found, or nobody knows which is which."""
    alike = [voxels for voxels in found if (voxels.shape_zyx, voxels.dtype) == (shape_zyx, dtype)]
    if len(alike) != count:
        seen = ", ".join(map(str, found[:4])) or "no volume"
        raise NotIndependentError(f"{library.name} sees {seen} where {count} × {shape_zyx} {dtype} were expected")
    return alike


@contextmanager
def _dm(path: str) -> Iterator[list[Voxels]]:
    """Images as ncempy lists them: the thumbnail first where there is more than one, and not counted then."""
    from ncempy.io import dm

    with dm.fileDM(path) as file:
        thumbnails = 1 if file.numObjects > 1 else 0
        images = range(thumbnails, len(file.dataShape))
        real = [image for image in images if file.dataShape[image] in (2, 3) and _is_real(file, image)]
        yield [_dm_image(file, image, image - thumbnails) for image in real]


def _is_real(file: Any, image: int) -> bool:
    try:
        return np.dtype(file._DM2NPDataType(file.dataType[image])).kind in "iuf"
    except OSError:  # a type that ncempy does not know: masks, 64-bit numbers, packed complex, colour
        return False


def _dm_image(file: Any, image: int, index: int) -> Voxels:
    shape = (int(file.zSize[image]), int(file.ySize[image]), int(file.xSize[image]))
    return _of_array(file.getMemmap(index).reshape(shape))


@contextmanager
def _tiff(path: str) -> Iterator[list[Voxels]]:
    """The series that tifffile finds, read through its zarr view: strip by strip, tile by tile, never a stack."""
    import tifffile
    import zarr

    with tifffile.TiffFile(path) as file, ExitStack() as stores:
        found: list[Voxels] = []
        for series in file.series:
            store = stores.enter_context(series.aszarr(level=0))
            array = zarr.open_array(store, mode="r")
            found += _items(array, _tiff_axes(series.axes), counted="tc")
        yield found


def _tiff_axes(axes: str) -> str:
    """Pages that tifffile has no name for (I, Q) are slices."""
    return axes if "Z" in axes else axes.replace("I", "Z", 1) if "I" in axes else axes.replace("Q", "Z", 1)


@contextmanager
def _mrc(path: str) -> Iterator[list[Voxels]]:
    import mrcfile

    if path.casefold().endswith((".gz", ".bz2")):
        raise NotIndependentError("mrcfile would unpack it whole into memory")
    with mrcfile.mmap(path, mode="r", permissive=True) as file:
        data = file.data
        header = [int(file.header[name]) for name in ("maps", "mapr", "mapc")]
        axes = "".join("?xyz"[axis] for axis in header) if sorted(header) == [1, 2, 3] else "zyx"
        volumes = list(data) if data.ndim == 4 else [data.reshape((-1, *data.shape[-2:]))]
        turned = [volume.transpose([axes.index(axis) for axis in "zyx"]) for volume in volumes]
        # Mode 0 is signed, or unsigned for older programs: the volume's own type decides which of the two is meant.
        unsigned = [volume.view(np.uint8) for volume in turned if volume.dtype == np.int8]
        yield [_of_array(volume) for volume in (*turned, *unsigned)]


@contextmanager
def _zarr(path: str) -> Iterator[list[Voxels]]:
    import zarr

    node = zarr.open(path, mode="r")
    arrays = [("", node, None)] if isinstance(node, zarr.Array) else _zarr_images(node) or _zarr_arrays(node)
    yield [
        voxels
        for _, array, axes in sorted(arrays, key=lambda item: item[0])
        for voxels in _items(array, axes or _axes_of(array))
    ]


def _zarr_images(group: Any) -> list[tuple[str, Any, Sequence[str] | None]]:
    """The finest array of each outermost image, with the names of its axes."""
    import zarr

    attributes = group.attrs.asdict()
    multiscales = attributes.get("ome", attributes).get("multiscales")
    if multiscales:
        array = group[multiscales[0]["datasets"][0]["path"]]
        axes = multiscales[0].get("axes") or "tczyx"[-array.ndim :]  # before 0.3 nobody wrote them
        return [(group.path, array, [axis if isinstance(axis, str) else axis["name"] for axis in axes])]
    below = (member for _, member in group.members())
    return [image for member in below if isinstance(member, zarr.Group) for image in _zarr_images(member)]


def _zarr_arrays(group: Any) -> list[tuple[str, Any, Sequence[str] | None]]:
    import zarr

    members = group.members(max_depth=None)
    return [(path, member, None) for path, member in members if isinstance(member, zarr.Array)]


def _axes_of(array: Any) -> Sequence[str]:
    """Axes of a bare array: as it names them, else z, y, x; the axes of length 1 around them are nobody's."""
    named = getattr(array.metadata, "dimension_names", None) or array.attrs.get("_ARRAY_DIMENSIONS")
    if named and {"y", "x"} <= {str(name).lower() for name in named}:
        return [str(name) for name in named]
    spatial = "zyx"[-array.ndim :]
    leading = next((axis for axis, size in enumerate(array.shape) if size > 1), array.ndim)
    before = min(leading, array.ndim - len(spatial))
    return ["?"] * before + list(spatial) + ["?"] * (array.ndim - before - len(spatial))


@contextmanager
def _precomputed(path: str) -> Iterator[list[Voxels]]:
    """cloud-volume, the finest scale; x, y, z and channel, counted from the volume's offset."""
    import cloudvolume

    # In a sharded volume absent chunks are zeros; in any other our own reader has refused them long before.
    cloud = cloudvolume.CloudVolume(
        f"precomputed://file://{Path(path).absolute()}", mip=0, fill_missing=True, bounded=True, progress=False
    )
    if any(scale["encoding"] == "compresso" for scale in cloud.info["scales"]):
        raise NotIndependentError("only cloud-volume reads compresso, and our own reader uses it too")
    corner = [int(value) for value in cloud.voxel_offset]

    def read(start_zyx: ZYX, shape_zyx: ZYX) -> NDArray[Any]:
        starts = [first + start for first, start in zip(corner, start_zyx[::-1], strict=True)]
        box = tuple(slice(first, first + n) for first, n in zip(starts, shape_zyx[::-1], strict=True))
        return np.asarray(cloud[box])[..., 0].T

    x, y, z = (int(size) for size in cloud.volume_size)
    yield [Voxels((z, y, x), np.dtype(cloud.dtype), read)]


@contextmanager
def _n5(path: str) -> Iterator[list[Voxels]]:
    """Every array of a tree as cloud-volume reads it, x, y, z, where a group of one level is put around it."""
    with TemporaryDirectory() as folder:
        found = []
        for number, (array, said) in enumerate(_n5_arrays(Path(path))):
            group = Path(folder) / str(number)
            group.mkdir()
            (group / "s0").symlink_to(array.absolute())
            (group / "attributes.json").write_text('{"resolution": [1, 1, 1], "scales": [[1, 1, 1]]}')
            found.append(_n5_array(group, said))
        yield found


def _n5_arrays(folder: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Arrays of three axes and their attributes; the folders of an array's blocks are not looked into."""
    document = folder / "attributes.json"
    said = json.loads(document.read_bytes()) if document.is_file() else {}
    if {"dimensions", "dataType"} <= set(said):
        if len(said["dimensions"]) == 3:
            yield folder, said
        return
    for below in sorted(entry for entry in folder.iterdir() if entry.is_dir()):
        yield from _n5_arrays(below)


def _n5_array(group: Path, said: dict[str, Any]) -> Voxels:
    dtype = np.dtype(said["dataType"])

    def read(start_zyx: ZYX, shape_zyx: ZYX) -> NDArray[Any]:
        import cloudvolume

        if dtype.itemsize > 1:
            raise NotIndependentError("cloud-volume does not turn N5's big-endian numbers")
        cloud = cloudvolume.CloudVolume(f"n5://file://{group}", mip=0, fill_missing=True, bounded=True, progress=False)
        box = tuple(slice(first, first + n) for first, n in zip(start_zyx[::-1], shape_zyx[::-1], strict=True))
        return np.asarray(cloud[box])[..., 0].T

    return Voxels(_three(said["dimensions"][::-1]), dtype, read)


@contextmanager
def _hdf5(path: str) -> Iterator[list[Voxels]]:
    """Datasets of three axes as pyfive finds them, which reads HDF5 without libhdf5."""
    import pyfive

    with pyfive.File(path) as file:
        yield list(_hdf5_datasets(file, "", pyfive.Group))


def _hdf5_datasets(group: Any, path: str, group_type: type) -> Iterator[Voxels]:
    for own in sorted(group):
        found, name = group.get(own), f"{path}/{own}".lstrip("/")
        if isinstance(found, group_type):
            yield from _hdf5_datasets(found, name, group_type)
        elif found is not None and len(found.shape) == 3:
            dtype = np.dtype(found.dtype).newbyteorder("=")
            yield Voxels(_three(found.shape), dtype, partial(_hdf5_box, found), name)


def _hdf5_box(dataset: Any, start_zyx: ZYX, shape_zyx: ZYX) -> NDArray[Any]:
    return np.asarray(dataset[_slices(start_zyx, shape_zyx)])


def _cloud_volume_errors() -> tuple[type[Exception], ...]:
    """Errors of its own, which derive from nothing but Exception."""
    from cloudvolume import exceptions

    declared = [value for value in vars(exceptions).values() if isinstance(value, type)]
    return tuple(error for error in declared if issubclass(error, Exception))


def _of_array(array: NDArray[Any]) -> Voxels:
    z, y, x = array.shape
    return Voxels((z, y, x), array.dtype.newbyteorder("="), lambda start, shape: array[_slices(start, shape)])


def _items(array: Any, axes: Sequence[str], counted: str | None = None) -> Iterator[Voxels]:
    """Each item of an array along its other axes, z, y and x told by name; none where y or x is missing.

    With `counted`, those must be the other axes' names, and items are counted along them in that order, wherever they
    lie; without, in the array's own.
    """
    names = [axis.lower() for axis in axes]
    spatial = [names.index(axis) for axis in "zyx" if axis in names]
    others = [axis for axis in range(len(names)) if axis not in spatial]
    if not {"y", "x"} <= set(names) or len(names) != array.ndim:
        return
    if counted is not None:
        if not {names[axis] for axis in others} <= set(counted):
            return
        others.sort(key=lambda axis: counted.index(names[axis]))
    shape = [array.shape[axis] for axis in spatial]
    for item in product(*(range(array.shape[axis]) for axis in others)):
        reader = _item_reader(array, spatial, dict(zip(others, item, strict=True)))
        yield Voxels(_three(shape), np.dtype(array.dtype).newbyteorder("="), reader)


def _item_reader(array: Any, spatial: Sequence[int], item: dict[int, int]) -> ReadBox:
    def read(start_zyx: ZYX, shape_zyx: ZYX) -> NDArray[Any]:
        box = dict(zip(spatial, _slices(start_zyx, shape_zyx)[-len(spatial) :], strict=True))
        found = np.asarray(array[tuple(box.get(axis, item.get(axis)) for axis in range(array.ndim))])
        return found.transpose([sorted(spatial).index(axis) for axis in spatial]).reshape(shape_zyx)

    return read


def _slices(start_zyx: ZYX, shape_zyx: ZYX) -> tuple[slice, ...]:
    return tuple(slice(start, start + n) for start, n in zip(start_zyx, shape_zyx, strict=True))


def _three(shape: Sequence[int]) -> ZYX:
    z, y, x = (1, *shape)[-3:]
    return (z, y, x)


LIBRARIES: dict[str, Library] = {
    "dm": Library("ncempy", _dm),
    "tiff": Library("tifffile", _tiff),
    "mrc": Library("mrcfile", _mrc),
    "ome_zarr": Library("zarr-python", _zarr),
    "precomputed": Library("cloud-volume", _precomputed, _cloud_volume_errors),
    "n5": Library("cloud-volume", _n5, _cloud_volume_errors),
    "hdf5": Library("pyfive", _hdf5, lambda: (AssertionError,)),
}
"""By the names of the modules in `formats`."""
