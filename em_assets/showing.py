"""`em-assets show`, `conflicts` and `audit` as people read them: every value with its witness, the unknown counted."""

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from em_assets.terminal import cell, show_rows, size

if TYPE_CHECKING:
    from em_assets.planning import Plan

FIELD_COLUMNS = ("field", "value", "unit", "said_by", "locator", "rule", "n_agree", "n_disagree")
CONFLICT_COLUMNS = ("field", "value", "said_by", "other_value", "other_said_by", "factor", "cause", "rule")
VERDICT_COLUMNS = ("dataset", "field", "value", "unit", "said_by", "verdict", "true_value", "witness", "cause")
NOT_AS_ROWS = ("volumes", "fields", "conflicts")

Row = Mapping[str, Any]


def show_dataset(described: Row) -> None:
    """A dataset's facts; of each volume what is known, who says so and what is unknown; then the conflicts."""
    _show_facts(described)
    for volume in described["volumes"]:
        witnessed = {row["field"] for row in volume["fields"]} | {"voxel_size_zyx_nm", "fields"}
        _show_facts({key: value for key, value in volume.items() if key not in witnessed})
        show_fields(volume["fields"], f"{volume['volume']}: the record")
    show_fields(described.get("fields", ()), "the whole dataset")
    conflicts = described.get("conflicts", ())
    if conflicts:
        show_conflicts(conflicts, f"{len(conflicts)} conflict{'' if len(conflicts) == 1 else 's'}")


def show_fields(fields: Sequence[Row], title: str) -> None:
    """Known fields as a table, one line a witness; the names of the unknown ones beneath, counted."""
    known = [row for row in fields if not row["is_unknown"]]
    if known:
        show_rows([{key: row[key] for key in FIELD_COLUMNS} for row in known], title=title)
    unknown = [row for row in fields if row["is_unknown"]]
    if unknown:
        sys.stdout.write(f"{len(unknown)} unknown: {', '.join(map(_unknown_in_words, unknown))}\n\n")


def show_conflicts(conflicts: Iterable[Row], title: str | None = None) -> None:
    """One line a conflict: both values, who says them, the factor between them, why, and the verdict."""
    rows = [
        {"dataset": row["dataset"], "volume": row["volume"] or "all"}
        | {key: row[key] for key in CONFLICT_COLUMNS if key in row}
        | {"settled": "yes" if row["is_settled"] else "NO"}
        for row in conflicts
    ]
    show_rows(rows, title=title if rows else title or "no conflicts")


def show_verdicts(verdicts: Sequence[Row]) -> None:
    """One line a claim with its verdict, then how many there are of each."""
    show_rows([{key: row.get(key) for key in VERDICT_COLUMNS} for row in verdicts])
    counts = {verdict: sum(row["verdict"] == verdict for row in verdicts) for verdict in ("holds", "fails", "unknown")}
    sys.stdout.write(f"{', '.join(f'{count} {verdict}' for verdict, count in counts.items())}\n")


def show_plan(planned: "Plan") -> None:
    """One line a source, then the sum, the room that there is, and what stands in the way."""
    show_rows([{key: _planned_cell(key, value) for key, value in asdict(one).items()} for one in planned.sources])
    unknown = sum(one.n_unknown_sizes for one in planned.sources)
    more = f", and {unknown} of which nobody says the size" if unknown else ""
    sys.stdout.write(
        f"To fetch: {planned.objects_to_fetch} objects, {size(planned.bytes_to_fetch)}{more}; "
        f"{size(planned.free_bytes)} free at {planned.store}\n"
    )
    sys.stdout.writelines(f"NOT POSSIBLE: {obstacle}\n" for obstacle in planned.obstacles)


def _planned_cell(key: str, value: object) -> object:
    if key in ("bytes", "bytes_to_fetch", "room_bytes") and isinstance(value, int):
        return size(value)
    if key == "blank_risk" and isinstance(value, float):
        return f"{value:.0%}"
    return value


def _show_facts(facts: Row) -> None:
    rows = [
        {"field": key, "value": value} for key, value in facts.items() if value is not None and key not in NOT_AS_ROWS
    ]
    show_rows(rows)


def _unknown_in_words(row: Row) -> str:
    return f"{row['field']} ({cell(row['n_disagree'])} disagree)" if row["n_disagree"] else str(row["field"])
