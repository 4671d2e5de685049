"""What an archive's record says of a dataset, as statements of its TOML file: with the place, and never as truth."""

import math
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath
from typing import NamedTuple

from em_assets.adding.accessions import Place
from em_assets.errors import FormatError, SourceMissingError
from em_assets.model import VECTORS, Statement
from em_assets.sources.archives import ARCHIVES, MOST_RECORD_BYTES, ArchiveWitness, assigned
from em_assets.sources.globs import Wanted
from em_assets.sources.origins import Origin
from em_assets.sources.paths import below, file_name
from em_assets.sources.protocols import ask
from em_assets.sources.wire import Patience

VOXEL_SIZE = "voxel_size_zyx_nm"
AXES = VECTORS[VOXEL_SIZE]

SAID = (
    "technique",
    "organism",
    "organism_taxon",
    "sample",
    "sample_type",
    *AXES,
    "instrument",
    "accelerating_voltage_kv",
    "acquired_at",
    "deposited_on",
    "released_on",
    "licence",
    "doi",
    "source_bytes",
)
"""Fields that a dataset's file repeats; what the record says of others is read from it when it is fetched."""

WANTED = ("technique", "organism", "sample", VOXEL_SIZE, "licence", "doi")
"""What people look for first: where nobody says it, the file has a line for it."""

MOST_STATEMENTS = 40
MOST_CHARACTERS = 300
"""Of a value, and of the words about one that is left out: a record is anybody's text."""

_OURS = "data"
"""Name of the one volume that the record's places are compared with: whatever is to be fetched."""


class Heard(NamedTuple):
    """What a record says.

    Attributes
    ----------
    record_urls
        Of the documents that answered, for `archive = …` sources.
    title, citation
        In the record's words; None where it has none.
    statements
        As `[[says]]`.
    doubtful
        What is said in a form that cannot be taken over, in words.
    """

    record_urls: tuple[str, ...] = ()
    title: str | None = None
    citation: str | None = None
    statements: tuple[Statement, ...] = ()
    doubtful: tuple[str, ...] = ()

    def unknown(self, *, is_voxel_size_known: bool) -> tuple[str, ...]:
        """Those of `WANTED` that nobody says; a volume's own metadata may say the voxel size."""
        said = {statement.field for statement in self.statements}
        said |= {VOXEL_SIZE} if is_voxel_size_known else set()
        return tuple(field for field in WANTED if field not in said)


def hear(place: Place, data_urls: Sequence[str], origin: Origin, patience: Patience) -> Heard:
    """What the archive of a place says of the files at these addresses; nothing where there is no archive or record.

    Raises
    ------
    FormatError
        The record is not what its archive keeps.
    SourceUnreachableError
        The archive does not answer.
    """
    if place.archive is None:
        return Heard()
    documents = _documents(place, data_urls, origin, patience)
    read = [(url, list(ARCHIVES[place.archive].witnesses(_name(url), content))) for url, content in documents.items()]
    owned = [(url, one) for url, said in assigned(read, {_OURS: data_urls}) for one in said]
    return Heard(
        record_urls=tuple(documents),
        title=_text(owned, "title"),
        citation=_text(owned, "citation"),
        statements=tuple(_each_once(_axes_together(list(_statements(owned)))))[:MOST_STATEMENTS],
        doubtful=tuple(_doubtful(owned))[:MOST_STATEMENTS],
    )


def _documents(place: Place, data_urls: Sequence[str], origin: Origin, patience: Patience) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for url in place.record_urls:
        content = _read(url, origin, patience)
        if content is not None:
            found[url] = content
            break
    for url in list(_beside(place, found, data_urls)):
        content = _read(url, origin, patience)
        if content is not None:
            found[url] = content
    return found


def _beside(place: Place, found: dict[str, bytes], data_urls: Sequence[str]) -> Iterator[str]:
    """Addresses of what IDR keeps of an experiment, beside its study's file; of no other archive anything."""
    if place.archive != "idr":
        return
    for url in found:
        number = file_name(url).partition("-")[0]
        folders = {
            part for data in data_urls for part in data.split("/")[:-1] if part.startswith(("experiment", "screen"))
        }
        for folder in sorted(folders):
            stem = f"{url.rpartition('/')[0]}/{folder}/{number}-{folder}"
            yield from (f"{stem}-annotation.csv", f"{stem}-filePaths.tsv", f"{stem}-bulk.yml")


def _read(url: str, origin: Origin, patience: Patience) -> bytes | None:
    """A small document whole; None where there is none."""
    speaker, location = ask(url, origin)
    if location.scheme == "file" and location.path.is_dir():  # a mirror keeps what an API answers as a folder's file
        listed = speaker.entries(location, Wanted(), patience)
        return _read(below(url, listed[0].path), origin, patience) if listed else None

    def read() -> bytes:
        data = bytearray()
        with speaker.body(location, patience) as body:
            for chunk in body.chunks:
                data += chunk
                if len(data) > MOST_RECORD_BYTES:
                    raise FormatError(
                        f"{url}: an archive's record expected, found more than {MOST_RECORD_BYTES:,} bytes"
                    )
        return bytes(data)

    try:
        return patience(read)
    except SourceMissingError:
        return None


def _name(url: str) -> str:
    return file_name(url) or f"{PurePosixPath(url).name}.json"


def _text(owned: Sequence[tuple[str, ArchiveWitness]], field: str) -> str | None:
    texts = [one.value for _, one in owned if one.field == field and isinstance(one.value, str)]
    return texts[0][:MOST_CHARACTERS] if texts else None


def _statements(owned: Sequence[tuple[str, ArchiveWitness]]) -> Iterator[Statement]:
    for url, one in owned:
        if one.field in SAID and not _doubt(one):
            yield Statement(field=one.field, value=one.value, unit=one.unit, at=f"{url} ({one.locator})")


def _axes_together(statements: Sequence[Statement]) -> Iterator[Statement]:
    """The same, a length along z, one along y and one along x that one place says in one unit being one statement."""
    sizes: dict[tuple[str, str | None], dict[str, Statement]] = {}
    for one in statements:
        if one.field in AXES:
            sizes.setdefault((one.at, one.unit), {}).setdefault(one.field, one)
    whole = {said: parts for said, parts in sizes.items() if len(parts) == len(AXES)}
    for one in statements:
        parts = whole.get((one.at, one.unit), {})
        if one.field not in parts:
            yield one
        elif one is next(iter(parts.values())):
            yield one.model_copy(update={"field": VOXEL_SIZE, "value": [parts[axis].value for axis in AXES]})


def _each_once(statements: Iterator[Statement]) -> Iterator[Statement]:
    """The same, a value that several places say where it stands first."""
    seen: set[str] = set()
    for one in statements:
        said = f"{one.field} {one.value!r} {one.unit}"
        if said not in seen:
            seen.add(said)
            yield one


def _doubtful(owned: Sequence[tuple[str, ArchiveWitness]]) -> Iterator[str]:
    for url, one in owned:
        doubt = _doubt(one)
        if one.field in SAID and doubt:
            said = one.raw[:MOST_CHARACTERS]
            yield f"{one.field}: {said!r}, {doubt}: {url} ({one.locator})"


def _doubt(one: ArchiveWitness) -> str | None:
    """Why what is said cannot be taken over as it is; None where it can."""
    if one.value is None:
        return "in a form that nobody here can read"
    if one.is_unconfirmed:
        return "in a form that was not seen before"
    if one.field in AXES and one.unit is None:
        return "without a unit"
    if isinstance(one.value, float) and not math.isfinite(one.value):
        return "no number"
    if len(str(one.value)) > MOST_CHARACTERS:
        return "too long"
    return None
