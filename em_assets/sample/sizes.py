"""How large the look-alikes are: every number of the sample that depends on size, in one table.

Voxel sizes, data types, names, tags, the 16 slices and the 9 levels are as published and stand with their writers; the
shapes here are the sample's own, and the archive records that it serves count bytes and pixels from them.
"""

from em_assets.model import ZYX

EMPIAR_SHAPE_ZYX: ZYX = (16, 275, 274)
"""16 x 5500 x 5496 in the archive."""

EPFL_SHAPE_ZYX: ZYX = (53, 76, 104)
"""1065 x 1536 x 2048 in the archive."""

U2OS_SHAPE_ZYX: ZYX = (46, 194, 280)
"""184 x 775 x 1121 in the archive, for the stack along xy; the other one is the same volume resliced."""

HEMIBRAIN_SHAPE_ZYX: ZYX = (240, 256, 272)
"""About 41 400 x 39 700 x 34 400 in the archive."""

HEMIBRAIN_BLANK_MARGIN_X = 24
"""So many voxels from x = 0 are black, as outside of the tissue in the archive."""

HEMIBRAIN_N_SCALES = 3

JRC_SHAPE_ZYX: ZYX = (56, 252, 260)
"""564 x 2520 x 2596 in the archive."""

CRYOET_SHAPE_ZYX: ZYX = (48, 96, 104)
CRYOET_N_POINTS = 24

VISOR_N_STACKS = 2
VISOR_N_CHANNELS = 2
VISOR_SHAPE_ZYX: ZYX = (40, 96, 112)
VISOR_N_LEVELS = 3

LABELS_SHAPE_ZYX: ZYX = (64, 160, 176)
LABELS_N_CELLS = 48

CUTOUT_SHAPE_ZYX: ZYX = (48, 112, 128)
"""Of the volumes that only boxes are cut out of, at the level that is taken; hundreds of thousands of voxels along an
axis in the archives."""

CUTOUT_N_LEVELS = 3

CREMI_SHAPE_ZYX: ZYX = (24, 120, 128)
"""125 x 1250 x 1250 in the archive."""

CREMI_N_CELLS = 40

MITOCHONDRIA_SHAPE_ZYX: ZYX = (32, 96, 128)
"""165 x 768 x 1024 in the archive, for training and for testing."""

MITOCHONDRIA_N_CELLS = 40
