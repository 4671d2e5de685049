"""`em-assets gc`: what nobody needs any more, and how many bytes it takes; removed only when that is asked for.

::

    old version      raw/<dataset>/old/…              bytes and lock files that newer ones have replaced
    dropped bytes    raw/<dataset>/files/…            left by a run that was killed while it dropped them
    uncommitted      volumes/<dataset>/<volume>/…     generations that no commit names, and what dead writers staged
    quarantine       quarantine/<dataset>/…           what turned out to be no data, with the reason; on request only

Of a store in a bucket all but the volumes are on this machine: old versions and quarantine never go up.
"""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from filelock import FileLock, Timeout

from em_assets.datasets import Dataset
from em_assets.errors import StoreError, UnknownDatasetError
from em_assets.model import NAME_PATTERN
from em_assets.retention import is_dropped
from em_assets.settings import Settings
from em_assets.sources.manifest import FILES, OLD, dropped_paths
from em_assets.volumes.folders import folder_names
from em_assets.volumes.leftovers import collect_generations

QUARANTINE = "quarantine"


class Leftover(NamedTuple):
    """Something that nobody needs: what it is, where, and the bytes that it takes."""

    dataset: str
    what: str
    path: str
    size_bytes: int


def leftovers(
    names: Sequence[str], registered: Mapping[str, Dataset], settings: Settings, *, quarantine: bool, dry_run: bool
) -> list[Leftover]:
    """What these datasets left behind, or all that the store knows where none is named; removed unless `dry_run`.

    Raises
    ------
    UnknownDatasetError
        A name is neither registered nor of a dataset in the store; nothing was looked at.
    StoreError
        A dataset is being fetched; nothing of it was removed.
    """
    stored = stored_names(settings)
    for name in names:
        _refuse_unknown(name, registered, stored)
    found: list[Leftover] = []
    for name in names or stored:
        found += _of_raw(name, registered.get(name), settings, dry_run=dry_run)
        found += _of_volumes(name, settings, dry_run=dry_run)
        if quarantine:
            found += _of_folder(name, "quarantine", settings.store / QUARANTINE / name, dry_run=dry_run)
    return found


def stored_names(settings: Settings) -> list[str]:
    """Names of the datasets of which the store holds anything, registered or not."""
    below = [settings.store / folder for folder in ("raw", "volumes", QUARANTINE)]
    local = {place.name for folder in below if folder.is_dir() for place in folder.iterdir() if place.is_dir()}
    remote = folder_names(settings.remote / "volumes") if settings.remote else []
    # `raw/.hosts`, where processes count their connections, is no dataset.
    return sorted(name for name in local.union(remote) if NAME_PATTERN.fullmatch(name))


def _refuse_unknown(name: str, registered: Mapping[str, Dataset], stored: Sequence[str]) -> None:
    """Refuse a name before it becomes part of a path: `..` would lead out of the store, `/data` anywhere."""
    if name not in registered and name not in stored:
        held = ", ".join(stored) or "nothing"
        raise UnknownDatasetError(f"no dataset {name!r}, neither registered nor in the store, which holds: {held}")


def _of_raw(name: str, dataset: Dataset | None, settings: Settings, *, dry_run: bool) -> Iterator[Leftover]:
    raw_dir = settings.raw_dir(name)
    if not raw_dir.is_dir():
        return
    try:
        with FileLock(raw_dir / ".lock", timeout=0):
            yield from _of_folder(name, "old version", raw_dir / OLD, dry_run=dry_run)
            if dataset is not None and is_dropped(dataset, settings):
                yield from _dropped_bytes(dataset, raw_dir, dry_run=dry_run)
    except Timeout as error:
        raise StoreError(f"{name} is being fetched; collect it when that is done") from error


def _dropped_bytes(dataset: Dataset, raw_dir: Path, *, dry_run: bool) -> Iterator[Leftover]:
    for name in sorted(dropped_paths(raw_dir)):
        path = raw_dir / FILES / name
        if path.is_file() and not path.is_symlink():
            yield Leftover(dataset.name, "dropped bytes", str(path), path.stat().st_size)
            if not dry_run:
                path.unlink()


def _of_volumes(name: str, settings: Settings, *, dry_run: bool) -> Iterator[Leftover]:
    volumes = settings.volumes_dir(name)
    for volume in folder_names(volumes):
        for path, size_bytes in collect_generations(volumes / volume, dry_run=dry_run):
            yield Leftover(name, "uncommitted", str(path), size_bytes)


def _of_folder(name: str, what: str, folder: Path, *, dry_run: bool) -> Iterator[Leftover]:
    """Each file of a folder of this machine's; the folder goes with them."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    yield from (Leftover(name, what, str(path), path.stat().st_size) for path in files)
    if not dry_run:
        shutil.rmtree(folder, ignore_errors=True)
