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
    """Answer `objects`, as the bytes of a JSON document, `box` with a dataset's name, start and shape, or `written`.

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
        if question == "written":
            return _written(path, file, *arguments)
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
            waiting += [(f"{name}/{shown(raw)}".lstrip("/"), _opened_below(thing, raw)) for raw in hard]
    return found


def shown(raw: bytes) -> str:
    """A name as text: HDF5 does not ask that it is UTF-8, and what is not is escaped."""
    return raw.decode(errors="backslashreplace")


def _opened_below(group: Any, raw: bytes) -> Any:
    """The object of a name, which h5py's own groups give only by text."""
    found = h5py.h5o.open(group.id, raw)
    kind = {h5py.h5g.GroupID: h5py.Group, h5py.h5d.DatasetID: h5py.Dataset, h5py.h5t.TypeID: h5py.Datatype}
    return next(of(found) for one, of in kind.items() if isinstance(found, one))


def _links(name: str, group: Any) -> tuple[list[bytes], list[dict[str, Any]]]:
    """Names in a group that are objects of its own, and those that only point somewhere."""
    hard: list[bytes] = []
    others: list[dict[str, Any]] = []
    for raw in sorted(group.id):
        kind, target = _link(group, raw)
        if kind == "hard":
            hard.append(raw)
        else:
            others.append({"name": f"{name}/{shown(raw)}".lstrip("/"), "kind": kind, "target": target})
    return hard, others


def _link(group: Any, raw: bytes) -> tuple[str, str]:
    link = group.id.links.get_info(raw).type
    if link == h5py.h5l.TYPE_HARD:
        return "hard", ""
    if link == h5py.h5l.TYPE_SOFT:
        return "soft", shown(group.id.links.get_val(raw))
    if link == h5py.h5l.TYPE_EXTERNAL:
        file, inside = group.id.links.get_val(raw)
        return "external", f"{shown(file)}:{shown(inside)}"
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
        own = shown(attribute.name)
        if attribute.get_space().get_simple_extent_npoints() * attribute.get_type().get_size() > MAX_ATTRIBUTE_BYTES:
            raise FormatError(f"{path}: {name}: attribute {own}: at most {MAX_ATTRIBUTE_BYTES} bytes expected")
        value = thing.attrs[attribute.name]
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
    if isinstance(value, str):  # h5py keeps what is no UTF-8 as surrogates, which no table takes
        return shown(value.encode(errors="surrogateescape"))
    return value if isinstance(value, (int, float, bool)) else None


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


def _written(path: str, file: Any, name: str) -> NDArray[Any]:
    """How many chunks of a dataset were ever written; of one without chunks how many bytes."""
    dataset = _by_hard_links(path, file, name)
    is_chunked = isinstance(dataset, h5py.Dataset) and dataset.chunks is not None
    return np.array([dataset.id.get_num_chunks() if is_chunked else dataset.id.get_storage_size()], np.int64)


def _by_hard_links(path: str, file: Any, name: str) -> Any:
    """The object of a name as it is shown."""
    thing = file["/"]
    for own in name.split("/"):
        raw = _raw(thing, own) if isinstance(thing, h5py.Group) else None
        if raw is None or _link(thing, raw)[0] != "hard":
            raise FormatError(f"{path}: {name}: not in the file")
        thing = _opened_below(thing, raw)
    return thing


def _raw(group: Any, own: str) -> bytes | None:
    if group.id.links.exists(own.encode()):
        return own.encode()
    return next((raw for raw in sorted(group.id) if shown(raw) == own), None)
