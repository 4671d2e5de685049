"""Made-up grey values that look like tissue: clouds, thin dark lines as membranes draw them, and grain.

Only whole numbers and a seed, so that every machine writes the same bytes.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from em_assets.model import ZYX

_MEMBRANE_CELL = 32
_MEMBRANE_WIDTH = 24
_CLOUDS = ((16, 50), (8, 30), (4, 18))


def texture(shape_zyx: ZYX, seed: int) -> NDArray[np.uint8]:
    """Grey values from 20 to 235; another seed gives other tissue. Peak memory: 9 bytes a voxel."""
    random = np.random.default_rng(seed)
    grey = random.integers(-9, 10, shape_zyx, dtype=np.int16)
    for cell, height in _CLOUDS:
        grey += lattice_noise(shape_zyx, cell, height, random)
    membranes = lattice_noise(shape_zyx, _MEMBRANE_CELL, 250, random)
    np.minimum(np.abs(membranes, out=membranes), _MEMBRANE_WIDTH, out=membranes)
    grey += 2 * membranes  # dark where the lattice passes through zero
    grey += 90
    return np.clip(grey, 20, 235, out=grey).astype(np.uint8)


def lattice_noise(shape_zyx: ZYX, cell: int, height: int, random: np.random.Generator) -> NDArray[np.int16]:
    """Smooth noise from -height to height: random values on a lattice `cell` voxels wide, blended in between."""
    lattice_shape = [-(-size // cell) + 1 for size in shape_zyx]
    noise = random.integers(-height, height + 1, lattice_shape, dtype=np.int16)
    for axis in (2, 1, 0):  # z last: its planes are contiguous, and it is the only pass over the whole volume
        noise = _blend(noise, axis, cell, shape_zyx[axis])
    return np.ascontiguousarray(noise)


def within(grey: NDArray[np.uint8], low: int, high: int) -> NDArray[np.uint8]:
    """The same picture squeezed into the values from `low` to `high`, both reached at most."""
    return (low + grey.astype(np.uint32) * (high - low) // 255).astype(np.uint8)


def halved(volume: NDArray[Any], axes: tuple[int, ...] = (0, 1, 2)) -> NDArray[Any]:
    """Half the size along these axes by mean, an odd last plane left out; an axis of one voxel stays."""
    is_float = volume.dtype.kind == "f"
    values: NDArray[Any] = volume.astype(np.float32 if is_float else np.int32)
    n_summed = 1
    for axis in axes:
        n_pairs = values.shape[axis] // 2
        if n_pairs > 0:
            pairs = np.moveaxis(values, axis, 0)[: 2 * n_pairs]
            values = np.moveaxis(pairs[::2] + pairs[1::2], 0, axis)
            n_summed *= 2
    mean = values / np.float32(n_summed) if is_float else values // n_summed
    return np.ascontiguousarray(mean, volume.dtype)


def _blend(noise: NDArray[np.int16], axis: int, cell: int, size: int) -> NDArray[np.int16]:
    """Stretch one axis by `cell`, easing from each lattice value to the next (smoothstep, in 64ths)."""
    near = np.moveaxis(noise, axis, 0)[:-1]
    far = np.moveaxis(noise, axis, 0)[1:]
    wide = np.empty((near.shape[0] * cell, *near.shape[1:]), np.int16)
    for step in range(cell):
        t = step / cell
        weight = round(64 * t * t * (3 - 2 * t))
        wide[step::cell] = (near * np.int16(64 - weight) + far * np.int16(weight)) >> 6
    return np.moveaxis(wide[:size], 0, axis)
