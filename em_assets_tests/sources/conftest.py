"""Loopback archives over the real protocols, and patience that does not wait."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from scripted_server import Script, scripted

from em_assets.sample.server_ftp import FTPSource
from em_assets.sample.server_http import HTTPSource
from em_assets.sample.server_s3 import S3Source
from em_assets.sources.origins import Origin
from em_assets.sources.wire import Patience


@pytest.fixture
def script() -> Iterator[Script]:
    """A web server whose answers the test writes down."""
    with scripted() as running:
        yield running


@pytest.fixture
def hurried() -> Patience:
    """Three tries, and hardly a pause between them."""
    return Patience(tries=3, first_pause_s=0.01, longest_pause_s=0.02, connect_s=2, read_s=2)


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[Origin]:
    """An origin over `tmp_path/archive/http/<host>/…` and `…/s3/<bucket>/…`; servers start when they are needed."""
    root = tmp_path / "archive"
    running: dict[str, HTTPSource | FTPSource | S3Source] = {}
    kinds: dict[str, Callable[[], HTTPSource | FTPSource | S3Source]] = {
        "http": lambda: HTTPSource(root / "http"),
        "ftp": lambda: FTPSource(root / "http"),
        "s3": lambda: S3Source(root / "s3"),
    }

    def base(protocol: str) -> str:
        if protocol not in running:
            running[protocol] = kinds[protocol]()
        return running[protocol].base_url

    yield Origin("sample", endpoints=base)
    for server in running.values():
        server.stop()
