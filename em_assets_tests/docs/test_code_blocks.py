"""Every code block of the README and of docs/ does what it says."""

import re
import shutil
from pathlib import Path

import pytest
from fences import PAGES, REPOSITORY, blocks_of
from running_pages import Reader
from sharing import Demo, copied

# Read from the text, so that a fence that means nothing is an error of its page and not of all.
THAT_RUN = [page for page in PAGES if re.search(r"^```(sh|python|sql|diff)", page.read_text(), re.MULTILINE)]
OF_TORCH = [page for page in PAGES if "needs=torch" in page.read_text()]


def name_of(page: Path) -> str:
    return str(page.relative_to(REPOSITORY))


@pytest.fixture
def folder(request: pytest.FixtureRequest, page: Path, tmp_path: Path, small_tiff: Path) -> Path:
    """A new folder with a `stack.tif`, and with the demo's store where the page has something to be done with it."""
    if any(block.is_run for block in blocks_of(page)):
        demo: Demo = request.getfixturevalue("demo")
        copied(demo.store, tmp_path / "store")
    shutil.copy(small_tiff, tmp_path / "stack.tif")
    return tmp_path


@pytest.mark.parametrize("page", THAT_RUN, ids=name_of)
def test_every_block_does_what_its_page_says(page: Path, folder: Path) -> None:
    blocks = blocks_of(page)
    looked_at_only = Reader(folder).read(blocks)
    assert looked_at_only == sum(block.needs is not None for block in blocks)


@pytest.mark.parametrize("page", [page for page in PAGES if page not in THAT_RUN], ids=name_of)
def test_pages_without_commands_are_well_formed(page: Path, tmp_path: Path) -> None:
    Reader(tmp_path).read(blocks_of(page))


@pytest.mark.torch
@pytest.mark.parametrize("page", OF_TORCH, ids=name_of)
def test_every_block_for_torch_does_too(page: Path, folder: Path) -> None:
    blocks = blocks_of(page)
    looked_at_only = Reader(folder, frozenset({"torch"})).read(blocks)
    assert looked_at_only == sum(block.needs not in (None, "torch") for block in blocks)


def test_most_blocks_are_run() -> None:
    """At most one in five is only looked at, since it needs a cluster, a container engine, a network or a package."""
    code = [block for page in PAGES for block in blocks_of(page) if block.language != "text"]
    looked_at_only = [block.place for block in code if block.needs not in (None, "torch")]
    assert len(looked_at_only) <= len(code) / 5, looked_at_only
