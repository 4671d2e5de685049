"""What the tags of a zarr tree say of a record's fields. Pure: tags in, witnesses out."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from em_assets.formats.json_tags import unflatten
from em_assets.formats.ngff_metadata import Multiscale, is_labels, multiscale, spatial_axes
from em_assets.formats.visor import is_visor
from em_assets.formats.zarr_arrays import ArrayInfo, array_info
from em_assets.formats.zarr_nodes import join
from em_assets.model import Tag, Witness
from em_assets.units import to_nm


def witnesses(tags: Iterable[Tag]) -> list[Witness]:
    """Voxel size, shape, type, levels, chunks and compressor of a tree that holds one image or one bare array.

    A tree of several says nothing of any one of them here: its volumes speak for themselves. A scale without a unit is
    no witness.
    """
    documents = unflatten(tags)
    images = list(_images(documents))
    if len(images) == 1:
        return [*_of_image(images[0]), *_of_array(documents, images[0].array_name, images[0].zyx)]
    arrays = [name for name in documents if _is_array(name, documents[name])]
    if not images and len(arrays) == 1:
        return _of_array(documents, arrays[0], None)
    return []


@dataclass(frozen=True)
class _Image:
    container: str
    prefix: str
    attributes: dict[str, Any]
    multiscale: Multiscale
    array_name: str
    zyx: tuple[int | None, ...]


def _images(documents: Mapping[str, Any]) -> Iterator[_Image]:
    for container, document in documents.items():
        folder, _, name = container.rpartition("/")
        if not isinstance(document, dict) or name not in ("zarr.json", ".zattrs"):
            continue
        prefix = "attributes." if name == "zarr.json" else ""
        attributes = document.get("attributes") if prefix else document
        image = multiscale(container, attributes)
        if image is not None and isinstance(attributes, dict):
            array = join(join(folder, image.levels[0].path), "zarr.json" if prefix else ".zarray")
            n = len(documents.get(array, {}).get("shape", ())) or 5
            yield _Image(container, prefix, attributes, image, array, spatial_axes(container, image.axes_of(n)))


def _of_image(image: _Image) -> Iterator[Witness]:
    level, at = image.multiscale.levels[0], f"{image.container} {image.prefix}"
    for name, axis in zip("zyx", image.zyx, strict=True):
        if axis is None or level.scale is None:
            continue
        unit = image.multiscale.axes[axis].unit
        if to_nm(level.scale[axis], unit) is not None:
            raw = json.dumps(list(level.scale))
            locator = " x ".join(f"{at}{path}" for path in level.scale_at)
            yield Witness(f"voxel_size_{name}_nm", level.scale[axis], unit, locator, raw)
    count = len(image.multiscale.levels)
    yield Witness("source_n_levels", count, None, f"{at}{image.multiscale.at}.datasets", str(count))
    if is_labels(image.attributes):
        yield Witness("content", "labels", None, f"{at}image-label", "image-label")
    elif is_visor(image.multiscale, image.attributes):
        yield Witness("content", "fluorescence", None, f"{at}{image.multiscale.at}.axes", "visor")


def _of_array(documents: Mapping[str, Any], name: str, zyx: Sequence[int | None] | None) -> list[Witness]:
    document = documents.get(name)
    if document is None:
        return []
    info = array_info(name, document)
    if zyx is None:
        zyx = (0, 1, 2) if len(info.shape) == 3 else (None, 0, 1) if len(info.shape) == 2 else ()
    found = [Witness("dtype", info.dtype.name, None, f"{name} {_dtype_key(name)}", str(document[_dtype_key(name)]))]
    if zyx:
        found += [_extent(name, document, info, zyx), _chunks(name, document, info, zyx)]
    if info.compressor is not None:
        key = "compressor" if "compressor" in document else "codecs"
        found.append(Witness("source_compressor", info.compressor, None, f"{name} {key}", json.dumps(document[key])))
    return found


def _extent(name: str, document: dict[str, Any], info: ArrayInfo, zyx: Sequence[int | None]) -> Witness:
    shape = [1 if axis is None else info.shape[axis] for axis in zyx]
    return Witness("shape_zyx", shape, None, f"{name} shape", json.dumps(document["shape"]))


def _chunks(name: str, document: dict[str, Any], info: ArrayInfo, zyx: Sequence[int | None]) -> Witness:
    chunks = [1 if axis is None else info.chunk_shape[axis] for axis in zyx]
    key = "chunks" if "chunks" in document else "codecs" if _is_sharded(document) else "chunk_grid"
    return Witness("source_chunks", chunks, None, f"{name} {key}", json.dumps(document[key]))


def _is_sharded(document: dict[str, Any]) -> bool:
    return any(isinstance(codec, dict) and codec.get("name") == "sharding_indexed" for codec in document["codecs"])


def _dtype_key(name: str) -> str:
    return "dtype" if name.endswith(".zarray") else "data_type"


def _is_array(name: str, document: Any) -> bool:
    is_v3 = isinstance(document, dict) and document.get("node_type") == "array"
    return is_v3 or name.rpartition("/")[2] == ".zarray"
