"""Chunks of a zarr array as files on a local disk, for a writer that would store the very same bytes."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from em_assets.errors import FormatError
from em_assets.formats.trees import Tree
from em_assets.formats.volume import StoredChunks
from em_assets.formats.zarr_arrays import ArrayInfo, v3_codec
from em_assets.model import ZYX

_LITTLE_ENDIAN = ("bytes", {"endian": "little"})


def stored_chunks(tree: Tree, node: str, info: ArrayInfo, *, is_fill_allowed: bool) -> StoredChunks | None:
    """The chunks of a 3-D array in z, y, x order; None where they are not plain zstd, a file each, on a local disk."""
    level = _zstd_level(tree.locate(node), info)
    if not tree.is_local or len(info.shape) != 3 or level is None:
        return None
    names = _v2_names(info.metadata) if info.driver == "zarr" else _v3_names(info.metadata)
    fill_value = info.metadata.get("fill_value") or 0
    if names is None or not isinstance(fill_value, (int, float)):
        return None
    files = _Files(Path(tree.locate(node)), *names, is_fill_allowed)
    z, y, x = info.chunk_shape
    return StoredChunks(f"zstd-{level}", (z, y, x), fill_value, files.read, files.locate)


@dataclass(frozen=True)
class _Files:
    """Where chunks are: `prefix`, then the index with `separator` between."""

    folder: Path
    prefix: str
    separator: str
    is_fill_allowed: bool

    def locate(self, chunk: ZYX) -> str:
        return str(self._path(chunk))

    def read(self, chunk: ZYX) -> bytes | None:
        path = self._path(chunk)
        try:
            return path.read_bytes()
        except FileNotFoundError as error:
            if self.is_fill_allowed:
                return None
            raise FormatError(f"{path}: a chunk expected, found none; fetch it again") from error
        except OSError as error:
            raise FormatError(f"{path}: cannot be read: {error.strerror}") from error

    def _path(self, chunk: ZYX) -> Path:
        return self.folder / (self.prefix + self.separator.join(map(str, chunk)))


def _zstd_level(where: str, info: ArrayInfo) -> int | None:
    """The level, where zstd is all that is done to little-endian voxels in C order."""
    said = info.metadata
    if info.driver == "zarr":
        compressor = said.get("compressor") or {}
        is_plain = compressor.get("id") == "zstd" and said.get("order", "C") == "C" and str(said["dtype"])[0] in "<|"
        level = compressor.get("level", 0) if is_plain else None
    else:
        codecs = [v3_codec(where, codec) for codec in said["codecs"]]
        is_plain = len(codecs) == 2 and _is_little(codecs[0], info) and codecs[1][0] == "zstd"
        level = codecs[1][1].get("level", 0) if is_plain else None
    return level if isinstance(level, int) else None


def _is_little(codec: tuple[str, dict[str, Any]], info: ArrayInfo) -> bool:
    return codec == _LITTLE_ENDIAN or (info.dtype.itemsize == 1 and codec[0] == "bytes")


def _v2_names(said: Mapping[str, Any]) -> tuple[str, str] | None:
    separator = said.get("dimension_separator", ".")
    return ("", separator) if separator in (".", "/") else None


def _v3_names(said: Mapping[str, Any]) -> tuple[str, str] | None:
    encoding = said.get("chunk_key_encoding") or {}
    separator = encoding.get("configuration", {}).get("separator", "/")
    return (f"c{separator}", separator) if encoding.get("name") == "default" and separator in (".", "/") else None
