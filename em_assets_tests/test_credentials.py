"""Credentials in a URL: refused where it would be stored, masked where it would be printed."""

import json
import traceback
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from em_assets import datasets
from em_assets.errors import RegistryError, SourceMissingError, SourceUnreachableError, UsageError, shown_url
from em_assets.fetching import _transfer
from em_assets.formats import open_path
from em_assets.model import Source
from em_assets.settings import Settings
from em_assets.sources import acquire
from em_assets.sources.origins import PUBLIC_ORIGIN, Origin
from em_assets.sources.progress import Progress
from em_assets.sources.wire import Patience
from em_assets.volumes.ingest import _attributes

WITH_SECRETS = [
    "https://me:hunter2@a.org/em.tif",
    "https://a.org/em.tif?X-Amz-Signature=hunter2&v=1",
    "https://a.org/em.tif?v=1&access_token=hunter2",
    "https://a.org/em.tif?sig=hunter2",
]


@pytest.mark.parametrize("url", WITH_SECRETS)
def test_a_dataset_whose_url_holds_credentials_is_refused_without_repeating_them(url: str, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(f'title = "t"\n[source]\nurl = "{url}"\n')
    with pytest.raises(RegistryError, match=r"mine\.toml: source.*environment only") as caught:
        datasets.get("mine", Settings(store=tmp_path / "store", datasets=tmp_path))
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("url", WITH_SECRETS)
def test_no_error_repeats_credentials(url: str) -> None:
    assert "hunter2" not in str(UsageError(f"{url}: no such file"))


@pytest.mark.parametrize("url", ["https://a.org/x@y.tif?v=2", "s3://bucket/key", "/home/a@b/em.tif", "ftp://h/a?b@c"])
def test_a_url_without_credentials_is_shown_as_it_is(url: str) -> None:
    assert shown_url(url) == url


@pytest.mark.parametrize("url", WITH_SECRETS)
def test_a_volume_does_not_remember_credentials_of_its_source(url: str, small_tiff: Path, tmp_path: Path) -> None:
    """`em-assets ingest URL` keeps the names of its source files in the group."""
    source = replace(open_path(small_tiff)[0], files=(url,))
    assert "hunter2" not in json.dumps(_attributes(source, source.voxel_size_zyx_nm))


@pytest.mark.parametrize("url", WITH_SECRETS)
def test_a_bar_on_a_terminal_does_not_show_credentials(url: str) -> None:
    assert "hunter2" not in _transfer(Progress(url, str, n_files=1, total_bytes=1))


def test_public_buckets_are_asked_anonymously_whatever_the_environment_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[dict[str, str]] = []
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "hunter2")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(dict(self.headers))
            self.send_response(404)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_HEAD = do_GET

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        origin = Origin("sample", endpoints=lambda _: f"http://127.0.0.1:{server.server_address[1]}")
        with pytest.raises(SourceMissingError):
            acquire([Source(url="s3://bucket/x.tif")], origin, tmp_path / "raw", log=str)
        server.shutdown()
        thread.join()
    assert asked
    assert all("authorization" not in {name.lower() for name in headers} for headers in asked)


@pytest.mark.parametrize("url", ["data/", "data"])
def test_the_signature_that_a_redirect_brings_is_in_no_part_of_an_error(tmp_path: Path, url: str) -> None:
    """Dagster keeps the errors behind an error as well: a library's own says the whole address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(302)
            self.send_header("Location", "http://127.0.0.1:9/x?X-Amz-Signature=hunter2")
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_HEAD = do_GET

        def log_message(self, format: str, *args: object) -> None:
            pass

    patience = Patience(tries=2, first_pause_s=0.001)
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        source = Source(url=f"http://127.0.0.1:{server.server_address[1]}/{url}")
        with pytest.raises(SourceUnreachableError, match="Signature=") as caught:
            acquire([source], PUBLIC_ORIGIN, tmp_path / "raw", log=str, patience=patience)
        server.shutdown()
        thread.join()
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))
