"""How voxels are kept: one pass from source to pyramid, immutable generations, commits that readers resolve."""
