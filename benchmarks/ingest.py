"""How fast a source becomes a pyramid, beside what one would use instead and what the machine allows.

    make bench    or    python benchmarks/ingest.py [stack_v3|stack_v2|zarr|dm3|memory|codecs …] [--rounds 5] [--strict]

Peers live in `benchmarks/.envs` and are installed there when they are first asked for. Every round runs all of them, a
process each, in an order that moves on by one; medians are quoted. `--strict` exits 1 where an aim is missed.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Any

from ingest_data import dm3_slices, int16_stack, label_stack, tiff_stack, zarr_group
from ingest_limits import LIMITS, limits_of

from em_assets.formats import open_path
from em_assets.volumes.levels import plan_levels

HERE = Path(__file__).parent
ENVS: Mapping[str, tuple[str, ...]] = {
    "tensorstore": ("numpy", "tifffile", "tensorstore"),
    "zarr_dask": ("numpy", "tifffile", "zarr", "dask[array]"),
    "ngff_zarr": ("ngff-zarr[dask-image]", "tifffile"),
    "ome_zarr": ("ome-zarr", "tifffile", "dask[array]"),
    "acquire_zarr": ("acquire-zarr", "tifffile"),
}
STACK = (256, 1536, 2048)
SLICES = (16, 5496, 5500)
SHAPES = (STACK, (2048, 1536, 2048), (16, 5500, 5500), (1, 60_000, 60_000))
CODECS = ("zstd-1", "zstd-3", "zstd-5", "blosc-zstd-1", "blosc-zstd-3")

Job = dict[str, Any]
Took = Mapping[str, float]


def python_of(peer: str) -> str:
    """Interpreter of a peer's environment, which is made where it is not there yet."""
    if peer not in ENVS:
        return sys.executable
    folder = HERE / ".envs" / peer
    python = folder / "bin" / "python"
    if not (folder / "installed").exists():
        print(f"installing {peer} into {folder}", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *ENVS[peer]], check=True)
        (folder / "installed").touch()
    return str(python)


def run(peer: str, job: Job, out: Path) -> Took:
    """What one run of a peer took, once the disk has all of the runs before."""
    os.sync()
    command = [
        python_of(peer),
        "-W",
        "ignore",
        str(HERE / "ingest_peers.py"),
        peer,
        json.dumps(job | {"out": str(out)}),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{peer}: {done.stderr[-2000:]}")
    size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    took: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return took | {"out_bytes": float(size)}


def rounds(
    peers: Sequence[str], job: Job, work: Path, count: int, *, is_kept: bool = False
) -> dict[str, dict[str, float]]:
    """Medians of each peer over rounds in rotated order; the first round, which warms the caches, does not count.

    What was written `is_kept` until the last has ended where the disk has room for that: without a journal ext4 looks,
    for each new file, at those that were deleted in the last minutes, and the system then takes longer than all else.
    """
    taken: dict[str, list[Took]] = {peer: [] for peer in peers}
    outs = work / "out"
    shutil.rmtree(outs, ignore_errors=True)
    for number in range(count + 1):
        order = [*peers[number % len(peers) :], *peers[: number % len(peers)]]
        for peer in order:
            out = outs / f"{number}_{peer}"
            took = limits_of(Path(job["source"]), work) if peer == LIMITS else run(peer, job, out)
            if not is_kept:
                shutil.rmtree(out, ignore_errors=True)
            if number:
                taken[peer].append(took)
    shutil.rmtree(outs, ignore_errors=True)
    return {
        peer: {key: statistics.median(took[key] for took in every) for key in every[0]} for peer, every in taken.items()
    }


def job_of(source: Path, voxel_size_zyx_nm: tuple[float, float, float], ngff: str, **more: Any) -> Job:
    """What the peers are told: the source, and how each level is halved from the one before."""
    volume = open_path(source)[0]
    steps = [level.step_zyx for level in plan_levels(volume.shape_zyx, voxel_size_zyx_nm)]
    said = {"source": str(source), "ngff": ngff, "voxel_size_zyx_nm": voxel_size_zyx_nm, "shape": volume.shape_zyx}
    return said | {"steps": steps} | more


def table(title: str, medians: Mapping[str, Mapping[str, float]], n_bytes: int) -> None:
    """Print the medians as Markdown, ours first."""
    ours = medians["em_assets"]
    print(
        f"\n### {title}\n| | MB/s | wall s | × ours | user s | system s | CPU × ours |\n|---|---|---|---|---|---|---|"
    )
    for peer, took in medians.items():
        cpu, own = (one["user_s"] + one["system_s"] for one in (took, ours))
        print(
            f"| {peer} | {n_bytes / took['wall_s'] / 1e6:.0f} | {took['wall_s']:.2f} "
            f"| {took['wall_s'] / ours['wall_s']:.2f} | {took['user_s']:.2f} | {took['system_s']:.2f} "
            f"| {cpu / own:.2f} |"
        )


def holds(what: str, value: float, least: float | None = None, most: float | None = None) -> bool:
    """Print whether a figure is where it should be."""
    is_held = (least is None or value >= least) and (most is None or value <= most)
    wanted = f"at least {least}" if most is None else f"at most {most}"
    print(f"{'holds' if is_held else 'FAILS'}: {what}: {value:.2f}, {wanted} wanted")
    return is_held


def stack_v2(data: Path, count: int) -> bool:
    """Line 1: a TIFF stack of 805 MB to OME-Zarr 0.4."""
    return _stack(data, count, "0.4")


def stack_v3(data: Path, count: int) -> bool:
    """Line 1: the same to OME-Zarr 0.5."""
    return _stack(data, count, "0.5")


def _stack(data: Path, count: int, ngff: str) -> bool:
    source, held = tiff_stack(data, STACK), []
    # Five levels for the peers; here it goes on until the coarsest is one chunk, which makes a sixth.
    job = job_of(source, (5.0, 5.0, 5.0), ngff)
    job["steps"] = job["steps"][:5]
    wanted = {"tensorstore": 1.5, "ngff_zarr": 8.0, "ome_zarr": 6.0}
    wanted |= {"acquire_zarr": 3.0} if ngff == "0.5" else {}
    medians = rounds(["em_assets", *wanted, LIMITS], job, data, count, is_kept=True)
    limit = medians.pop(LIMITS)
    table(f"TIFF stack of 805 MB to OME-Zarr {ngff}", medians, source.stat().st_size)
    ours = medians["em_assets"]
    held += [holds(f"wall of {peer}", medians[peer]["wall_s"] / ours["wall_s"], least=n) for peer, n in wanted.items()]
    stages = ", ".join(f"{stage.removesuffix('_user_s')} {s:.2f}" for stage, s in limit.items() if "_user_s" in stage)
    print(f"limits of the stages, user s: {stages}; together {limit['user_s']:.2f}")
    held.append(holds("user CPU over the stages' own", ours["user_s"] / limit["user_s"], most=1.25))
    return all(held)


def zarr(data: Path, count: int) -> bool:
    """Line 3: 512³ of int16 as OpenOrganelle has them."""
    return _against_two("Zarr 512³ int16 (0.4) to 0.5", zarr_group(data), (2.96, 4.0, 4.0), data, count)


def dm3(data: Path, count: int) -> bool:
    """Line 3: sixteen slices of a block face."""
    return _against_two("16 DM3 slices of 5496 × 5500 to 0.5", dm3_slices(data, SLICES), (50.0, 8.0, 8.0), data, count)


def _against_two(title: str, source: Path, size: tuple[float, float, float], data: Path, count: int) -> bool:
    offset = _pixel_offset(source) if source.name == "dm3" else 0
    job = job_of(source, size, "0.5", offset=offset)
    medians = rounds(["em_assets", "tensorstore", "zarr_dask"], job, data, count)
    table(title, medians, _voxel_bytes(source))
    ours, hand = medians["em_assets"], medians["tensorstore"]
    cpu, own = (one["user_s"] + one["system_s"] for one in (hand, ours))
    dask = medians["zarr_dask"]["wall_s"] / ours["wall_s"]
    return all(
        [holds("wall of zarr-python + dask", dask, least=3.0), holds("CPU of tensorstore's", own / cpu, most=0.8)]
    )


def _pixel_offset(folder: Path) -> int:
    from em_assets.formats import read_tags

    tags = read_tags(sorted(folder.iterdir())[0])
    return next(int(tag.value) for tag in tags if tag.path == "ImageList.1.ImageData.Data.Offset")


def memory(data: Path, count: int) -> bool:
    """Line 2: private memory under the budget whatever the shape, and the price of a byte."""
    prices, held = {}, []
    print("\n### Memory\n| shape | budget MiB | private MiB | wall s | CPU s a GB |\n|---|---|---|---|---|")
    for shape in SHAPES:
        source = tiff_stack(data, shape)
        for budget in (2 << 30, 1 << 30):
            job = job_of(source, (5.0, 5.0, 5.0), "0.5", is_watched=True, budget=budget)
            took = rounds(["em_assets"], job, data, count)["em_assets"]
            price = (took["user_s"] + took["system_s"]) / source.stat().st_size * 1e9
            peak = took["private_bytes"]
            print(f"| {shape} | {budget >> 20} | {peak / 2**20:.0f} | {took['wall_s']:.1f} | {price:.2f} |")
            prices[shape, budget] = took["user_s"] / source.stat().st_size
            held.append(peak <= budget)
    growth = prices[SHAPES[1], 2 << 30] / prices[SHAPES[0], 2 << 30]
    return all(held) and holds("user CPU of a byte, 2,048 pages over 256", growth, least=0.85, most=1.15)


def codecs(data: Path, count: int) -> bool:
    """The table that the default codec was chosen by."""
    print("\n### Codecs\n| source | codec | ratio | MB/s a core |\n|---|---|---|---|")
    sources = ((tiff_stack(data, STACK), "em"), (int16_stack(data), "em"), (label_stack(data), "labels"))
    for source, content in sources:
        for codec in CODECS:
            n_bytes = _voxel_bytes(source)
            job = job_of(source, (5.0, 5.0, 5.0), "0.5", codec=codec, content=content)
            took = rounds(["em_assets"], job, data, count)["em_assets"]
            print(
                f"| {source.name} | {codec} | {n_bytes * 8 / 7 / took['out_bytes']:.2f} "
                f"| {n_bytes / took['user_s'] / 1e6:.0f} |"
            )
    return True


def _voxel_bytes(source: Path) -> int:
    volume = open_path(source)[0]
    return prod(volume.shape_zyx) * volume.dtype.itemsize


PARTS = {part.__name__: part for part in (stack_v3, stack_v2, zarr, dm3, memory, codecs)}


def main(arguments: Sequence[str]) -> int:
    """Run the parts that are asked for; 1 where a line does not hold and that matters."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", default=["stack_v3", "stack_v2", "zarr", "dm3"], choices=[*PARTS])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--data", type=Path, default=HERE / ".data", help="where the made-up volumes are kept")
    parser.add_argument("--strict", action="store_true")
    options = parser.parse_args(arguments)
    options.data.mkdir(parents=True, exist_ok=True)
    held = [PARTS[part](options.data, options.rounds) for part in options.parts]
    return int(options.strict and not all(held))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
