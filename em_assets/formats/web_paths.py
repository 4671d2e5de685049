"""A place behind a URL, asked the same questions as a place in a bucket of one's own: what is there, which bytes."""

import errno
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from em_assets.errors import StoreError, shown_url
from em_assets.formats.trees import open_tree
from em_assets.formats.web_files import look, read_all
from em_assets.remote.path import Object, RemotePath


@dataclass(frozen=True)
class WebPath(RemotePath):
    """A file, or a folder of which nobody lists what is in it; it is read and never written."""

    def __str__(self) -> str:
        return shown_url(self.url)

    def pieces(self) -> Iterator[bytes]:
        """The file in one piece.

        Raises
        ------
        FileNotFoundError
            There is none for the public.
        SourceUnreachableError
            The server does not answer.
        """
        data = read_all(self.url)
        if data is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self))
        yield data

    def look(self) -> Object | None:
        """What the server says of the file; None where there is none for the public."""
        found = look(self.url)
        return None if found is None else Object(found["size"], found["e_tag"], found["last_modified"])

    def kvstore(self, name: str = "") -> dict[str, Any]:
        """What tensorstore calls the place of a folder in here."""
        return {**open_tree(self.url).kvstore(name)}

    @property
    def _store(self) -> Any:
        raise StoreError(f"{self}: behind a URL nothing is listed or written")
