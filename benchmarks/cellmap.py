"""Random blocks of OME-Zarr 0.4 beside cellmap-data, on the same places, one after the other in one process.

    make bench-torch    or, where torch is,    python benchmarks/cellmap.py [--rounds 5] [--count 48]

cellmap-data is asked for its patches as its own dataset asks for them, `CellMapImage[centre]`, without augmentation. It
needs zarr 2, so it has an environment of its own. torchvision, of which it takes the base class of its augmentations,
has no wheel on PyPI that loads without CUDA: a stand-in with those names is enough to read.
"""

import argparse
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any

import numpy as np
from blocks import ZYX, Read, _timed, ours, picture, places_of

HERE = Path(__file__).parent
PEERS = ("cellmap-data==2026.3.20.1935", "zarr==2.18.7", "numcodecs==0.15.2", "asciitree", "fasteners", "deprecated")
FURTHER = ("universal-pathlib", "pathlib-abc", "scipy", "tqdm", "matplotlib")
VOXEL_NM = 8.0


def peer_python() -> str:
    """An interpreter that has the packages of this one, and before them the peer's."""
    folder = HERE / ".envs" / "cellmap"
    python = folder / "bin" / "python"
    if not (folder / "installed").exists():
        print(f"installing {', '.join(PEERS)} into {folder}", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        site = next((folder / "lib").glob("python*/site-packages"))
        seen = [path for path in sys.path if path.endswith("site-packages")]
        (site / "project.pth").write_text("\n".join([*seen, str(HERE.parent)]) + "\n")
        pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
        subprocess.run([*pip, *PEERS, *(name for name in FURTHER if not find_spec(name.replace("-", "_")))], check=True)
        (folder / "installed").touch()
    return str(python)


def theirs(path: Path, size: int) -> Read:
    """cellmap-data's reader of patches of one size."""
    _stand_in_for_torchvision()
    from cellmap_data.image import CellMapImage

    image = CellMapImage(str(path), "raw", (VOXEL_NM,) * 3, (size,) * 3, interpolation="linear")

    def read(places: Any, size: int) -> list[Any]:
        return [image[_centre(place, size)].numpy() for place in places]

    return read


def _centre(place: ZYX, size: int) -> dict[str, float]:
    return {axis: (first + size / 2) * VOXEL_NM for axis, first in zip("zyx", place, strict=True)}


def _stand_in_for_torchvision() -> None:
    transforms = ModuleType("torchvision.transforms.v2")
    for name in ("Transform", "ToDtype", "Compose", "Identity", "Normalize"):
        setattr(transforms, name, type(name, (), {"__init__": lambda self, *_, **__: None}))
    parents = {"torchvision": "transforms", "torchvision.transforms": "v2"}
    sys.modules["torchvision.transforms.v2"] = transforms
    for name, child in reversed(parents.items()):
        module = ModuleType(name)
        setattr(module, child, sys.modules[f"{name}.{child}"])
        sys.modules[name] = module


def compare(path: Path, truth: Any, size: int, rounds: int, count: int) -> None:
    """Print rates and CPU of a block, and the ratios."""
    readers = {**ours(path), "cellmap-data": theirs(path, size)}
    generator, taken = np.random.default_rng(6), {name: [] for name in readers}
    for turn in range(rounds + 1):
        places = places_of("unaligned", size, count, generator)
        for name, read in readers.items():
            wall, cpu, found = _timed(lambda read=read, places=places: read(places, size))
            if turn:
                taken[name].append((count / wall, cpu / count))
            else:
                box = tuple(slice(first, first + size) for first in places[1])
                assert np.array_equal(found[1], truth[box]), f"{name} reads other voxels"
    found = {name: [median(column) for column in zip(*took, strict=True)] for name, took in taken.items()}
    for name, (rate, cpu) in found.items():
        ratio, less = rate / found["cellmap-data"][0], cpu / found["cellmap-data"][1]
        print(f"| 0.4 | {size}³ unaligned | {name} | {rate:.0f} | {cpu * 1e3:.2f} | {ratio:.2f} | {less:.2f} |")


def prepare(folder: Path) -> None:
    """The store, written once."""
    from em_assets.volumes.ingest import ingest

    voxels = picture()
    np.save(folder / "picture.npy", voxels)
    with (folder / "picture.mrc").open("wb") as file:
        file.write(_mrc_header(voxels.shape))
        file.write(voxels.tobytes())
    ingest(folder / "picture.mrc", folder / "0.4", ome_zarr="0.4", voxel_size_zyx_nm=(VOXEL_NM,) * 3, content="em")


def _mrc_header(shape: ZYX) -> bytes:
    header = np.zeros(256, "<i4")
    header[:4] = (*shape[::-1], 1)  # mode 1: int16
    header[52] = int.from_bytes(b"MAP ", "little")
    header[53] = 0x00004444
    return header.tobytes()


def main() -> None:
    """Prepare, measure in the peer's environment, print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--count", type=int, default=48)
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.inside is None:
        with TemporaryDirectory() as folder:
            prepare(Path(folder))
            command = [peer_python(), "-W", "ignore", __file__, *sys.argv[1:], "--inside", folder]
            sys.exit(subprocess.run(command, check=False).returncode)
    from em_assets.formats import tensorstores

    tensorstores.CACHE_BYTES = 0
    truth = np.load(given.inside / "picture.npy", mmap_mode="r")
    print("| store | block | reader | blocks/s | CPU ms a block | blocks/s × cellmap-data | CPU × cellmap-data |")
    print(f"{'| --- ' * 7}|")
    for size in (64, 128):
        compare(given.inside / "0.4", truth, size, given.rounds, given.count)


if __name__ == "__main__":
    main()
