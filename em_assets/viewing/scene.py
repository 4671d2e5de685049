"""What is shown of a dataset: an image with its labels over it, in which contrast, and where one looks first."""

import math
import shlex
from dataclasses import dataclass
from typing import Literal, NamedTuple

from em_assets.errors import NotBuiltError, UsageError, VolumeChoiceError
from em_assets.keeping import bring
from em_assets.model import FloatZYX, PartialFloatZYX, known
from em_assets.settings import Settings
from em_assets.volumes.choice import choose
from em_assets.volumes.statistics import Statistics
from em_assets.volumes.store import CommittedVolume, committed_volumes

LayerKind = Literal["image", "segmentation"]

SHOWN_DTYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "float32")
"""What neuroglancer reads of a zarr of version 3; of version 2 as well, where it takes int64 for uint64."""

SPREAD = 2.5
"""Black and white are so many standard deviations from the mean: of normal voxels 0.6 % lie beyond each."""

BACKGROUND_FRACTION = 0.02
"""More voxels than this that are exactly zero are the empty space around a sample, and not part of its contrast."""

PANEL_PIXELS = 340
"""Height of one panel of four in the window of a laptop: the volume fills it at first."""


class Contrast(NamedTuple):
    """Values that are black and white, and the least and the largest that there are."""

    black: float
    white: float
    least: float
    largest: float


@dataclass(frozen=True)
class Layer:
    """A committed volume as one layer.

    `contrast` is None for labels, and where no voxel is finite.
    """

    name: str
    committed: CommittedVolume
    kind: LayerKind
    contrast: Contrast | None

    @property
    def voxel_size_zyx_nm(self) -> PartialFloatZYX:
        """As the commit has it."""
        return self.committed.commit.voxel_size_zyx_nm


@dataclass(frozen=True)
class Scene:
    """Layers over each other, the image first, and where one looks first.

    Attributes
    ----------
    voxel_size_zyx_nm
        Of the first layer; None where any axis of any layer is unknown: lengths are voxels then, and no nanometre is
        made up.
    middle_zyx
        The middle of the first layer, in its voxels from the origin of its coordinates.
    scale
        Shortest voxel edges a pixel of the screen, so that the volume fits.
    """

    dataset: str
    layers: tuple[Layer, ...]
    voxel_size_zyx_nm: FloatZYX | None
    middle_zyx: FloatZYX
    scale: float

    @property
    def unit(self) -> Literal["nm", "voxels"]:
        """What lengths are shown in."""
        return "voxels" if self.voxel_size_zyx_nm is None else "nm"

    @property
    def remarks(self) -> tuple[str, ...]:
        """What one should know who looks at it."""
        if self.voxel_size_zyx_nm is not None:
            return ()
        unknown = ((layer.name, _unknown_axes(layer)) for layer in self.layers)
        return tuple(
            f"{name}: the voxel size is unknown along {axes}: shown in voxels, which need not be cubes, and without a "
            "link to the archive's own copy, whose axes may stand in another order"
            for name, axes in unknown
            if axes
        )

    @property
    def napari_command(self) -> str:
        """The command that opens the same in napari."""
        places = (shlex.quote(str(layer.committed.path)) for layer in self.layers)
        return f"napari --plugin napari-ome-zarr {' '.join(places)}"


def scene_of(dataset: str, volume: str | None, settings: Settings) -> Scene:
    """The committed volume of a dataset with the labels of it; labels that are chosen, over what they label.

    Raises
    ------
    NotBuiltError
        There is no committed volume yet.
    VolumeChoiceError
        Several volumes that are no labels of each other and none chosen, or none of that name; they are listed.
    UsageError
        Its voxels are of a type that neuroglancer does not show.
    StoreError
        The store is damaged.
    """
    bring(settings, dataset)
    committed = committed_volumes(settings.volumes_dir(dataset))
    if not committed:
        raise NotBuiltError(f"{dataset} has no volume in {settings.address} yet: em-assets fetch {dataset}")
    layers = tuple(_layer(each) for each in _over_each_other(committed, volume, dataset))
    first = layers[0].committed.commit
    voxel = known(first.voxel_size_zyx_nm) if all(known(layer.voxel_size_zyx_nm) for layer in layers) else None
    z, y, x = (
        (offset / size if size else offset) + (n - 1) / 2
        for n, offset, size in zip(first.shape_zyx, first.offset_zyx_nm, first.voxel_size_zyx_nm, strict=True)
    )
    edges = voxel or (1.0, 1.0, 1.0)
    longest = max(n * edge for n, edge in zip(first.shape_zyx, edges, strict=True))
    return Scene(dataset, layers, voxel, (z, y, x), longest / min(edges) / PANEL_PIXELS)


def _unknown_axes(layer: Layer) -> str:
    sizes = zip("zyx", layer.voxel_size_zyx_nm, strict=True)
    return ", ".join(axis for axis, size in sizes if size is None)


def _over_each_other(committed: dict[str, CommittedVolume], wanted: str | None, dataset: str) -> list[CommittedVolume]:
    """The image first, then its labels: all of them, or the ones that were chosen."""
    images = {name: each for name, each in committed.items() if each.commit.labels_of not in committed}
    if wanted is None and len(images) > 1:
        names = ", ".join(committed)
        raise VolumeChoiceError(f"{dataset}: {len(images)} volumes, choose one with --volume: {names}")
    chosen = choose(committed if wanted else images, wanted, dataset)
    if chosen.folder.name not in images:
        return [committed[str(chosen.commit.labels_of)], chosen]
    return [chosen, *(each for each in committed.values() if each.commit.labels_of == chosen.folder.name)]


def _layer(committed: CommittedVolume) -> Layer:
    commit, name = committed.commit, committed.folder.name
    if commit.dtype not in SHOWN_DTYPES:
        raise UsageError(
            f"{name}: neuroglancer shows no voxels of {commit.dtype}, only {', '.join(SHOWN_DTYPES)}; "
            f"napari does: napari --plugin napari-ome-zarr {shlex.quote(str(committed.path))}"
        )
    if commit.content == "labels" and commit.dtype != "float32":
        return Layer(name, committed, "segmentation", None)
    return Layer(name, committed, "image", contrast_of(commit.statistics))


def contrast_of(statistics: Statistics) -> Contrast | None:
    """Black and white around the mean, as far as the voxels reach; None where none is finite.

    Zeros that are the empty space around a sample are left out of the mean: they would make all of it white.
    """
    least, largest, mean, std = statistics.min, statistics.max, statistics.mean, statistics.std
    if least is None or largest is None:
        return None
    if mean is None or std is None:
        return Contrast(least, largest, least, largest)
    share = statistics.n_zero / statistics.n_finite
    if BACKGROUND_FRACTION < share < 1:
        square = (std**2 + mean**2) / (1 - share)
        mean = mean / (1 - share)
        std = math.sqrt(max(square - mean**2, 0.0))
    black, white = max(least, mean - SPREAD * std), min(largest, mean + SPREAD * std)
    return Contrast(black, white, least, largest) if black < white else Contrast(least, largest, least, largest)
