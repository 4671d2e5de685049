"""Files that hold words where voxels belong: a sign-in page, a server's refusal, a pointer to a file elsewhere.

Servers send such pages with status 200, and mirrors keep them under the name of the slice or chunk that was asked for.
"""

import re
import zlib

HEAD_BYTES = 1024

MOST_BYTES = 4 << 20
"""No page is larger, so larger files need not be opened."""

VOXEL_SUFFIXES = (".dm3", ".dm4", ".tif", ".tiff", ".mrc", ".mrcs", ".rec", ".map", ".st", ".ali", ".raw", ".h5")
"""Names under which there are no words."""

_EXCERPT = 60
_BEFORE = rb"(<\?xml[^>]*\?>|<!--.*?-->|\s)*"
_WEB_PAGE = re.compile(_BEFORE + rb"<(!doctype\s+html|html|head|body|script)[\s>]", re.DOTALL)
_ERROR = re.compile(_BEFORE + rb"(<error[\s>]|<serviceexception)|\{\s*\"error\"\s*:", re.DOTALL)
_WORDS = re.compile(rb"\b[a-z]{2,}+[,.:;]?\s+[a-z]{2}")
_LETTERS = 0.8
"""Share of a text that is letters and blanks; of printable grey values hardly half are."""

_MARKUP = re.compile(r"<(script|style).*?(</\1>|$)|<[^>]*(>|$)", re.DOTALL | re.IGNORECASE)
_TEXT_BYTES = bytes({*range(32, 127), *b"\t\r\n\f"})
_LETTER_BYTES = b"abcdefghijklmnopqrstuvwxyz \t\r\n"


def page_in(head: bytes) -> str | None:
    """What kind of page or text a file's first bytes are, with its words; None for what may be data.

    Grey values of a dark picture are printable characters too, so plain text must have words in it. JSON is None unless
    it says `error`: volumes have documents without a suffix among their chunks.
    """
    head = _unpacked(head)[:HEAD_BYTES].removeprefix(b"\xef\xbb\xbf").lstrip()
    start = head.lower()
    if start.startswith(b"version https://git-lfs"):
        return "a git-LFS pointer (`git lfs pull` fetches the file)"
    kind = _kind(start)
    return f"{kind} ({_words(head)!r})" if kind else None


def is_page(kind: str) -> bool:
    """Whether a finding of `page_in` is no data under any name: text and markup may be, where no voxels belong."""
    return kind.startswith(("a web page", "an error page", "a git-LFS"))


def _kind(start: bytes) -> str | None:
    if _WEB_PAGE.match(start):
        return "a web page"
    if _ERROR.match(start):
        return "an error page"
    if start.startswith(b"<?xml"):
        return "XML"
    if start.translate(None, _TEXT_BYTES):
        return None
    n_letters = len(start) - len(start.translate(None, _LETTER_BYTES))
    return "text" if len(_WORDS.findall(start)) >= 2 and n_letters >= _LETTERS * len(start) else None


def _words(head: bytes) -> str:
    text = _MARKUP.sub(" ", head.decode("utf-8", "replace"))
    return " ".join(text.split())[:_EXCERPT]


def _unpacked(head: bytes) -> bytes:
    """What gzip packed, as far as these bytes go: servers pack pages."""
    if not head.startswith(b"\x1f\x8b"):
        return head
    try:
        return zlib.decompressobj(wbits=31).decompress(head, HEAD_BYTES)
    except zlib.error:
        return head
