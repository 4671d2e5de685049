"""Datasets as BibTeX: one `@misc` each, UTF-8, the same text for the same datasets."""

import re
from collections.abc import Iterable

from em_assets.layouts.people import People, Person
from em_assets.layouts.works import Work

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{letter: f"\\{letter}" for letter in "{}%&_#$"},
}
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")


def bibtex(works: Iterable[Work]) -> str:
    """An entry for each work, its key the dataset's name."""
    return "\n".join(_entry(work) for work in works)


def _entry(work: Work) -> str:
    fields = {
        "title": f"{{{{{_text(work.title)}}}}}",  # twice: a style must not make `EM` an `em`
        "author": _braced(_authors(work.people)),
        "year": _braced(work.year),
        "month": _month(work.released_on),
        "doi": _braced(work.doi),
        "url": _braced(work.url),
        "note": _braced(_text(" ".join(work.remarks)) or None),
    }
    known = [f"  {name:<6} = {value}" for name, value in fields.items() if value is not None]
    return f"@misc{{{work.dataset},\n" + ",\n".join(known) + "\n}\n"


def _authors(people: People) -> str | None:
    names = [_name(person) for person in people.persons]
    return " and ".join([*names, *(["others"] if people.has_others else [])]) if names else None


def _name(person: Person) -> str:
    if person.given is None:
        return f"{{{_text(person.family)}}}"  # one word: braces keep BibTeX from taking it apart
    return f"{_text(person.family)}, {_text(person.given)}"


def _month(date: str | None) -> str | None:
    found = re.match(r"\d{4}-(\d{2})", date or "")
    return _MONTHS[int(found[1]) - 1] if found and 1 <= int(found[1]) <= 12 else None


def _braced(text: str | None) -> str | None:
    return None if text is None else f"{{{text}}}"


def _text(text: str) -> str:
    return "".join(_SPECIAL.get(letter, letter) for letter in " ".join(text.split()))
