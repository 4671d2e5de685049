"""What a lock file demands, in the place of a listing: its files, by their own addresses.

Nobody is asked what there is: a listing that is gone, or has grown, is no obstacle, and with all the files in a folder
(`--from`) no network is needed. What a server then sends is held to size and SHA-256; its validators do not count. A
row names the lock's address also where another one of the source has sent the bytes: one lock, one manifest. Files that
are referenced where they lie are looked at, and the metadata of a remote volume is fetched, as always.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from em_assets.errors import IncompleteError, SourceMissingError
from em_assets.model import RawFile, RemoteFile, Source
from em_assets.sources import in_place
from em_assets.sources.globs import Wanted
from em_assets.sources.manifest import LOCK, differences
from em_assets.sources.paths import addresses, safe_relative_path

WAY_ON = "Fetch without --locked to take what is there now"

Observe = Callable[[int], Sequence[RemoteFile]]
"""Number of a source → what it lists now."""


def locked_files(
    sources: Sequence[Source], prefixes: Sequence[str], lock: Sequence[RawFile], observe: Observe, raw_dir: Path
) -> tuple[tuple[int, RemoteFile], ...]:
    """The files of a lock with the number of their source, as if they were listed; only what must is observed.

    Raises
    ------
    IncompleteError
        The lock names files that are not the dataset's, or what is looked at differs from it.
    SourceError
        A file's name is refused.
    """
    found: list[tuple[int, RemoteFile]] = []
    said = [f"{row.path}: of a source that the dataset lacks" for row in lock if row.source >= len(sources)]
    for index, (source, prefix) in enumerate(zip(sources, prefixes, strict=True)):
        rows = {safe_relative_path(row.path): row for row in lock if row.source == index}
        if source.kind == "cutout":
            listed = observe(index)
            said += _other_boxes(rows, listed)
        elif in_place.is_in_place(source):
            listed = [remote for remote in observe(index) if remote.path in rows]
            said += differences(rows.values(), {remote.path: remote for remote in listed})
        else:
            listed = [_demanded(row) for row in rows.values()]
            said += _strangers(source, prefix, rows.values())
        found += [(index, remote) for remote in listed]
    refuse_different(said, raw_dir)
    return tuple(found)


def with_validators(rows: Sequence[RawFile], lock: Sequence[RawFile]) -> list[RawFile]:
    """The rows, those that came by a lock with the validators of their version, for the next listing to be held to."""
    validators = {row.path: row.validator for row in lock}
    return [
        row if row.validator is not None else row.model_copy(update={"validator": validators.get(row.path)})
        for row in rows
    ]


def refuse_different(found: Sequence[str], raw_dir: Path) -> None:
    """Raise an `IncompleteError` that names what differs from a lock, where anything does."""
    if found:
        more = f" and {len(found) - 10} more" if len(found) > 10 else ""
        raise IncompleteError(
            f"{raw_dir / LOCK}: {len(found)} files differ from the lock: {'; '.join(found[:10])}{more}. {WAY_ON}"
        )


@contextmanager
def differences_named(raw_dir: Path) -> Iterator[None]:
    """Say that what the source sent, or no longer has, is what the lock demands."""
    try:
        yield
    except (IncompleteError, SourceMissingError) as error:
        raise type(error)(f"{raw_dir / LOCK}: differs from the lock: {error}. {WAY_ON}") from error


def _demanded(row: RawFile) -> RemoteFile:
    return RemoteFile(path=row.path, url=row.url, size_bytes=row.size_bytes, validator=None)


def _strangers(source: Source, prefix: str, rows: Iterable[RawFile]) -> Iterator[str]:
    """Files that no listing of the source could name: who hands on a lock must not choose what we fetch, nor where."""
    wanted = Wanted(source.include, source.exclude)
    for row in rows:
        name = row.path.removeprefix(prefix)
        if not row.path.startswith(prefix) or name not in wanted:
            yield f"{row.path}: in the lock, and not what the source's `include` and `exclude` ask for"
        elif not any(row.url in addresses(url, name) for url in (source.url, *source.fallback_urls)):
            yield f"{row.path}: {row.url} in the lock, which is not where the source has it"


def _other_boxes(rows: Mapping[str, RawFile], listed: Sequence[RemoteFile]) -> list[str]:
    """A box's chunks are in no listing, but its metadata is."""
    return [
        f"{remote.path}: the remote volume's metadata, or the box, is another than in the lock"
        for remote in listed
        if remote.path in rows and rows[remote.path].validator != remote.validator
    ]
