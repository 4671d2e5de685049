"""The groups and arrays of a zarr tree, v2 and v3, found by their metadata files alone."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal

from em_assets.errors import FormatError
from em_assets.formats.ngff_metadata import image_attributes, multiscale
from em_assets.formats.trees import Tree, parse_json

DOCUMENTS = ("zarr.json", ".zarray", ".zgroup", ".zattrs", ".zmetadata")
MAX_NODES = 10_000
MAX_REQUESTS_AT_ONCE = 16
MAX_SERIES = 8
"""Images that are asked for behind a URL in bioformats2raw's layout, which counts them 0, 1, … and names none."""


@dataclass(frozen=True)
class Node:
    """A group or an array.

    Attributes
    ----------
    path
        Below the tree's root; "" for the root itself.
    document
        Its `zarr.json`, `.zarray` or `.zgroup`.
    attributes
        Of either zarr version.
    files
        Its metadata files, verbatim, by name below the tree's root.
    """

    path: str
    kind: Literal["array", "group"]
    document: Any
    attributes: dict[str, Any]
    files: Mapping[str, bytes]

    @property
    def document_name(self) -> str:
        """Name of the document, below the tree's root."""
        return next(iter(self.files))


def join(path: str, name: str) -> str:
    """A name below a path, where "" is the root."""
    return "/".join(filter(None, (path, name)))


def read_nodes(tree: Tree, paths: Sequence[str]) -> list[Node | None]:
    """The nodes at these paths; None where there is none. Behind a URL their files are fetched side by side."""
    names = [join(path, document) for path in paths for document in DOCUMENTS if document != ".zmetadata" or not path]
    if tree.is_local:
        found = {name: tree.read(name) for name in names}
    else:
        with ThreadPoolExecutor(MAX_REQUESTS_AT_ONCE) as pool:
            found = dict(zip(names, pool.map(tree.read, names), strict=True))
    files = {name: data for name, data in found.items() if data is not None}
    return [_node(tree, path, files) for path in paths]


def all_nodes(tree: Tree, root: Node) -> list[Node]:
    """The root and every node below it that can be found, sorted by path.

    On a local disk that is all of them; behind a URL, where nobody lists, those that metadata names. The chunks of an
    array are never looked at.

    Raises
    ------
    FormatError
        There are more nodes than any honest tree has.
    """
    nodes, new = {root.path: root}, [root]
    while new:
        paths = sorted({path for node in new for path in _below(tree, node)} - nodes.keys())
        if len(nodes) + len(paths) > MAX_NODES:
            raise FormatError(f"{tree.root}: at most {MAX_NODES} groups and arrays expected")
        new = [node for node in read_nodes(tree, paths) if node is not None]
        nodes |= {node.path: node for node in new}
    return [nodes[path] for path in sorted(nodes)]


def _below(tree: Tree, node: Node) -> Iterator[str]:
    if node.kind == "array":
        return
    if tree.is_local:
        yield from (join(node.path, name) for name in tree.folders(node.path))
    else:
        for named in _named_by_metadata(tree, node):
            parts = named.strip("/").split("/")  # a level named `scale0/image` has a group in between
            yield from (join(node.path, "/".join(parts[: n + 1])) for n in range(len(parts)))


def _node(tree: Tree, path: str, files: Mapping[str, bytes]) -> Node | None:
    own = {join(path, document): files[join(path, document)] for document in DOCUMENTS if join(path, document) in files}
    read = {name.rpartition("/")[2]: parse_json(tree.locate(name), data) for name, data in own.items()}
    if "zarr.json" in read:
        document = read["zarr.json"]
        if not isinstance(document, dict) or document.get("node_type") not in ("array", "group"):
            raise FormatError(f'{tree.locate(join(path, "zarr.json"))}: node_type "array" or "group" expected')
        return Node(path, document["node_type"], document, _object(document.get("attributes")), own)
    if ".zarray" in read:
        return Node(path, "array", read[".zarray"], _object(read.get(".zattrs")), own)
    if ".zgroup" in read or ".zattrs" in read:  # some writers leave .zgroup out
        return Node(path, "group", read.get(".zgroup"), _object(read.get(".zattrs")), own)
    return None


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _named_by_metadata(tree: Tree, node: Node) -> Iterator[str]:
    """Paths below a group that it names itself: levels, labels, series, and what consolidated metadata lists."""
    _, attributes = image_attributes(node.attributes)
    image = multiscale(tree.locate(node.path), node.attributes)
    if image is not None:
        yield from (level.path for level in image.levels)
        yield "labels"
    labels = attributes.get("labels")
    if isinstance(labels, list):
        yield from (name for name in labels if isinstance(name, str))
    if "bioformats2raw.layout" in attributes:
        yield from ("OME", *(str(index) for index in range(MAX_SERIES)))
    yield from _consolidated(tree, node)


def _consolidated(tree: Tree, node: Node) -> list[str]:
    document = _object(_object(node.document).get("consolidated_metadata"))
    names = list(_object(document.get("metadata")))
    if ".zmetadata" in node.files:
        older = _object(parse_json(tree.locate(".zmetadata"), node.files[".zmetadata"]))
        names += [name.rpartition("/")[0] for name in _object(older.get("metadata"))]
    return [name for name in names if name]
