"""What is dear to make, and made once for all workers of a session: a test that changes something changes a copy."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest
from filelock import FileLock

REPOSITORY = Path(__file__).resolve().parents[1]


def made_once(folders: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """The session's folder of that name; the worker that asks first makes it, and who asks meanwhile waits."""
    session = folders.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        session = session.parent  # a worker's own folder is below the session's
    folder, whole = session / name, session / f"{name}.whole"
    with FileLock(session / f"{name}.lock"):
        if not whole.exists():
            shutil.rmtree(folder, ignore_errors=True)  # of a worker whose try failed
            folder.mkdir()
            make(folder)
            whole.touch()
    return folder


def commands_path() -> str:
    """`PATH` with this environment's commands; that of torch has only some of its own."""
    own = (Path(sys.executable).parent, REPOSITORY / ".venv" / "bin")
    return os.pathsep.join(map(str, (*own, os.environ["PATH"])))


def copied(folder: Path, place: Path) -> Path:
    """A folder in another place, times and links as they were; `cp` copies many small files sooner than Python does."""
    place.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["cp", "-a", folder, place], check=True, timeout=120)
    return place


def copy_held(held: Path, store: Path, names: Iterable[str]) -> None:
    """Copy what a store holds of these datasets into a store that is not there yet."""
    for folder in ("raw", "metadata", "volumes"):
        for name in names:
            copied(held / folder / name, store / folder / name)
    shutil.copy2(held / "origin.json", store)


@dataclass(frozen=True)
class Demo:
    """What `make demo` left in its folder, and printed. Nobody may change it: a copy of its store is for that."""

    folder: Path

    @property
    def store(self) -> Path:
        return self.folder / "store"

    @property
    def stdout(self) -> str:
        return (self.folder / "stdout").read_text()

    @property
    def stderr(self) -> str:
        return (self.folder / "stderr").read_text()


def run_demo(folder: Path) -> None:
    """The recipe of `make demo`, run in a folder by this interpreter, with the settings that make exports."""
    # `make test` may be what runs this: its make must not say where it enters and leaves.
    listed = ["make", "--no-print-directory", "-n", "demo"]
    said = subprocess.run(listed, cwd=REPOSITORY, check=True, capture_output=True, text=True, timeout=60).stdout
    recipe = next(line for line in said.splitlines() if "em-assets fetch" in line)
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("EM_ASSETS_", "DAGSTER", "AWS_"))}
    shutil.copy(REPOSITORY / "dagster.yaml", folder)
    done = subprocess.run(
        ["bash", "-ec", recipe.replace(".venv/bin/em-assets", "em-assets")],
        cwd=folder,
        env=kept | {"PATH": commands_path(), "DAGSTER_HOME": str(folder), "EM_ASSETS_STORE": "store"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    (folder / "stdout").write_text(done.stdout)
    (folder / "stderr").write_text(done.stderr)
