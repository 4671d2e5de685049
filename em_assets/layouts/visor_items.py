"""What a VISoR volume is, by its name: slice, stack, wavelength and objective, in the words of both schemas.

::

    2024.11.0   slice_1_stack_2.405nm_10X            visor_raw_image.zarr, t item, c item
                XX_brain_20240101.405nm_10X          visor_reconstructed_image.zarr
    2025.6.1    slice_1_10x_stack_2.405              visor_raw_images/slice_1_10x.zarr, stack, channel
                compr_XX_s1_20240101_stack_2.405     visor_compr_images/XX_s1_20240101.zarr
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from em_assets.blocks import VolumeDataset
from em_assets.layouts.held import Held
from em_assets.model import ZYX, FloatZYX

SCHEMA_2024, SCHEMA_2025 = "2024.11.0", "2025.6.1"

_VERSION = r"[A-Za-z]+_[A-Za-z0-9]+(?:_[A-Za-z0-9]+)*_\d{8}"
RAW_STACK = re.compile(r"slice_(?P<slice>[1-9]\d*)_stack_(?P<stack>[1-9]\d*)")
VERSION = re.compile(_VERSION)
CHANNEL = re.compile(r"(?P<wavelength>\d{3,4})nm_(?P<objective>\d+(?:\.\d+)?)X")
RAW_IMAGE = re.compile(r"slice_(?P<slice>[1-9]\d*)_(?P<objective>\d+)x(?:_\d+a\d+)?(?:_\d+)?")

_FORMS = tuple(
    re.compile(form)
    for form in (
        rf"{RAW_STACK.pattern}\.{CHANNEL.pattern}",
        rf"(?P<version>{_VERSION})\.{CHANNEL.pattern}",
        rf"(?P<image>{RAW_IMAGE.pattern})_stack_(?P<stack>[1-9]\d*)\.(?P<wavelength>\d{{3,4}})",
        rf"(?P<kind>[a-z]+)_(?P<version>{_VERSION})(?:_stack_(?P<stack>[1-9]\d*)\.|_)(?P<wavelength>\d{{3,4}})",
    )
)

FORMS_IN_WORDS = "slice_1_stack_1.405nm_10X, XX_brain_20240101.405nm_10X, slice_1_10x_stack_1.405 or such expected"


@dataclass(frozen=True)
class Item:
    """One stack (or reconstruction) of one channel.

    Attributes
    ----------
    volume
        Its name in the dataset.
    kind
        `raw`, `recon`, or another of 2025.6.1's: the word in `visor_…_images`.
    image
        What 2025.6.1 calls its image: `slice_1_10x`, or `PERSON_ROI_DATE`.
    slice, stack
        Counted from 1; None where the name does not say it.
    wavelength
        Nanometres, as text.
    objective
        Its magnification, as text; None where the name does not say it.
    """

    volume: str
    kind: str
    image: str
    slice: int | None
    stack: int | None
    wavelength: str
    objective: str | None

    @property
    def t_name(self) -> str | None:
        """What 2024.11.0 calls it along t; None where that has no name for it."""
        if self.kind == "raw":
            return f"slice_{self.slice}_stack_{self.stack}"
        return self.image if self.kind == "recon" else None

    @property
    def c_name(self) -> str | None:
        """What 2024.11.0 calls it along c; None where nobody says the objective."""
        return f"{self.wavelength}nm_{self.objective}X" if self.objective else None

    @property
    def stack_label(self) -> str:
        """What 2025.6.1 calls it along vs."""
        return f"stack_{self.stack or 1}"


@dataclass(frozen=True)
class Plate:
    """The volumes of one image, each with its names along the first two axes; none is missing.

    `shapes` and `voxel_sizes_zyx_nm` are those of its levels, finest first, which all its volumes share.
    """

    name: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    volumes: tuple[tuple[VolumeDataset, ...], ...]
    shapes: tuple[ZYX, ...]
    voxel_sizes_zyx_nm: tuple[FloatZYX, ...]


def item_of(volume: str) -> Item | None:
    """What a volume's name says; None for a name of no known form."""
    found = next((match for form in _FORMS if (match := form.fullmatch(volume))), None)
    if found is None:
        return None
    names = ("kind", "version", "image", "slice", "stack", "objective", "wavelength")
    said = dict.fromkeys(names) | found.groupdict()
    kind = said["kind"] or ("recon" if said["version"] else "raw")
    image = said["image"] or said["version"] or f"slice_{said['slice']}_{said['objective']}x"
    slice_, stack = (None if said[key] is None else int(str(said[key])) for key in ("slice", "stack"))
    return Item(volume, kind, image, slice_, stack, str(said["wavelength"]), said["objective"])


def items_of(held: Held) -> tuple[list[Item], list[str]]:
    """The dataset's volumes as items; and what of them is none, with the reason."""
    items, refused = [], []
    for record in held.records:
        item = item_of(record.volume)
        if item is None:
            refused.append(f"{held.name}/{record.volume}: no VISoR item: {FORMS_IN_WORDS}")
        else:
            items.append(item)
    return items, refused


def plate_of(name: str, places: Sequence[tuple[str, str, str]], held: Held) -> tuple[Plate | None, list[str]]:
    """The image made of (row, column, volume); None, and the reasons, where it cannot be one array.

    A level of an image is one array: each row has each column, all of one shape, voxel size and type.
    """
    rows, columns = _in_order(row for row, _, _ in places), _in_order(column for _, column, _ in places)
    by_place: dict[tuple[str, str], str] = {}
    refused = []
    for row, column, volume in places:
        if (row, column) in by_place:
            refused.append(f"{held.name}/{volume}: has the place {row}, {column} of {by_place[row, column]} in {name}")
        by_place[row, column] = volume
    missing = [f"{row}, {column}" for row in rows for column in columns if (row, column) not in by_place]
    if missing:
        refused.append(f"{held.name}: {name} holds every channel of every stack, and there is none of {missing[0]}")
    opened = {volume: held.volume(volume) for volume in by_place.values()}
    refused += _differences(held.name, name, list(opened.values()))
    if refused:
        return None, refused
    first = next(iter(opened.values()))
    sizes = [first.at_level(level).require_voxel_size() for level in range(len(first.levels))]
    volumes = tuple(tuple(opened[by_place[row, column]] for column in columns) for row in rows)
    shapes = tuple(level.shape_zyx for level in first.levels)
    return Plate(name, tuple(rows), tuple(columns), volumes, shapes, tuple(sizes)), []


def widened(plates: Iterable[Plate]) -> list[str]:
    """What is said of volumes that are not uint16 and become it."""
    volumes = (volume for plate in plates for row in plate.volumes for volume in row)
    return [
        f"{volume.name}: {volume.dtype} is written as uint16" for volume in volumes if volume.dtype.name != "uint16"
    ]


def _differences(dataset: str, image: str, volumes: Sequence[VolumeDataset]) -> list[str]:
    """Why these volumes do not fit into one array of uint16."""
    first, found = volumes[0], []
    for volume in volumes:
        where = f"{dataset}/{volume.name}"
        if volume.dtype.name not in ("uint8", "uint16"):
            found.append(f"{where}: {volume.dtype}; VISoR holds uint16")
        elif volume.voxel_size_zyx_nm is None:
            said = volume.dispute or "nobody says it"
            found.append(f"{where}: the voxel size is unknown, which the scale of {image} needs: {said}")
        elif [level.shape_zyx for level in volume.levels] != [level.shape_zyx for level in first.levels]:
            found.append(f"{where}: {volume.shape} voxels, and {first.name} {first.shape}: {image} is one array")
        elif volume.voxel_size_zyx_nm != first.voxel_size_zyx_nm:
            sizes = f"{volume.voxel_size_zyx_nm} nm, and {first.name} {first.voxel_size_zyx_nm}"
            found.append(f"{where}: voxels of {sizes}: {image} has one scale")
    return found


def _in_order(names: Iterable[str]) -> list[str]:
    def key(name: str) -> list[tuple[int, str]]:
        return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]

    return sorted(set(names), key=key)
