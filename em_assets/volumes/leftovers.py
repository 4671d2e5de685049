"""Generations that no commit names: what writers that died left behind, found and, when asked for, removed."""

import shutil
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from em_assets.remote.path import Object, RemotePath
from em_assets.volumes.condemned import condemned, is_condemned
from em_assets.volumes.folders import Folder
from em_assets.volumes.staging import PREFIX, left_alone, maybe_in_use_elsewhere, sweep
from em_assets.volumes.store import COMMITS, GENERATIONS, committed_generations, has_commits, repeat_last_commit

Leftover = tuple[Folder, int]
"""Where it is, and the bytes that it takes."""

UNTOUCHED = timedelta(days=1)
"""In a bucket nobody can see whether a writer lives: whose newest object is older than this has none."""


def collect_generations(folder: Folder, dry_run: bool, untouched: timedelta = UNTOUCHED) -> list[Leftover]:
    """Generations of a volume that no commit names, and what dead writers staged; removed unless `dry_run`.

    On a disk a volume that somebody is writing is left alone; in a bucket, and where a network's file system shares a
    folder with other machines, a generation that was added to lately.

    Raises
    ------
    StoreError
        A commit cannot be read, so what it names is not known; nothing was removed.
    """
    if isinstance(folder, RemotePath):
        return _collect_in_bucket(folder, dry_run, untouched)
    if not (folder / COMMITS).is_dir():
        return []
    with left_alone(folder) as is_alone:
        return _collect_on_disk(folder, dry_run) if is_alone else []


def _collect_on_disk(folder: Path, dry_run: bool) -> list[Leftover]:
    kept = {COMMITS, GENERATIONS, *committed_generations(folder)}
    groups = [path for path in sorted(folder.iterdir()) if path.is_dir() and not path.is_symlink()]
    leftovers = [path for path in groups if path.name not in kept]
    documents = (folder / GENERATIONS).iterdir() if (folder / GENERATIONS).is_dir() else ()
    leftovers += [path for path in sorted(documents) if path.name.partition(".")[0] not in kept]
    leftovers = [path for path in leftovers if not maybe_in_use_elsewhere(path)]
    found: list[Leftover] = [(path, _size_bytes(path)) for path in leftovers]
    if not dry_run:
        for path in leftovers:
            if path.name.startswith(PREFIX):
                continue
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
        for place in (folder, folder / COMMITS, folder / GENERATIONS):
            if place.is_dir():  # a writer may have died between making one and the next
                sweep(place)
    return found


def _size_bytes(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    size_bytes = 0
    for file in files:
        with suppress(FileNotFoundError):  # another writer's staging, which is done meanwhile
            size_bytes += file.lstat().st_size if not file.is_dir() else 0
    return size_bytes


def _collect_in_bucket(folder: RemotePath, dry_run: bool, untouched: timedelta) -> list[Leftover]:
    objects = folder.objects()
    committed = committed_generations(folder)
    found: list[Leftover] = []
    for generation, keys in _by_generation(objects):
        if generation in {COMMITS, *committed}:
            continue
        document = f"{GENERATIONS}/{generation}.json"
        others = [key for key in keys if key != document]  # which stays: the name is not used again
        if not others or max(objects[key].modified for key in others) >= datetime.now(UTC) - untouched:
            continue
        if not committed and document in objects and not is_condemned(folder / document):
            continue  # finished, and there is no other volume: the next call commits it
        if dry_run or _removed_unless_used(folder, generation, others, objects):
            found.append((folder / generation, sum(objects[key].size_bytes for key in others)))
    return found


def _removed_unless_used(folder: RemotePath, generation: str, keys: list[str], objects: dict[str, Object]) -> bool:
    """Remove a generation, whose writer may have died before its commit and be followed by another right now.

    Its name is taken out of use first (`condemned`): from then on nobody commits what is below it, however long this
    process is stopped before or while it removes it.
    """
    now = (folder / generation).objects()
    if any(objects.get(f"{generation}/{key}") != found for key, found in now.items()):
        return False  # somebody has begun to write it anew
    document = folder / GENERATIONS / f"{generation}.json"
    if not condemned(document, lambda: has_commits(folder), lambda: repeat_last_commit(folder, unless=generation)):
        return False
    folder.remove(keys)
    return True


def _by_generation(objects: dict[str, Object]) -> Iterator[tuple[str, list[str]]]:
    """The keys of each generation: its group's, and those of its documents."""
    found: dict[str, list[str]] = {}
    for key in objects:
        parts = key.split("/")
        name = parts[1].partition(".")[0] if parts[0] == GENERATIONS and len(parts) == 2 else parts[0]
        found.setdefault(name, []).append(key)
    yield from sorted(found.items())
