"""A real Chromium shows what was committed: every chunk comes, its console is clean, no other machine is asked.

What is drawn is compared with the voxels themselves, so that swapped axes, a wrong level or a blank panel fail.
Screenshots stay in `artefacts/viewer`.
"""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from tissue import CELLS, TISSUE

from em_assets.settings import Settings
from em_assets.viewing import Served, scene_of, serving
from em_assets.volumes.store import CommittedVolume

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

Commit = Callable[..., CommittedVolume]

DRAWN_S = 60
SIZE = (1000, 800)


@dataclass
class Shown:
    """A page that shows a scene, what it asked for, and what its console says besides the client's own log."""

    page: "Page"
    served: Served
    asked: list[str] = field(default_factory=list)
    amiss: list[str] = field(default_factory=list)

    def drawn(self) -> NDArray[np.uint8]:
        """The panels, once every chunk of them has come: the client itself says when. Height, width, RGB."""
        came: list[Any] = []
        done = Event()

        def take(answer: Any) -> None:
            came.append(answer.screenshot.image)
            done.set()

        self.served.viewer.async_screenshot(take)
        end = time.monotonic() + DRAWN_S
        while not done.is_set():
            assert time.monotonic() < end, f"not drawn after {DRAWN_S} s; amiss: {self.amiss}"
            self.page.wait_for_timeout(50)  # hands over to the browser's events
        return np.asarray(Image.open(BytesIO(came[0])).convert("RGB"))

    def one_to_one(self) -> NDArray[np.uint8]:
        """The plane x, y alone, one voxel a pixel, without lines and scale bar."""
        state = json.loads(json.dumps(self.served.viewer.state.to_json()))
        state |= {"layout": "xy", "crossSectionScale": 1, "showAxisLines": False, "showScaleBar": False}
        state |= {"showDefaultAnnotations": False}
        with self.served.viewer.config_state.txn() as config:
            config.show_ui_controls = config.show_panel_borders = False
        self.served.viewer.set_state(state)
        self.page.wait_for_function("window.viewer.state.toJSON().layout === 'xy'")
        return self.drawn()


@contextmanager
def shown(browser: "Browser", served: Served) -> Iterator[Shown]:
    page = browser.new_page(viewport={"width": SIZE[0], "height": SIZE[1]})
    watched = Shown(page, served)
    page.on("request", lambda request: watched.asked.append(request.url))
    page.on("console", lambda line: watched.amiss.append(line.text) if line.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: watched.amiss.append(str(error)))
    page.goto(served.link)
    yield watched
    page.close()


def is_coloured(picture: NDArray[np.uint8]) -> NDArray[np.bool_]:
    wide = picture.astype(np.int16)
    return wide.max(-1) - wide.min(-1) > 25


def middle_of(plane: NDArray[Any], side: int = 400) -> NDArray[Any]:
    top, left = (plane.shape[0] - side) // 2, (plane.shape[1] - side) // 2
    return plane[top : top + side, left : left + side]


@pytest.mark.browser
@pytest.mark.parametrize(
    ("ome_zarr", "codec", "voxel_size_zyx_nm"),
    [
        ("0.5", "zstd-1", (12.0, 8.0, 8.0)),
        ("0.4", "blosc-zstd-1", (8.0, 8.0, 8.0)),
        ("0.5", "zstd-1", (None, 8.0, 8.0)),
    ],
    ids=["0.5 sharded", "0.4", "unknown voxel size"],
)
def test_chromium_shows_the_committed_voxels_with_their_labels(
    commit: Commit,
    settings: Settings,
    browser: "Browser",
    artefacts: Path,
    ome_zarr: str,
    codec: str,
    voxel_size_zyx_nm: Any,
) -> None:
    said = {"ome_zarr": ome_zarr, "codec": codec, "voxel_size_zyx_nm": voxel_size_zyx_nm}
    commit("em", TISSUE, **said)
    commit("cells", CELLS, labels_of="em", **said)
    lost: list[str] = []
    with serving(scene_of("tissue", None, settings), say=lost.append) as served, shown(browser, served) as page:
        panels = page.drawn()
        page.page.screenshot(path=artefacts / f"{ome_zarr}_{'nm' if voxel_size_zyx_nm[0] else 'voxels'}.png")
        unit = page.page.evaluate("window.viewer.state.toJSON().dimensions.x[1]")
        plane = page.one_to_one()

    assert (page.amiss, lost) == ([], [])
    assert {urlsplit(url).netloc for url in page.asked} == {urlsplit(served.link).netloc}

    assert panels.std() > 25  # black or one grey would be 0
    assert 0.1 < is_coloured(panels).mean() < 0.9  # labels, and image beside them
    drawn, tissue, cells = middle_of(plane), middle_of(TISSUE[7]), middle_of(CELLS[7])
    assert np.corrcoef(drawn[cells == 0].mean(-1), tissue[cells == 0])[0, 1] > 0.95
    assert is_coloured(drawn)[cells != 0].mean() > 0.99
    assert is_coloured(drawn)[cells == 0].mean() < 0.01
    assert unit == ("m" if voxel_size_zyx_nm[0] else "")
