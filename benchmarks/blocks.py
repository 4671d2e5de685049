"""How fast random blocks are read, beside what one would use instead and beside decoding alone.

    make bench    or    python benchmarks/blocks.py [0.5 0.4 segmentation segmentation_sharded] [--rounds 5] [--strict]

All readers take the same places in turn, in one process; every round has new places, and nobody keeps decoded chunks
(`CACHE_BYTES` is 0), so that what is measured is reading and not remembering. `decoding alone` decompresses the touched
chunks from memory with as many threads as there are cores: no reader that decodes whole chunks can take less CPU.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import product
from pathlib import Path
from resource import RUSAGE_SELF, getrusage
from statistics import median
from tempfile import TemporaryDirectory
from threading import local
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

HERE = Path(__file__).parent
PEERS = ("zarr", "zarrs", "zstandard", "compressed-segmentation", "numcodecs")
EDGE = 512
CHUNK = 64
THREADS = os.cpu_count() or 1
STORES = ("0.5", "0.4", "segmentation", "segmentation_sharded")

ZYX = tuple[int, int, int]
Read = Callable[[Sequence[ZYX], int], Any]

# Issue: at most (CPU over decoding alone), at least (blocks/s over a peer), at most (CPU over a peer).
LINES: dict[tuple[str, int, str], tuple[tuple[str, str, str, float], ...]] = {
    ("0.5", 64, "aligned"): (
        ("cpu", "decoding alone", "<=", 1.7),
        ("rate", "zarr-python", ">=", 2.0),
        ("rate", "zarr + zarrs", ">=", 1.5),
    ),
    ("0.5", 64, "unaligned"): (
        ("cpu", "decoding alone", "<=", 1.3),
        ("rate", "zarr-python", ">=", 2.0),
        ("rate", "zarr + zarrs", ">=", 1.5),
    ),
    **{
        (store, size, mode): (("cpu", "zarr-python", "<=", 0.65), ("cpu", "zarr + zarrs", "<=", 0.75))
        for store, size in (("0.5", 128), ("0.4", 64), ("0.4", 128))
        for mode in ("aligned", "unaligned")
    },
    **{
        (store, size, mode): (("rate", "cloud-volume", ">=", 2.5 if size == 64 else 1.7),)
        for store in ("segmentation", "segmentation_sharded")
        for size in (64, 128)
        for mode in ("aligned", "unaligned")
    },
}


def peers_python() -> str:
    """An interpreter that has the project's packages and the peers', made where it is not there yet."""
    folder = HERE / ".envs" / "blocks"
    python = folder / "bin" / "python"
    if not (folder / "installed").exists():
        print(f"installing {', '.join(PEERS)} into {folder}", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        own = next(path for path in sys.path if path.endswith("site-packages"))
        site = next((folder / "lib").glob("python*/site-packages"))
        (site / "project.pth").write_text(f"{own}\n{HERE.parent}\n")
        subprocess.run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *PEERS], check=True)
        (folder / "installed").touch()
    return str(python)


def picture() -> NDArray[np.int16]:
    """Noise of EM's kind: smooth texture and grain, which zstd packs to about two thirds."""
    generator = np.random.default_rng(0)
    coarse = generator.normal(0, 900, (EDGE // 8,) * 3)
    smooth = coarse.repeat(8, 0).repeat(8, 1).repeat(8, 2)
    return (smooth + generator.normal(0, 60, smooth.shape)).astype(np.int16)


def objects() -> NDArray[np.uint64]:
    """Names of objects of about 20 voxels."""
    generator = np.random.default_rng(1)
    names = generator.integers(1, 2**40, (EDGE // 16,) * 3, dtype=np.uint64)
    return names.repeat(16, 0).repeat(16, 1).repeat(16, 2)


def prepare(folder: Path) -> None:
    """Every store, written once."""
    import tensorstore as ts

    from em_assets.volumes.ingest import ingest

    np.save(folder / "picture.npy", picture())
    bare = folder / "bare.zarr"
    spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": f"{bare}/"}}
    ts.open(spec, create=True, dtype="int16", shape=[EDGE] * 3).result().write(np.load(folder / "picture.npy")).result()
    for version in ("0.5", "0.4"):
        ingest(str(bare), folder / version, ome_zarr=version, voxel_size_zyx_nm=(8, 8, 8), content="em")
    sharding = {
        "@type": "neuroglancer_uint64_sharded_v1",
        "preshift_bits": 6,
        "hash": "identity",
        "minishard_bits": 3,
        "shard_bits": 6,
        "minishard_index_encoding": "gzip",
        "data_encoding": "gzip",
    }
    names = np.ascontiguousarray(objects().transpose(2, 1, 0))
    for store in ("segmentation", "segmentation_sharded"):
        scale = {
            "size": [EDGE] * 3,
            "resolution": [8] * 3,
            "chunk_size": [CHUNK] * 3,
            "encoding": "compressed_segmentation",
            "compressed_segmentation_block_size": [8] * 3,
        } | ({"sharding": sharding} if store.endswith("sharded") else {})
        spec = {
            "driver": "neuroglancer_precomputed",
            "kvstore": {"driver": "file", "path": f"{folder / store}/"},
            "multiscale_metadata": {"type": "segmentation", "data_type": "uint64", "num_channels": 1},
            "scale_metadata": scale,
        }
        ts.open(spec, create=True).result()[..., 0].write(names).result()


def ours(path: Path) -> dict[str, Read]:
    """The platform: fresh arrays, and a buffer that is used again."""
    from em_assets import open_volume

    volume = open_volume(path)
    buffers: dict[tuple[int, int], NDArray[Any]] = {}

    def boxes(places: Sequence[ZYX], size: int) -> list[tuple[ZYX, ZYX]]:
        return [(place, (size,) * 3) for place in places]

    def into(places: Sequence[ZYX], size: int) -> Any:
        key = (len(places), size)
        if key not in buffers:
            buffers.clear()
            buffers[key] = np.empty((len(places), size, size, size), volume.dtype)
        return volume.read_many(boxes(places, size), out=buffers[key])

    return {"em_assets, out=": into, "em_assets": lambda places, size: volume.read_many(boxes(places, size))}


def zarr_peers(path: Path) -> dict[str, Read]:
    """zarr-python with its own codecs, and with zarrs."""
    import zarr
    import zarrs  # noqa: F401, it registers its pipeline

    zarr.config.set({"threading.max_workers": THREADS})

    def read(pipeline: str, places: Sequence[ZYX], size: int) -> list[Any]:
        zarr.config.set({"codec_pipeline.path": pipeline})
        array = zarr.open_array(path / "s0", mode="r")
        return [array[tuple(slice(first, first + size) for first in place)] for place in places]

    return {
        "zarr-python": partial(read, "zarr.core.codec_pipeline.BatchedCodecPipeline"),
        "zarr + zarrs": partial(read, "zarrs.ZarrsCodecPipeline"),
    }


def cloud_volume(path: Path) -> dict[str, Read]:
    """cloud-volume, without its caches."""
    from cloudvolume import CloudVolume

    volume = CloudVolume(f"file://{path}", progress=False, cache=False, lru_bytes=0, bounded=True, fill_missing=False)

    def read(places: Sequence[ZYX], size: int) -> list[Any]:
        boxes = [tuple(slice(first, first + size) for first in place[::-1]) for place in places]
        return [np.asarray(volume[box])[..., 0].T for box in boxes]

    return {"cloud-volume": read}


def decoding(folder: Path, store: str) -> Read:
    """Decompress the chunks that the blocks touch, from memory, on all cores."""
    threads, executor = local(), ThreadPoolExecutor(THREADS)
    if store.startswith("segmentation"):
        import compressed_segmentation

        def name(chunk: ZYX) -> Path:
            return folder / "segmentation" / "8_8_8" / "_".join(f"{n * CHUNK}-{(n + 1) * CHUNK}" for n in chunk[::-1])

        def decode(data: bytes) -> int:
            shape = (CHUNK, CHUNK, CHUNK, 1)
            return int(compressed_segmentation.decompress(data, shape, np.uint64, (8, 8, 8), order="F").nbytes)
    else:
        import zstandard

        def name(chunk: ZYX) -> Path:
            return folder / "0.4" / "s0" / "/".join(map(str, chunk))

        def decode(data: bytes) -> int:
            if not hasattr(threads, "zstd"):
                threads.zstd = zstandard.ZstdDecompressor()
            return len(threads.zstd.decompress(data, max_output_size=2 * CHUNK**3))

    held = {chunk: name(chunk).read_bytes() for chunk in product(range(EDGE // CHUNK), repeat=3)}

    def read(places: Sequence[ZYX], size: int) -> int:
        touched = [held[chunk] for place in places for chunk in _chunks(place, size)]
        return sum(executor.map(decode, touched))

    return read


def _chunks(place: ZYX, size: int) -> Iterator[ZYX]:
    return product(*(range(first // CHUNK, (first + size - 1) // CHUNK + 1) for first in place))


def places_of(mode: str, size: int, count: int, generator: np.random.Generator) -> list[ZYX]:
    """So many first voxels."""
    if mode == "aligned":
        drawn = generator.integers(0, (EDGE - size) // CHUNK + 1, (count, 3)) * CHUNK
    else:
        drawn = generator.integers(0, EDGE - size + 1, (count, 3))
    return [(int(z), int(y), int(x)) for z, y, x in drawn]


def measure(folder: Path, store: str, rounds: int, count: int) -> list[dict[str, Any]]:
    """One row a reader, size and mode."""
    readers = {"decoding alone": decoding(folder, store), **ours(folder / store)}
    readers |= cloud_volume(folder / store) if store.startswith("segmentation") else zarr_peers(folder / store)
    truth = objects() if store.startswith("segmentation") else np.load(folder / "picture.npy", mmap_mode="r")
    generator, rows = np.random.default_rng(5), []
    for size, mode in product((64, 128), ("aligned", "unaligned")):
        taken: dict[str, list[tuple[float, float]]] = {name: [] for name in readers}
        for turn in range(rounds + 1):
            places = places_of(mode, size, count, generator)
            order = list(readers)[turn % len(readers) :] + list(readers)[: turn % len(readers)]
            for name in order:
                wall, cpu, found = _timed(partial(readers[name], places, size))
                if turn == 0 and name != "decoding alone":
                    box = tuple(slice(first, first + size) for first in places[1])
                    assert np.array_equal(found[1], truth[box]), f"{name} reads other voxels"
                if turn:
                    taken[name].append((wall, cpu))
        medians = {name: [median(column) for column in zip(*took, strict=True)] for name, took in taken.items()}
        rows += [_row(store, size, mode, name, count, medians) for name in readers]
    return rows


def _timed(read: Callable[[], Any]) -> tuple[float, float, Any]:
    before, start = getrusage(RUSAGE_SELF), perf_counter()
    found = read()
    wall, after = perf_counter() - start, getrusage(RUSAGE_SELF)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, found


def _row(store: str, size: int, mode: str, name: str, count: int, medians: dict[str, list[float]]) -> dict[str, Any]:
    wall, cpu = medians[name]
    return {"store": store, "size": size, "mode": mode, "reader": name, "rate": count / wall, "cpu": cpu / count}


def verdicts(rows: Sequence[dict[str, Any]]) -> Iterator[tuple[str, bool]]:
    """Each line of the issue with what was measured, for the reader into a buffer."""
    found = {(row["store"], row["size"], row["mode"], row["reader"]): row for row in rows}
    for (store, size, mode), lines in LINES.items():
        own = found.get((store, size, mode, "em_assets, out="))
        for figure, peer, sign, limit in lines if own else ():
            ratio = own[figure] / found[store, size, mode, peer][figure]
            holds = ratio <= limit if sign == "<=" else ratio >= limit
            yield f"{store} {size}³ {mode}: {figure} {ratio:.2f} × {peer} ({sign} {limit})", holds


def main() -> None:
    """Measure, print a table and the lines, and fail where `--strict` asks for it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stores", nargs="*", choices=[*STORES, []], default=[])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--count", type=int, default=48)
    parser.add_argument("--strict", action="store_true")
    parser.add_argument("--inside", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.inside is None:
        with TemporaryDirectory() as folder:
            command = [peers_python(), "-W", "ignore", __file__, *sys.argv[1:], "--inside", folder]
            sys.exit(subprocess.run(command, check=False).returncode)
    from em_assets.formats import tensorstores

    tensorstores.CACHE_BYTES = 0
    folder = Path(given.inside)
    prepare(folder)
    rows = [row for store in given.stores or STORES for row in measure(folder, store, given.rounds, given.count)]
    limits = {(row["store"], row["size"], row["mode"]): row for row in rows if row["reader"] == "decoding alone"}
    print("| store | block | reader | blocks/s | CPU ms a block | CPU × decoding alone |")
    print(f"{'| --- ' * 6}|")
    for row in rows:
        over = row["cpu"] / limits[row["store"], row["size"], row["mode"]]["cpu"]
        block = f"{row['size']}³ {row['mode']}"
        print(
            f"| {row['store']} | {block} | {row['reader']} | {row['rate']:.0f} | {row['cpu'] * 1e3:.2f} | {over:.2f} |"
        )
    failed = False
    for words, holds in verdicts(rows):
        print(f"{'holds' if holds else 'FAILS'}  {words}")
        failed |= not holds
    print(json.dumps(rows), file=sys.stderr) if given.strict else None
    sys.exit(1 if failed and given.strict else 0)


if __name__ == "__main__":
    main()
