"""The table `fields`: what the record says of each field of each volume, and who says so. Unknown ones count too."""

import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from em_assets.catalog.schemas import FIELDS
from em_assets.catalog.tables import table_of_rows
from em_assets.evidence import Resolution
from em_assets.evidence.fields import FIELDS as RULES

if TYPE_CHECKING:
    import pyarrow as pa


def fields_table(dataset: str, volume_names: Sequence[str], resolutions: Iterable[Resolution]) -> "pa.Table":
    """Every field of a record for every volume, known or not, and those of the whole dataset that somebody counts."""
    decided = {(one.volume, one.field): one for one in resolutions}
    unsaid = {(volume, field): None for volume in volume_names for field in RULES}
    scopes = sorted(unsaid | decided, key=lambda scope: (scope[0] or "", scope[1]))
    return table_of_rows(FIELDS, [_row(dataset, *scope, decided.get(scope)) for scope in scopes])


def _row(dataset: str, volume: str | None, field: str, decided: Resolution | None) -> dict[str, Any]:
    row: dict[str, Any] = {"dataset": dataset, "volume": volume, "field": field, "unit": RULES[field].unit}
    if decided is None:
        return row | {"n_agree": 0, "n_disagree": 0, "is_unknown": True}
    claim = decided.claim
    row |= {"rule": decided.rule, "n_agree": decided.n_agree, "n_disagree": decided.n_disagree}
    row |= {"is_unknown": decided.value is None}
    if decided.value is not None:
        row["value"] = json.dumps(decided.value, ensure_ascii=False)
    if claim is not None:
        row |= {"kind": claim.kind, "said_by": claim.said_by, "locator": claim.locator}
    return row
