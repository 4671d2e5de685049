"""`CITATION.cff` (1.2.0) and `citations.bib` for a selection of datasets.

A selection of one is cited as that dataset; of several each is a reference. Of several the authors are those of all.
CFF demands an author of whatever is cited, so a dataset of which nobody names one is in the BibTeX file alone.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from em_assets.layouts.bibtex import bibtex
from em_assets.layouts.held import Held
from em_assets.layouts.interface import Options, Takes, Written
from em_assets.layouts.licences import licence_url, spdx_identifier
from em_assets.layouts.people import Person
from em_assets.layouts.works import Work, work_of

TAKES: Takes = "many"

CFF, BIB = "CITATION.cff", "citations.bib"
CFF_VERSION = "1.2.0"


def export(held: Sequence[Held], draft: Path, options: Options) -> Written:
    """Write both files at the top of an empty folder."""
    works = [work_of(one) for one in sorted(held, key=lambda one: one.name)]
    (draft / BIB).write_text(bibtex(works), encoding="utf-8")
    document = cff_document([work for work in works if work.people.persons])
    if document:
        (draft / CFF).write_text(_yaml(document), encoding="utf-8")
    refused = [
        f"{work.dataset}: not in {CFF}, which demands authors and nobody names any: add [[says]], "
        'field = "authors" to its TOML'
        for work in works
        if not work.people.persons
    ]
    notes = [note for work in works for note in work.licences.notes]
    return Written(refused=tuple(refused), notes=tuple(notes))


def cff_document(works: Sequence[Work]) -> dict[str, Any] | None:
    """The works, each with an author, as a CFF file has them; None for none."""
    if not works:
        return None
    heading = {"cff-version": CFF_VERSION}
    if len(works) == 1:
        message = " ".join(["If you use these data, please cite them.", *works[0].remarks])
        return heading | {"message": message, "type": "dataset"} | _cited(works[0])
    persons = dict.fromkeys(person for work in works for person in work.people.persons)
    return heading | {
        "message": "If you use these data, please cite each dataset that you used: see the references.",
        "type": "dataset",
        "title": f"A selection of {len(works)} datasets",
        "authors": [_author(person) for person in persons],
        "references": [_reference(work) for work in works],
    }


def _reference(work: Work) -> dict[str, Any]:
    remarks = {"notes": " ".join(work.remarks)} if work.remarks else {}
    return {"type": "data"} | _cited(work) | remarks


def _cited(work: Work) -> dict[str, Any]:
    others = [{"name": "others"}] if work.people.has_others else []
    facts = {
        "title": work.title,
        "abstract": work.description,
        "authors": [*(_author(person) for person in work.people.persons), *others],
        "doi": work.doi if work.doi and re.match(r"10\.\d{4,9}(\.\d+)?/\S+$", work.doi) else None,
        "url": work.url if work.url and work.url.startswith(("https://", "http://", "ftp://")) else None,
        "date-released": _day(work.released_on),
        **_licence(work),
    }
    return {key: value for key, value in facts.items() if value is not None}


def _licence(work: Work) -> dict[str, Any]:
    """What holds for all volumes alone: CFF reads several licences as a choice between them."""
    if len(work.licences.known) != 1 or work.licences.unlicensed:
        return {}
    (licence,) = work.licences.known
    if spdx_identifier(licence):
        return {"license": licence}
    return {"license-url": licence_url(licence)}


def _author(person: Person) -> dict[str, str]:
    if person.given is None:
        return {"name": person.family}
    return {"family-names": person.family, "given-names": person.given}


def _day(date: str | None) -> str | None:
    found = re.match(r"\d{4}-\d{2}-\d{2}", date or "")
    return found[0] if found else None


def _yaml(document: Mapping[str, Any]) -> str:
    import yaml

    return str(yaml.safe_dump(dict(document), sort_keys=False, allow_unicode=True, width=100))
