"""OME-Zarr 0.1 to 0.5 on zarr v2 and v3, bare zarr arrays and groups of them, and VISoR's 5-D arrays.

A volume is 3-D here: each item along any axis other than z, y, x is a volume of its own. Axes are told by their names,
and turned to z, y, x without copying. Lengths are what scale and unit say together: a scale without a unit is unknown.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from itertools import product
from math import prod
from pathlib import PurePosixPath
from typing import Any

from em_assets.errors import FormatError, SourceMissingError, UnsupportedDataError
from em_assets.formats.json_tags import flatten
from em_assets.formats.ngff_metadata import (
    Axis,
    Level,
    Multiscale,
    is_labels,
    multiscale,
    offset_nm,
    spatial_axes,
    voxel_size_nm,
)
from em_assets.formats.tensorstores import BoxReader, is_forked_from_user
from em_assets.formats.trees import Tree, open_tree, parse_json
from em_assets.formats.visor import channel_labels, is_visor, item_names
from em_assets.formats.volume import SourceLevel, SourceVolume, StoredChunks
from em_assets.formats.zarr_arrays import ArrayInfo, array_info, open_array
from em_assets.formats.zarr_chunks import stored_chunks
from em_assets.formats.zarr_derived import derived_tags
from em_assets.formats.zarr_nodes import Node, all_nodes, join, read_nodes
from em_assets.formats.zarr_witnesses import witnesses as witnesses
from em_assets.model import Content, Tag

NAME = "ome_zarr"
MARKERS = ("zarr.json", ".zgroup", ".zarray", ".zattrs")
MAX_ITEMS = 10_000


def matches(head: bytes, name: str) -> bool:
    """Never: this format is a folder, marked by its metadata files."""
    return False


def read_tags(path: str) -> Iterator[Tag]:
    """Every value of every metadata document in the tree; `container` is the document's name below it.

    Behind a node's documents comes what follows from them, by arithmetic (`derived`).
    """
    tree = open_tree(path)
    for node in all_nodes(tree, _root(tree)):
        for name, data in node.files.items():
            yield from flatten(name, parse_json(tree.locate(name), data))
        yield from derived_tags(tree, node)


def metadata_documents(path: str) -> Iterator[tuple[str, bytes]]:
    """Every metadata document in the tree, verbatim, by its name below it."""
    tree = open_tree(path)
    for node in all_nodes(tree, _root(tree)):
        yield from node.files.items()


def open_volumes(paths: Sequence[str], *, is_fill_allowed: bool = True) -> list[SourceVolume]:
    """The volumes of each tree: one an image, or one for each of its items along time, channel or VISoR stack.

    Without `is_fill_allowed` a chunk that is not there is an error when it is read, and not the fill value.

    Raises
    ------
    FormatError
        Metadata that contradicts itself, levels that are not there, a group without arrays.
    UnsupportedDataError
        A version that is not known, a plate, values that are no real numbers, axes that nobody names.
    """
    return [volume for path in paths for volume in open_in(open_tree(path), path, is_fill_allowed=is_fill_allowed)]


def open_in(tree: Tree, path: str, *, is_fill_allowed: bool = True) -> list[SourceVolume]:
    """The volumes of a tree that `path` names; as `open_volumes`."""
    return _volumes_of(path, tree, is_fill_allowed)


@dataclass(frozen=True)
class _Image:
    """An image whose arrays are found: `arrays[i]` is the array of `levels[i]`; `zyx` are positions in `axes`."""

    node: Node
    multiscale: Multiscale | None
    levels: tuple[Level, ...]
    arrays: tuple[ArrayInfo, ...]
    axes: tuple[Axis, ...]
    zyx: tuple[int | None, int, int]

    @property
    def others(self) -> tuple[int, ...]:
        """Positions of the axes that are not z, y or x."""
        return tuple(i for i in range(len(self.axes)) if i not in self.zyx)


def _volumes_of(path: str, tree: Tree, is_fill_allowed: bool) -> list[SourceVolume]:
    images = _images(tree, _root(tree))
    return [
        volume
        for image in images
        for volume in _volumes(path, tree, image, is_only=len(images) == 1, is_fill_allowed=is_fill_allowed)
    ]


def _root(tree: Tree) -> Node:
    (node,) = read_nodes(tree, [""])
    if node is None:
        found = FormatError if tree.is_local else SourceMissingError
        raise found(f"{tree.root}: zarr metadata expected (zarr.json, .zgroup or .zarray), found none")
    return node


def _images(tree: Tree, root: Node) -> list[_Image]:
    """The images at or below the root: its own, else those of nested groups, else its bare arrays."""
    own = multiscale(tree.locate(""), root.attributes) if root.kind == "group" else None
    if own is not None:
        return [_with_arrays(tree, root, own)]
    if root.kind == "array":
        return [_bare(tree, root)]
    nodes = all_nodes(tree, root)
    nested = [(node, multiscale(tree.locate(node.path), node.attributes)) for node in nodes if node.kind == "group"]
    images = [(node, image) for node, image in nested if image is not None]
    paths = [node.path for node, _ in images]
    outer = [(n, i) for n, i in images if not any(n.path.startswith(f"{path}/") for path in paths)]
    if outer:
        return [_with_arrays(tree, node, image) for node, image in outer]
    arrays = [node for node in nodes if node.kind == "array"]
    if not arrays:
        hint = (
            ": fetch it again, or name the group that holds them"
            if tree.is_local
            else "; behind a URL only what metadata names is found: name the array's own address"
        )
        raise FormatError(f"{tree.root}: a zarr group that holds arrays expected, found none in it{hint}")
    return [_bare(tree, node) for node in arrays]


def _with_arrays(tree: Tree, node: Node, image: Multiscale) -> _Image:
    where = tree.locate(node.path)
    arrays = _level_arrays(tree, node, image.levels)
    axes = image.axes_of(len(arrays[0].shape))
    result = _Image(node, image, image.levels, arrays, axes, spatial_axes(where, axes))
    for level, array in zip(image.levels, arrays, strict=True):
        _check_level(f"{where}: level {level.path}", result, array)
    return result


def _level_arrays(tree: Tree, node: Node, levels: Sequence[Level]) -> tuple[ArrayInfo, ...]:
    arrays = []
    for level, found in zip(levels, read_nodes(tree, [join(node.path, level.path) for level in levels]), strict=True):
        if found is None or found.kind != "array":
            missing = FormatError if tree.is_local else SourceMissingError
            where = tree.locate(node.path)
            raise missing(f"{where}: the level {level.path!r} is listed, and no array is there; fetch it again")
        arrays.append(array_info(tree.locate(found.document_name), found.document))
    return tuple(arrays)


def _check_level(where: str, image: _Image, array: ArrayInfo) -> None:
    first, names = image.arrays[0], [axis.name for axis in image.axes]
    if len(array.shape) != len(names):
        raise FormatError(f"{where}: {len(names)} dimensions ({', '.join(names)}) expected, found shape {array.shape}")
    if array.dtype != first.dtype:
        raise FormatError(f"{where}: {first.dtype}, as the first level has, expected, found {array.dtype}")
    if array.dimension_names is not None and any(array.dimension_names) and list(array.dimension_names) != names:
        raise FormatError(f"{where}: dimension_names {names}, as the axes say, expected, found {array.dimension_names}")
    if any(array.shape[i] != first.shape[i] for i in image.others):
        raise FormatError(f"{where}: as many items as the first level ({first.shape}) expected, found {array.shape}")


def _bare(tree: Tree, node: Node) -> _Image:
    """An array without OME metadata: one level of unknown size, axes by name where it names them, else by position."""
    info = array_info(tree.locate(node.document_name), node.document)
    where = tree.locate(node.path)
    names = info.dimension_names or node.attributes.get("_ARRAY_DIMENSIONS") or ()
    axes = tuple(Axis(str(name)) for name in names) if isinstance(names, (list, tuple)) else ()
    if len(axes) != len(info.shape) or not {"y", "x"} <= {axis.name.lower() for axis in axes}:
        axes = _axes_by_position(where, info.shape)
    level = Level("", None, (0.0,) * len(axes), ())
    return _Image(node, None, (level,), (info,), axes, spatial_axes(where, axes))


def _axes_by_position(where: str, shape: tuple[int, ...]) -> tuple[Axis, ...]:
    """z, y, x (or y, x) and, before or after them, axes of length 1."""
    first, last = 0, len(shape)
    while last - first > 3 and shape[first] == 1:
        first += 1
    while last - first > 3 and shape[last - 1] == 1:
        last -= 1
    if not 2 <= last - first <= 3:
        raise UnsupportedDataError(f"{where}: z, y, x expected, found shape {shape} with axes that nobody names")
    spatial = "zyx"[-(last - first) :]
    return tuple(Axis(spatial[i - first] if first <= i < last else f"axis_{i}") for i in range(len(shape)))


def _volumes(path: str, tree: Tree, image: _Image, *, is_only: bool, is_fill_allowed: bool) -> Iterator[SourceVolume]:
    where = tree.locate(image.node.path)
    extents = [image.arrays[0].shape[i] for i in image.others]
    if prod(extents) > MAX_ITEMS:
        raise UnsupportedDataError(f"{where}: at most {MAX_ITEMS} volumes in one image expected, found {prod(extents)}")
    arrays = [
        cache(partial(open_array, tree, join(image.node.path, level.path), info, is_fill_allowed=is_fill_allowed))
        for level, info in zip(image.levels, image.arrays, strict=True)
    ]
    if not is_forked_from_user():
        for array in arrays:
            array()  # what tensorstore cannot read is said now, not at the first box
    own_name = PurePosixPath(tree.root).name.removesuffix(".zarr").removesuffix(".ome") if is_only else image.node.path
    names = _item_names(where, image, extents)
    finest = join(image.node.path, image.levels[0].path)
    is_in_order = image.zyx == (0, 1, 2)
    stored = stored_chunks(tree, finest, image.arrays[0], is_fill_allowed=is_fill_allowed) if is_in_order else None
    for item, name in zip(product(*map(range, extents)), names, strict=True):
        yield SourceVolume(
            name=name if is_only and name else ".".join(filter(None, (own_name, name))),
            format=NAME,
            dtype=image.arrays[0].dtype,
            levels=tuple(
                _level(where, image, index, item, array, None if index else stored)
                for index, array in enumerate(arrays)
            ),
            files=(path,),
            compressor=image.arrays[0].compressor,
            content=_content(where, image),
        )


def _content(where: str, image: _Image) -> Content | None:
    if image.multiscale is not None and is_visor(image.multiscale, image.node.attributes):
        return "fluorescence"
    is_mask = is_labels(image.node.attributes) or PurePosixPath(where).parent.name == "labels"
    return "labels" if is_mask and image.multiscale is not None else None


def _item_names(where: str, image: _Image, extents: Sequence[int]) -> list[str]:
    """A name for each item along the axes that are not spatial; "" for the only one."""
    if image.multiscale is not None and len(extents) == 2 and is_visor(image.multiscale, image.node.attributes):
        stacks, channels = item_names(where, image.multiscale, image.node.attributes, extents)
        return [f"{stack}.{channel}" for stack, channel in product(stacks, channels)]
    parts = [_axis_names(image, axis, n) for axis, n in zip(image.others, extents, strict=True) if n > 1]
    return ["_".join(names) for names in product(*parts)]


def _axis_names(image: _Image, axis: int, extent: int) -> list[str]:
    name, kind = image.axes[axis].name, image.axes[axis].type
    labels = channel_labels(image.node.attributes) if kind == "channel" or name.lower() in ("c", "ch") else []
    if len(labels) == extent == len(set(labels)) and all(labels):
        return labels
    return [f"{name}{index}" for index in range(extent)]


def _level(
    where: str, image: _Image, index: int, item: tuple[int, ...], array: Callable[[], Any], stored: StoredChunks | None
) -> SourceLevel:
    level, info = image.levels[index], image.arrays[index]
    reader = BoxReader(f"{where}/{level.path}".rstrip("/"), partial(_turned, image, item, array))
    z, y, x = (1 if i is None else info.shape[i] for i in image.zyx)
    chunk_z, chunk_y, chunk_x = (1 if i is None else info.chunk_shape[i] for i in image.zyx)
    offset = offset_nm(level.translation, image.axes, image.zyx)
    if image.multiscale is not None and image.multiscale.items:
        _, translation = image.multiscale.items[item[0]]
        oz, oy, ox = (a + b for a, b in zip(offset, offset_nm(translation, image.axes, image.zyx), strict=True))
        offset = (oz, oy, ox)
    return SourceLevel(
        shape_zyx=(z, y, x),
        voxel_size_zyx_nm=voxel_size_nm(where, level, image.axes, image.zyx),
        read_box=reader.read_box,
        begin_into=reader.begin_into,
        offset_zyx_nm=offset,
        chunk_shape_zyx=(chunk_z, chunk_y, chunk_x),
        stored=stored,
    )


def _turned(image: _Image, item: tuple[int, ...], array: Callable[[], Any]) -> Any:
    """One item of an array, its axes turned to z, y, x; a flat image gets a z of length 1. Lazy."""
    import tensorstore

    index: list[Any] = [slice(None)] * len(image.axes)
    for axis, position in zip(image.others, item, strict=True):
        index[axis] = position
    spatial = [axis for axis in image.zyx if axis is not None]
    turned = array()[tuple(index)].transpose([sorted(spatial).index(axis) for axis in spatial])
    return turned if len(spatial) == 3 else turned[tensorstore.newaxis]
