"""A dataset as those who cite it need it: who made what, when, where it is, under which licence."""

from collections.abc import Sequence
from dataclasses import dataclass

from em_assets.layouts.held import Held
from em_assets.layouts.licences import Licences, licences_of
from em_assets.layouts.people import People, people_of
from em_assets.model import VolumeRecord
from em_assets.settings import SAMPLE

MADE_UP = "Made up: the sample origin of em_assets wrote the voxels. They are not the published data."


@dataclass(frozen=True)
class Work:
    """One dataset to be cited; what nobody says is None or empty.

    Attributes
    ----------
    released_on
        ISO 8601.
    url
        A page about it.
    citations
        How its publishers want it to be cited, in their own words.
    is_made_up
        It comes from the sample origin.
    """

    dataset: str
    title: str
    description: str | None
    people: People
    released_on: str | None
    doi: str | None
    url: str | None
    licences: Licences
    citations: tuple[str, ...]
    is_made_up: bool

    @property
    def year(self) -> str | None:
        """Year of its release."""
        return self.released_on[:4] if self.released_on else None

    @property
    def remarks(self) -> tuple[str, ...]:
        """What whoever cites it must see: sentences."""
        made_up = (MADE_UP,) if self.is_made_up else ()
        cite_as = (f"Cite as: {citation.rstrip('.')}." for citation in self.citations)
        return (*made_up, *cite_as, *((self.licences.in_words,) if self.licences.needs_words else ()))


def work_of(held: Held) -> Work:
    """The dataset as its records and its TOML file describe it; EM goes before labels made of it."""
    records = sorted(held.records, key=lambda record: record.content == "labels")
    citation = held.dataset.citation
    return Work(
        dataset=held.name,
        title=first_said(records, "title") or held.dataset.title,
        description=first_said(records, "description"),
        people=people_of(said(records, "authors"), citation),
        released_on=first_said(records, "released_on"),
        doi=first_said(records, "doi"),
        url=_page(held),
        licences=licences_of(held.records),
        citations=said(records, "citation") or ((citation,) if citation else ()),
        is_made_up=held.settings.origin == SAMPLE,
    )


def said(records: Sequence[VolumeRecord], field: str) -> tuple[str, ...]:
    """What the records say of a field, each value once, in their order."""
    return tuple(dict.fromkeys(value for record in records if (value := getattr(record, field)) is not None))


def first_said(records: Sequence[VolumeRecord], field: str) -> str | None:
    """What the first record that says anything says."""
    return next(iter(said(records, field)), None)


def _page(held: Held) -> str | None:
    addresses = (*held.dataset.links, *(source.url for source in held.dataset.sources))
    return next((url for url in addresses if url.startswith(("https://", "http://", "ftp://"))), None)
