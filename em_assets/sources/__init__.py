"""Where bytes come from: what a source holds now, and its files fetched whole. One module a kind of source.

A kind is a module with these names::

    observe(source, prefix, origin, patience)  what the source holds now: nothing but metadata is downloaded
    fetch(job)                                 what is not held yet; rows of everything that the source holds
"""

import functools
import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, Protocol

from em_assets.errors import SourceMissingError
from em_assets.model import RawFile, RemoteFile, Source
from em_assets.sources import cutout, files, in_place
from em_assets.sources.accepting import forget, no_longer_listed, set_aside
from em_assets.sources.adopting import Adoption, adopt, adoption
from em_assets.sources.job import Job, is_whole
from em_assets.sources.locking import differences_named, locked_files, refuse_different, with_validators
from em_assets.sources.manifest import (
    DROPPED,
    FILES,
    OLD,
    Journal,
    differences,
    dropped_paths,
    lock_fingerprint,
    read_dropped,
    read_fingerprint,
    read_lock,
    read_manifest,
    write_lock,
    write_manifest,
)
from em_assets.sources.origins import Origin
from em_assets.sources.partial import PARTIAL
from em_assets.sources.paths import refuse_twins
from em_assets.sources.wire import PATIENCE, Patience

__all__ = [
    "SOURCES",
    "Acquired",
    "Observation",
    "acquire",
    "observe",
    "read_fingerprint",
    "read_manifest",
    "source_prefixes",
]


class Kind(Protocol):
    """What a kind of source offers."""

    def observe(self, source: Source, prefix: str, origin: Origin, patience: Patience) -> tuple[RemoteFile, ...]:
        """List what the source holds now."""

    def fetch(self, job: Job) -> tuple[RawFile, ...]:
        """Fetch what is not held yet."""


SOURCES: dict[str, Kind] = {
    "files": files,
    "cutout": cutout,
}


class Observation(NamedTuple):
    """What a dataset's sources hold now.

    `fingerprint` changes when a path, a size or a validator does, and with nothing else: not with the origin's ports,
    nor with the address that answered.
    """

    fingerprint: str
    files: tuple[tuple[int, RemoteFile], ...]


class Acquired(NamedTuple):
    """What is held after fetching: all of it in `files`, of which `kept` were there.

    The others came over the wire (`fetched`), from a folder (`adopted`), or were hashed where they lie (`referenced`).
    """

    files: tuple[RawFile, ...]
    fetched: int
    kept: int
    fetched_bytes: int
    fingerprint: str
    adopted: int = 0
    referenced: int = 0


def observe(sources: Sequence[Source], origin: Origin, *, patience: Patience = PATIENCE) -> Observation:
    """Look at every source; nothing is downloaded but listings and metadata.

    Raises
    ------
    SourceMissingError
        A source is not there, not public, or holds nothing that is wanted.
    SourceUnreachableError
        A source does not answer.
    SourceError
        A name is refused, or two files would be one on some file system.
    """
    observe_one = _observing(sources, _asked_once(origin), patience)
    found = tuple((index, remote) for index in range(len(sources)) for remote in observe_one(index))
    refuse_twins(remote.path for _, remote in found)
    lines = sorted(f"{remote.path}\t{remote.size_bytes}\t{remote.validator}\n" for _, remote in found)
    return Observation(hashlib.sha256("".join(lines).encode()).hexdigest(), found)


def acquire(
    sources: Sequence[Source],
    origin: Origin,
    raw_dir: Path,
    *,
    log: Callable[[str], None],
    quarantine: Path | None = None,
    patience: Patience = PATIENCE,
    locked: bool = False,
    adopt_from: Path | None = None,
    made_of: str | None = None,
    accept_gone: bool = False,
) -> Acquired:
    """Fetch what the manifest in `raw_dir` does not already hold as listed now, and bring the manifest up to date.

    Parameters
    ----------
    log
        Told how far it is, a line at a time.
    quarantine
        Where content that cannot be data is kept, with the reason; by default `quarantine/<dataset>` in the store.
    locked
        Only the bytes that `lock.toml` in `raw_dir` names will do, whatever is listed; every difference is an error
        that names it.
    adopt_from
        A folder with files that came another way: what is there is verified and taken in, the rest is fetched.
    made_of
        What the store holds made of these files; where their bytes were dropped after just that, they are not needed.
    accept_gone
        What is held and no longer listed is let go; its bytes stay among the old versions. What the source's `include`
        and `exclude` no longer ask for is let go unasked.

    Raises
    ------
    SourceMissingError
        Also where a listing has shrunk: that is taken for an incomplete listing, never for a deletion.
    PlanTooLargeError
        A source holds more than its `max_bytes`.
    IncompleteError
        A file did not arrive as declared, or not as locked.
    """
    from filelock import FileLock

    origin = _asked_once(origin)
    raw_dir.mkdir(parents=True, exist_ok=True)
    with FileLock(raw_dir / ".lock"):
        cutout.sweep(raw_dir / FILES)
        lock = read_lock(raw_dir) if locked else None
        if lock is None:
            observation = observe(sources, origin, patience=patience)
        else:
            observation = _locked(sources, lock, origin, patience, raw_dir)
        manifest = read_manifest(raw_dir) or ()
        gone = no_longer_listed(manifest, sources, source_prefixes(sources), observation.files)
        if gone.unasked and not accept_gone and not locked:
            raise SourceMissingError(_shrunken(gone.unasked, manifest, raw_dir))
        if _is_dropped(raw_dir, made_of, observation):
            if lock is not None:
                refuse_different(differences(lock, {row.path: row for row in manifest}), raw_dir)
            log(f"{len(manifest)} files unchanged: what they held was written and proved, and their bytes were dropped")
            return Acquired(manifest, 0, len(manifest), 0, observation.fingerprint)
        demanded = {row.path: row.sha256 for row in lock or ()}
        taken = adoption(adopt_from, origin, patience, demanded) if adopt_from else None
        journal = Journal(raw_dir)
        got = _Got(journal, {row.path: row for row in (*manifest, *journal.read())})
        job_of = functools.partial(  # `partial` is a module of this folder
            Job,
            held=got.held,
            files_dir=raw_dir / FILES,
            quarantine=quarantine or raw_dir.parent.parent / "quarantine" / raw_dir.name,
            origin=origin,
            patience=patience,
            log=log,
            keep=got.keep,
            locked=demanded,
        )
        with nullcontext() if lock is None else differences_named(raw_dir):
            rows = [row for job in _jobs(sources, observation, job_of) for row in _of_one_source(job, taken, got)]
        if lock is not None:
            refuse_different(differences(lock, {row.path: row for row in rows}), raw_dir)
            rows = with_validators(rows, lock)
        gone = gone.but(rows)
        set_aside(gone, raw_dir, log)
        (raw_dir / DROPPED).unlink(missing_ok=True)  # not before: a fetch that fails leaves them dropped
        _write_held(raw_dir, rows, manifest, observation.fingerprint, is_locked=locked)
        forget(gone, raw_dir)
        journal.remove()
        _sweep_partials(raw_dir / FILES)
    return got.acquired(tuple(rows), observation.fingerprint, log)


def _observing(
    sources: Sequence[Source], origin: Origin, patience: Patience
) -> Callable[[int], tuple[RemoteFile, ...]]:
    """Lists the source of a number."""
    prefixes = source_prefixes(sources)
    return lambda index: SOURCES[sources[index].kind].observe(sources[index], prefixes[index], origin, patience)


def _locked(
    sources: Sequence[Source], lock: tuple[RawFile, ...], origin: Origin, patience: Patience, raw_dir: Path
) -> Observation:
    """What a lock file names, in the place of what is listed."""
    found = locked_files(sources, source_prefixes(sources), lock, _observing(sources, origin, patience), raw_dir)
    refuse_twins(remote.path for _, remote in found)
    return Observation(lock_fingerprint(raw_dir), found)


class _Got:
    """What is at its final name by now: what was `held` before, and what arrived since then, by its way."""

    def __init__(self, journal: Journal, held: dict[str, RawFile]) -> None:
        self.held = held
        self.fetched: list[RawFile] = []
        self.adopted: list[RawFile] = []
        self.referenced: list[RawFile] = []
        self.arriving = self.fetched
        self._journal = journal

    @property
    def otherwise(self) -> dict[str, list[RawFile]]:
        """In words, what did not come over the wire."""
        return {"adopted": self.adopted, "referenced where they lie": self.referenced}

    def keep(self, rows: Sequence[RawFile]) -> None:
        """Note files, so that a killed run has not fetched them in vain."""
        self._journal.add(rows)
        self.arriving += rows

    def acquired(self, rows: tuple[RawFile, ...], fingerprint: str, log: Callable[[str], None]) -> Acquired:
        """All that is held in the end, counted by its way; a line says so."""
        n_kept = len(rows) - len(self.fetched) - len(self.adopted) - len(self.referenced)
        otherwise = [f"{len(them)} {how}" for how, them in self.otherwise.items() if them]
        log(", ".join([f"{len(self.fetched)} files fetched", *otherwise, f"{n_kept} kept"]))
        return Acquired(
            rows,
            len(self.fetched),
            n_kept,
            sum(row.size_bytes for row in self.fetched),
            fingerprint,
            adopted=len(self.adopted),
            referenced=len(self.referenced),
        )


def _jobs(sources: Sequence[Source], observation: Observation, job_of: Callable[..., Job]) -> Iterator[Job]:
    """What is to be fetched of each source; `job_of` knows what is the same for all."""
    for index, (source, prefix) in enumerate(zip(sources, source_prefixes(sources), strict=True)):
        remotes = tuple(remote for at, remote in observation.files if at == index)
        yield job_of(source=source, index=index, prefix=prefix, remotes=remotes)


def _of_one_source(job: Job, taken: Adoption | None, got: _Got) -> tuple[RawFile, ...]:
    if in_place.is_in_place(job.source):
        got.arriving = got.referenced
        return in_place.fetch(job)
    if taken is not None and job.source.kind == "files":
        got.arriving = got.adopted
        got.held |= {row.path: row for row in adopt(taken, job)}
    got.arriving = got.fetched
    return SOURCES[job.source.kind].fetch(job)


def _write_held(
    raw_dir: Path, rows: Sequence[RawFile], before: Sequence[RawFile], fingerprint: str, *, is_locked: bool
) -> None:
    """Bring manifest and lock file up to date; who was held to the lock leaves it as it is."""
    if tuple(rows) != tuple(before) or read_fingerprint(raw_dir) != fingerprint:
        write_manifest(raw_dir, rows, fingerprint)
    if not is_locked:
        write_lock(raw_dir, rows, fingerprint)


def _is_dropped(raw_dir: Path, made_of: str | None, observation: Observation) -> bool:
    """Whether the bytes were dropped and are not needed, and what is kept beside them is as the manifest has it."""
    if made_of is None or read_dropped(raw_dir) != made_of or read_fingerprint(raw_dir) != observation.fingerprint:
        return False
    dropped, arrived = dropped_paths(raw_dir), {row.path: row.sha256 for row in Journal(raw_dir).read()}
    kept = [row for row in read_manifest(raw_dir) or () if row.path not in dropped]
    return all(is_whole(raw_dir / FILES, row) and arrived.get(row.path, row.sha256) == row.sha256 for row in kept)


def source_prefixes(sources: Sequence[Source]) -> tuple[str, ...]:
    """Folder of each source's raw files, with a slash; empty where one source has data, whose paths stay.

    An archive's records lie in a folder of their own and count for nobody else's.
    """
    is_only = sum(source.archive is None for source in sources) == 1
    return tuple(_prefix(index, source, is_only) for index, source in enumerate(sources))


def _prefix(index: int, source: Source, is_only: bool) -> str:
    if source.archive is not None:
        return f"archive_{source.archive}/"
    return "" if is_only else f"{source.volume or index}/"


def _asked_once(origin: Origin) -> Origin:
    """Keep each endpoint for as long as one observation or acquisition takes: asking may start or refresh a server."""
    return replace(origin, endpoints=functools.cache(origin.endpoints)) if origin.endpoints else origin


def _shrunken(gone: Sequence[RawFile], manifest: Sequence[RawFile], raw_dir: Path) -> str:
    names = ", ".join(row.path for row in gone[:5]) + (", …" if len(gone) > 5 else "")
    places = [raw_dir / FILES / row.path for row in gone]
    is_copied = any(place.is_file() and not place.is_symlink() for place in places)
    bytes_kept = (
        f", which keeps their bytes in {raw_dir / OLD}" if is_copied else "; the store has no copy of their bytes"
    )
    return (
        f"{gone[0].url}: {len(gone)} of {len(manifest)} files that are held are no longer listed: {names}. "
        "A listing can be incomplete, so nothing was changed; to accept it: "
        f"em-assets fetch {raw_dir.name} --accept-gone{bytes_kept}"
    )


def _sweep_partials(files_dir: Path) -> None:
    """Remove what broke off and is no longer wanted: everything that is, is whole by now."""
    for path in sorted(files_dir.rglob(".*")):
        if PARTIAL.fullmatch(path.name):
            path.unlink(missing_ok=True)
