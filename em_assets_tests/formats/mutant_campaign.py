"""Mutants of one format through our readers, one at a time in a child with hard limits; what became of each."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from em_assets.errors import FormatError
from em_assets.formats import open_path
from em_assets.formats.limited import Limits, call_limited
from em_assets.model import RawFile
from em_assets.sources.held import damaged_files
from em_assets_tests.formats.mutant_seeds import WRITERS
from em_assets_tests.formats.mutants import Mutant, file_mutants, tree_mutants

READER = "em_assets_tests.formats.mutant_reading:read"
LIMITS = Limits(memory_bytes=2 * 10**9, cpu_s=10, wall_s=40)
"""By the clock ten seconds for each of four readings: where a library hangs, each waits for the end of a child."""

MARKERS = ("zarr.json", ".zarray", "info", "attributes.json")
NAMES = {"zarr_v2": "ome_zarr", "zarr_v3": "ome_zarr", "sharded": "ome_zarr"}


class Outcome(NamedTuple):
    """What a mutant gave: its voxels are an `error`, the `same` or `other`, or the reader `died` or is of `two minds`.

    Then what was said, the peak memory, and whether the manifest of the healthy files refuses it before anybody reads.
    """

    seed: str
    kind: str
    what: str
    result: str
    said: str
    peak_bytes: int
    is_refused_by_manifest: bool


def outcomes(format: str, folder: Path, n: int, seed: int = 0) -> Iterator[Outcome]:
    """The outcomes of `n` mutants, spread over the format's healthy files."""
    names = WRITERS[format](folder)
    reader = NAMES.get(format, format)
    healthy = {name: call_limited(name, READER, str(folder / name), reader, limits=LIMITS) for name in names}
    for name in names:
        assert all(str(value).startswith("read") for key, value in healthy[name].items() if key != "peak_bytes")
    each = -(-n // len(names))
    for name in names:
        manifest = _manifest(folder, name)
        for mutant in _mutants(folder / name, each, seed):
            with _applied(folder / name, mutant):
                is_refused = bool(damaged_files(folder, manifest))
                yield _outcome(folder / name, reader, name, mutant, healthy[name], is_refused)


def _outcome(path: Path, reader: str, name: str, mutant: Mutant, healthy: dict[str, Any], is_refused: bool) -> Outcome:
    try:
        found = call_limited(str(path), READER, str(path), reader, limits=LIMITS)
    except FormatError as error:
        return Outcome(name, mutant.kind, mutant.what, "died", str(error), 0, is_refused)
    said = found["voxels"]
    result = "error" if said.startswith("error") else "same" if said == healthy["voxels"] else "other"
    if found["into"] != said and not (result == "error" and found["into"].startswith("error")):
        result = "two minds"
    return Outcome(name, mutant.kind, mutant.what, result, said, found["peak_bytes"], is_refused)


def _manifest(folder: Path, name: str) -> list[RawFile]:
    """What the manifest of a dataset would say of these files."""
    files = [folder / name] if (folder / name).is_file() else sorted((folder / name).rglob("*"))
    return [
        RawFile(
            path=file.relative_to(folder).as_posix(),
            url=file.as_uri(),
            size_bytes=file.stat().st_size,
            sha256=hashlib.sha256(file.read_bytes()).hexdigest(),
            validator=None,
            source=0,
        )
        for file in files
        if file.is_file()
    ]


def _mutants(path: Path, n: int, seed: int) -> Iterator[Mutant]:
    if path.is_file():
        data = path.read_bytes()
        yield from (
            mutant
            for mutant in file_mutants(path.name, data, _payload(path, data), n, seed)
            if mutant.files[path.name] != data
        )
        return
    files = {each.relative_to(path).as_posix(): each.read_bytes() for each in path.rglob("*") if each.is_file()}
    documents = [name for name in files if name.rpartition("/")[2] in MARKERS]
    yield from tree_mutants({name: files[name] for name in files if name != "provenance"}, documents, n, seed)


def _payload(path: Path, data: bytes) -> list[range]:
    """Where the pixels lie: where they stand as they are, or else all but the file's two ends."""
    voxels = open_path(path)[0]
    plane = voxels.read((0, 0, 0), (1, *voxels.shape_zyx[1:])).tobytes()
    at = data.find(plane)
    begin, end = (at, at + len(plane)) if at >= 0 else (len(data) // 6, len(data) * 5 // 6)
    return [range(begin, end)]


@contextmanager
def _applied(path: Path, mutant: Mutant) -> Iterator[None]:
    """The mutant in the place of the healthy file, for as long as it is read."""
    root = path if path.is_dir() else path.parent
    kept = {name: (root / name).read_bytes() for name in mutant.files}
    try:
        for name, data in mutant.files.items():
            (root / name).unlink() if data is None else (root / name).write_bytes(data)
        yield
    finally:
        for name, data in kept.items():
            (root / name).write_bytes(data)
