"""Whole files: a single one, or a tree of them below a folder, over any protocol."""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextvars import copy_context
from dataclasses import replace
from threading import Event
from urllib.parse import urlsplit

from em_assets.errors import PlanTooLargeError, SourceError, SourceMissingError, SourceUnreachableError
from em_assets.model import RawFile, RemoteFile, Source
from em_assets.sources import web
from em_assets.sources.checksums import MOST_SIDECAR_BYTES, read_sidecar, sidecar_of
from em_assets.sources.globs import Wanted
from em_assets.sources.job import Job, Progress, megabytes
from em_assets.sources.manifest import OLD
from em_assets.sources.origins import Origin, url_scheme
from em_assets.sources.paths import below, file_name, safe_relative_path
from em_assets.sources.protocols import ask
from em_assets.sources.transfer import Demand, fetch_file
from em_assets.sources.wire import MODIFIED, Entry, Patience

AT_ONCE = {"s3": 16, "gs": 16, "ftp": 2}
"""Files in flight at once, by scheme: object stores are made for many, archives ask for few."""

AT_ONCE_ELSEWHERE = 4
POLITE_HOSTS = ("ftp.ebi.ac.uk", "www.ebi.ac.uk")
AT_ONCE_POLITE = 2


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
            name = safe_relative_path(entry.path or file_name(url) or f"{file_name(url.rstrip('/'))}.json")
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
    """
    _check_plan(job)
    rows = [job.held_row(remote) for remote in job.remotes]
    missing = [remote for remote, row in zip(job.remotes, rows, strict=True) if row is None]
    if not missing:
        return tuple(row for row in rows if row is not None)
    total = sum(remote.size_bytes or 0 for remote in missing)
    job.log(f"{job.source.url}: {len(missing)} of {len(rows)} files to fetch, {megabytes(total)}")
    progress = Progress(job.log, len(missing), total)
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


def _fetched(job: Job, missing: list[RemoteFile], progress: Progress) -> Iterator[RawFile]:
    """Fetch many at once; the first that fails ends the others, whose partials the next run goes on with."""
    ended = Event()

    def count(n_bytes: int) -> None:
        if ended.is_set():
            raise _EndedError
        progress.add_bytes(n_bytes)

    def fetch_one(remote: RemoteFile, checksums: Mapping[str, str]) -> RawFile:
        row = _fetch_one(job, remote, checksums, count)
        progress.add_file()
        return row

    paths = frozenset(remote.path for remote in job.remotes)
    sidecars = [remote for remote in missing if sidecar_of(remote.path, paths)]
    others = [remote for remote in missing if not sidecar_of(remote.path, paths)]
    with web.connections_kept(), ThreadPoolExecutor(_at_once(job.source.url)) as pool:
        try:
            for group in (sidecars, others):
                said = _said_beside(job, paths) if group is others else {}
                tasks = [
                    pool.submit(copy_context().run, fetch_one, remote, said.get(remote.path, {})) for remote in group
                ]
                for task in as_completed(tasks):
                    yield task.result()
        except BaseException:
            ended.set()
            pool.shutdown(cancel_futures=True)
            raise


def _fetch_one(job: Job, remote: RemoteFile, checksums: Mapping[str, str], on_bytes: Callable[[int], None]) -> RawFile:
    locked = job.locked.get(remote.path)
    held = job.held.get(remote.path)
    got = fetch_file(
        remote,
        job.files_dir / remote.path,
        job.origin,
        patience=job.patience,
        demand=Demand(
            job.source.max_bytes, {"sha256": locked} if locked else checksums, etag_is_md5=job.source.etag_is_md5
        ),
        quarantine=job.quarantine,
        on_bytes=on_bytes,
        replaced_to=job.files_dir.parent / OLD / held.sha256 if held else None,
    )
    row = RawFile(**remote.model_dump(exclude={"size_bytes"}), **got._asdict(), source=job.index)
    job.keep(row)
    return row


def _said_beside(job: Job, paths: frozenset[str]) -> dict[str, dict[str, str]]:
    """Path → checksums, from the sidecars that are held by now."""
    said: dict[str, dict[str, str]] = {}
    for path in sorted(paths):
        file = job.files_dir / path
        if not sidecar_of(path, paths) or not file.is_file() or file.stat().st_size > MOST_SIDECAR_BYTES:
            continue
        for named, algorithm, digits in read_sidecar(path, file.read_text(errors="replace")):
            said.setdefault(named, {})[algorithm] = digits
    return said


def _at_once(url: str) -> int:
    if urlsplit(url).hostname in POLITE_HOSTS:
        return AT_ONCE_POLITE
    return AT_ONCE.get(url_scheme(url), AT_ONCE_ELSEWHERE)


class _EndedError(SourceError):
    """Another file of the source has failed."""
