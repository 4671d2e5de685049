"""N5: a folder with an `attributes.json` and a file a block; multiscale as OpenOrganelle, N5 viewers and bdv write it.

N5 counts x first and stores numbers big-endian; here, once, that becomes z, y, x. A block that is not there is zero by
the format, as an absent chunk is in zarr. One volume an image: a group whose arrays are levels, or an array on its own.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import count, product
from math import prod
from pathlib import PurePosixPath
from typing import Any

from em_assets.errors import FormatError, SourceMissingError, UnsupportedDataError
from em_assets.formats.json_tags import flatten, unflatten
from em_assets.formats.n5_attributes import MAX_LEVELS, compression_of, is_dataset, level_paths
from em_assets.formats.n5_chunks import BlockReader
from em_assets.formats.n5_images import ATTRIBUTES, Image, Level, document_name, images
from em_assets.formats.trees import Tree, open_tree, parse_json
from em_assets.formats.volume import SourceLevel, SourceVolume
from em_assets.formats.zarr_nodes import join
from em_assets.model import PartialFloatZYX, Tag, Witness
from em_assets.units import to_nm

NAME = "n5"
MARKERS = (ATTRIBUTES,)
MAX_NODES = 10_000
MAX_ITEMS = 10_000
MAX_DEPTH = 16


def matches(head: bytes, name: str) -> bool:
    """Never: this format is a folder, marked by its `attributes.json`."""
    return False


def read_tags(path: str) -> Iterator[Tag]:
    """Every value of every `attributes.json` in the tree; `container` is the document's name below it."""
    tree = open_tree(path)
    for name, data in metadata_documents(path):
        yield from flatten(name, parse_json(tree.locate(name), data))


def metadata_documents(path: str) -> Iterator[tuple[str, bytes]]:
    """Every `attributes.json` in the tree, verbatim, by its name below it."""
    for at, (data, _) in _documents(open_tree(path)).items():
        yield document_name(at), data


def witnesses(tags: Iterable[Tag]) -> list[Witness]:
    """Voxel size, shape, type, levels, blocks and compression of a tree that holds one image; every number's place.

    A tree of several says nothing of any one of them here: its volumes speak for themselves. A size without a unit is
    no witness.
    """
    documents = {name.rpartition("/")[0]: document for name, document in unflatten(tags).items()}
    found = images("", {path: document for path, document in documents.items() if isinstance(document, dict)})
    return _of_image(found[0], documents) if len(found) == 1 else []


def open_volumes(paths: Sequence[str], *, is_fill_allowed: bool = True) -> list[SourceVolume]:
    """The volumes of each tree: one an image, or one for each item along an axis other than z, y, x.

    Without `is_fill_allowed` a block that is not there is an error when it is read, and not zero.

    Raises
    ------
    FormatError
        Attributes that contradict themselves, levels that are not there, a group without arrays.
    UnsupportedDataError
        Values that are no real numbers, a compression that is not known, axes that nobody names.
    """
    return [volume for path in paths for volume in _volumes_of(path, open_tree(path), is_fill_allowed)]


def _volumes_of(path: str, tree: Tree, is_fill_allowed: bool) -> Iterator[SourceVolume]:
    documents = {at: document for at, (_, document) in _documents(tree).items()}
    found = images(tree.root, documents)
    if not found:
        hint = "fetch it again, or name the group that holds them" if tree.is_local else "name the array's own address"
        raise FormatError(f"{tree.root}: an N5 group that holds arrays expected, found none in it: {hint}")
    for image in found:
        yield from _volumes(path, tree, image, documents, is_only=len(found) == 1, is_fill_allowed=is_fill_allowed)


def _documents(tree: Tree) -> dict[str, tuple[bytes, dict[str, Any]]]:
    """The attributes of every group and array that has any, by its path: on a disk all, behind a URL those named."""
    root = _document(tree, "")
    if root is None:
        missing = FormatError if tree.is_local else SourceMissingError
        raise missing(f"{tree.root}: an `{ATTRIBUTES}` expected, so that this is N5; found none")
    found = {"": root}
    for path in _below(tree, "") if tree.is_local else _named(tree, root[1]):
        document = _document(tree, path)
        if document is not None:
            found[path] = document
    return found


def _document(tree: Tree, path: str) -> tuple[bytes, dict[str, Any]] | None:
    name = document_name(path)
    data = tree.read(name)
    if data is None:
        return None
    document = parse_json(tree.locate(name), data)
    if not isinstance(document, dict):
        raise FormatError(f"{tree.locate(name)}: a JSON object expected, found {document!r:.80}")
    return data, document


def _below(tree: Tree, root: str) -> Iterator[str]:
    """Paths of the groups and arrays on a disk; the folders of an array's blocks are neither."""
    waiting, n_seen = [root], 0
    while waiting:
        path = waiting.pop()
        n_seen += 1
        if n_seen > MAX_NODES or path.count("/") > MAX_DEPTH:
            raise FormatError(f"{tree.root}: at most {MAX_NODES} groups in {MAX_DEPTH} levels expected")
        if path != root:
            yield path
        document = _document(tree, path)
        if document is None or not is_dataset(document[1]):
            waiting += sorted((join(path, name) for name in tree.folders(path)), reverse=True)


def _named(tree: Tree, root: Mapping[str, Any]) -> Iterator[str]:
    """Paths that the root names, or s0, s1, … as far as they are there: behind a URL nobody lists."""
    if is_dataset(root):
        return
    named = level_paths(tree.locate(ATTRIBUTES), root)
    if named is not None:
        yield from named
        return
    for number in count():
        if number == MAX_LEVELS or not tree.has(document_name(f"s{number}")):
            return
        yield f"s{number}"


def _volumes(
    path: str,
    tree: Tree,
    image: Image,
    documents: Mapping[str, Any],
    *,
    is_only: bool,
    is_fill_allowed: bool,
) -> Iterator[SourceVolume]:
    where = tree.locate(image.path)
    finest = image.levels[0]
    extents = [finest.info.shape[axis] for axis, _ in image.others]
    if prod(extents) > MAX_ITEMS:
        raise UnsupportedDataError(f"{where}: at most {MAX_ITEMS} volumes in one image expected, found {prod(extents)}")
    own = PurePosixPath(tree.root).name.removesuffix(".n5") if is_only else image.path
    is_mask = PurePosixPath(where).parent.name == "labels"
    for item in product(*map(range, extents)):
        indices = tuple((axis, index) for (axis, _), index in zip(image.others, item, strict=True))
        parts = [
            f"{name}{index}" for (_, name), index, extent in zip(image.others, item, extents, strict=True) if extent > 1
        ]
        yield SourceVolume(
            name=".".join([own, *(["_".join(parts)] if parts else [])]),
            format=NAME,
            dtype=finest.info.dtype,
            levels=tuple(_level(tree, image, level, indices, documents, is_fill_allowed) for level in image.levels),
            files=(path,),
            compressor=finest.info.compressor,
            content="labels" if is_mask else None,
        )


def _level(
    tree: Tree,
    image: Image,
    level: Level,
    item: tuple[tuple[int, int], ...],
    documents: Mapping[str, Any],
    is_fill_allowed: bool,
) -> SourceLevel:
    is_lz4 = compression_of(level.path, documents[level.path])["type"] == "lz4"
    reader = BlockReader(tree, level.path, level.info, image.zyx, item, is_lz4, is_fill_allowed)
    z, y, x = (1 if axis is None else level.info.shape[axis] for axis in image.zyx)
    chunk_z, chunk_y, chunk_x = (1 if axis is None else level.info.chunk_shape[axis] for axis in image.zyx)
    finest: PartialFloatZYX = image.levels[0].voxel_size_zyx_nm(image.zyx)
    return SourceLevel(
        shape_zyx=(z, y, x),
        voxel_size_zyx_nm=level.voxel_size_zyx_nm(image.zyx),
        read_box=reader.read_box,
        begin_into=reader.begin_into,
        offset_zyx_nm=level.offset_zyx_nm(image.zyx, finest),
        chunk_shape_zyx=(chunk_z, chunk_y, chunk_x),
    )


def _of_image(image: Image, documents: Mapping[str, Any]) -> list[Witness]:
    level, document = image.levels[0], documents[image.levels[0].path]
    at = document_name(level.path)
    found = [
        Witness(f"voxel_size_{name}_nm", said.step[axis], said.unit[axis], f"{place} {said.at}", said.raw)
        for place, said in level.said
        for name, axis in zip("zyx", image.zyx, strict=True)
        if axis is not None and to_nm(said.step[axis] or 0.0, said.unit[axis]) is not None
    ]
    shape = [1 if axis is None else level.info.shape[axis] for axis in image.zyx]
    blocks = [1 if axis is None else level.info.chunk_shape[axis] for axis in image.zyx]
    found += [
        Witness("shape_zyx", shape, None, f"{at} dimensions", str(document["dimensions"])),
        Witness("dtype", level.info.dtype.name, None, f"{at} dataType", document["dataType"]),
        Witness("source_chunks", blocks, None, f"{at} blockSize", str(document["blockSize"])),
        Witness("source_n_levels", len(image.levels), None, document_name(image.path), str(len(image.levels))),
    ]
    if level.info.compressor is not None:
        compression = str(compression_of(at, document))
        found.append(Witness("source_compressor", level.info.compressor, None, f"{at} compression", compression))
    return found
