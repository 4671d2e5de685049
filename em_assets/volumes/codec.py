"""How chunks are compressed: zstd, or blosc with zstd inside; what encodes them, and what zarr's metadata calls it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from em_assets.settings import CODEC, CODEC_PATTERN

Encode = Callable[[NDArray[Any]], memoryview]
"""Compresses one contiguous chunk; the bytes are valid until the next one."""


@dataclass(frozen=True)
class Codec:
    """A compressor and its level; blosc shuffles the bytes of numbers that have several."""

    name: Literal["zstd", "blosc-zstd"]
    level: int

    def __str__(self) -> str:
        return f"{self.name}(level={self.level})"

    def encoder(self, chunk_bytes: int, itemsize: int) -> Encode:
        """An encoder for chunks of this size, with a buffer of its own that is used again: one a thread."""
        import imagecodecs

        # What zstd asks for in the worst case is ZSTD_COMPRESSBOUND, what blosc adds is a header of 16 bytes.
        out, level, shuffle = bytearray(chunk_bytes + (chunk_bytes >> 8) + 1024), self.level, int(itemsize > 1)

        # The stubs name only some of the buffers that are taken.
        def zstd(chunk: NDArray[Any]) -> memoryview:
            return memoryview(imagecodecs.zstd_encode(chunk, level, out=out))  # type: ignore[arg-type]

        def blosc(chunk: NDArray[Any]) -> memoryview:
            return memoryview(
                imagecodecs.blosc_encode(
                    chunk,  # type: ignore[arg-type]
                    level,
                    compressor="zstd",
                    shuffle=shuffle,
                    typesize=itemsize,
                    numthreads=1,
                    out=out,
                )
            )

        return zstd if self.name == "zstd" else blosc

    def zarr_v2(self, dtype: np.dtype[Any]) -> Mapping[str, Any]:
        """The `compressor` of a `.zarray`."""
        if self.name == "zstd":
            return {"id": "zstd", "level": self.level}
        shuffle = int(dtype.itemsize > 1)
        return {"id": "blosc", "cname": "zstd", "clevel": self.level, "shuffle": shuffle, "blocksize": 0}

    def zarr_v3(self, dtype: np.dtype[Any]) -> Mapping[str, Any]:
        """The codec of a `zarr.json`, behind `bytes`."""
        if self.name == "zstd":
            return {"name": "zstd", "configuration": {"level": self.level, "checksum": False}}
        shuffle = "shuffle" if dtype.itemsize > 1 else "noshuffle"
        said = {"cname": "zstd", "clevel": self.level, "shuffle": shuffle, "typesize": dtype.itemsize, "blocksize": 0}
        return {"name": "blosc", "configuration": said}


def codec_of(text: str) -> Codec:
    """The codec that a setting names: `zstd-1`, `blosc-zstd-5`."""
    found = CODEC_PATTERN.fullmatch(text)
    assert found, text  # settings refuse anything else
    return Codec("blosc-zstd" if found["blosc"] else "zstd", int(found["level"]))


DEFAULT_CODEC = codec_of(CODEC)
