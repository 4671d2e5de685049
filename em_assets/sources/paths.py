"""Names from outside: what may become a path below a folder of ours, and how such a path is said in a URL."""

import re
import unicodedata
from collections.abc import Iterable
from urllib.parse import quote, unquote, urlsplit

from em_assets.errors import SourceError
from em_assets.sources.origins import url_scheme

LONGEST_NAME_BYTES = 255

LONGEST_PATH_BYTES = 1024
"""Of a key in S3; most systems take 4096 with the folders above."""

_DRIVE = re.compile(r"[A-Za-z]:")
_RESERVED = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³])(\..*)?", re.IGNORECASE)
_URL_SAFE = "/!$&'()*+,;=:@~"


def safe_relative_path(name: str) -> str:
    """Return the name itself, if it can only lead below the folder that it is joined to, on every system.

    Raises
    ------
    SourceError
        An absolute path, `..`, a drive letter, a backslash, a control character, a device's name and the like.
    """
    if len(name.encode(errors="replace")) > LONGEST_PATH_BYTES:
        raise SourceError(f"the source lists a file named {name[:200]!r}…, longer than {LONGEST_PATH_BYTES} bytes")
    for part in name.split("/"):
        reason = _danger(part)
        if reason:
            raise SourceError(f"the source lists a file named {name!r}, which is refused: {reason}")
    return name


def refuse_circle(url: str, folder: str) -> None:
    """Refuse a folder that lies deeper below a listing than any file may: whoever goes on comes to no end.

    Raises
    ------
    SourceError
        Naming it.
    """
    if len(folder.encode(errors="replace")) > LONGEST_PATH_BYTES:
        raise SourceError(
            f"{url}: {folder[:200]}… is longer than {LONGEST_PATH_BYTES} bytes: do links lead in a circle? "
            "Leave the first of these folders out by `exclude` (its name and /**)"
        )


def refuse_twins(paths: Iterable[str]) -> None:
    """Refuse two paths that some file system takes for one, and a file that stands where another needs a folder.

    Raises
    ------
    SourceError
        Naming both.
    """
    files: dict[str, str] = {}
    folders: dict[str, str] = {}
    for path in paths:
        key = _folded(path)
        if key in files:
            raise SourceError(f"the source lists {files[key]!r} and {path!r}, which are one name where case is ignored")
        files[key] = path
        for end in (index for index, letter in enumerate(path) if letter == "/"):
            folder = path[:end]
            other = folders.setdefault(_folded(folder), folder)
            if other != folder:
                raise SourceError(f"the source lists folders {other!r} and {folder!r}, one name where case is ignored")
    for key in files.keys() & folders.keys():
        raise SourceError(f"the source lists {files[key]!r} both as a file and as a folder")


def below(url: str, path: str) -> str:
    """URL of a path below a folder's URL; the URL itself for an empty path."""
    if not path:
        return url
    if url_scheme(url) in ("http", "https", "ftp") or url.lower().startswith("file://"):
        path = quote(path, safe=_URL_SAFE)
    return f"{url.rstrip('/')}/{path}"


def file_name(url: str) -> str:
    """Last name in a URL, decoded; empty for a folder's URL."""
    scheme = url_scheme(url)
    if scheme in ("http", "https", "ftp") or url.lower().startswith("file://"):
        url = unquote(urlsplit(url).path)
    return url.replace("\\", "/").rsplit("/", 1)[-1]


def lone_name(url: str) -> str:
    """Name of the one file that a URL is, where it is one: a folder's URL that answers JSON is a document."""
    return file_name(url) or f"{file_name(url.rstrip('/'))}.json"


def addresses(url: str, name: str) -> tuple[str, ...]:
    """Where a source's file of that name can be: below its URL, or first the URL itself, where that is its name."""
    return (url, below(url, name)) if name == lone_name(url) else (below(url, name),)


def _danger(part: str) -> str | None:
    if part in ("", ".", ".."):
        return f"{part!r} is no name; an absolute path, an empty part or a way out"
    if "\\" in part or any(unicodedata.category(letter) in ("Cc", "Cs") for letter in part):
        return "a backslash or a control character"
    if _DRIVE.match(part):
        return "a drive letter"
    if _RESERVED.fullmatch(part) or part[-1] in " .":
        return "reserved on Windows"
    if len(part.encode()) > LONGEST_NAME_BYTES:
        return f"longer than {LONGEST_NAME_BYTES} bytes"
    return None


def _folded(path: str) -> str:
    return unicodedata.normalize("NFC", path).casefold()
