"""Small healthy files and folders of every format and encoding: what the mutants are made of."""

import json
import struct
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from em_assets_tests.formats.test_dm import dm_file, image, slice_tags

TEXTURED = np.random.default_rng(5).integers(20, 230, (6, 40, 48), dtype=np.uint8)
WIDE = TEXTURED.astype(np.uint16) * 257

TIFFS: dict[str, dict[str, Any]] = {
    "plain.tif": {},
    "imagej.tif": {"imagej": True, "metadata": {"axes": "ZYX", "spacing": 0.03, "unit": "um"}},
    "ome.ome.tif": {"metadata": {"axes": "ZYX"}},
    "big.tif": {"bigtiff": True, "byteorder": ">", "compression": "zlib", "rowsperstrip": 16},
    "lzw.tif": {"compression": "lzw", "predictor": True},
    "tiled.tif": {"compression": "zstd", "tile": (16, 32)},
    "jpeg.tif": {"compression": "jpeg", "tile": (16, 32)},
    "jpeg2000.tif": {"compression": "jpeg2000"},
    "packbits.tif": {"compression": "packbits"},
}


def write_dm(folder: Path) -> list[str]:
    """DM3 and DM4, in both byte orders."""
    names = []
    for version, order in ((3, "<"), (4, "<"), (3, ">")):
        scales = [(0.01, "µm"), (0.01, "µm")]
        name = f"v{version}{'le' if order == '<' else 'be'}.dm{version}"
        dm_file(folder / name, [image(WIDE[0], "uint16", scales, slice_tags())], version, order)
        names.append(name)
    return names


def write_tiff(folder: Path) -> list[str]:
    """Strips and tiles, with every common compression, plain, ImageJ's and OME."""
    for name, options in TIFFS.items():
        voxels = TEXTURED if "jpeg" in name or "packbits" in name else WIDE
        tifffile.imwrite(folder / name, voxels, **{"photometric": "minisblack", **options})
    return list(TIFFS)


def write_mrc(folder: Path) -> list[str]:
    """Bytes, words, floats and half floats; packed by gzip and bzip2."""
    import mrcfile

    modes = {"int8.mrc": np.int8, "uint16.mrc": np.uint16, "float32.map": np.float32, "float16.mrc": np.float16}
    modes |= {"packed.mrc.gz": np.int16, "packed.mrc.bz2": np.int16}
    for name, dtype in modes.items():
        compression = {"gz": "gzip", "bz2": "bzip2"}.get(name.rsplit(".", 1)[1])
        with mrcfile.new(folder / name, (TEXTURED // 2).astype(dtype), compression=compression) as file:
            file.voxel_size = 8.0
    return list(modes)


def write_zarr_v2(folder: Path) -> list[str]:
    """A chunk a file, in each compressor."""
    from numcodecs import Blosc, GZip, Zstd

    codecs = {"blosc": Blosc("lz4"), "zstd": Zstd(1), "gzip": GZip(1), "raw": None}
    return [_write_zarr(folder / name, zarr_format=2, compressors=codec) for name, codec in codecs.items()]


def write_zarr_v3(folder: Path) -> list[str]:
    """A chunk a file, in each codec, with and without a checksum."""
    return [_write_zarr(folder / name, compressors=codecs) for name, codecs in _v3_codecs().items()]


def write_sharded(folder: Path) -> list[str]:
    """Eight chunks a shard."""
    return [_write_zarr(folder / name, compressors=codecs, shards=(8, 32, 32)) for name, codecs in _v3_codecs().items()]


def write_precomputed(folder: Path) -> list[str]:
    """Every encoding; files packed by gzip and brotli; shards."""
    options: dict[str, dict[str, Any]] = {
        "raw": {"encoding": "raw"},
        "gzip": {"encoding": "raw", "compress": "gzip"},
        "brotli": {"encoding": "raw", "compress": "br"},
        "jpeg": {"encoding": "jpeg"},
        "png": {"encoding": "png"},
        "cseg": {"encoding": "compressed_segmentation"},
        "sharded": {"encoding": "raw", "is_sharded": True},
        "shardedjpeg": {"encoding": "jpeg", "is_sharded": True},
    }
    return [_write_precomputed(folder / name, **each) for name, each in options.items()]


N5_COMPRESSIONS: dict[str, dict[str, Any]] = {
    "raw": {"type": "raw"},
    "gzip": {"type": "gzip", "level": 1},
    "zlib": {"type": "gzip", "level": 1, "useZlib": True},
    "bzip2": {"type": "bzip2"},
    "xz": {"type": "xz"},
    "blosc": {"type": "blosc", "cname": "lz4", "clevel": 5, "shuffle": 1},
    "zstd": {"type": "zstd"},
}


def write_n5(folder: Path) -> list[str]:
    """A group of two levels in each compression; lz4 is packed here, as Java does it."""
    for name, compression in N5_COMPRESSIONS.items():
        write_n5_group(folder / name, WIDE, compression)
    write_n5_group(folder / "lz4", WIDE, {"type": "raw"})
    for block in sorted((folder / "lz4").rglob("*")):
        if block.is_file() and block.name != "attributes.json":
            data = block.read_bytes()
            block.write_bytes(data[:16] + packed_lz4(data[16:]))
    for document in (folder / "lz4").rglob("attributes.json"):
        document.write_text(document.read_text().replace('"type":"raw"', '"type":"lz4","blockSize":65536'))
    return [*N5_COMPRESSIONS, "lz4"]


def write_n5_group(group: Path, voxels: np.ndarray, compression: dict[str, Any], block: int = 16) -> None:
    """Two levels as OpenOrganelle keeps them."""
    import tensorstore

    for level, of_level in enumerate((voxels, voxels[::2, ::2, ::2])):
        metadata = {"dimensions": list(of_level.shape[::-1]), "blockSize": [block, block, 4]}
        metadata |= {"dataType": of_level.dtype.name, "compression": compression}
        spec = {"driver": "n5", "kvstore": f"file://{group}/s{level}/", "metadata": metadata}
        tensorstore.open(spec, create=True).result()[...] = of_level.T
    attributes = {"scales": [[1, 1, 1], [2, 2, 2]], "pixelResolution": {"dimensions": [8, 8, 30], "unit": "nm"}}
    (group / "attributes.json").write_text(json.dumps(attributes))


def packed_lz4(data: bytes, block: int = 1000) -> bytes:
    """What Java's LZ4BlockOutputStream makes of it: blocks of their own, an empty one at the end."""
    import imagecodecs

    parts = [data[at : at + block] for at in range(0, len(data), block)]
    packed = [(part, bytes(imagecodecs.lz4_encode(part))) for part in parts]
    head = struct.Struct("<8sBiiI")
    blocks = [head.pack(b"LZ4Block", 0x20 | 10, len(small), len(part), 0) + small for part, small in packed]
    return b"".join(blocks) + head.pack(b"LZ4Block", 0x10 | 10, 0, 0, 0)


def write_hdf5(folder: Path) -> list[str]:
    """Contiguous and chunked, each filter, old and new structures, attributes of several kinds."""
    import h5py

    options: dict[str, dict[str, Any]] = {
        "contiguous.h5": {},
        "gzip.h5": {"chunks": (4, 16, 16), "compression": "gzip", "shuffle": True},
        "lzf.h5": {"chunks": (4, 16, 16), "compression": "lzf", "fletcher32": True},
        "latest.h5": {"chunks": (4, 16, 16), "compression": "gzip"},
    }
    for name, each in options.items():
        with h5py.File(folder / name, "w", libver="latest" if name == "latest.h5" else None) as file:
            raw = file.create_dataset("volumes/raw", data=WIDE, **each)
            raw.attrs["resolution"] = (40.0, 4.0, 4.0)
            raw.attrs["comment"] = "made up"
            labels = file.create_dataset("volumes/labels/neuron_ids", data=TEXTURED.astype(np.uint64), **each)
            labels.attrs["resolution"] = (40.0, 4.0, 4.0)
            file.create_dataset("annotations/ids", data=np.arange(4))
    return list(options)


def _v3_codecs() -> dict[str, Any]:
    from zarr.codecs import BloscCodec, Crc32cCodec, GzipCodec, ZstdCodec

    return {
        "blosc": BloscCodec(cname="lz4"),
        "zstd": ZstdCodec(level=1),
        "gzip": GzipCodec(level=1),
        "bytes": ZstdCodec(level=1),
        "raw": None,
        "crc32c": [ZstdCodec(level=1), Crc32cCodec()],
    }


def _write_zarr(path: Path, **options: Any) -> str:
    import zarr

    voxels = TEXTURED if path.name == "bytes" else WIDE
    options = {"zarr_format": 3, "chunks": (4, 16, 16), "fill_value": 0, **options}
    zarr.create_array(path, shape=voxels.shape, dtype=voxels.dtype, **options)[:] = voxels
    return path.name


def _write_precomputed(path: Path, encoding: str, compress: str | bool = False, is_sharded: bool = False) -> str:
    import tensorstore

    dtype = {"raw": "uint16", "jpeg": "uint8", "png": "uint8"}.get(encoding, "uint64")
    voxels = (TEXTURED // 64 if dtype == "uint64" else TEXTURED if dtype == "uint8" else WIDE).astype(dtype)
    if compress:
        return _write_with_cloud_volume(path, voxels, encoding, compress)
    scale: dict[str, Any] = {"size": [48, 40, 6], "resolution": [8, 8, 30], "chunk_size": [16, 16, 4]}
    scale |= {"encoding": encoding, "key": "8_8_30", "voxel_offset": [0, 0, 0]}
    if encoding == "compressed_segmentation":
        scale["compressed_segmentation_block_size"] = [8, 8, 8]
    if is_sharded:
        scale["sharding"] = {"@type": "neuroglancer_uint64_sharded_v1", "preshift_bits": 1, "hash": "identity"}
        scale["sharding"] |= {"minishard_bits": 1, "shard_bits": 2, "data_encoding": "gzip"}
    kind = "segmentation" if dtype == "uint64" else "image"
    spec = {"driver": "neuroglancer_precomputed", "kvstore": f"file://{path}/", "scale_metadata": scale}
    spec["multiscale_metadata"] = {"type": kind, "data_type": dtype, "num_channels": 1}
    array = tensorstore.open(spec, create=True).result()
    array[..., 0] = voxels.T
    return path.name


def _write_with_cloud_volume(path: Path, voxels: np.ndarray, encoding: str, compress: str | bool) -> str:
    with warnings.catch_warnings():  # google's client warns of a package that nobody needs here
        warnings.simplefilter("ignore")
        from cloudvolume import CloudVolume

    kind = "segmentation" if voxels.dtype == np.uint64 else "image"
    info = CloudVolume.create_new_info(
        1, kind, voxels.dtype.name, encoding, (8, 8, 30), (0, 0, 0), voxels.shape[::-1], chunk_size=(16, 16, 4)
    )
    volume = CloudVolume(f"file://{path}", info=info, progress=False, compress=compress, parallel=1)
    volume.commit_info()
    volume[:] = voxels.T
    return path.name


WRITERS: dict[str, Callable[[Path], list[str]]] = {
    "dm": write_dm,
    "tiff": write_tiff,
    "mrc": write_mrc,
    "zarr_v2": write_zarr_v2,
    "zarr_v3": write_zarr_v3,
    "sharded": write_sharded,
    "precomputed": write_precomputed,
    "n5": write_n5,
    "hdf5": write_hdf5,
}
