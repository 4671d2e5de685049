"""One way to make a pyramid, run once: `python ingest_peers.py PEER '{"source": …}'` in the peer's own environment.

Nothing of em_assets is imported but in its own peer. What it took is printed as a line of JSON: `wall_s` without the
interpreter's start and imports, CPU seconds of user and system, and the private memory's peak where that is asked for.
"""

import glob
import json
import os
import resource
import sys
import threading
import time

THREADS = os.cpu_count()
CHUNK, SHARD_CHUNKS = 64, (2, 8, 8)


def em_assets(job):
    """Ours: ledger, statistics and all levels."""
    from importlib import import_module

    import imagecodecs

    from em_assets.formats import open_path
    from em_assets.volumes.pyramid import write_pyramid

    for name in (
        "blake3",
        "google_crc32c",
        "simsimd",
        "tensorstore",
        "em_assets.formats.dm",
        "em_assets.formats.ome_zarr",
    ):
        import_module(name)
    imagecodecs.zstd_encode(b"", 1)
    voxel_size = tuple(job["voxel_size_zyx_nm"])

    def work():
        from pathlib import Path

        budget = {"memory_budget_bytes": job["budget"]} if job.get("budget") else {}
        write_pyramid(
            open_path(job["source"])[0],
            Path(job["out"]),
            ome_zarr=job["ngff"],
            content=job.get("content", "em"),
            voxel_size_zyx_nm=voxel_size,
            name="v",
            attributes={},
            codec=job.get("codec", "zstd-1"),
            **budget,
        )

    return work


def tensorstore(job):
    """By hand: level 0 copied slab by slab, each further one a lazily downsampled view of the one before."""
    import tensorstore as ts

    read = _source(job)
    context = ts.Context({"data_copy_concurrency": {"limit": THREADS}, "cache_pool": {"total_bytes_limit": 0}})

    def work():
        source = read()
        steps, shape = job["steps"], list(source.shape)
        before = None
        for level, step in enumerate(steps):
            shape = [-(-n // s) for n, s in zip(shape, step, strict=True)]
            made = ts.open(
                {
                    "driver": "zarr3" if job["ngff"] == "0.5" else "zarr",
                    "kvstore": {"driver": "file", "path": f"{job['out']}/s{level}/", "file_io_sync": False},
                    "metadata": _metadata(job, shape, source.dtype),
                },
                create=True,
                context=context,
            ).result()
            view = source if before is None else ts.downsample(before, step, "mean")
            for z in range(0, shape[0], _depth(job, shape)):
                box = slice(z, min(z + _depth(job, shape), shape[0]))
                made[box].write(view[box]).result()
            before = made

    return work


def zarr_dask(job):
    """zarr-python and dask: one store a level, each coarsened from the one before."""
    import dask
    import dask.array as da
    import numpy as np
    import zarr

    read = _source(job, library="zarr")
    zarr.config.set({"threading.max_workers": THREADS})

    def work():
        source = read()
        shard = [c * n for c, n in zip(_chunk(source.shape), SHARD_CHUNKS, strict=True)]
        at_once = shard if job["ngff"] == "0.5" else [shard[0] // 2 or 1, shard[1], shard[2]]
        shape, lazy = list(source.shape), da.from_array(source, chunks=at_once, name=False)
        with dask.config.set(scheduler="threads", num_workers=THREADS):
            for level, step in enumerate(job["steps"]):
                shape = [-(-n // s) for n, s in zip(shape, step, strict=True)]
                os.makedirs(f"{job['out']}/s{level}")
                name = "zarr.json" if job["ngff"] == "0.5" else ".zarray"
                with open(f"{job['out']}/s{level}/{name}", "w") as file:
                    json.dump(_metadata(job, shape, source.dtype), file)
                made = zarr.open_array(f"{job['out']}/s{level}", mode="r+")
                if level:
                    whole = [n * s - m for n, s, m in zip(shape, step, lazy.shape, strict=True)]
                    padded = da.pad(lazy, [(0, n) for n in whole], mode="edge")
                    lazy = da.coarsen(np.mean, padded, dict(enumerate(step))).astype(source.dtype)
                da.store(lazy.rechunk(at_once), made, lock=False)
                lazy = da.from_array(made, chunks=[2 * n for n in at_once], name=False)

    return work


def ngff_zarr(job):
    """ngff-zarr with its dask bin-shrink."""
    import dask
    import dask.array as da
    import ngff_zarr as nz

    read = _source(job)

    def work():
        with dask.config.set(scheduler="threads", num_workers=THREADS):
            lazy = da.from_array(read(), chunks=(CHUNK, 8 * CHUNK, 8 * CHUNK), name=False)
            image = nz.to_ngff_image(lazy, dims=("z", "y", "x"), scale=dict.fromkeys("zyx", 5.0))
            factors = [2**level for level in range(1, len(job["steps"]))]
            made = nz.to_multiscales(image, factors, method=nz.Methods.DASK_BIN_SHRINK, chunks=CHUNK, cache=False)
            sharded = {"chunks_per_shard": dict(zip("zyx", SHARD_CHUNKS, strict=True))}
            nz.to_ngff_zarr(job["out"], made, version=job["ngff"], **(sharded if job["ngff"] == "0.5" else {}))

    return work


def ome_zarr(job):
    """ome-zarr-py's write_image with local means."""
    import dask
    import dask.array as da
    import numcodecs
    import zarr
    from ome_zarr.format import FormatV04, FormatV05
    from ome_zarr.scale import Methods
    from ome_zarr.writer import write_image

    read, is_v3 = _source(job), job["ngff"] == "0.5"
    zarr.config.set({"threading.max_workers": THREADS})

    def work():
        chunks = (CHUNK,) * 3
        shards = tuple(CHUNK * n for n in SHARD_CHUNKS)
        options = {"chunks": chunks, "compressor": numcodecs.Zstd(1)}
        if is_v3:
            options = {"chunks": chunks, "shards": shards, "compressors": [zarr.codecs.ZstdCodec(level=1)]}
        with dask.config.set(scheduler="threads", num_workers=THREADS):
            lazy = da.from_array(read(), chunks=shards if is_v3 else (CHUNK, 4 * CHUNK, 2048), name=False)
            write_image(
                lazy,
                zarr.open_group(job["out"], mode="w", zarr_format=3 if is_v3 else 2),
                scale_factors=[dict.fromkeys("zyx", 2**level) for level in range(1, len(job["steps"]))],
                method=getattr(Methods, "LOCAL_MEAN", Methods.RESIZE),
                fmt=FormatV05() if is_v3 else FormatV04(),
                axes="zyx",
                storage_options=options,
            )

    return work


def acquire_zarr(job):
    """acquire-zarr, plane by plane as a microscope gives them."""
    import acquire_zarr as aqz
    import numpy as np

    read = _source(job)

    def work():
        source = read()
        sizes = zip("zyx", source.shape, SHARD_CHUNKS, strict=True)
        dimensions = [
            aqz.Dimension(
                name=name,
                kind=aqz.DimensionType.SPACE,
                array_size_px=size,
                chunk_size_px=CHUNK,
                shard_size_chunks=shard,
            )
            for name, size, shard in sizes
        ]
        zstd = aqz.CompressionSettings(
            compressor=aqz.Compressor.BLOSC1, codec=aqz.CompressionCodec.BLOSC_ZSTD, level=1, shuffle=0
        )
        array = aqz.ArraySettings(
            dimensions=dimensions, data_type=np.uint8, compression=zstd, downsampling_method=aqz.DownsamplingMethod.MEAN
        )
        stream = aqz.ZarrStream(
            aqz.StreamSettings(store_path=job["out"], max_threads=THREADS, overwrite=True, arrays=[array])
        )
        for z in range(0, source.shape[0], CHUNK):
            stream.append(source[z : z + CHUNK])
        if hasattr(stream, "close"):
            stream.close()

    return work


PEERS = {f.__name__: f for f in (em_assets, tensorstore, zarr_dask, ngff_zarr, ome_zarr, acquire_zarr)}


def _source(job, library="tensorstore"):
    """Opens the source as one would by hand: TIFF mapped into memory, DM3 from its pixels' offset, Zarr's level 0."""
    import numpy as np

    path = job["source"]
    if path.endswith(".tif"):
        import tifffile

        return lambda: tifffile.memmap(path, mode="r")
    if path.endswith(".zarr"):
        if library == "zarr":
            import zarr

            return lambda: zarr.open_array(f"{path}/s0", mode="r")
        import tensorstore as ts

        kvstore = {"driver": "file", "path": f"{path}/s0/"}
        return lambda: _Voxels(ts.open({"driver": "zarr", "kvstore": kvstore}).result())

    offset, height, width = job["offset"], *job["shape"][1:]

    def stacked():
        files = sorted(glob.glob(f"{path}/*.dm3"))
        return np.stack([np.memmap(f, np.uint8, "r", offset, (height, width)) for f in files])

    return stacked


class _Voxels:
    """A tensorstore with numpy's `dtype`."""

    def __init__(self, array):
        self.array, self.shape = array, array.shape
        self.dtype = array.dtype.numpy_dtype

    def __getitem__(self, box):
        return self.array[box]


def _chunk(shape):
    return [min(CHUNK, n) for n in shape]


def _depth(job, shape):
    return _chunk(job["shape"])[0] * (SHARD_CHUNKS[0] if job["ngff"] == "0.5" else 1)


def _metadata(job, shape, dtype):
    import numpy as np

    chunk, dtype = _chunk(job["shape"]), np.dtype(dtype)
    if job["ngff"] == "0.4":
        said = {"zarr_format": 2, "shape": shape, "chunks": chunk, "dtype": dtype.newbyteorder("<").str}
        return said | {
            "compressor": {"id": "zstd", "level": 1},
            "fill_value": 0,
            "filters": None,
            "order": "C",
            "dimension_separator": "/",
        }
    little = {"name": "bytes", "configuration": {"endian": "little"}}
    sharding = {
        "chunk_shape": chunk,
        "codecs": [little, {"name": "zstd", "configuration": {"level": 1, "checksum": False}}],
        "index_codecs": [little, {"name": "crc32c"}],
        "index_location": "end",
    }
    shard = [c * n for c, n in zip(chunk, SHARD_CHUNKS, strict=True)]
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": shape,
        "data_type": dtype.name,
        "fill_value": 0,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": shard}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "codecs": [{"name": "sharding_indexed", "configuration": sharding}],
        "attributes": {},
    }


def _private_bytes():
    with open("/proc/self/smaps_rollup") as file:
        fields = dict(line.split(":", 1) for line in file if line.startswith("Private_"))
    return sum(int(value.split()[0]) for value in fields.values()) * 1024


def _watched(is_asked, ended, peak):
    while is_asked and not ended.wait(0.05):
        peak.append(_private_bytes())


def main(peer, job):
    """Run it once and print what it took."""
    work, peak, ended = PEERS[peer](job), [0], threading.Event()
    watcher = threading.Thread(target=_watched, args=(job.get("is_watched"), ended, peak))
    before, began = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    watcher.start()
    work()
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF)
    ended.set()
    took = {
        "wall_s": wall,
        "user_s": after.ru_utime - before.ru_utime,
        "system_s": after.ru_stime - before.ru_stime,
        "private_bytes": max(peak),
    }
    print(json.dumps(took))


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]))
