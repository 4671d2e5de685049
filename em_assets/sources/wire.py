"""What every protocol speaks: a listing's entries, a file's body, and how long to wait for either."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

from em_assets.errors import IncompleteError, SourceUnreachableError

T = TypeVar("T")

MODIFIED = "modified:"
BLOCK_BYTES = 1 << 20
PASSING = (SourceUnreachableError, IncompleteError)


@dataclass(frozen=True)
class Entry:
    """One file of a listing.

    Attributes
    ----------
    path
        Below the listed folder, decoded; empty where the address is the file itself.
    size_bytes
        None where the source does not say.
    validators
        What tells a changed file from an unchanged one, the sharpest first: `etag:…`, `modified:…`, `mtime_ns:…`.
    """

    path: str
    size_bytes: int | None
    validators: tuple[str, ...] = ()


@dataclass(frozen=True)
class Body:
    """A file that is being sent.

    Attributes
    ----------
    chunks
        The bytes; it raises `SourceUnreachableError` when they break off.
    size_bytes
        What the answer declares; None where it does not.
    validators
        Of what is being sent, to compare with what was listed.
    ends_itself
        The protocol marks the end, so that an undeclared size is no danger.
    """

    chunks: Iterator[bytes]
    size_bytes: int | None
    validators: tuple[str, ...] = ()
    ends_itself: bool = False


@dataclass(frozen=True)
class Patience:
    """How long to wait for an archive, and how often to ask again after what may pass; seconds."""

    tries: int = 4
    first_pause_s: float = 0.5
    longest_pause_s: float = 10.0
    connect_s: float = 10.0
    read_s: float = 20.0

    def __call__(self, ask: Callable[[], T]) -> T:
        """Return what `ask` returns; ask again after an error that may pass, pausing longer each time, with jitter."""
        import tenacity

        return tenacity.Retrying(
            stop=tenacity.stop_after_attempt(self.tries),
            wait=tenacity.wait_random_exponential(multiplier=self.first_pause_s, max=self.longest_pause_s),
            retry=tenacity.retry_if_exception_type(PASSING),
            reraise=True,
        )(ask)


PATIENCE = Patience()


def modified(when: datetime) -> str:
    """Return a time of modification as a validator: UTC, to the second, alike over HTTP and FTP."""
    return f"{MODIFIED}{when.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def agree(listed: str | None, sent: tuple[str, ...]) -> bool:
    """Whether what is sent is what was listed; True where they have no kind of validator in common."""
    if listed is None:
        return True
    kind = listed.split(":", 1)[0]
    return all(validator == listed for validator in sent if validator.split(":", 1)[0] == kind)
