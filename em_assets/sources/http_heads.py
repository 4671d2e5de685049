"""The head of an HTTP answer: status and headers, and what is no head at all."""

from dataclasses import dataclass
from functools import lru_cache

from em_assets.errors import SourceUnreachableError
from em_assets.sources.answers import MOST_DIGITS, length_in


class UnusualError(Exception):
    """An answer that is no plain file: `requests` is to be asked."""


class NoAnswerError(SourceUnreachableError):
    """No connection, or none that answers."""


class GarbledError(SourceUnreachableError):
    """What came in place of an answer is none: perhaps more of the file before."""


class Headers(dict[str, str]):
    """Headers by name, whatever its case; values of one name are joined by commas (RFC 9110, 5.3)."""

    def __getitem__(self, name: str) -> str:
        return super().__getitem__(name.lower())

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and super().__contains__(name.lower())

    def get(self, name: str, default: str = "") -> str:  # type: ignore[override]
        """Value of a header; nothing where it is not there."""
        return dict.get(self, name.lower(), default)


@dataclass(frozen=True)
class Head:
    """Status and headers of an answer, as `requests.Response` names them too."""

    url: str
    status_code: int
    reason: str
    headers: Headers

    @property
    def ok(self) -> bool:
        """Whether it is no error."""
        return self.status_code < 400

    @property
    def is_last(self) -> bool:
        """Whether the server says that it closes behind this answer."""
        return self.headers.get("Connection").lower() == "close"


@lru_cache(maxsize=64)  # the HEAD behind a file is answered as its GET was, word for word
def parsed(url: str, head: bytes) -> Head:
    """Status line and headers.

    Raises
    ------
    GarbledError, UnusualError
        No answer, or one that is more than a plain file's.
    """
    first, *lines = head.decode("latin-1").split("\r\n")
    version, _, rest = first.partition(" ")
    status, _, reason = rest.partition(" ")
    if not status.isdecimal() or len(status) != 3:
        raise GarbledError(f"{url}: HTTP/1.1 and a status expected, found {first[:40]!r}")
    found: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or name != name.strip():
            raise UnusualError(f"a header {line[:40]!r}")
        key = name.lower()
        found[key] = f"{found[key]}, {value.strip()}" if key in found else value.strip()
    headers = Headers(found)
    if version not in ("HTTP/1.0", "HTTP/1.1") or status.startswith("1"):
        raise UnusualError(f"{version} {status}")
    return Head(url, int(status), reason, headers)


def length_of(head: Head) -> int:
    """Bytes of the body behind it.

    Raises
    ------
    UnusualError
        It does not say.
    """
    length = length_in(head.headers)
    if head.status_code in (204, 304):
        return 0
    if "Transfer-Encoding" in head.headers or not (length.isascii() and length.isdecimal()):
        raise UnusualError("a body without a length")
    if len(length) > MOST_DIGITS:
        raise UnusualError(f"a length of {len(length)} digits")
    return int(length)
