"""Zarr v2 groups and arrays as archives keep them, one file a chunk; made without the platform's own writer."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from em_assets.sample.texture import halved

ZSTD_1 = {"id": "zstd", "level": 1}
BLOSC_LZ4 = {"id": "blosc", "cname": "lz4", "clevel": 5, "shuffle": 1, "blocksize": 0}


def write_group(folder: Path, attributes: Mapping[str, Any]) -> None:
    """`.zgroup` and `.zattrs` of a group."""
    write_json(folder / ".zgroup", {"zarr_format": 2})
    write_json(folder / ".zattrs", attributes)


def write_array(
    folder: Path, voxels: NDArray[Any], chunks: Sequence[int], compressor: Mapping[str, Any], attributes: bool = False
) -> None:
    """An array with every chunk present, `/` between the numbers of a chunk; an empty `.zattrs` where asked for."""
    import tensorstore as ts

    folder.mkdir(parents=True)
    spec = {
        "driver": "zarr",
        "kvstore": {"driver": "file", "path": f"{folder}/"},
        "metadata": {
            "shape": list(voxels.shape),
            "chunks": list(chunks),
            "dtype": voxels.dtype.newbyteorder("<").str if voxels.itemsize > 1 else voxels.dtype.str,
            "order": "C",
            "fill_value": 0,
            "filters": None,
            "compressor": dict(compressor),
            "dimension_separator": "/",
        },
        "store_data_equal_to_fill_value": True,
    }
    ts.open(spec, create=True).result().write(voxels).result()
    if attributes:
        write_json(folder / ".zattrs", {})


def write_json(path: Path, document: Any) -> None:
    """A JSON document, its keys in the order given."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=4, ensure_ascii=False) + "\n", encoding="utf-8")


def pyramid(voxels: NDArray[Any], n_levels: int, axes: tuple[int, ...]) -> list[NDArray[Any]]:
    """The array and its halved copies, finest first."""
    levels = [voxels]
    while len(levels) < n_levels:
        levels.append(halved(levels[-1], axes))
    return levels


def space_axes(unit: str) -> list[dict[str, str]]:
    """The axes z, y, x of OME-NGFF 0.4."""
    return [{"name": name, "type": "space", "unit": unit} for name in "zyx"]


def clipped(chunk: int, shape: Sequence[int]) -> list[int]:
    """Cubic chunks no larger than the array."""
    return [min(chunk, size) for size in shape]
