"""platynereis_sbem: the raw data of a whole larva, N5 as BigDataViewer lays it out.

The address and the names of groups and levels are as in public code that reads them; `resolution` is written without a
unit, as that layout has it, and what stands there in the archive was not seen.
"""

from pathlib import Path

from em_assets.sample.n5 import write_array, write_attributes
from em_assets.sample.sizes import CUTOUT_N_LEVELS, CUTOUT_SHAPE_ZYX
from em_assets.sample.texture import texture
from em_assets.sample.zarr_v2 import pyramid

CONTAINER = "s3.embl.de/platybrowser/rawdata/sbem-6dpf-1-whole-raw.n5"

_BLOCK_ZYX = (32, 64, 64)


def write_platynereis(http_root: Path, seed: int) -> None:
    """One setup, one time, every level halved along y and x."""
    container = http_root / CONTAINER
    factors = [[2**number, 2**number, 1] for number in range(CUTOUT_N_LEVELS)]
    write_attributes(container, {"n5": "2.0.0"})
    write_attributes(container / "setup0", {"downsamplingFactors": factors, "dataType": "uint8"})
    group = container / "setup0" / "timepoint0"
    write_attributes(group, {"multiScale": True, "resolution": [0.01, 0.01, 0.025]})
    for number, level in enumerate(pyramid(texture(CUTOUT_SHAPE_ZYX, seed), CUTOUT_N_LEVELS, (1, 2))):
        block = [min(edge, size) for edge, size in zip(_BLOCK_ZYX, level.shape, strict=True)]
        write_array(group / f"s{number}", level, block, {"downsamplingFactors": factors[number]})
