"""Small files of a marked folder, on a local disk or behind a URL; and words for bytes that are none of it."""

import io
import json
import os
import zlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from em_assets.errors import FormatError, UsageError
from em_assets.formats.web_files import http_url, look, read_small
from em_assets.settings import absolute

MAX_DOCUMENT_BYTES = 32 * 2**20
"""Consolidated metadata of some thousand arrays takes a few MB; nothing honest comes near this."""

MAX_DEPTH = 64

MAX_PARTS = 1_000_000
"""Keys and lists of one document."""


def is_url(path: str) -> bool:
    """Whether a path names something behind a protocol rather than on this disk (`file://` is this disk)."""
    return "://" in path and not path.startswith("file://")


def local_path(path: str) -> Path:
    """A path or `file://` URL as an absolute path."""
    plain = unquote(path.removeprefix("file://")) if path.startswith("file://") else path
    return absolute(Path(plain))


@contextmanager
def disk_errors(path: str | Path) -> Iterator[None]:
    """Make what a disk refuses (no permission, a name longer than any file's) an error that names the place.

    Raises
    ------
    UsageError
        In the place of an OSError.
    """
    try:
        yield
    except OSError as error:
        raise UsageError(f"{str(path)[:500]}: cannot be read: {error.strerror}") from error


@dataclass(frozen=True)
class Tree:
    """A folder that is read by the names of its files; `root` is an absolute path or an http(s) URL without a slash."""

    root: str
    is_local: bool

    def locate(self, name: str) -> str:
        """Where a file is, for messages."""
        return f"{self.root}/{name}" if name else self.root

    def read(self, name: str) -> bytes | None:
        """Bytes of a small file; None where there is none (or, behind a URL, none for the public).

        Raises
        ------
        FormatError
            The name leaves the folder, or the file is larger than any metadata.
        SourceUnreachableError
            The server does not answer.
        """
        check_name(self.root, name)
        where = self.locate(name)
        data = _read_file(Path(where)) if self.is_local else read_small(where, MAX_DOCUMENT_BYTES)
        # cloud-volume uploads metadata with `Content-Encoding: gzip`, which S3 hands out as it is.
        return None if data is None else gunzipped(where, data, MAX_DOCUMENT_BYTES)

    def read_packed(self, name: str) -> bytes:
        """Bytes of a file on a local disk as they are, however many.

        Raises
        ------
        FormatError
            It cannot be read.
        """
        check_name(self.root, name)
        try:
            return (Path(self.root) / name).read_bytes()
        except OSError as error:
            raise FormatError(f"{self.locate(name)}: cannot be read: {error.strerror}") from error

    def read_tail(self, name: str, n_bytes: int) -> bytes:
        """The last bytes of a file on a local disk; all of them where there are fewer.

        Raises
        ------
        FormatError
            It cannot be read.
        """
        check_name(self.root, name)
        try:
            with (Path(self.root) / name).open("rb") as file:
                file.seek(max(0, file.seek(0, io.SEEK_END) - n_bytes))
                return file.read()
        except OSError as error:
            raise FormatError(f"{self.locate(name)}: cannot be read: {error.strerror}") from error

    def read_json(self, name: str) -> Any | None:
        """The JSON document in a small file; None where there is none.

        Raises
        ------
        FormatError
            The file is no JSON; the message says what it looks like.
        """
        data = self.read(name)
        return None if data is None else parse_json(self.locate(name), data)

    def has(self, name: str) -> bool:
        """Whether there is a file of that name (behind a URL: for the public).

        Raises
        ------
        SourceUnreachableError
            The server does not answer.
        """
        check_name(self.root, name)
        if not self.is_local:
            return look(self.locate(name)) is not None
        with disk_errors(self.locate(name)):
            return (Path(self.root) / name).is_file()

    def has_any(self, names: Sequence[str]) -> bool:
        """Whether there is a file of one of those names; behind a URL they are asked for side by side."""
        if self.is_local or len(names) < 2:
            return any(self.has(name) for name in names)
        with ThreadPoolExecutor(len(names)) as pool:
            return any(list(pool.map(self.has, names)))

    def size_of(self, name: str) -> int | None:
        """Bytes of a file on a local disk; None where there is none.

        Raises
        ------
        UsageError
            The disk refuses to say.
        """
        check_name(self.root, name)
        with disk_errors(self.locate(name)):
            try:
                return (Path(self.root) / name).stat().st_size
            except (FileNotFoundError, NotADirectoryError):
                return None

    def folders(self, name: str) -> list[str]:
        """Names of the folders in a folder, sorted; empty behind a URL, where nobody lists."""
        check_name(self.root, name)
        folder = Path(self.root) / name
        with disk_errors(folder):
            if not self.is_local or not folder.is_dir():
                return []
            return sorted(entry.name for entry in folder.iterdir() if entry.is_dir())

    def some_entry(self, name: str) -> str | None:
        """Name of one file in a folder, or of a folder with `/` behind it, whose name begins with no dot.

        None for an empty folder, for none, and behind a URL. However many there are, few are looked at.
        """
        check_name(self.root, name)
        folder = Path(self.root) / name
        with disk_errors(folder):
            if not self.is_local or not folder.is_dir():
                return None
            with os.scandir(folder) as entries:
                shown = (entry for entry in entries if not entry.name.startswith("."))
                return next((entry.name + ("/" if entry.is_dir() else "") for entry in shown), None)

    def kvstore(self, name: str) -> dict[str, str]:
        """What tensorstore calls the place of a folder in here."""
        check_name(self.root, name)
        if self.is_local:
            return {"driver": "file", "path": f"{self.locate(name)}/"}
        return {"driver": "http", "base_url": f"{self.root}/", "path": f"{name}/" if name else ""}


def open_tree(path: str) -> Tree:
    """The folder at a local path or a URL; nothing is read yet.

    Raises
    ------
    UsageError
        A local path that is no folder, or a protocol that marked folders are not read over.
    """
    if is_url(path):
        return Tree(http_url(path), is_local=False)
    folder = local_path(path)
    if not folder.is_dir():
        raise UsageError(f"{folder}: a folder expected, found {'a file' if folder.exists() else 'nothing'}")
    return Tree(str(folder), is_local=True)


def check_name(root: str, name: str) -> None:
    """Refuse a name that leaves the folder: metadata may come from anybody.

    Raises
    ------
    FormatError
        Naming the folder and the name.
    """
    parts = name.split("/")
    if name.startswith("/") or "\\" in name or "\0" in name or ".." in parts or "." in parts:
        raise FormatError(f"{root}: a name inside the folder expected, found {name!r}")


def parse_json(where: str, data: bytes) -> Any:
    """The JSON document in these bytes.

    Raises
    ------
    FormatError
        No JSON, nested without end, or of more parts than any metadata; the message shows the beginning of what was
        found.
    """
    n_parts = data.count(b":") + data.count(b"[")  # at least one for each value but those of plain lists
    if n_parts > MAX_PARTS:
        raise FormatError(f"{where}: JSON of at most {MAX_PARTS} values expected, found more")
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{where}: JSON expected, found {described(data)} ({error})") from error
    if not _is_shallow(document, MAX_DEPTH):
        raise FormatError(f"{where}: JSON of at most {MAX_DEPTH} levels expected, found it nested deeper")
    return document


def gunzipped(where: str, data: bytes, most: int) -> bytes:
    """The bytes that were packed, never more than `most`; bytes that are no gzip come back as they are.

    Raises
    ------
    FormatError
        The gzip is broken, breaks off or unpacks to more.
    """
    if not data.startswith(b"\x1f\x8b"):
        return data
    inflater = zlib.decompressobj(wbits=31)
    try:
        plain = inflater.decompress(data, most)
    except zlib.error as error:
        raise FormatError(f"{where}: broken gzip: {error}") from error
    if not inflater.eof:
        raise FormatError(f"{where}: gzip that breaks off, or unpacks to more than {most} bytes")
    return plain


def described(head: bytes) -> str:
    """What the first bytes of a file look like, for a message to a person."""
    start = head[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if not head:
        return "nothing (zero bytes): fetch the file again"
    if start.startswith(b"version https://git-lfs"):
        return "a git-LFS pointer: fetch the file itself with `git lfs pull`"
    if start.startswith((b"<!doctype html", b"<html", b"<head")):
        return "a web page (HTML) saved as data: fetch the file again"
    if start.startswith(b"<?xml"):
        return "XML text"
    for magic, name in _MAGIC.items():
        if head.startswith(magic):
            return name
    return f"{'text that starts' if _is_text(head[:512]) else 'bytes that start'} with {head[:24]!r}"


_MAGIC: Mapping[bytes, str] = {
    b"\x1f\x8b": "gzip: unpack it first",
    b"PK\x03\x04": "a zip archive: unpack it first",
    b"BZh": "bzip2: unpack it first",
    b"\xfd7zXZ": "xz: unpack it first",
    b"\x89PNG": "a PNG picture",
    b"\xff\xd8\xff": "a JPEG picture",
    b"\x89HDF": "HDF5 without its whole signature: fetch it again",
    b"%PDF": "a PDF document",
    b"PAR1": "a Parquet table",
}


def _is_text(head: bytes) -> bool:
    return all(byte >= 32 or byte in (9, 10, 12, 13) for byte in head)


def _is_shallow(value: Any, depth: int) -> bool:
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return depth > 0 and all(_is_shallow(child, depth - 1) for child in children if isinstance(child, (dict, list)))


def _read_file(path: Path) -> bytes | None:
    try:
        if path.stat().st_size > MAX_DOCUMENT_BYTES:
            raise FormatError(f"{path}: metadata expected, found {path.stat().st_size} bytes")
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None
    except OSError as error:
        raise FormatError(f"{path}: cannot be read: {error.strerror}") from error
