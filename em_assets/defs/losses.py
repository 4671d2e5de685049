"""What was made here once and is in the store no more: a deleted store, a lost disk, a folder that somebody removed.

The instance's history says what was asked for, and in which store; what exists is decided by the store alone, by its
manifests, tables and commits.
"""

from collections.abc import Iterator, Mapping

import dagster as dg

from em_assets import checking
from em_assets.catalog.schemas import RECORD
from em_assets.defs import metadata
from em_assets.defs.platform import Platform
from em_assets.errors import EMAssetsError
from em_assets.settings import Settings
from em_assets.sources import read_fingerprint
from em_assets.volumes.store import committed_volumes

Said = Mapping[str, object]
"""Metadata of a materialization."""


def losses(instance: dg.DagsterInstance, platform: Platform, name: str) -> Iterator[str]:
    """What of a dataset was made in this store, from this origin, and is gone: in words, the earliest step first.

    A run that succeeds leaves none, so that no loss asks for runs again and again.
    """
    settings = platform.settings
    record = settings.metadata_dir(name) / f"{RECORD.name}.parquet"
    if _made_here(instance, settings, "raw_files", name, settings.raw_dir(name)) is not None:
        yield from _raw_losses(platform, name)
    if _made_here(instance, settings, "record", name, record.parent) is not None and not record.is_file():
        yield "its record is gone from the store"
    said = _made_here(instance, settings, "volume", name, settings.volumes_dir(name))
    if said is not None:
        yield from _volume_losses(settings, name, said)


def _raw_losses(platform: Platform, name: str) -> Iterator[str]:
    if read_fingerprint(platform.settings.raw_dir(name)) is None:
        yield "its files are gone from the store"
    elif missing := checking.incomplete_files(platform.datasets[name], platform.settings):
        yield f"{len(missing)} of its files are gone from the store"


def _volume_losses(settings: Settings, name: str, said: Said) -> Iterator[str]:
    try:
        n_held = len(committed_volumes(settings.volumes_dir(name)))
    except EMAssetsError:  # a commit that names what is not there
        yield "a volume of it is damaged in the store"
        return
    if n_held < int(str(said.get("volumes", 0))):
        yield f"{int(str(said['volumes'])) - n_held} of its volumes are gone from the store"


def _made_here(instance: dg.DagsterInstance, settings: Settings, asset: str, name: str, folder: object) -> Said | None:
    """What an asset's last materialization said of itself; None where it was in another store, or of another origin."""
    asked = dg.AssetRecordsFilter(asset_key=dg.AssetKey(asset), asset_partitions=[name])
    for record in instance.fetch_materializations(asked, limit=1).records:
        made = record.asset_materialization
        said = {key: value.value for key, value in made.metadata.items()} if made else {}
        here = metadata.origin_badge(settings.origin)
        return said if said.get("folder") == str(folder) and said.get("origin", here) == here else None
    return None
