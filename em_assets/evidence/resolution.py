"""Claims → records and conflicts, by the rules in `fields`. Linear in the claims."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from em_assets.datasets import SIZE_FIELDS, Dataset
from em_assets.datasets.opening import RawVolume
from em_assets.evidence.fields import AS_STORED, FIELDS, FieldRule
from em_assets.model import Claim, Conflict, VolumeRecord
from em_assets.settings import SAMPLE


@dataclass(frozen=True)
class Resolution:
    """How one field of one volume was decided.

    Attributes
    ----------
    volume
        None for a field of the whole dataset.
    value
        In the record's unit and words; None where claims of one rank disagree.
    claim
        The claim that won; None where none did.
    rule
        The order of kinds that made it win, or why none did.
    n_agree
        Claims that say the same within tolerance, the winner among them.
    conflicts
        The claims that say otherwise, equal ones of one kind together.
    """

    dataset: str
    volume: str | None
    field: str
    value: Any
    claim: Claim | None
    rule: str
    n_agree: int
    conflicts: tuple[Conflict, ...]


def resolve(
    dataset: Dataset, volumes: Sequence[RawVolume], claims: Iterable[Claim], origin: str
) -> tuple[list[VolumeRecord], list[Conflict]]:
    """One record a volume, sorted by name, and every conflict once."""
    decided = resolutions(dataset, [volume.name for volume in volumes], claims, origin)
    by_volume: dict[str | None, dict[str, Any]] = {}
    for one in decided:
        by_volume.setdefault(one.volume, {})[one.field] = one.value
    records = [
        _record(dataset.name, volume, origin, by_volume.get(volume.name, {}))
        for volume in sorted(volumes, key=lambda volume: volume.name)
    ]
    return records, _each_once(conflict for one in decided for conflict in one.conflicts)


def resolutions(
    dataset: Dataset, volume_names: Sequence[str], claims: Iterable[Claim], origin: str
) -> list[Resolution]:
    """How each field of each volume was decided, and each count of the whole dataset; absent where nobody speaks of it.

    The claims and the names of the volumes are enough, so the witness of any number can be found again later.
    """
    compared = [claim for claim in claims if claim.field in FIELDS and _is_comparable(claim, dataset, origin)]
    by_scope: dict[tuple[str | None, str], list[Claim]] = {}
    for claim in compared:
        for volume in _scopes(claim, volume_names):
            by_scope.setdefault((volume, claim.field), []).append(claim)
    found = []
    for (volume, field), of_scope in sorted(by_scope.items(), key=lambda item: (item[0][0] or "", item[0][1])):
        readings = _readings(FIELDS[field], of_scope)
        if readings:
            found.append(_decide(dataset.name, volume, field, readings))
    return found


class _Reading(NamedTuple):
    """A claim and what it says in the record's unit and words."""

    claim: Claim
    value: Any


def _is_comparable(claim: Claim, dataset: Dataset, origin: str) -> bool:
    """Whether a claim is about the files at hand, and not about something larger that they stand for."""
    is_cut_out = any(source.kind == "cutout" for source in dataset.sources)
    if claim.kind in ("file", "derived"):
        # How a cut-out is stored here is not how its source stores what it was cut from.
        return not (is_cut_out and claim.kind == "file" and claim.field in AS_STORED)
    if claim.field not in SIZE_FIELDS:
        return True
    # Under the sample origin, what archives serve is the sample's own; what publishers said is not.
    return not is_cut_out and not (origin == SAMPLE and claim.kind in ("publisher", "recorded"))


def _scopes(claim: Claim, volume_names: Sequence[str]) -> Sequence[str | None]:
    """What a claim speaks of: its volume; without one all of them, or the whole dataset for a count.

    A file that belongs to no volume speaks for none.
    """
    if claim.volume is not None:
        return [claim.volume]
    rule = FIELDS[claim.field]
    if rule.is_of_its_scope:
        return [None]
    return [] if claim.kind == "file" and rule.order[0] in ("file", "derived") else volume_names


def _readings(rule: FieldRule, claims: Sequence[Claim]) -> list[_Reading]:
    """The usable claims, those that decide first in front, in the same order however they came."""
    readings = [_Reading(claim, rule.read(claim)) for claim in claims]
    return sorted(
        (one for one in readings if one.value is not None),
        key=lambda one: (rule.order.index(one.claim.kind), one.claim.said_by, one.claim.locator, one.claim.raw),
    )


def _decide(dataset: str, volume: str | None, field: str, readings: Sequence[_Reading]) -> Resolution:
    rule = FIELDS[field]
    winner = readings[0]
    others = [one for one in readings if not rule.agree(winner.value, one.value)]
    is_disputed = any(one.claim.kind == winner.claim.kind for one in others)
    reason = f"none: {winner.claim.kind} claims disagree" if is_disputed else rule.in_words
    conflicts = [
        _conflict(dataset, field, winner, other, n_more, None if is_disputed else reason)
        for other, n_more in _alike(others)
    ]
    return Resolution(
        dataset=dataset,
        volume=volume,
        field=field,
        value=None if is_disputed else winner.value,
        claim=None if is_disputed else winner.claim,
        rule=reason,
        n_agree=len(readings) - len(others),
        conflicts=tuple(conflicts),
    )


def _alike(others: Sequence[_Reading]) -> Iterator[tuple[_Reading, int]]:
    """The readings that differ from one another, and how many more of the same kind say the same as each.

    Lengths that share three figures count as the same here: a thousand slices with one wrong step are one conflict.
    """
    first: dict[tuple[str, str], _Reading] = {}
    count: dict[tuple[str, str], int] = {}
    for one in others:
        value = f"{one.value:.3g}" if isinstance(one.value, float) else json.dumps(one.value)
        key = (str(one.claim.kind), value)
        first.setdefault(key, one)
        count[key] = count.get(key, 0) + 1
    for alike, one in first.items():
        yield one, count[alike] - 1


def _conflict(
    dataset: str, field: str, winner: _Reading, other: _Reading, n_more: int, settled_by: str | None
) -> Conflict:
    """A conflict row; of the whole dataset where neither claim names a volume."""
    kind, other_kind = winner.claim.kind, other.claim.kind
    unsettled = f"{kind} claims disagree" if kind == other_kind else f"{kind} claims disagree among themselves"
    return Conflict(
        dataset=dataset,
        volume=winner.claim.volume or other.claim.volume,
        field=field,
        value=winner.value,
        said_by=winner.claim.said_by,
        other_value=other.value,
        other_said_by=other.claim.said_by + (f" and {n_more} more" if n_more else ""),
        is_settled=settled_by is not None,
        rule=f"{kind} before {other_kind} ({settled_by})" if settled_by else unsettled,
    )


def _each_once(conflicts: Iterable[Conflict]) -> list[Conflict]:
    """Sorted; a conflict between two claims about the whole dataset is found once a volume and kept once."""
    unique = {conflict.model_dump_json(): conflict for conflict in conflicts}
    return [unique[key] for key in sorted(unique, key=lambda key: (unique[key].volume or "", unique[key].field, key))]


def _record(dataset: str, volume: RawVolume, origin: str, values: dict[str, Any]) -> VolumeRecord:
    z, y, x = (values.get(f"voxel_size_{axis}_nm") for axis in "zyx")
    further = {name: value for name, value in values.items() if name in VolumeRecord.model_fields}
    return VolumeRecord(
        dataset=dataset,
        volume=volume.name,
        origin=origin,
        labels_of=volume.labels_of,
        voxel_size_zyx_nm=(z, y, x),
        **further,
    )
