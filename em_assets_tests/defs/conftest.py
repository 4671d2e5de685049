"""A Dagster home of its own for each module."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from running_dagster import REPOSITORY, Dagster, Home, dagster_dev


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, with_sources: Callable[[Path], Path]) -> Home:
    """An empty home with the repository's dagster.yaml, and a store that has nothing but the sample's sources."""
    folder = tmp_path_factory.mktemp("dagster_home")
    shutil.copy(REPOSITORY / "dagster.yaml", folder)
    with_sources(folder / "store")
    return Home(folder)


@pytest.fixture(scope="module")
def dagster(home: Home) -> Iterator[Dagster]:
    """A running webserver, daemon and code server."""
    with dagster_dev(home) as running:
        yield running
