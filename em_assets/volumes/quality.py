"""Whether voxels can be data at all: pure judgements on statistics."""

from em_assets.volumes.statistics import Statistics


def is_all_zero(statistics: Statistics) -> bool:
    """Whether every voxel is zero: what a missing chunk, an empty crop and a failed download all look like."""
    return statistics.n_voxels > 0 and statistics.n_zero == statistics.n_voxels


def is_constant(statistics: Statistics) -> bool:
    """Whether all voxels have one value, or none of them is a finite number."""
    return statistics.min == statistics.max
