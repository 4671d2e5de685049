"""Names of people as records and citations write them, and their parts as others want them."""

import re
from collections.abc import Sequence
from typing import NamedTuple

_INITIALS = re.compile(r"[^\W\d_a-zß-ÿ]{1,4}")
"""`DMS` in `Pinto DMS`."""

_DOTTED = re.compile(r"(?:[^\W\d_]{1,2}\.-?)+")
"""`J.-P.` in `J.-P. Sartre`."""

_LEADING = re.compile(rf"(?:{_DOTTED.pattern}\s*)+")
_PARTICLES = frozenset(
    (
        *("al", "bin", "da", "de", "del", "den", "der", "di", "dos", "du", "el"),
        *("ibn", "la", "le", "ten", "ter", "van", "von", "y", "zu"),
    )
)
_MOST_WORDS = 4
_OTHERS = re.compile(r"\s+et\s+al\b.*|…|\.\.\.")


class Person(NamedTuple):
    """One name: `given` is None where it is a single word, or none of a person."""

    family: str
    given: str | None = None

    @property
    def in_full(self) -> str:
        """Given name first."""
        return f"{self.given} {self.family}" if self.given else self.family


class People(NamedTuple):
    """Names in their order; `has_others` where whoever wrote them down left some out."""

    persons: tuple[Person, ...] = ()
    has_others: bool = False


def people_of(authors: Sequence[str], citation: str | None = None) -> People:
    """The people that a record's `authors` name; where these say nothing, those that a citation begins with."""
    names = [name.strip() for said in authors for name in said.split(";")]
    if any(names):
        return People(tuple(dict.fromkeys(person_of(name) for name in names if name)))
    return cited_people(citation) if citation else People()


def cited_people(citation: str) -> People:
    """The people at the head of a citation: `A. Lucchi, Y. Li, P. Fua, CVPR 2013` has three.

    Only names with initials before them are taken for names; what follows them is a title, a journal or a year.
    """
    persons: list[Person] = []
    has_others = False
    for piece in re.split(r",\s*(?:and\s+)?|\s+and\s+|\s+&\s+", citation):
        name = _OTHERS.sub("", piece).strip()
        is_cut = name != piece.strip()
        has_others = has_others or is_cut
        if name and not _has_initials(name):
            break
        if name:
            persons.append(person_of(name))
    return People(tuple(persons), has_others and bool(persons))


def _has_initials(text: str) -> bool:
    """Whether text is initials and a family name: `L. van der Berg` is, and `E. coli`, which begins a title, is not."""
    found = _LEADING.match(text)
    words = text[found.end() :].split() if found else []
    if not 1 <= len(words) <= _MOST_WORDS or not words[-1][0].isupper():
        return False
    return all(word[0].isupper() or word in _PARTICLES for word in words)


def person_of(name: str) -> Person:
    """One name in its parts, however it is written: `Miron E`, `E. Miron`, `Miron, E.`, `Irene de Teresa Trueba`.

    A particle in small letters begins the family name; without one it is the last word, as BibTeX reads names.
    """
    family, comma, given = (part.strip() for part in name.partition(","))
    if comma and family and given:
        return Person(family, given)
    words = name.replace(",", " ").split()
    if len(words) < 2:
        return Person(name.strip())
    if _INITIALS.fullmatch(words[-1]) and not _INITIALS.fullmatch(words[0]):
        return Person(" ".join(words[:-1]), words[-1])
    starts = (place for place, word in enumerate(words) if place and word[0].islower())
    start = min(next(starts, len(words) - 1), len(words) - 1)
    return Person(" ".join(words[start:]), " ".join(words[:start]))
