"""A marked folder in a bucket of one's own, asked with one's own keys; a public bucket is a URL like any other."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from em_assets.errors import FormatError
from em_assets.formats.trees import MAX_DOCUMENT_BYTES, Tree, check_name, open_tree
from em_assets.formats.web_paths import WebPath
from em_assets.remote.path import RemotePath


@dataclass(frozen=True)
class BucketTree(Tree):
    """The same questions, put to a bucket."""

    place: RemotePath

    def read(self, name: str) -> bytes | None:
        """Bytes of a small file; None where there is none."""
        check_name(self.root, name)
        found = (self.place / name).look()
        if found is None:
            return None
        if found.size_bytes > MAX_DOCUMENT_BYTES:
            raise FormatError(f"{self.locate(name)}: metadata expected, found {found.size_bytes} bytes")
        return (self.place / name).read_bytes()

    def has(self, name: str) -> bool:
        """Whether there is a file of that name."""
        check_name(self.root, name)
        return (self.place / name).is_file()

    def kvstore(self, name: str) -> dict[str, Any]:
        """What tensorstore calls the place of a folder in here."""
        check_name(self.root, name)
        return self.place.kvstore(name)


def tree_of(folder: Path | RemotePath) -> Tree:
    """The folder on a disk, in a bucket or behind a URL; nothing is read yet."""
    if isinstance(folder, WebPath):
        return open_tree(folder.url)
    if isinstance(folder, RemotePath):
        return BucketTree(str(folder), is_local=False, place=folder)
    return open_tree(str(folder))
