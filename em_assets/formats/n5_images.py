"""The images of an N5 tree: which arrays are levels of one, where its voxels are. Pure: documents in, images out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count, takewhile
from typing import Any

from em_assets.errors import FormatError, UnsupportedDataError
from em_assets.formats.n5_attributes import Spacing, dataset_info, is_dataset, level_paths, spacings
from em_assets.formats.zarr_arrays import ArrayInfo
from em_assets.formats.zarr_nodes import join
from em_assets.model import FloatZYX, PartialFloatZYX
from em_assets.units import to_nm

ATTRIBUTES = "attributes.json"


@dataclass(frozen=True)
class Level:
    """One array of an image; `said` is who says how far its voxels are apart: a document's path, and the words."""

    path: str
    info: ArrayInfo
    said: tuple[tuple[str, Spacing], ...]

    def voxel_size_zyx_nm(self, zyx: Sequence[int | None]) -> PartialFloatZYX:
        """Nanometres; None where nobody says it, or without a unit."""
        z, y, x = (None if axis is None else self._first(axis) for axis in zyx)
        return (z, y, x)

    def _first(self, axis: int) -> float | None:
        found = (to_nm(said.step[axis] or 0.0, said.unit[axis]) for _, said in self.said)
        return next((size for size in found if size is not None), None)

    def offset_zyx_nm(self, zyx: Sequence[int | None], finest: PartialFloatZYX) -> FloatZYX:
        """Position of the first voxel's centre; of a coarser level that says none, half a voxel further in."""
        own = self.voxel_size_zyx_nm(zyx)
        z, y, x = (
            self._position(axis, ((size or 0.0) - (fine or 0.0)) / 2 if size and fine else 0.0)
            for axis, size, fine in zip(zyx, own, finest, strict=True)
        )
        return (z, y, x)

    def _position(self, axis: int | None, otherwise: float) -> float:
        if axis is not None:
            for _, said in self.said:
                position, nm = said.position[axis], to_nm(1.0, said.unit[axis])
                if position is not None and nm is not None:
                    return position * nm
        return otherwise


@dataclass(frozen=True)
class Image:
    """Levels of one image, finest first; `path` is their group's, or the array's own; `zyx` are positions in its shape.

    `others` are the axes that are none of these, with their names.
    """

    path: str
    levels: tuple[Level, ...]
    zyx: tuple[int | None, int, int]
    others: tuple[tuple[int, str], ...]


def images(root: str, documents: Mapping[str, Any]) -> list[Image]:
    """The images of a tree, by the attributes of its groups and arrays (path → document); arrays that are no level too.

    Raises
    ------
    FormatError
        A level that is listed is not there, or levels that do not belong together.
    UnsupportedDataError
        An array whose values or axes are not known.
    """
    arrays = {path for path, document in documents.items() if is_dataset(document)}
    groups = {path for path in documents if path not in arrays} | {_parent(path) for path in arrays if path}
    found, used = [], set()
    for group in sorted(groups):
        paths = _levels_of(root, group, documents, arrays)
        if paths:
            found.append(_image(root, group, documents, paths))
            used |= set(paths)
    bare = [_image(root, path, documents, [path]) for path in sorted(arrays - used)]
    return sorted([*found, *bare], key=lambda image: image.path)


def document_name(path: str) -> str:
    """Name of the document of a group or an array."""
    return join(path, ATTRIBUTES)


def _levels_of(root: str, group: str, documents: Mapping[str, Any], arrays: set[str]) -> list[str]:
    """Paths of a group's levels, as it names them; else those of the arrays s0, s1, … that lie in it."""
    where = join(root, document_name(group))
    named = level_paths(where, documents.get(group))
    if named is None:
        own = (join(group, f"s{number}") for number in count())
        return list(takewhile(arrays.__contains__, own))
    for name in named:
        if join(group, name) not in arrays:
            raise FormatError(f"{where}: the level {name!r} is listed, and no array is there; fetch it again")
    return [join(group, name) for name in named]


def _image(root: str, path: str, documents: Mapping[str, Any], paths: Sequence[str]) -> Image:
    group = documents.get(path) if list(paths) != [path] else None
    levels = tuple(_level(root, path, group, number, at, documents[at]) for number, at in enumerate(paths))
    first = levels[0].info
    for level in levels[1:]:
        where = join(root, document_name(level.path))
        if len(level.info.shape) != len(first.shape) or level.info.dtype != first.dtype:
            raise FormatError(
                f"{where}: {len(first.shape)} dimensions of {first.dtype}, as the first level has, expected, found "
                f"{len(level.info.shape)} of {level.info.dtype}"
            )
    zyx, others = _axes(join(root, document_name(levels[0].path)), first)
    if any(level.info.shape[axis] != first.shape[axis] for level in levels for axis, _ in others):
        raise FormatError(f"{join(root, path)}: as many items in each level expected")
    return Image(path, levels, zyx, others)


def _level(root: str, group_path: str, group: Any, number: int, path: str, own: Mapping[str, Any]) -> Level:
    where = join(root, document_name(path))
    info = dataset_info(where, own)
    said = tuple(
        (document_name(path if is_own else group_path), spacing)
        for is_own, spacing in spacings(where, len(info.shape), group, number, own)
    )
    return Level(path, info, said)


def _axes(where: str, info: ArrayInfo) -> tuple[tuple[int | None, int, int], tuple[tuple[int, str], ...]]:
    """Where z, y and x are among the dimensions: by their names, else x, y, z with axes of length 1 around them."""
    names = info.dimension_names
    if names is None:
        first, last = 0, len(info.shape)
        while last - first > 3 and info.shape[last - 1] == 1:
            last -= 1
        while last - first > 3 and info.shape[first] == 1:
            first += 1
        if not 2 <= last - first <= 3:
            raise UnsupportedDataError(f"{where}: x, y, z expected, found {info.shape} with axes that nobody names")
        names = tuple("xyz"[at - first] if first <= at < last else f"axis{at}" for at in range(len(info.shape)))
    z = names.index("z") if "z" in names else None
    others = tuple((at, str(name)) for at, name in enumerate(names) if name not in ("x", "y", "z"))
    return (z, names.index("y"), names.index("x")), others


def _parent(path: str) -> str:
    return path.rpartition("/")[0]
