"""The lines of FTP's LIST, which no standard describes: as Unix and DOS write them."""

import re
from collections.abc import Iterable

from em_assets.errors import SourceError

LINK = "os.unix=s"
"""A link's type in RFC 3659 is `OS.unix=slink:target`; some say symlink."""

_KINDS = {"-": "file", "d": "dir", "l": LINK}
_UNIX_LINE = re.compile(
    r"(?P<kind>[-dlbcps])\S{9,}\s+\d+\s+\S.*?\s(?P<size>\d+)\s+(?:\S+\s+\S+|\d{4}-\d\d-\d\d)\s+"
    r"(?:\d{1,2}:\d\d(?::\d\d)?|\d{4})\s+(?P<name>.+)",
    re.ASCII,
)
_DOS_LINE = re.compile(
    r"\d{2,4}[-/.]\d\d[-/.]\d{2,4}\s+\d{1,2}:\d\d\s*(?:[ap]m)?\s+(?:(?P<kind><\w+>)|(?P<size>[\d.,]+))\s+(?P<name>.+)",
    re.ASCII | re.IGNORECASE,
)
_TOTAL_LINE = re.compile(r"(?:\S+\s+\d+)?\s*")
"""`total 12`, in any language."""


def read_lines(folder: str, lines: Iterable[str]) -> list[tuple[str, dict[str, str]]]:
    """Names and what the lines say of them: `type` as MLSD has it, and the size as `listed`.

    Raises
    ------
    SourceError
        A line that names nobody knows what: the folder would have a file less.
    """
    found = []
    for line in lines:
        unix, dos = _UNIX_LINE.fullmatch(line), _DOS_LINE.fullmatch(line)
        if unix and unix["name"] not in (".", ".."):
            kind, name = _KINDS.get(unix["kind"], "other"), unix["name"]
            is_link = kind == LINK
            found.append((name.partition(" -> ")[0] if is_link else name, {"type": kind, "listed": unix["size"]}))
        elif dos and dos["name"] not in (".", ".."):
            kind = "file" if dos["size"] else "dir" if dos["kind"].lower() == "<dir>" else LINK
            found.append((dos["name"], {"type": kind, "listed": re.sub("[.,]", "", dos["size"] or "")}))
        elif not (unix or dos or _TOTAL_LINE.fullmatch(line)):
            raise SourceError(f"{folder}: LIST says {line!r}, which is no line of Unix or DOS; ask for it over HTTPS")
    return found
