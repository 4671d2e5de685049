"""What the store itself tells of a volume, without the history of any Dagster instance.

They have the names of the asset checks that ask the same. Those that read sources, or many voxels, run in Dagster
alone; `FOR_DAGSTER` says which.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod

from em_assets import checking, inspecting
from em_assets.errors import EMAssetsError, StoreError
from em_assets.inspecting import Seen
from em_assets.model import VolumeRecord
from em_assets.page.reading import Holding, in_words
from em_assets.settings import Settings
from em_assets.volumes.quality import why_blank
from em_assets.volumes.store import CommittedVolume

MOST_CHUNKS = 1_000_000
"""Rows of a block index that are read for a page: 8 TB of bytes in chunks of 64 voxels' side have 30 million."""

MOST_FILES = 100_000
"""Files of a volume that are looked at for a page; of one with more, those of metadata alone."""

FOR_DAGSTER = "the files' digests, pixels against their source, grey levels, slices, polarity, twins, newer versions"


WHOLE = "every file of the volume is there with its size"


@dataclass(frozen=True)
class Check:
    """One question, what it promises, and what was found against it, in words; nothing for nothing."""

    name: str
    promise: str
    found: tuple[str, ...]

    @property
    def is_passed(self) -> bool:
        """Whether nothing was found."""
        return not self.found


def checks_of_dataset(holding: Holding, settings: Settings) -> dict[str, list[Check]]:
    """Volume → what its record was asked: rules of physics, and claims that nobody can read."""
    if not holding.records:
        return {}
    implausible = checking.implausible_volumes(holding.dataset, settings)
    unreadable = checking.unreadable_claims(holding.dataset, settings)
    return {
        record.volume: [
            *_of_record(record),
            Check(
                "plausible",
                "no rule of physics or craft is broken",
                tuple(f"{one.found}: {one.reason}" for one in implausible if one.volume == record.volume),
            ),
            Check("claims_readable", "every claim's unit, date and number can be read", tuple(unreadable)),
        ]
        for record in holding.records
    }


def checks_of_volume(
    name: str, committed: CommittedVolume | str | None, record: VolumeRecord, settings: Settings
) -> Iterator[Check]:
    """What its commit, its ledger and its block index say."""
    if not isinstance(committed, CommittedVolume):
        yield Check("volume_whole", WHOLE, (committed or "not written yet",))
        return
    yield _whole(committed, settings)
    blank = why_blank(committed.commit.statistics)
    yield Check("volume_not_blank", "the volume has a picture in it", (blank,) if blank else ())
    chunks = zip(committed.commit.shape_zyx, committed.commit.chunk_shape, strict=True)
    if prod(-(-side // chunk) for side, chunk in chunks) <= MOST_CHUNKS:
        yield Check(
            "volume_well_filled",
            "at least half of the voxels show something",
            tuple(_thin(Seen(name, committed, record), settings)),
        )


def _of_record(record: VolumeRecord) -> Iterator[Check]:
    unknown = [axis for axis, size in zip("zyx", record.voxel_size_zyx_nm, strict=True) if size is None]
    found = (f"unknown along {', '.join(unknown)}; say it in the dataset's TOML, with its source",) if unknown else ()
    yield Check("voxel_size_known", "somebody witnessed the voxel size on all axes", found)
    found = () if record.licence else ("unknown; ask the publisher before you pass the data on",)
    yield Check("licence_known", "somebody said under which licence the data may be used", found)


def _whole(committed: CommittedVolume, settings: Settings) -> Check:
    n_files = committed.commit.n_files
    if n_files > MOST_FILES:  # `resolve`, which found the volume, has looked at these
        promise = f"metadata and ledger of the volume are there; its {n_files:,} files were not looked at for this page"
        return Check("volume_whole", promise, ())
    return Check("volume_whole", WHOLE, tuple(_losses(committed, settings)))


def _losses(committed: CommittedVolume, settings: Settings) -> Iterator[str]:
    try:
        problem = committed.ledger().first_problem(committed.path)
    except (EMAssetsError, OSError) as error:
        problem = str(error)
    if problem:
        yield in_words(StoreError(problem), settings)


def _thin(volume: Seen, settings: Settings) -> Sequence[str]:
    try:
        return inspecting.near_blank([volume]).found
    except (EMAssetsError, OSError) as error:
        return [in_words(error, settings)]
