"""Committed volumes by their address: behind a URL, where nobody lists the commits, or a generation by its own name."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from em_assets.errors import StoreError
from em_assets.formats.web_paths import WebPath
from em_assets.settings import own_place
from em_assets.volumes.folders import Folder
from em_assets.volumes.store import COMMITS, GENERATIONS, LATEST, Commit, CommittedVolume, Generation, resolve

MOST_DOCUMENT_BYTES = 8 << 20
OF_NO_COMMIT = 0
"""The number of a volume that was opened by its generation's name, whatever the commits say by now."""

Document = TypeVar("Document", bound=Generation)


def committed_in(folder: Path) -> CommittedVolume | None:
    """The volume in a folder of this disk, or the generation that the folder is; None where it is neither.

    Raises
    ------
    StoreError
        A commit or a generation's document cannot be read, or files are gone.
    """
    return resolve(folder) or _generation(folder.resolve())


def committed_at(url: str) -> CommittedVolume | None:
    """The same behind an http(s), s3 or gs URL, where it takes a few questions to find the last commit.

    A URL in the store's own bucket means its server and keys, and not a public bucket of that name.

    Raises
    ------
    SourceUnreachableError
        The server does not answer.
    """
    own = own_place(url)
    if own is not None:
        return resolve(own) or _generation(own)
    place = WebPath(url.rstrip("/"))
    return _last_commit(place.parent) if place.name == LATEST else _last_commit(place) or _generation(place)


def _last_commit(folder: WebPath) -> CommittedVolume | None:
    def commit(number: int) -> Commit | None:
        return _document(folder / COMMITS / f"{number:06d}.json", Commit)

    last = last_number(lambda number: commit(number) is not None)
    found = commit(last) if last else None
    return CommittedVolume(folder, found) if found else None


def last_number(is_there: Callable[[int], bool]) -> int:
    """The last of the numbers 1, 2, … that are there, without a gap; 0 for none. Few questions, however many."""
    low, high = 0, 1
    while is_there(high):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if is_there(middle) else (low, middle)
    return low


def _generation(group: Folder) -> CommittedVolume | None:
    made = _document(group.parent / GENERATIONS / f"{group.name}.json", Generation)
    return CommittedVolume(group.parent, Commit(**dict(made), number=OF_NO_COMMIT)) if made else None


def _document(path: Folder, model: type[Document]) -> Document | None:
    """A document; None where there is none."""
    if isinstance(path, WebPath):
        return _web_document(path, model)
    if not path.is_file():
        return None
    try:
        return model.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise StoreError(f"{path}: cannot be read as a {model.__name__.lower()}: {error}") from error


def _web_document(path: WebPath, model: type[Document]) -> Document | None:
    """The same from a server: there are some that answer anything with a page, or with the file above it."""
    found = path.look()
    if found is None or found.size_bytes > MOST_DOCUMENT_BYTES:
        return None
    try:
        return model.model_validate_json(path.read_bytes())
    except (FileNotFoundError, ValidationError):
        return None
