"""`em-assets plan`: what fetching a dataset would take, and how likely a box is blank, before anything is fetched."""

import math
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from em_assets.datasets import Dataset
from em_assets.keeping import bring
from em_assets.model import ZYX, RawFile, RemoteFile, Source
from em_assets.retention import is_dropped
from em_assets.sample import serving
from em_assets.settings import Settings
from em_assets.sources import observe, read_fingerprint, read_manifest, source_prefixes
from em_assets.sources.boxes import Boxes, cutout_shape
from em_assets.sources.cutout import is_held
from em_assets.sources.in_place import is_in_place, too_large
from em_assets.sources.job import is_whole
from em_assets.sources.manifest import FILES, Journal
from em_assets.sources.origins import Origin
from em_assets.sources.remote_metadata import documents_of
from em_assets.sources.remote_volume import absence_in_words, open_remote
from em_assets.sources.siblings import newer_version
from em_assets.sources.wire import Patience


@dataclass(frozen=True)
class SourcePlan:
    """What one source would take.

    Attributes
    ----------
    how
        `fetched`, `referenced` where it lies, or `cut` out of a remote volume.
    objects, bytes
        Files and their sizes as listed; of a box the chunks that it touches and their voxels, which is more than their
        compressed bytes.
    objects_to_fetch, bytes_to_fetch
        What of it is not held yet.
    room_bytes
        What it takes on the store's disk: of a box its voxels, of which no more than these are written.
    n_unknown_sizes
        Files of which nobody says the size: they are not in the bytes.
    start_zyx, blank_risk
        Of a box: where it would begin, and the share of boxes of its shape that a coarse level shows to be blank (for a
        given start 0 or 1); None where no coarse level shows anything of it.
    newer_version
        A sibling of the source with a higher version number.
    refused
        Why it would be refused; None where it would not.
    """

    source: str
    how: str
    objects: int
    bytes: int
    objects_to_fetch: int
    bytes_to_fetch: int
    room_bytes: int
    n_unknown_sizes: int
    start_zyx: ZYX | None = None
    blank_risk: float | None = None
    newer_version: str | None = None
    refused: str | None = None


@dataclass(frozen=True)
class Plan:
    """What a dataset would take, source by source, and the room that there is for it."""

    dataset: str
    sources: tuple[SourcePlan, ...]
    free_bytes: int
    store: str

    @property
    def objects_to_fetch(self) -> int:
        """Objects that are not held yet."""
        return sum(source.objects_to_fetch for source in self.sources)

    @property
    def bytes_to_fetch(self) -> int:
        """Bytes that are not held yet."""
        return sum(source.bytes_to_fetch for source in self.sources)

    @property
    def room_bytes(self) -> int:
        """Bytes that the store's disk must have room for."""
        return sum(source.room_bytes for source in self.sources)

    @property
    def obstacles(self) -> list[str]:
        """Why it cannot be carried out, in words; none where it can."""
        refused = [source.refused for source in self.sources if source.refused]
        if self.room_bytes > self.free_bytes:
            refused.append(
                f"{self.store}: room for {self.room_bytes:,} bytes needed, {self.free_bytes:,} free; make room, or "
                "name another folder in EM_ASSETS_STORE"
            )
        return refused

    def document(self) -> dict[str, object]:
        """The plan as JSON prints it."""
        return {
            **asdict(self),
            "objects_to_fetch": self.objects_to_fetch,
            "bytes_to_fetch": self.bytes_to_fetch,
            "room_bytes": self.room_bytes,
            "obstacles": self.obstacles,
        }


def plan(dataset: Dataset, settings: Settings) -> Plan:
    """Look at every source of a dataset; nothing is downloaded but listings, metadata and a coarse level of a box.

    Raises
    ------
    SourceError
        A source does not answer, or not with what is expected.
    """
    bring(settings, dataset.name)
    raw_dir, patience = settings.raw_dir(dataset.name), Patience.within_limits(settings.transfer)
    with serving(settings) as origin:
        fingerprint, listed = observe(dataset.sources, origin, patience=patience)
        # Dropped bytes of another version than the source has now would be fetched.
        has_dropped = is_dropped(dataset, settings) and read_fingerprint(raw_dir) == fingerprint
        held = () if has_dropped else (*(read_manifest(raw_dir) or ()), *Journal(raw_dir).read())
        sources = tuple(
            _planned(
                source,
                prefix,
                origin,
                patience,
                [remote for at, remote in listed if at == index],
                {row.path: row for row in held},
                raw_dir / FILES,
                is_dropped=has_dropped,
            )
            for index, (source, prefix) in enumerate(
                zip(dataset.sources, source_prefixes(dataset.sources), strict=True)
            )
        )
    return Plan(dataset.name, sources, _free_bytes(settings.store), settings.address)


def _planned(
    source: Source,
    prefix: str,
    origin: Origin,
    patience: Patience,
    remotes: Sequence[RemoteFile],
    held: dict[str, RawFile],
    files_dir: Path,
    *,
    is_dropped: bool,
) -> SourcePlan:
    newer = newer_version(source.url, origin, patience)
    newer_url = newer.newer_url if newer else None
    missing = [] if is_dropped else [remote for remote in remotes if not _is_held(remote, held, files_dir)]
    if source.kind == "cutout":
        needs_box = not is_dropped and (bool(missing) or not is_held(prefix, remotes, held, files_dir))
        return _planned_box(source, origin, patience, remotes, newer_url, needs_box=needs_box)
    size_bytes = sum(remote.size_bytes or 0 for remote in remotes)
    how = "referenced" if is_in_place(source) else "fetched"
    bytes_to_fetch = sum(remote.size_bytes or 0 for remote in missing) if how == "fetched" else 0
    return SourcePlan(
        source=source.url,
        how=how,
        objects=len(remotes),
        bytes=size_bytes,
        objects_to_fetch=len(missing) if how == "fetched" else 0,
        bytes_to_fetch=bytes_to_fetch,
        room_bytes=bytes_to_fetch,
        n_unknown_sizes=sum(remote.size_bytes is None for remote in remotes),
        newer_version=newer_url,
        refused=_refused(source, size_bytes) if how == "fetched" else too_large(source, remotes),
    )


def _planned_box(
    source: Source,
    origin: Origin,
    patience: Patience,
    remotes: Sequence[RemoteFile],
    newer_url: str | None,
    *,
    needs_box: bool,
) -> SourcePlan:
    volume = open_remote(source, origin, documents_of(source.url, origin, patience))
    shape = cutout_shape(source, origin)
    boxes = Boxes(source, volume, shape)
    with absence_in_words(source):
        start = next(boxes.starts(), None)
        risk = _given_risk(boxes, start) if start and source.start_zyx else boxes.share_blank()
    n_chunks, chunk_bytes = _touched(start or (0, 0, 0), shape, volume.levels[0].chunk_shape_zyx or shape)
    box_bytes = math.prod(shape) * volume.dtype.itemsize
    refused = _refused(source, box_bytes)
    if start is None:
        refused = f"{source.url}: every box that the seed draws is blank, and so is the coarsest level"
    objects, size_bytes = n_chunks + len(remotes), chunk_bytes * volume.dtype.itemsize
    return SourcePlan(
        source=source.url,
        how="cut",
        objects=objects,
        bytes=size_bytes,
        objects_to_fetch=objects if needs_box else 0,
        bytes_to_fetch=size_bytes if needs_box else 0,
        room_bytes=box_bytes if needs_box else 0,
        n_unknown_sizes=0,
        start_zyx=start,
        blank_risk=risk,
        newer_version=newer_url,
        refused=refused,
    )


def _given_risk(boxes: Boxes, start: ZYX) -> float | None:
    is_blank = boxes.is_blank_in_coarse(start)
    return None if is_blank is None else float(is_blank)


def _is_held(remote: RemoteFile, held: dict[str, RawFile], files_dir: Path) -> bool:
    row = held.get(remote.path)
    is_same = row is not None and row.validator == remote.validator and remote.size_bytes in (None, row.size_bytes)
    return is_same and row is not None and is_whole(files_dir, row)


def _touched(start: ZYX, shape: ZYX, chunk: ZYX) -> tuple[int, int]:
    """How many chunks a box touches, and how many voxels these hold."""
    counts = [
        -(-(begin + extent) // edge) - begin // edge for begin, extent, edge in zip(start, shape, chunk, strict=True)
    ]
    return math.prod(counts), math.prod(counts) * math.prod(chunk)


def _refused(source: Source, size_bytes: int) -> str | None:
    if size_bytes <= source.max_bytes:
        return None
    return f"{source.url}: {size_bytes:,} bytes, more than max_bytes = {source.max_bytes:,}"


def _free_bytes(store: Path) -> int:
    """Room on the store's disk, also where the store is not there yet."""
    return shutil.disk_usage(next(place for place in (store, *store.parents) if place.exists())).free
