"""CITATION.cff and BibTeX: names in their parts, nothing made up, the unknown said."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from holding import HELD

from em_assets import layouts
from em_assets.layouts.bibtex import bibtex
from em_assets.layouts.citation import cff_document
from em_assets.layouts.interface import Exported
from em_assets.layouts.licences import Licences
from em_assets.layouts.people import People, Person, cited_people, people_of, person_of
from em_assets.layouts.works import Work
from em_assets.settings import Settings


@pytest.fixture(scope="module")
def exported(held_settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    (done,) = layouts.export(HELD, held_settings, "citation", tmp_path_factory.mktemp("citation"))
    return done


@pytest.fixture(scope="module")
def cff(exported: Exported) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((Path(exported.dest) / "CITATION.cff").read_text())
    return document


@pytest.fixture(scope="module")
def bib(exported: Exported) -> str:
    return (Path(exported.dest) / "citations.bib").read_text()


WORK = Work(
    dataset="retina",
    title="50 % of a retina_1 {EM} & more",
    description="Of a larva",
    people=People((Person("Miron", "E"), Person("FlyEM")), has_others=True),
    released_on="2024-01-15T10:00:00",
    doi="10.6019/EMPIAR-11759",
    url="https://example.org/a_b",
    licences=Licences(("CC0-1.0",), ()),
    citations=(),
    is_made_up=False,
)


@pytest.mark.parametrize(
    ("name", "family", "given"),
    [
        ("Wilsch-Bräuninger M", "Wilsch-Bräuninger", "M"),
        ("de Ornellas S", "de Ornellas", "S"),
        ("Pinto DMS", "Pinto", "DMS"),
        ("L. K. Scheffer", "Scheffer", "L. K."),
        ("J.-P. Sartre", "Sartre", "J.-P."),
        ("Miron, E.", "Miron", "E."),
        ("Irene de Teresa Trueba", "de Teresa Trueba", "Irene"),
        ("Judith B. Zaugg", "Zaugg", "Judith B."),
        ("FlyEM", "FlyEM", None),
    ],
)
def test_a_name_is_taken_apart_however_it_is_written(name: str, family: str, given: str | None) -> None:
    assert person_of(name) == Person(family, given)


@pytest.mark.parametrize(
    ("citation", "families", "has_others"),
    [
        ("A. Lucchi, Y. Li, P. Fua, CVPR 2013", ["Lucchi", "Li", "Fua"], False),
        ("L. K. Scheffer et al., eLife 2020", ["Scheffer"], True),
        ("E. Miron, C. S. Xu, … L. Schermelleh, Science Advances 2020", ["Miron", "Xu", "Schermelleh"], True),
        ("M. Wilsch-Bräuninger and P. Fua, Developing retina, EMPIAR 2024", ["Wilsch-Bräuninger", "Fua"], False),
        ("doi:10.1101/2022.04.12.488077", [], False),
        ("Developing retina in zebrafish", [], False),
        ("E. coli cells under stress, EMPIAR 2024", [], False),
        ("L. van der Berg, S. pombe cells from Volta Phase Plate", ["van der Berg"], False),
    ],
)
def test_a_citation_begins_with_people(citation: str, families: list[str], has_others: bool) -> None:
    people = cited_people(citation)
    assert ([person.family for person in people.persons], people.has_others) == (families, has_others)


def test_authors_that_a_record_names_go_before_a_citation() -> None:
    assert people_of(["Miron E; Xu CS", "Xu CS"], "A. Lucchi, CVPR").persons == (
        Person("Miron", "E"),
        Person("Xu", "CS"),
    )


def test_each_dataset_with_authors_is_a_reference_and_the_others_are_refused(
    cff: dict[str, Any], exported: Exported
) -> None:
    assert cff["cff-version"] == "1.2.0"
    assert len(cff["references"]) == len(HELD) - 1
    assert all(reference["authors"] for reference in cff["references"])
    (refused,) = exported.refused
    assert refused.startswith("visor_bb001: not in CITATION.cff")


def test_the_selection_has_the_authors_of_all_each_once(cff: dict[str, Any]) -> None:
    families = [author["family-names"] for author in cff["authors"]]
    assert {"Lucchi", "Wilsch-Bräuninger", "Schermelleh", "de Teresa Trueba"} <= set(families)
    assert len(cff["authors"]) == len({tuple(author.values()) for author in cff["authors"]})


def test_an_unknown_licence_is_said_and_none_is_put_in_its_place(cff: dict[str, Any], bib: str) -> None:
    by_title = {reference["title"]: reference for reference in cff["references"]}
    assert "license" not in by_title["CA1 hippocampus (EPFL)"]
    assert "Licence unknown" in by_title["CA1 hippocampus (EPFL)"]["notes"]
    assert by_title["S. pombe cells from Volta Phase Plate"]["license"] == "CC0-1.0"
    assert bib.count("Licence unknown") == 3


def test_every_dataset_has_one_bibtex_entry(bib: str) -> None:
    assert re.findall(r"^@misc\{(\w+),$", bib, re.MULTILINE) == sorted(HELD)
    assert "author = {Lucchi, A. and Li, Y. and Fua, P.}" in bib


def test_bibtex_escapes_what_tex_would_read() -> None:
    entry = bibtex([WORK])
    assert r"title  = {{50 \% of a retina\_1 \{EM\} \& more}}" in entry
    assert "author = {Miron, E and {FlyEM} and others}" in entry
    assert ("month  = jan" in entry, "url    = {https://example.org/a_b}" in entry) == (True, True)
    assert re.sub(r"\\[{}]", "", entry).count("{") == re.sub(r"\\[{}]", "", entry).count("}")


def test_a_selection_of_one_is_cited_as_that_dataset() -> None:
    document = cff_document([WORK])
    assert document is not None
    assert (document["title"], document["date-released"], document["license"]) == (
        WORK.title,
        "2024-01-15",
        "CC0-1.0",
    )
    assert document["authors"][1:] == [{"name": "FlyEM"}, {"name": "others"}]
    assert document["abstract"] == "Of a larva"
    assert "references" not in document


def test_nobody_to_cite_is_no_cff_file(held_settings: Settings, tmp_path: Path) -> None:
    (done,) = layouts.export(["visor_bb001"], held_settings, "citation", tmp_path)
    assert done.entries == ("citations.bib",)
