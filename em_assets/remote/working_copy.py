"""Folders on this disk that stand for folders of a bucket: brought up to date before, and sent back after.

The objects are the truth: whatever differs from them is fetched again, so the copy may be deleted at any time. What the
copy had at the last look is noted beside it::

    <copy>/raw/zebrafish/files/a.tif
    <copy>/.remote/raw/zebrafish.json    of each file the object's ETag, and size and time of the file on this disk
    <copy>/.remote/raw/zebrafish.lock    held by whoever pulls or pushes
    <copy>/.remote/raw/zebrafish.changing    held by whoever makes what he will push
    <copy>/.remote/raw/zebrafish.new/    what is arriving
"""

import fcntl
import json
import os
import re
import shutil
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from em_assets.errors import StoreError
from em_assets.remote.path import Object, RemotePath

IN_FLIGHT = 16
"""Objects that go up or come down at once."""

NOTES = ".remote"

NOTHING = re.compile(r"(?!)")


@dataclass(frozen=True)
class WorkingCopy:
    """A folder of a bucket and the folder on this disk that stands for it; `unit` is a folder's path below both.

    Where a unit has a commit object (`last`, its name), that one goes up when all others are there, and while it is
    the same the others are not asked for.
    """

    folder: Path
    remote: RemotePath

    def pull(self, unit: str, last: str | None = None) -> None:
        """Make the copy of a unit what the objects are; files that never went up are left alone.

        A unit that somebody is `changing` stays what it is: what was not sent yet would be lost.

        Raises
        ------
        StoreError
            The bucket refuses, or other bytes arrive than went up.
        SourceUnreachableError
            It does not answer.
        """
        with self._brought(unit) as copy:
            if copy is None:
                return
            newest = copy.remote(last).look() if last else None
            if newest and newest.e_tag == copy.whole_at and all(map(copy.is_untouched, copy.notes)):
                return
            copy.whole_at = None
            there = copy.remote().objects()
            stale = [name for name, found in there.items() if not copy.is_same(name, found)]
            copy.all(copy.fetch, [name for name in stale if name != last])
            copy.all(copy.fetch, [name for name in stale if name == last])
            copy.forget(copy.notes.keys() - there.keys())
            copy.whole_at = there[last].e_tag if last in there else None

    def pull_only(self, unit: str, names: Iterable[str]) -> None:
        """Make the copies of these files of a unit what their objects are; errors as `pull`."""
        with self._brought(unit) as copy:
            if copy is None:
                return
            for name in names:
                found = copy.remote(name).look()
                if found is None:
                    copy.forget({name} & copy.notes.keys())
                elif not copy.is_same(name, found):
                    copy.all(copy.fetch, [name])

    def push(
        self,
        unit: str,
        last: str | None = None,
        skip: Collection[str] = (),
        passing: re.Pattern[str] = NOTHING,
    ) -> None:
        """Make the objects what the copy of a unit is; errors as `pull`.

        Parameters
        ----------
        last
            Name of the unit's commit object.
        skip
            Names in the unit that stay on this disk. So do links, and names in it that begin with a dot.
        passing
            What is still arriving is named like this, at any depth, and stays too. Other names that begin with a dot
            are a source's own further down: `.zarray` says what an array is.
        """
        with self._opened(unit) as copy:
            copy.whole_at = None
            there, here = copy.remote().objects(), _names(self.folder / unit, skip, passing)
            # What differs from its object and was not touched here is older than that: another machine's came after.
            changed = [name for name in here if name not in there or not copy.is_untouched(name)]
            copy.all(copy.send, [name for name in changed if name != last])
            copy.all(copy.send, [name for name in changed if name == last])
            gone = copy.notes.keys() - set(here)
            copy.remote().remove(gone & there.keys())
            copy.forget(gone)
            copy.whole_at = copy.notes[last].e_tag if last in copy.notes else None

    @contextmanager
    def changing(self, unit: str) -> Iterator[None]:
        """What is written to the copy of a unit until this ends, and pushed before, is undone by no other's pull."""
        with self._claimed(unit, fcntl.LOCK_EX):
            yield

    @contextmanager
    def _brought(self, unit: str) -> Iterator["_Unit | None"]:
        """The copy of a unit to be made what the objects are; None where somebody is changing it."""
        with self._claimed(unit, fcntl.LOCK_SH | fcntl.LOCK_NB) as is_free:
            if not is_free:
                yield None
                return
            with self._opened(unit) as copy:
                yield copy

    @contextmanager
    def _claimed(self, unit: str, how: int) -> Iterator[bool]:
        file = Path(f"{self.folder / NOTES / unit}.changing")
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("ab") as opened:
            is_ours = False
            with suppress(BlockingIOError):
                fcntl.flock(opened, how)
                is_ours = True
            yield is_ours

    @contextmanager
    def _opened(self, unit: str) -> Iterator["_Unit"]:
        """The copy of a unit, for this process alone; what is known of it is kept whatever happens."""
        from filelock import FileLock

        beside = self.folder / NOTES / unit
        beside.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{beside}.lock"):
            copy = _Unit.opened(self, unit)
            try:
                yield copy
            finally:
                copy.save()


class _Note(NamedTuple):
    """An object's ETag, and size and time of the file that is the same."""

    e_tag: str | None
    size_bytes: int
    modified_ns: int


@dataclass
class _Unit:
    """The copy of one unit: `notes` by name; `whole_at` is the commit object's ETag when all files were here."""

    copy: WorkingCopy
    unit: str
    notes: dict[str, _Note]
    whole_at: str | None

    @staticmethod
    def opened(copy: WorkingCopy, unit: str) -> "_Unit":
        """The unit as it was left; nothing is known of it where that cannot be read."""
        opened = _Unit(copy, unit, {}, None)
        shutil.rmtree(opened._beside(".new"), ignore_errors=True)
        opened._beside(".new").mkdir()
        with suppress(OSError, ValueError, KeyError, TypeError):
            kept = json.loads(opened._beside(".json").read_text())
            opened.notes = {name: _Note(*note) for name, note in kept["files"].items()}
            opened.whole_at = kept["whole_at"]
        return opened

    def save(self) -> None:
        """Keep what is known."""
        new = self._beside(".new")
        (new / "notes").write_text(json.dumps({"files": self.notes, "whole_at": self.whole_at}))
        (new / "notes").replace(self._beside(".json"))
        shutil.rmtree(new, ignore_errors=True)

    def local(self, name: str) -> Path:
        """Where a file lies on this disk."""
        return self.copy.folder / self.unit / name

    def remote(self, name: str | None = None) -> RemotePath:
        """Where its object is; without a name the folder of all."""
        folder = self.copy.remote / self.unit
        return folder / name if name else folder

    def is_untouched(self, name: str) -> bool:
        """Whether the file on this disk is the one that was noted."""
        return name in self.notes and self.notes[name][1:] == _stamp(self.local(name))

    def is_same(self, name: str, found: Object) -> bool:
        """Whether the file on this disk is what the object is."""
        return self.is_untouched(name) and self.notes[name].e_tag == found.e_tag

    def all(self, do: Callable[[str], _Note], names: Sequence[str]) -> None:
        """Fetch or send several files at once, and note them."""
        with ThreadPoolExecutor(IN_FLIGHT) as executor:
            done = {executor.submit(do, name): name for name in names}
            for future in as_completed(done):
                self.notes[done[future]] = future.result()

    def fetch(self, name: str) -> _Note:
        """Make the file what its object is, in one step."""
        new, path = self._beside(".new") / sha256(name.encode()).hexdigest(), self.local(name)
        try:
            found = self.remote(name).download(new)
        except FileNotFoundError as error:
            raise StoreError(f"{self.remote(name)}: removed while it was fetched; try again") from error
        path.parent.mkdir(parents=True, exist_ok=True)
        new.replace(path)
        return _Note(found.e_tag, *_stamp(path))

    def send(self, name: str) -> _Note:
        """Make the object what the file is."""
        stamp = _stamp(self.local(name))
        return _Note(self.remote(name).upload(self.local(name)), *stamp)

    def forget(self, names: Iterable[str]) -> None:
        """Remove files whose objects are no more."""
        for name in list(names):
            self.local(name).unlink(missing_ok=True)
            del self.notes[name]

    def _beside(self, suffix: str) -> Path:
        return Path(f"{self.copy.folder / NOTES / self.unit}{suffix}")


def _names(folder: Path, skip: Collection[str], passing: re.Pattern[str]) -> list[str]:
    def stays(name: str, *, is_top: bool) -> bool:
        return bool(passing.fullmatch(name)) or (is_top and (name in skip or name.startswith(".")))

    found = []
    for root, folders, files in os.walk(folder):
        is_top = Path(root) == folder
        folders[:] = sorted(name for name in folders if not stays(name, is_top=is_top))
        names = sorted(name for name in files if not stays(name, is_top=is_top))
        found += [path.relative_to(folder).as_posix() for name in names if not (path := Path(root, name)).is_symlink()]
    return found


def _stamp(path: Path) -> tuple[int, int]:
    """Size and time of a file; of none, what no file has."""
    try:
        status = path.stat()
    except OSError:
        return (-1, -1)
    return (status.st_size, status.st_mtime_ns)
