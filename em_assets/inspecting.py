"""What a dataset's committed volumes look like, as findings in words: worth a look each, and no reason to stop.

The block index says where there is something to see; a few chunks of each volume, drawn by a seed, are read.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from statistics import median
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from em_assets.building import raw_volumes
from em_assets.catalog.schemas import RECORD
from em_assets.catalog.tables import read_table, records_of_table
from em_assets.datasets import Dataset
from em_assets.errors import StoreError
from em_assets.formats.volume import SourceVolume
from em_assets.model import ZYX, VolumeRecord
from em_assets.retention import NOT_LOOKED_AT, is_dropped
from em_assets.settings import Settings
from em_assets.volumes import twins
from em_assets.volumes.placeholders import blank_levels
from em_assets.volumes.polarity import DECIDED, can_be_told, membrane_contrast, polarity_of
from em_assets.volumes.quality import (
    MOST_CLIPPED,
    Blocks,
    clipped_fraction,
    is_piecewise_constant,
    repeated_slices,
    why_near_blank,
)
from em_assets.volumes.reading import open_committed
from em_assets.volumes.store import CommittedVolume, committed_volumes

N_CHUNKS = 8
"""Chunks of each volume whose voxels are looked at."""

N_COLUMNS = 4
"""Columns of chunks, from the first slice to the last, that are compared slice by slice."""

TWIN_SIDE = 16
MOST_NAMED = 5


class Judgement(NamedTuple):
    """What one question found, in words, and what it says where it found nothing."""

    found: list[str]
    good: str


@dataclass(frozen=True)
class Seen:
    """A committed volume with its record and what was read of it; everything is read once, when it is first asked."""

    name: str
    committed: CommittedVolume
    record: VolumeRecord | None
    seed: int = 0

    @cached_property
    def source(self) -> SourceVolume:
        """The volume for reading; what its ledger names and is not there is an error."""
        return open_committed(self.committed)

    @cached_property
    def blocks(self) -> Blocks:
        """Its block index."""
        return Blocks.of(self.committed.block_index())

    @cached_property
    def chunks(self) -> list[NDArray[Any]]:
        """Voxels of some chunks that show something."""
        boxes = (self.box(index) for index in self.blocks.textured(N_CHUNKS, self.seed))
        return [self.source.read(*box) for box in boxes]

    @property
    def is_labels(self) -> bool:
        """Whether its voxels name things instead of showing them."""
        return self.committed.commit.content == "labels"

    def box(self, index_zyx: ZYX) -> twins.Box:
        """Start and shape of a chunk, cut at the volume's end."""
        commit = self.committed.commit
        sides = list(zip(index_zyx, commit.chunk_shape, commit.shape_zyx, strict=True))
        return (
            _zyx([at * chunk for at, chunk, _ in sides]),
            _zyx([min(chunk, size - at * chunk) for at, chunk, size in sides]),
        )


def seen_volumes(dataset: Dataset, settings: Settings, seed: int = 0) -> list[Seen]:
    """The dataset's committed volumes, by name."""
    table = read_table(settings.metadata_dir(dataset.name) / "record.parquet", RECORD)
    records = {record.volume: record for record in records_of_table(table)}
    committed = committed_volumes(settings.volumes_dir(dataset.name))
    return [Seen(name, volume, records.get(name), seed) for name, volume in committed.items()]


def near_blank(volumes: Sequence[Seen]) -> Judgement:
    """Volumes that show very little; those that show nothing at all have a check of their own."""

    def why(volume: Seen) -> str | None:
        commit = volume.committed.commit
        return why_near_blank(
            volume.blocks.picture_fraction(), commit.statistics, np.dtype(commit.dtype), commit.content
        )

    shown = ", ".join(f"{volume.name} {volume.blocks.picture_fraction():.0%}" for volume in volumes)
    return Judgement(_reasons(volumes, why, "take another crop, or expect blocks without a picture"), f"shown: {shown}")


def saturated(volumes: Sequence[Seen]) -> Judgement:
    """Volumes in which many voxels were cut off at the darkest or the brightest value."""

    def why(volume: Seen) -> str | None:
        low, high = volume.committed.commit.statistics.min, volume.committed.commit.statistics.max
        if volume.is_labels or low is None or high is None or not volume.chunks:
            return None
        ends = ((float(low), False), (float(high), True))
        shares = [(end, clipped_fraction(volume.chunks, end, is_top=is_top)) for end, is_top in ends]
        clipped = [f"{share:.1%} of them are {end:g}" for end, share in shares if share > MOST_CLIPPED]
        return f"of the voxels in {len(volume.chunks)} chunks {' and '.join(clipped)}" if clipped else None

    todo = "grey levels were cut off there; take the archive's original where it has one"
    return Judgement(_reasons(volumes, why, todo), "neither end of the scale is cut off")


def repeated(volumes: Sequence[Seen]) -> Judgement:
    """Slices that hold the same picture as an earlier slice, in the columns of chunks that show most."""

    def why(volume: Seen) -> str | None:
        if volume.is_labels or volume.committed.commit.shape_zyx[0] < 2:
            return None
        pairs = repeated_slices(_marks(volume))
        if not pairs:
            return None
        named = ", ".join(f"{slice_} = {earlier}" for slice_, earlier in pairs[:MOST_NAMED])
        more = f" and {len(pairs) - MOST_NAMED} more" if len(pairs) > MOST_NAMED else ""
        return f"{len(pairs)} of {volume.committed.commit.shape_zyx[0]} slices repeat an earlier one: {named}{more}"

    todo = "a slice was filled in or exported twice: counted from 0, ask who made the stack"
    return Judgement(_reasons(volumes, why, todo), "no two slices are alike")


def mistaken_content(volumes: Sequence[Seen]) -> Judgement:
    """EM that looks like labels, and labels that look like EM."""

    def why(volume: Seen) -> str | None:
        if not volume.chunks:
            return None
        looks_like_labels = is_piecewise_constant(volume.chunks)
        if looks_like_labels and volume.committed.commit.content == "em":
            return "said to be em, and nearly every voxel equals its neighbour, as in labels or a mask"
        dtype = np.dtype(volume.committed.commit.dtype)
        if volume.is_labels and not looks_like_labels and (dtype.kind == "f" or _is_grey(volume.chunks)):
            return "said to be labels, and its voxels change from one to the next, as grey values do"
        return None

    return Judgement(_reasons(volumes, why, "mend `content`, or the source's `url`"), "volumes look like their content")


def polarity(volumes: Sequence[Seen]) -> Judgement:
    """Membranes that are bright where nobody, or the opposite, was said."""
    em = [volume for volume in volumes if volume.committed.commit.content == "em"]
    measured = {volume.name: _measured_polarity(volume) for volume in em}

    def why(volume: Seen) -> str | None:
        index = measured.get(volume.name)
        if index is None or abs(index) < DECIDED:
            return None
        looks = "dark membranes" if index > 0 else "bright membranes"
        said = volume.record.contrast_polarity if volume.record else None
        if said is not None and said != looks:
            return f"{said} by its record, and its membranes look {looks.split()[0]} ({index:+.2f} of ±1)"
        if said is None and index < 0:
            return f"its membranes look bright ({index:+.2f} of ±1), the inverse of most EM, and nobody says so"
        return None

    told = ", ".join(f"{name} {_in_words(index)}" for name, index in measured.items()) or "no EM"
    return Judgement(_reasons(volumes, why, "state `contrast_polarity`; invert before you mix it with others"), told)


def alike(volumes: Sequence[Seen], others: Iterable[tuple[str, CommittedVolume]]) -> Judgement:
    """Volumes that hold the voxels of another one of the store, in whatever order of axes.

    `others` are volumes of other datasets with the names that people know them by.
    """
    strangers = [(name, volume, _fingerprint(volume)) for name, volume in others]
    found = []
    for number, volume in enumerate(volumes):
        own = _fingerprint(volume.committed)
        candidates = [(one.name, one.committed, _fingerprint(one.committed)) for one in volumes[:number]] + strangers
        for name, other, print_ in candidates:
            how = _orientation(volume, other) if own.may_equal(print_) else None
            if how:
                found.append(
                    f"{volume.name}: {how} {name}: one specimen twice; do not train on one and test on the other"
                )
    return Judgement(found, "no volume is another one of this store")


def other_volumes(
    dataset: Dataset, datasets: Iterable[str], settings: Settings
) -> Iterator[tuple[str, CommittedVolume]]:
    """The committed volumes of all other datasets, each with the name that people know it by."""
    for other in sorted({*datasets} - {dataset.name}):
        try:
            committed = committed_volumes(settings.volumes_dir(other))
        except StoreError:  # a damaged volume: its own dataset's checks say so
            continue
        yield from ((f"{other}/{name}", volume) for name, volume in committed.items())


def placeholder_levels(dataset: Dataset, settings: Settings) -> Judgement:
    """Levels of a source that are blank where its other levels show something: announced and never filled."""
    if is_dropped(dataset, settings):
        return Judgement([], NOT_LOOKED_AT)
    found = []
    for raw in raw_volumes(dataset, settings):
        blank = blank_levels(raw.source)
        if blank:
            levels = ", ".join(map(str, blank))
            found.append(
                f"{raw.name}: level {levels} of the source (0 is the finest) is blank where another shows something: a "
                "placeholder; name a level that is filled, or ask the archive"
            )
    return Judgement(found, "every level of the sources shows what the others show")


def _reasons(volumes: Sequence[Seen], why: Callable[[Seen], str | None], todo: str) -> list[str]:
    return [f"{volume.name}: {reason}; {todo}" for volume in volumes if (reason := why(volume))]


def _marks(volume: Seen) -> list[tuple[bytes | None, ...]]:
    """For each slice the digest of its piece in each of the busiest columns; None for a piece of one value."""
    columns = volume.blocks.busiest_columns(N_COLUMNS)
    return list(zip(*(list(_digests(volume, y, x)) for y, x in columns), strict=True))


def _digests(volume: Seen, y: int, x: int) -> Iterator[bytes | None]:
    depth = volume.committed.commit.chunk_shape[0]
    for z in range(-(-volume.committed.commit.shape_zyx[0] // depth)):
        for piece in volume.source.read(*volume.box((z, y, x))):
            shows = piece.min() < piece.max()
            yield blake2b(np.ascontiguousarray(piece).data, digest_size=16).digest() if shows else None


def _is_grey(chunks: Sequence[NDArray[Any]]) -> bool:
    """Whether hardly any two neighbours are equal."""
    equal = [float(np.mean(chunk[:, :, 1:] == chunk[:, :, :-1])) for chunk in chunks if chunk.shape[2] > 1]
    return bool(equal) and median(equal) < 0.5


def _measured_polarity(volume: Seen) -> float | None:
    commit = volume.committed.commit
    if not can_be_told(commit.voxel_size_zyx_nm):
        return None
    return polarity_of([found for chunk in volume.chunks if (found := membrane_contrast(chunk)) is not None])


def _in_words(index: float | None) -> str:
    if index is None:
        return "not told (coarse, anisotropic or small)"
    looks = "undecided" if abs(index) < DECIDED else "dark membranes" if index > 0 else "bright membranes"
    return f"{looks} ({index:+.2f})"


def _fingerprint(volume: CommittedVolume) -> twins.Fingerprint:
    commit = volume.commit
    return twins.fingerprint(commit.shape_zyx, commit.dtype, commit.statistics)


def _orientation(volume: Seen, other: CommittedVolume) -> twins.Orientation | None:
    boxes = [_inner(volume.box(index)) for index in volume.blocks.textured(N_COLUMNS, volume.seed)]
    if not boxes:  # nothing that could tell it from another
        return None
    try:
        return twins.orientation(volume.source, open_committed(other), boxes)
    except StoreError:  # the other one is damaged: its own checks say so
        return None


def _inner(box: twins.Box) -> twins.Box:
    return box[0], _zyx([min(size, TWIN_SIDE) for size in box[1]])


def _zyx(values: Sequence[int]) -> ZYX:
    z, y, x = (int(value) for value in values)
    return (z, y, x)
