"""A Postgres, and Dagster homes that keep their history in it, by the configuration that deploy/docker ships."""

import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from postgres import DATABASE, Postgres, running_postgres

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "defs"))

from running_dagster import REPOSITORY, Home


@dataclass(frozen=True)
class PostgresHome(Home):
    """A Dagster home whose history is in a database."""

    postgres: Postgres

    @property
    def environment(self) -> dict[str, str]:
        return super().environment | self.postgres.environment | {"DAGSTER_LOGS": str(self.folder / "logs")}


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    """A running PostgreSQL with an empty database."""
    with running_postgres() as server:
        yield server


@pytest.fixture
def empty_postgres(postgres: Postgres) -> Postgres:
    """The same server, its database made anew."""
    postgres.run("dropdb", "--force", DATABASE)
    postgres.run("createdb", DATABASE)
    return postgres


@pytest.fixture(scope="module")
def new_home(
    postgres: Postgres, tmp_path_factory: pytest.TempPathFactory, with_sources: Callable[[Path], Path]
) -> Callable[[], PostgresHome]:
    """Makes a home of the deployment's own dagster.yaml, with the sample's sources; all of them share the database."""

    def make() -> PostgresHome:
        folder = tmp_path_factory.mktemp("home")
        shutil.copy(REPOSITORY / "deploy" / "docker" / "dagster.yaml", folder)
        with_sources(folder / "store")
        return PostgresHome(folder, postgres)

    return make
