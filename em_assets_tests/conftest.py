"""What every test may use."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from urllib.request import Request, urlopen

import numpy as np
import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """`pytest em_assets_tests/cli --write-snapshots` writes what the commands print now; look at the diff."""
    parser.addoption("--write-snapshots", action="store_true", help="write the snapshots of the commands' output anew")


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
