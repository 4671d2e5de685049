"""What runs in a limited child: libhdf5 over one file. It parses what anybody may have written, and has died of it.

Only hard links are followed, and nothing leaves the file: an external link, a virtual dataset and a dataset whose bytes
lie in other files are told of, and never opened. Filters are those that libhdf5 and h5py bring; a plugin would be code
that is loaded because a file says so.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from em_assets.errors import FormatError, UnsupportedDataError

MAX_OBJECTS = 10_000
MAX_DEPTH = 64
MAX_ATTRIBUTE_BYTES = 16 * 2**20
CACHE_BYTES = 64 * 2**20
"""Decoded chunks that one box touches more than once."""

FILTERS = {1: "gzip", 2: "shuffle", 3: "fletcher32", 4: "szip", 5: "nbit", 6: "scaleoffset", 32000: "lzf"}
HDF5_ERRORS = (OSError, RuntimeError, ValueError, KeyError, TypeError, AttributeError, OverflowError)
"""What h5py raises on account of a file."""


def ask(path: str, question: str, *arguments: Any) -> NDArray[Any]:
    """Answer `objects`, as the bytes of a JSON document, or `box` with a dataset's name, start and shape.

    Raises
    ------
    FormatError
        The file is damaged, cut short or no HDF5.
    UnsupportedDataError
        What is asked for is not in the file itself, or is packed by a filter that is not known.
    """
    with _opened(path) as file:
        if question == "box":
            return _box(path, file, *arguments)
        # As an array, since a line of some megabytes takes the parent seconds to read.
        return np.frombuffer(json.dumps(_objects(path, file)).encode(), np.uint8)


@contextmanager
def _opened(path: str) -> Iterator[Any]:
    try:
        with h5py.File(path, "r", rdcc_nbytes=CACHE_BYTES, locking=False) as file:
            yield file
    except (FormatError, MemoryError):
        raise
    except HDF5_ERRORS as error:
        raise FormatError(f"{path}: cannot be read as HDF5, so fetch it again: {str(error)[:300]}") from error


def _objects(path: str, file: Any) -> list[dict[str, Any]]:
    """Groups and datasets by the first hard link to each, in the order of their names; and links of other kinds."""
    found: list[dict[str, Any]] = []
    seen: set[Any] = set()
    waiting: list[tuple[str, Any]] = [("", file["/"])]
    while waiting:
        name, thing = waiting.pop(0)
        address = h5py.h5o.get_info(thing.id).addr
        if address in seen:
            continue
        seen.add(address)
        if len(seen) > MAX_OBJECTS or name.count("/") > MAX_DEPTH:
            raise FormatError(f"{path}: at most {MAX_OBJECTS} objects in {MAX_DEPTH} levels expected")
        found.append({"name": name, **_described(thing), "attributes": _attributes(path, name, thing)})
        if isinstance(thing, h5py.Group):
            hard, links = _links(name, thing)
            found += links
            waiting += [(below, thing.get(below.rpartition("/")[2])) for below in hard]
    return found


def _links(name: str, group: Any) -> tuple[list[str], list[dict[str, Any]]]:
    """Names below a group that are objects of its own, and those that only point somewhere."""
    hard: list[str] = []
    others: list[dict[str, Any]] = []
    for own in sorted(group):
        below = f"{name}/{own}".lstrip("/")
        kind, target = _link(group, own)
        if kind == "hard":
            hard.append(below)
        else:
            others.append({"name": below, "kind": kind, "target": target})
    return hard, others


def _link(group: Any, own: str) -> tuple[str, str]:
    link = group.id.links.get_info(own.encode()).type
    if link == h5py.h5l.TYPE_HARD:
        return "hard", ""
    if link == h5py.h5l.TYPE_SOFT:
        return "soft", group.id.links.get_val(own.encode()).decode(errors="replace")
    if link == h5py.h5l.TYPE_EXTERNAL:
        file, inside = group.id.links.get_val(own.encode())
        return "external", f"{file.decode(errors='replace')}:{inside.decode(errors='replace')}"
    return "other", ""


def _described(thing: Any) -> dict[str, Any]:
    if isinstance(thing, h5py.Group):
        return {"kind": "group"}
    if not isinstance(thing, h5py.Dataset):
        return {"kind": "type"}
    plist = thing.id.get_create_plist()
    is_chunked = plist.get_layout() == h5py.h5d.CHUNKED
    filters = [plist.get_filter(index) for index in range(plist.get_nfilters())] if is_chunked else []
    return {
        "kind": "dataset",
        "shape": None if thing.shape is None else list(thing.shape),
        "dtype": _dtype_text(thing),
        "chunks": list(plist.get_chunk()) if is_chunked else None,
        "filters": [[one[0], FILTERS.get(one[0], one[3].decode(errors="replace")), list(one[2])] for one in filters],
        "elsewhere": _elsewhere(plist),
    }


def _elsewhere(plist: Any) -> str | None:
    """Why a dataset's voxels do not lie in the file; None where they do."""
    if plist.get_layout() == getattr(h5py.h5d, "VIRTUAL", 3):
        return "a virtual dataset, which takes its voxels from other datasets"
    return "its voxels lie in other files" if plist.get_external_count() else None


def _dtype_text(dataset: Any) -> str:
    dtype = dataset.dtype
    is_plain = h5py.check_enum_dtype(dtype) is None and dtype.kind in "iuf"
    return str(dtype.str) if is_plain else f"other: {dtype}"


def _attributes(path: str, name: str, thing: Any) -> dict[str, list[Any]]:
    """Value and type of each; of what JSON has no word for the type alone."""
    found = {}
    for index in range(h5py.h5a.get_num_attrs(thing.id)):
        attribute = h5py.h5a.open(thing.id, index=index)
        own = attribute.name.decode(errors="replace")
        if attribute.get_space().get_simple_extent_npoints() * attribute.get_type().get_size() > MAX_ATTRIBUTE_BYTES:
            raise FormatError(f"{path}: {name}: attribute {own}: at most {MAX_ATTRIBUTE_BYTES} bytes expected")
        value = thing.attrs[own]
        found[own] = [_plain(value), _type_text(attribute)]
    return dict(sorted(found.items()))


def _type_text(attribute: Any) -> str:
    shape = attribute.shape
    return f"hdf5:{attribute.dtype}{list(shape) if shape else ''}"


def _plain(value: Any) -> Any:
    """A value as JSON has it; None for what it has no word for (references, empty ones)."""
    if isinstance(value, bytes):
        return value.decode(errors="backslashreplace")
    if isinstance(value, np.ndarray):
        return [_plain(item) for item in value]
    if isinstance(value, np.void):
        names = value.dtype.names
        return {name: _plain(value[name]) for name in names} if names else value.tobytes().hex()
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, complex):
        return [value.real, value.imag]
    return value if isinstance(value, (str, int, float, bool)) else None


def _box(path: str, file: Any, name: str, start: list[int], shape: list[int]) -> NDArray[Any]:
    """The box (in the dataset's own axes) of a dataset that hard links lead to, in native byte order."""
    dataset = _by_hard_links(path, file, name)
    said = _described(dataset)
    if said["kind"] != "dataset" or said["elsewhere"] or said["dtype"].startswith("other"):
        raise UnsupportedDataError(
            f"{path}: {name}: voxels in the file expected, found {said['elsewhere'] or said['kind']}"
        )
    unknown = [f"{one[1]} ({one[0]})" for one in said["filters"] if one[0] not in FILTERS]
    if unknown:
        raise UnsupportedDataError(f"{path}: {name}: packed by {', '.join(unknown)}, which is not read")
    voxels = dataset[tuple(slice(first, first + extent) for first, extent in zip(start, shape, strict=True))]
    return np.ascontiguousarray(voxels, dtype=voxels.dtype.newbyteorder("="))


def _by_hard_links(path: str, file: Any, name: str) -> Any:
    thing = file["/"]
    for own in name.split("/"):
        if not isinstance(thing, h5py.Group) or own not in thing or _link(thing, own)[0] != "hard":
            raise FormatError(f"{path}: {name}: not in the file")
        thing = thing[own]
    return thing
