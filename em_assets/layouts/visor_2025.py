"""VISoR image data schema 2025.6.1: a folder `.vsr`, one OME-Zarr 0.5 group (vs, ch, z, y, x) an image, sharded.

::

    {dataset}.vsr/
        info.json                                  animal, project, species
        visor_raw_images/selected.json             images and their channels
        visor_raw_images/slice_1_10x.zarr/         visor_stacks stack_K, channels by wavelength
        visor_recon_images/XX_brain_20240101.zarr/

What came in from such a tree goes out as it was: the stacks' positions, the channels' settings, `info.json` and the
folders beside the images.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from shutil import copyfile
from typing import Any

from em_assets.errors import NotBuiltError
from em_assets.layouts.held import Held
from em_assets.layouts.interface import Imported, Options, Written
from em_assets.layouts.visor_arrays import metadata_v3, micrometres, scale_um, write_json, write_levels
from em_assets.layouts.visor_items import RAW_IMAGE, SCHEMA_2025, Item, Plate, item_of, items_of, plate_of, widened
from em_assets.layouts.visor_trees import describe_sample
from em_assets.model import RawFile

TAKES = "one"

AXES = (
    {"name": "vs", "type": "visor_stack"},
    {"name": "ch", "type": "channel"},
    *({"name": name, "type": "space", "unit": "micrometer"} for name in "zyx"),
)
INFO = "info.json"
BESIDE = ("visor_recon_transforms/",)
"""Folders of a tree that hold no images, and go out as they came."""


def export(held: Sequence[Held], draft: Path, options: Options) -> Written:
    """A sample of one dataset; refused whole where one of its volumes is no VISoR item."""
    (one,) = held
    items, refused = items_of(one)
    if refused:
        return Written(tuple(refused))
    plates: dict[tuple[str, str], Plate] = {}
    for place in sorted({(item.kind, item.image) for item in items}):
        plate, reasons = _plate([item for item in items if (item.kind, item.image) == place], one)
        plates |= {place: plate} if plate else {}
        refused += reasons
    if not plates:
        return Written(tuple(refused))
    sample = draft / f"{one.name}.vsr"
    for (kind, image), plate in plates.items():
        _write_image(plate, _visor_attributes(kind, plate, one), sample / f"visor_{kind}_images" / f"{image}.zarr")
    raw = [plate for (kind, _), plate in plates.items() if kind == "raw"]
    selected = [{"name": plate.name, "channels": list(plate.columns)} for plate in raw]
    write_json(sample / "visor_raw_images" / "selected.json", selected)
    return Written(tuple(refused), (*_write_beside(one, sample), *_lost_positions(raw), *widened(plates.values())))


def describe_tree(tree: str, name: str) -> Imported:
    """A `.vsr` folder as a dataset: a source for each of its images, the rest kept beside."""
    return describe_sample(tree, name, SCHEMA_2025)


def _plate(items: Sequence[Item], held: Held) -> tuple[Plate | None, list[str]]:
    image = items[0].image
    if items[0].kind == "raw" and not RAW_IMAGE.fullmatch(image):
        whole = f"{SCHEMA_2025} names a slice by a whole magnification, as slice_1_10x, and this one is {image}"
        return None, [f"{held.name}/{item.volume}: {whole}" for item in items]
    return plate_of(image, [(item.stack_label, item.wavelength, item.volume) for item in items], held)


def _write_image(plate: Plate, visor: Mapping[str, Any], group: Path) -> None:
    write_levels(plate, group, "zarr3", partial(metadata_v3, names=[axis["name"] for axis in AXES]))
    finest = plate.voxel_sizes_zyx_nm[0]
    multiscale = {
        "name": plate.name,
        "axes": list(AXES),
        "datasets": [
            _scaled([1.0, 1.0, *(a / b for a, b in zip(size, finest, strict=True))], {"path": str(level)})
            for level, size in enumerate(plate.voxel_sizes_zyx_nm)
        ],
        **_scaled(scale_um(finest), {}),
        "type": "mean",
        "metadata": {"method": "em_assets.volumes.downsample", "version": "1", "args": "[]"},
    }
    attributes = {"ome": {"version": "0.5", "multiscales": [multiscale]}, "visor": dict(visor)}
    write_json(group / "zarr.json", {"zarr_format": 3, "node_type": "group", "attributes": attributes})


def _scaled(scale: Sequence[float], entry: Mapping[str, Any]) -> dict[str, Any]:
    return {**entry, "coordinateTransformations": [{"type": "scale", "scale": list(scale)}]}


def _visor_attributes(kind: str, plate: Plate, held: Held) -> dict[str, Any]:
    """The image's own metadata where it came with some, in the order that is written; else its names alone."""
    known = _known_attributes(kind, plate.name, held)
    stacks = _by_name(known.get("visor_stacks"), "label")
    channels = _by_name(known.get("channels"), "wavelength")
    return {
        **known,
        "visor_stacks": [{**stacks.get(name, {}), "index": i, "label": name} for i, name in enumerate(plate.rows)],
        "channels": [
            {**channels.get(name, {}), "index": i, "wavelength": name} for i, name in enumerate(plate.columns)
        ],
    }


def _known_attributes(kind: str, image: str, held: Held) -> dict[str, Any]:
    for file in held.tagged_files:
        if _is_of(file, kind, image):
            document = held.json_documents(file).get("zarr.json")
            attributes = document.get("attributes") if isinstance(document, dict) else None
            found = attributes.get("visor") if isinstance(attributes, dict) else None
            return found if isinstance(found, dict) else {}
    return {}


def _is_of(file: str, kind: str, image: str) -> bool:
    """Whether tags are an image's: they are under its folder's name, or that of the volume, or of all its volumes."""
    item = item_of(file)
    all_volumes = image if kind == "raw" else f"{kind}_{image}"
    return file.rpartition("/")[2] in (f"{image}.zarr", all_volumes) or (item and (item.kind, item.image)) == (
        kind,
        image,
    )


def _by_name(entries: Any, key: str) -> dict[str, dict[str, Any]]:
    known = entries if isinstance(entries, list) else []
    return {str(entry[key]): entry for entry in known if isinstance(entry, dict) and key in entry}


def _write_beside(held: Held, sample: Path) -> list[str]:
    """Write `info.json` and the folders that hold no images, as they came where they did; what we state ourselves."""
    came = _files_beside(held)
    for name, path in came.items():
        (sample / name).parent.mkdir(parents=True, exist_ok=True)
        copyfile(path, sample / name)
    if INFO in came:
        return []
    organisms = sorted({record.organism for record in held.records if record.organism})
    info = {
        "animal_id": held.name,
        "project_name": held.dataset.title,
        "species": ", ".join(organisms) or "unknown",
        "subproject_name": "",
    }
    write_json(sample / INFO, info)
    unknown = "" if organisms else ", species is `unknown`, which nobody says"
    return [f"{INFO}: animal_id and project_name are the dataset's name and title{unknown}"]


def _lost_positions(raw: Sequence[Plate]) -> list[str]:
    """What this schema has no place for: a stack's position in micrometres, where it says one in the stage's units."""
    return [
        f"{volumes[0].name}: its offset of {micrometres(volumes[0].offset_zyx_nm)} µm (z, y, x) is left out"
        for plate in raw
        for volumes in plate.volumes
        if any(volumes[0].offset_zyx_nm)
    ]


def _files_beside(held: Held) -> dict[str, Path]:
    """Files that are no image's, by their name in a tree of this schema."""
    wanted: dict[str, RawFile] = {}
    for file in held.files:
        source = held.dataset.sources[file.source]
        name = file.url.removeprefix(source.url.rstrip("/") + "/")
        if not source.is_volume and (name == INFO or name.startswith(BESIDE)):
            wanted[name] = file
    if not wanted:
        return {}
    paths = {name: held.raw_folder() / file.path for name, file in wanted.items()}
    gone = [name for name, path in paths.items() if not path.is_file()]
    if gone:
        raise NotBuiltError(f"{held.name}: {gone[0]}: its raw bytes were dropped: em-assets fetch {held.name} first")
    return paths
