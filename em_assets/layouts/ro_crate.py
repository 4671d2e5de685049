"""A dataset as OME-Zarr with an RO-Crate 1.1 at its root: `<dataset>.zarr/ro-crate-metadata.json`.

::

    <dataset>.zarr/                     of one volume: its OME-Zarr group, as it lies in the store
        ro-crate-metadata.json
    <dataset>.zarr/<volume>/            of several: a Zarr group with one OME-Zarr group for each

The crate is what the OME-Zarr challenge of 2024 asks for (species by NCBI taxon, imaging method by FBbi id), and more.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from em_assets.layouts.copying import copy_group
from em_assets.layouts.crate import CrateVolume, crate_document
from em_assets.layouts.held import Held
from em_assets.layouts.interface import Options, Takes, Written
from em_assets.layouts.works import work_of
from em_assets.settings import OMEZarrVersion
from em_assets.sources.origins import url_scheme
from em_assets.volumes.store import CommittedVolume, committed_volumes

TAKES: Takes = "one"

METADATA_FILE = "ro-crate-metadata.json"

GROUP: Mapping[OMEZarrVersion, tuple[str, dict[str, Any]]] = {
    "0.5": ("zarr.json", {"zarr_format": 3, "node_type": "group", "attributes": {}}),
    "0.4": (".zgroup", {"zarr_format": 2}),
}
"""The document that makes a folder a Zarr group, in each version."""


def export(held: Sequence[Held], draft: Path, options: Options) -> Written:
    """Copy the volumes of one dataset and write the crate about them."""
    (one,) = held
    if not one.records:
        return Written(refused=(f"{one.name}: no volume, so no OME-Zarr to describe",))
    committed = committed_volumes(one.settings.volumes_dir(one.name))
    version, refused = _version(one, committed)
    carried = [record for record in one.records if committed[record.volume].commit.ome_zarr == version]
    root = draft / f"{one.name}.zarr"
    root.mkdir()
    if len(carried) > 1:
        name, document = GROUP[version]
        _write(root / name, document)
    volumes = [CrateVolume(record, "./" if len(carried) == 1 else f"{record.volume}/", version) for record in carried]
    for volume in volumes:
        copy_group(committed[volume.record.volume], root / volume.path)
    work = work_of(one)
    _write(root / METADATA_FILE, crate_document(work, volumes, _public_sources(one)))
    undated = () if work.released_on else ("datePublished left out: nobody says when the data were released",)
    return Written(refused=refused, notes=(*work.licences.notes, *undated))


def _version(one: Held, committed: Mapping[str, CommittedVolume]) -> tuple[OMEZarrVersion, tuple[str, ...]]:
    """The version of OME-Zarr that goes out, the settings' where a volume has it; and the volumes of another."""
    versions = {record.volume: committed[record.volume].commit.ome_zarr for record in one.records}
    version = one.settings.ome_zarr if one.settings.ome_zarr in versions.values() else max(versions.values())
    return version, tuple(
        f"{name}: lies in the store as OME-Zarr {found}, others as {version}; one Zarr tree has one version: "
        f"em-assets fetch {one.name} under EM_ASSETS_OME_ZARR={version}"
        for name, found in versions.items()
        if found != version
    )


def _public_sources(one: Held) -> tuple[str, ...]:
    """Where the data came from, without this machine's own folders."""
    urls = dict.fromkeys(source.url for source in one.dataset.sources)
    return tuple(url for url in urls if url_scheme(url) != "file")


def _write(path: Path, document: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
