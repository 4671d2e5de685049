"""What a remote volume says of itself: the small files around its chunks, byte for byte."""

import gzip
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from em_assets.errors import FormatError, SourceMissingError
from em_assets.formats.n5_attributes import is_dataset, level_paths
from em_assets.sources import web
from em_assets.sources.origins import Location, Origin, locate
from em_assets.sources.paths import below, safe_relative_path
from em_assets.sources.wire import ELSEWHERE, Patience

MOST_METADATA_BYTES = 16 << 20
MOST_UNNAMED = 16
_N5 = "attributes.json"
_ROOT_DOCUMENTS = ("info", "zarr.json", ".zgroup", ".zattrs", ".zarray", _N5)
_ARRAY_DOCUMENTS = ("zarr.json", ".zarray", ".zattrs")


def documents_of(url: str, origin: Origin, patience: Patience) -> dict[str, bytes]:
    """Name → bytes of the remote's metadata: its root's, and those of the levels that it names; sorted."""
    location = readable(locate(url, origin))
    found = {name: content for name in _ROOT_DOCUMENTS if (content := _document(location, name, patience)) is not None}
    for path in _level_paths(url, found):
        documents = (_N5,) if _N5 in found else _ARRAY_DOCUMENTS
        of_level = {name: _document(location, f"{path}/{name}", patience) for name in documents}
        found |= {f"{path}/{name}": content for name, content in of_level.items() if content is not None}
        if not any(of_level.values()):
            break  # what is listed and not there is an error when it is opened; s0, s1, … end here
    if not found:
        names = ", ".join(_ROOT_DOCUMENTS)
        raise SourceMissingError(f"{url}: no volume to cut from; none of {names} is there, or not public; {ELSEWHERE}")
    return dict(sorted(found.items()))


def readable(location: Location) -> Location:
    """Give an address that answers plain GET: public buckets do, path-style at an endpoint."""
    if location.scheme != "s3":
        return location
    bucket, _, key = location.url.removeprefix("s3://").partition("/")
    if location.s3_endpoint:
        return Location(f"{location.s3_endpoint.rstrip('/')}/{bucket}/{quote(key)}")
    if "." in bucket:  # the certificate of *.s3.amazonaws.com covers no further dot
        return Location(f"https://s3.amazonaws.com/{bucket}/{quote(key)}")
    return Location(f"https://{bucket}.s3.amazonaws.com/{quote(key)}")


def scale_key(url: str, documents: Mapping[str, bytes], level: int = 0) -> str | None:
    """Name that the remote gives a level, 0 the finest; None where it has none."""
    try:
        if "info" in documents:
            return str(_parsed(url, documents, "info")["scales"][level]["key"])
        return _level_paths(url, documents)[level]
    except (KeyError, IndexError, TypeError):
        return None


def _document(location: Location, name: str, patience: Patience) -> bytes | None:
    if location.scheme == "file":
        path = location.path / name
        return path.read_bytes() if path.is_file() else None
    return patience(lambda: web.fetch_small(below(location.url, name), patience, MOST_METADATA_BYTES))


def _level_paths(url: str, documents: Mapping[str, bytes]) -> list[str]:
    """Paths of the arrays that a group's metadata names; none for precomputed, whose `info` says everything.

    An N5 group that names none has them in s0, s1, …: as many are asked for as any pyramid has.
    """
    if _N5 in documents:
        attributes = _parsed(url, documents, _N5)
        if is_dataset(attributes):
            return []
        named = level_paths(f"{url}/{_N5}", attributes)
        return [safe_relative_path(path) for path in named or [f"s{number}" for number in range(MOST_UNNAMED)]]
    try:
        attributes = _parsed(url, documents, ".zattrs")
        if "zarr.json" in documents:
            attributes = _parsed(url, documents, "zarr.json")["attributes"]
            attributes = attributes.get("ome", attributes)
        datasets = attributes["multiscales"][0]["datasets"]
        return [safe_relative_path(str(dataset["path"])) for dataset in datasets]
    except (AttributeError, KeyError, IndexError, TypeError):
        return []


def _parsed(url: str, documents: Mapping[str, bytes], name: str) -> Any:
    if name not in documents:
        return {}
    content = documents[name]
    try:
        return json.loads(gzip.decompress(content) if content.startswith(b"\x1f\x8b") else content)
    except (ValueError, OSError, EOFError) as error:
        raise FormatError(f"{url}/{name}: JSON expected, found {documents[name][:60]!r}") from error
