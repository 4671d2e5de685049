"""A volume as its card shows it: each value with who says it, who says otherwise, and what is unknown."""

import json
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from em_assets.errors import EMAssetsError
from em_assets.layouts.bibtex import bibtex
from em_assets.layouts.held import Held
from em_assets.layouts.licences import licence_url
from em_assets.layouts.works import Work, work_of
from em_assets.model import FIELD_NAMES, VolumeRecord
from em_assets.page import figures
from em_assets.page.checks import Check, checks_of_volume
from em_assets.page.reading import Holding, Row, in_words
from em_assets.page.snippets import Snippet, snippets
from em_assets.settings import PUBLIC, SAMPLE, Settings
from em_assets.volumes.preview import Thumbnail, thumbnail_of
from em_assets.volumes.reading import open_committed
from em_assets.volumes.store import CommittedVolume

ORIGINS = {SAMPLE: "sample: made-up pixels", PUBLIC: "public archive"}


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


@dataclass(frozen=True)
class Fact:
    """What a card shows first: a label, the value in words, the fields that it is made of; `note` where it has none."""

    key: str
    label: str
    text: str
    is_unknown: bool
    said: tuple[Said, ...]
    note: str = ""

    @property
    def is_disputed(self) -> bool:
        """Whether anybody says otherwise."""
        return any(said.others for said in self.said)


@dataclass(frozen=True)
class Citation:
    """How to cite a dataset: in one line, whose words that is, and as BibTeX."""

    text: str
    is_publishers: bool
    bibtex: str
    licence: str | None
    licence_url: str | None
    doi: str | None


@dataclass(frozen=True)
class Card:
    """One volume.

    Attributes
    ----------
    picture, no_picture
        The thumbnail, or why there is none.
    facts
        What is shown first.
    known, unknown
        The whole record, in its own order.
    search
        What a search looks in: small letters without accents.
    voxel_nm
        Shortest and longest side of the voxel; None where any side is unknown.
    states
        What it can be filtered by: `disputed`, `unsettled`, `found`, …
    """

    dataset: str
    volume: str
    title: str
    content: str | None
    labels_of: str | None
    origin: str
    is_made_up: bool
    picture: Thumbnail | None
    no_picture: str
    facts: tuple[Fact, ...]
    known: tuple[Said, ...]
    unknown: tuple[Said, ...]
    conflicts: tuple[Other, ...]
    checks: tuple[Check, ...]
    snippets: tuple[Snippet, ...]
    citation: Citation
    links: tuple[str, ...]
    technique: str | None
    organism: str | None
    voxel_nm: tuple[float, float] | None
    n_bytes: int
    states: tuple[str, ...]
    search: str

    @property
    def anchor(self) -> str:
        """Its place in the page."""
        return f"{self.dataset}/{self.volume}"

    @property
    def n_unsettled(self) -> int:
        """Conflicts that no rule decides."""
        return sum(not conflict.is_settled for conflict in self.conflicts)

    @property
    def n_found(self) -> int:
        """Checks that found something."""
        return sum(not check.is_passed for check in self.checks)


def cards_of(
    holding: Holding, settings: Settings, checks: Mapping[str, Sequence[Check]], pictures: Mapping[str, Thumbnail | str]
) -> Iterator[Card]:
    """A card for each volume of the record, in the order of their names.

    `checks` are those of the record; `pictures` have the thumbnail, or why there is none, of each volume.
    """
    citation = _citation(work_of(Held(holding.dataset, settings, holding.records)))
    for record in holding.records:
        yield _card(record, holding, settings, citation, checks.get(record.volume, ()), pictures.get(record.volume))


def name_of(origin: str) -> str:
    """The origin in words; of a mirror the folder's name alone, since where it lies is this machine's business."""
    return ORIGINS.get(origin, f"mirror {PurePath(origin).name}")


def picture_of(committed: CommittedVolume, most_bytes: int, settings: Settings) -> Thumbnail | str:
    """The thumbnail of a committed volume, or why it cannot be drawn."""
    try:
        return thumbnail_of(open_committed(committed), content=committed.commit.content, most_bytes=most_bytes)
    except (EMAssetsError, OSError, MemoryError) as error:
        return in_words(error, settings)


def searchable(texts: Iterable[object]) -> str:
    """Texts as a search compares them: small letters, accents left out, one space between words."""
    joined = " ".join(str(text) for text in texts if text is not None)
    letters = (letter for letter in unicodedata.normalize("NFKD", joined) if not unicodedata.combining(letter))
    return " ".join("".join(letters).lower().split())


def _card(
    record: VolumeRecord,
    holding: Holding,
    settings: Settings,
    citation: Citation,
    checks: Sequence[Check],
    picture: Thumbnail | str | None,
) -> Card:
    dataset, volume = holding.dataset, record.volume
    committed = holding.committed.get(volume)
    said = {one.field: one for one in _said(holding, volume)}
    conflicts = tuple(other for one in said.values() for other in one.others)
    all_checks = (*checks, *checks_of_volume(volume, committed, record, settings))
    sizes = [size for size in record.voxel_size_zyx_nm if size is not None]
    return Card(
        dataset=dataset.name,
        volume=volume,
        title=record.title or dataset.title,
        content=record.content,
        labels_of=record.labels_of,
        origin=name_of(record.origin),
        is_made_up=record.origin == SAMPLE,
        picture=picture if isinstance(picture, Thumbnail) else None,
        no_picture=_no_picture(picture, committed, dataset.name),
        facts=tuple(_facts(record, said, committed)),
        known=tuple(one for one in said.values() if not one.is_unknown),
        unknown=tuple(one for one in said.values() if one.is_unknown),
        conflicts=conflicts,
        checks=all_checks,
        snippets=_snippets(record, holding, committed, settings) if isinstance(committed, CommittedVolume) else (),
        citation=citation,
        links=tuple(dict.fromkeys((*dataset.links, *(source.url for source in dataset.sources)))),
        technique=record.technique,
        organism=record.organism,
        voxel_nm=(min(sizes), max(sizes)) if len(sizes) == len("zyx") else None,
        n_bytes=record.source_bytes or 0,
        states=tuple(_states(record, conflicts, all_checks, is_written=isinstance(committed, CommittedVolume))),
        search=searchable(
            (
                *(dataset.name, volume, record.title, dataset.title, record.technique, record.organism),
                *(record.organism_taxon, record.sample, record.sample_type, record.content, record.instrument),
                *(record.licence, record.doi, record.authors, record.citation, record.description, record.dtype),
            )
        ),
    )


def _no_picture(picture: Thumbnail | str | None, committed: CommittedVolume | str | None, dataset: str) -> str:
    if isinstance(picture, str):
        return picture
    return committed if isinstance(committed, str) else f"not written yet: em-assets fetch {dataset}"


def _snippets(
    record: VolumeRecord, holding: Holding, committed: CommittedVolume, settings: Settings
) -> tuple[Snippet, ...]:
    place = f"volumes/{holding.dataset.name}/{record.volume}/{committed.commit.generation}"
    return snippets(
        holding.dataset.name,
        committed,
        is_only=len(holding.records) == 1,
        place=f"{settings.remote}/{place}" if settings.remote else place,
    )


def _states(
    record: VolumeRecord, conflicts: Sequence[Other], checks: Sequence[Check], *, is_written: bool
) -> Iterator[str]:
    holds = {
        "disputed": bool(conflicts),
        "unsettled": any(not conflict.is_settled for conflict in conflicts),
        "found": any(not check.is_passed for check in checks),
        "unlicensed": record.licence is None,
        "unscaled": None in record.voxel_size_zyx_nm,
        "unwritten": not is_written,
    }
    yield from (state for state, is_so in holds.items() if is_so)


def _said(holding: Holding, volume: str) -> Iterator[Said]:
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


def _facts(record: VolumeRecord, said: Mapping[str, Said], committed: CommittedVolume | str | None) -> Iterator[Fact]:
    for key, label, fields, text in _FACTS:
        shown = text(record)
        witnesses = tuple(said[field] for field in fields if field in said)
        yield Fact(key, label, figures.UNKNOWN if shown is None else shown, shown is None, witnesses)
    if isinstance(committed, CommittedVolume):
        commit = committed.commit
        shard = f", shards of {figures.shape(commit.shard_shape)}" if commit.shard_shape else ""
        yield Fact(
            key="kept",
            label="Kept as",
            text=f"{figures.size(commit.size_bytes)}, {figures.count(commit.n_levels, 'level')}",
            is_unknown=False,
            said=(),
            note=f"OME-Zarr {commit.ome_zarr}, {figures.count(commit.n_files, 'file')}, chunks of "
            f"{figures.shape(commit.chunk_shape)}{shard}, {commit.compressor}; generation {commit.generation}, "
            f"commit {commit.number}",
        )


def _voxel_size(record: VolumeRecord) -> str | None:
    known = [size for size in record.voxel_size_zyx_nm if size is not None]
    return figures.lengths(record.voxel_size_zyx_nm) if known else None


def _at_the_source(record: VolumeRecord) -> str | None:
    if record.source_bytes is None:
        return None
    files = "" if record.n_files is None else f" in {figures.count(record.n_files, 'file')}"
    return f"{figures.size(record.source_bytes)}{files}"


_FACTS: tuple[tuple[str, str, tuple[str, ...], Callable[[VolumeRecord], str | None]], ...] = (
    ("technique", "Technique", ("technique",), lambda record: record.technique),
    ("organism", "Organism", ("organism", "organism_taxon"), lambda record: record.organism),
    ("sample", "Sample", ("sample", "sample_type"), lambda record: record.sample),
    (
        "voxel",
        "Voxel z×y×x",
        ("voxel_size_z_nm", "voxel_size_y_nm", "voxel_size_x_nm"),
        _voxel_size,
    ),
    (
        "shape",
        "Shape z×y×x",
        ("shape_zyx",),
        lambda record: figures.shape(record.shape_zyx) if record.shape_zyx else None,
    ),
    (
        "extent",
        "Extent z×y×x",
        ("extent_zyx_nm",),
        lambda record: figures.lengths(record.extent_zyx_nm) if record.extent_zyx_nm else None,
    ),
    ("dtype", "Type", ("dtype",), lambda record: record.dtype),
    ("instrument", "Instrument", ("instrument", "accelerating_voltage_kv"), lambda record: record.instrument),
    ("licence", "Licence", ("licence",), lambda record: record.licence),
    ("source", "At the source", ("source_bytes", "n_files"), _at_the_source),
)
"""Key, label, the fields of the record that it is made of, and its words; None for unknown."""


def _citation(work: Work) -> Citation:
    known = work.licences.known
    return Citation(
        text="; ".join(work.citations) or _in_one_line(work),
        is_publishers=bool(work.citations),
        bibtex=bibtex([work]).rstrip("\n"),
        licence=", ".join(known) or None,
        licence_url=licence_url(known[0]) if len(known) == 1 else None,
        doi=work.doi,
    )


def _in_one_line(work: Work) -> str:
    """A citation from what is known, for a dataset whose publisher words none."""
    persons = ", ".join(person.in_full for person in work.people.persons)
    others = " et al." if work.people.has_others else ""
    year = f" ({work.year})" if work.year else ""
    where = f"doi:{work.doi}" if work.doi else work.url
    return ". ".join(part for part in (f"{persons}{others}{year}".strip(), work.title.rstrip("."), where) if part)
