"""An export appears whole or not at all, and once: written beside, compared with what is there, published.

On a disk each entry is renamed to its place, or changes places with the version before it. In a bucket, which cannot
rename, documents go up after data and the outermost document last: who reads from the top finds all of it or nothing.

A receipt in the store says that an entry is ours, so that what others put there is never replaced.
"""

import ctypes
import filecmp
import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from em_assets.errors import UsageError
from em_assets.keeping import bring_folder, send_folder
from em_assets.layouts.held import Held
from em_assets.layouts.interface import Exported, Layout, Options
from em_assets.remote.path import Object, RemotePath
from em_assets.settings import Settings
from em_assets.volumes.folders import Folder, keys_in_order
from em_assets.volumes.staging import publish, replace_bytes, staging_folder, sweep, sync_file, sync_folder, sync_tree

RECEIPTS = "exports/receipts"
LABEL = "export"

DOCUMENTS = (".json", ".zattrs", ".zgroup", ".zarray", ".cff", ".bib")
"""Endings of the names of what says where the data are."""

UPLOADS_AT_ONCE = 8

_AT_FDCWD, _RENAME_EXCHANGE = -100, 2  # linux/fcntl.h, linux/fs.h


class _Receipt(NamedTuple):
    """Whose an entry at a place is: a layout's, of these datasets; of a bucket's also each object's digest and ETag."""

    layout: str
    datasets: tuple[str, ...]
    objects: Mapping[str, tuple[str, str | None]]


def publish_export(name: str, layout: Layout, held: Sequence[Held], dest: Folder, options: Options) -> Exported:
    """Have a layout write these datasets beside, and publish what it wrote below `dest`.

    Raises
    ------
    UsageError
        Something else has one of its names there, or nothing can be written there; nothing was changed.
    """
    settings = held[0].settings if held else None
    if settings is None:
        raise UsageError("no dataset is held yet: em-assets fetch DATASET first")
    with _draft(_staging_parent(dest, settings)) as draft:
        said = layout.export(held, draft, options)
        entries = sorted(draft.iterdir())
        files = [path for path in draft.rglob("*") if path.is_file()]
        size_bytes = sum(path.stat().st_size for path in files)
        # A selection may grow, and its export takes the place of the one before; one dataset's never another's.
        whose = tuple(one.name for one in held) if layout.TAKES == "one" else ("a selection",)
        shelf = _Shelf(name, whose, dest, settings)
        for entry in entries:
            shelf.check(entry)
        is_new = [shelf.place(entry) for entry in entries]
        return Exported(
            dest=str(dest),
            layout=name,
            entries=tuple(entry.name for entry in entries),
            n_files=len(files),
            size_bytes=size_bytes,
            is_new=any(is_new),
            refused=said.refused,
            notes=said.notes,
        )


class _Shelf:
    """The place of one export: puts entries there, and keeps the receipts of what is ours."""

    def __init__(self, layout: str, datasets: tuple[str, ...], dest: Folder, settings: Settings) -> None:
        self._layout, self._datasets, self._dest, self._settings = layout, datasets, dest, settings
        bring_folder(settings, settings.store / RECEIPTS)

    def check(self, entry: Path) -> None:
        """Refuse a name that somebody else's, or another dataset's, data have at the place."""
        final, receipt = self._dest / entry.name, self._receipt(entry.name)
        is_ours = receipt is not None and (receipt.layout, receipt.datasets) == (self._layout, self._datasets)
        if is_ours or not _exists(final) or _is_same(entry, final):
            return
        whose = (
            f"the {receipt.layout} export of {', '.join(receipt.datasets)}" if receipt else "no export of this store"
        )
        raise UsageError(f"{final}: is there already and is {whose}; name another place, or remove it first")

    def place(self, entry: Path) -> bool:
        """Make the entry what is at its place; whether anything was changed."""
        if isinstance(self._dest, RemotePath):
            return self._put(entry, self._dest / entry.name)
        final = self._dest / entry.name
        if _exists(final) and _is_same(entry, final):
            return False
        self._keep(entry.name, {})  # before it is there: else a kill between would make it a stranger's
        if entry.is_file():
            sync_file(entry)
        if not os.path.lexists(final) and publish(entry, final):
            return True
        sync_tree(entry)
        _exchange(entry, final)
        sync_folder(final.parent)
        return True

    def _put(self, entry: Path, final: RemotePath) -> bool:
        receipt = self._receipt(entry.name)
        known, listed = dict(receipt.objects) if receipt else {}, _listed(final)
        files = dict(_in_order(entry))
        digests = {key: _digest(file) for key, file in files.items()}
        old = [key for key in listed if key not in files]
        changed = [key for key in files if key not in listed or known.get(key) != (digests[key], listed[key].e_tag)]
        if not changed and not old:
            return False
        self._keep(entry.name, known)
        if entry.is_dir():
            outermost = next(reversed(files))
            final.remove([key for key in (outermost,) if key in listed])
            final.remove(old)
            changed = [*(key for key in changed if key != outermost), outermost]
        for key, e_tag in _uploaded(final, {key: files[key] for key in changed}):
            known[key] = (digests[key], e_tag)
        self._keep(entry.name, {key: known[key] for key in files})
        return True

    def _receipt(self, entry: str) -> _Receipt | None:
        try:
            said = json.loads(self._receipt_path(entry).read_bytes())
        except FileNotFoundError:
            return None
        objects = {key: (digest, e_tag) for key, (digest, e_tag) in said["objects"].items()}
        return _Receipt(said["layout"], tuple(said["datasets"]), objects)

    def _keep(self, entry: str, objects: Mapping[str, tuple[str, str | None]]) -> None:
        path = self._receipt_path(entry)
        path.parent.mkdir(parents=True, exist_ok=True)
        said = {"place": f"{self._dest}/{entry}", "layout": self._layout, "datasets": self._datasets}
        document = said | {"objects": {key: list(values) for key, values in sorted(objects.items())}}
        replace_bytes(path, (json.dumps(document, indent=1, ensure_ascii=False) + "\n").encode())
        send_folder(self._settings, self._settings.store / RECEIPTS)

    def _receipt_path(self, entry: str) -> Path:
        digest = hashlib.sha256(f"{self._dest}/{entry}".encode()).hexdigest()[:16]
        return self._settings.store / RECEIPTS / f"{digest}.json"


def _staging_parent(dest: Folder, settings: Settings) -> Path:
    """Where a draft is written: beside its place, to be renamed; for a bucket in the store."""
    return settings.store / "exports" if isinstance(dest, RemotePath) else dest


@contextmanager
def _draft(parent: Path) -> Iterator[Path]:
    """A folder of its own to write in; those that dead exports left are swept."""
    with ExitStack() as draft:
        try:
            parent.mkdir(parents=True, exist_ok=True)
            sweep(parent, LABEL)
            folder = draft.enter_context(staging_folder(parent, LABEL))
        except OSError as error:
            raise UsageError(f"{parent}: cannot be written ({error.strerror}); name another place") from error
        yield folder


def _exists(place: Folder) -> bool:
    return bool(_listed(place)) if isinstance(place, RemotePath) else os.path.lexists(place)


def _listed(entry: RemotePath) -> dict[str, Object]:
    """The objects of an entry by their keys from it on, "" for an object of this very name."""
    own = entry.look()
    return ({"": own} if own else {}) | entry.objects()


def _is_same(entry: Path, final: Folder) -> bool:
    """Whether there are the same files with the same bytes; in a bucket nobody looks, for that would fetch them."""
    if isinstance(final, RemotePath) or entry.is_dir() != final.is_dir():
        return False
    if not entry.is_dir():
        return filecmp.cmp(entry, final, shallow=False)
    keys = list(keys_in_order(entry))
    return keys == list(keys_in_order(final)) and all(
        filecmp.cmp(entry / key, final / key, shallow=False) for key in keys
    )


def _uploaded(final: RemotePath, files: Mapping[str, Path]) -> Iterator[tuple[str, str | None]]:
    """Upload files in their order, of the data some at once; each key with its ETag."""

    def upload(key: str) -> tuple[str, str | None]:
        return key, (final / key if key else final).upload(files[key])

    with ThreadPoolExecutor(UPLOADS_AT_ONCE) as pool:
        yield from pool.map(upload, [key for key in files if not _is_document(key)])
    yield from map(upload, [key for key in files if _is_document(key)])


def _is_document(key: str) -> bool:
    return key.endswith(DOCUMENTS)


def _in_order(entry: Path) -> Iterator[tuple[str, Path]]:
    """Files by key from the entry on, "" for itself: data, then documents from the innermost to the outermost."""
    if not entry.is_dir():
        yield "", entry
        return

    def rank(key: str) -> tuple[bool, int, str]:
        return _is_document(key), -len(PurePosixPath(key).parts), key

    yield from ((key, entry / key) for key in sorted(keys_in_order(entry), key=rank))


def _digest(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _exchange(new: Path, old: Path) -> None:
    """Let two folders or files change names in one step; where the file system cannot, in two."""
    libc = ctypes.CDLL(None, use_errno=True)
    names = (os.fsencode(new), os.fsencode(old))
    if hasattr(libc, "renameat2") and not libc.renameat2(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _RENAME_EXCHANGE):
        return
    old.rename(new.with_name(f"{new.name}.old"))
    new.rename(old)
