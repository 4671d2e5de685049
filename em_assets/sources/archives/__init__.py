"""What archives themselves say about a dataset, from their own records as fetched. One module an archive.

An archive is a module with::

    witnesses(path, document)   what one file of its record says; an unknown form is None or an error, never a guess

A dataset's TOML names its record's address in a source with `archive = "<name>"`; the files are fetched and kept like
any others, and `places` finds which of the dataset's volumes each statement is about.
"""

from collections.abc import Iterator
from typing import Protocol

from em_assets.sources.archives import cryoet, empiar, idr, openorganelle
from em_assets.sources.archives.places import assigned
from em_assets.sources.archives.record import MOST_RECORD_BYTES, ArchiveWitness

__all__ = ["ARCHIVES", "MOST_RECORD_BYTES", "Archive", "ArchiveWitness", "assigned"]


class Archive(Protocol):
    """What an archive's module offers."""

    def witnesses(self, path: str, document: bytes) -> Iterator[ArchiveWitness]:
        """What one file of its record says.

        Raises
        ------
        FormatError
            It is not what its name promises.
        """


ARCHIVES: dict[str, Archive] = {
    "empiar": empiar,
    "idr": idr,
    "openorganelle": openorganelle,
    "cryoet": cryoet,
}
