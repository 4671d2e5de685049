"""A VISoR sample's folder, local or behind a URL, as the TOML file of a dataset: its images' items are the volumes."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from em_assets.errors import FormatError
from em_assets.formats import open_path
from em_assets.formats.trees import Tree, is_url, local_path, open_tree
from em_assets.layouts.interface import Imported
from em_assets.layouts.visor_items import FORMS_IN_WORDS, SCHEMA_2024, item_of
from em_assets.model import Source
from em_assets.sources import observe
from em_assets.sources.origins import PUBLIC_ORIGIN

_IMAGE_2024 = re.compile(r"(?P<folder>visor_(?:raw|reconstructed)_image\.zarr)/\.zgroup")
_IMAGE_2025 = re.compile(r"(?P<folder>visor_(?P<kind>[a-z]+)_images/(?P<image>[^/]+)\.zarr)/zarr\.json")


class _Image(NamedTuple):
    """A zarr group of a sample: its folder, and what its volumes' names begin with ("" for nothing)."""

    folder: str
    prefix: str


def describe_sample(tree: str, name: str, schema: str) -> Imported:
    """The TOML file for a sample in a version of the schema.

    Raises
    ------
    FormatError
        There is no image in it, or an item has a name of no known form, or names and extents disagree.
    """
    root = tree.rstrip("/") if is_url(tree) else str(local_path(tree))
    paths = [file.path for _, file in observe((Source(url=f"{root}/"),), PUBLIC_ORIGIN).files]
    images = _images(paths, schema)
    if not images:
        raise FormatError(f"{root}: {_expected(schema)} expected, found none in {len(paths)} files")
    said = open_tree(root)
    sources = [_source(root, image, said) for image in images]
    rest = [path for path in paths if not any(path.startswith(f"{image.folder}/") for image in images)]
    if rest:
        sources.append({"url": f"{root}/", "exclude": [f"{image.folder}/**" for image in images], "is_volume": False})
    info = said.read_json("info.json")
    info = info if isinstance(info, dict) else {}
    sample = info.get("animal_id") or root.rpartition("/")[2].removesuffix(".vsr")
    lines = [
        f"# A VISoR sample, described by em-assets import from its tree (image data schema {schema}).",
        f"title = {_text(f'VISoR sample {sample}')}",
        'format = "ome_zarr"',
        *_blocks("source", sources),
        *_blocks("says", _statements(info, schema)),
    ]
    findings = [*_kept(rest), *_contradictions(said, images, rest)]
    return Imported("\n".join(lines) + "\n", tuple(findings))


def _images(paths: Sequence[str], schema: str) -> list[_Image]:
    if schema == SCHEMA_2024:
        return [_Image(found["folder"], "") for path in paths if (found := _IMAGE_2024.fullmatch(path))]
    return [
        _Image(each["folder"], each["image"] if each["kind"] == "raw" else f"{each['kind']}_{each['image']}")
        for path in paths
        if (each := _IMAGE_2025.fullmatch(path))
    ]


def _expected(schema: str) -> str:
    return "visor_raw_image.zarr" if schema == SCHEMA_2024 else "visor_raw_images/….zarr"


def _source(root: str, image: _Image, said: Tree) -> dict[str, Any]:
    """One source of the TOML file; its `volume` makes each item's name say image, stack and channel."""
    where = f"{root}/{image.folder}"
    items = [volume.name for volume in open_path(where, format="ome_zarr")]
    if len(items) == 1:
        items = [items[0] if item_of(_joined(image, items[0])) else _only_channel(image, said)]
    for item in items:
        if item_of(_joined(image, item)) is None:
            raise FormatError(f"{where}: the item {item!r}: {FORMS_IN_WORDS}; rename it in the metadata")
    volume = {"volume": image.prefix} if image.prefix else {}
    if len(items) == 1:  # or nothing would say which stack and channel it is
        volume = {"volume": _joined(image, items[0])}
    return {"url": f"{where}/", **volume, "content": "fluorescence"}


def _joined(image: _Image, item: str) -> str:
    return f"{image.prefix}_{item}" if image.prefix else item


def _only_channel(image: _Image, said: Tree) -> str:
    """The wavelength of an image without stacks that has one channel: no axis is long enough to need names."""
    document = said.read_json(f"{image.folder}/zarr.json")
    attributes = document.get("attributes") if isinstance(document, dict) else None
    visor = attributes.get("visor") if isinstance(attributes, dict) else None
    channels = visor.get("channels") if isinstance(visor, dict) else None
    names = [str(each.get("wavelength")) for each in channels or [] if isinstance(each, dict)]
    return names[0] if len(names) == 1 else ""


def _statements(info: Mapping[str, Any], schema: str) -> Iterator[dict[str, Any]]:
    yield {"field": "technique", "value": "light-sheet", "at": f"VISoR image data schema {schema}"}
    if isinstance(info.get("species"), str) and info["species"]:
        yield {"field": "organism", "value": info["species"], "at": "info.json: species"}


def _kept(rest: Sequence[str]) -> Iterator[str]:
    """Files that nothing reads; of JSON every value becomes a tag."""
    others = (path for path in rest if not path.endswith(".json"))
    yield from (f"{path}: kept as it is; no volume, and no tags in it" for path in others)


def _contradictions(said: Tree, images: Sequence[_Image], rest: Sequence[str]) -> Iterator[str]:
    """What the tree's own lists name and the tree has not."""
    folders = {image.folder for image in images}
    path = "visor_raw_images/selected.json"
    selected = said.read_json(path) if path in rest else None
    for entry in selected if isinstance(selected, list) else []:
        name = entry.get("name") if isinstance(entry, dict) else None
        if f"visor_raw_images/{name}.zarr" not in folders:
            yield f"{path}: names {name!r}, and there is no such image"
    for path in rest:
        if path.startswith("visor_recon_transforms/") and path.endswith("/transforms.json"):
            yield from _missing_transforms(said, path, rest)


def _missing_transforms(said: Tree, path: str, rest: Sequence[str]) -> Iterator[str]:
    folder, listed = path.removesuffix("transforms.json"), said.read_json(path)
    for entry in listed if isinstance(listed, list) else []:
        name = entry.get("name") if isinstance(entry, dict) else None
        if not any(other.startswith(f"{folder}{name}") and other != path for other in rest):
            yield f"{path}: names {name!r}, and there is no such transform"


def _blocks(heading: str, tables: Any) -> Iterator[str]:
    for table in tables:
        yield ""
        yield f"[[{heading}]]"
        yield from (f"{key} = {_text(value)}" for key, value in table.items())


def _text(value: Any) -> str:
    """A value in TOML, which writes plain values and lists of them as JSON does."""
    return json.dumps(value, ensure_ascii=False)
