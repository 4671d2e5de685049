"""A line of the doctor's report, and a question that leads to some."""

from collections.abc import Callable, Iterable
from typing import Literal, NamedTuple

State = Literal["ok", "mend", "unknown"]


class Finding(NamedTuple):
    """What was found, and what to do about it.

    Attributes
    ----------
    area, what
        Where it was looked, and at what.
    state
        `mend`: something does not work and somebody here can change that. `unknown`: it could not be asked, such as an
        archive that does not answer: whether that is its fault or this machine's, nobody knows from here.
    found
        In words.
    to_do
        What mends it; of what is well, what else could be done; None for nothing.
    """

    area: str
    what: str
    state: State
    found: str
    to_do: str | None = None


class Question(NamedTuple):
    """Something to look at, which may take its time; `answer` may raise what the platform raises."""

    area: str
    what: str
    answer: Callable[[], Iterable[Finding]]


def ok(area: str, what: str, found: str, to_do: str | None = None) -> Finding:
    """What is well."""
    return Finding(area, what, "ok", found, to_do)


def mend(area: str, what: str, found: str, to_do: str) -> Finding:
    """What does not work."""
    return Finding(area, what, "mend", found, to_do)


def unknown(area: str, what: str, found: str, to_do: str) -> Finding:
    """What could not be asked."""
    return Finding(area, what, "unknown", found, to_do)
