"""Listings and metadata end: a trickle in time, and what has no end by its size."""

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

import pytest
from faulty_web import Exchange, faulty_web

from em_assets.errors import SourceError, SourceUnreachableError
from em_assets.model import Source
from em_assets.sources import observe
from em_assets.sources.origins import PUBLIC_ORIGIN
from em_assets.sources.wire import Patience

HASTY = Patience(tries=3, first_pause_s=0.005, longest_pause_s=0.02, connect_s=1, read_s=1, listing_s=0.3)
MOST_TRICKLED = 100
"""Bytes that come, one each hundredth of a second, before the server gives up."""


def trickle(x: Exchange, ending: threading.Event) -> None:
    """A byte now and then: no read times out."""
    x.head(200, Content_Length=10_000, Content_Type="text/html")
    with suppress(OSError):
        while x.sent[x.path] < MOST_TRICKLED and not ending.wait(0.01):
            x.body(b" ")


def endless(x: Exchange, ending: threading.Event) -> None:
    """Blanks without end."""
    x.head(200, Transfer_Encoding="chunked", Content_Type="text/html")
    while x.method == "GET" and not ending.is_set():
        x.body(b"100000\r\n" + b" " * (1 << 20) + b"\r\n")


SOURCES: dict[str, Callable[[str], Source]] = {
    "listing": lambda url: Source(url=f"{url}/d/"),
    "cut-out": lambda url: Source(kind="cutout", url=f"{url}/d", shape_zyx=(64, 64, 64)),
}


@pytest.mark.parametrize("kind", SOURCES)
def test_a_trickle_of_a_small_body_ends_in_time(kind: str) -> None:
    with faulty_web({"d": trickle}) as web, pytest.raises(SourceUnreachableError, match=r"/d/.*no end after"):
        observe([SOURCES[kind](web.url)], PUBLIC_ORIGIN, patience=HASTY)
    assert max(web.sent.values()) < MOST_TRICKLED


@pytest.mark.parametrize("kind", SOURCES)
def test_a_small_body_without_end_is_too_large(kind: str) -> None:
    patience = replace(HASTY, listing_s=20)
    with faulty_web({"d": endless}) as web, pytest.raises(SourceError, match=r"/d/.*more than [\d,]+ bytes sent"):
        observe([SOURCES[kind](web.url)], PUBLIC_ORIGIN, patience=patience)
    assert max(web.sent.values()) < 100 << 20
