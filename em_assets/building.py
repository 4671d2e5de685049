"""The steps of the graph as plain functions: what each asset makes, from what the store holds. No Dagster here.

::

    raw files ──▶ original_tags ──▶ claims ──▶ record ──▶ volumes to write
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from em_assets.catalog import tables
from em_assets.catalog.fields import fields_table
from em_assets.catalog.files import files_table
from em_assets.catalog.schemas import ORIGINAL_TAGS
from em_assets.datasets import Dataset
from em_assets.datasets.opening import RawVolume, open_raw, raw_units
from em_assets.datasets.records import archive_witnesses
from em_assets.errors import FormatError, NotBuiltError
from em_assets.evidence import claims_of, resolutions, resolve
from em_assets.formats import detect, read_tags
from em_assets.formats.redaction import redacted
from em_assets.model import Content, PartialFloatZYX, RawFile, Tag, VolumeRecord, Witness
from em_assets.settings import OMEZarrVersion, Settings
from em_assets.sources import read_manifest
from em_assets.sources.manifest import FILES
from em_assets.volumes.pyramid import Progress, WrittenVolume, write_pyramid
from em_assets.volumes.store import CommittedVolume, commit_volume, generation_name

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class VolumeToWrite:
    """One volume, ready to be written: where it goes, what it is made from, and under which name of its generation."""

    folder: Path
    generation: str
    inputs: tuple[str, ...]
    raw: RawVolume
    voxel_size_zyx_nm: PartialFloatZYX
    ome_zarr: OMEZarrVersion
    attributes: Mapping[str, Any]

    @property
    def name(self) -> str:
        """Name of the volume in its dataset."""
        return self.raw.name

    @property
    def content(self) -> Content:
        """What the voxels are."""
        return self.raw.content

    def commit(self, progress: Progress | None = None) -> CommittedVolume:
        """Write it slab by slab and make it visible whole; no work where this generation is committed already."""
        return commit_volume(
            self.folder,
            self.generation,
            lambda dest: self._write(dest, progress),
            inputs=self.inputs,
            labels_of=self.raw.labels_of,
        )

    def _write(self, dest: Path, progress: Progress | None) -> WrittenVolume:
        return write_pyramid(
            self.raw.source,
            dest,
            ome_zarr=self.ome_zarr,
            content=self.content,
            voxel_size_zyx_nm=self.voxel_size_zyx_nm,
            name=self.name,
            attributes=self.attributes,
            progress=progress,
        )


def held_files(dataset: Dataset, settings: Settings) -> tuple[RawFile, ...]:
    """The dataset's manifest.

    Raises
    ------
    NotBuiltError
        Nothing has been fetched yet.
    """
    files = read_manifest(settings.raw_dir(dataset.name))
    if files is None:
        raise NotBuiltError(f"{dataset.name} is not fetched yet: em-assets fetch {dataset.name}")
    return files


def raw_volumes(dataset: Dataset, settings: Settings) -> list[RawVolume]:
    """The dataset's volumes as its raw files hold them, opened lazily."""
    return open_raw(dataset, settings.raw_dir(dataset.name), held_files(dataset, settings))


def original_tags(dataset: Dataset, settings: Settings) -> "pa.Table":
    """Every tag of every file, in the files' own order; pixels are not read."""
    units = _units(dataset, settings)
    return tables.concat(ORIGINAL_TAGS, (tables.tags_table(file, _tags(path, settings)) for file, path in units))


def claims(dataset: Dataset, settings: Settings) -> "pa.Table":
    """What files, archive, publisher and registry say of each field."""
    witnesses = [(file, _witnesses(path, settings)) for file, path in _units(dataset, settings)]
    raw_dir, held = settings.raw_dir(dataset.name), held_files(dataset, settings)
    volumes = raw_volumes(dataset, settings)
    found = claims_of(
        dataset,
        witnesses,
        volumes,
        settings.origin,
        files=[file for file in held if dataset.sources[file.source].archive is None],
        files_dir=str(raw_dir / FILES),
        archive_witnesses=archive_witnesses(dataset, raw_dir, held, volumes),
    )
    return tables.claims_table(found)


def record(dataset: Dataset, settings: Settings, claims: "pa.Table") -> tuple["pa.Table", "pa.Table"]:
    """The record, one row a volume, and the conflicts between those who claim."""
    said = tables.claims_of_table(claims)
    records, conflicts = resolve(dataset, raw_volumes(dataset, settings), said, settings.origin)
    return tables.record_table(records), tables.conflicts_table(conflicts)


def fields(dataset: Dataset, settings: Settings, claims: "pa.Table") -> "pa.Table":
    """Every field of the record with its witness, the unknown ones too."""
    names = [volume.name for volume in raw_volumes(dataset, settings)]
    decided = resolutions(dataset, names, tables.claims_of_table(claims), settings.origin)
    return fields_table(dataset.name, names, decided)


def files(dataset: Dataset, settings: Settings) -> "pa.Table":
    """Every raw file with the format that reads it and the volume that it is part of."""
    root = settings.raw_dir(dataset.name) / FILES
    volumes = raw_volumes(dataset, settings)
    return files_table(
        dataset.name,
        settings.origin,
        held_files(dataset, settings),
        formats={_below(path, root): detect(path).NAME for _, path in _units(dataset, settings)},
        volumes={volume.name: [_below(file, root) for file in volume.source.files] for volume in volumes},
    )


def volumes_to_write(dataset: Dataset, settings: Settings, record: "pa.Table") -> Iterator[VolumeToWrite]:
    """Each volume with the voxel size that its record settled on."""
    records = {row.volume: row for row in tables.records_of_table(record)}
    files = held_files(dataset, settings)
    for raw in raw_volumes(dataset, settings):
        yield _to_write(dataset, settings, raw, records[raw.name], files)


def _tags(path: Path, settings: Settings) -> Iterator[Tag]:
    tags = read_tags(path)
    return redacted(tags) if settings.redact else tags


def _witnesses(path: Path, settings: Settings) -> list[Witness]:
    try:
        return list(detect(path).witnesses(list(_tags(path, settings))))
    except FormatError as error:
        if str(path) in str(error):
            raise
        raise type(error)(f"{path}: {error}") from error  # tags do not know which file they are from


def _to_write(
    dataset: Dataset, settings: Settings, raw: RawVolume, record: VolumeRecord, files: Sequence[RawFile]
) -> VolumeToWrite:
    facts = {
        "dataset": dataset.name,
        "volume": raw.name,
        "origin": settings.origin,
        "content": raw.content,
        "labels_of": raw.labels_of,
        "technique": record.technique,
        "voxel_size_zyx_nm": list(record.voxel_size_zyx_nm),
    }
    inputs = tuple(sorted(f"{file.path} {file.sha256}" for file in files))
    generation = generation_name(inputs, facts | {"ome_zarr": settings.ome_zarr})
    return VolumeToWrite(
        folder=settings.volumes_dir(dataset.name) / raw.name,
        generation=generation,
        inputs=inputs,
        raw=raw,
        voxel_size_zyx_nm=record.voxel_size_zyx_nm,
        ome_zarr=settings.ome_zarr,
        attributes=facts | {"generation": generation},
    )


def _below(path: Path | str, root: Path) -> str:
    whole = Path(path)
    return (whole.relative_to(root) if whole.is_relative_to(root) else whole).as_posix()


def _units(dataset: Dataset, settings: Settings) -> list[tuple[str, Path]]:
    return raw_units(dataset, settings.raw_dir(dataset.name), held_files(dataset, settings))
