"""One file, whole or not at all: beside its final name until size and content are right, then renamed into place.

::

    ask → as listed? → bytes into a partial, resumed where they break off → size → no page of words → checksums → rename
"""

import functools
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from em_assets.errors import IncompleteError, PlanTooLargeError, SourceUnreachableError, StoreError
from em_assets.model import RemoteFile
from em_assets.sources.checksums import ETAG_MD5, algorithm_of
from em_assets.sources.hosts import Host
from em_assets.sources.manifest import keep_old
from em_assets.sources.origins import Origin
from em_assets.sources.partial import Partial
from em_assets.sources.paths import LONGEST_NAME_BYTES
from em_assets.sources.protocols import ask
from em_assets.sources.ranges import receive_ranges
from em_assets.sources.wire import PATIENCE, Body, Patience, Watch, agree
from em_assets.volumes.pages import HEAD_BYTES, MOST_BYTES, VOXEL_SUFFIXES, page_in

__all__ = ["Demand", "Fetched", "fetch_file", "file_sha256", "is_web_page", "sums_of", "why_no_data"]

_REASON = ".reason.txt"
_PAGE_SUFFIXES = (".html", ".htm", ".xhtml")
_PAGE_BEGINNINGS = (b"<!doctype html", b"<html")


class Fetched(NamedTuple):
    """A file that is at its final name."""

    sha256: str
    size_bytes: int


class Demand(NamedTuple):
    """What a file must be, beyond what is listed.

    Attributes
    ----------
    max_bytes
        Cap for a file whose size nobody declares.
    checksums
        Algorithm → hexadecimal digits, from a sidecar or a lock file; they prevail over what the server declares.
    etag_is_md5
        An ETag of 32 hexadecimal digits is the file's MD5.
    """

    max_bytes: int | None = None
    checksums: Mapping[str, str] = {}
    etag_is_md5: bool = True


NOTHING_MORE = Demand()
ALONE = Host("", 4)


class _ShortError(IncompleteError):
    """An answer that ended early: what came of it is good."""


class _WrongBytesError(IncompleteError):
    """The right number of bytes, and not those that a checksum is of."""


def fetch_file(
    remote: RemoteFile,
    dest: Path,
    origin: Origin,
    *,
    patience: Patience = PATIENCE,
    demand: Demand = NOTHING_MORE,
    quarantine: Path | None = None,
    on_bytes: Callable[[int], None] | None = None,
    replaced_to: Path | None = None,
    host: Host = ALONE,
    waited_s: float = 0.0,
    is_listed: bool = True,
) -> Fetched:
    """Fetch a listed file to `dest`, which holds the old bytes or all of the new ones at any moment.

    Parameters
    ----------
    remote
        As listed: what arrives must have its size and validator.
    dest
        The final name; folders above it are made. A partial beside it is gone on with, also one of an earlier run.
    quarantine
        Where content is kept, with the reason beside it, that has the right size and cannot be data; None drops it.
    on_bytes
        Told of every block that arrived; an error of its own ends the transfer.
    replaced_to
        Second name for what stands at `dest`: its SHA-256, below a folder of old versions.
    host
        How many connections a large file may be fetched over.
    waited_s
        Seconds for which somebody else has waited for this file in vain; they count among those without new bytes.
    is_listed
        Its address is the one that is listed; of another one the bytes have a partial of their own.

    Raises
    ------
    IncompleteError
        Fewer, more or other bytes than declared, however often asked; or a page or text in the place of data.
    SourceMissingError
        Not there, or not public: never asked twice.
    SourceUnreachableError
        No answer, however often asked, or too little for too long.
    StoreError
        The disk is full or cannot be written.
    """
    partial = Partial(remote, dest, of="" if is_listed else remote.url)
    try:
        fetched = _fetched(remote, partial, origin, patience, demand, quarantine, on_bytes, host, waited_s)
        if replaced_to is not None and replaced_to.name != fetched.sha256:
            with partial.store_errors():
                keep_old(dest, replaced_to)
        partial.publish(dest)
    except StoreError:
        partial.drop()  # the room is needed
        raise
    except BaseException:
        partial.leave()
        raise
    return fetched


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, read in blocks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _fetched(
    remote: RemoteFile,
    partial: Partial,
    origin: Origin,
    patience: Patience,
    demand: Demand,
    quarantine: Path | None,
    on_bytes: Callable[[int], None] | None,
    host: Host,
    waited_s: float,
) -> Fetched:
    """All bytes in the partial, verified; wrong ones of the right number are asked for once more, from the start."""
    wrong = None
    while True:
        watch = Watch(patience, patience.no_news_s, partial.position, remote.url, waited_s=waited_s)
        if wrong is not None or not _received_in_ranges(
            remote, partial, origin, patience, demand, watch, on_bytes, host
        ):
            patience(functools.partial(_receive, remote, partial, origin, patience, demand, watch, on_bytes), watch)
        try:
            _refuse_pages(remote, partial)
            _check_sums(remote, partial, demand)
        except IncompleteError as error:
            digest = partial.digest("sha256")
            if isinstance(error, _WrongBytesError) and wrong is None:
                wrong, waited_s = digest, 0.0
                partial.restart()
                continue
            again = " (the same bytes twice)" if digest == wrong else ""
            kept = _quarantined(remote, partial, quarantine, f"{error}{again}")
            raise IncompleteError(f"{error}{again}{kept}") from error
        return Fetched(partial.digest("sha256"), partial.position)


def _received_in_ranges(
    remote: RemoteFile,
    partial: Partial,
    origin: Origin,
    patience: Patience,
    demand: Demand,
    watch: Watch,
    on_bytes: Callable[[int], None] | None,
    host: Host,
) -> bool:
    """Whether a large file came over several connections at once; else one answer after the other brings the rest."""
    about = receive_ranges(remote, partial, origin, patience, demand.checksums, watch, on_bytes, host)
    if about is None:
        return False
    try:
        if about.recheck and not sums_of(partial.checksums, demand):
            _check_unchanged(remote, about.validators, about.recheck())
    except SourceUnreachableError:  # no answer to a HEAD: the last byte is asked for again
        return False
    except IncompleteError:
        partial.restart()
        return False
    return True


def _receive(
    remote: RemoteFile,
    partial: Partial,
    origin: Origin,
    patience: Patience,
    demand: Demand,
    watch: Watch,
    on_bytes: Callable[[int], None] | None,
) -> None:
    """One answer into the partial: all that is left, or an error that keeps what is worth keeping."""
    speaker, location = ask(remote.url, origin)
    try:
        with speaker.body(location, patience.watched(watch), partial.resume) as body:
            expected = _expected_bytes(remote, body)
            if partial.is_whole and body.start:  # its last byte, under the validator that all the others came with
                partial.begin(replace(body, start=partial.position), demand.checksums)
                return
            partial.begin(body, demand.checksums)
            watch.begin(partial.position)
            for chunk in body.chunks:
                _check_not_over(remote, partial.position + len(chunk), expected, demand.max_bytes)
                partial.write(chunk)
                watch.arrived(partial.position)
                if on_bytes:
                    on_bytes(len(chunk))
            if expected is not None and partial.position != expected:
                raise _ShortError(f"{remote.url}: {expected:,} bytes declared, {partial.position:,} arrived")
            if body.recheck and not sums_of(partial.checksums, demand):
                _check_unchanged(remote, body.validators, body.recheck())
    except _ShortError:
        raise
    except IncompleteError:
        partial.restart()
        raise


def _expected_bytes(remote: RemoteFile, body: Body) -> int | None:
    """How many bytes the file must have; None where the protocol marks the end itself."""
    listed, declared = remote.size_bytes, body.size_bytes
    if listed is not None and declared is not None and listed != declared:
        raise IncompleteError(f"{remote.url}: {listed:,} bytes listed, {declared:,} declared by the answer")
    if not agree(remote.validator, body.validators):
        raise IncompleteError(
            f"{remote.url}: listed as {remote.validator}, sent as {', '.join(body.validators)}: it changed in between"
        )
    expected = declared if listed is None else listed
    if expected is None and not body.ends_itself:
        raise IncompleteError(f"{remote.url}: nobody says how many bytes it has, so a part could pass for the whole")
    return expected


def _check_not_over(remote: RemoteFile, received: int, expected: int | None, max_bytes: int | None) -> None:
    if expected is not None and received > expected:
        raise IncompleteError(f"{remote.url}: {expected:,} bytes declared, more arrived")
    if max_bytes is not None and received > max_bytes:
        raise PlanTooLargeError(f"{remote.url}: of undeclared size, and over max_bytes = {max_bytes:,}")


def _check_unchanged(remote: RemoteFile, before: tuple[str, ...], after: tuple[str, ...]) -> None:
    """One answer can hold two versions: a file that is written while it is sent."""
    if before and not agree(before[0], after):
        raise IncompleteError(
            f"{remote.url}: {before[0]} before its bytes, {', '.join(after)} behind them: it changed while it was sent"
        )


def sums_of(declared: Mapping[str, str], demand: Demand) -> dict[str, str]:
    """The checksums to hold the bytes to: those of a sidecar or lock file, or else those that the server declares."""
    if demand.checksums:
        return dict(demand.checksums)
    return {name: digits for name, digits in declared.items() if name != ETAG_MD5 or demand.etag_is_md5}


def _check_sums(remote: RemoteFile, partial: Partial, demand: Demand) -> None:
    for name, digits in sorted(sums_of(partial.checksums, demand).items()):
        found = partial.digest(algorithm_of(name))
        if found != digits:
            way_on = "; if this server's ETags are no MD5, say etag_is_md5 = false" if name == ETAG_MD5 else ""
            raise _WrongBytesError(f"{remote.url}: {name} {digits} declared, {found} arrived{way_on}")


def is_web_page(name: str, beginning: bytes) -> bool:
    """Whether these first bytes are a page's, under a name that is none."""
    start = beginning.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    return not name.lower().endswith(_PAGE_SUFFIXES) and start.startswith(_PAGE_BEGINNINGS)


def why_no_data(name: str, beginning: bytes, size_bytes: int) -> str | None:
    """What the first `HEAD_BYTES` of a file are, where its name says that it is something else; None for data."""
    if is_web_page(name, beginning):
        return "a web page"
    is_of_voxels = name.lower().endswith(VOXEL_SUFFIXES)
    return page_in(beginning) if is_of_voxels and size_bytes <= MOST_BYTES else None


def _refuse_pages(remote: RemoteFile, partial: Partial) -> None:
    """Error pages come with status 200 and the right length: words under an image's name are no data."""
    beginning, name = partial.beginning(HEAD_BYTES), PurePosixPath(remote.path).name
    kind = why_no_data(name, beginning, partial.position)
    if kind is not None:
        raise IncompleteError(
            f"{remote.url}: {kind} saved as data ({name} begins with {beginning[:40].decode('latin-1')!r}); "
            "open the URL in a browser to see what it says"
        )


def _quarantined(remote: RemoteFile, partial: Partial, quarantine: Path | None, reason: str) -> str:
    """Where the bytes are kept with the reason; nothing is kept without a quarantine."""
    if quarantine is None:
        partial.drop()
        return ""
    kept = quarantine / remote.path
    with partial.store_errors():
        kept.parent.mkdir(parents=True, exist_ok=True)
        partial.publish(kept)
        beside = kept.with_name(f"{kept.name}{_REASON}")
        if len(beside.name.encode()) > LONGEST_NAME_BYTES:
            beside = kept.with_name(f"{hashlib.sha256(kept.name.encode()).hexdigest()[:16]}{_REASON}")
        beside.write_text(f"{reason}\n")
    return f"; kept at {kept}"
