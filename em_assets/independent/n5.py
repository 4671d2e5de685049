"""N5 by cloud-volume."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from em_assets.independent import cloud_volume
from em_assets.independent.library import NotIndependentError
from em_assets.independent.voxels import Voxels, three
from em_assets.model import ZYX


@contextmanager
def open_voxels(path: str) -> Iterator[list[Voxels]]:
    """Every array of a tree as cloud-volume reads it, x, y, z, where a group of one level is put around it."""
    with TemporaryDirectory() as folder:
        found = []
        for number, (array, said) in enumerate(_arrays(Path(path))):
            group = Path(folder) / str(number)
            group.mkdir()
            (group / "s0").symlink_to(array.absolute())
            (group / "attributes.json").write_text('{"resolution": [1, 1, 1], "scales": [[1, 1, 1]]}')
            found.append(_array(group, said))
        yield found


def _arrays(folder: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Arrays of three axes and their attributes; the folders of an array's blocks are not looked into."""
    document = folder / "attributes.json"
    said = json.loads(document.read_bytes()) if document.is_file() else {}
    if {"dimensions", "dataType"} <= set(said):
        if len(said["dimensions"]) == 3:
            yield folder, said
        return
    for below in sorted(entry for entry in folder.iterdir() if entry.is_dir()):
        yield from _arrays(below)


def _array(group: Path, said: dict[str, Any]) -> Voxels:
    dtype = np.dtype(said["dataType"])

    def read(start_zyx: ZYX, shape_zyx: ZYX) -> NDArray[Any]:
        if dtype.itemsize > 1:
            raise NotIndependentError("cloud-volume does not turn N5's big-endian numbers")
        return cloud_volume.read_box(cloud_volume.open_finest(f"n5://file://{group}"), (0, 0, 0), start_zyx, shape_zyx)

    return Voxels(three(said["dimensions"][::-1]), dtype, read)
