"""Block-wise reading for training: `open_volume` for a dataset, a path or a URL, before its conversion and after.

::

    em = open_volume("empiar_11759")                 # a registered dataset
    em = open_volume("stack.tif")                    # a file, a folder, a Zarr, a URL
    em.read((0, 128, 128), (16, 64, 64))             # start and shape, z, y, x
    em.get_block((128, 128, 0), (64, 64, 16))        # the same block, asked for in x, y, z

    split = spatial_split(em, {"train": 0.8, "validation": 0.2}, gap_nm=1000, seed=1)
    places = sampling.random(em.shape, (16, 64, 64), n=1000, seed=1, within=split.regions["train"])
    em.read_many([places.box(0, index) for index in range(8)])
"""

from em_assets.blocks import sampling
from em_assets.blocks.opening import open_volume
from em_assets.blocks.splitting import Split, spatial_split
from em_assets.blocks.volume import VolumeDataset
from em_assets.blocks.writing import Prediction, create_like

__all__ = ["Prediction", "Split", "VolumeDataset", "create_like", "open_volume", "sampling", "spatial_split"]
