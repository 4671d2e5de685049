"""What is said of a dataset, one `Claim` a value: by its files, its publisher, its registry entry, and as opened."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from em_assets.datasets import SIZE_FIELDS, Dataset
from em_assets.datasets.opening import RawVolume
from em_assets.errors import EvidenceError
from em_assets.evidence.derived import extents, taxa, z_steps
from em_assets.evidence.fields import ALIASES, VECTORS
from em_assets.evidence.quantities import in_zyx, one_unit, triple
from em_assets.model import Claim, ClaimKind, RawFile, Statement, Witness
from em_assets.sources.archives import ArchiveWitness

WitnessesByFile = Iterable[tuple[str, Sequence[Witness]]]
"""Each file or marked folder of a dataset, by its label in `datasets.opening.raw_units`, and what it says."""


WitnessesByRecord = Iterable[tuple[str, Sequence[ArchiveWitness]]]
"""Each record that an archive keeps of a dataset, by its public address, and what it says."""


def claims_of(
    dataset: Dataset,
    witnesses_by_file: WitnessesByFile,
    volumes: Sequence[RawVolume],
    origin: str,
    *,
    files: Sequence[RawFile] = (),
    files_dir: Path | str | None = None,
    archive_witnesses: WitnessesByRecord = (),
) -> list[Claim]:
    """Every claim about a dataset, sorted.

    Parameters
    ----------
    dataset
        Its `says` and `recorded` are claims; so are title and citation.
    witnesses_by_file
        What the tags of each file say. A file speaks of the volumes that it belongs to; of none, and so for no record,
        when it belongs to none. One of a volume's several files speaks of itself, not of the volume, in what depends on
        size.
    volumes
        As opened.
    origin
        The store's.
    files
        The manifest, for the counts of files and bytes; no counts without it.
    files_dir
        The folder of the raw files, which the volumes' `files` lie in; not needed where these are relative to it.
    archive_witnesses
        What the archive's own records say. One that names an image speaks of the volume made of that file.

    Raises
    ------
    EvidenceError
        A statement of three numbers that has not three.
    """
    paths = {volume.name: _paths_below(files_dir, volume.source.files) for volume in volumes}
    said = [
        *_of_files(witnesses_by_file, paths),
        *_of_archive(archive_witnesses, paths),
        *_of_registry(dataset),
        *_of_statements(dataset, "publisher", dataset.says),
        *_of_statements(dataset, "recorded", dataset.recorded),
    ]
    said += list(_as_opened(volumes, said))
    if files:
        said += list(_of_manifest(files, paths))
    claims = [
        Claim(dataset=dataset.name, origin=origin, **one._asdict()) for whole in said for one in _split(dataset, whole)
    ]
    claims = _without_repeated(claims)
    claims += list(z_steps(claims))
    claims += list(extents(claims))
    claims += list(taxa(claims, [volume.name for volume in volumes]))
    return sorted(claims, key=_order)


_OPENING = "em_assets.datasets.opening"


class _Said(NamedTuple):
    volume: str | None
    field: str
    value: Any
    unit: str | None
    kind: ClaimKind
    said_by: str
    locator: str
    raw: str


def _of_files(witnesses_by_file: WitnessesByFile, paths: Mapping[str, Sequence[str]]) -> Iterator[_Said]:
    owners = _owners(paths)
    n_files = {volume: len(of_volume) for volume, of_volume in paths.items()}
    for file, witnesses in witnesses_by_file:
        of_volumes = _volumes_of(file, owners)
        for witness in witnesses:
            said = _Said(None, witness.field, witness.value, witness.unit, "file", file, witness.locator, witness.raw)
            spoken_of = [volume for volume in of_volumes if witness.field not in SIZE_FIELDS or n_files[volume] == 1]
            yield from (said._replace(volume=volume) for volume in spoken_of)
            if not spoken_of:
                yield said


def _of_archive(witnesses_by_record: WitnessesByRecord, paths: Mapping[str, Sequence[str]]) -> Iterator[_Said]:
    images = {
        name: volume
        for volume, of_volume in paths.items()
        for path in of_volume
        for name in (path, PurePosixPath(path).name, PurePosixPath(path).stem)
    }
    for record, witnesses in witnesses_by_record:
        for one in witnesses:
            volume = one.volume if one.volume is None or one.volume in paths else images.get(one.volume, one.volume)
            field = ALIASES.get(one.field, one.field)
            yield _Said(volume, field, one.value, one.unit, "archive", record, one.locator, one.raw)


def _of_registry(dataset: Dataset) -> Iterator[_Said]:
    for key, value in (("title", dataset.title), ("citation", dataset.citation)):
        if value:
            yield _Said(None, key, value, None, "publisher", f"{dataset.name}.toml", key, value)


def _of_statements(dataset: Dataset, kind: ClaimKind, statements: Sequence[Statement]) -> Iterator[_Said]:
    key = "says" if kind == "publisher" else kind
    for number, statement in enumerate(statements):
        yield _Said(
            statement.volume,
            ALIASES.get(statement.field, statement.field),
            statement.value,
            statement.unit,
            kind,
            statement.at,
            f"{dataset.name}.toml: {key}.{number}",
            _json(statement.value),
        )


def _as_opened(volumes: Sequence[RawVolume], said: Sequence[_Said]) -> Iterator[_Said]:
    """What each volume is when it is opened; a voxel size only where no tag of its files gave one."""
    witnessed = {(one.volume, one.field) for one in said if one.kind == "file"}
    for volume in volumes:
        source = volume.source
        facts: dict[str, Any] = {
            "shape_zyx": list(source.shape_zyx),
            "dtype": source.dtype.name,
            "content": volume.content if volume.is_content_witnessed else None,
            "source_n_levels": volume.source_n_levels,
            "source_chunks": _list_or_text(volume.source_chunks),
            "source_compressor": volume.source_compressor,
        }
        for axis, size_nm in zip("zyx", source.voxel_size_zyx_nm, strict=True):
            if (volume.name, f"voxel_size_{axis}_nm") not in witnessed:
                facts[f"voxel_size_{axis}_nm"] = size_nm
        for field, value in facts.items():
            if value is not None:
                # The content may come from the registry, so the format is not who says it.
                code = _OPENING if field == "content" else f"em_assets.formats.{source.format}"
                yield _Said(volume.name, field, value, None, "derived", code, f"open_raw: {field}", _json(value))
        if not volume.is_content_witnessed and not _is_content_said(volume.name, said):
            locator = f"no source says; {volume.content} is assumed"
            yield _Said(volume.name, "content", volume.content, None, "derived", _OPENING, locator, "")


def _is_content_said(volume: str, said: Sequence[_Said]) -> bool:
    """Whether anybody says it: an assumption is no witness, so it stands nowhere beside one."""
    return any(
        one.field == "content" and (one.volume == volume or (one.volume is None and one.kind != "file")) for one in said
    )


def _of_manifest(files: Sequence[RawFile], paths: Mapping[str, Sequence[str]]) -> Iterator[_Said]:
    """Files and bytes held: of the dataset, and of each volume those that it is made of."""
    owners = _owners(paths)
    sizes: dict[str | None, list[int]] = {None: [file.size_bytes for file in files]}
    for file in files:
        for volume in _volumes_of(file.path, owners):
            sizes.setdefault(volume, []).append(file.size_bytes)
    for said_of, of_files in sizes.items():
        for field, value in (("n_files", len(of_files)), ("source_bytes", sum(of_files))):
            yield _Said(said_of, field, value, None, "derived", "manifest", field, str(value))


def _split(dataset: Dataset, whole: _Said) -> Iterator[_Said]:
    """One claim an axis for a claim of three numbers; an axis that is null says nothing."""
    axes = VECTORS.get(whole.field)
    if axes is None:
        yield whole
        return
    found = triple(whole.value)
    if found is None:
        if whole.kind == "archive":  # somebody else's document: a finding, not an error
            yield whole
            return
        raise EvidenceError(
            f"{dataset.name}: {whole.said_by}: {whole.field} needs {len(axes)} numbers (z, y, x) in one unit, found "
            f"{whole.raw}: mend {whole.locator}"
        )
    unit, contradiction = one_unit(found.unit, whole.unit)
    if contradiction:
        yield whole
        return
    for field, value in zip(axes, in_zyx(found.numbers, found.order or "zyx"), strict=True):
        if value is not None:
            yield whole._replace(field=field, value=value, unit=unit)


def _without_repeated(claims: Sequence[Claim]) -> list[Claim]:
    """The claims without statements that only repeat an archive's record that is read itself: one page, one witness.

    A statement that says otherwise than its page does today stays, and is a conflict.
    """
    recorded = {_said_where(claim) for claim in claims if claim.kind == "archive"}
    return [claim for claim in claims if claim.kind != "publisher" or _said_where(claim) not in recorded]


def _said_where(claim: Claim) -> tuple[str, str, Any, str | None]:
    """Page, field, value and unit: `at` may add in brackets where on the page it stands; 8 and 8.0 are the same."""
    value = claim.value if isinstance(claim.value, str | int | float) else _json(claim.value)
    return claim.said_by.partition(" (")[0], claim.field, value, claim.unit


def _owners(paths: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Path → the volumes that are made of it."""
    owners: dict[str, list[str]] = {}
    for volume, of_volume in paths.items():
        for path in of_volume:
            owners.setdefault(path, []).append(volume)
    return owners


def _volumes_of(file: str, owners: Mapping[str, list[str]]) -> list[str]:
    """The volumes that a file belongs to: made of it, or of a folder that it lies in."""
    path = PurePosixPath(file)
    return [volume for place in (path, *path.parents) for volume in owners.get(str(place), ())]


def _paths_below(files_dir: Path | str | None, files: Sequence[str]) -> list[str]:
    if files_dir is None:
        return list(files)
    below = (Path(file) for file in files)
    return [(path.relative_to(files_dir) if path.is_relative_to(files_dir) else path).as_posix() for path in below]


def _list_or_text(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _order(claim: Claim) -> tuple[str, str, str, str, str, str, str]:
    return (
        claim.volume or "",
        claim.field,
        claim.kind,
        claim.said_by,
        claim.locator,
        claim.raw,
        _json(claim.value),
    )


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
