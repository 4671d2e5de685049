"""A Dagster home of its own for each module."""

import shutil
from collections.abc import Iterator

import pytest
from running_dagster import REPOSITORY, Dagster, Home, dagster_dev


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """An empty home with the repository's dagster.yaml, and a store that is not there yet."""
    folder = tmp_path_factory.mktemp("dagster_home")
    shutil.copy(REPOSITORY / "dagster.yaml", folder)
    return Home(folder)


@pytest.fixture(scope="module")
def dagster(home: Home) -> Iterator[Dagster]:
    """A running webserver, daemon and code server."""
    with dagster_dev(home) as running:
        yield running
