"""A held dataset that came from the portal's own tree: its documents and files, by their places there."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from em_assets.catalog.schemas import FILES
from em_assets.catalog.tables import read_table
from em_assets.errors import FormatError
from em_assets.layouts.cryoet_places import DATASET_DOCUMENT, Place, place_of
from em_assets.layouts.held import Held
from em_assets.sources.archives.record import check_size


@dataclass(frozen=True)
class CameIn:
    """What the tree held, as far as it was fetched.

    Attributes
    ----------
    files
        Each file's path in the tree → where it lies on this disk.
    volumes
        Each volume's name → the file or Zarr group that it was made of.
    """

    files: Mapping[str, Path]
    volumes: Mapping[str, Place]

    def document(self, path: str) -> dict[str, Any] | None:
        """A JSON object of the tree; None where it is not held.

        Raises
        ------
        FormatError
            It is none.
        """
        data = self.bytes_of(path)
        if data is None:
            return None
        try:
            document = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise FormatError(f"{path}: JSON expected: {error}") from error
        if not isinstance(document, dict):
            raise FormatError(f"{path}: a JSON object expected, found {str(document)[:80]}")
        return document

    def bytes_of(self, path: str) -> bytes | None:
        """Bytes of a small file of the tree; None where it is not held."""
        own = self.files.get(path)
        if own is None or not own.exists():
            return None
        check_size(path, own.stat().st_size)
        return own.read_bytes()

    def places(self) -> Iterator[Place]:
        """Every file and group that is held, once, sorted by path."""
        yield from dict.fromkeys(place_of(path) for path in sorted(self.files))


def came_in(held: Held) -> CameIn | None:
    """What the portal's tree held of a dataset; None for one that came from elsewhere."""
    records = [
        file.url
        for file in held.files
        if held.dataset.sources[file.source].archive == "cryoet" and file.url.rpartition("/")[2] == DATASET_DOCUMENT
    ]
    if not records:
        return None
    root, folder = records[0].removesuffix(DATASET_DOCUMENT), held.raw_folder()
    files = {file.url.removeprefix(root): folder / file.path for file in held.files if file.url.startswith(root)}
    urls = {file.path: file.url for file in held.files}
    table = read_table(held.settings.metadata_dir(held.name) / f"{FILES.name}.parquet", FILES)
    volumes = {
        volume: place_of(urls[row["path"]].removeprefix(root))
        for row in table.to_pylist()
        for volume in (row["volume"] or "").split("; ")
        if volume and urls.get(row["path"], "").startswith(root)
    }
    return CameIn(files, volumes)
