"""What a record says of each field of a volume, in words: who says it, who says otherwise, and what became of that."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from em_assets.model import FIELD_NAMES
from em_assets.page import figures
from em_assets.page.reading import Holding, Row


@dataclass(frozen=True)
class Other:
    """What somebody else says of a field, and what became of it; of all volumes of the dataset, or of one."""

    field: str
    value: str
    said_by: str
    kind: str | None
    other_value: str
    other_said_by: str
    other_kind: str | None
    factor: str | None
    cause: str | None
    is_settled: bool
    rule: str
    is_dataset_wide: bool = False


@dataclass(frozen=True)
class Said:
    """One field of the record: its value with its witness, or that it is unknown; and who says otherwise."""

    field: str
    value: str | None
    said_by: str | None
    kind: str | None
    locator: str | None
    rule: str | None
    n_agree: int
    n_disagree: int
    others: tuple[Other, ...]

    @property
    def is_unknown(self) -> bool:
        """Whether the record has no value: nobody says one, or nobody wins."""
        return self.value is None


def said_of(holding: Holding, volume: str) -> Iterator[Said]:
    """Every field of the volume's record, in the record's order, with the conflicts about it."""
    rows = {row["field"]: row for row in holding.fields if row["volume"] == volume}
    order = [*(name for name in FIELD_NAMES if name in rows), *sorted(set(rows) - set(FIELD_NAMES))]
    for field in order:
        row = rows[field]
        yield Said(
            field=field,
            value=None if row["is_unknown"] else _value(row["value"], row["unit"]),
            said_by=row["said_by"],
            kind=row["kind"],
            locator=row["locator"],
            rule=row["rule"],
            n_agree=row["n_agree"],
            n_disagree=row["n_disagree"],
            others=tuple(
                _other(conflict)
                for conflict in holding.conflicts
                if conflict["field"] == field and conflict["volume"] in (None, volume)
            ),
        )


def _other(row: Row) -> Other:
    return Other(
        field=row["field"],
        value=_value(row["value"], row["unit"]),
        said_by=row["said_by"],
        kind=row["kind"],
        other_value=_value(row["other_value"], row["unit"]),
        other_said_by=row["other_said_by"],
        other_kind=row["other_kind"],
        factor=figures.factor(row["factor"]),
        cause=row["cause"],
        is_settled=row["is_settled"],
        rule=row["rule"],
        is_dataset_wide=row["volume"] is None,
    )


def _value(text: str, unit: str | None) -> str:
    value: Any = json.loads(text)
    if unit == "byte" and isinstance(value, int | float):
        return f"{value:,}{figures.NBSP}bytes"
    written = {"voxel": "voxels"}.get(unit or "", unit)
    return figures.plain(value) + (f"{figures.NBSP}{written}" if written and not isinstance(value, str) else "")
