"""The site builds without a warning, and needs nothing but a browser."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from browsing import chromium
from fences import PAGES, REPOSITORY

if TYPE_CHECKING:
    from playwright.sync_api import Page


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `make docs` builds; a warning is an error there."""
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=REPOSITORY,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


@pytest.fixture(scope="module")
def browser_page() -> "Iterator[Page]":
    """A page of a real Chromium."""
    with chromium("--disable-gpu") as browser:
        yield browser.new_page(viewport={"width": 1400, "height": 900})


def test_every_page_is_there(site: Path) -> None:
    pages = {page.relative_to(REPOSITORY / "docs").with_suffix(".html") for page in PAGES if page.name != "README.md"}
    built = {path.relative_to(site) for path in site.rglob("*.html")}
    assert pages <= built
    assert {Path("overview.html"), Path("changelog.html"), Path("schema/v1.0.0/tables.html")} <= built


def test_nothing_is_loaded_from_another_machine(site: Path) -> None:
    """Links may lead there; scripts, styles, fonts and pictures may not come from there."""
    loaded = re.compile(r"<(?:script|img|iframe|link)\b[^>]*?\b(?:src|href)=[\"']?((?:https?:)?//[^\"' >]+)")
    found = {page.name: loaded.findall(page.read_text()) for page in site.rglob("*.html")}
    assert {name: urls for name, urls in found.items() if urls} == {}


def test_a_section_stands_in_one_place_and_is_shown_in_two(site: Path) -> None:
    shown = (site / "settings.html").read_text()
    assert "EM_ASSETS_MEMORY_GIB" in shown
    assert 'href="volumes.html#in-a-bucket"' in shown
    assert "EM_ASSETS_MEMORY_GIB" not in (REPOSITORY / "docs" / "settings.md").read_text()


def test_what_is_for_the_tests_is_not_shown(site: Path) -> None:
    for page in (site / "tutorial.html", site / "adding_a_format.html", site / "overview.html"):
        assert not re.search(r"run-by=|needs=torch|```", page.read_text()), page


def test_docstrings_become_pages(site: Path) -> None:
    text = (site / "api" / "blocks.html").read_text()
    assert 'id="em_assets.blocks.open_volume"' in text
    assert 'href="model.html#em_assets.errors.UnknownDatasetError"' in text


@pytest.mark.browser
def test_it_opens_from_the_disk_and_is_searched_there(site: Path, browser_page: "Page") -> None:
    complaints: list[str] = []
    asked: list[str] = []
    browser_page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    browser_page.on("pageerror", lambda error: complaints.append(str(error)))
    browser_page.on("request", lambda request: asked.append(request.url))
    browser_page.goto(f"{site.as_uri()}/index.html")
    browser_page.get_by_role("link", name="tutorial", exact=True).click()
    browser_page.get_by_role("heading", name="A conflict understood").wait_for(timeout=20_000)
    browser_page.locator("input.md-search__input").click()
    browser_page.keyboard.type("contrast polarity", delay=20)
    found = browser_page.locator(".md-search-result__link", has_text="membranes_as_said")
    found.first.wait_for(timeout=20_000)
    assert complaints == []
    assert [url for url in asked if not url.startswith("file://")] == []
