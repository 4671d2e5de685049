"""What is held true of a dataset when others' claims are judged: the best witness of each field, store or none."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from em_assets.datasets import SIZE_FIELDS, Dataset
from em_assets.evidence.claims import claims_of
from em_assets.evidence.fields import FIELDS
from em_assets.model import Claim
from em_assets.settings import PUBLIC, SAMPLE

_SIZES_ORDER = ("recorded", "file", "derived", "archive", "publisher")
"""What the real files were seen to be goes before everything; a sample's own sizes are left out."""


class Truth(NamedTuple):
    """The value that holds for one volume (None: for the dataset), and the claim that says so."""

    volume: str | None
    value: Any
    claim: Claim
    is_disputed: bool = False

    @property
    def witness(self) -> str:
        """Who says it and where, in words."""
        return f"{self.claim.said_by} ({self.claim.locator})"


class Book:
    """What is known of one dataset: its registry entry, and its claims in the store where there are any."""

    def __init__(self, dataset: Dataset, store_claims: Iterable[Claim] = ()) -> None:
        self.dataset = dataset
        self.claims = [*_of_registry(dataset), *(claim for claim in store_claims if _is_usable(claim, dataset))]
        named = {claim.volume for claim in self.claims if claim.volume} | {
            name for source in dataset.sources for name in source.volume_names
        }
        self.volumes: tuple[str, ...] = tuple(sorted(name for name in named if name))

    @property
    def is_cutout(self) -> bool:
        """Whether only a box of its source is taken."""
        return any(source.kind == "cutout" for source in self.dataset.sources)

    def truths(self, field: str, volume: str | None = None) -> list[Truth]:
        """The best witness of a field, one a volume where the volumes have theirs; nothing where nobody knows."""
        rule = FIELDS[field]
        if volume is None and rule.is_of_its_scope:
            scopes: Sequence[str | None] = [None]
        else:
            scopes = [volume] if volume else self.volumes or [None]
        found = [truth for scope in scopes if (truth := self._best(field, scope)) is not None]
        return found if len({str(one.value) for one in found}) > 1 or volume else found[:1]

    def value(self, field: str, volume: str | None = None) -> Any:
        """The value of a field that all volumes share; None otherwise."""
        found = self.truths(field, volume)
        return found[0].value if len(found) == 1 and not found[0].is_disputed else None

    def voxel_size_zyx_nm(self, volume: str | None = None) -> list[float | None]:
        """The voxel size, each axis None where nobody knows or the volumes differ."""
        return [self.value(f"voxel_size_{axis}_nm", volume) for axis in "zyx"]

    def other_bytes(self) -> dict[str, int]:
        """Sizes of other files beside the dataset's, by name, as its registry entry records them."""
        sizes: dict[str, int] = {}
        for claim in self.claims:
            if claim.field == "other_file_bytes" and isinstance(claim.value, dict):
                sizes |= {str(name): size for name, size in claim.value.items() if isinstance(size, int)}
        return sizes

    def files_by_kind(self) -> dict[str, int]:
        """How many files of each kind the registry entry records; nothing where it does not tell them apart."""
        found = next(
            (claim.value for claim in self.claims if claim.field == "n_files" and isinstance(claim.value, dict)), {}
        )
        counts = found if isinstance(found, dict) else {}
        return {kind: number for kind, number in counts.items() if isinstance(number, int)}

    def _best(self, field: str, volume: str | None) -> Truth | None:
        rule = FIELDS[field]
        order = _SIZES_ORDER if field in SIZE_FIELDS else rule.order
        readings = [
            (claim, value)
            for claim in self.claims
            if claim.field == field and _speaks_of(claim, volume, order[0]) and (value := rule.read(claim)) is not None
            if rule.is_possible is None or rule.is_possible(value)
        ]
        if not readings:
            return None
        readings.sort(key=lambda one: (order.index(one[0].kind), one[0].said_by, one[0].locator))
        winner, value = readings[0]
        peers = [other for claim, other in readings if claim.kind == winner.kind]
        return Truth(volume, value, winner, any(not rule.agree(value, other) for other in peers))


def voxel_bytes(dtype: str | None) -> int | None:
    """Bytes of a voxel."""
    import numpy as np

    try:
        return np.dtype(dtype).itemsize if dtype else None
    except TypeError:
        return None


def _of_registry(dataset: Dataset) -> list[Claim]:
    """What the TOML file says, and what follows from how its sources are asked for."""
    claims = claims_of(dataset, [], [], PUBLIC)
    dtypes = [claim for claim in claims if claim.field == "dtype"]
    dtype = FIELDS["dtype"].read(dtypes[0]) if dtypes else None

    def add(field: str, value: Any, locator: str, volume: str | None, kind: str = "recorded") -> None:
        said_by = f"{dataset.name}.toml"
        claims.append(
            Claim.model_validate(
                {
                    "dataset": dataset.name,
                    "volume": volume,
                    "field": field,
                    "value": value,
                    "kind": kind,
                    "said_by": said_by,
                    "locator": locator,
                    "raw": str(value),
                    "origin": PUBLIC,
                }
            )
        )

    volumes = [source for source in dataset.sources if source.is_volume]
    for number, source in enumerate(dataset.sources):
        if not source.is_volume:
            continue
        if source.content:
            add("content", source.content, f"source.{number}.content", source.volume)
        elif not dataset.content_said_of(source.volume or ""):
            add("content", "em", f"source.{number}: no source says; em is assumed", source.volume, "derived")
        if source.shape_zyx:
            add("shape_zyx", list(source.shape_zyx), f"source.{number}.shape_zyx", source.volume)
            size = voxel_bytes(dtype)
            if size and len(volumes) == 1:
                n_bytes = math.prod(source.shape_zyx) * size
                add("source_bytes", n_bytes, f"source.{number}.shape_zyx × {dtype}", None)
    if not any(source.kind == "cutout" for source in dataset.sources):
        for shape in [claim for claim in claims if claim.field == "shape_zyx" and claim.kind == "recorded"]:
            extent = _extent(shape, claims)
            if extent is not None:
                add("extent_zyx_nm", extent, "shape_zyx × voxel_size_zyx_nm", shape.volume)
    return claims


def _extent(shape: Claim, claims: Sequence[Claim]) -> list[float] | None:
    counts = FIELDS["shape_zyx"].read(shape)
    sizes = []
    for axis in "zyx":
        rule = FIELDS[f"voxel_size_{axis}_nm"]
        found = [claim for claim in claims if claim.field == f"voxel_size_{axis}_nm"]
        found.sort(key=lambda claim: rule.order.index(claim.kind))
        sizes.append(rule.read(found[0]) if found else None)
    return None if counts is None or None in sizes else [n * nm for n, nm in zip(counts, sizes, strict=True)]


def _is_usable(claim: Claim, dataset: Dataset) -> bool:
    """Whether a claim of the store is about the real data, and not said by the registry already."""
    if claim.kind in ("publisher", "recorded"):
        return False
    is_cutout = any(source.kind == "cutout" for source in dataset.sources)
    return not (claim.field in SIZE_FIELDS and (claim.origin == SAMPLE or is_cutout))


def _speaks_of(claim: Claim, volume: str | None, first: str) -> bool:
    if claim.volume is None:
        return not (claim.kind == "file" and first in ("file", "derived"))
    return claim.volume == volume


def shares(values: Mapping[str, str]) -> dict[str, int]:
    """How many datasets have each value, the commonest first."""
    counts: dict[str, int] = {}
    for value in values.values():
        counts[value] = counts.get(value, 0) + 1
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
