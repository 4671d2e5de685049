"""Whatever an archive or a file says is text on the page, and a catalog of hundreds of volumes still works."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from em_assets.page.cards import Card, searchable
from em_assets.page.catalogue import Absent, Catalogue, Choice, Facet
from em_assets.page.checks import Check
from em_assets.page.citing import Citation
from em_assets.page.rendering import page_html
from em_assets.page.snippets import Snippet
from em_assets.page.witnesses import Other, Said
from em_assets.page.writing import Written

if TYPE_CHECKING:
    from em_assets_tests.page.conftest import Visit

EVIL = (
    "</script></style></title></textarea><script>alert(1)</script><img src=x onerror=alert(2)>"
    "<svg onload=alert(3)>\"' onfocus=alert(4) autofocus x='{{7*7}}{% raw %}<base href=//evil.example><!--"
)


def hostile(catalogue: Catalogue) -> Catalogue:
    """The catalogue with that text wherever text of others stands."""
    other = Other(*[EVIL] * 9, is_settled=False, rule=EVIL)
    said = Said(EVIL, EVIL, EVIL, EVIL, EVIL, EVIL, 1, 1, (other,))
    nobody = replace(said, value=None, said_by=None, locator=None)
    texts: dict[str, Any] = {
        "dataset": EVIL,
        "volume": EVIL,
        "title": EVIL,
        "content": EVIL,
        "labels_of": EVIL,
        "origin": EVIL,
        "no_picture": EVIL,
        "technique": EVIL,
        "organism": EVIL,
        "search": searchable([EVIL]),
        "known": (said,),
        "unknown": (nobody,),
        "conflicts": (other,),
        "checks": (Check(EVIL, EVIL, (EVIL,)),),
        "snippets": (Snippet(EVIL, EVIL),),
        "citation": Citation(EVIL, False, EVIL, EVIL, f"javascript:{EVIL}", f"10.1000/{EVIL}"),
        "links": (EVIL, "javascript:alert(5)", f"https://example.org/{EVIL}"),
    }
    cards = [
        replace(card, **texts, facts=tuple(replace(fact, text=EVIL, said=(said, nobody)) for fact in card.facts))
        for card in catalogue.cards[:2]
    ]
    cards[1] = replace(cards[1], picture=None)
    facet = Facet("technique", EVIL, (Choice(EVIL, EVIL, 2),))
    absent = (Absent(EVIL, EVIL, EVIL),)
    return replace(catalogue, origin=EVIL, cards=tuple(cards), facets=(facet,), described_later=absent, not_held=absent)


@pytest.mark.browser
def test_tags_in_metadata_stay_text(visit: "Callable[..., Visit]", written: Written, tmp_path: Path) -> None:
    """No script of theirs runs, nothing is asked for, no element of theirs is there (`visit` looks at the rest)."""
    file = tmp_path / "index.html"
    file.write_text(page_html(hostile(written.catalogue)), encoding="utf-8")
    page = visit(file).page
    page.evaluate("document.querySelectorAll('details').forEach(details => { details.open = true })")
    page.get_by_role("checkbox").first.check()
    assert page.locator("script").count() == 1
    assert page.locator("img").count() == 1
    assert page.locator("base, svg[onload], [onfocus], [onerror]").count() == 0
    assert EVIL in page.locator("h2").first.inner_text()
    assert page.locator("a[href^='javascript']").count() == 0
    assert page.title().startswith("Catalog of 3-D electron microscopy")


@pytest.mark.browser
def test_five_hundred_volumes_are_filtered_as_one_types(
    visit: "Callable[..., Visit]", written: Written, tmp_path: Path
) -> None:
    file = tmp_path / "index.html"
    file.write_text(page_html(many(written.catalogue, 500)), encoding="utf-8")
    assert file.stat().st_size < 32_000_000
    visited = visit(file)
    visited.page.locator("#q").fill("called-77.")  # by its label Playwright looks at every element there is
    assert visited.names() == ["many/v77"]


def many(catalogue: Catalogue, count: int) -> Catalogue:
    """So many volumes, each with all that the first ones have."""

    def card(number: int) -> Card:
        like = catalogue.cards[number % len(catalogue.cards)]
        return replace(like, dataset="many", volume=f"v{number}", search=f"{like.search} called-{number}.")

    return replace(catalogue, cards=tuple(card(number) for number in range(count)))
