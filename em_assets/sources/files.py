"""Whole files: a single one, or a tree of them below a folder, over any protocol."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from urllib.parse import urlsplit

from em_assets.errors import PlanTooLargeError, SourceError, SourceMissingError, SourceUnreachableError
from em_assets.model import RawFile, RemoteFile, Source
from em_assets.sources.globs import Wanted
from em_assets.sources.job import Job, Progress, megabytes
from em_assets.sources.origins import Origin, url_scheme
from em_assets.sources.paths import below, file_name, safe_relative_path
from em_assets.sources.protocols import ask
from em_assets.sources.transfer import fetch_file
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
            name = safe_relative_path(entry.path or file_name(url))
            remote = RemoteFile(
                path=prefix + name,
                url=below(url, entry.path),
                size_bytes=entry.size_bytes,
                validator=_validator(entry, alike=alike),
            )
            if entry.path or name in wanted:
                found.setdefault(remote.path, remote)
    if not found:
        raise SourceMissingError(f"{source.url}: no file there matches include = {list(source.include)}")
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
    for url in (source.url, *source.fallback_urls):
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
    def fetch_one(remote: RemoteFile) -> RawFile:
        got = fetch_file(
            remote,
            job.files_dir / remote.path,
            job.origin,
            patience=job.patience,
            max_bytes=job.source.max_bytes,
            quarantine=job.quarantine,
            on_bytes=progress.add_bytes,
        )
        progress.add_file()
        row = RawFile(**remote.model_dump(exclude={"size_bytes"}), **got._asdict(), source=job.index)
        job.keep(row)
        return row

    with ThreadPoolExecutor(_at_once(job.source.url)) as pool:
        try:
            yield from pool.map(fetch_one, missing)
        except BaseException:
            pool.shutdown(cancel_futures=True)  # what has begun ends; what has not is not begun
            raise


def _at_once(url: str) -> int:
    if urlsplit(url).hostname in POLITE_HOSTS:
        return AT_ONCE_POLITE
    return AT_ONCE.get(url_scheme(url), AT_ONCE_ELSEWHERE)
