"""The steps of the graph as plain functions: what each asset makes, from what the store holds. No Dagster here.

::

    raw files ──▶ original_tags ──▶ claims ──▶ record ──▶ volumes to write
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from em_assets.catalog import points, tables
from em_assets.catalog.fields import fields_table
from em_assets.catalog.files import files_table
from em_assets.catalog.schemas import CLAIMS, CONFLICTS, FIELDS, ORIGINAL_TAGS, RECORD, TableSchema
from em_assets.catalog.schemas import FILES as FILES_TABLE
from em_assets.datasets import Dataset
from em_assets.datasets.opening import RawVolume, is_of_another_level, open_raw, raw_units
from em_assets.datasets.records import archive_witnesses
from em_assets.errors import FormatError, IncompleteError, NotBuiltError
from em_assets.evidence import claims_of, resolutions, resolve
from em_assets.formats import detect_tagged, read_tags
from em_assets.formats.redaction import redacted
from em_assets.formats.volume import SourceVolume
from em_assets.keeping import bring_raw
from em_assets.model import VECTORS, Content, PartialFloatZYX, RawFile, Tag, VolumeRecord, Witness
from em_assets.retention import is_dropped
from em_assets.settings import OMEZarrVersion, Settings
from em_assets.sources import read_manifest
from em_assets.sources.in_place import changed_files
from em_assets.sources.manifest import FILES, dropped_paths
from em_assets.volumes.cascade import Progress
from em_assets.volumes.folders import Folder
from em_assets.volumes.pyramid import WriteLevels, WrittenVolume, in_this_process, write_pyramid
from em_assets.volumes.store import CommittedVolume, commit_volume, generation_name

if TYPE_CHECKING:
    import pyarrow as pa


OF_A_LEVEL = (*VECTORS["voxel_size_zyx_nm"], "shape_zyx", "source_chunks", "source_compressor")
"""What a remote volume's metadata says of its finest level, and not of the one that a box is cut from."""


@dataclass(frozen=True)
class VolumeToWrite:
    """One volume, ready to be written: where it goes, what it is made from, and under which name of its generation.

    `changed` names the files that lie elsewhere and are no longer what was hashed.
    """

    folder: Folder
    generation: str
    inputs: tuple[str, ...]
    raw: RawVolume
    voxel_size_zyx_nm: PartialFloatZYX
    ome_zarr: OMEZarrVersion
    attributes: Mapping[str, Any]
    codec: str
    memory_budget_bytes: int
    where: WriteLevels = in_this_process
    changed: Callable[[], list[str]] = list

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

    def _write(self, dest: Folder, progress: Progress | None) -> WrittenVolume:
        written = write_pyramid(
            self.raw.source,
            dest,
            ome_zarr=self.ome_zarr,
            content=self.content,
            voxel_size_zyx_nm=self.voxel_size_zyx_nm,
            name=self.name,
            attributes=self.attributes,
            progress=progress,
            where=self.where,
            codec=self.codec,
            memory_budget_bytes=self.memory_budget_bytes,
        )
        changed = self.changed()
        if changed:
            raise IncompleteError(f"changed while {self.name} was made of it: {'; '.join(changed[:3])}")
        return written


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


def present_files(dataset: Dataset, settings: Settings) -> tuple[RawFile, ...]:
    """Files of the dataset's manifest whose bytes are there to be looked at: all but those that were dropped."""
    files = held_files(dataset, settings)
    dropped = dropped_paths(settings.raw_dir(dataset.name)) if is_dropped(dataset, settings) else ()
    return tuple(file for file in files if file.path not in dropped)


def inputs_of(files: Sequence[RawFile]) -> tuple[str, ...]:
    """What a commit says of the files that its volume was made from: path and SHA-256 of each, sorted."""
    return tuple(sorted(f"{file.path} {file.sha256}" for file in files))


def raw_volumes(dataset: Dataset, settings: Settings) -> list[RawVolume]:
    """The dataset's volumes as its raw files hold them, opened lazily."""
    bring_raw(settings, dataset.name)
    return open_raw(dataset, settings.raw_dir(dataset.name), held_files(dataset, settings))


def original_tags(dataset: Dataset, settings: Settings) -> "pa.Table":
    """Every tag of every file, in the files' own order; pixels are not read."""
    if is_dropped(dataset, settings):
        return _kept(dataset, settings, ORIGINAL_TAGS)
    units = _units(dataset, settings)
    return tables.concat(ORIGINAL_TAGS, (tables.tags_table(file, _tags(path, settings)) for file, path in units))


def write_points(dataset: Dataset, settings: Settings) -> int:
    """Write the annotated points of a dataset of the cryoET portal beside its tables; how many there are."""
    if is_dropped(dataset, settings) or all(source.archive != "cryoet" for source in dataset.sources):
        return 0
    bring_raw(settings, dataset.name)
    return points.write_points(dataset.name, held_files(dataset, settings), settings)


def claims(dataset: Dataset, settings: Settings) -> "pa.Table":
    """What files, archive, publisher and registry say of each field."""
    if is_dropped(dataset, settings):
        return _kept(dataset, settings, CLAIMS)
    raw_dir, held = settings.raw_dir(dataset.name), held_files(dataset, settings)
    witnesses = []
    for file, path in _units(dataset, settings):
        said = _witnesses(path, settings)
        if is_of_another_level(dataset, raw_dir, path):
            said = [one for one in said if one.field not in OF_A_LEVEL]
        witnesses.append((file, said))
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
    if is_dropped(dataset, settings):
        return _kept(dataset, settings, RECORD), _kept(dataset, settings, CONFLICTS)
    said = tables.claims_of_table(claims)
    records, conflicts = resolve(dataset, raw_volumes(dataset, settings), said, settings.origin)
    return tables.record_table(records), tables.conflicts_table(conflicts)


def fields(dataset: Dataset, settings: Settings, claims: "pa.Table") -> "pa.Table":
    """Every field of the record with its witness, the unknown ones too."""
    if is_dropped(dataset, settings):
        return _kept(dataset, settings, FIELDS)
    names = [volume.name for volume in raw_volumes(dataset, settings)]
    decided = resolutions(dataset, names, tables.claims_of_table(claims), settings.origin)
    return fields_table(dataset.name, names, decided)


def files(dataset: Dataset, settings: Settings) -> "pa.Table":
    """Every raw file with the format that reads it and the volume that it is part of."""
    if is_dropped(dataset, settings):
        return _kept(dataset, settings, FILES_TABLE)
    root = settings.raw_dir(dataset.name) / FILES
    volumes = raw_volumes(dataset, settings)
    return files_table(
        dataset.name,
        settings.origin,
        held_files(dataset, settings),
        formats={_below(path, root): detect_tagged(path).NAME for _, path in _units(dataset, settings)},
        volumes={volume.name: [_below(file, root) for file in volume.source.files] for volume in volumes},
    )


def volumes_to_write(dataset: Dataset, settings: Settings, record: "pa.Table") -> Iterator[VolumeToWrite]:
    """Each volume with the voxel size that its record settled on; none where the raw bytes were dropped after it."""
    if is_dropped(dataset, settings):
        return
    records = {row.volume: row for row in tables.records_of_table(record)}
    files = held_files(dataset, settings)
    for raw in raw_volumes(dataset, settings):
        yield _to_write(dataset, settings, raw, records[raw.name], files)


def _kept(dataset: Dataset, settings: Settings, schema: TableSchema) -> "pa.Table":
    """A table as it was made before the raw bytes were dropped."""
    return tables.read_table(settings.metadata_dir(dataset.name) / f"{schema.name}.parquet", schema)


def _tags(path: Path, settings: Settings) -> Iterator[Tag]:
    tags = read_tags(path)
    return redacted(tags) if settings.redact else tags


def _witnesses(path: Path, settings: Settings) -> list[Witness]:
    try:
        return list(detect_tagged(path).witnesses(list(_tags(path, settings))))
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
    inputs = inputs_of(files)
    generation = generation_name(inputs, facts | {"ome_zarr": settings.ome_zarr, "codec": settings.codec})
    return VolumeToWrite(
        folder=settings.volumes_dir(dataset.name) / raw.name,
        generation=generation,
        inputs=inputs,
        raw=raw,
        voxel_size_zyx_nm=record.voxel_size_zyx_nm,
        ome_zarr=settings.ome_zarr,
        attributes=facts | {"generation": generation},
        codec=settings.codec,
        memory_budget_bytes=settings.memory_budget_bytes,
        where=_where(dataset, settings, raw.name),
        changed=partial(changed_files, settings.raw_dir(dataset.name) / FILES, files),
    )


def _where(dataset: Dataset, settings: Settings, volume: str) -> WriteLevels:
    """What writes a volume's levels: this process, or the workers of the cluster that the settings name."""
    if settings.dask is None:
        return in_this_process
    from em_assets.volumes.cluster import on_a_cluster

    return on_a_cluster(settings.dask, partial(_raw_source, dataset, settings, volume))


def _raw_source(dataset: Dataset, settings: Settings, volume: str) -> SourceVolume:
    """One of a dataset's volumes as its raw files hold it, opened in a worker, whose machine may not have them yet."""
    return next(raw.source for raw in raw_volumes(dataset, settings) if raw.name == volume)


def _below(path: Path | str, root: Path) -> str:
    whole = Path(path)
    return (whole.relative_to(root) if whole.is_relative_to(root) else whole).as_posix()


def _units(dataset: Dataset, settings: Settings) -> list[tuple[str, Path]]:
    bring_raw(settings, dataset.name)
    return raw_units(dataset, settings.raw_dir(dataset.name), held_files(dataset, settings))
