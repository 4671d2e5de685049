"""Stores of the sample origin with its look-alikes."""

from collections.abc import Callable
from pathlib import Path

import pytest

from em_assets.settings import Settings


@pytest.fixture(scope="session")
def sample_settings(with_sources: Callable[[Path], Path], tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Settings of a sample store whose sources nobody changes."""
    return Settings(store=with_sources(tmp_path_factory.mktemp("look_alikes")), origin="sample")


@pytest.fixture
def own_settings(with_sources: Callable[[Path], Path], tmp_path: Path) -> Settings:
    """Settings of a sample store of one's own, to change files in."""
    return Settings(store=with_sources(tmp_path), origin="sample")
