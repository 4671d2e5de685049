"""Integer identifiers for datasets that have none of the portal's, and the day on which each was given.

One small file an identifier in the store, made once and never changed, so that exports repeat. Ours stay below 10,000,
where the portal's own begin.
"""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from em_assets.errors import StoreError
from em_assets.settings import Settings
from em_assets.volumes.folders import Folder, create, file_names

REGISTER = "exports/cryoet_register"
PORTALS_FIRST = 10_000


class Entry(NamedTuple):
    """A dataset's identifier, and the day, in ISO form, on which it was given."""

    identifier: int
    dataset: str
    registered_on: str


def entry_of(dataset: str, settings: Settings) -> Entry:
    """The dataset's entry, made where there is none; of several processes at once all get the same.

    Raises
    ------
    StoreError
        The register cannot be read, or is full.
    """
    folder = (settings.remote or settings.store) / REGISTER
    while True:
        entries = {entry.identifier: entry for entry in _entries(folder)}
        own = next((entry for _, entry in sorted(entries.items()) if entry.dataset == dataset), None)
        if own is not None:
            return own
        free = next(number for number in range(1, PORTALS_FIRST + 1) if number not in entries)
        if free == PORTALS_FIRST:
            raise StoreError(f"{folder}: all identifiers below {PORTALS_FIRST} are taken; remove what nobody exports")
        said = {"dataset": dataset, "registered_on": datetime.now(UTC).date().isoformat()}
        if isinstance(folder, Path):
            folder.mkdir(parents=True, exist_ok=True)
        # Everybody tries the same number: who loses looks again, and may find that the winner had the same dataset.
        create(folder / f"{free}.json", (json.dumps(said) + "\n").encode())


def _entries(folder: Folder) -> Iterator[Entry]:
    for name in file_names(folder):
        number = name.removesuffix(".json")
        if name.endswith(".json") and number.isdigit():
            said = _read(folder / name)
            yield Entry(int(number), said["dataset"], said["registered_on"])


def _read(path: Folder) -> dict[str, Any]:
    try:
        said = json.loads(path.read_bytes())
        return {key: str(said[key]) for key in ("dataset", "registered_on")}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(f'{path}: {{"dataset": …, "registered_on": …}} expected: {error}') from error
