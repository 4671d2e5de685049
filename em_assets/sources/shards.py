"""Sharded zarr declares chunks absent: those that a shard's index leaves out. A shard that is lost declares nothing."""

import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from typing import Any, NamedTuple

from em_assets.errors import SourceMissingError
from em_assets.formats.trees import open_tree
from em_assets.model import ZYX

ASKED_AT_ONCE = 8


class Shards(NamedTuple):
    """The shards of an array with three axes: its folder, a shard's shape, and how their names are made."""

    folder: str
    shape_zyx: ZYX
    prefix: str
    separator: str

    def names(self, start: ZYX, shape: ZYX) -> Iterator[str]:
        """Paths, below the volume, of the shards that a box touches."""
        ranges = (
            range(begin // edge, -(-(begin + extent) // edge))
            for begin, extent, edge in zip(start, shape, self.shape_zyx, strict=True)
        )
        for place in product(*ranges):
            yield f"{self.folder}{self.prefix}{self.separator.join(map(str, place))}"


def shards_of(documents: Mapping[str, bytes], level: str | None) -> Shards | None:
    """The shards of a volume's finest level; None where it has none, or axes besides z, y, x.

    `level` is the path that the volume's metadata names, None for a bare array.
    """
    folder = f"{level}/" if level else ""
    try:
        array: Any = json.loads(documents[f"{folder}zarr.json"])
        is_sharded = array["node_type"] == "array" and array["codecs"][0]["name"] == "sharding_indexed"
        z, y, x = array["chunk_grid"]["configuration"]["chunk_shape"]
        encoding = array.get("chunk_key_encoding", {"name": "default"})
        is_default = encoding["name"] == "default"
        separator = encoding.get("configuration", {}).get("separator", "/" if is_default else ".")
    except (KeyError, IndexError, TypeError, ValueError, AttributeError):
        return None
    return Shards(folder, (z, y, x), f"c{separator}" if is_default else "", separator) if is_sharded else None


def require_shards(url: str, place: str, shards: Shards, start: ZYX, shape: ZYX) -> None:
    """Refuse a box of which a shard is not there.

    Raises
    ------
    SourceMissingError
        Naming the volume and the shard.
    """
    tree = open_tree(place)
    names = list(shards.names(start, shape))
    with ThreadPoolExecutor(ASKED_AT_ONCE) as pool:
        for name, is_there in zip(names, pool.map(tree.has, names), strict=True):
            if not is_there:
                raise SourceMissingError(
                    f"{url}: the shard {name} is not there, and only a shard's own index can say that chunks are "
                    "empty; ask the archive for it, or move the box. If the publisher writes no empty shards, say "
                    "`absent_is_fill = true`"
                )
