"""JSON documents as tags, and back: one tag a value, nothing left out."""

from collections.abc import Iterable, Iterator
from typing import Any

from em_assets.errors import FormatError
from em_assets.model import Tag

MAX_VALUES = 1_000_000
"""Of one document; no metadata comes near."""


def flatten(container: str, document: Any) -> Iterator[Tag]:
    """A JSON document as tags: dotted paths with list indices; a list of plain values is one tag.

    Raises
    ------
    FormatError
        There are more values than in any metadata.
    """
    for number, tag in enumerate(_flatten(container, document, "")):
        if number >= MAX_VALUES:
            raise FormatError(f"{container}: at most {MAX_VALUES} values expected, found more")
        yield tag


def _flatten(container: str, document: Any, path: str) -> Iterator[Tag]:
    if isinstance(document, dict) and document:
        for key, value in document.items():
            yield from _flatten(container, value, f"{path}.{key}" if path else key)
    elif isinstance(document, list) and any(isinstance(item, (dict, list)) for item in document):
        for index, value in enumerate(document):
            yield from _flatten(container, value, f"{path}.{index}" if path else str(index))
    else:
        yield Tag(container, path, document, f"json:{_json_type(document)}")


def unflatten(tags: Iterable[Tag]) -> dict[str, Any]:
    """The JSON documents that the tags were, by container.

    A key with a dot in it comes back as two, and a dict with the keys 0, 1, … as a list: nothing that a witness asks
    for.
    """
    documents: dict[str, Any] = {}
    for tag in tags:
        if not tag.path:
            documents[tag.container] = tag.value
            continue
        node = documents.setdefault(tag.container, {})
        *parents, last = tag.path.split(".")
        for part in parents:
            if not isinstance(node.get(part), dict):
                node[part] = {}
            node = node[part]
        node[last] = tag.value
    return {container: _with_lists(document) for container, document in documents.items()}


def _json_type(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, (int, float)):
        return "number"
    return "string" if isinstance(value, str) else "array" if isinstance(value, list) else "object"


def _with_lists(document: Any) -> Any:
    if not isinstance(document, dict):
        return document
    values = {key: _with_lists(value) for key, value in document.items()}
    if values and all(key == str(index) for index, key in enumerate(values)):
        return list(values.values())
    return values
