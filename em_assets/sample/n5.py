"""N5 groups as archives keep them, a file a block; made without the platform's own reader."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

GZIP = {"type": "gzip", "level": -1, "useZlib": False}


def write_array(
    folder: Path,
    voxels: NDArray[Any],
    block_zyx: Sequence[int],
    attributes: Mapping[str, Any],
    compression: Mapping[str, Any] = GZIP,
) -> None:
    """An array with every block present; its own attributes stand beside those that N5 asks for."""
    import tensorstore as ts

    folder.mkdir(parents=True)
    metadata = {
        "dimensions": list(voxels.shape[::-1]),
        "blockSize": list(block_zyx[::-1]),
        "dataType": voxels.dtype.name,
        "compression": dict(compression),
    }
    spec = {
        "driver": "n5",
        "kvstore": {"driver": "file", "path": f"{folder}/"},
        "metadata": metadata,
        "store_data_equal_to_fill_value": True,
    }
    ts.open(spec, create=True).result().write(voxels.T).result()
    write_attributes(folder, {**metadata, **attributes})


def write_attributes(folder: Path, attributes: Mapping[str, Any]) -> None:
    """The `attributes.json` of a group or an array."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "attributes.json").write_text(json.dumps(attributes, ensure_ascii=False) + "\n", encoding="utf-8")
