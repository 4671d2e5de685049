r"""Predictions written back: blocks that overlap are blended, and the result is a volume like the one they came from.

::

    weight   /‾‾‾‾‾\          a block counts less towards its faces, over `overlap_zyx` voxels, so
                 /‾‾‾‾‾\      that no seam is left where two meet; each voxel is divided by its weights

What is predicted is added up in files beside the destination, which appears, whole and with all its levels, when it is
finished. Voxels that no block covered are an error then: nobody can tell them from a prediction of 0.
"""

import json
import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from em_assets.errors import UsageError
from em_assets.formats.trees import disk_errors
from em_assets.formats.volume import SourceLevel, SourceVolume, check_box, whole_numbers
from em_assets.model import VOLUME_NAME_PATTERN, ZYX, Content
from em_assets.settings import absolute
from em_assets.volumes.pyramid import write_pyramid
from em_assets.volumes.staging import publish, staging_folder, sweep

if TYPE_CHECKING:
    from em_assets.blocks.volume import VolumeDataset

_FORMAT = "prediction"


@dataclass(eq=False)
class Prediction:
    """A volume in the making; use it in a `with`, which finishes it, or throws it away where an error passes through.

    Attributes
    ----------
    path
        Where it appears: one image, or a group with one for each of `channels`.
    shape_zyx
        Of the volume that it is like.
    overlap_zyx
        Voxels over which a block's weight grows from its faces.
    fill_value
        For voxels that no block covers; None makes them an error.
    """

    path: Path
    like: "VolumeDataset"
    dtype: np.dtype[Any]
    channels: tuple[str, ...]
    content: Content
    overlap_zyx: ZYX
    fill_value: float | None
    _stack: ExitStack = field(default_factory=ExitStack)

    def __post_init__(self) -> None:
        """Make room beside the destination."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        sweep(self.path.parent, self.path.name)
        self._staging = self._stack.enter_context(staging_folder(self.path.parent, self.path.name))
        # Sums of anything wider than 16 bits would lose digits in float32.
        work = np.float32 if self.dtype.itemsize <= 2 or self.dtype == np.float32 else np.float64
        kept = self.dtype if self.content == "labels" else np.dtype(work)
        n = max(len(self.channels), 1)
        with disk_errors(str(self.path)):
            self._values = _zeros(self._staging / "values.npy", (n, *self.shape_zyx), kept)
            self._weights = _zeros(self._staging / "weights.npy", self.shape_zyx, np.dtype(work))

    @property
    def shape_zyx(self) -> ZYX:
        """Voxels along z, y, x."""
        return self.like.shape

    def write_block(self, start_zyx: Sequence[int], block: NDArray[Any]) -> None:
        """Add a block of shape (z, y, x) or, with channels, (channel, z, y, x), whose first voxel is `start_zyx`.

        Where blocks meet, numbers are averaged by their weights, and of labels the one with the greater weight stays.

        Raises
        ------
        OutOfBoundsError
            It reaches outside the volume.
        UsageError
            It has another number of channels, values that are not finite, or some that the type does not hold.
        """
        values = np.asarray(block)
        wanted = 4 if self.channels else 3
        if values.ndim != wanted or (self.channels and len(values) != len(self.channels)):
            axes = f"(channel, z, y, x) of {', '.join(self.channels)}" if self.channels else "(z, y, x)"
            raise UsageError(f"{self.path}: a block {axes} expected, found the shape {values.shape}")
        values = values if self.channels else values[np.newaxis]
        self._check_values(values)
        z, y, x = whole_numbers(values.shape[1:])
        start = whole_numbers(start_zyx)
        check_box(str(self.path), start, (z, y, x), self.shape_zyx)
        box = tuple(slice(a, a + n) for a, n in zip(start, (z, y, x), strict=True))
        weight = _weights((z, y, x), self.overlap_zyx).astype(self._weights.dtype)
        if self.content == "labels":
            self._keep_heavier(box, values, weight)
        else:
            self._values[(slice(None), *box)] += values * weight
            self._weights[box] += weight

    def finish(self) -> Path:
        """Write every level and make the volume visible; its path.

        Raises
        ------
        UsageError
            No block covered some voxels, and there is no `fill_value`; or something has its name by now.
        StoreError
            The disk does not take it.
        """
        with self._stack:
            if self.fill_value is None:
                self._refuse_uncovered()
            group = self._staging / "group"
            group.mkdir()
            for index, name in enumerate(self.channels or (self.like.name,)):
                self._write_channel(index, name, group / name if self.channels else group)
            if self.channels:
                (group / "zarr.json").write_text(json.dumps({"zarr_format": 3, "node_type": "group"}) + "\n")
            if not publish(group, self.path):
                _refuse_existing(self.path)
        return self.path

    def discard(self) -> None:
        """Forget what was predicted."""
        self._stack.close()

    def __enter__(self) -> "Prediction":
        """Itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Finish it, or forget it where an error passes through."""
        if kind is None:
            self.finish()
        else:
            self.discard()

    def _check_values(self, values: NDArray[Any]) -> None:
        if values.dtype.kind not in "iufb" or (values.dtype.kind == "f" and not np.isfinite(values).all()):
            raise UsageError(f"{self.path}: finite numbers expected, found {values.dtype} with others among them")
        if self.dtype.kind in "iu" and values.size:
            most = np.iinfo(self.dtype)
            if values.min() < most.min or values.max() > most.max:
                raise UsageError(
                    f"{self.path}: {self.dtype} holds {most.min} to {most.max}, found {values.min()} to {values.max()}"
                )

    def _keep_heavier(self, box: tuple[slice, ...], values: NDArray[Any], weight: NDArray[Any]) -> None:
        heavier = weight > self._weights[box]
        here = self._values[(slice(None), *box)]
        here[...] = np.where(heavier, values, here)
        self._weights[box] = np.maximum(weight, self._weights[box])

    def _refuse_uncovered(self) -> None:
        n, first = 0, None
        for z, plane in enumerate(self._weights):
            bare = np.argwhere(plane == 0)
            n += len(bare)
            if first is None and len(bare):
                first = (z, int(bare[0][0]), int(bare[0][1]))
        if n:
            raise UsageError(
                f"{self.path}: no block covers {n} of {self._weights.size} voxels, the first at {first} (z, y, x); "
                "write them, or name a fill_value for them"
            )

    def _write_channel(self, index: int, name: str, dest: Path) -> None:
        size = self.like.voxel_size_zyx_nm or (None, None, None)
        level = SourceLevel(self.shape_zyx, size, partial(self._blended, index), self.like.offset_zyx_nm)
        attributes = {"predicted_from": self.like.url, "predicted_from_generation": self.like.generation}
        write_pyramid(
            SourceVolume(name=name, format=_FORMAT, dtype=self.dtype, levels=(level,), files=()),
            dest,
            ome_zarr="0.5",
            content=self.content,
            voxel_size_zyx_nm=size,
            name=name,
            attributes=attributes,
        )

    def _blended(self, channel: int, start_zyx: ZYX, shape_zyx: ZYX) -> NDArray[Any]:
        box = tuple(slice(a, a + n) for a, n in zip(start_zyx, shape_zyx, strict=True))
        values, weight = self._values[channel][box], self._weights[box]
        if self.content != "labels":
            values = values / np.maximum(weight, np.finfo(np.float32).tiny)
            values = np.floor(values + 0.5) if self.dtype.kind in "iu" else values
        fill = 0 if self.fill_value is None else self.fill_value
        return np.ascontiguousarray(np.where(weight > 0, values, fill).astype(self.dtype))


def create_like(
    volume: "VolumeDataset",
    path: str | Path,
    dtype: Any = "float32",
    channels: Sequence[str] | None = None,
    *,
    content: Content = "em",
    overlap_zyx: Sequence[int] = (0, 0, 0),
    fill_value: float | None = None,
) -> Prediction:
    """A volume of the shape, voxel size and place of another, to be filled block by block.

    Parameters
    ----------
    path
        Of the OME-Zarr 0.5 group that appears when it is finished; it must not exist.
    channels
        Names where each voxel has several numbers: one image each, in a group at `path`.
    content
        `labels` where the numbers are names: they are never averaged, and halved by majority.
    overlap_zyx
        Over how many voxels a block's weight grows from its faces: what neighbouring blocks share.
    fill_value
        For voxels that no block covers; without one they are an error.

    Raises
    ------
    UsageError
        `path` exists, a type that no volume keeps, labels that are no whole numbers, or channels that no folder can
        be named after.
    """
    dest = absolute(Path(path))
    _refuse_existing(dest)
    try:
        kept = np.dtype(dtype)
    except TypeError as error:
        raise UsageError(f"dtype={dtype!r}: a type of numpy expected") from error
    if kept.kind not in "iuf" or (content == "labels" and kept.kind == "f"):
        raise UsageError(f"dtype={dtype!r}: {'whole numbers' if content == 'labels' else 'real numbers'} expected")
    names = tuple(channels or ())
    if len(set(names)) != len(names) or not all(VOLUME_NAME_PATTERN.fullmatch(name) for name in names):
        raise UsageError(f"channels={names}: different names of letters, digits, '_', '.', '+', '-' expected")
    overlap = whole_numbers(overlap_zyx)
    if min(overlap) < 0:
        raise UsageError(f"overlap_zyx={overlap}: 0 or more voxels expected")
    return Prediction(dest, volume, kept.newbyteorder("="), names, content, overlap, fill_value)


def _weights(shape_zyx: ZYX, overlap_zyx: ZYX) -> NDArray[np.float32]:
    """1 in the middle of a block, less towards its faces, never 0."""
    z, y, x = (_ramp(n, overlap) for n, overlap in zip(shape_zyx, overlap_zyx, strict=True))
    weight: NDArray[np.float32] = z[:, None, None] * y[:, None] * x
    return weight


def _ramp(n: int, overlap: int) -> NDArray[np.float32]:
    from_face = np.minimum(np.arange(1, n + 1), np.arange(n, 0, -1))
    return np.minimum(from_face / (overlap + 1), 1).astype(np.float32)


def _zeros(path: Path, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Zeros in a file that takes no room until they are written to."""
    return np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape)


def _refuse_existing(dest: Path) -> None:
    if os.path.lexists(dest):
        raise UsageError(f"{dest}: exists already; name another place, or remove it first")
