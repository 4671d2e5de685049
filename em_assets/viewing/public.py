"""The archive's own copy of a volume in the hosted neuroglancer: of what is public, and what a browser can read."""

import json
from collections.abc import Sequence
from pathlib import PurePosixPath
from urllib.parse import quote

from em_assets.datasets import Dataset
from em_assets.model import RawFile
from em_assets.settings import PUBLIC, Settings
from em_assets.sources.manifest import read_manifest
from em_assets.sources.origins import url_scheme
from em_assets.viewing.scene import Scene
from em_assets.viewing.state import state_of

HOSTED = "https://neuroglancer-demo.appspot.com/"
"""The build that neuroglancer's authors keep."""

DRIVERS = {"precomputed": "precomputed", "ome_zarr": "zarr", "n5": "n5"}
"""Formats that it reads where they lie, and its names for them."""

BROWSABLE = ("https", "s3", "gs")
"""What its page, which came over HTTPS, may ask: browsers refuse it plain HTTP."""

_MARKS = {"info": "precomputed", "zarr.json": "ome_zarr", ".zattrs": "ome_zarr", "attributes.json": "n5"}


def hosted_link(dataset: Dataset, scene: Scene, settings: Settings) -> str | None:
    """A link that shows the archive's own copy at the same place; None where no browser can read it.

    None as well where a voxel size is unknown: lengths are voxels then, along axes that our own copy has in an order
    which the archive's need not have. Whether the archive lets another host's page read it, this machine cannot know.
    """
    if settings.origin != PUBLIC or scene.voxel_size_zyx_nm is None:
        return None
    rows = read_manifest(settings.raw_dir(dataset.name)) or ()
    found = {layer.name: _public_url(dataset, layer.name, rows) for layer in scene.layers}
    urls = {name: url for name, url in found.items() if url}
    if scene.layers[0].name not in urls:
        return None
    return f"{HOSTED}#!{quote(json.dumps(state_of(scene, urls), separators=(',', ':')))}"


def _public_url(dataset: Dataset, volume: str, rows: Sequence[RawFile]) -> str | None:
    index = _source_of(dataset, volume)
    if index is None:
        return None
    source = dataset.sources[index]
    if source.kind == "cutout":
        return _driven(dataset.format, source.url)
    roots = _roots([row for row in rows if row.source == index])
    if len(roots) != 1:
        return None
    ((url, format),) = roots.items()
    return _driven(format, url)


def _source_of(dataset: Dataset, volume: str) -> int | None:
    """Index of the source that a volume comes from: the one that names it, or the only one that holds voxels."""
    holding = [index for index, source in enumerate(dataset.sources) if source.is_volume]
    named = [index for index in holding if dataset.sources[index].volume == volume]
    return next(iter(named or (holding if len(holding) == 1 else [])), None)


def _roots(rows: Sequence[RawFile]) -> dict[str, str]:
    """Address and format of each topmost folder that a marker file makes one thing."""
    marked = {
        row.url.rpartition("/")[0]: _MARKS[name] for row in rows if (name := PurePosixPath(row.path).name) in _MARKS
    }
    return {url: format for url, format in marked.items() if not any(url.startswith(f"{top}/") for top in marked)}


def _driven(format: str | None, url: str) -> str | None:
    driver = DRIVERS.get(format or "")
    return f"{driver}://{url.rstrip('/')}/" if driver and url_scheme(url) in BROWSABLE else None
