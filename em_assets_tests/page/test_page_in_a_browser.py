"""A real Chromium opens the page from the disk: nothing is asked for, nothing complains, everybody can use it.

Screenshots stay in `artefacts/catalog`.
"""

import shutil
import subprocess
import sys
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from em_assets.page.writing import Written
from em_assets.settings import Settings

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

    from em_assets_tests.page.conftest import Visit

Open = Callable[..., "Visit"]

DESKTOP, PHONE = (1440, 1000), (390, 844)
ALL = [
    "cryoet_10001/cytoplasm",
    "cryoet_10001/tomogram",
    "empiar_11759/em",
    "epfl_hippocampus/em",
    "u2os_chromatin/xy",
    "u2os_chromatin/xz",
]
LEAST_SPREAD = 20
"""Standard deviation of the grey values of a thumbnail on the screen; a blank one has 0."""


def drawn(elements: "Locator") -> list[NDArray[np.uint8]]:
    """What the browser draws of each of these elements."""
    return [np.asarray(Image.open(BytesIO(element.screenshot())).convert("L")) for element in elements.all()]


def faults(page: "Page") -> list[str]:
    """What axe-core finds serious or critical."""
    from axe_playwright_python.sync_playwright import Axe

    found: list[dict[str, Any]] = Axe().run(page).response["violations"]
    return [
        f"{fault['id']}: {fault['help']}: {[node['target'] for node in fault['nodes'][:3]]}"
        for fault in found
        if fault["impact"] in ("serious", "critical")
    ]


@pytest.mark.browser
def test_the_head_of_a_column_is_one_line(visit: Open, written: Written) -> None:
    """Long words may break anywhere, and the narrow column's head was `Agr` and `ee`."""
    page = visit(written.path, DESKTOP).page
    page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    heads = page.locator("thead th").all()
    assert {
        len(
            head.evaluate(
                "th => {const r = document.createRange(); r.selectNodeContents(th); return [...r.getClientRects()]}"
            )
        )
        for head in heads
    } == {1}


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_everybody_can_use_it(
    visit: Open, written: Written, artefacts: Path, size: tuple[int, int], scheme: str
) -> None:
    """Thumbnails are drawn, nothing hangs over the edge, axe-core finds nothing serious where all is open."""
    visited = visit(written.path, size, color_scheme=scheme)
    page = visited.page
    name = f"{'phone' if size == PHONE else 'desktop'}_{scheme}"
    page.screenshot(path=artefacts / f"{name}.png")
    page.set_viewport_size({"width": size[0], "height": page.evaluate("document.documentElement.scrollHeight")})
    page.screenshot(path=artefacts / f"{name}_whole.png")
    assert visited.names() == ALL
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    thumbnails, bars = drawn(page.locator(".planes img")), drawn(page.locator("svg.bar"))
    assert (len(thumbnails), len(bars)) == (len(ALL), len(ALL))
    assert min(thumbnail.std() for thumbnail in thumbnails) > LEAST_SPREAD
    assert min(int(np.ptp(bar)) for bar in bars) > 100
    page.set_viewport_size({"width": size[0], "height": size[1]})
    page.evaluate("document.querySelectorAll('details').forEach(details => { details.open = true })")
    page.get_by_role("button", name="4 conflicts").focus()
    page.screenshot(path=artefacts / f"{name}_conflicts.png")
    # A card of labels and one with conflicts have all that there is: axe-core takes its time for each.
    page.eval_on_selector_all(".card", "cards => cards.forEach((card, n) => { card.hidden = n !== 0 && n !== 2 })")
    assert faults(page) == []
    sys.stdout.write(f"screenshots: {artefacts}\n")


@pytest.mark.browser
def test_search_and_filters_leave_what_matches_and_say_how_many(visit: Open, written: Written) -> None:
    visited = visit(written.path)
    page = visited.page
    assert visited.counted() == "6 volumes"
    page.get_by_label("Search").fill("ZEBRAFISH wilsch-brauninger")  # letters and accents as people type them
    assert (visited.names(), visited.counted()) == (["empiar_11759/em"], "1 of 6 volumes")
    page.get_by_role("button", name="Clear filters").click()
    page.get_by_role("checkbox", name="FIB-SEM").check()
    page.get_by_role("checkbox", name="SBF-SEM").check()
    assert visited.names() == ALL[2:]
    page.get_by_role("checkbox", name="Mus musculus").check()
    assert visited.names() == ["epfl_hippocampus/em"]
    assert page.locator("label", has_text="licence unknown").locator(".n").inner_text() == "1"
    page.get_by_label("Search").fill("nothing is called this")
    assert (visited.names(), visited.counted()) == ([], "0 of 6 volumes")
    assert page.get_by_text("No volume matches.").is_visible()
    page.get_by_role("button", name="Clear filters").click()
    assert visited.names() == ALL


@pytest.mark.browser
@pytest.mark.parametrize(
    ("least", "most", "left"),
    [
        ("", "6", ["cryoet_10001/cytoplasm", "cryoet_10001/tomogram", "epfl_hippocampus/em"]),
        ("7.9", "50", ALL[2:3] + ALL[4:]),
        ("7.9", "49", ALL[4:]),
    ],
    ids=["to 6 nm", "7.9 to 50 nm", "a step of 50 nm is out"],
)
def test_all_three_sides_of_a_voxel_lie_in_the_range(
    visit: Open, written: Written, least: str, most: str, left: list[str]
) -> None:
    visited = visit(written.path)
    visited.page.get_by_label("from").fill(least)
    visited.page.get_by_label("to", exact=True).fill(most)
    assert visited.names() == left


@pytest.mark.browser
def test_the_address_keeps_what_is_asked_and_the_order(visit: Open, written: Written) -> None:
    visited = visit(written.path)
    visited.page.get_by_role("checkbox", name="FIB-SEM").check()
    visited.page.get_by_label("to", exact=True).fill("20")
    visited.page.get_by_label("Sort by").select_option("bytes")
    seen = visited.names()
    assert seen == ["u2os_chromatin/xz", "u2os_chromatin/xy", "epfl_hippocampus/em"]
    state = visited.page.evaluate("location.hash")
    again = visit(written.path, state=state)
    assert (again.names(), again.counted()) == (seen, "3 of 6 volumes")
    assert visit(written.path, state="#technique=of+nobody").names() == ALL
    again.page.evaluate("location.hash = 'empiar_11759/em'")  # as a link would, to a card that the filter hides
    again.page.locator("[id='empiar_11759/em']").wait_for()
    assert again.names() == ALL
    card = visit(written.path, state="#u2os_chromatin/xz")
    assert card.names() == ALL
    assert card.page.locator(".card:target h2").inner_text() == "u2os_chromatin / xz"


@pytest.mark.browser
def test_who_says_it_is_shown_to_the_pointer_and_to_the_keyboard(visit: Open, written: Written) -> None:
    page = visit(written.path).page
    card = page.locator("[id='empiar_11759/em']")
    button = card.get_by_role("button", name="50 × 7.998 × 7.998 nm")
    witness = page.locator(f"#{button.get_attribute('aria-describedby')}")
    assert not witness.is_visible()
    button.hover()
    assert witness.is_visible()
    said = witness.inner_text()
    for word in ("F57-8_test1_3VBSED_slice_0000.dm3", "Calibrations.Dimension.0.Scale", "empiar/api/entry/11759", "80"):
        assert word in said
    witness.hover()  # it stays where the pointer goes to read it
    page.wait_for_timeout(300)
    assert witness.is_visible()
    page.mouse.move(2, 2)
    witness.wait_for(state="hidden")
    card.get_by_role("button", name="developing retina, 55 hpf larval eye").focus()
    page.keyboard.press("Tab")
    assert witness.is_visible()
    page.keyboard.press("Escape")
    assert not witness.is_visible()
    assert page.evaluate("document.activeElement.textContent.startsWith('50')")


@pytest.mark.browser
def test_a_keyboard_reaches_every_control_and_the_slash_the_search(visit: Open, written: Written) -> None:
    page = visit(written.path).page
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the volumes"
    page.keyboard.press("/")
    page.keyboard.type("chromatin/x")
    assert page.evaluate("document.activeElement.value") == "chromatin/x"
    reached = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.name || document.activeElement.className"))
    assert {"from", "to", "technique", "organism", "content", "state", "sort"} <= reached


@pytest.mark.browser
def test_light_and_dark_follow_the_system_until_one_chooses(visit: Open, written: Written) -> None:
    page = visit(written.path, color_scheme="dark").page

    def ground() -> str:
        return str(page.evaluate("getComputedStyle(document.body).backgroundColor"))

    dark = ground()
    page.get_by_role("button", name="Theme: system").click()
    light = ground()
    assert light != dark
    for _ in range(20):  # Chromium keeps what pages store in its own time, and a busy machine gives it little
        page.reload()
        if ground() == light:
            break
    assert (ground(), page.locator("#theme").inner_text()) == (light, "Theme: light")
    page.locator("#theme").click()
    assert ground() == dark


@pytest.mark.browser
def test_what_is_copied_opens_the_volume(visit: Open, written: Written, held: Settings) -> None:
    """Every piece of Python of every card runs as it was copied: in a shell whose store is this one, or anywhere."""
    visited = visit(written.path, permissions=["clipboard-read", "clipboard-write"])
    page = visited.page
    page.evaluate("document.querySelectorAll('details').forEach(details => { details.open = true })")
    copied = []
    for what in ("Python code", "zarr-python code"):
        for anchor in ALL:
            page.get_by_role("button", name=f"Copy {what} of {anchor}", exact=True).click()
            page.locator("#said", has_text="Copied").wait_for()
            copied.append(page.evaluate("navigator.clipboard.readText()"))
    checked = "".join(f"{code}\nassert min(block.shape) > 0\n" for code in copied)
    environment = {"EM_ASSETS_STORE": str(held.store), "PATH": ""}
    subprocess.run([sys.executable, "-c", checked], check=True, timeout=120, env=environment)
    assert len(set(copied)) == len(copied)


@pytest.mark.browser
def test_a_copy_outside_its_store_names_no_folder(visit: Open, written: Written, tmp_path: Path) -> None:
    """What lies beside a page that was mailed, or kept under another name, is not the store."""
    code = "document.querySelectorAll('.code pre')[1].textContent"
    assert 'open_group("/' in visit(written.path).page.evaluate(code)
    for name in ("index.html", "catalog/mailed.html"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        copied = shutil.copy(written.path, tmp_path / name)
        assert 'open_group("volumes/' in visit(Path(copied)).page.evaluate(code)


@pytest.mark.browser
def test_without_scripts_it_can_be_read(visit: Open, written: Written) -> None:
    visited = visit(written.path, java_script_enabled=False)
    assert visited.page.locator(".card h2").count() == len(ALL)
    assert not visited.page.locator("#filters").is_visible()
    assert not visited.page.get_by_role("button", name="Copy").first.is_visible()
