"""How to cite a dataset: as its publisher words it, or from what is known."""

from dataclasses import dataclass

from em_assets.layouts.bibtex import bibtex
from em_assets.layouts.licences import licence_url
from em_assets.layouts.works import Work


@dataclass(frozen=True)
class Citation:
    """How to cite a dataset: in one line, whose words that is, and as BibTeX."""

    text: str
    is_publishers: bool
    bibtex: str
    licence: str | None
    licence_url: str | None
    doi: str | None


def citation_of(work: Work) -> Citation:
    """The citation of a dataset, its licence beside it."""
    known = work.licences.known
    return Citation(
        text="; ".join(work.citations) or _in_one_line(work),
        is_publishers=bool(work.citations),
        bibtex=bibtex([work]).rstrip("\n"),
        licence=", ".join(known) or None,
        licence_url=licence_url(known[0]) if len(known) == 1 else None,
        doi=work.doi,
    )


def _in_one_line(work: Work) -> str:
    """A citation from what is known, for a dataset whose publisher words none."""
    persons = ", ".join(person.in_full for person in work.people.persons)
    others = " et al." if work.people.has_others else ""
    year = f" ({work.year})" if work.year else ""
    where = f"doi:{work.doi}" if work.doi else work.url
    return ". ".join(part for part in (f"{persons}{others}{year}".strip(), work.title.rstrip("."), where) if part)
