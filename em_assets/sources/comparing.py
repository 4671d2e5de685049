"""Whether a file is the source's where nobody declares its checksum: pieces of it, held to what the source sends now.

A transfer that made room for a file and did not fill all of it leaves the right size, and zeros where nothing came. So
every part of one value is compared, besides both ends and some places drawn by a seed; a small file byte for byte.
"""

import random
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

from em_assets.errors import IncompleteError
from em_assets.sources.origins import Location
from em_assets.sources.protocols import Speaker
from em_assets.sources.wire import BLOCK_BYTES, Body, NotResumedError, Patience, Resume

WHOLE_BYTES = 1 << 20
"""A file of at most so many bytes is compared throughout: that is one question."""

END_BYTES = 64 << 10
N_DRAWN, DRAWN_BYTES = 8, 16 << 10
GRAIN_BYTES = 4 << 10
"""What file systems give room in: a part that was never filled covers some of these."""

MOST_SPANS = 64
_UNFILLED = (bytes(GRAIN_BYTES), b"\xff" * GRAIN_BYTES)


class Span(NamedTuple):
    """Bytes of a file, from `start` up to `end`, which is not part of it."""

    start: int
    end: int


class DifferentBytesError(Exception):
    """A file is not what the source sends; the message says from which byte on."""


def spans_to_compare(file: Path, *, is_filled: bool = False, seed: int = 0) -> list[Span] | None:
    """The parts of a file that show whether it is the source's, the first at byte 0, in their order and apart.

    None where they are most of it, or very many: then it may as well be fetched. A file of which a checksum has shown
    that it arrived whole `is_filled`, whatever it holds.
    """
    size_bytes = file.stat().st_size
    if size_bytes <= WHOLE_BYTES:
        return [Span(0, size_bytes)]
    drawn = random.Random(seed)
    places = [drawn.randrange(size_bytes - DRAWN_BYTES) for _ in range(N_DRAWN)]
    spans = [Span(0, END_BYTES), Span(size_bytes - END_BYTES, size_bytes)]
    spans += [Span(place, place + DRAWN_BYTES) for place in places]
    spans = _joined([*spans, *(() if is_filled else _unfilled(file))])
    too_much = sum(span.end - span.start for span in spans) > size_bytes // 2
    return None if too_much or len(spans) > MOST_SPANS else spans


def compare(file: Path, span: Span, body: Body) -> None:
    """Hold one part of a file to an answer that begins with it.

    Raises
    ------
    DifferentBytesError
        They differ.
    IncompleteError
        The answer ends before the part does.
    """
    position = span.start
    with file.open("rb") as content:
        content.seek(position)
        for chunk in body.chunks:
            sent = bytes(chunk[: span.end - position])
            there = content.read(len(sent))
            if there != sent:
                differs = next(at for at, pair in enumerate(zip(there, sent, strict=True)) if pair[0] != pair[1])
                raise DifferentBytesError(f"other bytes from byte {position + differs:,} on than the source sends")
            position += len(sent)
            if position == span.end:
                return
    if position < span.end:
        raise IncompleteError(f"{file.name}: the source ended at byte {position:,}, byte {span.end:,} expected")


def is_alike(
    file: Path, spans: list[Span], resume_with: str | None, speaker: Speaker, location: Location, patience: Patience
) -> bool:
    """Whether all of these parts are the source's; False where it sends no parts of a file, so that nobody knows.

    Raises
    ------
    DifferentBytesError
        One of them is not.
    SourceUnreachableError
        It does not answer.
    """

    def is_compared(span: Span) -> bool:
        if resume_with is None:
            return False
        try:
            with speaker.body(location, patience, Resume(span.start, resume_with, span.end)) as body:
                if body.start != span.start:
                    return False
                compare(file, span, body)
        except NotResumedError:
            return False
        return True

    return all(patience(partial(is_compared, span)) for span in spans)


def _unfilled(file: Path) -> Iterator[Span]:
    """Parts that look as if nothing had ever been written there: nothing but zeros, or nothing but ones."""
    position = 0
    with file.open("rb") as content:
        for block in iter(lambda: content.read(BLOCK_BYTES), b""):
            for at in range(0, len(block), GRAIN_BYTES):
                if block[at : at + GRAIN_BYTES] in _UNFILLED:
                    yield Span(position + at, position + at + GRAIN_BYTES)
            position += len(block)


def _joined(spans: list[Span]) -> list[Span]:
    """The same in their order; those that lie closer together than an end's length as one."""
    joined: list[Span] = []
    for span in sorted(spans):
        if joined and span.start - joined[-1].end <= END_BYTES:
            joined[-1] = Span(joined[-1].start, max(joined[-1].end, span.end))
        else:
            joined.append(span)
    return joined
