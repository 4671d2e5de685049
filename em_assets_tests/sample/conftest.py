"""The look-alikes, written once for all tests that only read them."""

import shutil
from pathlib import Path

import pytest

from em_assets.sample import write_sources
from em_assets.settings import Settings


@pytest.fixture(scope="session")
def look_alikes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sample folder that nobody changes."""
    root = tmp_path_factory.mktemp("look_alikes") / "sample_sources"
    write_sources(root)
    return root


@pytest.fixture(scope="session")
def sample_settings(look_alikes: Path) -> Settings:
    """Settings of a sample store whose sources nobody changes."""
    return Settings(store=look_alikes.parent, origin="sample")


@pytest.fixture
def own_settings(look_alikes: Path, tmp_path: Path) -> Settings:
    """Settings of a sample store of one's own, to change files in."""
    shutil.copytree(look_alikes, tmp_path / "sample_sources")
    return Settings(store=tmp_path, origin="sample")
