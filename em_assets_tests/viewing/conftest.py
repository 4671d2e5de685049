"""Committed volumes without Dagster, and what shows them."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from browsing import IN_SOFTWARE, chromium
from numpy.typing import NDArray
from tissue import write_volume

from em_assets.settings import SAMPLE, Settings
from em_assets.volumes.store import CommittedVolume

if TYPE_CHECKING:
    from playwright.sync_api import Browser

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """An empty store of the sample origin."""
    return Settings(store=tmp_path / "store", origin=SAMPLE)


@pytest.fixture
def commit(settings: Settings) -> Callable[..., CommittedVolume]:
    """Name, voxels, options of `write_volume` → the committed volume of the dataset `tissue`."""

    def commit(name: str, voxels: NDArray[Any], **options: Any) -> CommittedVolume:
        return write_volume(settings.volumes_dir("tissue") / name, voxels, **options)

    return commit


@pytest.fixture(scope="session")
def artefacts() -> Path:
    """Where screenshots stay, to be looked at."""
    folder = REPOSITORY / "artefacts" / "viewer"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    """A real Chromium that draws in software."""
    with chromium(*IN_SOFTWARE) as browser:
        yield browser
