"""VISoR image data schema 2024.11.0: one 5-D array (t, c, z, y, x) a level, zarr v2, OME-NGFF 0.4.

::

    {dataset}/                           an OME-Zarr group too: its levels are those below, its axes what readers know
        visor_raw_image.zarr/            t items slice_S_stack_K, c items 405nm_10X
            0/ 1/ …
        visor_reconstructed_image.zarr/  t items PERSON_ROI_DATE

The schema's own metadata has an entry with a translation alone for each t item, which makes usual readers fail. The
group above has the levels only: the same chunks, opened by napari, ome-zarr and ngff-zarr as they are.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from em_assets.layouts.held import Held
from em_assets.layouts.interface import Imported, Options, Written
from em_assets.layouts.visor_arrays import metadata_v2, micrometres, scale_um, write_json, write_levels
from em_assets.layouts.visor_items import SCHEMA_2024, Item, Plate, items_of, plate_of, widened
from em_assets.layouts.visor_trees import describe_sample

TAKES = "one"

IMAGES = {"raw": "visor_raw_image", "recon": "visor_reconstructed_image"}
SPACE = [{"name": name, "type": "space", "unit": "micrometer"} for name in "zyx"]


def export(held: Sequence[Held], draft: Path, options: Options) -> Written:
    """A sample of one dataset; refused whole where one of its volumes is no VISoR item."""
    (one,) = held
    items, refused = items_of(one)
    if refused:
        return Written(tuple(refused))
    plates = []
    for kind in sorted({item.kind for item in items}):
        plate, reasons = _plate(kind, [item for item in items if item.kind == kind], one)
        plates += [plate] if plate else []
        refused += reasons
    for plate in plates:
        _write_image(plate, draft / one.name / f"{plate.name}.zarr")
    if plates:
        _write_levels_only(plates, draft / one.name)
    return Written(tuple(refused), tuple(widened(plates)))


def describe_tree(tree: str, name: str) -> Imported:
    """A sample's folder as a dataset: a source for each of its two images, the rest kept beside."""
    return describe_sample(tree, name, SCHEMA_2024)


def _plate(kind: str, items: Sequence[Item], held: Held) -> tuple[Plate | None, list[str]]:
    if kind not in IMAGES:
        return None, [
            f"{held.name}/{item.volume}: {SCHEMA_2024} has no {kind} images; visor-2025 has" for item in items
        ]
    unnamed = [item.volume for item in items if item.c_name is None]
    if unnamed:
        return None, [f"{held.name}/{each}: nobody says the objective, which a channel is named by" for each in unnamed]
    places = [(str(item.t_name), str(item.c_name), item.volume) for item in items]
    return plate_of(IMAGES[kind], places, held)


def _write_image(plate: Plate, group: Path) -> None:
    write_levels(plate, group, "zarr", metadata_v2)
    axes = [{"name": "t", "type": "visor"}, {"name": "c", "type": "channel"}, *SPACE]
    moved = [
        _dataset(f"0/{name}", "translation", [0.0, 0.0, *micrometres(volumes[0].offset_zyx_nm)])
        for name, volumes in zip(plate.rows, plate.volumes, strict=True)
    ]
    write_json(group / ".zattrs", _attributes(plate, axes, [*_levels(plate, ""), *moved], _channels(plate)))
    write_json(group / ".zgroup", {"zarr_format": 2})


def _write_levels_only(plates: Sequence[Plate], sample: Path) -> None:
    """The same pixels for readers that know no VISoR: a group above, whose axes and entries are the specification's."""
    axes = [{"name": "t", "type": "time"}, {"name": "c", "type": "channel"}, *SPACE]
    images = [_multiscale(plate, axes, _levels(plate, f"{plate.name}.zarr/")) for plate in plates]
    write_json(sample / ".zattrs", {"multiscales": images, "omero": {"channels": _channels(plates[0])}})
    write_json(sample / ".zgroup", {"zarr_format": 2})


def _attributes(
    plate: Plate, axes: list[dict[str, str]], datasets: list[dict[str, Any]], channels: list[dict[str, Any]]
) -> dict[str, Any]:
    return {"multiscales": [_multiscale(plate, axes, datasets)], "omero": {"channels": channels}}


def _multiscale(plate: Plate, axes: list[dict[str, str]], datasets: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "version": "0.4",
        "name": plate.name,
        "axes": axes,
        "datasets": datasets,
        "type": "coarsen",
        "metadata": {
            "description": "mean of 2 voxels along each halved axis; halves rounded up",
            "method": "em_assets.volumes.downsample",
            "version": "1",
            "args": "[]",
            "kwargs": {},
        },
    }


def _levels(plate: Plate, prefix: str) -> list[dict[str, Any]]:
    return [
        _dataset(f"{prefix}{level}", "scale", scale_um(size)) for level, size in enumerate(plate.voxel_sizes_zyx_nm)
    ]


def _dataset(path: str, kind: str, values: list[float]) -> dict[str, Any]:
    return {"path": path, "coordinateTransformations": [{"type": kind, kind: values}]}


def _channels(plate: Plate) -> list[dict[str, Any]]:
    """Names of the c items, and the range of values to show, of all stacks."""
    return [
        {"label": name, "color": "FFFFFF", "active": True, "window": _window(plate, column)}
        for column, name in enumerate(plate.columns)
    ]


def _window(plate: Plate, column: int) -> dict[str, float]:
    known = [volumes[column].statistics for volumes in plate.volumes]
    least = min((each.min for each in known if each and each.min is not None), default=0)
    most = max((each.max for each in known if each and each.max is not None), default=65535)
    return {"min": 0, "max": 65535, "start": float(least), "end": float(most)}
