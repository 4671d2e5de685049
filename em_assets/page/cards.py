"""A volume as its card shows it: what the store and the record hold of it, put together and ready to be found."""

import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath

from em_assets.datasets import Dataset
from em_assets.errors import EMAssetsError
from em_assets.layouts.held import Held
from em_assets.layouts.works import work_of
from em_assets.model import VolumeRecord
from em_assets.page.checks import Check, checks_of_volume
from em_assets.page.citing import Citation, citation_of
from em_assets.page.facts import Fact, facts_of
from em_assets.page.reading import Holding, in_words
from em_assets.page.snippets import Snippet, snippets
from em_assets.page.witnesses import Other, Said, said_of
from em_assets.settings import PUBLIC, SAMPLE, Settings
from em_assets.sources.origins import url_scheme
from em_assets.volumes.preview import Thumbnail, thumbnail_of
from em_assets.volumes.reading import open_committed
from em_assets.volumes.store import CommittedVolume

ORIGINS = {SAMPLE: "sample: made-up pixels", PUBLIC: "public archive"}
OWN_FILES = "files of this machine"


@dataclass(frozen=True)
class Card:
    """One volume.

    Attributes
    ----------
    picture, no_picture
        The thumbnail, or why there is none.
    facts
        What is shown first.
    known, unknown
        The whole record, in its own order.
    search
        What a search looks in: small letters without accents.
    voxel_nm
        Shortest and longest side of the voxel; None where any side is unknown.
    states
        What it can be filtered by: `disputed`, `unsettled`, `found`, …
    """

    dataset: str
    volume: str
    title: str
    content: str | None
    labels_of: str | None
    origin: str
    is_made_up: bool
    picture: Thumbnail | None
    no_picture: str
    facts: tuple[Fact, ...]
    known: tuple[Said, ...]
    unknown: tuple[Said, ...]
    conflicts: tuple[Other, ...]
    checks: tuple[Check, ...]
    snippets: tuple[Snippet, ...]
    citation: Citation
    links: tuple[str, ...]
    technique: str | None
    organism: str | None
    voxel_nm: tuple[float, float] | None
    n_bytes: int
    states: tuple[str, ...]
    search: str

    @property
    def anchor(self) -> str:
        """Its place in the page."""
        return f"{self.dataset}/{self.volume}"

    @property
    def n_unsettled(self) -> int:
        """Conflicts that no rule decides."""
        return sum(not conflict.is_settled for conflict in self.conflicts)

    @property
    def n_found(self) -> int:
        """Checks that found something."""
        return sum(not check.is_passed for check in self.checks)


def cards_of(
    holding: Holding, settings: Settings, checks: Mapping[str, Sequence[Check]], pictures: Mapping[str, Thumbnail | str]
) -> Iterator[Card]:
    """A card for each volume of the record, in the order of their names.

    `checks` are those of the record; `pictures` have the thumbnail, or why there is none, of each volume.
    """
    citation = citation_of(work_of(Held(holding.dataset, settings, holding.records)))
    for record in holding.records:
        yield _card(record, holding, settings, citation, checks.get(record.volume, ()), pictures.get(record.volume))


def name_of(origin: str) -> str:
    """The origin in words; of a mirror the folder's name alone, since where it lies is this machine's business."""
    return ORIGINS.get(origin, f"mirror {PurePath(origin).name}")


def origin_of(dataset: Dataset, origin: str) -> str:
    """Where a dataset's files came from, in words: a facility's own lie in no archive, whatever its neighbours do."""
    is_own = all(url_scheme(source.url) == "file" for source in dataset.sources)
    return OWN_FILES if origin == PUBLIC and is_own else name_of(origin)


def picture_of(committed: CommittedVolume, most_bytes: int, settings: Settings) -> Thumbnail | str:
    """The thumbnail of a committed volume, or why it cannot be drawn."""
    try:
        return thumbnail_of(open_committed(committed), content=committed.commit.content, most_bytes=most_bytes)
    except (EMAssetsError, OSError, MemoryError) as error:
        return in_words(error, settings)


def searchable(texts: Iterable[object]) -> str:
    """Texts as a search compares them: small letters, accents left out, one space between words."""
    joined = " ".join(str(text) for text in texts if text is not None)
    letters = (letter for letter in unicodedata.normalize("NFKD", joined) if not unicodedata.combining(letter))
    return " ".join("".join(letters).lower().split())


def _card(
    record: VolumeRecord,
    holding: Holding,
    settings: Settings,
    citation: Citation,
    checks: Sequence[Check],
    picture: Thumbnail | str | None,
) -> Card:
    dataset, volume = holding.dataset, record.volume
    committed = holding.committed.get(volume)
    said = {one.field: one for one in said_of(holding, volume)}
    conflicts = tuple(other for one in said.values() for other in one.others)
    all_checks = (*checks, *checks_of_volume(volume, committed, record, settings))
    sizes = [size for size in record.voxel_size_zyx_nm if size is not None]
    return Card(
        dataset=dataset.name,
        volume=volume,
        title=record.title or dataset.title,
        content=record.content,
        labels_of=record.labels_of,
        origin=origin_of(dataset, record.origin),
        is_made_up=record.origin == SAMPLE,
        picture=picture if isinstance(picture, Thumbnail) else None,
        no_picture=_no_picture(picture, committed, dataset.name),
        facts=tuple(facts_of(record, said, committed)),
        known=tuple(one for one in said.values() if not one.is_unknown),
        unknown=tuple(one for one in said.values() if one.is_unknown),
        conflicts=conflicts,
        checks=all_checks,
        snippets=_snippets(record, holding, committed, settings) if isinstance(committed, CommittedVolume) else (),
        citation=citation,
        links=tuple(dict.fromkeys((*dataset.links, *(source.url for source in dataset.sources)))),
        technique=record.technique,
        organism=record.organism,
        voxel_nm=(min(sizes), max(sizes)) if len(sizes) == len("zyx") else None,
        n_bytes=record.source_bytes or 0,
        states=tuple(_states(record, conflicts, all_checks, is_written=isinstance(committed, CommittedVolume))),
        search=searchable(
            (
                *(dataset.name, volume, record.title, dataset.title, record.technique, record.organism),
                *(record.organism_taxon, record.sample, record.sample_type, record.content, record.instrument),
                *(record.licence, record.doi, record.authors, record.citation, record.description, record.dtype),
            )
        ),
    )


def _no_picture(picture: Thumbnail | str | None, committed: CommittedVolume | str | None, dataset: str) -> str:
    if isinstance(picture, str):
        return picture
    return committed if isinstance(committed, str) else f"not written yet: em-assets fetch {dataset}"


def _snippets(
    record: VolumeRecord, holding: Holding, committed: CommittedVolume, settings: Settings
) -> tuple[Snippet, ...]:
    place = f"volumes/{holding.dataset.name}/{record.volume}/{committed.commit.generation}"
    return snippets(
        holding.dataset.name,
        committed,
        is_only=len(holding.records) == 1,
        place=f"{settings.remote}/{place}" if settings.remote else place,
    )


def _states(
    record: VolumeRecord, conflicts: Sequence[Other], checks: Sequence[Check], *, is_written: bool
) -> Iterator[str]:
    holds = {
        "disputed": bool(conflicts),
        "unsettled": any(not conflict.is_settled for conflict in conflicts),
        "found": any(not check.is_passed for check in checks),
        "unlicensed": record.licence is None,
        "unscaled": None in record.voxel_size_zyx_nm,
        "unwritten": not is_written,
    }
    yield from (state for state, is_so in holds.items() if is_so)
