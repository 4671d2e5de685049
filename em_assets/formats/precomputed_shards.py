"""Which shard file holds which chunk of a sharded precomputed volume (`neuroglancer_uint64_sharded_v1`)."""

from collections.abc import Sequence

from em_assets.formats.precomputed_info import Scale, Sharding

_MASK = 2**64 - 1


def shard_names(scale: Scale, sharding: Sharding, cells_xyz: Sequence[tuple[int, int, int]]) -> set[str]:
    """Names of the shard files that hold the chunks at these places of the chunk grid."""
    grid = [-(-size // edge) for size, edge in zip(scale.size_xyz, scale.chunk_xyz, strict=True)]
    return {shard_name(sharding, morton_code(cell, grid)) for cell in cells_xyz}


def shard_name(sharding: Sharding, chunk_id: int) -> str:
    """Name of the shard file that holds a chunk."""
    shifted = chunk_id >> sharding.preshift_bits
    hashed = shifted if sharding.hash == "identity" else murmurhash3_low64(shifted)
    shard = (hashed >> sharding.minishard_bits) & (2**sharding.shard_bits - 1)
    return f"{shard:x}".zfill(-(-sharding.shard_bits // 4)) + ".shard"


def morton_code(cell: Sequence[int], grid: Sequence[int]) -> int:
    """The compressed Morton code: bits of x, y, z in turn, without those that the grid is too small to need."""
    code, position = 0, 0
    for bit in range(max((extent - 1).bit_length() for extent in grid)):
        for index, extent in zip(cell, grid, strict=True):
            if 2**bit < extent:
                code |= (index >> bit & 1) << position
                position += 1
    return code


def murmurhash3_low64(value: int) -> int:
    """The low 64 bits of MurmurHash3_x86_128, seed 0, of eight little-endian bytes."""
    low, high = value & 0xFFFFFFFF, value >> 32 & 0xFFFFFFFF
    h1 = _rotate(low * 0x239B961B, 15) * 0xAB0E9789 & 0xFFFFFFFF
    h2 = _rotate(high * 0xAB0E9789, 16) * 0x38B34AE5 & 0xFFFFFFFF
    h1, h2, h3, h4 = h1 ^ 8, h2 ^ 8, 8, 8  # 8 is the length
    h1 = h1 + h2 + h3 + h4 & 0xFFFFFFFF
    h2, h3, h4 = (h + h1 & 0xFFFFFFFF for h in (h2, h3, h4))
    h1, h2, h3, h4 = (_mixed(h) for h in (h1, h2, h3, h4))
    h1 = h1 + h2 + h3 + h4 & 0xFFFFFFFF
    return (h1 | (h2 + h1 & 0xFFFFFFFF) << 32) & _MASK


def _rotate(value: int, by: int) -> int:
    value &= 0xFFFFFFFF
    return (value << by | value >> 32 - by) & 0xFFFFFFFF


def _mixed(h: int) -> int:
    h = (h ^ h >> 16) * 0x85EBCA6B & 0xFFFFFFFF
    h = (h ^ h >> 13) * 0xC2B2AE35 & 0xFFFFFFFF
    return h ^ h >> 16
