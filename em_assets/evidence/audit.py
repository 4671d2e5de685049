"""Somebody's published claims, judged: each holds, fails or cannot be told, with true value, witness and cause.

A claim is a mapping with `dataset`, `field`, `value`, `unit`, `said_by`, and perhaps `volume`; `dataset` is null or `*`
for a claim about the whole registry. Values may be numbers, lists, mappings, or texts as people write them.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from em_assets.datasets import Dataset
from em_assets.evidence import audit_judges, audit_registry
from em_assets.evidence.audit_rows import FAILS, HOLDS, UNKNOWN, Judgement, Row, row_of
from em_assets.evidence.truths import Book
from em_assets.model import Claim

__all__ = ["FAILS", "HOLDS", "UNKNOWN", "audit"]


class _Judged(NamedTuple):
    row: Row
    judgement: Judgement


def audit(
    claims: Sequence[Mapping[str, Any]],
    datasets: Mapping[str, Dataset],
    store_claims: Mapping[str, Iterable[Claim]] | None = None,
    *,
    tags_by_dataset: Mapping[str, Iterable[str]] | None = None,
) -> list[dict[str, Any]]:
    """The claims in their order, each with `verdict`, `true_value`, `witness` and `cause`.

    Parameters
    ----------
    claims
        What was published. Keys that are not asked for are kept; nothing in them raises.
    datasets
        The registry: `recorded` and `says` are enough to judge by.
    store_claims
        By dataset, the claims that the store holds; sizes are judged by `recorded`, which a sample's never outrank.
    tags_by_dataset
        By dataset, the names of its original tags, for claims that count them.
    """
    held = store_claims or {}
    books = {name: Book(dataset, held.get(name, ())) for name, dataset in datasets.items()}
    rows = [row_of(one, books) for one in claims]
    judged = [_Judged(row, _judgement(row, books, rows, tags_by_dataset)) for row in rows]
    contradictions = audit_judges.contradictions([one.row for one in judged], books)
    return [
        _answer(original, one, contradictions.get(i))
        for i, (original, one) in enumerate(zip(claims, judged, strict=True))
    ]


def _judgement(
    row: Row, books: Mapping[str, Book], rows: Sequence[Row], tags: Mapping[str, Iterable[str]] | None
) -> Judgement:
    if row.problem:
        return Judgement(UNKNOWN, cause=row.problem)
    try:
        if row.dataset is None:
            return audit_registry.judge(row, books, rows, tags)
        return _judge_dataset(row, books[row.dataset], rows, tags)
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:  # a claim is anybody's text
        return Judgement(UNKNOWN, cause=f"the value cannot be read: {type(error).__name__}: {error}")


def _judge_dataset(row: Row, book: Book, rows: Sequence[Row], tags: Mapping[str, Iterable[str]] | None) -> Judgement:
    judge: Callable[[Row, Book], Judgement] | None = audit_judges.judge_of(row, book)
    if judge is not None:
        return judge(row, book)
    return audit_registry.judge(row, {book.dataset.name: book}, rows, tags)


def _answer(original: Any, judged: _Judged, contradiction: str | None) -> dict[str, Any]:
    judgement = judged.judgement
    cause = "; ".join(part for part in (judgement.cause, contradiction) if part) or None
    row = dict(original) if isinstance(original, Mapping) else {"claim": original}
    return row | {
        "verdict": judgement.verdict,
        "true_value": judgement.true_value,
        "witness": judgement.witness,
        "cause": cause,
    }
