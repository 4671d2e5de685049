"""What libraries tell of a zarr array beyond its documents' words: arithmetic on these, no array is opened."""

from collections.abc import Iterator
from math import prod

from em_assets.errors import FormatError
from em_assets.formats.trees import Tree
from em_assets.formats.zarr_arrays import array_info
from em_assets.formats.zarr_nodes import Node, join
from em_assets.model import Tag

CONTAINER = "derived"


def derived_tags(tree: Tree, node: Node) -> Iterator[Tag]:
    """A node's kind and, of an array, its type in numpy's words and how many bytes and chunks it has when whole.

    An array whose metadata no reader understands has none: opening it says why.
    """
    container = join(node.path, CONTAINER)
    yield Tag(container, "path", node.path, CONTAINER)
    yield Tag(container, "type", f"z{node.kind}", CONTAINER)
    if node.kind == "group":
        return
    try:
        info = array_info(tree.locate(node.document_name), node.document)
    except FormatError:
        return
    chunks = [-(-size // chunk) for size, chunk in zip(info.shape, info.chunk_shape, strict=True)]
    facts = {
        "dtype": info.dtype.name,
        "chunks": list(info.chunk_shape),
        "compressor": info.compressor,
        "filters": node.document.get("filters") or [],
        "ndim": len(info.shape),
        "itemsize": info.dtype.itemsize,
        "nbytes": prod(info.shape) * info.dtype.itemsize,
        "cdata_shape": chunks,
        "nchunks": prod(chunks),
        "read_only": True,
    }
    yield from (Tag(container, name, value, CONTAINER) for name, value in facts.items())
