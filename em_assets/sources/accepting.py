"""What is held and no longer listed: wanted no more, or perhaps missing from one listing; let go without losing a byte.

::

    files/<path>  ──▶  old/<sha256>     before the manifest leaves the file out; the first name goes after that
"""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from em_assets.model import RawFile, RemoteFile, Source
from em_assets.sources import cutout
from em_assets.sources.globs import Wanted
from em_assets.sources.manifest import FILES, OLD, keep_old
from em_assets.sources.partial import unwritable


class Gone(NamedTuple):
    """Files that are held and not listed: those that the dataset asks for no longer, and the others."""

    excluded: list[RawFile]
    unasked: list[RawFile]
    """Nobody asked for their going: a listing can be incomplete."""

    def but(self, rows: Iterable[RawFile]) -> "Gone":
        """The same without files that are held after all: chunks of a box, whose source changed its place."""
        paths = {row.path for row in rows}
        return Gone(*([row for row in them if row.path not in paths] for them in self))


def no_longer_listed(
    manifest: Iterable[RawFile],
    sources: Sequence[Source],
    prefixes: Sequence[str],
    files: Iterable[tuple[int, RemoteFile]],
) -> Gone:
    """What the manifest has and the sources list no longer; of a box no chunk is listed, but the remote's metadata."""
    listed = {remote.path for _, remote in files}
    gone = Gone([], [])
    for row in manifest:
        if row.path in listed:
            continue
        if row.source >= len(sources):
            gone.excluded.append(row)
            continue
        source, prefix = sources[row.source], prefixes[row.source]
        if source.kind == "cutout":
            gone.unasked.extend([row] if cutout.is_document(row, source, prefix) else [])
        else:
            (gone.unasked if _is_wanted(row, source, prefix) else gone.excluded).append(row)
    return gone


def set_aside(gone: Gone, raw_dir: Path, log: Callable[[str], None]) -> None:
    """Give the bytes of these files a second name among the old versions.

    Raises
    ------
    StoreError
        The disk refuses.
    """
    rows = [*gone.excluded, *gone.unasked]
    for row in rows:
        try:
            keep_old(raw_dir / FILES / row.path, raw_dir / OLD / row.sha256)
        except OSError as error:
            raise unwritable(error, raw_dir / OLD, row.path, row.size_bytes) from error
    if rows:
        log(f"{len(rows)} files are listed no longer and let go; their bytes are kept in {raw_dir / OLD}")


def forget(gone: Gone, raw_dir: Path) -> None:
    """Take away the first names, once the manifest has them no longer; a link leads elsewhere, where the file stays."""
    for row in (*gone.excluded, *gone.unasked):
        (raw_dir / FILES / row.path).unlink(missing_ok=True)


def _is_wanted(row: RawFile, source: Source, prefix: str) -> bool:
    wanted = Wanted(source.include, source.exclude)
    return row.path.startswith(prefix) and row.path.removeprefix(prefix) in wanted
