"""Whole files: a single one, or a tree of them below a folder, over any protocol."""

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import ExitStack
from contextvars import copy_context
from dataclasses import replace
from pathlib import Path
from threading import Event

from em_assets.errors import PlanTooLargeError, SourceError, SourceMissingError, SourceUnreachableError
from em_assets.model import RawFile, RemoteFile, Source
from em_assets.sources.checksums import MOST_SIDECAR_BYTES, read_sidecar, sidecar_of
from em_assets.sources.globs import Wanted
from em_assets.sources.hosts import Host, host_of
from em_assets.sources.job import Job
from em_assets.sources.manifest import OLD
from em_assets.sources.objects import Objects, Wish, is_small
from em_assets.sources.origins import Origin, url_server
from em_assets.sources.partial import PARTIAL, forget, partial_path, require_space, sync_folder, writable
from em_assets.sources.paths import addresses, below, lone_name, safe_relative_path
from em_assets.sources.progress import Progress, megabytes
from em_assets.sources.protocols import ask
from em_assets.sources.sessions import connections_kept
from em_assets.sources.transfer import Demand, Fetched, fetch_file
from em_assets.sources.wire import MODIFIED, Entry, Patience


def observe(source: Source, prefix: str, origin: Origin, patience: Patience) -> tuple[RemoteFile, ...]:
    """List what a source holds, by its address and, as a second witness, its fallbacks; sorted by path.

    A listing may leave a file out, so what any of the addresses names belongs to the source. A file that several name
    is taken from the first. Sources with fallbacks are compared by time of modification, which HTTP and FTP both tell,
    and not by ETag: the same file stays the same file when another address answers.

    Raises
    ------
    SourceMissingError
        The address answers that there is nothing, or nothing matches `include`.
    SourceUnreachableError
        None of the addresses answers; the message names all.
    SourceError
        A file's name is refused.
    """
    wanted = Wanted(source.include, source.exclude)
    alike = bool(source.fallback_urls)
    found: dict[str, RemoteFile] = {}
    for url, entries in _listings(source, wanted, origin, patience):
        for entry in entries:
            name = safe_relative_path(entry.path or lone_name(url))
            remote = RemoteFile(
                path=prefix + name,
                url=below(url, entry.path),
                size_bytes=entry.size_bytes,
                validator=_validator(entry, alike=alike),
            )
            if entry.path or name in wanted:
                found.setdefault(remote.path, remote)
    if not found:
        raise SourceMissingError(
            f"{source.url}: no file there matches include = {list(source.include)}, exclude = {list(source.exclude)}; "
            "mend these or `url`"
        )
    return tuple(found[path] for path in sorted(found))


def fetch(job: Job) -> tuple[RawFile, ...]:
    """Fetch what is not held yet; rows of all files of the source, sorted by path.

    Raises
    ------
    PlanTooLargeError
        The source holds more bytes than its `max_bytes`; nothing is fetched.
    StoreError
        The disk has no room for them; nothing is fetched.
    """
    _check_plan(job)
    rows = [job.held_row(remote) for remote in job.remotes]
    missing = [remote for remote, row in zip(job.remotes, rows, strict=True) if row is None]
    if not missing:
        return tuple(row for row in rows if row is not None)
    _check_space(job, missing)
    total = sum(remote.size_bytes or 0 for remote in missing)
    job.log(f"{job.source.url}: {len(missing)} of {len(rows)} files to fetch, {megabytes(total)}")
    progress = Progress(job.source.url, job.log, len(missing), total)
    with progress.shown():
        fetched = {row.path: row for row in _fetched(job, missing, progress)}
    return tuple(row or fetched[remote.path] for remote, row in zip(job.remotes, rows, strict=True))


def _listings(source: Source, wanted: Wanted, origin: Origin, patience: Patience) -> Iterator[tuple[str, list[Entry]]]:
    """List at the addresses that answer, in their order."""
    refusals: list[SourceError] = []
    answered = False
    urls = (source.url, *source.fallback_urls)
    patience = replace(patience, listing_s=patience.listing_s / len(urls))
    for url in urls:
        speaker, location = ask(url, origin)
        # A second witness is heard once; it is asked again only where it stands in for the first.
        patient = replace(patience, tries=1) if answered else patience
        try:
            entries = speaker.entries(location, wanted, patient)
        except SourceUnreachableError as error:
            refusals.append(error)
        except SourceError as error:
            if not refusals and not answered:
                raise
            refusals.append(error)
        else:
            answered = True
            yield url, entries
    if not answered and len(refusals) == 1:
        raise refusals[0]
    if not answered:
        raise SourceUnreachableError(f"{source.url}: none of its addresses answers: {'; '.join(map(str, refusals))}")


def _validator(entry: Entry, *, alike: bool) -> str | None:
    if alike:
        times = [validator for validator in entry.validators if validator.startswith(MODIFIED)]
        return next(iter(times), None)
    return next(iter(entry.validators), None)


def _check_plan(job: Job) -> None:
    total = sum(remote.size_bytes or 0 for remote in job.remotes)
    if total > job.source.max_bytes:
        raise PlanTooLargeError(
            f"{job.source.url}: {len(job.remotes):,} files with {total:,} bytes, more than max_bytes = "
            f'{job.source.max_bytes:,}. Narrow `include`, raise `max_bytes`, or take a box with kind = "cutout"'
        )


def _check_space(job: Job, missing: list[RemoteFile]) -> None:
    """Refuse what the disk has no room for, before anything is asked for; partials have their room already."""
    large = [remote for remote in missing if not is_small(remote)]
    partials = [partial_path(job.files_dir / remote.path) for remote in large]
    arrived = sum(path.stat().st_size for path in partials if path.exists())
    require_space(job.files_dir, sum(remote.size_bytes or 0 for remote in missing) - arrived, job.source.url)


def _fetched(job: Job, missing: list[RemoteFile], progress: Progress) -> Iterator[RawFile]:
    """Fetch many at once; the first that fails ends the others, whose partials the next run goes on with."""
    fetching = _Fetching(job, progress)
    paths = frozenset(remote.path for remote in job.remotes)
    sums = {path for path in paths if sidecar_of(path, paths)}
    sidecars = [remote for remote in missing if remote.path in sums]
    others = [remote for remote in missing if remote.path not in sums]
    with connections_kept():
        try:
            yield from fetching.fetch(sidecars, {})
            yield from fetching.fetch(others, _said_beside(job, sums))
        except BaseException:
            fetching.ended.set()
            raise
    for folder in sorted({remote.path.rpartition("/")[0] for remote in missing}):
        with writable(job.files_dir / folder, job.source.url):
            sync_folder(job.files_dir / folder)


class _Fetching:
    """Fetches the files of a job: small ones first and quickly, then the others and what was left, with all care."""

    def __init__(self, job: Job, progress: Progress) -> None:
        self.ended = Event()
        self._job, self._progress = job, progress
        self._hosts: dict[str, Host] = {}
        self._silent: set[str] = set()  # servers that did not answer
        self._stood_in: set[str] = set()  # servers that sent what others are listed with

    def fetch(self, remotes: list[RemoteFile], said: Mapping[str, Mapping[str, str]]) -> Iterator[RawFile]:
        """Yield the row of each file, held to the checksums that others say of it."""
        wishes = [self._wish(remote, said.get(remote.path, {})) for remote in remotes]
        carefully = {wish.remote.path: wish for wish in wishes}
        for host, theirs in self._by_host(wishes):
            begun = _begun({wish.dest.parent for wish in theirs})
            small = [wish for wish in theirs if is_small(wish.remote) and self._is_new(wish, begun)]
            objects = Objects(self._job.origin, self._job.patience, host)
            for found in objects.fetch(small):
                self._progress.add_bytes(sum(fetched.size_bytes for _, fetched in found))
                yield from self._kept(found)
            for wish in small:
                del carefully[wish.remote.path]
            carefully |= {wish.remote.path: wish for wish in objects.left}
        yield from self._all_carefully(list(carefully.values()))

    def _all_carefully(self, wishes: list[Wish]) -> Iterator[RawFile]:
        tasks: dict[Future[Fetched], Wish] = {}
        with ExitStack() as stack:
            pools = [
                (stack.enter_context(ThreadPoolExecutor(host.limit)), theirs) for host, theirs in self._by_host(wishes)
            ]
            try:
                for pool, theirs in pools:
                    tasks |= {pool.submit(copy_context().run, self._unless_ended, wish): wish for wish in theirs}
                for task in as_completed(tasks):
                    if isinstance(task.exception(), _EndedError):
                        continue  # the error that ended it comes, too
                    yield from self._kept([(tasks[task], task.result())])
            except BaseException:
                self.ended.set()
                for pool, _ in pools:
                    pool.shutdown(wait=False, cancel_futures=True)
                raise

    def _unless_ended(self, wish: Wish) -> Fetched:
        """As `_carefully`; a thread whose file has failed must not wait for its next before anybody hears of it."""
        if self.ended.is_set():
            raise _EndedError
        try:
            return self._carefully(wish)
        except Exception:
            self.ended.set()
            raise

    def _by_host(self, wishes: list[Wish]) -> list[tuple[Host, list[Wish]]]:
        """Each server has its own limit: a file that only a fallback lists comes from that."""
        groups: dict[str, list[Wish]] = {}
        for wish in wishes:
            groups.setdefault(url_server(wish.remote.url), []).append(wish)
        return [(self._host(theirs[0].remote.url), theirs) for theirs in groups.values()]

    def _host(self, url: str) -> Host:
        at = url_server(url)
        if at not in self._hosts:
            raw, patience = self._job.files_dir.parents[1], self._job.patience
            host = host_of(url, raw, patience.connections, self._job.log)
            self._hosts[at] = replace(host, is_ended=self.ended.is_set)
        return self._hosts[at]

    def _wish(self, remote: RemoteFile, said: Mapping[str, str]) -> Wish:
        job, locked = self._job, self._job.locked.get(remote.path)
        checksums = {"sha256": locked} if locked else said
        demand = Demand(job.source.max_bytes, checksums, etag_is_md5=job.source.etag_is_md5)
        return Wish(remote, job.files_dir / remote.path, demand)

    def _is_new(self, wish: Wish, begun: set[Path]) -> bool:
        """Whether nothing of it is there, neither an older version nor a beginning."""
        if wish.remote.path in self._job.held:
            return False
        return wish.dest.parent not in begun or not partial_path(wish.dest).exists()

    def _carefully(self, wish: Wish) -> Fetched:
        """The file from where it is listed; one that a lock demands from the first of its addresses that has it."""
        refusals: list[SourceError] = []
        urls = sorted(self._addresses(wish.remote), key=lambda url: url_server(url) in self._silent)
        for url, patience in self._shared_out(urls, wish):
            try:
                fetched = self._from(url, wish, patience)
            except (SourceMissingError, SourceUnreachableError) as error:
                if self.ended.is_set():
                    raise
                refusals.append(error)
                if isinstance(error, SourceUnreachableError):
                    self._silent.add(url_server(url))  # and each of its other files need not wait for it first
            else:
                for other in urls:
                    forget(partial_path(wish.dest, _partial_of(wish, other)))
                self._say_from(url, wish)
                return fetched
        if len(refusals) == 1:
            raise refusals[0]
        is_missing = all(isinstance(error, SourceMissingError) for error in refusals)
        kind = SourceMissingError if is_missing else SourceUnreachableError
        raise kind(f"{wish.remote.path}: none of its addresses has it: {'; '.join(map(str, refusals))}")

    def _shared_out(self, urls: Sequence[str], wish: Wish) -> Iterator[tuple[str, Patience]]:
        """The addresses of a file, which end together in the time that one has: what some need not is the others'."""
        patience = self._job.patience
        all_s = patience.no_news_s - wish.waited_s
        until = time.monotonic() + all_s
        for n_tried, url in enumerate(urls):
            # What has sent bytes before it fell silent has taken none of this time from those that follow.
            share_s = max((until - time.monotonic()) / (len(urls) - n_tried), all_s / len(urls))
            yield url, replace(patience, no_news_s=share_s + _waited_s(wish, url))

    def _addresses(self, remote: RemoteFile) -> tuple[str, ...]:
        """Where a file is asked for: the SHA-256 of a lock proves it, whoever sends it."""
        job = self._job
        if remote.path not in job.locked:
            return (remote.url,)
        name, urls = remote.path.removeprefix(job.prefix), (job.source.url, *job.source.fallback_urls)
        return tuple(dict.fromkeys([remote.url, *(addresses(url, name)[0] for url in urls)]))

    def _from(self, url: str, wish: Wish, patience: Patience) -> Fetched:
        job, held, host = self._job, self._job.held.get(wish.remote.path), self._host(url)
        with host.line():
            return fetch_file(
                wish.remote.model_copy(update={"url": url}),
                wish.dest,
                job.origin,
                patience=patience,
                demand=wish.demand,
                quarantine=job.quarantine,
                on_bytes=self._count,
                replaced_to=job.files_dir.parent / OLD / held.sha256 if held else None,
                host=host,
                waited_s=_waited_s(wish, url),
                is_listed=url == wish.remote.url,
            )

    def _say_from(self, url: str, wish: Wish) -> None:
        """That bytes come from another address than the manifest names, once a server."""
        at = url_server(url)
        if url != wish.remote.url and at not in self._stood_in:
            self._stood_in.add(at)
            self._job.log(f"{wish.remote.path}: sent by {url}, and proved, since {wish.remote.url} did not send it")

    def _kept(self, found: list[tuple[Wish, Fetched]]) -> list[RawFile]:
        rows = [
            RawFile(
                path=wish.remote.path,
                url=wish.remote.url,
                size_bytes=fetched.size_bytes,
                sha256=fetched.sha256,
                validator=wish.remote.validator,
                source=self._job.index,
            )
            for wish, fetched in found
        ]
        self._job.keep(rows)
        self._progress.add_files(len(rows))
        return rows

    def _count(self, n_bytes: int) -> None:
        if self.ended.is_set():
            raise _EndedError
        self._progress.add_bytes(n_bytes)


def _waited_s(wish: Wish, url: str) -> float:
    """What was waited for a file before, in vain: at its listed address."""
    return wish.waited_s if url == wish.remote.url else 0.0


def _partial_of(wish: Wish, url: str) -> str:
    return "" if url == wish.remote.url else url


def _begun(folders: set[Path]) -> set[Path]:
    """Those of these folders where something is still arriving: one look at each, not one at every file."""
    return {
        folder
        for folder in folders
        if folder.is_dir() and any(map(PARTIAL.fullmatch, os.listdir(folder)))  # noqa: PTH208
    }


def _said_beside(job: Job, sidecars: set[str]) -> dict[str, dict[str, str]]:
    """Path → checksums, from the sidecars that are held by now."""
    said: dict[str, dict[str, str]] = {}
    for path in sorted(sidecars):
        file = job.files_dir / path
        if not file.is_file() or file.stat().st_size > MOST_SIDECAR_BYTES:
            continue
        for named, algorithm, digits in read_sidecar(path, file.read_text(errors="replace")):
            said.setdefault(named, {})[algorithm] = digits
    return said


class _EndedError(SourceError):
    """Another file of the source has failed."""
