"""Claims that follow from others: the z step from how the stage climbs, the extent from shape × voxel size, a taxon."""

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from statistics import median
from typing import NamedTuple

from em_assets.evidence.fields import FIELDS
from em_assets.model import Claim
from em_assets.units import to_nm

STAGE_FIELD = "stage_z_um"
MIN_SLICES = 3
"""Two positions are one difference, and no median."""

MAX_SCATTER = 0.2
"""Relative: a stage that steps more unevenly was moved by hand, or drifts, and tells no step."""

_CODE = "em_assets.evidence.derived"


class Step(NamedTuple):
    """A z step in nanometres and how many differences it is the median of."""

    nm: float
    n_differences: int


def z_step(positions_nm: Sequence[float]) -> Step | None:
    """The step of a stage over consecutive slices; None where it does not climb evenly, or hardly anything is known.

    The median stands a slice that was cut twice and a jump where the run was interrupted.
    """
    differences = [abs(after - before) for before, after in pairwise(positions_nm)]
    if len(differences) < MIN_SLICES - 1:
        return None
    step = median(differences)
    scatter = median(abs(difference - step) for difference in differences)
    return Step(step, len(differences)) if step > 0 and scatter <= MAX_SCATTER * step else None


def z_steps(claims: Sequence[Claim]) -> Iterator[Claim]:
    """A claim of the z step for each volume whose slices say where the stage stood."""
    by_volume: dict[str, list[Claim]] = {}
    for claim in claims:
        if claim.field == STAGE_FIELD and claim.kind == "file" and claim.volume is not None:
            by_volume.setdefault(claim.volume, []).append(claim)
    for _, of_volume in sorted(by_volume.items()):
        ordered = sorted(of_volume, key=lambda claim: _natural(claim.said_by))
        positions = [_position_nm(claim) for claim in ordered]
        step = z_step([position for position in positions if position is not None])
        if step is not None and len(positions) == len({claim.said_by for claim in ordered}):
            first = ordered[0]
            yield first.model_copy(
                update={
                    "field": "voxel_size_z_nm",
                    "value": float(f"{step.nm:.6g}"),
                    "unit": "nm",
                    "kind": "derived",
                    "said_by": f"{_CODE}.z_step",
                    "locator": f"median of {step.n_differences} differences of {first.locator}",
                    "raw": f"{step.nm:.6g} nm a slice, {first.said_by} … {ordered[-1].said_by}",
                }
            )


def extents(claims: Sequence[Claim]) -> Iterator[Claim]:
    """A claim of the extent for each volume whose shape and voxel size are known: their product."""
    best: dict[tuple[str | None, str], tuple[tuple[int, str, str], object, Claim]] = {}
    wanted = ("shape_zyx", "voxel_size_z_nm", "voxel_size_y_nm", "voxel_size_x_nm")
    for claim in claims:
        rule = FIELDS.get(claim.field) if claim.field in wanted else None
        value = rule.read(claim) if rule else None
        if rule is None or value is None or (rule.is_possible is not None and not rule.is_possible(value)):
            continue
        rank = (rule.order.index(claim.kind), claim.said_by, claim.locator)
        key = (claim.volume, claim.field)
        if key not in best or rank < best[key][0]:
            best[key] = (rank, value, claim)
    for volume, field in sorted(best, key=lambda key: (key[0] or "", key[1])):
        shape, claim = best[(volume, field)][1:]
        if field != "shape_zyx" or claim.kind != "derived" or not isinstance(shape, list):
            continue
        found = [best.get((volume, axis), best.get((None, axis))) for axis in wanted[1:]]
        sizes = [one[1] for one in found if one is not None and isinstance(one[1], float)]
        if len(sizes) == 3:
            extent = [float(f"{n * nm:.9g}") for n, nm in zip(shape, sizes, strict=True)]
            yield claim.model_copy(
                update={
                    "field": "extent_zyx_nm",
                    "value": extent,
                    "unit": "nm",
                    "said_by": f"{_CODE}.extents",
                    "locator": "shape_zyx × voxel_size_zyx_nm",
                    "raw": f"{shape} × {sizes}",
                }
            )


def taxa(claims: Sequence[Claim], volume_names: Sequence[str]) -> Iterator[Claim]:
    """A claim of the taxon's number for each volume whose organism is known and whose number nobody says.

    Without volumes it is said of the whole dataset. Where those who go first disagree about the organism none follows.
    """
    rule, number = FIELDS["organism"], FIELDS["organism_taxon"]
    scopes: list[str | None] = [*volume_names] or [None]
    for volume in scopes:
        here = [claim for claim in claims if claim.volume in (volume, None)]
        if any(claim.field == "organism_taxon" and number.read(claim) is not None for claim in here):
            continue
        said = [claim for claim in here if claim.field == "organism" and rule.read(claim) is not None]
        said.sort(key=lambda claim: (rule.order.index(claim.kind), claim.said_by, claim.locator))
        first = [claim for claim in said if claim.kind == said[0].kind]
        numbers = {number.read(claim) for claim in first}
        taxon = numbers.pop() if len(numbers) == 1 else None
        if taxon is not None:
            yield first[0].model_copy(
                update={
                    "volume": volume,
                    "field": "organism_taxon",
                    "value": taxon,
                    "unit": None,
                    "kind": "derived",
                    "said_by": f"{_CODE}.taxa",
                    "locator": f"NCBI Taxonomy's number of the organism that {first[0].said_by} says",
                }
            )


def _position_nm(claim: Claim) -> float | None:
    """Where the stage stood; positions may be negative or 0, lengths may not."""
    unit_nm = to_nm(1.0, claim.unit or "µm")
    is_number = isinstance(claim.value, int | float) and not isinstance(claim.value, bool)
    return float(claim.value) * unit_nm if is_number and unit_nm is not None else None  # type: ignore[arg-type]


def _natural(name: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]
