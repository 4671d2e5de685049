"""A store that holds the sample's datasets, and the validators beside the project."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from holding import HELD
from sharing import copy_held

from em_assets.settings import Settings


@pytest.fixture(scope="session")
def held_settings(held_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Settings of a store of the sample origin that holds five datasets; nobody may write to its volumes."""
    settings = Settings(store=tmp_path_factory.mktemp("held") / "store", origin="sample")
    copy_held(held_store, settings.store, HELD)
    return settings


@pytest.fixture(scope="session")
def validate(shared: Path) -> Callable[..., list[str]]:
    """Name of a validator, arguments → its findings, one line each; none where all is well."""

    def run(name: str, *arguments: str) -> list[str]:
        script = shared / "tools" / "validators" / f"validate_{name}.py"
        done = subprocess.run([sys.executable, str(script), *arguments], capture_output=True, text=True, check=False)
        findings = [line for line in done.stdout.splitlines() if line.startswith("FINDING")]
        assert done.returncode in (0, 1), done.stderr
        assert bool(findings) == bool(done.returncode), done.stdout + done.stderr
        return findings

    return run
