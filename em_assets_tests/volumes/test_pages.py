"""Words where voxels belong, and voxels that look like words."""

import gzip

import numpy as np
import pytest

from em_assets.volumes.pages import is_page, page_in

PAGES = {
    "sign-in": (b"<!DOCTYPE html>\n<html><head><title>Sign in</title></head></html>", "a web page ('Sign in')"),
    "comment first": (b"<!-- proxy --><html><body>Blocked</body></html>", "a web page ('Blocked')"),
    "no head": (b"\xef\xbb\xbf <body class='x'>Gone</body>", "a web page ('Gone')"),
    "packed": (gzip.compress(b"<html><p>Moved</p></html>"), "a web page ('Moved')"),
    "bucket": (b'<?xml version="1.0"?>\n<Error><Code>NoSuchKey</Code>', "an error page ('NoSuchKey')"),
    "api": (b'{"error": "not found"}', "an error page ('{\"error\": \"not found\"}')"),
    "pointer": (b"version https://git-lfs.github.com/spec/v1", "a git-LFS pointer (`git lfs pull` fetches the file)"),
    "xml": (b'<?xml version="1.0"?><OME/>', "XML ('')"),
    "words": (b"Access denied. Ask the owner.\n", "text ('Access denied. Ask the owner.')"),
}  # fmt: skip


@pytest.mark.parametrize(("head", "expected"), PAGES.values(), ids=PAGES.keys())
def test_words_are_told_and_quoted(head: bytes, expected: str) -> None:
    assert page_in(head) == expected


def test_only_pages_are_no_data_under_any_name() -> None:
    pages = {name for name, (head, _) in PAGES.items() if is_page(page_in(head) or "")}
    assert pages == {"sign-in", "comment first", "no head", "packed", "bucket", "api", "pointer"}


@pytest.mark.parametrize("low_high", [(32, 126), (97, 122), (0, 255), (45, 70)], ids=str)
def test_grey_values_that_are_letters_are_no_text(low_high: tuple[int, int]) -> None:
    """A dark picture's bytes are all printable: noise around one grey value, and drifting ones."""
    low, high = low_high
    random = np.random.default_rng(6)
    for _ in range(50):
        drift = np.linspace(low, high, 1024) + random.normal(0, 4, 1024)
        assert page_in(np.clip(drift, low, high).astype(np.uint8).tobytes()) is None
        assert page_in(random.integers(low, high + 1, 1024, dtype=np.uint8).tobytes()) is None


def test_nothing_and_packed_voxels_are_no_pages() -> None:
    assert page_in(b'{"fragments": ["1:0"], "status": "done"}') is None
    assert page_in(b"<?xml version='1.0'?><log><error>none</error><body/></log>") == "XML ('none')"
    assert page_in(b"") is None
    assert page_in(gzip.compress(bytes(4096))) is None
    assert page_in(b"\x1f\x8b broken") is None
