"""One zarr array: its metadata checked before any library sees it, then read through tensorstore."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, NoReturn

import numpy as np

from em_assets.errors import FormatError, UnsupportedDataError
from em_assets.formats.tensorstores import open_tensorstore
from em_assets.formats.trees import Tree

MAX_DIMENSIONS = 8
MAX_EXTENT = 2**60
MAX_CHUNK_BYTES = 2**30
"""A chunk is decoded whole: a larger one ends the process on a small machine instead of raising."""

_V3_TYPES = {f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)} | {
    "float16",
    "float32",
    "float64",
}
_V3_KEYS = ("zarr_format", "node_type", "shape", "data_type", "chunk_grid", "chunk_key_encoding", "fill_value")
_V2_KEYS = ("shape", "chunks", "dtype", "compressor", "filters", "order", "fill_value", "dimension_separator")


@dataclass(frozen=True)
class ArrayInfo:
    """What an array's metadata says, checked.

    Attributes
    ----------
    shape, chunk_shape
        In the array's own axis order; the chunk is the inner one where chunks are packed into shards.
    dtype
        In native byte order.
    dimension_names
        As written; None where the metadata has none.
    compressor
        In the words of zarr-python's numcodecs, `Zstd(level=1)`; None for none.
    driver, metadata
        What tensorstore is given: nothing that was not checked here.
    """

    shape: tuple[int, ...]
    chunk_shape: tuple[int, ...]
    dtype: np.dtype[Any]
    dimension_names: tuple[str | None, ...] | None
    compressor: str | None
    driver: str
    metadata: Mapping[str, Any]


def array_info(where: str, document: Any) -> ArrayInfo:
    """What a `.zarray` or an array's `zarr.json` says.

    Raises
    ------
    FormatError
        It contradicts itself or exceeds every honest size.
    UnsupportedDataError
        Its values are no real numbers, or it needs an extension that is not known.
    """
    if not isinstance(document, dict):
        raise FormatError(f"{where}: a JSON object expected, found {document!r:.80}")
    version = document.get("zarr_format")
    if version in (2, "2"):  # the string occurs in the wild (webKnossos' test data), and libraries refuse it
        return _v2(where, document)
    if version in (3, "3"):
        return _v3(where, document)
    raise UnsupportedDataError(f"{where}: zarr_format 2 or 3 expected, found {version!r}")


def open_array(tree: Tree, node: str, info: ArrayInfo, *, is_fill_allowed: bool = True) -> Any:
    """The array as a tensorstore; nothing is read.

    The one seam between metadata and voxels: without `is_fill_allowed` a chunk that is not there is an error, with it
    the fill value, which is what zarr declares an absent chunk to be.

    Raises
    ------
    FormatError
        tensorstore cannot read what the metadata describes, or the chunks are named otherwise.
    """
    _check_chunk_names(tree, node, info)
    return open_tensorstore(
        tree.locate(node),
        {
            "driver": info.driver,
            "kvstore": tree.kvstore(node),
            "metadata": dict(info.metadata),
            # What was checked is what is used: the document is not fetched a second time.
            "assume_metadata": True,
            "fill_missing_data_reads": is_fill_allowed,
        },
    )


def _check_chunk_names(tree: Tree, node: str, info: ArrayInfo) -> None:
    """Refuse chunks `0/0/0` where v2's metadata says `0.0.0`, or the other way round: all would be absent, and fill.

    zarr-python's nested folders had no word in the metadata before 2.8.
    """
    if info.driver != "zarr" or len(info.shape) < 2:
        return
    separator, found = info.metadata.get("dimension_separator", "."), tree.some_entry(node) or ""
    if (separator == "." and re.fullmatch(r"[0-9]+/", found)) or (separator == "/" and _FLAT_CHUNK.fullmatch(found)):
        raise FormatError(
            f"{tree.locate(node)}: chunks named with {separator!r} between numbers expected, found {found!r}: mend "
            "dimension_separator in .zarray"
        )


_FLAT_CHUNK = re.compile(r"[0-9]+(\.[0-9]+)+")


def whole_numbers(
    where: str, name: str, value: Any, *, least: int, most: int, count: int | None = None
) -> tuple[int, ...]:
    """A list of whole numbers within bounds, as a tuple.

    Raises
    ------
    FormatError
        It is anything else.
    """
    is_list = isinstance(value, list) and (count is None or len(value) == count)
    if not is_list or not all(type(item) is int and least <= item <= most for item in value):
        n = "a list of" if count is None else str(count)
        raise FormatError(f"{where}: {name}: {n} whole numbers from {least} to {most} expected, found {value!r:.80}")
    return tuple(value)


def check_chunk_bytes(where: str, chunk_shape: Sequence[int], dtype: np.dtype[Any]) -> None:
    """Refuse a chunk that decodes to more than `MAX_CHUNK_BYTES`.

    Raises
    ------
    FormatError
        Naming its shape.
    """
    if prod(chunk_shape) * dtype.itemsize > MAX_CHUNK_BYTES:
        raise FormatError(
            f"{where}: at most {MAX_CHUNK_BYTES} bytes a chunk expected, found {tuple(chunk_shape)} {dtype}"
        )


def v3_codec(where: str, codec: Any) -> tuple[str, dict[str, Any]]:
    """Name and configuration of a codec of zarr v3, which may be written as its name alone.

    Raises
    ------
    FormatError
        It is neither.
    """
    if isinstance(codec, str):
        return codec, {}
    if not isinstance(codec, dict) or not isinstance(codec.get("name"), str):
        _bad_codec(where, codec)
    configuration = codec.get("configuration", {})
    if not isinstance(configuration, dict):
        _bad_codec(where, codec)
    return codec["name"], configuration


def _v2(where: str, document: dict[str, Any]) -> ArrayInfo:
    shape, chunks = _grid(where, document.get("shape"), document.get("chunks"), "chunks")
    compressor = document.get("compressor")
    if not isinstance(compressor, (dict, type(None))):
        _bad_codec(where, compressor)
    if document.get("filters"):
        raise UnsupportedDataError(f"{where}: filters {document['filters']!r:.80} are not read; only compressors are")
    metadata = {key: document[key] for key in _V2_KEYS if key in document}
    dtype = _v2_dtype(where, document.get("dtype"))
    check_chunk_bytes(where, chunks, dtype)
    return ArrayInfo(
        shape=shape,
        chunk_shape=chunks,
        dtype=dtype,
        dimension_names=None,
        compressor=codec_text(where, compressor.get("id"), compressor) if compressor else None,
        driver="zarr",
        metadata={**metadata, "zarr_format": 2, "filters": None},
    )


def _v3(where: str, document: dict[str, Any]) -> ArrayInfo:
    if document.get("node_type") != "array":
        raise FormatError(f'{where}: node_type "array" expected, found {document.get("node_type")!r}')
    if document.get("storage_transformers"):
        raise UnsupportedDataError(f"{where}: storage transformers are not read")
    grid = document.get("chunk_grid")
    if not isinstance(grid, dict) or grid.get("name") != "regular" or not isinstance(grid.get("configuration"), dict):
        raise UnsupportedDataError(f"{where}: a regular chunk_grid expected, found {grid!r:.80}")
    shape, chunks = _grid(where, document.get("shape"), grid["configuration"].get("chunk_shape"), "chunk_shape")
    data_type = document.get("data_type")
    if not isinstance(data_type, str) or data_type not in _V3_TYPES:
        raise UnsupportedDataError(f"{where}: a real number type expected, found data_type {data_type!r:.60}")
    codecs = document.get("codecs")
    inner, compressor = _v3_codecs(where, codecs, chunks)
    check_chunk_bytes(where, inner, np.dtype(data_type))
    names = document.get("dimension_names")
    return ArrayInfo(
        shape=shape,
        chunk_shape=inner,
        dtype=np.dtype(data_type),
        dimension_names=_names(where, names, len(shape)),
        compressor=compressor,
        driver="zarr3",
        metadata={
            **{key: document[key] for key in _V3_KEYS if key in document},
            "zarr_format": 3,
            "codecs": codecs,
            **({} if names is None else {"dimension_names": names}),
        },
    )


def _grid(where: str, shape: Any, chunks: Any, name: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    extents = whole_numbers(where, "shape", shape, least=0, most=MAX_EXTENT)
    if not 1 <= len(extents) <= MAX_DIMENSIONS:
        raise UnsupportedDataError(f"{where}: 1 to {MAX_DIMENSIONS} dimensions expected, found {len(extents)}")
    if 0 in extents:
        raise FormatError(f"{where}: voxels expected, found the empty shape {shape}")
    return extents, _chunk(where, name, chunks, len(extents))


def _chunk(where: str, name: str, chunks: Any, count: int) -> tuple[int, ...]:
    edges = whole_numbers(where, name, chunks, least=1, most=MAX_EXTENT, count=count)
    if prod(edges) > MAX_EXTENT:  # a shard may be larger than a chunk, but not than every disk
        raise FormatError(f"{where}: {name}: at most {MAX_EXTENT} voxels expected, found {chunks}")
    return edges


def _v2_dtype(where: str, text: Any) -> np.dtype[Any]:
    try:
        dtype = np.dtype(text) if isinstance(text, str) else None
    except TypeError as error:
        raise FormatError(f"{where}: a dtype expected, found {text!r:.60}") from error
    if dtype is None or dtype.kind not in "iuf" or dtype.itemsize > 8:
        raise UnsupportedDataError(f"{where}: a real number type expected, found dtype {text!r:.60}")
    return dtype.newbyteorder("=")


def _names(where: str, names: Any, count: int) -> tuple[str | None, ...] | None:
    if names is None:
        return None
    if not isinstance(names, list) or len(names) != count or not all(n is None or isinstance(n, str) for n in names):
        raise FormatError(f"{where}: {count} dimension_names expected, found {names!r:.80}")
    return tuple(names)


def _v3_codecs(where: str, codecs: Any, chunks: tuple[int, ...]) -> tuple[tuple[int, ...], str | None]:
    """Shape of the inner chunk, in the array's axis order, and the compressors' text."""
    order = list(range(len(chunks)))
    texts = []
    if not isinstance(codecs, list):
        _bad_codec(where, codecs)
    for codec in codecs:
        name, configuration = v3_codec(where, codec)
        if name == "transpose":
            order = _transposed(where, order, configuration.get("order"))
        elif name == "sharding_indexed":
            stored = _chunk(where, "chunk_shape of a shard", configuration.get("chunk_shape"), len(chunks))
            inner = tuple(stored[order.index(axis)] for axis in range(len(chunks)))
            if any(outer % edge for outer, edge in zip(chunks, inner, strict=True)):
                raise FormatError(f"{where}: a shard of whole chunks expected, found {inner} in {chunks}")
            return _v3_codecs(where, configuration.get("codecs"), inner)
        elif name not in ("bytes", "crc32c"):
            texts.append(codec_text(where, name, configuration))
    return chunks, ", ".join(texts) or None


def _transposed(where: str, order: list[int], by: Any) -> list[int]:
    permutation = whole_numbers(where, "order", by, least=0, most=len(order) - 1, count=len(order))
    if len(set(permutation)) != len(order):
        raise FormatError(f"{where}: order: a permutation expected, found {by}")
    return [order[axis] for axis in permutation]


def _bad_codec(where: str, codec: Any) -> NoReturn:
    raise FormatError(f"{where}: codecs expected, found {codec!r:.80}")


_CODEC_NAMES = {"gzip": "GZip", "bz2": "BZ2", "lz4": "LZ4", "lzma": "LZMA"}
_SHUFFLES = {-1: "AUTOSHUFFLE", 0: "NOSHUFFLE", 1: "SHUFFLE", 2: "BITSHUFFLE"}


def codec_text(where: str, name: Any, configuration: Mapping[str, Any]) -> str:
    """A compressor as numcodecs would print it: the words that EM people know from zarr-python."""
    if not isinstance(name, str):
        _bad_codec(where, name)
    if name == "blosc":
        shuffle = configuration.get("shuffle", 1)
        word = _SHUFFLES.get(shuffle, str(shuffle).upper()) if not isinstance(shuffle, (list, dict)) else "?"
        return (
            f"Blosc(cname={configuration.get('cname', 'lz4')!r}, clevel={configuration.get('clevel', 5)}, "
            f"shuffle={word}, blocksize={configuration.get('blocksize', 0)})"
        )
    settings = {key: value for key, value in configuration.items() if key not in ("id", "checksum")}
    return f"{_CODEC_NAMES.get(name, name.capitalize())}({', '.join(f'{k}={v!r}' for k, v in settings.items())})"
