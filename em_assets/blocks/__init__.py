"""Block-wise reading: `open_volume` for a dataset, a path or a URL, before its conversion and after.

::

    em = open_volume("empiar_11759")                 # a registered dataset
    em = open_volume("stack.tif")                    # a file, a folder, a Zarr, a URL
    em.read((0, 128, 128), (16, 64, 64))             # start and shape, z, y, x
"""

from em_assets.blocks.opening import open_volume
from em_assets.blocks.volume import VolumeDataset

__all__ = ["VolumeDataset", "open_volume"]
