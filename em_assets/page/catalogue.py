"""All that the page shows, as values: cards, the facets to filter by, counts, what is not held and what is damaged."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

from em_assets.datasets import Dataset
from em_assets.errors import EMAssetsError
from em_assets.page.cards import Card, cards_of, name_of, picture_of
from em_assets.page.checks import checks_of_dataset
from em_assets.page.reading import Holding, in_words, read_holding
from em_assets.page.witnesses import Other
from em_assets.settings import SAMPLE, Settings
from em_assets.volumes.preview import Thumbnail
from em_assets.volumes.store import CommittedVolume

PICTURES_BYTES = 24_000_000
"""Of all thumbnails together as they stand in the page, in base64: a page of thousands of volumes has a bound."""

MOST_PICTURE_BYTES = 64_000
LEAST_PICTURE_BYTES = 4_000

READ_AT_ONCE = 4

DAMAGED = (EMAssetsError, OSError, ValueError)
"""What tables and manifests that cannot be read, or say what cannot be, end in."""

STATES = {
    "disputed": "sources disagree",
    "unsettled": "a conflict is open",
    "found": "a check found something",
    "unlicensed": "licence unknown",
    "unscaled": "voxel size unknown",
    "unwritten": "not written",
}


class Choice(NamedTuple):
    """One value of a facet, as people read it, and how many volumes have it; an empty value stands for unknown."""

    value: str
    label: str
    n_volumes: int


class Facet(NamedTuple):
    """What volumes can be filtered by."""

    key: str
    label: str
    choices: tuple[Choice, ...]


class Absent(NamedTuple):
    """A dataset without a card, and what to know or to do about it."""

    name: str
    title: str
    note: str


@dataclass(frozen=True)
class Catalogue:
    """What the page shows.

    Attributes
    ----------
    origin
        Of the store, for people.
    described_later
        Held datasets without a record yet, and those that cannot be read.
    not_held
        Registered datasets that this origin serves and that were not fetched.
    """

    origin: str
    is_made_up: bool
    cards: tuple[Card, ...]
    facets: tuple[Facet, ...]
    n_datasets: int
    n_files: int
    source_bytes: int
    n_tags: int
    described_later: tuple[Absent, ...]
    not_held: tuple[Absent, ...]

    @property
    def first_steps(self) -> str:
        """What to type where nothing is held yet."""
        name = self.not_held[0].name if self.not_held else "DATASET"
        return f"em-assets list\nem-assets fetch {name}\nem-assets catalog --open"

    @property
    def n_conflicts(self) -> int:
        """Of all volumes; one about a whole dataset is on the card of each of its volumes, and counted once."""
        return len(self._conflicts())

    @property
    def n_unsettled(self) -> int:
        """Those of them that no rule decides."""
        return sum(not conflict.is_settled for conflict in self._conflicts())

    def _conflicts(self) -> list[Other]:
        of_volumes = [one for card in self.cards for one in card.conflicts if not one.is_dataset_wide]
        of_datasets = {(card.dataset, one) for card in self.cards for one in card.conflicts if one.is_dataset_wide}
        return of_volumes + [one for _, one in of_datasets]

    @property
    def n_unknown(self) -> int:
        """Fields of all volumes that have no value."""
        return sum(len(card.unknown) for card in self.cards)

    @property
    def n_fields(self) -> int:
        """Fields of all volumes."""
        return self.n_unknown + sum(len(card.known) for card in self.cards)


def catalogue_of(datasets: Mapping[str, Dataset], settings: Settings) -> Catalogue:
    """What the store holds of these datasets. Of each volume three planes of a coarse level are read."""
    held: list[Holding] = []
    later: list[Absent] = []
    missing: list[Absent] = []
    for name in sorted(datasets):
        dataset = datasets[name]
        try:
            holding = read_holding(dataset, settings)
        except DAMAGED as error:
            later.append(_damaged(dataset, error, settings))
            continue
        if holding is None:
            if dataset.is_served_by(settings.origin):
                missing.append(Absent(name, dataset.title, f"em-assets fetch {name}"))
        elif not holding.records:
            later.append(Absent(name, dataset.title, f"no record yet: em-assets fetch {name}"))
        else:
            held.append(holding)
    cards, damaged = _cards(held, settings)
    held = [one for one in held if one.dataset.name not in {absent.name for absent in damaged}]
    return Catalogue(
        origin=" and ".join(sorted({card.origin for card in cards})) or name_of(settings.origin),
        is_made_up=settings.origin == SAMPLE,
        cards=cards,
        facets=_facets(cards),
        n_datasets=len(held),
        n_files=sum(len(one.files) for one in held),
        source_bytes=sum(file.size_bytes for one in held for file in one.files),
        n_tags=sum(one.n_tags for one in held),
        described_later=tuple(sorted(later + damaged)),
        not_held=tuple(missing),
    )


def picture_bytes(n_volumes: int) -> int:
    """What the thumbnail of one of so many volumes may take."""
    most_bytes = PICTURES_BYTES * 3 // 4  # base64 writes three bytes as four letters
    return max(LEAST_PICTURE_BYTES, min(MOST_PICTURE_BYTES, most_bytes // max(1, n_volumes)))


def _damaged(dataset: Dataset, error: Exception, settings: Settings) -> Absent:
    return Absent(dataset.name, dataset.title, in_words(error, settings))


def _cards(held: Sequence[Holding], settings: Settings) -> tuple[tuple[Card, ...], list[Absent]]:
    """The cards; and the datasets that have none, since a table of theirs says what cannot be."""
    volumes = [(one.dataset.name, name, volume) for one in held for name, volume in one.committed.items()]
    most_bytes = picture_bytes(len(volumes))

    def drawn(volume: CommittedVolume | str) -> Thumbnail | str:
        return volume if isinstance(volume, str) else picture_of(volume, most_bytes, settings)

    with ThreadPoolExecutor(READ_AT_ONCE) as pool:  # of a store in a bucket each is several requests
        pictures = list(pool.map(drawn, (volume for _, _, volume in volumes)))
    by_dataset: dict[str, dict[str, Thumbnail | str]] = {}
    for (dataset, name, _), picture in zip(volumes, pictures, strict=True):
        by_dataset.setdefault(dataset, {})[name] = picture
    cards: list[Card] = []
    damaged: list[Absent] = []
    for one in held:
        try:
            checks = checks_of_dataset(one, settings)
            cards += list(cards_of(one, settings, checks, by_dataset.get(one.dataset.name, {})))
        except DAMAGED as error:
            damaged.append(_damaged(one.dataset, error, settings))
    return tuple(cards), damaged


def _facets(cards: Sequence[Card]) -> tuple[Facet, ...]:
    """What at least one volume can be told from another by."""
    states = Counter(state for card in cards for state in card.states)
    facets = (
        Facet("technique", "Technique", _choices(card.technique for card in cards)),
        Facet("organism", "Organism", _choices(card.organism for card in cards)),
        Facet("content", "Content", _choices(card.content for card in cards)),
        Facet(
            "state",
            "Worth a look",
            tuple(Choice(state, label, states[state]) for state, label in STATES.items() if states[state]),
        ),
    )
    return tuple(facet for facet in facets if facet.choices)


def _choices(values: Iterable[str | None]) -> tuple[Choice, ...]:
    """The most frequent first, unknown last."""
    counts = Counter(value or "" for value in values)
    ordered = sorted(counts.items(), key=lambda item: (item[0] == "", -item[1], item[0]))
    return tuple(Choice(value, value or "unknown", count) for value, count in ordered)
