"""Neuroglancer precomputed volumes: raw, jpeg, png, compressed_segmentation and compresso; sharded or not.

The file counts x, y, z and from its `voxel_offset`; here, once, that becomes z, y, x and the volume's own corner. The
format declares no chunk absent: one that is not there is an error, never zeros. In a sharded volume the shard's index
says which chunks exist, so only a missing shard file is one.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from em_assets.errors import FormatError, SourceMissingError
from em_assets.formats.cloud_volume import read_with_cloud_volume
from em_assets.formats.jpeg import TAIL_BYTES, check_end
from em_assets.formats.json_tags import flatten, unflatten
from em_assets.formats.precomputed_chunks import COMPRESSED_SUFFIXES, Cell, cells, chunk_name, open_gunzipped
from em_assets.formats.precomputed_info import Info, Scale, Sharding, parse_info
from em_assets.formats.precomputed_shards import shard_names
from em_assets.formats.tensorstores import begin_tensorstore, open_tensorstore, read_tensorstore
from em_assets.formats.trees import Tree, open_tree, parse_json
from em_assets.formats.volume import Finish, SourceLevel, SourceVolume
from em_assets.model import ZYX, FloatZYX, Tag, Witness

NAME = "precomputed"
MARKERS = ("info",)


def matches(head: bytes, name: str) -> bool:
    """Never: this format is a folder, marked by its `info`."""
    return False


def read_tags(path: str) -> Iterator[Tag]:
    """Every value of the `info` (and of the `provenance`, where there is one)."""
    tree = open_tree(path)
    for name, data in metadata_documents(path):
        yield from flatten(name, parse_json(tree.locate(name), data))


def metadata_documents(path: str) -> Iterator[tuple[str, bytes]]:
    """The `info`, and the `provenance` where it is JSON, as they are."""
    tree = open_tree(path)
    yield "info", _info_bytes(tree)
    provenance = tree.read("provenance")
    if provenance is not None and provenance.lstrip().startswith(b"{"):
        yield "provenance", provenance


def witnesses(tags: Iterable[Tag]) -> list[Witness]:
    """Voxel size, shape, type, scales, chunk and encoding of the finest scale."""
    document: Any = unflatten(tags).get("info")
    info = parse_info("info", document)
    scale, raw = info.scales[0], document["scales"][0]
    found = [
        Witness(f"voxel_size_{axis}_nm", nm, "nm", "info scales.0.resolution", str(raw["resolution"]))
        for axis, nm in zip("xyz", scale.resolution_xyz_nm, strict=True)
    ]
    found += [
        Witness("shape_zyx", list(scale.size_xyz[::-1]), None, "info scales.0.size", str(raw["size"])),
        Witness("dtype", info.dtype.name, None, "info data_type", document["data_type"]),
        Witness("source_n_levels", len(info.scales), None, "info scales", str(len(info.scales))),
        Witness(
            "source_chunks", list(scale.chunk_xyz[::-1]), None, "info scales.0.chunk_sizes", str(raw["chunk_sizes"])
        ),
    ]
    if (compressor := _compressor(scale)) is not None:
        found.append(Witness("source_compressor", compressor, None, "info scales.0.encoding", scale.encoding))
    if info.content is not None:
        found.append(Witness("content", info.content, None, "info type", document["type"]))
    return found


def open_volumes(paths: Sequence[str]) -> list[SourceVolume]:
    """One volume a folder, named after it, with a level for each scale.

    Raises
    ------
    FormatError
        The `info` contradicts itself.
    UnsupportedDataError
        No volume of one channel in a known encoding.
    """
    return [_volume(path, open_tree(path)) for path in paths]


def _info_bytes(tree: Tree) -> bytes:
    data = tree.read("info")
    if data is None:
        missing = FormatError if tree.is_local else SourceMissingError
        raise missing(f"{tree.root}: an `info` file expected, so that this is a precomputed volume; found none")
    return data


def _volume(path: str, tree: Tree) -> SourceVolume:
    where = tree.locate("info")
    document = parse_json(where, _info_bytes(tree))
    info = parse_info(where, document)
    return SourceVolume(
        name=PurePosixPath(tree.root).name,
        format=NAME,
        dtype=info.dtype,
        levels=tuple(_level(tree, info, document, index) for index in range(len(info.scales))),
        files=(path,),
        compressor=_compressor(info.scales[0]),
        content=info.content,
    )


def _compressor(scale: Scale) -> str | None:
    parts = [scale.encoding] if scale.encoding != "raw" else []
    if scale.sharding is not None and scale.sharding.data_encoding != "raw":
        parts.append(scale.sharding.data_encoding)
    return ", ".join(parts) or None


def _level(tree: Tree, info: Info, document: Any, index: int) -> SourceLevel:
    scale = info.scales[index]
    reader = _ScaleReader(tree, info, document, index)
    return SourceLevel(
        shape_zyx=_zyx(scale.size_xyz),
        voxel_size_zyx_nm=_float_zyx(scale.resolution_xyz_nm),
        read_box=reader.read_box,
        begin_into=reader.begin_into,
        offset_zyx_nm=_offset_nm(scale, info.scales[0]),
        chunk_shape_zyx=_zyx(scale.chunk_xyz),
    )


def _offset_nm(scale: Scale, finest: Scale) -> FloatZYX:
    """Centre of the first voxel, counted as `voxel_offset * resolution` is for the finest scale.

    A coarser scale's offset names the corner of a larger voxel, whose centre lies further in.
    """
    x, y, z = (
        offset * nm + (nm - fine) / 2
        for offset, nm, fine in zip(
            scale.voxel_offset_xyz, scale.resolution_xyz_nm, finest.resolution_xyz_nm, strict=True
        )
    )
    return (z, y, x)


def _zyx(xyz: Sequence[int]) -> ZYX:
    x, y, z = xyz
    return (z, y, x)


def _float_zyx(xyz: Sequence[float]) -> FloatZYX:
    x, y, z = xyz
    return (z, y, x)


@dataclass(frozen=True, eq=False)
class _ScaleReader:
    """Reads boxes of one scale; opened at the first one."""

    tree: Tree
    info: Info
    document: Any
    index: int
    known_shards: set[str] = field(default_factory=set)

    @property
    def scale(self) -> Scale:
        return self.info.scales[self.index]

    @property
    def where(self) -> str:
        return self.tree.locate(self.scale.key)

    def read_box(self, start_zyx: ZYX, shape_zyx: ZYX) -> NDArray[Any]:
        """Voxels of a box that lies inside the scale; a chunk that is not there is an error."""
        box = self._box(start_zyx, shape_zyx)
        if box is None:
            return self._read_with_cloud_volume(start_zyx, shape_zyx)
        return read_tensorstore(self.where, box)

    def begin_into(self, start_zyx: ZYX, out: NDArray[Any]) -> Finish:
        """The same into `out`, without waiting where tensorstore reads it."""
        z, y, x = out.shape
        box = self._box(start_zyx, (z, y, x))
        if box is None:
            return lambda: np.copyto(out, self._read_with_cloud_volume(start_zyx, (z, y, x)))
        return begin_tensorstore(self.where, box, out)

    def _box(self, start_zyx: ZYX, shape_zyx: ZYX) -> Any:
        """The box as a tensorstore; None where only cloud-volume decodes its chunks."""
        touched = cells(self.scale, start_zyx, shape_zyx)
        suffixes = self._suffixes(touched)
        # tensorstore refuses an info that has one scale in an encoding that it does not know.
        if suffixes - {"", ".gz"} or any(scale.encoding == "compresso" for scale in self.info.scales):
            return None
        array = self._gunzipped(touched) if ".gz" in suffixes else self._tensorstore
        return array[tuple(slice(start, start + n) for start, n in zip(start_zyx, shape_zyx, strict=True))]

    def _suffixes(self, touched: Sequence[Cell]) -> set[str]:
        """Endings of the chunk files that are touched; on a local disk each must be there."""
        if self.scale.sharding is not None:
            self._require_shards(self.scale.sharding, touched)
            return {""}
        if not self.tree.is_local:  # reading finds out, without asking for each chunk twice
            return {""}
        return {self._suffix(chunk_name(self.scale, cell)) for cell in touched}

    def _suffix(self, name: str) -> str:
        for suffix in COMPRESSED_SUFFIXES:
            if self.tree.has(f"{self.scale.key}/{name}{suffix}"):
                if suffix == "" and self.scale.encoding == "jpeg":
                    check_end(f"{self.where}/{name}", self.tree.read_tail(f"{self.scale.key}/{name}", TAIL_BYTES))
                return suffix
        raise FormatError(f"{self.where}: the chunk file {name} is missing, which holds voxels here; fetch it again")

    def _require_shards(self, sharding: Sharding, touched: Sequence[Cell]) -> None:
        for name in sorted(shard_names(self.scale, sharding, touched) - self.known_shards):
            if not self.tree.has(f"{self.scale.key}/{name}"):
                raise FormatError(f"{self.where}: the shard file {name} is missing, which holds chunks of this box")
            self.known_shards.add(name)

    @property
    def _spec(self) -> dict[str, Any]:
        return {
            "driver": "neuroglancer_precomputed",
            "kvstore": self.tree.kvstore(""),
            "scale_index": self.index,
            "scale_metadata": {"chunk_size": list(self.scale.chunk_xyz)},
            # A shard's index declares which chunks are absent; nothing else does.
            "fill_missing_data_reads": self.scale.sharding is not None,
        }

    @cached_property
    def _tensorstore(self) -> Any:
        return _turned(open_tensorstore(self.tree.root, self._spec))

    def _gunzipped(self, touched: Sequence[Cell]) -> Any:
        """The touched chunks alone, unpacked in memory: tensorstore takes `….gz` for absent, and absent for zeros."""
        chunks = {}
        for name in (chunk_name(self.scale, cell) for cell in touched):
            chunks[name] = self.tree.read_packed(f"{self.scale.key}/{name}{self._suffix(name)}")
        info = json.dumps(self.document).encode()
        return _turned(open_gunzipped(self.where, self.scale, self._spec, info, chunks))

    def _read_with_cloud_volume(self, start_zyx: ZYX, shape_zyx: ZYX) -> NDArray[Any]:
        starts = [o + s for o, s in zip(self.scale.voxel_offset_xyz, start_zyx[::-1], strict=True)]
        path = f"precomputed://{'file://' if self.tree.is_local else ''}{self.tree.root}"
        voxels = read_with_cloud_volume(self.where, path, self.document, self.index, starts, shape_zyx[::-1])
        return np.ascontiguousarray(voxels[..., 0].T)


def _turned(array: Any) -> Any:
    """x, y, z, channel counted with the offset → z, y, x counted from the corner."""
    return array[..., 0].translate_to[(0, 0, 0)].transpose([2, 1, 0])
