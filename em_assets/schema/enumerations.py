"""The closed vocabularies: which words a field, a key or a verdict can have, with ids where real ones were seen."""

from typing import Any, get_args

from em_assets.catalog.views import VIEWS
from em_assets.datasets import Dataset, format_names
from em_assets.evidence.fields import FIELDS
from em_assets.evidence.vocabulary import LICENCE_TERMS, ORGANISM_TERMS, TECHNIQUE_TERMS, Term
from em_assets.model import ArchiveName, ClaimKind, Content, Source

Words = dict[str, Any]
"""`meaning`, and `values`: a list of rows, each with its `value` first."""


def enumerations() -> dict[str, Words]:
    """Every vocabulary by its name."""
    return {
        "technique": _terms("how a volume was imaged; `id` is that of FBbi", TECHNIQUE_TERMS),
        "organism": _terms(
            "species with known synonyms; `id` is NCBI's taxon. Others are kept as said", ORGANISM_TERMS
        ),
        "licence": _terms("licences with known synonyms, as SPDX names them. Others are kept as said", LICENCE_TERMS),
        "content": _words("what the voxels are", get_args(Content)),
        "claim_kind": _words("who makes a claim", get_args(ClaimKind)),
        "verdict": _words("what an audit answers to a claim", ("holds", "fails", "unknown")),
        "format": _words("what a dataset's `format` can be", format_names()),
        "source_kind": _words("what a source's `kind` can be", get_args(Source.model_fields["kind"].annotation)),
        "archive": _words("what a source's `archive` can be", get_args(ArchiveName)),
        "origin": _words("what a dataset's `origins` can be", _origins()),
        "field": {
            "meaning": "fields of the record; `goes_first` orders the kinds of claims, the first deciding",
            "values": [
                {"value": name, "unit": rule.unit, "meaning": rule.meaning, "goes_first": rule.in_words}
                for name, rule in FIELDS.items()
            ],
        },
        "view": {
            "meaning": "views of the catalog's tables in `em-assets query`; a row is what `meaning` says",
            "values": [{"value": view.name, "meaning": view.meaning, "made_of": list(view.tables)} for view in VIEWS],
        },
    }


def _terms(meaning: str, terms: tuple[Term, ...]) -> Words:
    values = [{"value": term.word, "id": term.identifier, "synonyms": list(term.synonyms)} for term in terms]
    return {"meaning": meaning, "values": values}


def _words(meaning: str, words: tuple[str, ...]) -> Words:
    return {"meaning": meaning, "values": [{"value": word} for word in words]}


def _origins() -> tuple[str, ...]:
    (origin, _) = get_args(Dataset.model_fields["origins"].annotation)
    return get_args(origin)
