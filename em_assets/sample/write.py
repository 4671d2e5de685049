"""Writing the whole sample: once a folder, whole or not at all, the same bytes every time."""

import json
import os
import shutil
from pathlib import Path

from em_assets.sample.cremi import write_cremi
from em_assets.sample.cryoet import write_cryoet
from em_assets.sample.empiar import write_empiar
from em_assets.sample.hemibrain import write_hemibrain
from em_assets.sample.idr import write_idr
from em_assets.sample.jrc import write_jrc
from em_assets.sample.labels import write_labels
from em_assets.sample.neuroglancer import write_neuroglancer
from em_assets.sample.openorganelle import write_openorganelle
from em_assets.sample.platynereis import write_platynereis
from em_assets.sample.stacks import write_epfl, write_mitochondria, write_u2os
from em_assets.sample.visor import write_visor

SAMPLE_FORMAT = 3
"""Rises whenever a writer's bytes change: a folder of another number is written again."""

FIXED_TIME = 1705276800
"""Modification time of every file (2024-01-15, UTC), so that Last-Modified and listings do not tell runs apart."""

_MARKER = "sample.json"


def write_sources(root: Path) -> None:
    """Make sure that `root` holds the look-alikes: `http/<host>/<path>`, which FTP serves too, and `s3/<bucket>/<key>`.

    A folder of this format is left as it is, whatever was changed in it by hand. Two processes may ask at once.
    """
    if _is_current(root):
        return
    from filelock import FileLock

    root.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(root.with_name(f".{root.name}.lock")):
        if _is_current(root):
            return
        for leftover in root.parent.glob(f".{root.name}-*"):  # of a process that was killed; nobody else holds the lock
            shutil.rmtree(leftover)
        staging = root.with_name(f".{root.name}-new")
        _write_all(staging)
        if root.exists():
            root.rename(root.with_name(f".{root.name}-old"))
        staging.rename(root)
        shutil.rmtree(root.with_name(f".{root.name}-old"), ignore_errors=True)


def _is_current(root: Path) -> bool:
    marker = root / _MARKER
    return marker.exists() and json.loads(marker.read_text()) == {"format": SAMPLE_FORMAT}


def _write_all(root: Path) -> None:
    http, s3 = root / "http", root / "s3"
    write_empiar(http, seed=11759)
    write_epfl(http, seed=1)
    write_u2os(http, seed=86)
    write_idr(http)
    write_hemibrain(http, seed=57443)
    write_jrc(s3, seed=2)
    write_cryoet(s3, seed=10001)
    write_visor(http, seed=2024)
    write_labels(http, seed=7)
    write_openorganelle(s3, http, seed=8)
    write_neuroglancer(http, seed=14)
    write_platynereis(http, seed=6)
    write_cremi(http, seed=2016)
    write_mitochondria(http, seed=5)
    (root / _MARKER).write_text(json.dumps({"format": SAMPLE_FORMAT}) + "\n")
    for path in sorted(root.rglob("*"), reverse=True):  # files before the folders that hold them
        os.utime(path, (FIXED_TIME, FIXED_TIME))
