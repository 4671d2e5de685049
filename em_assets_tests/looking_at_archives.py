"""One look at a dataset's source, wherever it is served: what is listed, how it begins, one chunk or page of it."""

import io
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from threading import Thread
from typing import Any

import numpy as np

from em_assets.datasets import Dataset
from em_assets.errors import EMAssetsError, FormatError
from em_assets.formats import FORMATS, open_path
from em_assets.model import RemoteFile, Source
from em_assets.sources import observe
from em_assets.sources.origins import Origin, locate
from em_assets.sources.protocols import ask
from em_assets.sources.remote_metadata import readable
from em_assets.sources.wire import Patience, agree

LONGEST_S = 60.0
HURRIED = Patience(tries=2, first_pause_s=0.5, longest_pause_s=2, connect_s=8, read_s=15)
HEAD_BYTES = 1024
MOST_PAGE_BYTES = 64 << 20
TOLERANCE = 1e-3
"""Relative: the TOML files round some voxel sizes."""


@dataclass
class Look:
    """One look at one source of a dataset; filled in as far as it gets."""

    dataset: Dataset
    source: Source
    is_reachable: bool = False
    n_files: int | None = None
    n_bytes: int | None = None
    read: str = ""
    differs: tuple[str, ...] = ()
    failure: str = ""

    @property
    def is_good(self) -> bool:
        return self.is_reachable and not self.failure and not self.differs

    @property
    def row(self) -> dict[str, object]:
        return {
            "dataset": self.dataset.name,
            "url": self.source.url,
            "reachable": "yes" if self.is_reachable else "NO",
            "files": self.n_files,
            "bytes": self.n_bytes,
            "read": self.read,
            "matches TOML": ("yes" if self.is_good else "NO") if self.is_reachable else "",
            "what differs": "; ".join(filter(None, (*self.differs, " ".join(self.failure.split())))),
        }


def look_at(datasets: Sequence[Dataset], origin: Origin, longest_s: float = LONGEST_S) -> list[Look]:
    """Look at every source, all side by side; one that takes too long is left behind and reported as far as it got."""
    looks = [Look(dataset, source) for dataset in datasets for source in dataset.sources]
    threads = [Thread(target=_look, args=(look, origin), daemon=True) for look in looks]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + longest_s
    for thread in threads:
        thread.join(max(0, deadline - time.monotonic()))
    return [
        replace(look, failure=f"not done within {longest_s:g} s") if thread.is_alive() else look
        for look, thread in zip(looks, threads, strict=True)
    ]


def _look(look: Look, origin: Origin) -> None:
    try:
        files = [remote for _, remote in observe([look.source], origin, patience=HURRIED).files]
        look.is_reachable = True
        look.n_files, look.n_bytes = len(files), sum(file.size_bytes or 0 for file in files)
        look.read, look.differs = _head(files[0], origin)
        if not look.source.is_volume:
            return
        read, found = _chunk_or_page(look.source, files, origin)
        look.read += f"; {read}"
        if look.source.kind == "files":  # of a cutout the metadata alone is listed
            found |= {"n_files": look.n_files, "source_bytes": look.n_bytes}
        look.differs += _differences(look, found, origin)
    except EMAssetsError as error:
        look.failure = str(error)
    except Exception as error:  # noqa: BLE001  # one archive's surprise must not hide the other rows
        look.failure = f"{type(error).__name__}: {error}"


def _head(remote: RemoteFile, origin: Origin) -> tuple[str, tuple[str, ...]]:
    """The file's first kilobyte in words, and where what is sent differs from what was listed."""
    differs = []
    speaker, location = ask(remote.url, origin)
    with speaker.body(location, HURRIED) as body:
        head = bytes(next(iter(body.chunks), b"")[:HEAD_BYTES])
        # An API declares no size when it is listed: there is nothing to compare then.
        if None not in (body.size_bytes, remote.size_bytes) and body.size_bytes != remote.size_bytes:
            differs.append(f"{remote.path}: {remote.size_bytes} bytes listed, {body.size_bytes} sent")
        if not agree(remote.validator, body.validators):
            differs.append(f"{remote.path}: listed as {remote.validator}, sent as {', '.join(body.validators)}")
    if remote.validator is None:
        differs.append(f"{remote.path}: no validator, so a change would go unnoticed")
    if not head or head.lstrip()[:14].lower().startswith((b"<!doctype html", b"<html")):
        differs.append(f"{remote.path}: data expected, found {head[:40]!r}")
    return f"{len(head)} bytes of {PurePosixPath(remote.path).name}", tuple(differs)


def _chunk_or_page(source: Source, files: Sequence[RemoteFile], origin: Origin) -> tuple[str, dict[str, Any]]:
    """What was read, in words, and what it and its metadata say of the fields that a TOML file may record."""
    markers = {marker for format in FORMATS.values() for marker in format.MARKERS}
    marked = [file.url.rpartition("/")[0] for file in files if PurePosixPath(file.path).name in markers]
    if marked:
        return _chunk(min(marked, key=len), origin, source.level, is_whole=source.kind == "files")
    page = next(filter(None, (_page(file, origin) for file in files)), None)
    if page is None:
        raise FormatError(f"{source.url}: no file begins with a page of a known format")
    return page


def _chunk(folder: str, origin: Origin, level: int, *, is_whole: bool) -> tuple[str, dict[str, Any]]:
    """A chunk from the middle of a zarr, N5 or precomputed volume, read where it lies."""
    volume = open_path(readable(locate(folder, origin)).url)[0]
    taken = volume.levels[level]
    chunk = taken.chunk_shape_zyx or (1, 64, 64)
    z, y, x = (size // 2 // edge * edge for size, edge in zip(taken.shape_zyx, chunk, strict=True))
    depth, height, width = (
        min(edge, size - at) for size, edge, at in zip(taken.shape_zyx, chunk, (z, y, x), strict=True)
    )
    voxels = volume.read((z, y, x), (depth, height, width), level)
    found = {
        "dtype": volume.dtype.name,
        "source_n_levels": len(volume.levels),
        "source_chunks": list(chunk),
        **({"voxel_size_zyx_nm": list(taken.voxel_size_zyx_nm)} if any(taken.voxel_size_zyx_nm) else {}),
        **({"shape_zyx": list(volume.shape_zyx)} if is_whole else {}),
    }
    return f"a chunk of {voxels.shape} {voxels.dtype}", found


def _page(remote: RemoteFile, origin: Origin) -> tuple[str, dict[str, Any]] | None:
    """The first page of a file, decoded as soon as it is whole in what has come; None for a file that has none."""
    speaker, location = ask(remote.url, origin)
    content = bytearray()
    n_tried = 0
    with speaker.body(location, HURRIED) as body:
        for block in body.chunks:
            content += block
            if FORMATS["hdf5"].matches(bytes(content[:4096]), remote.path):
                return "the beginning of an HDF5 file", {}  # which tells nothing before it is whole
            decode = _decoder(bytes(content[:4096]), remote.path)
            if decode is None or len(content) > MOST_PAGE_BYTES:
                return None
            if len(content) < 2 * n_tried and len(content) != remote.size_bytes:
                continue
            n_tried = len(content)
            page = decode(bytes(content))
            if page is not None:
                found = {"dtype": page.dtype.name, "shape_zyx": [None, *page.shape]}
                return f"a page of {page.shape} {page.dtype} in the first {n_tried:,} bytes", found
    return None


def _decoder(head: bytes, path: str) -> Callable[[bytes], Any] | None:
    decoders = {"tiff": _tiff_page, "dm": _dm_page}
    return next((decode for name, decode in decoders.items() if FORMATS[name].matches(head, path)), None)


def _tiff_page(content: bytes) -> Any:
    import tifffile

    try:
        with tifffile.TiffFile(io.BytesIO(content)) as file:
            return file.pages[0].asarray()
    except Exception:  # noqa: BLE001  # whatever tifffile says of half a page: the rest is still to come
        return None


def _dm_page(content: bytes) -> Any:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "slice"
        path.write_bytes(content)
        try:
            (volume,) = open_path(path)
            return volume.read((0, 0, 0), (1, *volume.shape_zyx[1:]))[0]
        except EMAssetsError:  # the rest is still to come
            return None


def _differences(look: Look, found: dict[str, Any], origin: Origin) -> tuple[str, ...]:
    """What the TOML file recorded, or else what the publisher says, and the archive does not."""
    said = look.dataset.said_under(origin.name)
    recorded = {one.statement.field for one in said if one.kind == "recorded"}
    differences = []
    for kind, statement in said:
        field = statement.field
        is_of_all = field in ("n_files", "source_bytes") and statement.volume is None and len(look.dataset.sources) > 1
        is_of_another = statement.volume not in (None, look.source.volume)
        if field not in found or is_of_all or is_of_another or (kind == "publisher" and field in recorded):
            continue
        if not _is_same(found[field], statement.value):
            differences.append(f"{field}: {statement.value} in the TOML file, {found[field]} there")
    return tuple(differences)


def _is_same(now: Any, said: Any) -> bool:
    """Equal; numbers of a list within the tolerance, where there is one on both sides."""
    if not isinstance(now, list) or not isinstance(said, list):
        return bool(now == said)
    pairs = zip(now, said, strict=False)
    return len(now) == len(said) and all(one is None or np.isclose(one, other, rtol=TOLERANCE) for one, other in pairs)
