"""The store: whether it can be written, whose it is, what it holds, and what dead writers left in it."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from em_assets import datasets
from em_assets.collecting import leftovers, stored_names
from em_assets.datasets import Dataset
from em_assets.doctor.findings import Finding, mend, ok
from em_assets.errors import RegistryError, StoreError
from em_assets.settings import Settings, store_origin
from em_assets.sources.manifest import MANIFEST
from em_assets.terminal import size
from em_assets.volumes.folders import folder_names
from em_assets.volumes.store import committed_volumes

AREA = "store"
LEAST_FREE_BYTES = 1_000_000_000
"""Less room than this holds no dataset."""


def findings(known: Settings) -> Iterator[Finding]:
    """The place first: of a bucket that does not answer nothing else is asked.

    Raises
    ------
    SourceUnreachableError
        It is in a bucket that does not answer.
    StoreError
        The bucket refuses.
    """
    yield from _place(known)
    yield _origin(known)
    try:
        registered = datasets.load(known)
    except RegistryError as error:
        yield mend(AREA, "datasets", str(error), "mend that file")
        registered = {}
    else:
        yield _datasets(known, registered)
    yield from _volumes(known)
    yield from _leftovers(known, registered)


def _place(known: Settings) -> Iterator[Finding]:
    if known.remote is not None:
        n_folders = len(known.remote.folders())
        yield ok(AREA, "bucket", f"{known.remote} answers, {n_folders} folders in it")
    what = "working copy" if known.remote else "place"
    folder = next(place for place in (known.store, *known.store.parents) if place.exists())
    try:
        _write_in(folder)
    except OSError as error:
        variable = "EM_ASSETS_CACHE" if known.remote else "EM_ASSETS_STORE"
        yield mend(
            AREA,
            what,
            f"{folder} cannot be written and locked ({error.strerror})",
            f"mend its permissions or its file system, or name another folder in {variable}",
        )
        return
    state = "can be written" if folder == known.store else f"is not there yet, and can be made in {folder}"
    yield ok(AREA, what, f"{known.store} {state}")
    free = shutil.disk_usage(folder).free
    if free < LEAST_FREE_BYTES:
        yield mend(AREA, "room", f"{size(free)} free at {folder}", "make room: `em-assets gc` shows what nobody needs")
    else:
        yield ok(AREA, "room", f"{size(free)} free")


def _write_in(folder: Path) -> None:
    """Write a file that has no name and lock it, as everything that is kept is locked."""
    if not os.access(folder, os.W_OK | os.X_OK) or not folder.is_dir():
        raise PermissionError(13, os.strerror(13))
    with tempfile.TemporaryFile(dir=folder) as file:
        file.write(b"em_assets")
        file.flush()
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _origin(known: Settings) -> Finding:
    kept = store_origin(known.remote or known.store)
    if kept not in (None, known.origin):
        return mend(
            AREA,
            "origin",
            f"the store was filled from {kept}, and EM_ASSETS_ORIGIN says {known.origin}",
            f"EM_ASSETS_ORIGIN={kept}, or another folder in EM_ASSETS_STORE",
        )
    return ok(AREA, "origin", known.origin if kept else f"{known.origin}; the store holds nothing yet")


def _datasets(known: Settings, registered: Mapping[str, Dataset]) -> Finding:
    stored = [name for name in stored_names(known) if _is_fetched(known, name)]
    strange = [name for name in stored if name not in registered]
    also = f"; not registered any more: {', '.join(strange)}" if strange else ""
    return ok(
        AREA, "datasets", f"{len(registered)} registered, {len(stored) - len(strange)} of them in the store{also}"
    )


def _is_fetched(known: Settings, name: str) -> bool:
    """Whether its manifest is there: a fetch that failed leaves a folder too. Of a bucket nothing is brought here."""
    return ((known.remote or known.store) / "raw" / name / MANIFEST).is_file()


def _volumes(known: Settings) -> Iterator[Finding]:
    """Every commit is looked at, no chunk: reading them all is `em-assets validate`."""
    n_volumes = 0
    for name in folder_names((known.remote or known.store) / "volumes"):
        try:
            n_volumes += len(committed_volumes(known.volumes_dir(name)))
        except StoreError as error:
            yield mend(AREA, f"volumes of {name}", " ".join(str(error).split()), f"em-assets fetch {name}")
    yield ok(AREA, "volumes", f"{n_volumes} committed and in place", "em-assets validate reads every byte of them")


def _leftovers(known: Settings, registered: Mapping[str, Dataset]) -> Iterator[Finding]:
    found = []
    for name in stored_names(known):
        try:
            found += leftovers([name], registered, known, quarantine=False, dry_run=True)
        except StoreError as error:
            yield ok(AREA, "leftovers", " ".join(str(error).split()))
    n_bytes = sum(one.size_bytes for one in found)
    if found:
        yield ok(AREA, "leftovers", f"{len(found)}, {size(n_bytes)}, which nobody needs", "em-assets gc --remove")
    else:
        yield ok(AREA, "leftovers", "none")
