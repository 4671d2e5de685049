"""No more is read from words, and no more is held against a claim, than is known."""

from typing import Any

import pytest

from em_assets.datasets import Dataset, load
from em_assets.evidence import audit
from em_assets.evidence.vocabulary import CONTENT_TERMS, ORGANISM_TERMS, TECHNIQUE_TERMS, Term, find_term
from em_assets.settings import PUBLIC, Settings


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Dataset]:
    return load(Settings(store=tmp_path_factory.mktemp("store"), origin=PUBLIC))


@pytest.mark.parametrize(
    ("text", "terms", "word"),
    [
        ("Drosophila", ORGANISM_TERMS, "Drosophila melanogaster"),
        ("Drosophila simulans", ORGANISM_TERMS, None),
        ("Drosophila simulans (fruit fly)", ORGANISM_TERMS, None),
        ("Xenopus tropicalis", ORGANISM_TERMS, None),
        ("S. pombe fission yeast", ORGANISM_TERMS, "Schizosaccharomyces pombe"),
        ("adult C. elegans", ORGANISM_TERMS, "Caenorhabditis elegans"),
        ("mouse and zebrafish", ORGANISM_TERMS, None),
        ("Mus musculus (mouse)", ORGANISM_TERMS, "Mus musculus"),
        ("label image", CONTENT_TERMS, "labels"),
        ("fluorescence images", CONTENT_TERMS, "fluorescence"),
        ("images", CONTENT_TERMS, "em"),
        ("cryo electron tomography of a lamella thinned by focused ion beam", TECHNIQUE_TERMS, "cryo-ET"),
        ("scanning transmission electron microscopy", TECHNIQUE_TERMS, "other"),
        ("bright scanning transmission electron microscopy", TECHNIQUE_TERMS, "other"),
        ("Focused Ion Beam Scanning Electron Microscopy (FIB-SEM)", TECHNIQUE_TERMS, "FIB-SEM"),
    ],
)
def test_a_text_means_the_term_that_it_names(text: str, terms: tuple[Term, ...], word: str | None) -> None:
    term = find_term(text, terms)
    assert (term.word if term else None) == word


@pytest.mark.parametrize(
    ("dataset", "field", "value", "verdict", "cause"),
    [
        ("hemibrain_ng", "organism", "Drosophila simulans", "fails", "another species"),
        ("hemibrain_ng", "organism_taxon", "Drosophila simulans", "unknown", ""),
        ("hemibrain_ng", "crop_start_zyx", [0, 0, 0], "fails", "outside the tissue"),
        ("hemibrain_ng", "crop_start_zyx", [0, 0, 64], "unknown", ""),
        ("hemibrain_ng", "technique", "SEM", "unknown", "less exact"),
        ("hemibrain_ng", "technique", "electron microscopy", "unknown", "less exact"),
        ("hemibrain_ng", "technique", "TEM", "fails", ""),
        ("u2os_chromatin", "licence", "CC BY", "unknown", "less exact"),
        ("u2os_chromatin", "licence", "CC BY 3.0", "fails", ""),
        ("jrc_mus_nacc_2", "dtype", "16-bit", "holds", ""),
        ("jrc_mus_nacc_2", "dtype", "8-bit", "fails", ""),
        ("jrc_mus_nacc_2", "chunk_bytes", 786, "unknown", "one size alone"),
        ("jrc_mus_nacc_2", "data", "4 chunks of 786 bytes", "fails", "very likely a web page"),
        ("empiar_11759", "doi", "EMPIAR-11759", "holds", "accession"),
        ("empiar_11759", "doi", "EMPIAR-10982", "unknown", "no DOI"),
        (None, "size_unit", "MB", "unknown", "1000 or 1024"),
        (None, "n_isotropic", "2 of 5", "fails", "another number"),
        (None, "categories_in_multiple_datasets", 40, "unknown", "build the catalog"),
    ],
)
def test_a_claim_is_judged_by_what_is_known(
    dataset: str | None, field: str, value: Any, verdict: str, cause: str, registry: dict[str, Dataset]
) -> None:
    (row,) = audit([{"dataset": dataset, "field": field, "value": value}], registry)
    assert (row["verdict"], cause in (row["cause"] or "")) == (verdict, True), row


def test_categories_are_counted_in_the_catalogs_own_tags(registry: dict[str, Dataset]) -> None:
    claims = [{"dataset": None, "field": "categories_in_multiple_datasets", "value": number} for number in (1, 18)]
    judged = audit(claims, registry, tags_by_dataset={"one": ["a", "b"], "two": ["b", "c"]})
    assert [row["verdict"] for row in judged] == ["holds", "fails"]
