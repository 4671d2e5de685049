"""What a store in a bucket has on this disk: brought before it is read, sent once it is written; and whose turn it is.

Of a store on a disk nothing is brought or sent: those functions return at once.

A turn is held on a file under `.turns` by the system's lock, which ends with the process that holds it, however that
dies: nobody waits for a process that is gone. Other machines do not see it where the store is in a bucket.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from em_assets.settings import Settings
from em_assets.sources.cutout import STAGING_PREFIX
from em_assets.sources.manifest import DROPPED, FILES, JOURNAL, LOCK, MANIFEST, OLD
from em_assets.sources.partial import PARTIAL, writable
from em_assets.volumes.folders import Folder, folder_names

STAYS = (OLD, JOURNAL)
"""What of a dataset's raw folder is this machine's own business."""

TURNS = ".turns"

PASSING = re.compile(rf"{PARTIAL.pattern}|{re.escape(STAGING_PREFIX)}.*")
"""Names below it of what is still arriving."""


def bring(settings: Settings, name: str) -> None:
    """What is small and known of a dataset: its manifest and lock, its tables.

    Raises
    ------
    StoreError
        The bucket refuses, or other bytes arrive than went up; as in all of these.
    SourceUnreachableError
        It does not answer.
    """
    bring_manifest(settings, name)
    bring_folder(settings, settings.metadata_dir(name))


def bring_manifest(settings: Settings, name: str) -> None:
    """Which raw files the store has of a dataset; the files themselves stay where they are."""
    if settings.working_copy:
        settings.working_copy.pull_only(_unit(settings, settings.raw_dir(name)), (MANIFEST, LOCK, DROPPED))


def bring_raw(settings: Settings, name: str) -> None:
    """Raw files of a dataset, all of them."""
    if settings.working_copy:
        settings.working_copy.pull(_unit(settings, settings.raw_dir(name)), MANIFEST)


def send_raw(settings: Settings, name: str) -> None:
    """The same to the bucket, the manifest last; links to files that lie elsewhere stay links on this machine."""
    if settings.working_copy:
        settings.working_copy.push(_unit(settings, settings.raw_dir(name)), MANIFEST, STAYS, PASSING)


@contextmanager
def turn(settings: Settings, what: str, log: Callable[[str], None] = lambda line: None) -> Iterator[None]:
    """Hold the turn to write `what`: an asset and its partition, or `catalog`; waiting is said once.

    Raises
    ------
    StoreError
        The store cannot be written.
    """
    from filelock import FileLock, Timeout

    folder = settings.store / TURNS
    with writable(folder, "turns to write"):
        folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / f"{what}.lock")
    try:
        lock.acquire(blocking=False)
    except Timeout:
        log(f"waiting for another run, which is writing {what}")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextmanager
def changing(settings: Settings, folder: Path) -> Iterator[None]:
    """What is written to a folder of the store until this ends, and sent before: nobody brings the old in between."""
    with settings.working_copy.changing(_unit(settings, folder)) if settings.working_copy else nullcontext():
        yield


def bring_folder(settings: Settings, folder: Path) -> None:
    """All files of a folder of the store: tables, and what they are told as."""
    if settings.working_copy:
        settings.working_copy.pull(_unit(settings, folder))


def send_folder(settings: Settings, folder: Path) -> None:
    """The same to the bucket; what is gone from the folder goes from there as well."""
    if settings.working_copy:
        settings.working_copy.push(_unit(settings, folder))


def bring_from_every_dataset(settings: Settings, file: str) -> None:
    """One table of every dataset that has it."""
    if settings.working_copy and settings.remote:
        for name in folder_names(settings.remote / "metadata"):
            settings.working_copy.pull_only(_unit(settings, settings.metadata_dir(name)), (file,))


def raw_files_of(settings: Settings, name: str) -> Folder:
    """Where a dataset's raw files are: on this disk or in the bucket."""
    if settings.remote is None:
        return settings.raw_dir(name) / FILES
    return settings.remote / _unit(settings, settings.raw_dir(name)) / FILES


def _unit(settings: Settings, folder: Path) -> str:
    return folder.relative_to(settings.store).as_posix()
