"""Claims → records and conflicts, by the rules in `fields`. Linear in the claims."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from em_assets.datasets import SIZE_FIELDS, Dataset
from em_assets.datasets.opening import RawVolume
from em_assets.evidence.causes import Case, factor_between, likely_cause
from em_assets.evidence.fields import AS_STORED, FIELDS, FieldRule
from em_assets.evidence.vocabulary import TECHNIQUE_TERMS, term_of
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
    n_disagree
        Claims that say otherwise.
    conflicts
        These, equal ones of one kind together.
    """

    dataset: str
    volume: str | None
    field: str
    value: Any
    claim: Claim | None
    rule: str
    n_agree: int
    n_disagree: int
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
    scopes = sorted(by_scope, key=lambda scope: (scope[0] or "", scope[1]))
    readings = {scope: found for scope in scopes if (found := _readings(FIELDS[scope[1]], by_scope[scope]))}
    around = {volume: _Around.of(volume, readings) for volume, _ in readings}
    return [_decide(dataset.name, volume, field, found, around[volume]) for (volume, field), found in readings.items()]


class _Reading(NamedTuple):
    """A claim and what it says in the record's unit and words; one with a `doubt` is compared and never wins."""

    claim: Claim
    value: Any
    doubt: str | None = None


_Readings = Mapping[tuple[str | None, str], Sequence[_Reading]]
_AXES = ("voxel_size_z_nm", "voxel_size_y_nm", "voxel_size_x_nm")


class _Around(NamedTuple):
    """What else is known of a volume, so that a cause can be found: who says what of each axis."""

    by_source: Mapping[tuple[str, str], Any]
    voxel_size_zyx_nm: Sequence[float | None]
    shape_zyx: Sequence[int] | None

    @classmethod
    def of(cls, volume: str | None, readings: _Readings) -> "_Around":
        of_axes = {field: readings.get((volume, field), ()) for field in _AXES}
        by_source = {(one.claim.said_by, field): one.value for field, found in of_axes.items() for one in found[::-1]}
        winners = [found[0].value if found else None for found in of_axes.values()]
        shapes = readings.get((volume, "shape_zyx"))
        return cls(by_source, winners, shapes[0].value if shapes else None)

    def case(self, field: str, winner: _Reading, other: _Reading) -> Case:
        slack = FIELDS[field].slack
        return Case(
            field=field,
            said=other.value,
            true=winner.value,
            voxel_size_zyx_nm=self.voxel_size_zyx_nm,
            shape_zyx=self.shape_zyx,
            said_voxel_size_zyx_nm=[self.by_source.get((other.claim.said_by, axis)) for axis in _AXES],
            slack=slack(other.claim) if slack else 0.0,
        )


def _is_comparable(claim: Claim, dataset: Dataset, origin: str) -> bool:
    """Whether a claim is about the files at hand, and not about something larger that they stand for."""
    is_cut_out = any(source.kind == "cutout" for source in dataset.sources)
    if claim.kind in ("file", "derived"):
        # How a cut-out is stored here is not how its source stores what it was cut from.
        return not (is_cut_out and claim.kind == "file" and claim.field in AS_STORED)
    if claim.field not in SIZE_FIELDS:
        return True
    if isinstance(claim.value, dict) and claim.field == "n_files":
        return False  # a count by kinds leaves out what lies in folders: the check of completeness compares it
    # Under the sample origin, what archives serve is the sample's own; what publishers said is not.
    return not is_cut_out and not (origin == SAMPLE and claim.kind in ("publisher", "recorded"))


def _scopes(claim: Claim, volume_names: Sequence[str]) -> Sequence[str | None]:
    """What a claim speaks of: its volume; without one all of them, or the whole dataset for a count.

    A file that belongs to no volume speaks for none.
    """
    if claim.volume is not None:
        # An archive's record may list images that are no volumes here.
        return [claim.volume] if claim.volume in volume_names else []
    rule = FIELDS[claim.field]
    if rule.is_of_its_scope:
        return [None]
    return [] if claim.kind == "file" and rule.order[0] in ("file", "derived") else volume_names


def _readings(rule: FieldRule, claims: Sequence[Claim]) -> list[_Reading]:
    """The usable claims, those that decide first in front, in the same order however they came."""
    readings = [_reading(rule, claim) for claim in claims]
    return sorted(
        (one for one in readings if one.value is not None),
        key=lambda one: (
            one.doubt is not None,
            rule.order.index(one.claim.kind),
            one.claim.said_by,
            one.claim.locator,
            one.claim.raw,
        ),
    )


def _reading(rule: FieldRule, claim: Claim) -> _Reading:
    value = rule.read(claim)
    if value is None and rule.read_bare is not None:
        return _Reading(claim, rule.read_bare(claim), "the other one has no unit, read here as nanometre")
    if value is not None and rule.is_possible is not None and not rule.is_possible(value):
        return _Reading(claim, value, "the other one cannot be")
    return _Reading(claim, value)


def _decide(dataset: str, volume: str | None, field: str, readings: Sequence[_Reading], around: _Around) -> Resolution:
    rule = FIELDS[field]
    winner = readings[0]
    others = [one for one in readings if not _agree(rule, winner, one)]
    if winner.doubt:
        reason = "none: no number that can be used"
    elif any(one.claim.kind == winner.claim.kind and not one.doubt for one in others):
        reason = f"none: {winner.claim.kind} claims disagree"
    else:
        reason = rule.in_words
    is_decided = not reason.startswith("none")
    conflicts = [
        _conflict(around.case(field, winner, other), dataset, winner, other, n_more, reason if is_decided else None)
        for other, n_more in _alike(others)
    ]
    return Resolution(
        dataset=dataset,
        volume=volume,
        field=field,
        value=winner.value if is_decided else None,
        claim=winner.claim if is_decided else None,
        rule=reason,
        n_agree=len(readings) - len(others),
        n_disagree=len(others),
        conflicts=tuple(conflicts),
    )


def _agree(rule: FieldRule, one: _Reading, other: _Reading) -> bool:
    """The same within tolerance, or one is the other rounded."""
    if rule.agree(one.value, other.value):
        return True
    slack = max(rule.slack(one.claim), rule.slack(other.claim)) if rule.slack else 0.0
    return slack > 0 and abs(one.value - other.value) <= slack


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
    case: Case, dataset: str, winner: _Reading, other: _Reading, n_more: int, settled_by: str | None
) -> Conflict:
    """A conflict row; of the whole dataset where neither claim names a volume."""
    kind, other_kind = winner.claim.kind, other.claim.kind
    unsettled = f"{kind} claims disagree" if kind == other_kind else f"{kind} claims disagree among themselves"
    verdict = f"{kind} before {other_kind} ({settled_by})" if settled_by else unsettled
    if other.doubt:
        verdict += f"; {other.doubt}"
    return Conflict(
        dataset=dataset,
        volume=winner.claim.volume or other.claim.volume,
        field=case.field,
        value=winner.value,
        unit=FIELDS[case.field].unit,
        said_by=winner.claim.said_by,
        kind=kind,
        other_value=other.value,
        other_said_by=other.claim.said_by + (f" and {n_more} more" if n_more else ""),
        other_kind=other_kind,
        factor=factor_between(winner.value, other.value),
        cause=likely_cause(case),
        is_settled=settled_by is not None,
        rule=verdict,
    )


def _each_once(conflicts: Iterable[Conflict]) -> list[Conflict]:
    """Sorted; a conflict between two claims about the whole dataset is found once a volume and kept once."""
    unique = {conflict.model_dump_json(): conflict for conflict in conflicts}
    return [unique[key] for key in sorted(unique, key=lambda key: (unique[key].volume or "", unique[key].field, key))]


def _record(dataset: str, volume: RawVolume, origin: str, values: dict[str, Any]) -> VolumeRecord:
    z, y, x = (values.get(f"voxel_size_{axis}_nm") for axis in "zyx")
    further = {name: value for name, value in values.items() if name in VolumeRecord.model_fields}
    technique = term_of(values.get("technique"), TECHNIQUE_TERMS)
    return VolumeRecord(
        dataset=dataset,
        volume=volume.name,
        origin=origin,
        labels_of=volume.labels_of,
        voxel_size_zyx_nm=(z, y, x),
        technique_id=technique.identifier if technique else None,
        **further,
    )
