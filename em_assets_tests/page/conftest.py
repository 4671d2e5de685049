"""A store of the sample origin with its page, and a real Chromium to look at it with."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from browsing import chromium
from sharing import copy_held

from em_assets import datasets
from em_assets.page.writing import Written, write_page
from em_assets.settings import Settings

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

REPOSITORY = Path(__file__).parents[2]

SHOWN = ("cryoet_10001", "empiar_11759", "epfl_hippocampus", "u2os_chromatin")
"""Labels over their image, sources that disagree, a licence that nobody says, two volumes of one dataset."""

DESKTOP, PHONE = (1440, 1000), (390, 844)


@pytest.fixture(scope="session")
def held(held_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A store with four datasets; nobody may write to its volumes and tables."""
    settings = Settings(store=tmp_path_factory.mktemp("shown") / "store", origin="sample")
    copy_held(held_store, settings.store, SHOWN)
    return settings


@pytest.fixture(scope="session")
def written(held: Settings) -> Written:
    """Its page."""
    return write_page(datasets.load(held), held)


@pytest.fixture(scope="session")
def artefacts() -> Path:
    """Where screenshots stay, to be looked at."""
    folder = REPOSITORY / "artefacts" / "catalog"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    """A real Chromium."""
    with chromium("--disable-gpu") as browser:
        yield browser


@dataclass
class Visit:
    """A page somebody looks at, whatever it asked for besides itself, and whatever its console says."""

    page: "Page"
    asked: list[str] = field(default_factory=list)
    amiss: list[str] = field(default_factory=list)

    def names(self) -> list[str]:
        """Names of the volumes that are shown, in the order of the page."""
        shown: list[str] = self.page.eval_on_selector_all(
            ".card", "cards => cards.filter(card => card.checkVisibility()).map(card => card.id)"
        )
        return shown

    def counted(self) -> str:
        """What is announced of them."""
        return self.page.locator("#count").inner_text()


@pytest.fixture
def visit(browser: "Browser") -> Iterator[Callable[..., Visit]]:
    """File, size of the window, options of the context → the page; in the end it asked for nothing and said nothing."""
    visits: list[Visit] = []

    def open_page(file: Path, size: tuple[int, int] = DESKTOP, state: str = "", **options: Any) -> Visit:
        context = browser.new_context(viewport={"width": size[0], "height": size[1]}, **options)
        visited = Visit(context.new_page())
        url = file.as_uri() + state
        context.on(
            "request",
            lambda request: (
                None
                if request.url.startswith("data:") or request.url.partition("#")[0] == file.as_uri()
                else visited.asked.append(request.url)
            ),
        )
        visited.page.on("console", lambda message: visited.amiss.append(f"{message.type}: {message.text}"))
        visited.page.on("pageerror", lambda error: visited.amiss.append(str(error)))
        visited.page.on("dialog", lambda dialog: (visited.amiss.append(dialog.message), dialog.dismiss()))
        visited.page.goto(url)
        visits.append(visited)
        return visited

    yield open_page
    for visited in visits:
        visited.page.context.close()
    assert [(visited.asked, visited.amiss) for visited in visits] == [([], [])] * len(visits)
