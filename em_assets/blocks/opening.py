"""From a name, a path or a URL to the volume that is meant."""

import warnings
from functools import partial
from pathlib import Path

from em_assets import datasets
from em_assets import settings as settings_module
from em_assets.blocks.caching import looks, with_cache
from em_assets.blocks.volume import VolumeDataset
from em_assets.catalog.schemas import CONFLICTS, RECORD
from em_assets.catalog.tables import conflicts_of_table, read_table, records_of_table
from em_assets.datasets import Dataset
from em_assets.datasets.opening import open_raw
from em_assets.errors import NotBuiltError, UnknownDatasetError, UsageError, shown_url
from em_assets.formats import FORMATS, open_path
from em_assets.formats.trees import disk_errors, is_url, local_path
from em_assets.formats.web_files import look
from em_assets.keeping import bring, bring_raw
from em_assets.model import PartialFloatZYX, known
from em_assets.remote.path import RemotePath
from em_assets.settings import BlockCache, Settings
from em_assets.sources.manifest import read_manifest
from em_assets.volumes import store
from em_assets.volumes.addressed import committed_at, committed_in
from em_assets.volumes.choice import by_name, choose
from em_assets.volumes.reading import open_committed
from em_assets.volumes.store import CommittedVolume


def open_volume(
    ref: str | Path, *, volume: str | None = None, level: int = 0, settings: Settings | None = None
) -> VolumeDataset:
    """Open a volume without reading any voxel.

    Parameters
    ----------
    ref
        The name of a registered dataset: its committed volume, else its raw files. Or a path or URL of any known
        format. `./name` is a path where a dataset has the same name.
    volume
        Which one, where there are several.
    level
        Level of resolution, 0 the finest.
    settings
        Where datasets and the store are; from the environment by default.

    Raises
    ------
    UsageError
        No name, path or URL at all.
    UnknownDatasetError
        Neither a dataset nor a path; the message lists the datasets.
    VolumeChoiceError
        Several volumes and none chosen, or none of that name; the message lists them.
    NotBuiltError
        A dataset that was never fetched.
    OutOfBoundsError
        There is no such level.
    EMAssetsError
        Whatever is wrong with the file.

    Warns
    -----
    UserWarning
        The dataset's sources disagree on the voxel size and no rule decides: it is None, and both values are named.
    """
    if not isinstance(ref, str | Path) or not str(ref):
        raise UsageError(f"open_volume({ref!r}): a dataset's name, a path or a URL expected")
    found = None
    if isinstance(ref, str) and "/" not in ref:
        found = _open_named(ref, volume, settings or settings_module.load())
    if found is None:
        found = _open_path(str(ref), volume, settings.block_cache if settings else settings_module.block_cache())
    return found.at_level(level)


def _open_named(name: str, volume: str | None, settings: Settings) -> VolumeDataset | None:
    """A dataset's volume; None where the name is that of a file or folder here and of no dataset."""
    registered = datasets.load(settings)
    if name in registered:
        found = _open_dataset(registered[name], volume, settings)
        if found.dispute:
            warnings.warn(f"{name}, {found.name}: {found.dispute}; it counts as unknown", stacklevel=3)
        return found
    with disk_errors(name):
        if Path(name).exists():
            return None
    raise UnknownDatasetError(f"{name!r} is no dataset and no path here; datasets: {', '.join(registered)}")


def _open_dataset(dataset: Dataset, volume: str | None, settings: Settings) -> VolumeDataset:
    """The committed volume where there is one, else the raw files' own."""
    bring(settings, dataset.name)
    committed = store.committed_volumes(settings.volumes_dir(dataset.name))
    if committed and (volume is None or volume in committed):
        return _of_dataset(choose(committed, volume, dataset.name), dataset.name, settings)
    files = read_manifest(settings.raw_dir(dataset.name))
    if files is None:
        if committed:
            return _of_dataset(choose(committed, volume, dataset.name), dataset.name, settings)
        raise NotBuiltError(f"{dataset.name} is not fetched yet: em-assets fetch {dataset.name}")
    bring_raw(settings, dataset.name)
    chosen = choose(by_name(open_raw(dataset, settings.raw_dir(dataset.name), files)), volume, dataset.name)
    size = _recorded_voxel_size(dataset.name, chosen.name, settings) or chosen.source.voxel_size_zyx_nm
    return VolumeDataset(
        name=chosen.name,
        url=chosen.source.files[0],
        source=chosen.source,
        level=0,
        finest_voxel_size_zyx_nm=size,
        reopen=partial(_open_dataset, dataset, chosen.name, settings),
        dataset=dataset.name,
        dispute="" if known(size) else _dispute(dataset.name, chosen.name, settings),
    )


def _of_dataset(committed: CommittedVolume, dataset: str, settings: Settings) -> VolumeDataset:
    is_known = known(committed.commit.voxel_size_zyx_nm)
    dispute = "" if is_known else _dispute(dataset, committed.folder.name, settings)
    return _of_commit(committed, settings.block_cache, dataset, dispute)


def _of_commit(
    committed: CommittedVolume, cache: BlockCache | None = None, dataset: str | None = None, dispute: str = ""
) -> VolumeDataset:
    source = open_committed(committed)
    if cache and isinstance(committed.folder, RemotePath):
        source = with_cache(source, committed.commit.ledger_blake3, cache)
    return VolumeDataset(
        name=source.name,
        url=str(committed.path),
        source=source,
        level=0,
        finest_voxel_size_zyx_nm=committed.commit.voxel_size_zyx_nm,
        reopen=partial(_of_commit, committed, cache, dataset, dispute),
        dataset=dataset,
        committed=committed,
        dispute=dispute,
    )


def _open_path(path: str, volume: str | None, cache: BlockCache | None) -> VolumeDataset:
    folder = local_path(path) if not is_url(path) else None
    committed = _committed_at(folder or path)
    if committed:
        return _of_commit(choose({committed.folder.name: committed}, volume, path), cache)
    source = choose(by_name(open_path(path)), volume, path)
    if cache and folder is None:
        source = with_cache(source, f"{path} {_validators(path)} {looks(source)}", cache)
    return VolumeDataset(
        name=source.name,
        url=shown_url(path),
        source=source,
        level=0,
        finest_voxel_size_zyx_nm=source.voxel_size_zyx_nm,
        reopen=partial(_open_path, str(folder or path), source.name, cache),
    )


def _committed_at(place: Path | str) -> CommittedVolume | None:
    """The volume whose folder this is, or one of its generations; None where it is anything else."""
    if isinstance(place, str):
        return committed_at(place)
    with disk_errors(place):
        return committed_in(place) if place.is_dir() else None


def _validators(url: str) -> list[str]:
    """What the server says of the files that mark the volume: with other bytes it says something else."""
    marks = [look(f"{url.rstrip('/')}/{name}") for format in FORMATS.values() for name in format.MARKERS]
    return [f"{mark['e_tag']} {mark['last_modified']}" for mark in marks if mark]


def _recorded_voxel_size(dataset: str, volume: str, settings: Settings) -> PartialFloatZYX | None:
    """What the record settled on, known or not; None where there is no record yet."""
    try:
        table = read_table(settings.metadata_dir(dataset) / "record.parquet", RECORD)
    except NotBuiltError:
        return None
    return next((row.voxel_size_zyx_nm for row in records_of_table(table) if row.volume == volume), None)


def _dispute(dataset: str, volume: str, settings: Settings) -> str:
    """Who says what of a voxel size that no rule decides; "" where nobody disagrees."""
    try:
        table = read_table(settings.metadata_dir(dataset) / "conflicts.parquet", CONFLICTS)
    except NotBuiltError:
        return ""
    said = [
        f"{conflict.field} is {conflict.value} according to {conflict.said_by} and {conflict.other_value} "
        f"according to {conflict.other_said_by}"
        for conflict in conflicts_of_table(table)
        if conflict.volume in (None, volume) and conflict.field.startswith("voxel_size") and not conflict.is_settled
    ]
    return "; ".join(said)
