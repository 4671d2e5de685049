"""Every kind of bad source that people and archives come up with, as real files, folders and a real server."""

import json
import random
import shutil
import socket
import struct
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, Literal

import numpy as np
import tifffile
import zarr

from em_assets.blocks.volume import VolumeDataset
from em_assets.sample.dm3 import dm3_bytes
from em_assets.sample.empiar import tag_table

SHAPE = (6, 40, 50)
VOXELS = np.random.default_rng(11).integers(20, 230, SHAPE, dtype=np.uint8)

LFS_POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:0a1b\nsize 123456\n"
WEB_PAGE = "<!DOCTYPE html>\n<html><head><title>Sign in</title></head><body>…</body></html>\n"

_IMAGE = "ImageList.#1.ImageData"
_THUMBNAIL = "ImageList.#0.ImageData"


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """A folder over HTTP on loopback; its URL without a trailing slash."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder))) as server:
        thread = Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def closed_port() -> str:
    """A URL at which nobody answers."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


def write_files(folder: Path) -> None:
    """The bad files and folders, one or a folder of each kind, and some good ones."""
    for name, write in FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path)


def read_whole(volume: VolumeDataset) -> np.ndarray[Any, Any]:
    """Every voxel."""
    return volume.read((0, 0, 0), volume.shape)


def write_toml(folder: Path, name: str, source: Mapping[str, Any], **keys: Any) -> None:
    """A dataset's file."""
    lines = [f"{key} = {json.dumps(value)}" for key, value in {"title": name, **keys}.items()]
    lines += ["[source]", *(f"{key} = {json.dumps(value)}" for key, value in source.items())]
    (folder / f"{name}.toml").write_text("\n".join(lines) + "\n")


def dm3(changed: Mapping[str, Any] | None = None) -> bytes:
    """A slice as the microscope writes it, with some tags of its image changed."""
    changes = {f"{_IMAGE}.{name}": value for name, value in (changed or {}).items()}
    rows = [[path, kind, changes.get(path, value)] for path, kind, value in tag_table()]
    sizes = {path: value["each"][0] for path, _, value in rows if isinstance(value, dict)}
    height, width = (sizes[f"{_THUMBNAIL}.Dimensions.#{axis}"] for axis in (1, 0))
    thumbnail = np.zeros((height, width), np.uint32)
    return dm3_bytes(rows, 0, {f"{_THUMBNAIL}.Data": thumbnail, f"{_IMAGE}.Data": VOXELS[0]})


def tiff(voxels: np.ndarray, **how: Any) -> Callable[[Path], None]:
    return lambda path: tifffile.imwrite(path, voxels, **how)


def mrc(mode: int = 0) -> bytes:
    """An MRC header of a mode, and as many voxels."""
    header = np.zeros(256, "<i4")
    header[:3], header[3], header[7:10] = SHAPE[::-1], mode, SHAPE[::-1]
    header[10:13] = np.array([100.0, 80.0, 60.0], "<f4").view("<i4")
    header[16:19] = (1, 2, 3)
    header[52], header[53] = int.from_bytes(b"MAP ", "little"), 0x4444
    itemsize = {0: 1, 3: 4, 4: 8, 16: 3}[mode]
    return header.tobytes() + np.resize(VOXELS, VOXELS.size * itemsize).tobytes()


def ome_zarr(path: Path, version: str = "0.5", dtype: str = "uint8") -> None:
    axes = [{"name": axis, "type": "space", "unit": "nanometer"} for axis in "zyx"]
    scale = [{"type": "scale", "scale": [50.0, 8.0, 8.0]}]
    image = {"axes": axes, "datasets": [{"path": "s0", "coordinateTransformations": scale}]}
    group = zarr.open_group(path, mode="w", attributes={"ome": {"version": version, "multiscales": [image]}})
    array = group.create_array("s0", shape=SHAPE, chunks=(3, 20, 25), dtype=dtype, dimension_names=list("zyx"))
    array[:] = VOXELS


def precomputed(path: Path, data_type: str = "uint8", channels: int = 1) -> None:
    """A precomputed volume of one raw chunk."""
    size = list(SHAPE[::-1])
    scale = {"key": "8", "size": size, "resolution": [8, 8, 50], "chunk_sizes": [size], "encoding": "raw"}
    info = {"@type": "neuroglancer_multiscale_volume", "type": "image", "data_type": data_type}
    (path / "8").mkdir(parents=True)
    (path / "info").write_text(
        json.dumps(info | {"num_channels": channels, "scales": [scale | {"voxel_offset": [0] * 3}]})
    )
    (path / "8" / f"0-{size[0]}_0-{size[1]}_0-{size[2]}").write_bytes(VOXELS.tobytes() * channels)


def text(content: str) -> Callable[[Path], None]:
    return data(content.encode())


def data(content: bytes) -> Callable[[Path], None]:
    def write_data(path: Path) -> None:
        path.write_bytes(content)

    return write_data


def cut(write: Callable[[Path], None], at: float = 0.6) -> Callable[[Path], None]:
    """The same, ended at a part of its length."""

    def write_cut(path: Path) -> None:
        write(path)
        path.write_bytes(path.read_bytes()[: int(path.stat().st_size * at)])

    return write_cut


def damaged_copy(source: Path, dest: Path, draw: random.Random) -> Path:
    """A copy of a file, or of a folder with one of its files, cut short or with some bytes changed."""
    copy = dest / source.name
    if source.is_dir():
        shutil.copytree(source, copy, copy_function=shutil.copyfile)
        for path in (copy, *copy.rglob("*")):
            path.chmod(0o700)
        victim = draw.choice(sorted(path for path in copy.rglob("*") if path.is_file()))
    else:
        dest.mkdir()
        victim = Path(shutil.copyfile(source, copy))
    victim.write_bytes(_damaged(victim.read_bytes(), draw))
    return copy


def _damaged(data: bytes, draw: random.Random) -> bytes:
    if draw.random() < 0.3:
        return data[: draw.randrange(len(data))]
    changed = bytearray(data)
    most = len(data) if draw.random() < 0.5 else min(len(data), 1024)  # what is worst is in the header
    for _ in range(draw.choice([1, 4, 16])):
        changed[draw.randrange(most)] = draw.choice([0, 127, 128, 255, draw.randrange(256)])
    return bytes(changed)


def _odd_tag(path: Path) -> None:
    """A packed TIFF whose resolution is of a type that no one knows: good, and tifffile mutters about it."""
    tiff(VOXELS, photometric="minisblack", compression="zlib")(path)
    content = bytearray(path.read_bytes())
    (n_tags,) = struct.unpack_from("<H", content, 8)
    entries = {struct.unpack_from("<H", content, 10 + 12 * i)[0]: 10 + 12 * i for i in range(n_tags)}
    struct.pack_into("<H", content, entries[282] + 2, 99)
    path.write_bytes(content)


def _chunk_cut(path: Path) -> None:
    ome_zarr(path)
    chunk = path / "s0/c/1/1/1"
    chunk.write_bytes(chunk.read_bytes()[:40])


def _level_gone(path: Path) -> None:
    ome_zarr(path)
    shutil.rmtree(path / "s0")


def _no_arrays(path: Path, zarr_format: Literal[2, 3] = 3) -> None:
    zarr.open_group(path, mode="w", zarr_format=zarr_format)


def _no_chunk(path: Path) -> None:
    precomputed(path)
    shutil.rmtree(path / "8")


def _hole(path: Path) -> None:
    """Slices, one of which is a pointer."""
    path.mkdir()
    for z, plane in enumerate(VOXELS):
        tifffile.imwrite(path / f"slice_{z}.tif", plane)
    (path / "slice_3.tif").write_text(LFS_POINTER)


FILES: Mapping[str, Callable[[Path], None]] = {
    "good.tif": tiff(VOXELS, photometric="minisblack"),
    "good_odd_tag.tif": _odd_tag,
    "good.zarr": ome_zarr,
    "good_precomputed": precomputed,
    "cut.tif": cut(tiff(VOXELS, photometric="minisblack")),
    "cut_packed.tif": cut(tiff(VOXELS, photometric="minisblack", compression="zlib")),
    "cut.dm3": cut(data(dm3())),
    "cut.mrc": cut(data(mrc())),
    "cut_header.tif": cut(tiff(VOXELS, photometric="minisblack"), 0.0008),
    "cut_header.dm3": cut(data(dm3()), 0.0008),
    "cut_header.mrc": cut(data(mrc()), 0.03),
    "zero.tif": data(b""),
    "zero.dm3": data(b""),
    "zero.mrc": data(b""),
    "pointer.tif": text(LFS_POINTER),
    "pointer.mrc": text(LFS_POINTER),
    "page.tif": text(WEB_PAGE),
    "notes.txt": text("No data here.\n"),
    "hole": _hole,
    "empty": Path.mkdir,
    "no_arrays.zarr": _no_arrays,
    "no_arrays_v2.zarr": partial(_no_arrays, zarr_format=2),
    "no_level.zarr": _level_gone,
    "cut_chunk.zarr": _chunk_cut,
    "future.zarr": partial(ome_zarr, version="0.9"),
    "complex.zarr": partial(ome_zarr, dtype="complex64"),
    "no_json.zarr/zarr.json": text(WEB_PAGE),
    "colour_precomputed": partial(precomputed, channels=3),
    "no_chunk_precomputed": _no_chunk,
    "spectrum.dm3": data(dm3({"Calibrations.Dimension.#0.Units": "eV"})),
    "complex.dm3": data(dm3({"DataType": 3})),
    "colour.dm3": data(dm3({"DataType": 23})),
    "colour.tif": tiff(np.stack([VOXELS[0]] * 3, axis=-1), photometric="rgb"),
    "complex.tif": tiff(VOXELS.astype(np.complex64), photometric="minisblack"),
    "complex.mrc": data(mrc(mode=4)),
    "colour.mrc": data(mrc(mode=16)),
}

BAD = [name for name in FILES if not name.startswith("good")]
"""Those that no reader may take for a volume."""
