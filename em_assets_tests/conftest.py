"""What every test may use."""

import gc
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from urllib.request import Request, urlopen

import numpy as np
import pytest
from holding import HELD, hold
from sharing import Demo, copied, made_once, run_demo

from em_assets.sample import write_sources
from em_assets.settings import Settings


def pytest_addoption(parser: pytest.Parser) -> None:
    """`pytest em_assets_tests/cli --write-snapshots` writes what the commands print now; look at the diff."""
    parser.addoption("--write-snapshots", action="store_true", help="write the snapshots of the commands' output anew")


FIRST = (
    "defs/test_ui_and_daemon.py",
    "defs/test_materialize.py",
    "deploy/test_postgres.py",
    "docs/test_code_blocks.py",
    "test_bad_input.py",
    "defs/test_killed_runs.py",
    "page/test_page_in_a_browser.py",
    "test_real_files.py",
    "defs/test_further_datasets.py",
    "cli/test_new_user.py",
    "viewing/test_in_a_browser.py",
)
"""Files of more than a quarter of a minute: two workers that begin with them come to an end together."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Bring the longest files to the front; the others stay in their order."""
    here = Path(__file__).parent
    turns = {here / name: turn for turn, name in enumerate(FIRST)}
    assert all(path.is_file() for path in turns), "a file of FIRST in em_assets_tests/conftest.py is not there any more"
    items.sort(key=lambda item: turns.get(item.path, len(turns)))


def pytest_collection_finish() -> None:
    """Take what was collected out of the garbage collector's sight: a million objects that live as long as we do."""
    gc.collect()
    gc.freeze()


SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real files and validators beside the project; the test skips where it is absent."""
    if not (SHARED / "data" / "expected.json").exists():
        pytest.skip(f"needs the shared data folder, which is not at {SHARED}")
    return SHARED


@pytest.fixture(scope="session")
def small_tiff(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ImageJ stack of 6 × 40 × 50 textured voxels, 30 × 10 × 10 nm."""
    import tifffile

    voxels = np.random.default_rng(7).integers(20, 230, (6, 40, 50), dtype=np.uint8)
    path = tmp_path_factory.mktemp("tiff") / "small.tif"
    tifffile.imwrite(
        path, voxels, imagej=True, resolution=(100, 100), metadata={"axes": "ZYX", "spacing": 0.03, "unit": "um"}
    )
    return path


@pytest.fixture(scope="session")
def look_alikes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sources of the sample origin, written once; nobody may change them."""
    folder = made_once(tmp_path_factory, "look_alikes", lambda folder: write_sources(folder / "sample_sources"))
    return folder / "sample_sources"


@pytest.fixture(scope="session")
def with_sources(look_alikes: Path) -> Callable[[Path], Path]:
    """Gives a store its own copy of the sample's sources, which is quicker than writing them; the store."""

    def give(store: Path) -> Path:
        copied(look_alikes, store / look_alikes.name)
        return store

    return give


@pytest.fixture(scope="session")
def held_store(tmp_path_factory: pytest.TempPathFactory, with_sources: Callable[[Path], Path]) -> Path:
    """A store of the sample origin with the datasets `HELD`; nobody may change it."""

    def make(folder: Path) -> None:
        settings = Settings(store=with_sources(folder / "store"), origin="sample")
        for name in HELD:
            hold(name, settings)

    return made_once(tmp_path_factory, "held", make) / "store"


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    """What `make demo` leaves, made once; nobody may change it."""
    return Demo(made_once(tmp_path_factory, "demo", run_demo))


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    """Address of a running S3 server without buckets."""
    command = [sys.executable, str(Path(__file__).with_name("s3_server.py"))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        port = server.stdout.readline().strip()
        assert port, "the S3 server did not start"
        yield f"http://127.0.0.1:{port}"
        server.kill()


_numbers = count()


@pytest.fixture
def s3_environment(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What a user sets to use that server; this process has it set."""
    variables = {
        "AWS_ENDPOINT_URL": s3_endpoint,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "a-secret-key",
        "AWS_REGION": "us-east-1",
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return variables


@pytest.fixture
def new_bucket(s3_endpoint: str) -> Callable[[], str]:
    """Makes an empty bucket; its URL."""

    def make() -> str:
        name = f"bucket-{next(_numbers)}"
        urlopen(Request(f"{s3_endpoint}/{name}", method="PUT"), timeout=30).close()
        return f"s3://{name}"

    return make
